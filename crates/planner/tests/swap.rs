//! The state machine of one swap and its recovery table: a case for each row, and for both sides of each edge.
//!
//! In every picture `i-1` is the victim and `i-9` the replica.

mod support;

use expect_test::expect;
use jiff::Timestamp;
use planner::action::Action;
use planner::model::InstanceId;
use planner::plan::plan;
use planner::reason::{Code, StrayReason, Wait};
use support::{Picture, check, picture};

// Warming: a replica outside, no journal.

#[test]
fn waits_for_the_replica_to_run() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  pending  replaces i-1",
        expect![[r#"
            warming
              wait    i-9 is booting
        "#]],
    );
}

#[test]
fn waits_for_status_checks_that_fail() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  checks-failing",
        expect![[r#"
            warming
              wait    the status checks of i-9 have not passed yet
        "#]],
    );
}

#[test]
fn waits_for_status_checks_that_nobody_asked_for() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  checks-unknown",
        expect![[r#"
            warming
              wait    the status checks of i-9 have not passed yet
        "#]],
    );
}

#[test]
fn waits_for_the_grace_period_before_arming() {
    check(
        "group web  grace 5m
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  age 299s",
        expect![[r#"
            warming
              wait    i-9 warms up until 12:05:01
        "#]],
    );
}

#[test]
fn arms_once_the_grace_period_is_over() {
    check(
        "group web  grace 5m
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  age 5m",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 1
        "#]],
    );
}

#[test]
fn the_owners_warmup_replaces_the_grace_period() {
    check(
        "group web  grace 5m
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  age 60s
           set  warmup=90s",
        expect![[r#"
            warming
              wait    i-9 warms up until 12:05:30
        "#]],
    );
}

#[test]
fn waits_for_the_watcher_where_its_owner_wants_that() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           set  readiness=watcher",
        expect![[r#"
            warming
              wait    the watcher on i-9 has not said that it is ready (it has time until 12:20:00)
        "#]],
    );
}

#[test]
fn arms_once_the_watcher_has_spoken() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  ready
           set  readiness=watcher",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 1
        "#]],
    );
}

#[test]
fn ready_does_not_replace_status_checks_and_warmup() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  ready  checks-failing
           set  readiness=watcher",
        expect![[r#"
            warming
              wait    the status checks of i-9 have not passed yet
        "#]],
    );
    check(
        "group web  grace 5m
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  ready  age 299s
           set  readiness=watcher",
        expect![[r#"
            warming
              wait    i-9 warms up until 12:05:01
        "#]],
    );
}

#[test]
fn a_replica_whose_watcher_never_spoke_is_discarded_and_that_is_the_reason() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline 300s
           set  readiness=watcher",
        expect![[r#"
            stray
              do      discard i-9
              since   its watcher never said that it is ready, and spotward:readiness=watcher waits for that: is it running there, with the right topic?
        "#]],
    );
}

#[test]
fn one_that_did_and_came_too_late_all_the_same_is_discarded_for_its_deadline() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline 300s  ready
           set  readiness=watcher",
        expect![[r#"
            stray
              do      discard i-9
        "#]],
    );
}

#[test]
fn an_owner_who_wants_the_watcher_after_all_is_obeyed_before_the_attach() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1
           set  readiness=watcher",
        expect![[r#"
            armed
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn on_the_way_back_the_on_demand_replica_has_to_be_ready_too() {
    check(
        "group web
           i-1  spot  finished
           i-9  on-demand  unattached  replaces i-1
           set  readiness=watcher
           set  min-on-demand=1",
        expect![[r#"
            warming
              wait    the watcher on i-9 has not said that it is ready (it has time until 12:20:00)
        "#]],
    );
}

#[test]
fn a_full_group_is_armed_with_the_owners_maxsize() {
    check(
        "group web  max 1
           i-1  on-demand
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 1, to raise MaxSize 1 -> 2
        "#]],
    );
}

#[test]
fn a_group_of_several_zones_is_armed_to_suspend_rebalancing() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  zone b
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 2, to suspend AZRebalance
        "#]],
    );
}

#[test]
fn rebalancing_that_its_owner_has_suspended_is_not_ours_to_suspend() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  zone b
           i-9  spot  unattached  replaces i-1
           suspended  AZRebalance",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 2
        "#]],
    );
}

#[test]
fn is_not_armed_while_members_come_and_go() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  Pending
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              wait    the group is unfit just now: 1 of 2 members serve, or members come and go
        "#]],
    );
}

#[test]
fn is_not_armed_during_an_instance_refresh() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           refresh  InProgress",
        expect![[r#"
            warming
              wait    the group is unfit just now: an instance refresh is InProgress
        "#]],
    );
}

#[test]
fn is_not_armed_close_to_a_scheduled_action() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           scheduled  +10m",
        expect![[r#"
            warming
              wait    the group is unfit just now: a scheduled action is due at 12:15:00
        "#]],
    );
}

#[test]
fn is_not_armed_in_a_full_group_whose_owner_forbids_raising_maxsize() {
    check(
        "group web  max 1
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           set  on-max=skip",
        expect![[r#"
            warming
              wait    the group is unfit just now: desired equals MaxSize 1, and spotward:on-max=skip forbids raising it
        "#]],
    );
}

#[test]
fn neither_the_quiet_period_nor_the_victims_age_hold_back_a_replica_that_is_there() {
    check(
        "group web
           i-1  on-demand  age 1m
           i-9  spot  unattached  replaces i-1
           activity  i-7  started 2m  ended 5s",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 1
        "#]],
    );
}

#[test]
fn is_armed_a_little_more_than_five_minutes_before_its_deadline() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline 301s",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 1
        "#]],
    );
}

#[test]
fn is_discarded_five_minutes_before_its_deadline() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline 300s",
        expect![[r#"
            stray
              do      discard i-9
        "#]],
    );
}

#[test]
fn is_discarded_long_after_its_deadline() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline -3h",
        expect![[r#"
            stray
              do      discard i-9
        "#]],
    );
}

#[test]
fn a_replica_whose_end_is_announced_is_discarded() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  interrupted",
        expect![[r#"
            stray
              do      discard i-9
        "#]],
    );
}

#[test]
fn a_stopped_replica_is_discarded() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  stopped  replaces i-1",
        expect![[r#"
            stray
              do      discard i-9
        "#]],
    );
}

#[test]
fn a_dead_replica_is_as_good_as_none() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  terminated  replaces i-1",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn of_two_replicas_the_younger_is_discarded() {
    check(
        "group web
           i-1  on-demand
           i-8  spot  unattached  replaces i-1  age 5m
           i-9  spot  unattached  replaces i-1  age 6m",
        expect![[r#"
            stray
              do      discard i-8
        "#]],
    );
}

#[test]
fn of_two_replicas_for_different_victims_the_younger_is_discarded() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           i-8  spot  unattached  replaces i-1  age 5m
           i-9  spot  unattached  replaces i-2  age 6m",
        expect![[r#"
            stray
              do      discard i-8
        "#]],
    );
}

#[test]
fn of_two_replacements_in_haste_for_one_the_younger_is_discarded() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 60s
           i-8  spot  unattached  replaces i-5  notice  age 40s
           i-9  on-demand  unattached  replaces i-5  notice  age 30s",
        expect![[r#"
            stray
              do      discard i-9
        "#]],
    );
}

#[test]
fn an_ordinary_replica_and_one_in_haste_do_not_stand_in_each_others_way() {
    check(
        "group web
           i-1  on-demand
           i-5  spot  finished  ends-in 60s
           i-8  spot  unattached  pending  replaces i-5  notice  age 40s
           i-9  spot  unattached  pending  replaces i-1  age 30s",
        expect![[r#"
            warming
              wait    i-8 is booting
        "#]],
    );
}

#[test]
fn a_second_replica_that_is_dead_does_not_count() {
    check(
        "group web
           i-1  on-demand
           i-8  spot  unattached  shutting-down  replaces i-1
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 1
        "#]],
    );
}

#[test]
fn a_replica_whose_victim_is_gone_takes_another_of_its_zone() {
    check(
        "group web
           i-2  on-demand  age 2h
           i-3  on-demand  age 3h
           i-4  on-demand  age 4h  zone b
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              do      arm i-9 for i-3 at desired 3, to suspend AZRebalance
        "#]],
    );
}

#[test]
fn a_replica_whose_victim_is_protected_takes_another_of_its_zone() {
    check(
        "group web
           i-1  on-demand  protected
           i-2  on-demand
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              do      arm i-9 for i-2 at desired 2
        "#]],
    );
}

#[test]
fn a_replica_with_no_victim_in_its_zone_is_discarded() {
    check(
        "group web
           i-2  on-demand  zone b
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              do      discard i-9
        "#]],
    );
}

#[test]
fn a_replica_that_cannot_do_the_others_work_is_discarded() {
    check(
        "group web
           i-2  on-demand  type m5.xlarge
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              do      discard i-9
        "#]],
    );
}

#[test]
fn prices_and_types_are_needed_to_take_another_victim() {
    check(
        "group web
           i-2  on-demand
           i-9  spot  unattached  replaces i-1
           no-market",
        expect![[r#"
            warming
              need    market of Linux/UNIX
        "#]],
    );
}

#[test]
fn while_members_come_and_go_a_replica_without_a_victim_waits() {
    check(
        "group web
           i-1  on-demand  Terminating
           i-2  on-demand  Pending
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              wait    0 of 1 members serve, or members come and go
        "#]],
    );
}

#[test]
fn a_replica_is_discarded_when_the_group_has_shrunk_to_its_floor() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           set  min-on-demand=1",
        expect![[r#"
            warming
              do      discard i-9
        "#]],
    );
}

#[test]
fn a_replica_is_discarded_when_the_group_is_no_longer_enabled() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              do      discard i-9
        "#]],
    );
}

#[test]
fn a_replica_is_discarded_when_the_settings_cannot_be_understood() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           set  removal=kill",
        expect![[r#"
            warming
              do      discard i-9
        "#]],
    );
}

#[test]
fn a_bulk_look_is_not_enough_to_arm() {
    check(
        "group web  bulk
           i-1  on-demand
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              need    details
        "#]],
    );
}

#[test]
fn on_the_way_back_an_on_demand_replica_is_armed_for_a_spot_member() {
    check(
        "group web
           i-1  spot  finished
           i-9  on-demand  unattached  replaces i-1
           set  min-on-demand=1",
        expect![[r#"
            warming
              do      arm i-9 for i-1 at desired 1
        "#]],
    );
}

#[test]
fn on_the_way_back_a_replica_is_discarded_when_the_floor_is_reached_without_it() {
    check(
        "group web
           i-1  spot  finished
           i-2  on-demand
           i-9  on-demand  unattached  replaces i-1
           set  min-on-demand=1",
        expect![[r#"
            warming
              do      discard i-9
        "#]],
    );
}

#[test]
fn on_the_way_back_a_replica_takes_another_spot_member_of_ours() {
    check(
        "group web
           i-2  spot  finished
           i-9  on-demand  unattached  replaces i-1
           set  min-on-demand=1",
        expect![[r#"
            warming
              do      arm i-9 for i-2 at desired 1
        "#]],
    );
}

#[test]
fn on_the_way_back_a_replica_does_not_take_a_foreign_spot_member() {
    check(
        "group web
           i-2  spot
           i-9  on-demand  unattached  replaces i-1
           set  min-on-demand=1",
        expect![[r#"
            warming
              do      discard i-9
        "#]],
    );
}

#[test]
fn a_former_replica_that_its_owner_has_detached_is_his() {
    check(
        "group web
           i-1  on-demand
           i-8  spot  unattached  finished",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn an_instance_of_ours_that_is_a_member_elsewhere_does_not_block_the_group() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  was-member  replaces i-1  deadline -1h",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn another_victim_is_looked_at_more_closely_before_it_is_armed() {
    check(
        "group web
           i-2  on-demand  not-looked-closer
           i-9  spot  unattached  replaces i-1",
        expect![[r#"
            warming
              need    a closer look at i-2
        "#]],
    );
}

// Armed: journal written, replica outside.

#[test]
fn makes_room_before_attaching_to_a_full_group() {
    check(
        "group web  max 1
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 20s",
        expect![[r#"
            armed
              do      prepare: raise MaxSize 1 -> 2
        "#]],
    );
}

#[test]
fn suspends_rebalancing_and_makes_room_in_one_step() {
    check(
        "group web  max 2
           i-1  on-demand
           i-2  on-demand  zone b
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3  az  age 20s",
        expect![[r#"
            armed
              do      prepare: suspend AZRebalance, raise MaxSize 2 -> 3
        "#]],
    );
}

#[test]
fn does_not_repeat_what_is_prepared() {
    check(
        "group web  max 3
           i-1  on-demand
           i-2  on-demand  zone b
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3  az
           suspended  AZRebalance",
        expect![[r#"
            armed
              do      attach i-9 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn prepares_only_what_is_missing() {
    check(
        "group web  max 3
           i-1  on-demand
           i-2  on-demand  zone b
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3  az  age 20s",
        expect![[r#"
            armed
              do      prepare: suspend AZRebalance
        "#]],
    );
}

#[test]
fn prepares_up_to_the_last_second() {
    check(
        "group web  max 1
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 45s",
        expect![[r#"
            armed
              do      prepare: raise MaxSize 1 -> 2
        "#]],
    );
}

#[test]
fn attaches_at_once_where_there_is_room_and_one_zone() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            armed
              do      attach i-9 if 1 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn goes_on_although_raising_maxsize_has_been_forbidden_meanwhile() {
    check(
        "group web  max 2
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2
           set  on-max=skip",
        expect![[r#"
            armed
              do      attach i-9 if 1 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn attaches_without_a_raise_where_the_owner_has_raised_maxsize() {
    check(
        "group web  max 5
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        expect![[r#"
            armed
              do      attach i-9 if 1 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn gives_up_an_attach_for_which_the_owner_has_taken_the_room() {
    check(
        "group web  max 2
           i-1  on-demand
           i-2  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            armed
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_scale_out_before_the_attach_sends_the_replica_back_to_wait() {
    check(
        "group web  max 3  desired 3
           i-1  on-demand
           i-2  on-demand
           i-3  on-demand  Pending
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            settling
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_scale_in_before_the_attach_sends_the_replica_back_and_restores() {
    check(
        "group web  max 3
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3  az
           suspended  AZRebalance",
        expect![[r#"
            settling
              do      restore: MaxSize 3 -> 2, resume AZRebalance
        "#]],
    );
}

#[test]
fn after_the_restore_the_journal_goes_and_the_replica_waits_outside() {
    check(
        "group web  max 2
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3  az  age 2m",
        expect![[r#"
            settling
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_victim_that_is_gone_before_the_attach_ends_the_armed_state() {
    check(
        "group web
           i-2  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            settling
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_victim_that_is_protected_before_the_attach_ends_the_armed_state() {
    check(
        "group web
           i-1  on-demand  protected
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            armed
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_replica_that_is_dying_is_not_attached() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  interrupted
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            armed
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_replica_that_does_not_run_is_not_attached() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  stopping  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            armed
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_replica_close_to_its_deadline_is_not_attached() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline 300s
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            armed
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_replica_that_died_before_its_attach_leaves_a_journal_to_drop() {
    check(
        "group web  max 2
           i-1  on-demand
           i-9  spot  unattached  terminated  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        expect![[r#"
            settling
              do      restore: MaxSize 2 -> 1
        "#]],
    );
}

#[test]
fn a_replica_that_nobody_has_heard_of_leaves_a_journal_to_drop() {
    check(
        "group web
           i-1  on-demand
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            settling
              do      finish: drop the journal
        "#]],
    );
}

#[test]
fn is_not_attached_while_members_come_and_go() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  unhealthy
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            armed
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn is_not_attached_when_the_floor_was_raised_meanwhile() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1
           set  min-on-demand=1",
        expect![[r#"
            armed
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn is_not_attached_when_the_group_is_no_longer_enabled() {
    check(
        "group web  not-enabled  max 2
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        expect![[r#"
            armed
              do      restore: MaxSize 2 -> 1
        "#]],
    );
}

#[test]
fn is_not_attached_when_the_settings_cannot_be_understood() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1
           set  settle=soon",
        expect![[r#"
            armed
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_bulk_look_is_not_enough_to_attach() {
    check(
        "group web  bulk
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            armed
              need    details
        "#]],
    );
}

#[test]
fn a_second_replica_waits_until_the_swap_is_over() {
    check(
        "group web
           i-1  on-demand
           i-8  spot  unattached  replaces i-1  deadline -1h
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            armed
              do      attach i-9 if 1 are wanted and 1 serve
        "#]],
    );
}

// Attached: both are members, desired is one more.

#[test]
fn the_victim_stays_while_the_replica_is_pending() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  Pending  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              wait    i-9 does not serve yet
        "#]],
    );
}

#[test]
fn the_victim_stays_while_the_replica_is_unhealthy() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unhealthy  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              wait    i-9 does not serve yet
        "#]],
    );
}

#[test]
fn the_victim_stays_while_the_load_balancer_does_not_like_the_replica() {
    check(
        "group web  load-balanced
           i-1  on-demand  targets-healthy
           i-9  spot  targets-unhealthy  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              wait    i-9 does not serve yet
        "#]],
    );
}

#[test]
fn the_victim_stays_for_the_settle_time() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  age 29s",
        expect![[r#"
            attached
              wait    nothing is final before 12:05:01
        "#]],
    );
}

#[test]
fn the_victim_goes_when_the_replica_has_settled() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  age 30s",
        expect![[r#"
            attached
              do      terminate i-1 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn the_victim_stays_while_another_member_does_not_serve() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  unhealthy
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            attached
              wait    2 of 3 members serve, or members come and go
        "#]],
    );
}

#[test]
fn the_victim_stays_while_another_member_leaves() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  Terminating
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              wait    2 of 2 members serve, or members come and go
        "#]],
    );
}

#[test]
fn a_replica_that_does_not_serve_by_its_deadline_leaves_again() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unhealthy  replaces i-1
           journal  i-9 for i-1  desired 1  age 30m",
        expect![[r#"
            attached
              do      terminate i-9 if 2 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn until_its_deadline_a_replica_may_still_come_into_service() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unhealthy  replaces i-1
           journal  i-9 for i-1  desired 1  age 1799s",
        expect![[r#"
            attached
              wait    i-9 does not serve yet
        "#]],
    );
}

#[test]
fn a_replica_that_never_served_stays_while_it_is_not_the_only_one() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  unhealthy
           i-9  spot  unhealthy  replaces i-1
           journal  i-9 for i-1  desired 2  age 30m",
        expect![[r#"
            attached
              wait    1 of 3 members serve, or members come and go
        "#]],
    );
}

#[test]
fn a_replica_that_never_served_stays_while_another_comes() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-5  on-demand  Pending
           i-9  spot  unhealthy  replaces i-1
           journal  i-9 for i-1  desired 1  age 30m",
        expect![[r#"
            attached
              wait    1 of 2 members serve, or members come and go
        "#]],
    );
}

#[test]
fn a_replica_that_never_came_into_service_leaves_again() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-9  spot  Pending  replaces i-1
           journal  i-9 for i-1  desired 1  age 30m",
        expect![[r#"
            attached
              do      terminate i-9 if 2 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn a_serving_replica_does_not_leave_however_long_it_takes() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  unhealthy
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 5h",
        expect![[r#"
            attached
              wait    2 of 3 members serve, or members come and go
        "#]],
    );
}

#[test]
fn the_replica_leaves_when_the_floor_needs_the_victim_after_all() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           set  min-on-demand=1",
        expect![[r#"
            attached
              do      terminate i-9 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn when_the_victim_is_protected_another_of_its_zone_goes() {
    check(
        "group web
           i-1  on-demand  protected
           i-2  on-demand  age 2h
           i-3  on-demand  age 3h
           i-4  on-demand  age 4h  zone b
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 4",
        expect![[r#"
            attached
              do      terminate i-3 if 5 are wanted and 5 serve
        "#]],
    );
}

#[test]
fn when_the_victim_is_protected_and_alone_the_replica_goes() {
    check(
        "group web
           i-1  on-demand  protected
           i-4  on-demand  zone b
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            attached
              do      terminate i-9 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn when_both_are_protected_both_stay() {
    check(
        "group web  max 2
           i-1  on-demand  protected
           i-9  spot  replaces i-1  protected
           journal  i-9 for i-1  desired 1  max 1>2",
        expect![[r#"
            attached
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn when_the_group_is_no_longer_enabled_the_replica_goes() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              do      terminate i-9 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn when_the_group_is_no_longer_enabled_nobody_goes_while_members_come() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-2  on-demand  Pending
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            attached
              wait    2 of 3 members serve, or members come and go
        "#]],
    );
}

#[test]
fn when_the_settings_cannot_be_understood_the_replica_goes() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           set  max-price=101%",
        expect![[r#"
            attached
              do      terminate i-9 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn on_the_way_back_the_spot_member_goes() {
    check(
        "group web
           i-1  spot  finished
           i-9  on-demand  replaces i-1
           journal  i-9 for i-1  desired 1
           set  min-on-demand=1",
        expect![[r#"
            attached
              do      terminate i-1 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn on_the_way_back_another_spot_member_of_ours_goes_for_a_protected_one() {
    check(
        "group web
           i-1  spot  finished  protected
           i-2  spot  finished
           i-9  on-demand  replaces i-1
           journal  i-9 for i-1  desired 2
           set  min-on-demand=1",
        expect![[r#"
            attached
              do      terminate i-2 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn in_a_group_of_one_nobody_is_ever_alone() {
    check(
        "group web  min 1  max 2
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        expect![[r#"
            attached
              do      terminate i-1 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn a_replica_that_ec2_does_not_show_is_not_taken_for_finished() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unseen  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              wait    i-9 does not serve yet
        "#]],
    );
}

#[test]
fn a_victim_that_ec2_does_not_show_is_waited_for() {
    check(
        "group web
           i-1  on-demand  unseen
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            attached
              wait    2 of 3 members serve, or members come and go
        "#]],
    );
}

#[test]
fn only_a_member_of_the_same_type_goes_for_a_protected_victim() {
    check(
        "group web
           i-1  on-demand  protected
           i-2  on-demand  type m5.4xlarge
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            attached
              do      terminate i-9 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn on_the_way_back_a_foreign_spot_member_does_not_go_for_a_protected_one() {
    check(
        "group web
           i-1  spot  finished  protected
           i-2  spot
           i-9  on-demand  replaces i-1
           journal  i-9 for i-1  desired 2
           set  min-on-demand=1",
        expect![[r#"
            attached
              do      terminate i-9 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn when_minsize_asks_for_the_extra_member_both_stay() {
    check(
        "group web  min 2
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn when_minsize_asks_for_the_extra_member_nothing_is_undone() {
    check(
        "group web  min 2  not-enabled
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_replica_that_is_protected_and_never_serves_ends_the_swap() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  Pending  protected  replaces i-1
           journal  i-9 for i-1  desired 1  age 31m",
        expect![[r#"
            attached
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn nobody_goes_while_the_group_cannot_replace_members() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           suspended  Terminate",
        expect![[r#"
            attached
              wait    the group is unfit just now: the process Terminate is suspended
        "#]],
    );
}

#[test]
fn nobody_goes_during_an_instance_refresh() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           refresh  InProgress",
        expect![[r#"
            attached
              wait    the group is unfit just now: an instance refresh is InProgress
        "#]],
    );
}

#[test]
fn if_that_takes_long_both_stay() {
    check(
        "group web  max 2
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 30m
           refresh  InProgress",
        expect![[r#"
            attached
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_full_group_whose_owner_has_forbidden_raising_maxsize_is_finished_all_the_same() {
    check(
        "group web  max 2
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           set  on-max=skip",
        expect![[r#"
            attached
              do      terminate i-1 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn the_victim_is_looked_at_more_closely_before_it_goes() {
    check(
        "group web
           i-1  on-demand  not-looked-closer
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              need    a closer look at i-1
        "#]],
    );
}

#[test]
fn a_victim_under_ec2_termination_protection_stays() {
    check(
        "group web
           i-1  on-demand  termination-protected
           i-2  on-demand  not-looked-closer
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            attached
              need    a closer look at i-2
        "#]],
    );
}

#[test]
fn a_replica_whose_end_is_announced_leaves_again() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  interrupted  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              do      terminate i-9 if 2 are wanted and 1 serve
        "#]],
    );
}

#[test]
fn a_replica_that_is_dead_before_the_group_notices_stands_in_for_nobody() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  shutting-down  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              wait    i-9 does not serve yet
        "#]],
    );
}

#[test]
fn another_member_that_is_dead_before_the_group_notices_keeps_the_victim() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  terminated
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            attached
              wait    2 of 3 members serve, or members come and go
        "#]],
    );
}

// Removal by detach.

#[test]
fn a_victim_that_leaves_by_detach_is_doomed_first() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           set  removal=detach
           propagates  spot-enabled=true",
        expect![[r#"
            attached
              do      doom i-1 until 13:05:00
        "#]],
    );
}

#[test]
fn a_doomed_victim_is_detached() {
    check(
        "group web
           i-1  on-demand  doomed
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           set  removal=detach
           propagates  spot-enabled=true",
        expect![[r#"
            attached
              do      detach i-1 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn while_it_drains_the_swap_is_settled() {
    check(
        "group web  max 2  desired 1
           i-1  on-demand  Detaching  doomed
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2
           set  removal=detach",
        expect![[r#"
            settling
              do      restore: MaxSize 2 -> 1
        "#]],
    );
}

#[test]
fn a_doomed_victim_outside_is_ended() {
    check(
        "group web
           i-9  spot  finished  replaces i-1
           i-1  on-demand  unattached  doomed",
        expect![[r#"
            stray
              do      end doomed i-1
        "#]],
    );
}

#[test]
fn a_doomed_victim_outside_is_ended_also_in_a_group_that_is_no_longer_enabled() {
    check(
        "group web  not-enabled
           i-9  spot  finished  replaces i-1
           i-1  on-demand  unattached  doomed",
        expect![[r#"
            stray
              do      end doomed i-1
        "#]],
    );
}

#[test]
fn a_doomed_victim_goes_through_the_group_when_its_owner_has_changed_his_mind() {
    check(
        "group web
           i-1  on-demand  doomed
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            attached
              do      terminate i-1 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn forfeiting_says_that_both_stay_before_the_victim_is_pardoned() {
    check(
        "group web  max 2  desired 3
           i-1  on-demand  doomed
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2
           set  removal=detach",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn undoing_pardons_the_doomed_victim() {
    check(
        "group web
           i-1  on-demand  doomed
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            settling
              do      pardon i-1
        "#]],
    );
}

#[test]
fn who_is_surplus_shows_when_the_group_stands_still() {
    check(
        "group web  desired 2
           i-5  on-demand  Pending
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  age 4m",
        expect![[r#"
            undoing
              wait    1 of 2 members serve, or members come and go
        "#]],
    );
}

#[test]
fn half_an_hour_later_it_is_not_waited_for_any_more() {
    check(
        "group web  desired 2
           i-5  on-demand  Pending
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  age 31m",
        expect![[r#"
            undoing
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn nor_at_that_very_second() {
    check(
        "group web  desired 2
           i-5  on-demand  Pending
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  age 30m",
        expect![[r#"
            undoing
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_doomed_victim_that_we_brought_is_pardoned_as_one_of_ours() {
    check(
        "group web
           i-1  spot  doomed  replaces i-0
           i-5  on-demand
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            settling
              do      pardon i-1, a member of ours as before
        "#]],
    );
}

#[test]
fn a_doomed_member_without_a_swap_is_pardoned() {
    check(
        "group web
           i-1  on-demand  doomed",
        expect![[r#"
            reprieved
              do      pardon i-1
        "#]],
    );
}

#[test]
fn a_doomed_member_that_drains_without_a_swap_is_let_go() {
    check(
        "group web  desired 1
           i-1  on-demand  Detaching  doomed
           i-9  spot  finished  replaces i-1",
        expect![[r#"
            idle
              leave   i-1 is Detaching
              leave   i-9 is bought as it should be
        "#]],
    );
}

// Settling: the victim is gone and desired is what it was.

#[test]
fn restores_as_soon_as_the_victim_leaves() {
    check(
        "group web  max 3
           i-1  on-demand  Terminating:Wait
           i-2  on-demand  zone b
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3  az
           suspended  AZRebalance",
        expect![[r#"
            settling
              do      restore: MaxSize 3 -> 2, resume AZRebalance
        "#]],
    );
}

#[test]
fn a_scale_in_that_took_the_victim_completes_the_swap() {
    check(
        "group web
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-1  started 10s  ended 5s  shrank 2>1",
        expect![[r#"
            settling
              do      finish: i-9 is a member, drop the journal
        "#]],
    );
}

#[test]
fn a_maxsize_that_its_owner_has_changed_is_his() {
    check(
        "group web  max 7
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 2m",
        expect![[r#"
            settling
              do      finish: i-9 is a member, drop the journal
        "#]],
    );
}

#[test]
fn rebalancing_that_its_owner_has_resumed_is_not_resumed_again() {
    check(
        "group web  max 1
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  az  age 2m",
        expect![[r#"
            settling
              do      finish: i-9 is a member, drop the journal
        "#]],
    );
}

#[test]
fn a_relabelled_replica_leaves_only_the_journal_to_drop() {
    check(
        "group web
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            settling
              do      finish: drop the journal
        "#]],
    );
}

#[test]
fn settling_needs_no_enabled_group() {
    check(
        "group web  not-enabled  max 2
           i-1  on-demand  Terminating
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        expect![[r#"
            settling
              do      restore: MaxSize 2 -> 1
        "#]],
    );
}

#[test]
fn above_the_ceiling_rebalancing_is_resumed_and_maxsize_waits() {
    check(
        "group web  max 3  desired 3
           i-2  on-demand
           i-3  on-demand  Pending
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3  az
           suspended  AZRebalance
           activity  i-1  started 10s  shrank 3>2  by-request",
        expect![[r#"
            settling
              do      restore: resume AZRebalance
        "#]],
    );
}

#[test]
fn at_its_ceiling_a_group_that_moves_does_not_hold_up_the_ceiling() {
    check(
        "group web  max 3  desired 2
           i-3  on-demand  Pending
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3
           activity  i-1  started 10s  shrank 3>2  by-request",
        expect![[r#"
            settling
              do      restore: MaxSize 3 -> 2
        "#]],
    );
}

#[test]
fn while_the_group_is_above_its_ceiling_and_moves_the_ceiling_waits() {
    check(
        "group web  max 3  desired 3
           i-2  on-demand
           i-3  on-demand  Pending
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3
           activity  i-1  started 10s  shrank 3>2  by-request",
        expect![[r#"
            settling
              wait    3 are wanted, the owner's MaxSize is 2: restored when the group is stable
        "#]],
    );
}

#[test]
fn when_the_group_stands_still_the_ceiling_comes_down() {
    check(
        "group web  max 3  desired 3
           i-2  on-demand
           i-3  on-demand
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3
           activity  i-1  started 10s  shrank 3>2  by-request",
        expect![[r#"
            settling
              do      restore: MaxSize 3 -> 2
        "#]],
    );
}

#[test]
fn maxsize_is_not_restored_below_minsize() {
    check(
        "group web  min 2  max 2
           i-1  on-demand
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 2m",
        expect![[r#"
            settling
              do      finish: drop the journal
        "#]],
    );
}

// Forfeit: somebody else changed desired.

#[test]
fn a_scale_out_after_the_attach_forfeits() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-2  on-demand  Pending
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_scale_in_that_picks_somebody_else_forfeits() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  Terminating
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_scale_in_by_two_forfeits() {
    check(
        "group web
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_forfeit_that_was_said_for_good_restores() {
    check(
        "group web  max 3  desired 2
           i-1  on-demand
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>3  az
           suspended  AZRebalance",
        expect![[r#"
            settling
              do      restore: MaxSize 3 -> 2, resume AZRebalance
        "#]],
    );
}

#[test]
fn a_forfeit_above_the_ceiling_waits_for_a_stable_group() {
    check(
        "group web  max 2  desired 2
           i-1  on-demand  Pending
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 0  max 1>2",
        expect![[r#"
            settling
              wait    2 are wanted, the owner's MaxSize is 1: restored when the group is stable
        "#]],
    );
}

#[test]
fn a_forfeit_in_which_the_victim_went_keeps_the_replica() {
    check(
        "group web  desired 5
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_scale_in_that_a_scale_out_hides_forfeits() {
    // Desired is one more than before, but no longer by our hand alone: a decrement could be the second one.
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-2  started 10s  shrank 2>1",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_scale_in_before_the_journal_hides_nothing() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  age 1m
           activity  i-2  started 63s  shrank 2>1",
        expect![[r#"
            attached
              do      terminate i-1 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn the_activities_come_before_any_removal() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           no-activities",
        expect![[r#"
            attached
              wait    2 of 2 members serve, or members come and go
        "#]],
    );
}

// Undoing: the victim died while both were members.

#[test]
fn waits_for_a_trace_of_the_lost_victim() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m",
        expect![[r#"
            undoing
              wait    i-1 is gone and the activities do not say yet how
        "#]],
    );
}

#[test]
fn waits_until_the_group_has_replaced_the_lost_victim() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  Pending  age 10s
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 1m",
        expect![[r#"
            undoing
              wait    2 of 3 members serve, or members come and go
        "#]],
    );
}

#[test]
fn the_newest_on_demand_member_goes_in_the_place_of_the_lost_victim() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 2m",
        expect![[r#"
            undoing
              do      terminate i-5 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn with_no_on_demand_member_left_the_replica_goes() {
    check(
        "group web  desired 2
           i-2  spot  finished
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  age 10m
           activity  i-1  started 2m",
        expect![[r#"
            undoing
              do      terminate i-9 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn a_protected_newcomer_stays_and_the_next_newest_goes() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m  protected
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 2m",
        expect![[r#"
            undoing
              do      terminate i-2 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn the_replica_goes_when_the_floor_needs_the_newcomer() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 2m
           set  min-on-demand=2",
        expect![[r#"
            undoing
              do      terminate i-9 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn the_replica_goes_when_the_group_is_no_longer_enabled_and_the_victim_is_lost() {
    check(
        "group web  desired 3  not-enabled
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 2m",
        expect![[r#"
            undoing
              do      terminate i-9 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn a_decrement_since_arming_means_that_the_extra_unit_is_spent() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 2m  shrank 3>2  by-request",
        expect![[r#"
            undoing
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_decrement_before_arming_says_nothing() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 2m
           activity  i-7  started 603s  shrank 3>2",
        expect![[r#"
            undoing
              do      terminate i-5 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn two_clocks_may_differ_by_two_seconds() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 2m
           activity  i-7  started 602s  shrank 3>2",
        expect![[r#"
            undoing
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn undoing_needs_the_activities() {
    check(
        "group web  desired 3  bulk
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m",
        expect![[r#"
            undoing
              need    details
        "#]],
    );
}

#[test]
fn undoing_waits_when_the_activities_are_not_to_be_had() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           no-activities",
        expect![[r#"
            undoing
              wait    3 of 3 members serve, or members come and go
        "#]],
    );
}

#[test]
fn on_the_way_back_the_newest_spot_member_of_ours_goes_for_a_lost_victim() {
    check(
        "group web  desired 4
           i-2  spot  age 1m
           i-3  spot  finished  age 2h
           i-4  spot  finished  age 3h
           i-9  on-demand  replaces i-1
           journal  i-9 for i-1  desired 3  age 10m
           activity  i-1  started 2m
           set  min-on-demand=1",
        expect![[r#"
            undoing
              do      terminate i-3 if 4 are wanted and 4 serve
        "#]],
    );
}

#[test]
fn on_the_way_back_the_replica_goes_also_where_there_are_spot_members_of_ours() {
    check(
        "group web  desired 3
           i-3  spot  finished  age 2h
           i-5  on-demand  age 1m
           i-9  on-demand  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 2m
           set  min-on-demand=1",
        expect![[r#"
            undoing
              do      terminate i-9 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn on_the_way_back_the_replica_goes_when_the_groups_own_replacement_fills_the_floor() {
    check(
        "group web  desired 2
           i-5  on-demand  age 1m
           i-9  on-demand  replaces i-1
           journal  i-9 for i-1  desired 1  age 10m
           activity  i-1  started 2m
           set  min-on-demand=1",
        expect![[r#"
            undoing
              do      terminate i-9 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn the_launch_of_the_victim_is_no_trace_of_its_end() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           activity  i-1  started 5h",
        expect![[r#"
            undoing
              wait    i-1 is gone and the activities do not say yet how
        "#]],
    );
}

#[test]
fn a_victim_that_vanished_without_a_trace_forfeits() {
    check(
        "group web  desired 3
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 30m",
        expect![[r#"
            undoing
              do      finish: i-9 is a member
        "#]],
    );
}

// Undoing: the replica died after its attach.

#[test]
fn waits_until_the_group_has_replaced_the_lost_replica() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-9  spot  Terminating  replaces i-1
           journal  i-9 for i-1  desired 1  age 10m",
        expect![[r#"
            undoing
              wait    1 of 2 members serve, or members come and go
        "#]],
    );
}

#[test]
fn the_groups_replacement_of_the_lost_replica_goes() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  unattached  terminated  was-member  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m",
        expect![[r#"
            undoing
              do      terminate i-5 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn whose_replica_is_lost_after_rebalancing_was_resumed_has_settled_it() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  unattached  terminated  was-member  replaces i-1
           journal  i-9 for i-1  desired 2  az  age 10m",
        expect![[r#"
            settling
              do      finish: drop the journal
        "#]],
    );
}

#[test]
fn and_not_while_it_is_suspended() {
    check(
        "group web  desired 3
           suspended AZRebalance
           i-1  on-demand
           i-2  on-demand
           i-5  on-demand  age 1m
           i-9  spot  unattached  terminated  was-member  replaces i-1
           journal  i-9 for i-1  desired 2  az  age 10m",
        expect![[r#"
            undoing
              do      terminate i-5 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn without_a_newcomer_the_victim_goes() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-2  on-demand
           i-3  on-demand
           i-9  spot  unattached  terminated  was-member  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m",
        expect![[r#"
            undoing
              do      terminate i-1 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn the_newcomer_goes_also_when_the_group_is_no_longer_enabled() {
    check(
        "group web  desired 2  not-enabled
           i-1  on-demand
           i-5  on-demand  age 1m
           i-9  spot  unattached  terminated  was-member  replaces i-1
           journal  i-9 for i-1  desired 1  age 10m",
        expect![[r#"
            undoing
              do      terminate i-5 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn on_the_way_back_a_lost_replica_was_replaced_by_what_was_wanted() {
    check(
        "group web  desired 2
           i-1  spot  finished
           i-5  on-demand  age 1m
           i-9  on-demand  unattached  terminated  was-member  replaces i-1
           journal  i-9 for i-1  desired 1  age 10m
           set  min-on-demand=1",
        expect![[r#"
            undoing
              do      terminate i-1 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn a_dead_replica_without_proof_of_an_attach_takes_nobody_with_it() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-2  on-demand
           i-9  spot  unattached  terminated  replaces i-1
           journal  i-9 for i-1  desired 1  age 10m",
        expect![[r#"
            settling
              do      finish: drop the journal
        "#]],
    );
}

#[test]
fn a_scale_in_that_picks_the_replica_leaves_nothing_to_give_back() {
    check(
        "group web  max 2  desired 1
           i-1  on-demand
           i-9  spot  Terminating  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        expect![[r#"
            settling
              do      restore: MaxSize 2 -> 1
        "#]],
    );
}

#[test]
fn a_replica_that_is_lost_while_desired_moves_is_not_given_back() {
    check(
        "group web  desired 4
           i-1  on-demand
           i-9  spot  Terminating  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            settling
              do      finish: drop the journal
        "#]],
    );
}

#[test]
fn after_the_loss_of_the_replica_a_spot_member_of_ours_goes_where_the_floor_needs_the_others() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-2  spot  finished
           i-5  on-demand  age 1m
           i-9  spot  unattached  terminated  was-member  replaces i-1
           journal  i-9 for i-1  desired 2  age 10m
           set  min-on-demand=2",
        expect![[r#"
            undoing
              do      terminate i-2 if 3 are wanted and 3 serve
        "#]],
    );
}

// Compensation: our decrement hit a number that somebody else had just changed.

#[test]
fn a_decrement_that_hit_a_foreign_value_is_given_back() {
    check(
        "group web  desired 1
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-1  started 10s  shrank 2>1  by-request",
        expect![[r#"
            forfeit
              do      compensate desired 1 -> 2
        "#]],
    );
}

#[test]
fn a_decrement_from_our_own_value_is_not_given_back() {
    check(
        "group web  desired 2
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-1  started 10s  shrank 3>2  by-request",
        expect![[r#"
            settling
              do      finish: i-9 is a member, drop the journal
        "#]],
    );
}

#[test]
fn once_desired_has_moved_on_nothing_is_given_back() {
    check(
        "group web  desired 2
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-1  started 10s  shrank 2>1  by-request",
        expect![[r#"
            settling
              do      finish: i-9 is a member, drop the journal
        "#]],
    );
}

#[test]
fn what_nobody_asked_for_by_name_was_not_ours() {
    check(
        "group web  desired 1
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-1  started 10s  shrank 2>1",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_decrement_before_arming_was_not_ours() {
    check(
        "group web  desired 1
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2  age 1m
           activity  i-1  started 63s  shrank 2>1  by-request",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn nothing_is_given_back_beyond_maxsize() {
    check(
        "group web  desired 1  max 1
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-1  started 10s  shrank 2>1  by-request",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn giving_back_the_replica_may_have_hit_a_foreign_value_as_well() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-9  spot  Terminating  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-9  started 10s  shrank 2>1  by-request",
        expect![[r#"
            settling
              do      compensate desired 1 -> 2
        "#]],
    );
}

#[test]
fn also_when_the_victim_is_gone() {
    check(
        "group web  desired 2
           i-2  on-demand
           i-3  on-demand
           i-9  spot  unattached  terminated  was-member  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-9  started 10s  shrank 3>2  by-request",
        expect![[r#"
            undoing
              do      compensate desired 2 -> 3
        "#]],
    );
}

#[test]
fn also_when_nothing_but_the_activity_tells_of_the_replica_any_more() {
    check(
        "group web  desired 1
           i-1  on-demand
           journal  i-9 for i-1  desired 2
           activity  i-9  started 10s  shrank 2>1  by-request",
        expect![[r#"
            settling
              do      compensate desired 1 -> 2
        "#]],
    );
}

#[test]
fn another_member_may_have_left_in_the_place_of_a_protected_victim() {
    check(
        "group web  desired 0  max 1
           i-1  on-demand  protected
           i-2  on-demand  Terminating
           i-9  spot  Terminating  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-2  started 10s  shrank 1>0  by-request",
        expect![[r#"
            settling
              do      compensate desired 0 -> 1
        "#]],
    );
}

#[test]
fn a_member_of_another_type_never_leaves_in_the_place_of_the_victim() {
    check(
        "group web  desired 0  max 1
           i-1  on-demand  protected
           i-2  on-demand  type m5.xlarge  Terminating
           i-9  spot  Terminating  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-2  started 10s  shrank 1>0  by-request",
        expect![[r#"
            settling
              do      finish: drop the journal
        "#]],
    );
}

#[test]
fn what_the_owner_removes_before_the_attach_is_not_given_back() {
    check(
        "group web  desired 1
           i-2  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-1  started 10s  shrank 2>1  by-request",
        expect![[r#"
            settling
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn only_a_finished_swap_explains_who_has_left() {
    check(
        "group web  max 5
           i-2  on-demand
           i-3  on-demand
           i-8  spot  replaces i-1
           i-9  spot  replaces i-1
           journal  i-9 for i-2  desired 3  age 4m
           activity  i-1  started 30s  shrank 5>4",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

// The journal itself.

#[test]
fn a_journal_that_is_only_left_on_the_replica_is_written_back() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  copy-only",
        expect![[r#"
            unmoored
              do      arm i-9 for i-1 at desired 1
        "#]],
    );
}

#[test]
fn a_copy_on_a_replica_outside_is_written_back_as_well() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  copy-only",
        expect![[r#"
            unmoored
              do      arm i-9 for i-1 at desired 1
        "#]],
    );
}

#[test]
fn in_a_group_that_is_no_longer_enabled_the_copy_says_what_to_restore() {
    check(
        "group web  not-enabled  max 2
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  copy-only",
        expect![[r#"
            unmoored
              do      restore: MaxSize 2 -> 1
        "#]],
    );
}

#[test]
fn the_copy_that_another_deployment_left_behind_is_its_own() {
    check(
        "group web  max 5
           i-1  on-demand
           i-9  spot  finished  by other
           journal  i-9 for i-1  desired 1  max 4>5  copy-only",
        expect![[r#"
            idle
              leave   i-9 is bought as it should be
              leave   i-1 each of the 1 pools to ask for holds 1 of the group already, the most that one pool may
        "#]],
    );
}

#[test]
fn what_another_group_has_taken_in_is_not_ended_for_a_ceiling() {
    check(
        "group web  desired 5  max 5
           i-1  on-demand
           i-2  on-demand
           i-9  spot  unattached  was-member  replaces i-1  deadline -2h
           journal  i-9 for i-1  desired 0  max 4>5",
        expect![[r#"
            settling
              wait    5 are wanted, the owner's MaxSize is 4: restored when the group is stable
        "#]],
    );
}

#[test]
fn a_replica_outside_does_not_outlive_its_deadline_for_a_ceiling() {
    check(
        "group web  desired 5  max 5
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline -2h
           journal  i-9 for i-1  desired 0  max 4>5",
        expect![[r#"
            settling
              do      discard i-9
        "#]],
    );
}

#[test]
fn before_its_deadline_it_waits_with_it() {
    check(
        "group web  desired 5  max 5
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline 2h
           journal  i-9 for i-1  desired 0  max 4>5",
        expect![[r#"
            settling
              wait    5 are wanted, the owner's MaxSize is 4: restored when the group is stable
        "#]],
    );
}

#[test]
fn a_former_member_is_not_ended_for_a_ceiling() {
    check(
        "group web  desired 5  max 5
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  finished  deadline -2h
           journal  i-9 for i-1  desired 0  max 4>5",
        expect![[r#"
            settling
              wait    5 are wanted, the owner's MaxSize is 4: restored when the group is stable
        "#]],
    );
}

#[test]
fn after_that_the_copy_goes() {
    check(
        "group web  not-enabled  max 1
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  copy-only",
        expect![[r#"
            unmoored
              do      finish: i-9 waits outside
        "#]],
    );
}

#[test]
fn a_journal_without_its_copy_is_as_good() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  uncopied",
        expect![[r#"
            attached
              do      terminate i-1 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn a_member_whose_journal_is_lost_stays() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1",
        expect![[r#"
            unlabelled
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_member_whose_journal_is_lost_stays_also_in_a_group_that_is_no_longer_enabled() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-9  spot  replaces i-1",
        expect![[r#"
            unlabelled
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_journal_that_cannot_be_read_keeps_our_hands_off() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline -1h
           journal-text  v9;nonsense",
        expect![[r#"
            unreadable
              blocked journal tag "v9;nonsense": v1 is missing or malformed: remove the tag once the group is as it should be
        "#]],
    );
}

#[test]
fn a_journal_of_another_deployment_keeps_our_hands_off() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  deadline -1h
           journal  i-7 for i-1  desired 1  by other",
        expect![[r#"
            foreign
              blocked the deployment "other" has a swap in flight on this group
        "#]],
    );
}

#[test]
fn a_replica_of_another_deployment_keeps_our_hands_off() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  by other",
        expect![[r#"
            foreign
              blocked the deployment "other" has a swap in flight on this group
        "#]],
    );
}

#[test]
fn a_replica_of_another_deployment_in_the_group_keeps_our_hands_off() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1  by other",
        expect![[r#"
            foreign
              blocked the deployment "other" has a swap in flight on this group
        "#]],
    );
}

#[test]
fn what_another_deployment_has_finished_does_not_keep_our_hands_off() {
    check(
        "group web
           i-1  on-demand
           i-8  spot  unattached  terminated  replaces i-1  by other
           i-9  spot  finished  by other
           set  pool-loss=100%",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
              leave   i-9 is bought as it should be
        "#]],
    );
}

#[test]
fn what_another_deployment_has_finished_and_its_owner_detached_does_not_keep_our_hands_off() {
    check(
        "group web
           i-1  on-demand
           i-8  spot  unattached  finished  by other",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn a_journal_that_claims_more_than_one_extra_slot_is_not_believed() {
    check(
        "group web  max 50  desired 2
           i-1  on-demand
           i-2  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2  max 2>50  uncopied
           set  min-on-demand=2",
        expect![[r#"
            unreadable
              blocked journal tag "v1;id=0badcafe;in=i-9;out=i-1;d=2;max=2>50;t=1795349040;by=spotward": max is missing or malformed: remove the tag once the group is as it should be
        "#]],
    );
}

#[test]
fn a_member_launched_before_the_enabling_tag_was_propagated_is_not_detached() {
    check(
        "group web  desired 2  max 3
           set  removal=detach
           i-1  on-demand  without-enabling-tag
           i-2  on-demand  without-enabling-tag",
        expect![[r#"
            idle
              leave   i-1 does not carry the enabling tag, which spotward:removal=detach needs: tag the instance, too
              leave   i-2 does not carry the enabling tag, which spotward:removal=detach needs: tag the instance, too
        "#]],
    );
}

#[test]
fn a_mark_that_cannot_be_made_is_given_up_at_the_deadline() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  age 31m
           set  removal=detach
           propagates  spot-enabled=true",
        expect![[r#"
            attached
              do      terminate i-9 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn a_stale_look_does_not_make_us_forget_what_we_changed() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-9  spot  unattached  terminated  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 74s",
        expect![[r#"
            settling
              wait    nothing is final before 12:05:01
        "#]],
    );
}

#[test]
fn a_second_later_the_journal_goes() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-9  spot  unattached  terminated  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 75s",
        expect![[r#"
            settling
              do      finish: drop the journal
        "#]],
    );
}

#[test]
fn a_decrement_by_a_newcomers_end_that_hit_a_foreign_value_is_given_back_as_well() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-2  on-demand
           i-9  spot  Terminating  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-8  started 10s  shrank 3>2  by-request
           activity  i-8  started 30s",
        expect![[r#"
            undoing
              do      compensate desired 2 -> 3
        "#]],
    );
}

#[test]
fn and_by_a_newcomers_end_when_the_victim_is_gone() {
    check(
        "group web  desired 2
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-8  started 10s  shrank 3>2  by-request
           activity  i-8  started 30s",
        expect![[r#"
            undoing
              do      compensate desired 2 -> 3
        "#]],
    );
}

#[test]
fn nobody_elses_end_is_given_back_when_the_victim_is_gone() {
    check(
        "group web  desired 2
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-7  started 10s  shrank 3>2  by-request
           activity  i-1  started 20s
           activity  i-7  started 2h",
        expect![[r#"
            undoing
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_relabelling_that_was_cut_short_takes_the_copy_off() {
    check(
        "group web
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 1  kept-copy",
        expect![[r#"
            settling
              do      finish: i-9 is a member, drop the journal
        "#]],
    );
}

#[test]
fn the_end_of_an_earlier_victim_in_the_same_second_is_not_ours() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-8  spot  finished  replaces i-2
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-2  started 61s  shrank 3>2  by-request",
        expect![[r#"
            attached
              do      terminate i-1 if 3 are wanted and 3 serve
        "#]],
    );
}

#[test]
fn anybody_elses_end_is() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-8  spot  finished  replaces i-3
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           activity  i-2  started 61s  shrank 3>2  by-request",
        expect![[r#"
            forfeit
              do      finish: i-9 is a member
        "#]],
    );
}

#[test]
fn a_replica_that_somebody_has_detached_does_not_come_back_by_the_same_journal() {
    let detached = |activities: &str| {
        format!(
            "group web
               i-1  on-demand
               i-9  spot  unattached  replaces i-1
               journal  i-9 for i-1  desired 1{activities}"
        )
    };
    check(
        &detached(""),
        expect![[r#"
        armed
          do      attach i-9 if 1 are wanted and 1 serve
    "#]],
    );
    check(
        &detached("\n activity  i-9  started 10s  ended 5s  shrank 2>1"),
        expect![[r#"
        settling
          do      finish: i-9 waits outside, drop the journal
    "#]],
    );
    // Attached under an earlier journal: that is over.
    check(
        &detached("\n activity  i-9  started 1h"),
        expect![[r#"
        armed
          do      attach i-9 if 1 are wanted and 1 serve
    "#]],
    );
}

#[test]
fn what_has_left_since_the_journal_would_be_taken_for_the_victim_later_so_it_is_written_anew() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-4  started 10s  ended 5s  shrank 2>1",
        expect![[r#"
            settling
              do      finish: i-9 waits outside, drop the journal
        "#]],
    );
}

#[test]
fn a_spot_member_of_ours_that_is_spared_by_detach_is_ours_as_before() {
    check(
        "group web
           i-5  spot  doomed  replaces i-1",
        expect![[r#"
            reprieved
              do      pardon i-5, a member of ours as before
        "#]],
    );
}

#[test]
fn what_was_not_prepared_in_time_is_not_prepared_any_more() {
    check(
        "group web  max 1
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 46s",
        expect![[r#"
            armed
              wait    nothing is final before 12:05:29
        "#]],
    );
}

#[test]
fn a_look_that_shows_the_replica_inside_is_younger_than_the_preparing() {
    check(
        "group web  max 1
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  az  age 40s",
        expect![[r#"
            settling
              do      finish: i-9 is a member, drop the journal
        "#]],
    );
}

#[test]
fn a_replica_that_somebody_has_detached_without_a_decrement_is_given_back() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-2  on-demand  age 20s
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-9  started 50s  ended 50s",
        expect![[r#"
            undoing
              do      terminate i-2 if 2 are wanted and 2 serve
        "#]],
    );
}

#[test]
fn a_relabelled_replica_that_leaves_is_nobodys_trial_any_more() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-2  on-demand  Pending
           i-9  spot  Terminating  finished  replaces i-1
           journal  i-9 for i-1  desired 1",
        expect![[r#"
            settling
              do      finish: drop the journal
        "#]],
    );
}

#[test]
fn a_copy_on_a_former_replica_is_a_journal_as_well() {
    check(
        "group web  max 2
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  copy-only",
        expect![[r#"
            unmoored
              do      arm i-9 for i-1 at desired 1, to raise MaxSize 1 -> 2
        "#]],
    );
}

// What tells one swap from the next.

#[test]
fn a_journal_has_an_id_of_its_own() {
    let id = |now: &str, replica: &str| {
        let text = format!("now {now}\n group web\n i-1  on-demand\n {replica}  spot  unattached  replaces i-1");
        let Picture { observation, market, config } = picture(&text);
        match plan(&observation, market.as_ref(), &config).action {
            Some(Action::Arm { journal }) => journal.id,
            other => panic!("a ready replica is armed, not {other:?}"),
        }
    };
    let first = id("12:05:00", "i-9");
    assert!(first.len() == 8 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    assert_eq!(id("12:05:00", "i-9"), first);
    assert_ne!(id("12:05:01", "i-9"), first);
    assert_ne!(id("12:05:00", "i-8"), first);
}

// What is waited for, and why a replica is ended, in one word.

#[test]
fn every_wait_has_a_code_and_some_an_end() {
    let at = |minute: i64| Timestamp::from_second(1_790_000_000 + 60 * minute).expect("a moment");
    let replica = || InstanceId::new("i-9");
    let waits = [
        (Wait::LaunchWindow { until: at(1) }, "launch-window", Some(at(1))),
        (Wait::Booting(replica()), "booting", None),
        (Wait::StatusChecks(replica()), "status-checks", None),
        (Wait::Warmup { replica: replica(), until: at(2) }, "warmup", Some(at(2))),
        (Wait::Ready { replica: replica(), deadline: at(3) }, "ready", None),
        (Wait::Blocked(Vec::new()), "blocked", None),
        (Wait::NotServing(replica()), "not-serving", None),
        (Wait::Settle { until: at(4) }, "settle", Some(at(4))),
        (Wait::Unstable { serving: 1, desired: 2 }, "unstable", None),
        (Wait::NoTrace(replica()), "no-trace", None),
        (Wait::ProtectedEnding(replica()), "protected-ending", None),
        (Wait::AboveCeiling { desired: 2, ceiling: 1 }, "above-ceiling", None),
    ];
    for (wait, code, until) in waits {
        assert_eq!((wait.code(), wait.until()), (code, until));
    }
}

#[test]
fn every_end_of_a_replica_has_a_code() {
    use StrayReason::{Deadline, Disabled, Doomed, Duplicate, Dying, NeverReady, NoVictim};
    let codes = [Deadline, NeverReady, Dying, Duplicate, Disabled, NoVictim, Doomed].map(|reason| reason.code());
    assert_eq!(codes, ["deadline", "never-ready", "dying", "duplicate", "disabled", "no-victim", "doomed"]);
}
