//! Launch first: what is done about a member whose end is announced, and about one at risk.
//!
//! In every picture `i-5` is the spot member, `i-9` its replacement.

mod support;

use expect_test::{Expect, expect};
use planner::guard;
use planner::model::InstanceId;
use planner::rescue::{plan_notice, plan_notice_on_demand, plan_rebalance};
use support::{Picture, check, picture, plan_text};

// A notice.

#[test]
fn a_spot_replacement_that_is_gone_again_is_asked_for_another_way() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 60s
           i-9  spot  unattached  terminated  replaces i-5  notice  age 40s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      launch on-demand for i-5 in us-east-1a: m5.large $0.1000/h
        "#]],
    );
}

#[test]
fn and_an_on_demand_one_is_not_asked_for_twice() {
    check(
        "group web
           i-1  spot  finished
           i-5  spot  finished  ends-in 60s
           i-8  spot  unattached  terminated  replaces i-5  notice  age 50s
           i-9  on-demand  unattached  terminated  replaces i-5  notice  age 40s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-1 is bought as it should be
              leave   i-5 will be taken back by EC2 at 12:06:00
        "#]],
    );
}

#[test]
fn what_was_lost_for_somebody_else_or_before_the_notice_does_not_count() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 60s
           i-8  spot  unattached  terminated  replaces i-4  notice  age 40s
           i-9  on-demand  unattached  terminated  replaces i-5  age 4m
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      launch spot for i-5 in us-east-1a: m6i.large $0.0500/h
        "#]],
    );
}

#[test]
fn what_comes_in_the_last_half_minute_stands_in_for_another() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 25s
           i-9  spot  unattached  replaces i-5  notice
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              wait    the group is unfit just now: 1 of 2 members serve, or members come and go
        "#]],
    );
}

#[test]
fn whose_replacement_is_on_its_way_does_not_leave_the_native_way() {
    check(
        "group web  load-balanced
           i-1  on-demand
           i-5  spot  finished  ends-in 110s
           i-9  spot  unattached  pending  replaces i-5  notice
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              wait    i-9 is booting
        "#]],
    );
}

#[test]
fn a_dying_member_gets_its_replacement_at_once_from_another_pool() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 110s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      launch spot for i-5 in us-east-1a: m6i.large $0.0500/h
        "#]],
    );
}

