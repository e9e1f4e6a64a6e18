//! The circuit breaker of pools: cools, probes, holds, and remembers all of it in one tag.

#[path = "market_support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use expect_test::expect;
use jiff::{SignedDuration, Timestamp};
use planner::backoff::{Backoff, Circuit, Trouble};
use planner::choose::{NoPool, Pool, Pools};
use planner::model::{InstanceType, PurchaseOption, RunState, Zone};
use proptest::prelude::*;
use support::group::{group, member, minute, replica};

const ARN: &str = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/web";

fn key(pool: &str) -> (Zone, InstanceType) {
    let (instance_type, zone) = pool.split_once('/').expect("type/zone");
    (zone.into(), instance_type.into())
}

fn after(backoff: &Backoff, pool: &str, trouble: Trouble, now: Timestamp) -> Backoff {
    let (zone, instance_type) = key(pool);
    backoff.after(&zone, &instance_type, trouble, ARN, now)
}

fn circuit(backoff: &Backoff, pool: &str, now: Timestamp) -> Circuit {
    let (zone, instance_type) = key(pool);
    backoff.circuit(&zone, &instance_type, now)
}

/// When an open pool may be tried again, in minutes from `from`.
fn minutes_open(backoff: &Backoff, pool: &str, from: Timestamp) -> i64 {
    match circuit(backoff, pool, from) {
        Circuit::Open { until } => (until.as_second() - from.as_second()) / 60,
        other => panic!("{pool} is {other:?}"),
    }
}

fn pools(names: &[&str]) -> Pools {
    let pool = |name: &&str| {
        let (zone, instance_type) = key(name);
        Pool { instance_type, zone, price: support::price("0.01"), max_price: None, risk: None }
    };
    Pools::new(names.iter().map(pool).collect()).expect("some")
}

fn admitted(backoff: &Backoff, names: &[&str], now: Timestamp) -> Vec<String> {
    match backoff.admit(&pools(names), now) {
        Ok(pools) => pools.iter().map(|pool| format!("{}/{}", pool.instance_type, pool.zone)).collect(),
        Err(_) => Vec::new(),
    }
}

#[test]
fn a_pool_that_failed_cools_for_half_an_hour_and_a_little() {
    let backoff = after(&Backoff::default(), "m5.large/a", Trouble::NoCapacity, minute(0));
    let open = minutes_open(&backoff, "m5.large/a", minute(0));
    assert!((30..=37).contains(&open), "{open}");
    assert!(matches!(circuit(&backoff, "m5.large/a", minute(open - 1)), Circuit::Open { .. }));
    assert_eq!(circuit(&backoff, "m5.large/a", minute(open)), Circuit::HalfOpen);
    assert_eq!(circuit(&backoff, "m5.large/b", minute(0)), Circuit::Closed, "another zone is another pool");
    assert_eq!(circuit(&backoff, "c5.large/a", minute(0)), Circuit::Closed);
}

#[test]
fn it_cools_twice_as_long_after_every_failure_up_to_eight_hours() {
    let mut backoff = Backoff::default();
    let mut now = minute(0);
    let mut lengths = Vec::new();
    for _ in 0..8 {
        backoff = after(&backoff, "m5.large/a", Trouble::NoCapacity, now);
        let open = minutes_open(&backoff, "m5.large/a", now);
        lengths.push(open);
        now += SignedDuration::from_mins(open);
    }
    for (length, base) in lengths.iter().zip([30, 60, 120, 240, 480, 480, 480, 480]) {
        assert!((base..=base + base / 4).contains(length), "{lengths:?}");
    }
}

#[test]
fn the_same_trouble_seen_again_counts_once() {
    let once = after(&Backoff::default(), "m5.large/a", Trouble::Interrupted, minute(0));
    let again = after(&once, "m5.large/a", Trouble::Interrupted, minute(29));
    assert_eq!(once, again);
}

