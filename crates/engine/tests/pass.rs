//! One pass: what is looked at, what is checked on which look, what comes of it.

mod support;

use engine::{CloudError, NoCapacity, Outcome, reconcile, survey};
use expect_test::{Expect, expect};
use planner::backoff::Trouble;
use planner::model::GroupName;
use support::{Script, run};

/// The transcript of one pass, with its outcome and whether another pass soon is worth it.
fn check(script: Script, expected: Expect) {
    let pass = run(reconcile(&script, &script.config(), &GroupName::new("web"))).expect("looks never fail here");
    let mut outcome = format!("=> {}", pass.outcome.name());
    match &pass.outcome {
        Outcome::Refused(refusal) => outcome.push_str(&format!(" ({refusal})")),
        Outcome::Failed(error) => outcome.push_str(&format!(" ({error})")),
        Outcome::Quiet | Outcome::Waiting | Outcome::Acted | Outcome::Gone => {}
    }
    outcome.push_str(if pass.outcome.goes_on() { ", goes on" } else { ", stops" });
    expected.assert_eq(&script.transcript(&outcome));
}

const IDLE: &str = "group web
                      i-1  spot  finished";
const FIT: &str = "group web
                     i-1  on-demand  not-looked-closer";
const ARMED: &str = "group web
                       i-1  on-demand
                       i-9  spot  unattached  replaces i-1
                       journal  i-9 for i-1  desired 1";
const ATTACHED: &str = "group web
                          i-1  on-demand
                          i-9  spot  replaces i-1
                          journal  i-9 for i-1  desired 1";

