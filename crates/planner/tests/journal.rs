//! The journal tag: what is written is what is read; what cannot be read is refused by the name of the field.

use expect_test::{Expect, expect};
use jiff::Timestamp;
use planner::journal::{Journal, RaisedMax};
use planner::model::{InstanceId, Provenance, Tags, tag};
use proptest::prelude::*;

/// The journal as it is written again, or what is wrong with the text.
fn check(text: &str, expected: Expect) {
    let read = match text.parse::<Journal>() {
        Ok(journal) => journal.to_string(),
        Err(error) => format!("refused: {}", error.field),
    };
    expected.assert_eq(&read);
}

#[test]
fn everything() {
    check(
        "v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;max=12>13;az=1;t=1790000000;by=spotward",
        expect!["v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;max=12>13;az=1;t=1790000000;by=spotward"],
    );
}

#[test]
fn without_what_a_swap_need_not_change() {
    check(
        "v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;t=1790000000;by=spotward",
        expect!["v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;t=1790000000;by=spotward"],
    );
}

#[test]
fn the_order_of_the_fields_does_not_matter() {
    check(
        "v1;by=spotward;t=1790000000;d=12;out=i-1;in=i-9;id=1a2b3c4d",
        expect!["v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;t=1790000000;by=spotward"],
    );
}

#[test]
fn fields_of_a_later_release_are_skipped() {
    check(
        "v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;t=1790000000;by=spotward;new=1;flag",
        expect!["v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;t=1790000000;by=spotward"],
    );
}

#[test]
fn another_version_is_refused() {
    check("v2;id=1a2b3c4d;in=i-9;out=i-1;d=12;t=1790000000;by=spotward", expect!["refused: v1"]);
}

#[test]
fn nothing_is_refused() {
    check("", expect!["refused: v1"]);
}

#[test]
fn a_missing_replica_is_refused() {
    check("v1;id=1a2b3c4d;out=i-1;d=12;t=1790000000;by=spotward", expect!["refused: in"]);
}

#[test]
fn an_empty_victim_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=;d=12;t=1790000000;by=spotward", expect!["refused: out"]);
}

#[test]
fn a_missing_id_is_refused() {
    check("v1;in=i-9;out=i-1;d=12;t=1790000000;by=spotward", expect!["refused: id"]);
}

#[test]
fn a_missing_owner_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;t=1790000000", expect!["refused: by"]);
}

#[test]
fn a_desired_that_is_not_a_number_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=twelve;t=1790000000;by=spotward", expect!["refused: d"]);
}

#[test]
fn a_negative_desired_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=-1;t=1790000000;by=spotward", expect!["refused: d"]);
}

#[test]
fn a_desired_with_a_sign_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=+1;t=1790000000;by=spotward", expect!["refused: d"]);
}

#[test]
fn a_desired_to_which_nothing_can_be_added_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=4294967295;t=1790000000;by=spotward", expect!["refused: d"]);
}

#[test]
fn a_maxsize_without_its_other_half_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;max=13;t=1790000000;by=spotward", expect!["refused: max"]);
}

#[test]
fn a_maxsize_raised_by_more_than_one_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;max=2>50;t=1790000000;by=spotward", expect!["refused: max"]);
}

#[test]
fn a_maxsize_that_is_lowered_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;max=13>12;t=1790000000;by=spotward", expect!["refused: max"]);
}

#[test]
fn a_missing_time_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;by=spotward", expect!["refused: t"]);
}

#[test]
fn a_time_in_milliseconds_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;t=1790000000000;by=spotward", expect!["refused: t"]);
}

#[test]
fn a_time_at_the_end_of_time_is_refused() {
    check("v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;t=253402207200;by=spotward", expect!["refused: t"]);
}

#[test]
fn what_was_cut_off_is_refused() {
    let whole = "v1;id=1a2b3c4d;in=i-9;out=i-1;d=12;max=12>13;az=1;t=1790000000;by=spotward";
    // Shorter owners and times would still parse: the tag is written whole or not at all, AWS does not cut.
    for end in 0..whole.find(";by=").expect("the last field") + 4 {
        assert!(whole[..end].parse::<Journal>().is_err(), "{}", &whole[..end]);
    }
}

// The tags on an instance are read as strictly: what we cannot read we do not touch.

fn tags(change: &[(&str, Option<&str>)]) -> Tags {
    let mut tags: Tags = [
        (tag::ROLE, "replica"),
        (tag::GROUP, "web"),
        (tag::VICTIM, "i-1"),
        (tag::DEADLINE, "1790001800"),
        (tag::STACK, "spotward"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    for (key, value) in change {
        match value {
            Some(value) => drop(tags.insert((*key).to_owned(), (*value).to_owned())),
            None => drop(tags.remove(*key)),
        }
    }
    tags
}

#[test]
fn our_tags_are_read() {
    let ours = Provenance::from_tags(&tags(&[])).expect("complete");
    assert_eq!((ours.group.as_str(), ours.victim.as_str(), ours.journal), ("web", "i-1", None));
}

#[test]
fn an_instance_with_a_tag_missing_is_not_ours() {
    for key in [tag::ROLE, tag::GROUP, tag::VICTIM, tag::DEADLINE, tag::STACK] {
        assert_eq!(Provenance::from_tags(&tags(&[(key, None)])), None, "{key}");
    }
}

#[test]
fn an_instance_with_an_unknown_role_is_not_ours() {
    assert_eq!(Provenance::from_tags(&tags(&[(tag::ROLE, Some("owner"))])), None);
}

#[test]
fn an_instance_with_an_impossible_deadline_is_not_ours() {
    for deadline in ["", "soon", "-1", "253402207200"] {
        assert_eq!(Provenance::from_tags(&tags(&[(tag::DEADLINE, Some(deadline))])), None, "{deadline}");
    }
}

#[test]
fn a_copy_that_cannot_be_read_is_as_good_as_none() {
    let ours = Provenance::from_tags(&tags(&[(tag::SWAP, Some("v1;nonsense"))])).expect("the rest is complete");
    assert_eq!(ours.journal, None);
}

fn journals() -> impl Strategy<Value = Journal> {
    let instance = "i-[0-9a-f]{1,17}";
    let ids = ("[0-9a-f]{8}", instance, instance, "[A-Za-z0-9._-]{1,64}");
    let numbers = (0u32..=1_000_000, proptest::option::of(0u32..1_000_000), any::<bool>());
    (ids, numbers, 1_000_000_000i64..9_000_000_000).prop_map(
        |((id, replica, victim, stack), (desired, original, suspends_az_rebalance), seconds)| Journal {
            id,
            replica: InstanceId::new(replica),
            victim: InstanceId::new(victim),
            desired,
            raised_max: original.map(|original| RaisedMax { original, raised: original + 1 }),
            suspends_az_rebalance,
            written_at: Timestamp::from_second(seconds).expect("in range"),
            stack,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(journal in journals()) {
        prop_assert_eq!(journal.to_string().parse::<Journal>(), Ok(journal));
    }

    #[test]
    fn the_text_fits_into_a_tag_value(journal in journals()) {
        prop_assert!(journal.to_string().len() <= 256);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(v1;)?([a-z]{1,3}=[-0-9a-z>;]{0,12};?){0,9}") {
        let _ = text.parse::<Journal>();
    }
}