#[test]
fn a_loss_while_it_cools_is_remembered_as_one() {
    let dry = after(&Backoff::default(), "m5.large/a", Trouble::NoCapacity, minute(0));
    let lost = after(&dry, "m5.large/a", Trouble::Interrupted, minute(1));
    assert_eq!(minutes_open(&dry, "m5.large/a", minute(1)), minutes_open(&lost, "m5.large/a", minute(1)));
    assert_ne!(dry, lost);
}

#[test]
fn a_launch_closes_a_half_open_pool_and_no_other() {
    let backoff = after(&Backoff::default(), "m5.large/a", Trouble::NoCapacity, minute(0));
    let (zone, instance_type) = key("m5.large/a");
    let too_soon = backoff.after_success(&zone, &instance_type, minute(5));
    assert!(matches!(circuit(&too_soon, "m5.large/a", minute(5)), Circuit::Open { .. }));
    let proved = backoff.after_success(&zone, &instance_type, minute(40));
    assert_eq!(circuit(&proved, "m5.large/a", minute(40)), Circuit::Closed);
    assert!(proved.is_empty(minute(40)));
}

#[test]
fn a_failed_probe_opens_the_pool_for_longer() {
    let backoff = after(&Backoff::default(), "m5.large/a", Trouble::NoCapacity, minute(0));
    let probed = after(&backoff, "m5.large/a", Trouble::NoCapacity, minute(40));
    assert!(minutes_open(&probed, "m5.large/a", minute(40)) >= 60);
}

#[test]
fn a_pool_that_did_not_fail_again_for_as_long_as_it_cooled_starts_anew() {
    let backoff = after(&Backoff::default(), "m5.large/a", Trouble::NoCapacity, minute(0));
    let open = minutes_open(&backoff, "m5.large/a", minute(0));
    assert_eq!(circuit(&backoff, "m5.large/a", minute(open + 29)), Circuit::HalfOpen);
    assert_eq!(circuit(&backoff, "m5.large/a", minute(open + 30)), Circuit::Closed);
    assert_eq!(backoff.to_tag(minute(open + 30)), None);
    let anew = after(&backoff, "m5.large/a", Trouble::NoCapacity, minute(open + 30));
    assert!(minutes_open(&anew, "m5.large/a", minute(open + 30)) < 60);
}

#[test]
fn an_unsupported_type_cools_for_a_day() {
    let backoff = after(&Backoff::default(), "m5.large/a", Trouble::Unsupported, minute(0));
    assert!((1440..=1800).contains(&minutes_open(&backoff, "m5.large/a", minute(0))));
}

#[test]
fn groups_do_not_come_back_in_the_same_minute() {
    let (zone, instance_type) = key("m5.large/a");
    let ends: std::collections::BTreeSet<i64> = (0..200)
        .map(|group| {
            let arn = format!("{ARN}-{group}");
            let backoff = Backoff::default().after(&zone, &instance_type, Trouble::NoCapacity, &arn, minute(0));
            minutes_open(&backoff, "m5.large/a", minute(0))
        })
        .collect();
    assert_eq!(ends, (30..=37).collect());
}

#[test]
fn open_pools_are_not_asked_for_and_one_half_open_is_tried_beside_the_others() {
    let names = ["a5.large/a", "b5.large/a", "c5.large/a", "d5.large/a"];
    let mut backoff = after(&Backoff::default(), "b5.large/a", Trouble::NoCapacity, minute(10));
    backoff = after(&backoff, "a5.large/a", Trouble::NoCapacity, minute(0));
    assert_eq!(admitted(&backoff, &names, minute(20)), ["c5.large/a", "d5.large/a"]);
    // Both are half open then; the one that has cooled for longest is the probe.
    assert_eq!(admitted(&backoff, &names, minute(50)), ["a5.large/a", "c5.large/a", "d5.large/a"]);
}

#[test]
fn when_all_are_open_it_says_when_the_first_may_be_tried() {
    let mut backoff = after(&Backoff::default(), "a5.large/a", Trouble::NoCapacity, minute(0));
    backoff = after(&backoff, "b5.large/a", Trouble::NoCapacity, minute(25));
    let until = minute(minutes_open(&backoff, "a5.large/a", minute(0)));
    let refused = backoff.admit(&pools(&["a5.large/a", "b5.large/a"]), minute(26)).expect_err("both cool");
    assert_eq!(refused, NoPool::Cooling { until, pools: 2 });
    assert!(backoff.admit(&pools(&["a5.large/a", "b5.large/a"]), until).is_ok());
}