#[test]
fn a_quiet_group_costs_one_look() {
    check(
        Script::of(&[IDLE]),
        expect![[r#"
        look at web
        => quiet, stops
    "#]],
    );
}

#[test]
fn a_group_that_does_not_exist_is_gone() {
    check(
        Script::of(&[]),
        expect![[r#"
        look at web
        => gone, stops
    "#]],
    );
}

#[test]
fn details_market_and_the_closer_look_are_asked_for_when_they_are_needed() {
    let bulk = "group web  bulk
                  i-1  on-demand  not-looked-closer";
    check(
        Script::of(&[bulk, FIT]),
        expect![[r#"
        look at web
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        launch on web
        => acted, goes on
    "#]],
    );
}

#[test]
fn a_group_whose_details_are_never_to_be_had_is_not_asked_for_ever() {
    let bulk = "group web  bulk
                  i-1  on-demand";
    check(
        Script::of(&[bulk]),
        expect![[r#"
        look at web
        look at web
        look at web
        look at web
        look at web
        look at web
        => waiting, goes on
    "#]],
    );
}

#[test]
fn a_protected_victim_makes_way_for_the_next() {
    let two = "group web
                 i-1  on-demand  not-looked-closer
                 i-2  on-demand  not-looked-closer";
    check(
        Script::of(&[two]).protecting(&["i-1"]),
        expect![[r#"
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        look at web, closer at i-2
        launch on web
        => acted, goes on
    "#]],
    );
}

#[test]
fn when_all_are_protected_the_group_is_quiet() {
    let three = "group web
                   i-1  on-demand  not-looked-closer
                   i-2  on-demand  not-looked-closer
                   i-3  on-demand  not-looked-closer";
    check(
        Script::of(&[three]).protecting(&["i-1", "i-2", "i-3"]),
        expect![[r#"
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        look at web, closer at i-2
        look at web, closer at i-3
        => quiet, stops
    "#]],
    );
}

#[test]
fn a_launch_is_checked_on_the_look_that_it_was_decided_on() {
    check(
        Script::of(&[FIT]),
        expect![[r#"
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        launch on web
        => acted, goes on
    "#]],
    );
}

#[test]
fn an_attach_is_checked_on_a_fresh_look() {
    check(
        Script::of(&[ARMED]),
        expect![[r#"
        look at web
        look at web
        attach on web
        => acted, goes on
    "#]],
    );
}

#[test]
fn a_termination_is_checked_on_a_fresh_look() {
    check(
        Script::of(&[ATTACHED]),
        expect![[r#"
        look at web
        look at web
        terminate on web
        => acted, goes on
    "#]],
    );
}

#[test]
fn what_changed_between_the_two_looks_is_refused() {
    let scaled_out = "group web  desired 3
                        i-1  on-demand
                        i-2  on-demand  Pending
                        i-9  spot  replaces i-1
                        journal  i-9 for i-1  desired 1";
    check(
        Script::of(&[ATTACHED, scaled_out]),
        expect![[r#"
            look at web
            look at web
            finish on web
            => acted, goes on
        "#]],
    );
}

#[test]
fn a_group_that_vanishes_between_the_two_looks_is_gone() {
    let other = "group other
                   i-1  on-demand";
    check(
        Script::of(&[ATTACHED, other]),
        expect![[r#"
        look at web
        look at web
        => gone, stops
    "#]],
    );
}

#[test]
fn suspending_rebalancing_is_checked_on_a_fresh_look() {
    let zones = "group web
                   i-1  on-demand
                   i-2  on-demand  zone b
                   i-9  spot  unattached  replaces i-1
                   journal  i-9 for i-1  desired 2  az  age 20s";
    check(
        Script::of(&[zones]),
        expect![[r#"
            look at web
            look at web
            prepare on web
            => acted, goes on
        "#]],
    );
}

#[test]
fn so_is_raising_maxsize() {
    let full = "group web  max 1
                  i-1  on-demand
                  i-9  spot  unattached  replaces i-1
                  journal  i-9 for i-1  desired 1  max 1>2  age 20s";
    check(
        Script::of(&[full]),
        expect![[r#"
        look at web
        look at web
        prepare on web
        => acted, goes on
    "#]],
    );
}

#[test]
fn so_is_lowering_it_again() {
    let raised = "group web  max 2
                    i-9  spot  replaces i-1
                    journal  i-9 for i-1  desired 1  max 1>2";
    check(
        Script::of(&[raised]),
        expect![[r#"
        look at web
        look at web
        restore on web
        => acted, goes on
    "#]],
    );
}

#[test]
fn so_is_discarding_a_replica() {
    let stray = "group web
                   i-1  on-demand
                   i-9  spot  unattached  replaces i-1  deadline -1h";
    check(
        Script::of(&[stray]),
        expect![[r#"
        look at web
        look at web
        discard on web
        => acted, goes on
    "#]],
    );
}

#[test]
fn so_is_ending_a_doomed_victim() {
    let doomed = "group web
                    i-9  spot  finished  replaces i-1
                    i-1  on-demand  unattached  doomed";
    check(
        Script::of(&[doomed]),
        expect![[r#"
        look at web
        look at web
        end-doomed on web
        => acted, goes on
    "#]],
    );
}

#[test]
fn a_waiting_swap_goes_on_without_an_action() {
    let booting = "group web
                     i-1  on-demand
                     i-9  spot  unattached  pending  replaces i-1";
    check(
        Script::of(&[booting]),
        expect![[r#"
        look at web
        => waiting, goes on
    "#]],
    );
}

#[test]
fn a_blocked_group_is_quiet() {
    let blocked = "group web  mixed
                     i-1  on-demand";
    check(
        Script::of(&[blocked]),
        expect![[r#"
        look at web
        => quiet, stops
    "#]],
    );
}

// What AWS answers decides whether another pass soon is worth it.

#[test]
fn after_throttling_another_pass_is_worth_it() {
    check(
        Script::of(&[FIT]).answering(CloudError::Throttled("rate exceeded".to_owned())),
        expect![[r#"
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        launch on web
        => failed (throttled or temporarily failing: rate exceeded), goes on
    "#]],
    );
}

#[test]
fn after_a_conflict_another_pass_is_worth_it() {
    check(
        Script::of(&[FIT]).answering(CloudError::Conflict("pending update".to_owned())),
        expect![[r#"
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        launch on web
        => failed (conflict: pending update), goes on
    "#]],
    );
}

#[test]
fn when_something_is_gone_another_look_is_worth_it() {
    check(
        Script::of(&[ATTACHED]).answering(CloudError::NotFound("i-1".to_owned())),
        expect![[r#"
        look at web
        look at web
        terminate on web
        => failed (not found: i-1), goes on
    "#]],
    );
}

#[test]
fn without_capacity_the_pass_stops() {
    let error = CloudError::InsufficientCapacity("m5.large in us-east-1a".to_owned().into());
    check(
        Script::of(&[FIT]).answering(error),
        expect![[r#"
            look at web
            market of Linux/UNIX
            look at web, closer at i-1
            launch on web
            note "v1;t=29922485;us-east-1a=m5.large+35*1" on web
            => failed (no capacity: m5.large in us-east-1a), stops
        "#]],
    );
}

const TWO_POOLS: &str = "group web
                           market  m5.large 0.10 spot 0.04  m6i.large 0.10 spot 0.05
                           i-1  on-demand  not-looked-closer";

#[test]
fn a_failure_in_no_pool_that_was_asked_for_is_not_written_down() {
    let error = CloudError::InsufficientCapacity(NoCapacity {
        text: "c5.large: InsufficientInstanceCapacity".to_owned(),
        pools: vec![("c5.large".into(), Trouble::NoCapacity)],
    });
    check(
        Script::of(&[TWO_POOLS]).answering(error),
        expect![[r#"
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        launch on web
        => failed (no capacity: c5.large: InsufficientInstanceCapacity), stops
    "#]],
    );
}

#[test]
fn only_the_pools_that_failed_cool_down() {
    let error = CloudError::InsufficientCapacity(NoCapacity {
        text: "m6i.large: InsufficientInstanceCapacity".to_owned(),
        pools: vec![("m6i.large".into(), Trouble::NoCapacity)],
    });
    check(
        Script::of(&[TWO_POOLS]).answering(error),
        expect![[r#"
            look at web
            market of Linux/UNIX
            look at web, closer at i-1
            launch on web
            note "v1;t=29922485;us-east-1a=m6i.large+34*1" on web
            => failed (no capacity: m6i.large: InsufficientInstanceCapacity), stops
        "#]],
    );
}

#[test]
fn a_type_that_ec2_does_not_support_there_cools_for_a_day() {
    let error = CloudError::InsufficientCapacity(NoCapacity {
        text: "m6i.large: Unsupported".to_owned(),
        pools: vec![("m6i.large".into(), Trouble::Unsupported)],
    });
    check(
        Script::of(&[TWO_POOLS]).answering(error),
        expect![[r#"
            look at web
            market of Linux/UNIX
            look at web, closer at i-1
            launch on web
            note "v1;t=29922485;us-east-1a=m6i.large+1779*1" on web
            => failed (no capacity: m6i.large: Unsupported), stops
        "#]],
    );
}

#[test]
fn at_an_account_limit_the_pass_stops() {
    check(
        Script::of(&[FIT]).answering(CloudError::Limit("spot vCPUs".to_owned())),
        expect![[r#"
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        launch on web
        => failed (account limit reached: spot vCPUs), stops
    "#]],
    );
}

#[test]
fn without_permission_the_pass_stops() {
    check(
        Script::of(&[FIT]).answering(CloudError::Denied("ec2:CreateFleet".to_owned())),
        expect![[r#"
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        launch on web
        => failed (not permitted: ec2:CreateFleet), stops
    "#]],
    );
}

#[test]
fn a_request_that_aws_does_not_like_stops_the_pass() {
    check(
        Script::of(&[FIT]).answering(CloudError::Rejected("no such image".to_owned())),
        expect![[r#"
        look at web
        market of Linux/UNIX
        look at web, closer at i-1
        launch on web
        => failed (refused: no such image), stops
    "#]],
    );
}

// The bulk look.

#[test]
fn a_survey_tells_which_groups_have_something_to_do() {
    let script = Script::of(&[
        "group quiet  bulk
           i-1  spot  finished",
        "group fit  bulk
           i-1  on-demand",
        "group off  bulk  not-enabled
           i-1  on-demand",
        "group busy  bulk
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
    ]);
    tells(
        script,
        expect![[r#"
            look at all groups
            busy: something to do
            quiet: quiet
            fit: something to do
            off: quiet
        "#]],
    );
}

fn tells(script: Script, expected: Expect) {
    let looks = run(survey(&script, &script.config())).expect("looks never fail here");
    let lines: Vec<String> = looks
        .iter()
        .map(|look| {
            let quiet = if look.plan.is_quiet() { "quiet" } else { "something to do" };
            format!("{}: {quiet}", look.observation.group.name)
        })
        .collect();
    expected.assert_eq(&script.transcript(&lines.join("\n")));
}

#[test]
fn what_has_been_quiet_for_longest_comes_first() {
    let script = Script::of(&[
        "group young  bulk
           i-1  on-demand  age 2h",
        "group old  bulk
           i-1  on-demand  age 3d",
        "group changed-lately  bulk
           i-1  on-demand  age 9d
           i-2  on-demand  age 1h",
    ]);
    tells(
        script,
        expect![[r#"
            look at all groups
            old: something to do
            young: something to do
            changed-lately: something to do
        "#]],
    );
}

/// Nothing is cheap enough for the first, the second has a cheap pool; for the third nothing is, and it has a swap in
/// flight.
const DEAR: [&str; 3] = [
    "group dear  bulk
       market  m5.large 0.10 spot 0.095  m6i.large 0.11 spot 0.04
       set  allowed-types=m5.*
       i-1  on-demand  type m5.large",
    "group cheap  bulk
       i-1  on-demand  type m5.large",
    "group busy  bulk
       set  allowed-types=m5.*
       i-1  on-demand  type m5.large
       i-9  spot  replaces i-1
       journal  i-9 for i-1  desired 1",
];

#[test]
fn with_prices_at_hand_a_group_for_which_nothing_is_cheap_is_not_looked_at_any_closer() {
    tells(
        Script::of(&DEAR).with_the_market_at_hand(),
        expect![[r#"
        look at all groups
        busy: something to do
        dear: quiet
        cheap: something to do
    "#]],
    );
}

#[test]
fn without_prices_at_hand_it_is() {
    tells(
        Script::of(&DEAR),
        expect![[r#"
        look at all groups
        busy: something to do
        dear: something to do
        cheap: something to do
    "#]],
    );
}

#[test]
fn what_the_guard_has_seen_is_said_at_once_before_it_can_be_undone() {
    let shrunk = "group web  desired 1
                    i-1  on-demand
                    i-9  spot  replaces i-1
                    journal  i-9 for i-1  desired 1";
    check(
        Script::of(&[ATTACHED, shrunk]),
        expect![[r#"
            look at web
            look at web
            finish on web
            => acted, goes on
        "#]],
    );
}

#[test]
fn a_swap_that_is_elsewhere_by_now_is_left_to_the_next_pass() {
    let never_attached = "group web  desired 1
                            i-1  on-demand
                            i-9  spot  unattached  terminated  replaces i-1
                            journal  i-9 for i-1  desired 1  age 5m";
    let gone_after_all = "group web  desired 2
                            i-1  on-demand
                            i-9  spot  Terminating  replaces i-1
                            journal  i-9 for i-1  desired 1  age 5m";
    check(
        Script::of(&[never_attached, gone_after_all]),
        expect![[r#"
            look at web
            look at web
            => refused (finish: the swap is undoing by now, not settling), goes on
        "#]],
    );
}

#[test]
fn a_replica_that_the_second_look_does_not_find_is_there_all_the_same() {
    let found = "group web  bulk
                   i-1  on-demand
                   i-9  spot  unattached  replaces i-1  age 50s";
    let hidden = "group web
                    i-1  on-demand";
    check(
        Script::of(&[found, hidden]),
        expect![[r#"
        look at web
        look at web
        arm on web
        => acted, goes on
    "#]],
    );
}