#[test]
fn without_another_spot_pool_it_is_on_demand() {
    check(
        "group web
           i-5  spot  finished  ends-in 110s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11",
        expect![[r#"
            idle
              do      launch on-demand for i-5 in us-east-1a: m5.large $0.1000/h
        "#]],
    );
}

#[test]
fn pools_that_cool_are_not_asked_for() {
    check(
        "group web
           i-5  spot  finished  ends-in 110s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05
           tag spotward:backoff=v1;t=29922485;us-east-1a=m6i.large+30*1",
        expect![[r#"
            idle
              do      launch on-demand for i-5 in us-east-1a: m5.large $0.1000/h
        "#]],
    );
}

#[test]
fn in_haste_too_the_replacement_joins_only_when_its_watcher_has_said_that_it_is_ready() {
    let dying = |ready: &str| {
        format!(
            "group web
               i-5  spot  finished  ends-in 60s
               i-9  spot  unattached  replaces i-5  notice  age 40s{ready}
               set  readiness=watcher"
        )
    };
    check(
        &dying(""),
        expect![[r#"
        warming
          wait    the watcher on i-9 has not said that it is ready (it has time until 12:29:20)
    "#]],
    );
    check(
        &dying("  ready"),
        expect![[r#"
        warming
          do      arm i-9 for i-5 at desired 1
    "#]],
    );
}

#[test]
fn a_spot_member_that_we_did_not_bring_is_its_owners() {
    check(
        "group web
           i-5  spot  ends-in 110s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 is bought as it should be
        "#]],
    );
}

#[test]
fn capacity_rebalancing_sees_to_it_itself() {
    check(
        "group web  capacity-rebalance
           i-5  spot  finished  ends-in 110s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 will be taken back by EC2 at 12:06:50
        "#]],
    );
}

#[test]
fn a_protected_member_is_left_to_the_group() {
    check(
        "group web
           i-5  spot  finished  ends-in 110s  protected
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 will be taken back by EC2 at 12:06:50
        "#]],
    );
}

#[test]
fn a_group_that_is_not_enabled_gets_nothing() {
    check(
        "group web  not-enabled
           i-5  spot  finished  ends-in 110s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              blocked the group does not carry the enabling tag
        "#]],
    );
}

#[test]
fn a_group_with_launch_hooks_is_left_to_its_group() {
    check(
        "group web
           i-5  spot  finished  ends-in 110s
           hooks launch H
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 will be taken back by EC2 at 12:06:50
        "#]],
    );
}

#[test]
fn an_unstable_group_does_not_delay_it() {
    check(
        "group web  desired 4
           i-5  spot  finished  ends-in 110s
           i-6  on-demand  Pending
           activity  i-6  started 5s  running
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      launch spot for i-5 in us-east-1a: m6i.large $0.0500/h
        "#]],
    );
}

#[test]
fn thirty_one_seconds_are_enough() {
    check(
        "group web
           i-5  spot  finished  ends-in 31s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      launch spot for i-5 in us-east-1a: m6i.large $0.0500/h
        "#]],
    );
}

#[test]
fn thirty_seconds_are_not() {
    check(
        "group web
           i-5  spot  finished  ends-in 30s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 will be taken back by EC2 at 12:05:30
        "#]],
    );
}

#[test]
fn who_ends_first_comes_first() {
    check(
        "group web
           i-5  spot  finished  ends-in 110s
           i-6  spot  finished  ends-in 90s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      launch spot for i-6 in us-east-1a: m6i.large $0.0500/h
        "#]],
    );
}

#[test]
fn one_replica_for_each_dying_member() {
    check(
        "group web
           i-5  spot  finished  ends-in 110s
           i-6  spot  finished  ends-in 90s
           i-9  spot  unattached  pending  replaces i-6  notice  age 5s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              do      launch spot for i-5 in us-east-1a: m6i.large $0.0500/h
        "#]],
    );
}

#[test]
fn it_does_not_wait_for_the_swap_in_flight() {
    check(
        "group web  desired 3  max 5
           i-1  on-demand
           i-5  spot  finished  ends-in 110s
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              do      launch spot for i-5 in us-east-1a: m6i.large $0.0500/h
        "#]],
    );
}

// Its swap.

#[test]
fn the_replacement_is_attached_as_soon_as_it_runs() {
    check(
        "group web  grace 5m
           i-1  on-demand
           i-5  spot  finished  ends-in 80s
           i-9  spot  unattached  checks-failing  replaces i-5  notice  age 20s  type m6i.large
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              do      arm i-9 for i-5 at desired 2
        "#]],
    );
}

#[test]
fn and_not_before() {
    check(
        "group web
           i-5  spot  finished  ends-in 80s
           i-9  spot  unattached  pending  replaces i-5  notice  age 20s  type m6i.large
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              wait    i-9 is booting
        "#]],
    );
}

#[test]
fn the_urgent_one_goes_first() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 80s
           i-8  spot  unattached  replaces i-1  age 15m
           i-9  spot  unattached  replaces i-5  notice  age 20s  type m6i.large
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              do      arm i-9 for i-5 at desired 2
        "#]],
    );
}

#[test]
fn of_two_urgent_ones_the_one_that_can_be_attached_goes_first() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 60s
           i-6  spot  finished  ends-in 70s
           i-8  spot  unattached  pending  replaces i-5  notice  age 40s
           i-9  spot  unattached  running  replaces i-6  notice  age 30s",
        expect![[r#"
            warming
              do      arm i-9 for i-6 at desired 3
        "#]],
    );
}

#[test]
fn armed_it_is_attached_though_the_group_is_not_stable() {
    check(
        "group web  desired 3
           i-5  spot  finished  ends-in 60s
           i-6  on-demand  Pending
           i-7  on-demand
           i-9  spot  unattached  replaces i-5  notice  age 30s  type m6i.large
           journal  i-9 for i-5  desired 3  age 1s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            armed
              do      attach i-9 if 3 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn an_on_demand_replacement_is_attached_whatever_the_floor() {
    check(
        "group web
           i-5  spot  finished  ends-in 60s
           i-9  on-demand  unattached  replaces i-5  notice  age 30s
           journal  i-9 for i-5  desired 1  age 1s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            armed
              do      attach i-9 if 1 are wanted and 0 serve
        "#]],
    );
}

#[test]
fn a_dying_member_stays_as_long_as_another_one_is_missing() {
    check(
        "group web  desired 3
           i-2  on-demand  Pending
           i-5  spot  finished  ends-in 60s
           i-9  spot  replaces i-5  notice  age 30s  type m6i.large
           journal  i-9 for i-5  desired 2  age 2s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              wait    1 of 3 members serve, or members come and go
        "#]],
    );
}

#[test]
fn another_dying_member_does_not_count_as_missing() {
    check(
        "group web  desired 3
           i-5  spot  finished  ends-in 60s
           i-6  spot  finished  ends-in 60s
           i-8  spot  unattached  pending  replaces i-6  notice  age 30s  type m6i.large
           i-9  spot  replaces i-5  notice  age 30s  type m6i.large
           journal  i-9 for i-5  desired 2  age 2s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              do      terminate i-5 if 3 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn in_its_last_half_minute_it_leaves_whoever_is_missing() {
    check(
        "group web  desired 3
           i-2  on-demand  Pending
           i-5  spot  finished  ends-in 30s
           i-9  spot  replaces i-5  notice  age 30s  type m6i.large
           journal  i-9 for i-5  desired 2  age 2s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              do      terminate i-5 if 3 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn whatever_is_forbidden_above_maxsize() {
    check(
        "group web  desired 3  max 3
           set on-max=skip
           i-2  on-demand  Pending
           i-5  spot  finished  ends-in 30s
           i-9  spot  replaces i-5  notice  age 30s
           journal  i-9 for i-5  desired 2  age 2s",
        expect![[r#"
            attached
              do      terminate i-5 if 3 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn but_not_if_it_is_protected() {
    check(
        "group web  desired 3
           i-2  on-demand  Pending
           i-5  spot  finished  protected  ends-in 30s
           i-9  spot  replaces i-5  notice  age 30s
           journal  i-9 for i-5  desired 2  age 2s",
        expect![[r#"
            attached
              wait    i-5 is protected from scale-in and ends by itself
        "#]],
    );
}

#[test]
fn nor_from_a_group_that_must_not_be_touched() {
    check(
        "group web  desired 3
           refresh InProgress
           hooks launch H
           i-2  on-demand  Pending
           i-5  spot  finished  ends-in 30s
           i-9  spot  replaces i-5  notice  age 30s
           journal  i-9 for i-5  desired 2  age 2s",
        expect![[r#"
            attached
              wait    the group is unfit just now: launch lifecycle hooks would not run on attach: H (spotward:launch-hooks=ignore accepts that, spotward:readiness=watcher waits for your own check); an instance refresh is InProgress
        "#]],
    );
}

#[test]
fn the_dying_member_leaves_as_soon_as_its_replacement_serves() {
    check(
        "group web  desired 2
           i-5  spot  finished  ends-in 60s
           i-9  spot  replaces i-5  notice  age 30s  type m6i.large
           journal  i-9 for i-5  desired 1  age 2s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              do      terminate i-5 if 2 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn and_stays_while_it_does_not() {
    check(
        "group web  desired 2  load-balanced
           i-5  spot  finished  ends-in 60s
           i-9  spot  targets-unhealthy  replaces i-5  notice  age 30s  type m6i.large
           journal  i-9 for i-5  desired 1  age 2s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              wait    i-9 does not serve yet
        "#]],
    );
}

#[test]
fn but_not_longer_than_half_a_minute_before_its_end() {
    check(
        "group web  desired 2  load-balanced
           i-5  spot  finished  ends-in 30s
           i-9  spot  targets-unhealthy  replaces i-5  notice  age 60s  type m6i.large
           journal  i-9 for i-5  desired 1  age 40s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              do      terminate i-5 if 2 are wanted and 0 serve
        "#]],
    );
}

#[test]
fn a_dying_victim_makes_way_for_any_replica_of_the_way_back() {
    check(
        "group web  desired 2
           set  min-on-demand=1
           i-5  spot  finished  ends-in 60s
           i-9  on-demand  replaces i-5  age 5m
           journal  i-9 for i-5  desired 1  age 2s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              do      terminate i-5 if 2 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn when_it_came_too_late_it_becomes_an_ordinary_one() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-5  notice  age 10m  type m6i.large
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 1
        "#]],
    );
}

#[test]
fn an_on_demand_one_that_came_too_late_is_discarded() {
    check(
        "group web
           i-1  on-demand
           i-9  on-demand  unattached  replaces i-5  notice  age 10m
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              do      discard i-9
        "#]],
    );
}

// The native way.

#[test]
fn behind_a_load_balancer_it_is_drained_in_its_last_half_minute() {
    check(
        "group web  load-balanced
           i-1  on-demand
           i-5  spot  finished  ends-in 25s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      replace i-5
        "#]],
    );
}

#[test]
fn termination_hooks_get_their_time_as_well() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 25s
           hooks termination H
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      replace i-5
        "#]],
    );
}

#[test]
fn without_either_there_is_nothing_to_win() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 25s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              blocked 1 of 2 members serve, or members come and go
              leave   i-5 will be taken back by EC2 at 12:05:25
        "#]],
    );
}

#[test]
fn not_in_the_middle_of_another_swap() {
    check(
        "group web  desired 3  max 5  load-balanced
           i-1  on-demand
           i-5  spot  finished  ends-in 25s
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              wait    2 of 3 members serve, or members come and go
        "#]],
    );
}

// A swap from spot to spot, for a rebalance recommendation.

#[test]
fn the_member_at_risk_is_its_victim() {
    check(
        "group web
           i-5  spot  finished
           i-9  spot  unattached  replaces i-5  rebalance  type m6i.large
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              do      arm i-9 for i-5 at desired 1
        "#]],
    );
}

#[test]
fn who_is_protected_meanwhile_is_not_its_victim_any_more() {
    check(
        "group web
           i-5  spot  finished  protected
           i-9  spot  unattached  replaces i-5  rebalance  type m6i.large
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              do      discard i-9
        "#]],
    );
}

#[test]
fn it_has_all_the_patience_of_an_ordinary_one() {
    check(
        "group web
           i-5  spot  finished
           i-9  spot  unattached  replaces i-5  rebalance  type m6i.large  checks-failing
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              wait    the status checks of i-9 have not passed yet
        "#]],
    );
}

#[test]
fn armed_it_is_attached() {
    check(
        "group web
           i-5  spot  finished
           i-9  spot  unattached  replaces i-5  rebalance  type m6i.large
           journal  i-9 for i-5  desired 1
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            armed
              do      attach i-9 if 1 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn and_the_member_at_risk_leaves() {
    check(
        "group web  desired 2
           i-5  spot  finished
           i-9  spot  replaces i-5  rebalance  type m6i.large
           journal  i-9 for i-5  desired 1
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              do      terminate i-5 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn without_the_recommendation_spot_for_spot_is_given_back() {
    check(
        "group web  desired 2
           i-5  spot  finished
           i-9  spot  replaces i-5  type m6i.large
           journal  i-9 for i-5  desired 1
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            attached
              do      terminate i-9 if 2 are wanted and 2 serve
        "#]],
    );
}

// The notice alone, on the path that may not touch the group.

/// What the event about `i-5` asks for.
fn event(text: &str, expected: Expect, rebalance: bool) {
    let Picture { observation, market, config } = picture(text);
    let id = InstanceId::new("i-5");
    let plan = match rebalance {
        true => plan_rebalance(&observation, market.as_ref(), &config, &id),
        false => plan_notice(&observation, market.as_ref(), &config, &id),
    };
    let mut lines = plan_text(&plan);
    if let Some(action) = &plan.action
        && let Err(refusal) = guard::check(&observation, action, &config)
    {
        lines.push_str(&format!("  GUARD REFUSES {refusal}\n"));
    }
    expected.assert_eq(&lines);
}

#[test]
fn the_member_of_the_event_comes_first() {
    event(
        "group web
           i-5  spot  finished  ends-in 110s
           i-6  spot  finished  ends-in 90s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      launch spot for i-5 in us-east-1a: m6i.large $0.0500/h
        "#]],
        false,
    );
}

#[test]
fn a_notice_that_cannot_be_helped_says_why() {
    event(
        "group web
           hooks launch H
           i-5  spot  finished  ends-in 110s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              blocked launch lifecycle hooks would not run on attach: H (spotward:launch-hooks=ignore accepts that, spotward:readiness=watcher waits for your own check)
        "#]],
        false,
    );
}

#[test]
fn nor_one_for_a_group_whose_settings_cannot_be_understood() {
    event(
        "group web
           set settle=soon
           i-5  spot  finished  ends-in 110s",
        expect![[r#"
            idle
              blocked settings that cannot be understood: spotward:settle = "soon": allowed is a duration
        "#]],
        false,
    );
}

#[test]
fn who_cannot_be_replaced_makes_way_for_the_next() {
    event(
        "group web
           i-5  spot  finished  ends-in 110s  zone d
           i-6  spot  finished  ends-in 90s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              do      launch spot for i-6 in us-east-1a: m6i.large $0.0500/h
              leave   i-5 no type of the zone fits
        "#]],
        false,
    );
}

#[test]
fn where_spot_has_failed_a_moment_ago_the_notice_asks_for_on_demand() {
    let Picture { observation, market, config } = picture(
        "group web
           i-5  spot  finished  ends-in 110s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
    );
    let plan = plan_notice_on_demand(&observation, market.as_ref(), &config, &InstanceId::new("i-5"));
    let action = plan.action.as_ref().expect("a launch");
    assert_eq!(guard::check(&observation, action, &config), Ok(()));
    expect![[r#"
        idle
          do      launch on-demand for i-5 in us-east-1a: m5.large $0.1000/h
    "#]]
    .assert_eq(&plan_text(&plan));
}

#[test]
fn a_notice_that_ec2_does_not_confirm_brings_nothing() {
    event(
        "group web
           i-5  spot  finished
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
        "#]],
        false,
    );
}

#[test]
fn the_event_never_does_more_than_launch() {
    event(
        "group web  load-balanced
           i-5  spot  finished  ends-in 20s
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
        "#]],
        false,
    );
}

#[test]
fn a_notice_for_a_group_of_another_deployment_brings_nothing() {
    event(
        "group web
           i-5  spot  finished  ends-in 110s
           i-9  spot  unattached  replaces i-1  by other
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            foreign
              blocked the deployment "other" has a swap in flight on this group
        "#]],
        false,
    );
}

#[test]
fn a_notice_needs_prices() {
    event(
        "group web
           i-5  spot  finished  ends-in 110s
           no-market",
        expect![[r#"
            idle
              need    market of Linux/UNIX
        "#]],
        false,
    );
}

#[test]
fn a_recommendation_waits_for_the_launch_window() {
    event(
        "group web
           now 12:00:30
           i-5  spot  finished
           market  m5.large 0.10 spot 0.05  m6i.large 0.11 spot 0.06",
        expect![[r#"
            idle
              wait    the next launch window opens at 12:01:30
        "#]],
        true,
    );
}

#[test]
fn a_recommendation_for_a_group_of_another_deployment_brings_nothing() {
    event(
        "group web
           i-5  spot  finished
           i-9  spot  unattached  replaces i-1  by other
           market  m5.large 0.10 spot 0.05  m6i.large 0.11 spot 0.06",
        expect![[r#"
            foreign
              blocked the deployment "other" has a swap in flight on this group
        "#]],
        true,
    );
}

#[test]
fn a_recommendation_for_a_member_that_is_gone_brings_nothing() {
    event(
        "group web\n i-1  spot  finished",
        expect![[r#"
        idle
    "#]],
        true,
    );
}

#[test]
fn a_recommendation_needs_prices() {
    event(
        "group web
           i-5  spot  finished
           no-market",
        expect![[r#"
            idle
              need    market of Linux/UNIX
        "#]],
        true,
    );
}

#[test]
fn a_recommendation_is_followed_to_a_pool_that_is_not_much_dearer() {
    event(
        "group web
           i-5  spot  finished
           market  m5.large 0.10 spot 0.05  m6i.large 0.11 spot 0.06",
        expect![[r#"
            idle
              do      launch spot for i-5 in us-east-1a: m6i.large $0.0600/h
        "#]],
        true,
    );
}

#[test]
fn and_not_to_a_dearer_one() {
    event(
        "group web
           i-5  spot  finished
           market  m5.large 0.10 spot 0.05  m6i.large 0.11 spot 0.061",
        expect![[r#"
            idle
              leave   i-5 was recommended for rebalancing, and no other pool is better
        "#]],
        true,
    );
}

#[test]
fn unless_the_owner_says_always() {
    event(
        "group web
           set  rebalance=always
           i-5  spot  finished
           market  m5.large 0.10 spot 0.05  m6i.large 0.11 spot 0.061",
        expect![[r#"
            idle
              do      launch spot for i-5 in us-east-1a: m6i.large $0.0610/h
        "#]],
        true,
    );
}

#[test]
fn an_owner_who_ignores_it() {
    event(
        "group web
           set  rebalance=ignore
           i-5  spot  finished
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 was recommended for rebalancing, which spotward:rebalance or Capacity Rebalancing leaves to others
        "#]],
        true,
    );
}

#[test]
fn capacity_rebalancing_follows_it_itself() {
    event(
        "group web  capacity-rebalance
           i-5  spot  finished
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 was recommended for rebalancing, which spotward:rebalance or Capacity Rebalancing leaves to others
        "#]],
        true,
    );
}

#[test]
fn not_to_the_same_pool() {
    event(
        "group web
           i-5  spot  finished
           market  m5.large 0.10 spot 0.04",
        expect![[r#"
            idle
              leave   i-5 no type of the zone fits
        "#]],
        true,
    );
}

#[test]
fn not_for_a_member_as_young_as_the_answer_to_an_interruption() {
    event(
        "group web
           i-5  spot  finished  age 4m
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 is too young until 12:06:00
        "#]],
        true,
    );
}

#[test]
fn not_while_a_swap_is_in_flight() {
    event(
        "group web
           i-1  on-demand
           i-5  spot  finished
           i-9  spot  unattached  replaces i-1
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            warming
              leave   i-5 comes later: one swap at a time
        "#]],
        true,
    );
}

#[test]
fn not_for_an_on_demand_member() {
    event(
        "group web
           i-5  on-demand
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 is bought as it should be
        "#]],
        true,
    );
}

#[test]
fn not_for_a_spot_member_of_its_owners() {
    event(
        "group web
           i-5  spot
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              leave   i-5 is bought as it should be
        "#]],
        true,
    );
}

#[test]
fn not_outside_the_schedule() {
    event(
        "group web
           set  schedule=1-2
           i-5  spot  finished
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              blocked outside the schedule, which opens at 2026-11-23T01:00:00Z
        "#]],
        true,
    );
}

#[test]
fn not_for_a_group_that_is_not_enabled() {
    event(
        "group web  not-enabled
           i-5  spot  finished
           market  m5.large 0.10 spot 0.04  m6i.large 0.11 spot 0.05",
        expect![[r#"
            idle
              blocked the group does not carry the enabling tag
        "#]],
        true,
    );
}