#[test]
fn a_group_that_lost_three_pools_holds_its_on_demand_members_until_one_has_cooled() {
    let mut backoff = Backoff::default();
    for (pool, at) in [("a5.large/a", 0), ("b5.large/a", 5)] {
        backoff = after(&backoff, pool, Trouble::Interrupted, minute(at));
    }
    assert_eq!(backoff.holds_until(minute(6)), None);
    // A pool without capacity has taken nothing away.
    let dry = after(&backoff, "c5.large/a", Trouble::NoCapacity, minute(6));
    assert_eq!(dry.holds_until(minute(6)), None);
    let lost = after(&backoff, "c5.large/a", Trouble::Interrupted, minute(6));
    let first = minute(minutes_open(&lost, "a5.large/a", minute(0)));
    assert_eq!(lost.holds_until(minute(6)), Some(first));
    assert_eq!(lost.holds_until(first), None);
}

#[test]
fn announced_ends_are_read_off_the_group() {
    let mut group = group(4);
    group.members.push(member("i-1", "m5.large/a", PurchaseOption::Spot, minute(0)));
    group.members.push(member("i-2", "c5.large/a", PurchaseOption::Spot, minute(0)));
    group.members.push(member("i-3", "r5.large/a", PurchaseOption::OnDemand, minute(0)));
    group.replicas.push(replica("i-8", "t3.large/b", minute(0)));
    group.replicas.push(replica("i-9", "t2.large/b", minute(0)));
    for at in [0, 2] {
        group.members[at].ec2.as_mut().expect("seen").interrupted = true;
    }
    for replica in &mut group.replicas {
        replica.interrupted = true;
    }
    // It has been gone for a while, and EC2 still shows it.
    group.replicas[1].state = RunState::Terminated;
    let backoff = Backoff::of(&group).after_look(&group, minute(1));
    let open = |pool| matches!(circuit(&backoff, pool, minute(1)), Circuit::Open { .. });
    assert!(open("m5.large/a") && open("t3.large/b"));
    assert!(!open("c5.large/a") && !open("r5.large/a") && !open("t2.large/b"));
}

#[test]
fn a_member_proves_its_pool_only_if_it_was_launched_after_the_pool_had_cooled() {
    let failed = after(&Backoff::default(), "m5.large/a", Trouble::NoCapacity, minute(0));
    let open = minutes_open(&failed, "m5.large/a", minute(0));
    let looked = |launched_at: i64| {
        let mut group = group(1);
        group.members.push(member("i-1", "m5.large/a", PurchaseOption::Spot, minute(launched_at)));
        circuit(&failed.after_look(&group, minute(open + 5)), "m5.large/a", minute(open + 5))
    };
    assert_eq!(looked(-60), Circuit::HalfOpen, "it was there before the failure, which it says nothing about");
    assert_eq!(looked(open - 1), Circuit::HalfOpen);
    assert_eq!(looked(open), Circuit::Closed);
}

#[test]
fn what_is_remembered_is_counted_listed_and_forgotten() {
    let both = after(&Backoff::default(), "m5.large/a", Trouble::NoCapacity, minute(-35));
    let both = after(&both, "c5.large/b", Trouble::Interrupted, minute(0));
    let both = after(&both, "r5.large/b", Trouble::NoCapacity, minute(0));
    let (late, long_after) = (minute(10), minute(24 * 60));
    let listed = |now| -> Vec<String> {
        let pool = |pool: planner::backoff::Remembered<'_>| {
            let state = if pool.cools { "cools" } else { "is tried" };
            let lost = if pool.lost { ", lost" } else { "" };
            format!("{}/{} {state} {}{lost}", pool.instance_type, pool.zone, pool.times)
        };
        both.pools(now).map(pool).collect()
    };
    assert_eq!(listed(late), ["m5.large/a is tried 1", "c5.large/b cools 1, lost", "r5.large/b cools 1"]);
    assert_eq!((both.cooling(late), both.is_empty(late)), (2, false));
    assert_eq!(listed(long_after), Vec::<String>::new());
    assert_eq!((both.cooling(long_after), both.is_empty(long_after)), (0, true));
}

