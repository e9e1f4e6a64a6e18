//! `ready` from a watcher: about whom it counts, and what comes of it.

mod support;

use engine::watcher::record_ready;
use engine::{CloudError, Outcome};
use expect_test::{Expect, expect};
use planner::model::InstanceId;
use support::{Script, run};

/// The transcript of a `ready` about `instance`.
fn check(instance: &str, script: Script, expected: Expect) {
    let pass = run(record_ready(&script, &script.config(), &InstanceId::new(instance))).expect("looks never fail here");
    let outcome = match pass {
        None => "=> nothing of ours".to_owned(),
        Some(pass) => match &pass.outcome {
            Outcome::Refused(refusal) => format!("=> refused ({refusal})"),
            Outcome::Failed(error) => format!("=> failed ({error})"),
            Outcome::Quiet | Outcome::Waiting | Outcome::Acted | Outcome::Gone => format!("=> {}", pass.outcome.name()),
        },
    };
    expected.assert_eq(&script.transcript(&outcome));
}

const WARMING: &str = "group web
                         i-1  on-demand
                         i-9  spot  unattached  replaces i-1
                         set  readiness=watcher";

#[test]
fn our_running_replica_is_marked() {
    check(
        "i-9",
        Script::of(&[WARMING]),
        expect![[r#"
        look at the group of i-9
        record-ready on web
        => acted
    "#]],
    );
}

#[test]
fn a_second_time_costs_one_look() {
    let marked = "group web
                    i-1  on-demand
                    i-9  spot  unattached  replaces i-1  ready";
    check(
        "i-9",
        Script::of(&[marked]),
        expect![[r#"
        look at the group of i-9
        => quiet
    "#]],
    );
}

#[test]
fn the_victim_cannot_become_ready() {
    check(
        "i-1",
        Script::of(&[WARMING]),
        expect![[r#"
        look at the group of i-1
        => nothing of ours
    "#]],
    );
}

#[test]
fn a_replica_that_is_a_member_already_cannot() {
    let attached = "group web
                      i-1  on-demand
                      i-9  spot  replaces i-1
                      journal  i-9 for i-1  desired 1";
    check(
        "i-9",
        Script::of(&[attached]),
        expect![[r#"
        look at the group of i-9
        => nothing of ours
    "#]],
    );
}

#[test]
fn a_finished_replica_that_its_owner_detached_cannot() {
    let finished = "group web
                      i-1  on-demand
                      i-9  spot  unattached  finished";
    check(
        "i-9",
        Script::of(&[finished]),
        expect![[r#"
        look at the group of i-9
        => nothing of ours
    "#]],
    );
}

#[test]
fn a_doomed_victim_cannot() {
    let doomed = "group web
                    i-1  on-demand
                    i-9  on-demand  unattached  doomed";
    check(
        "i-9",
        Script::of(&[doomed]),
        expect![[r#"
        look at the group of i-9
        => nothing of ours
    "#]],
    );
}

#[test]
fn another_deployments_replica_cannot() {
    let foreign = "group web
                     i-1  on-demand
                     i-9  spot  unattached  replaces i-1  by other";
    check(
        "i-9",
        Script::of(&[foreign]),
        expect![[r#"
        look at the group of i-9
        => nothing of ours
    "#]],
    );
}

#[test]
fn an_instance_that_nobody_knows_cannot() {
    check(
        "i-7",
        Script::of(&[]),
        expect![[r#"
        look at the group of i-7
        => nothing of ours
    "#]],
    );
}

#[test]
fn one_that_is_not_running_yet_has_to_say_it_again() {
    let booting = "group web
                     i-1  on-demand
                     i-9  spot  unattached  pending  replaces i-1";
    check(
        "i-9",
        Script::of(&[booting]),
        expect![[r#"
        look at the group of i-9
        => waiting
    "#]],
    );
}

#[test]
fn one_that_the_search_by_tag_does_not_show_yet_has_to_say_it_again() {
    check(
        "i-8",
        Script::of(&[WARMING]),
        expect![[r#"
        look at the group of i-8
        => waiting
    "#]],
    );
}

#[test]
fn one_that_ends_cannot() {
    let ending = "group web
                    i-1  on-demand
                    i-9  spot  unattached  shutting-down  replaces i-1";
    check(
        "i-9",
        Script::of(&[ending]),
        expect![[r#"
        look at the group of i-9
        => nothing of ours
    "#]],
    );
}

#[test]
fn one_whose_end_is_announced_is_not_marked() {
    let dying = "group web
                   i-1  on-demand
                   i-9  spot  unattached  replaces i-1  interrupted";
    check(
        "i-9",
        Script::of(&[dying]),
        expect![[r#"
        look at the group of i-9
        => refused (record-ready: i-9 is not running well)
    "#]],
    );
}

#[test]
fn a_group_that_is_not_enabled_any_more_is_left_alone() {
    let disabled = "group web  not-enabled
                      i-1  on-demand
                      i-9  spot  unattached  replaces i-1";
    check(
        "i-9",
        Script::of(&[disabled]),
        expect![[r#"
        look at the group of i-9
        => refused (record-ready: the group is not enabled)
    "#]],
    );
}

#[test]
fn a_refused_tag_is_reported() {
    let script = Script::of(&[WARMING]).answering(CloudError::Throttled("RequestLimitExceeded".to_owned()));
    check(
        "i-9",
        script,
        expect![[r#"
        look at the group of i-9
        record-ready on web
        => failed (throttled or temporarily failing: RequestLimitExceeded)
    "#]],
    );
}