#[test]
fn worse_is_what_cools_longer_or_is_new() {
    let once = after(&Backoff::default(), "m5.large/a", Trouble::NoCapacity, minute(0));
    let twice = after(&once, "m5.large/a", Trouble::NoCapacity, minute(40));
    let two = after(&once, "c5.large/a", Trouble::NoCapacity, minute(0));
    assert!(once.is_worse_than(&Backoff::default()) && twice.is_worse_than(&once) && two.is_worse_than(&once));
    assert!(!once.is_worse_than(&once) && !once.is_worse_than(&twice) && !Backoff::default().is_worse_than(&once));
}

#[test]
fn the_tag_is_for_people_too() {
    let mut backoff = after(&Backoff::default(), "m5.large/us-east-1a", Trouble::NoCapacity, minute(-40));
    backoff = after(&backoff, "m5.large/us-east-1a", Trouble::NoCapacity, minute(0));
    backoff = after(&backoff, "c7i-flex.large/us-east-1a", Trouble::Interrupted, minute(0));
    backoff = after(&backoff, "u-6tb1.metal/us-east-1b", Trouble::NoCapacity, minute(-35));
    expect!["v1;t=29893680;us-east-1a=c7i-flex.large+36*1!,m5.large+62*2;us-east-1b=u-6tb1.metal-4*1"]
        .assert_eq(&backoff.to_tag(minute(0)).expect("something to remember"));
    expect!["c7i-flex.large in us-east-1a until 2026-11-02T12:36:00Z (lost, 1 in a row), m5.large in us-east-1a until 2026-11-02T13:02:00Z (no capacity, 2 in a row), u-6tb1.metal in us-east-1b until 2026-11-02T11:56:00Z (no capacity, 1 in a row)"]
        .assert_eq(&backoff.to_string());
}

#[test]
fn what_does_not_fit_into_the_tag_is_what_has_cooled_most() {
    let mut backoff = Backoff::default();
    for n in 0..40 {
        backoff = after(&backoff, &format!("m{n}i.24xlarge/us-east-1a"), Trouble::NoCapacity, minute(n / 2));
    }
    let text = backoff.to_tag(minute(20)).expect("something to remember");
    assert!(text.len() <= 256 && text.len() > 200, "{}", text.len());
    let kept: Backoff = text.parse().expect("our own text");
    let open = |backoff: &Backoff, n: i64| match circuit(backoff, &format!("m{n}i.24xlarge/us-east-1a"), minute(20)) {
        Circuit::Open { until } => Some(until),
        Circuit::HalfOpen | Circuit::Closed => None,
    };
    let (kept, lost): (Vec<i64>, Vec<i64>) = (0..40).partition(|n| open(&kept, *n).is_some());
    let first_kept = kept.iter().filter_map(|n| open(&backoff, *n)).min().expect("some");
    let last_lost = lost.iter().filter_map(|n| open(&backoff, *n)).max().expect("some");
    assert!(last_lost <= first_kept, "{last_lost} {first_kept}");
}

#[test]
fn a_tag_of_just_256_characters_is_written_whole() {
    let tag = |last: usize| {
        let name = |number: usize, letters: usize| format!("{number}{}.large/us-east-1a", "x".repeat(letters));
        let names: Vec<String> = (0..9).map(|number| name(number, 10)).chain([name(9, last)]).collect();
        let all = names.iter().fold(Backoff::default(), |all, pool| after(&all, pool, Trouble::NoCapacity, minute(0)));
        all.to_tag(minute(0)).expect("something to remember")
    };
    // One letter more is one character more, until the last pool does not fit any more.
    let lengths: Vec<usize> = (1..60).map(|letters| tag(letters).len()).collect();
    assert_eq!(lengths.iter().max(), Some(&256), "{lengths:?}");
}

#[test]
fn a_tag_that_cannot_be_read_says_nothing() {
    for text in [
        "",
        "v2;t=1",
        "v1",
        "v1;t=x",
        "v1;t=1;a",
        "v1;t=1;a=m5.large",
        "v1;t=1;a=m5.large+3",
        "v1;t=1;a=m5.large*1",
        "v1;t=1;a=m5.large+3*0",
        "v1;t=1;a=m5.large+3*x",
        "v1;t=9223372036854775807;a=m5.large+3*1",
    ] {
        assert!(text.parse::<Backoff>().is_err(), "{text:?}");
        let mut group = group(1);
        group.tags.insert("spotward:backoff".to_owned(), text.to_owned());
        assert_eq!(Backoff::of(&group), Backoff::default());
    }
    assert_eq!(Backoff::of(&group(1)), Backoff::default());
}

#[test]
fn a_tag_from_the_far_future_stops_nobody() {
    let now_minutes = minute(0).as_second() / 60;
    for (from_now, text) in [
        (2000, format!("v1;t={};a=m5.large+30*1!", now_minutes + 2000)),
        (999_999, format!("v1;t={now_minutes};a=m5.large+999999*1")),
    ] {
        let backoff: Backoff = text.parse().expect("well formed");
        assert_eq!(circuit(&backoff, "m5.large/a", minute(0)), Circuit::Closed, "{from_now}");
        assert_eq!(admitted(&backoff, &["m5.large/a"], minute(0)), ["m5.large/a"]);
        assert_eq!(backoff.holds_until(minute(0)), None);
    }
}

#[test]
fn the_longest_time_that_is_believed_is_a_day_and_a_quarter() {
    let now_minutes = minute(0).as_second() / 60;
    let remembered = |minutes: i64| {
        let backoff: Backoff = format!("v1;t={now_minutes};a=m5.large+{minutes}*1").parse().expect("well formed");
        backoff.pools(minute(0)).count()
    };
    assert_eq!((remembered(30 * 60), remembered(30 * 60 + 1)), (1, 0));
}

// Against an adversary.

/// A market that takes every instance back a minute after its launch, in whatever pool, and a group that asks again
/// every minute. The only brake is the memory, and the memory is only what the tag holds.
fn launches_against_an_adversary(names: &[String], hours: i64) -> Vec<(i64, String)> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut tag: Option<String> = None;
    let mut launches = Vec::new();
    for now in 0..hours * 60 {
        let memory: Backoff = tag.as_deref().map_or_else(Backoff::default, |text| text.parse().expect("our own"));
        if memory.holds_until(minute(now)).is_some() {
            continue;
        }
        if let Some(pool) = admitted(&memory, &names, minute(now)).first() {
            launches.push((now, pool.clone()));
            tag = after(&memory, pool, Trouble::Interrupted, minute(now)).to_tag(minute(now));
        }
    }
    launches
}

fn most_in_an_hour(launches: &[(i64, String)]) -> usize {
    launches
        .iter()
        .map(|(start, _)| launches.iter().filter(|(at, _)| (*start..start + 60).contains(at)).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn launches_are_bounded_however_many_pools_die() {
    for pools in [1, 2, 3, 6, 20, 60] {
        let names: Vec<String> = (0..pools).map(|n| format!("m{n}i.large/us-east-1a")).collect();
        let launches = launches_against_an_adversary(&names, 48);
        // Three pools are lost at once; each that has cooled, after half an hour at least, is the way to one more.
        assert!(most_in_an_hour(&launches) <= 6, "{pools} pools: {launches:?}");
        assert!(launches.len() >= 5, "it never gives up for good: {launches:?}");
    }
}

#[test]
fn one_pool_that_always_dies_is_tried_less_and_less() {
    let launches = launches_against_an_adversary(&["m5.large/a".to_owned()], 48);
    let gaps: Vec<i64> = launches.windows(2).map(|two| two[1].0 - two[0].0).collect();
    assert!(gaps[0] >= 30 && gaps[1] >= 60 && gaps[2] >= 120 && gaps[3] >= 240, "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap <= 600), "{gaps:?}");
}

proptest! {
    #[test]
    fn the_tag_loses_nothing_that_fits(events in prop::collection::vec((0..6usize, 0..3usize, 0..200i64), 0..12)) {
        let mut backoff = Backoff::default();
        let mut now = 0;
        for (pool, trouble, later) in events {
            now += later;
            let trouble = [Trouble::NoCapacity, Trouble::Interrupted, Trouble::Unsupported][trouble];
            backoff = after(&backoff, &format!("m{pool}.large/us-east-1{}", ["a", "b"][pool % 2]), trouble, minute(now));
        }
        let read: Backoff = match backoff.to_tag(minute(now)) {
            Some(text) => {
                prop_assert!(text.len() <= 256);
                text.parse().expect("our own text")
            }
            None => Backoff::default(),
        };
        prop_assert_eq!(read, backoff);
    }

    #[test]
    fn no_pool_is_asked_for_more_often_than_every_half_hour_after_a_failure(
        asks in prop::collection::vec((0..4usize, any::<bool>(), 1..40i64), 1..150),
    ) {
        let mut backoff = Backoff::default();
        let mut now = 0;
        let mut failed_at: BTreeMap<usize, i64> = BTreeMap::new();
        for (pool, fails, later) in asks {
            now += later;
            let name = format!("m{pool}.large/a");
            if admitted(&backoff, &[&name], minute(now)).is_empty() {
                continue;
            }
            if let Some(before) = failed_at.get(&pool) {
                prop_assert!(now - before >= 30);
            }
            let (zone, instance_type) = key(&name);
            backoff = if fails {
                failed_at.insert(pool, now);
                after(&backoff, &name, Trouble::NoCapacity, minute(now))
            } else {
                failed_at.remove(&pool);
                backoff.after_success(&zone, &instance_type, minute(now))
            };
        }
    }

    #[test]
    fn any_text_is_read_or_refused_and_never_stops_us_for_longer_than_thirty_hours(text in "(v1;t=[0-9]{8};)?[a-c=,;*!+0-9.-]{0,40}") {
        if let Ok(backoff) = text.parse::<Backoff>() {
            let _ = backoff.to_tag(minute(0));
            for pool in ["a/a", "a/b", "b/c"] {
                if let Circuit::Open { until } = circuit(&backoff, pool, minute(0)) {
                    prop_assert!(until <= minute(30 * 60));
                }
            }
        }
    }
}

#[test]
fn after_a_failed_launch_only_the_pools_that_ec2_named_cool() {
    let asked = pools(&["m5.large/a", "m6i.large/a", "c5.large/a"]);
    let named = [("m6i.large".into(), Trouble::NoCapacity), ("c5.large".into(), Trouble::Unsupported)];
    let memory = Backoff::default().after_failed_launch(&asked, &named, ARN, minute(0));
    assert_eq!(circuit(&memory, "m5.large/a", minute(1)), Circuit::Closed);
    assert!(minutes_open(&memory, "m6i.large/a", minute(0)) < 40);
    assert!(minutes_open(&memory, "c5.large/a", minute(0)) >= 24 * 60);
}

#[test]
fn a_failed_launch_that_names_no_pool_cools_them_all() {
    let asked = pools(&["m5.large/a", "m6i.large/a"]);
    let memory = Backoff::default().after_failed_launch(&asked, &[], ARN, minute(0));
    assert!(minutes_open(&memory, "m5.large/a", minute(0)) >= 30);
    assert!(minutes_open(&memory, "m6i.large/a", minute(0)) >= 30);
}

#[test]
fn a_failed_launch_says_nothing_about_a_type_that_was_not_asked_for() {
    let named = [("c5.large".into(), Trouble::NoCapacity)];
    let memory = Backoff::default().after_failed_launch(&pools(&["m5.large/a"]), &named, ARN, minute(0));
    assert_eq!(memory, Backoff::default());
}
