//! The second opinion alone: for each refusal a case that the planner would never produce, beside one that passes.

mod support;

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use jiff::SignedDuration;
use planner::action::{Action, Expect as Still, Finished, Launch};
use planner::guard;
use planner::journal::{Journal, RaisedMax};
use planner::model::{InstanceId, PurchaseOption, tag};
use planner::plan::plan;
use support::{Picture, picture};

/// What the guard says about the action on the group of the picture.
fn verdict(text: &str, action: impl FnOnce(&Picture) -> Action) -> String {
    let picture = picture(text);
    match guard::check(&picture.observation, &action(&picture), &picture.config) {
        Ok(()) => "fine".to_owned(),
        Err(refusal) => refusal.to_string(),
    }
}

fn check(text: &str, action: impl FnOnce(&Picture) -> Action, expected: Expect) {
    expected.assert_eq(&verdict(text, action));
}

fn id(text: &str) -> InstanceId {
    InstanceId::new(text)
}

/// The group as the picture shows it.
fn unchanged(picture: &Picture) -> Still {
    Still::unchanged(&picture.observation.group)
}

fn terminate(member: &'static str) -> impl FnOnce(&Picture) -> Action {
    move |picture| Action::Terminate { member: id(member), expect: unchanged(picture) }
}

fn attach(replica: &'static str) -> impl FnOnce(&Picture) -> Action {
    move |picture| Action::Attach { replica: id(replica), expect: unchanged(picture) }
}

// Launch.

const FIT: &str = "group web
                     i-1  on-demand";

/// The launch that the planner wants for a fit group, changed.
fn launch(change: impl FnOnce(&mut Launch)) -> impl FnOnce(&Picture) -> Action {
    |_| {
        let Picture { observation, market, config } = picture(FIT);
        let Some(Action::Launch(mut launch)) = plan(&observation, market.as_ref(), &config).action else {
            panic!("a fit group is launched for")
        };
        change(&mut launch);
        Action::Launch(launch)
    }
}

#[test]
fn a_launch_as_the_planner_wants_it_is_fine() {
    check(FIT, launch(|_| {}), expect!["fine"]);
}

#[test]
fn no_launch_for_a_group_that_is_not_enabled() {
    check(
        "group web  not-enabled
           i-1  on-demand",
        launch(|_| {}),
        expect!["launch: the group is not enabled"],
    );
}

#[test]
fn no_launch_for_a_group_with_settings_that_cannot_be_understood() {
    check(
        "group web
           i-1  on-demand
           set  settle=soon",
        launch(|_| {}),
        expect![[r#"launch: spotward:settle = "soon": allowed is a duration"#]],
    );
}

#[test]
fn no_launch_with_another_groups_proof() {
    check(
        "group other
           i-1  on-demand",
        launch(|_| {}),
        expect!["launch: made for another group"],
    );
}

#[test]
fn no_launch_while_a_swap_is_in_flight() {
    check(
        "group web
           i-1  on-demand
           journal  i-9 for i-1  desired 1",
        launch(|_| {}),
        expect!["launch: a swap is in flight"],
    );
}

#[test]
fn no_launch_beside_a_living_replica() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  pending  replaces i-1",
        launch(|_| {}),
        expect!["launch: i-9 is there already"],
    );
}

#[test]
fn a_dead_replica_does_not_stand_in_the_way_of_a_launch() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  terminated  replaces i-1",
        launch(|_| {}),
        expect!["fine"],
    );
}

#[test]
fn no_launch_for_a_victim_that_is_not_a_member() {
    check(
        "group web
           i-2  on-demand",
        launch(|_| {}),
        expect!["launch: i-1 is not a member"],
    );
}

#[test]
fn no_launch_for_a_victim_that_leaves() {
    check(
        "group web
           i-1  on-demand  Terminating",
        launch(|_| {}),
        expect!["launch: i-1 is Terminating"],
    );
}

#[test]
fn no_launch_for_a_protected_victim() {
    check(
        "group web
           i-1  on-demand  protected",
        launch(|_| {}),
        expect!["launch: i-1 is protected from scale-in"],
    );
}

#[test]
fn no_launch_of_spot_at_the_floor() {
    check(
        "group web
           i-1  on-demand
           set  min-on-demand=1",
        launch(|_| {}),
        expect!["launch: 1 on-demand members for a floor of 1"],
    );
}

#[test]
fn no_launch_of_on_demand_above_the_floor() {
    check(
        FIT,
        launch(|launch| launch.purchase = PurchaseOption::OnDemand),
        expect!["launch: 1 on-demand members reach the floor of 0"],
    );
}

#[test]
fn no_launch_of_on_demand_at_the_floor() {
    check(
        "group web
           set min-on-demand=1
           i-1  on-demand",
        launch(|launch| launch.purchase = PurchaseOption::OnDemand),
        expect!["launch: 1 on-demand members reach the floor of 1"],
    );
}

#[test]
fn no_replica_is_born_without_its_role() {
    check(
        FIT,
        launch(|launch| drop(launch.tags.remove(tag::ROLE))),
        expect!["launch: the replica would be born without its role"],
    );
}

#[test]
fn no_replica_is_born_in_another_role() {
    check(
        FIT,
        launch(|launch| drop(launch.tags.insert(tag::ROLE.into(), "member".into()))),
        expect!["launch: the replica would be born without its role"],
    );
}

#[test]
fn no_replica_is_born_without_its_owner() {
    check(
        FIT,
        launch(|launch| drop(launch.tags.remove(tag::STACK))),
        expect!["launch: the replica would be born without its owner"],
    );
}

#[test]
fn no_replica_is_born_with_another_owner() {
    check(
        FIT,
        launch(|launch| drop(launch.tags.insert(tag::STACK.into(), "other".into()))),
        expect!["launch: the replica would be born without its owner"],
    );
}

#[test]
fn no_replica_is_born_without_a_deadline() {
    check(
        FIT,
        launch(|launch| drop(launch.tags.remove(tag::DEADLINE))),
        expect!["launch: the replica would be born without a deadline"],
    );
}

#[test]
fn no_launch_without_a_client_token() {
    check(FIT, launch(|launch| launch.client_token.clear()), expect!["launch: no client token"]);
}

#[test]
fn no_launch_with_a_client_token_that_ec2_refuses() {
    check(FIT, launch(|launch| launch.client_token = "x".repeat(65)), expect!["launch: no client token"]);
}

// Discard and the end of doomed victims.

fn discard(replica: &'static str) -> impl FnOnce(&Picture) -> Action {
    move |_| Action::Discard { replica: id(replica) }
}

fn end_doomed(victim: &'static str) -> impl FnOnce(&Picture) -> Action {
    move |_| Action::EndDoomed { victim: id(victim) }
}

#[test]
fn a_replica_outside_may_be_discarded() {
    check(
        "group web
           i-9  spot  unattached  replaces i-1",
        discard("i-9"),
        expect!["fine"],
    );
}

#[test]
fn a_member_is_not_discarded() {
    check(
        "group web
           i-9  spot  replaces i-1",
        discard("i-9"),
        expect!["discard: i-9 is a member"],
    );
}

#[test]
fn a_stranger_is_not_discarded() {
    check(FIT, discard("i-7"), expect!["discard: i-7 is not ours"]);
}

#[test]
fn an_instance_that_carries_the_mark_of_a_group_is_not_discarded() {
    check(
        "group web
           i-9  spot  unattached  was-member  replaces i-1",
        discard("i-9"),
        expect!["discard: i-9 is a member of some group"],
    );
}

#[test]
fn a_finished_replica_is_not_discarded() {
    check(
        "group web
           i-9  spot  unattached  finished",
        discard("i-9"),
        expect!["discard: i-9 is a member"],
    );
}

#[test]
fn another_deployments_replica_is_not_discarded() {
    check(
        "group web
           i-9  spot  unattached  replaces i-1  by other",
        discard("i-9"),
        expect!["discard: i-9 belongs to other"],
    );
}

#[test]
fn a_replica_that_the_journal_names_is_not_discarded() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        discard("i-9"),
        expect!["discard: i-9 is named by the journal"],
    );
}

#[test]
fn a_doomed_victim_outside_may_be_ended() {
    check(
        "group web
           i-1  on-demand  unattached  doomed",
        end_doomed("i-1"),
        expect!["fine"],
    );
}

#[test]
fn a_doomed_member_is_not_ended() {
    check(
        "group web
           i-1  on-demand  doomed  Detaching",
        end_doomed("i-1"),
        expect!["end-doomed: i-1 is a member"],
    );
}

#[test]
fn a_replica_is_not_ended_as_a_doomed_victim() {
    check(
        "group web
           i-9  spot  unattached  replaces i-1",
        end_doomed("i-9"),
        expect!["end-doomed: i-9 is a replica"],
    );
}

// Arm.

fn arm(change: impl FnOnce(&mut Journal)) -> impl FnOnce(&Picture) -> Action {
    |picture| {
        let mut journal = Journal {
            id: "0badcafe".to_owned(),
            replica: id("i-9"),
            victim: id("i-1"),
            desired: picture.observation.group.desired,
            raised_max: None,
            suspends_az_rebalance: false,
            written_at: picture.observation.now - SignedDuration::from_mins(1),
            stack: "spotward".to_owned(),
        };
        change(&mut journal);
        Action::Arm { journal }
    }
}

const READY: &str = "group web
                       i-1  on-demand
                       i-9  spot  unattached  replaces i-1";

#[test]
fn a_ready_replica_may_be_armed() {
    check(READY, arm(|_| {}), expect!["fine"]);
}

#[test]
fn a_group_that_is_not_enabled_is_not_armed() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-9  spot  unattached  replaces i-1",
        arm(|_| {}),
        expect!["arm: the group is not enabled"],
    );
}

#[test]
fn nobody_writes_another_deployments_journal() {
    check(READY, arm(|journal| journal.stack = "other".to_owned()), expect!["arm: not our journal"]);
}

#[test]
fn no_journal_is_written_over_another() {
    check(
        "group web
           i-1  on-demand
           i-8  spot  unattached  replaces i-1
           i-9  spot  unattached  replaces i-1
           journal  i-8 for i-1  desired 1",
        arm(|_| {}),
        expect!["arm: another journal is on the group"],
    );
}

#[test]
fn no_journal_is_written_over_one_that_cannot_be_read() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal-text  v2;x",
        arm(|_| {}),
        expect!["arm: another journal is on the group"],
    );
}

#[test]
fn the_same_journal_may_be_written_again() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        arm(|_| {}),
        expect!["fine"],
    );
}

#[test]
fn no_journal_for_a_replica_that_is_not_there() {
    check(FIT, arm(|_| {}), expect!["arm: i-9 is not there"]);
}

#[test]
fn no_journal_for_a_group_that_has_moved() {
    check(READY, arm(|journal| journal.desired = 2), expect!["arm: desired is 1, not 2"]);
}

#[test]
fn a_copy_may_be_written_back_although_the_group_has_moved() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  copy-only",
        arm(|journal| journal.desired = 1),
        expect!["fine"],
    );
}

#[test]
fn no_journal_for_a_protected_victim() {
    check(
        "group web
           i-1  on-demand  protected
           i-9  spot  unattached  replaces i-1",
        arm(|_| {}),
        expect!["arm: i-1 is protected from scale-in"],
    );
}

// Prepare.

fn prepare(suspend_az_rebalance: bool, max: Option<(u32, u32)>) -> impl FnOnce(&Picture) -> Action {
    move |_| Action::Prepare {
        suspend_az_rebalance,
        raise_max: max.map(|(original, raised)| RaisedMax { original, raised }),
    }
}

const ARMED: &str = "group web  max 1
                       i-1  on-demand
                       i-9  spot  unattached  replaces i-1
                       journal  i-9 for i-1  desired 1  max 1>2  az  age 20s";

#[test]
fn what_the_journal_says_may_be_prepared() {
    check(ARMED, prepare(true, Some((1, 2))), expect!["fine"]);
}

#[test]
fn nothing_is_prepared_without_a_journal() {
    check(READY, prepare(true, None), expect!["prepare: no journal is on the group"]);
}

#[test]
fn nothing_is_prepared_with_another_deployments_journal() {
    check(
        "group web
           i-1  on-demand
           journal  i-9 for i-1  desired 1  az  by other",
        prepare(true, None),
        expect!["prepare: the journal belongs to other"],
    );
}

#[test]
fn nothing_is_prepared_in_a_group_that_is_not_enabled() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  az",
        prepare(true, None),
        expect!["prepare: the group is not enabled"],
    );
}

#[test]
fn rebalancing_is_not_suspended_unless_the_journal_says_so() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        prepare(true, None),
        expect!["prepare: the journal does not say that AZRebalance is suspended"],
    );
}

#[test]
fn maxsize_is_not_raised_unless_the_journal_says_so() {
    check(ARMED, prepare(false, Some((1, 3))), expect!["prepare: the journal says otherwise about MaxSize"]);
}

#[test]
fn maxsize_is_not_raised_when_its_owner_has_changed_it() {
    check(
        "group web  max 7
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 20s",
        prepare(false, Some((1, 2))),
        expect!["prepare: MaxSize is 7"],
    );
}

// Attach.

const ROOM: &str = "group web
                      i-1  on-demand
                      i-9  spot  unattached  replaces i-1
                      journal  i-9 for i-1  desired 1";

#[test]
fn an_armed_replica_may_be_attached() {
    check(ROOM, attach("i-9"), expect!["fine"]);
}

#[test]
fn nothing_is_attached_without_a_journal() {
    check(READY, attach("i-9"), expect!["attach: no journal is on the group"]);
}

#[test]
fn nothing_is_attached_in_a_group_that_is_not_enabled() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        attach("i-9"),
        expect!["attach: the group is not enabled"],
    );
}

#[test]
fn only_what_the_journal_names_is_attached() {
    check(
        "group web
           i-1  on-demand
           i-8  spot  unattached  replaces i-1
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        attach("i-8"),
        expect!["attach: the journal names i-9"],
    );
}

#[test]
fn a_member_is_not_attached_again() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-9  spot  Pending  replaces i-1
           journal  i-9 for i-1  desired 1",
        attach("i-9"),
        expect!["attach: i-9 is a member already"],
    );
}

#[test]
fn a_replica_that_somebody_has_taken_out_is_not_attached_again() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-9  started 10s  ended 5s  shrank 2>1",
        attach("i-9"),
        expect!["attach: the group has shrunk from 2 to 1 since the journal was written"],
    );
}

#[test]
fn a_replica_that_nobody_sees_is_not_attached() {
    check(
        "group web
           i-1  on-demand
           journal  i-9 for i-1  desired 1",
        attach("i-9"),
        expect!["attach: i-9 is not there"],
    );
}

#[test]
fn a_replica_that_does_not_run_is_not_attached() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  pending  replaces i-1
           journal  i-9 for i-1  desired 1",
        attach("i-9"),
        expect!["attach: i-9 is not running well"],
    );
}

#[test]
fn a_replica_whose_end_is_announced_is_not_attached() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1  interrupted
           journal  i-9 for i-1  desired 1",
        attach("i-9"),
        expect!["attach: i-9 is not running well"],
    );
}

#[test]
fn a_finished_replica_is_not_attached_again() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  finished
           journal  i-9 for i-1  desired 1",
        attach("i-9"),
        expect!["attach: i-9 is not a replica"],
    );
}

#[test]
fn nothing_is_attached_when_desired_is_not_what_was_seen() {
    check(
        ROOM,
        |_| Action::Attach { replica: id("i-9"), expect: Still { desired: 2, serving: 1 } },
        expect!["attach: desired is 1, not 2"],
    );
}

#[test]
fn nothing_is_attached_when_fewer_serve_than_were_seen() {
    check(
        ROOM,
        |_| Action::Attach { replica: id("i-9"), expect: Still { desired: 1, serving: 2 } },
        expect!["attach: 1 serve, not 2"],
    );
}

#[test]
fn nothing_is_attached_when_desired_is_not_what_the_journal_says() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        attach("i-9"),
        expect!["attach: desired is 2, not 1"],
    );
}

#[test]
fn nothing_is_attached_while_members_come_and_go() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  Pending
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 2",
        attach("i-9"),
        expect!["attach: members are coming or going"],
    );
}

#[test]
fn nothing_is_attached_above_maxsize() {
    check(ARMED, attach("i-9"), expect!["attach: no room below MaxSize"]);
}

#[test]
fn nothing_is_attached_for_a_victim_that_is_gone() {
    check(
        "group web
           i-2  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        attach("i-9"),
        expect!["attach: i-1 is not a member"],
    );
}

#[test]
fn nothing_is_attached_at_the_floor() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1
           set  min-on-demand=1",
        attach("i-9"),
        expect!["attach: 1 on-demand members for a floor of 1"],
    );
}

// Terminate: one member, the unit that we added.

const BOTH: &str = "group web
                      i-1  on-demand
                      i-9  spot  replaces i-1
                      journal  i-9 for i-1  desired 1";

#[test]
fn the_victim_may_go_when_the_replica_serves() {
    check(BOTH, terminate("i-1"), expect!["fine"]);
}

#[test]
fn nobody_goes_without_a_journal() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1",
        terminate("i-1"),
        expect!["terminate: no journal is on the group"],
    );
}

#[test]
fn nobody_goes_when_desired_is_what_it_was() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: desired is 1, not 1 + 1"],
    );
}

#[test]
fn nobody_goes_when_desired_is_two_more() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: desired is 3, not 1 + 1"],
    );
}

#[test]
fn nobody_goes_when_desired_is_not_what_was_seen() {
    check(
        BOTH,
        |_| Action::Terminate { member: id("i-1"), expect: Still { desired: 3, serving: 2 } },
        expect!["terminate: desired is 2, not 3"],
    );
}

#[test]
fn nobody_goes_when_fewer_serve_than_were_seen() {
    check(
        BOTH,
        |_| Action::Terminate { member: id("i-1"), expect: Still { desired: 2, serving: 3 } },
        expect!["terminate: 2 serve, not 3"],
    );
}

#[test]
fn a_stranger_does_not_go() {
    check(BOTH, terminate("i-7"), expect!["terminate: i-7 is not a member"]);
}

#[test]
fn a_protected_member_does_not_go() {
    check(
        "group web
           i-1  on-demand  protected
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: i-1 is protected from scale-in"],
    );
}

#[test]
fn nobody_goes_after_another_has_left_since_the_journal() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-2  started 10s  shrank 2>1",
        terminate("i-1"),
        expect!["terminate: the group has shrunk from 2 to 1 since the journal was written"],
    );
}

#[test]
fn who_left_before_the_journal_holds_up_nobody() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  age 30s
           activity  i-2  started 33s  shrank 2>1",
        terminate("i-1"),
        expect!["fine"],
    );
}

#[test]
fn nobody_goes_unless_the_activities_are_known() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           no-activities",
        terminate("i-1"),
        expect!["terminate: whether somebody has left since is not known"],
    );
}

#[test]
fn nobody_goes_below_minsize() {
    check(
        "group web  min 2
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: MinSize is 2"],
    );
}

#[test]
fn nobody_goes_while_a_member_comes() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  Pending
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        terminate("i-1"),
        expect!["terminate: members are coming or going"],
    );
}

#[test]
fn nobody_goes_while_another_goes() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-2  on-demand  Terminating
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: members are coming or going"],
    );
}

#[test]
fn nobody_goes_while_another_is_in_standby() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-2  on-demand  Standby
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: members are coming or going"],
    );
}

#[test]
fn nobody_goes_while_the_replica_does_not_serve() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unhealthy  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: members are coming or going"],
    );
}

#[test]
fn nobody_goes_while_the_replicas_machine_is_dying() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  shutting-down  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: members are coming or going"],
    );
}

#[test]
fn a_replica_that_never_served_may_go() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unhealthy  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-9"),
        expect!["fine"],
    );
}

#[test]
fn a_replica_that_is_leaving_does_not_go_twice() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-2  on-demand
           i-9  spot  Terminating  replaces i-1
           journal  i-9 for i-1  desired 2",
        terminate("i-9"),
        expect!["terminate: i-9 is Terminating"],
    );
}

#[test]
fn a_victim_that_is_leaving_does_not_go_twice() {
    check(
        "group web  desired 3
           i-1  on-demand  Terminating
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        terminate("i-1"),
        expect!["terminate: i-1 is Terminating"],
    );
}

#[test]
fn the_victim_does_not_go_for_a_replica_bought_the_same_way() {
    check(
        "group web
           i-1  on-demand
           i-9  on-demand  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: i-9 does not serve"],
    );
}

#[test]
fn the_victim_may_go_when_the_replica_is_lost_and_replaced() {
    check(
        "group web
           i-1  on-demand
           i-5  on-demand
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["fine"],
    );
}

#[test]
fn a_foreign_spot_member_does_not_go() {
    check(
        "group web
           i-2  spot
           i-9  on-demand  replaces i-1
           journal  i-9 for i-1  desired 1
           set  min-on-demand=1",
        terminate("i-2"),
        expect!["terminate: i-2 was not brought by us"],
    );
}

#[test]
fn a_spot_member_of_ours_may_go() {
    check(
        "group web
           i-2  spot  finished
           i-9  on-demand  replaces i-1
           journal  i-9 for i-1  desired 1
           set  min-on-demand=1",
        terminate("i-2"),
        expect!["fine"],
    );
}

#[test]
fn nobody_goes_below_the_floor() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           set  min-on-demand=1",
        terminate("i-1"),
        expect!["terminate: 0 on-demand members would be left of 1"],
    );
}

#[test]
fn the_floor_counts_what_was_wanted_before_the_swap() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2
           set  min-on-demand=50%",
        terminate("i-1"),
        expect!["fine"],
    );
}

#[test]
fn the_victim_does_not_go_when_the_group_is_no_longer_enabled() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-1"),
        expect!["terminate: the group is not enabled"],
    );
}

#[test]
fn the_replica_may_go_when_the_group_is_no_longer_enabled() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        terminate("i-9"),
        expect!["fine"],
    );
}

#[test]
fn a_newcomer_may_go_when_the_group_is_no_longer_enabled() {
    check(
        "group web  not-enabled
           i-5  on-demand  age 30s
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-1  started 40s",
        terminate("i-5"),
        expect!["fine"],
    );
}

// Doom, pardon, detach.

fn doom(victim: &'static str) -> impl FnOnce(&Picture) -> Action {
    move |picture| Action::Doom {
        victim: id(victim),
        deadline: picture.observation.now + SignedDuration::from_mins(60),
        brought: false,
    }
}

fn detach(victim: &'static str) -> impl FnOnce(&Picture) -> Action {
    move |picture| Action::Detach { victim: id(victim), expect: unchanged(picture) }
}

fn pardon(victim: &'static str) -> impl FnOnce(&Picture) -> Action {
    move |_| Action::Pardon { victim: id(victim), brought: false }
}

#[test]
fn the_victim_may_be_doomed() {
    check(BOTH, doom("i-1"), expect!["fine"]);
}

#[test]
fn only_the_victim_is_doomed() {
    check(BOTH, doom("i-9"), expect!["doom: the journal does not name i-9"]);
}

#[test]
fn nobody_is_doomed_without_a_journal() {
    check(FIT, doom("i-1"), expect!["doom: no journal is on the group"]);
}

#[test]
fn nobody_is_doomed_in_a_group_that_is_not_enabled() {
    check(
        "group web  not-enabled
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        doom("i-1"),
        expect!["doom: the group is not enabled"],
    );
}

#[test]
fn a_protected_victim_is_not_doomed() {
    check(
        "group web
           i-1  on-demand  protected
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        doom("i-1"),
        expect!["doom: i-1 is protected from scale-in"],
    );
}

#[test]
fn a_doomed_victim_may_be_detached() {
    check(
        "group web
           i-1  on-demand  doomed
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        detach("i-1"),
        expect!["fine"],
    );
}

#[test]
fn an_unmarked_victim_is_not_detached() {
    check(BOTH, detach("i-1"), expect!["detach: i-1 would run on unmarked"]);
}

#[test]
fn only_the_victim_is_detached() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  doomed
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 2",
        detach("i-2"),
        expect!["detach: the journal does not name i-2"],
    );
}

#[test]
fn nobody_is_detached_while_the_replica_does_not_serve() {
    check(
        "group web
           i-1  on-demand  doomed
           i-9  spot  Pending  replaces i-1
           journal  i-9 for i-1  desired 1",
        detach("i-1"),
        expect!["detach: members are coming or going"],
    );
}

#[test]
fn a_doomed_member_may_be_pardoned() {
    check(
        "group web
           i-1  on-demand  doomed",
        pardon("i-1"),
        expect!["fine"],
    );
}

#[test]
fn nobody_else_is_pardoned() {
    check(FIT, pardon("i-1"), expect!["pardon: i-1 is not doomed"]);
}

#[test]
fn a_stranger_is_not_pardoned() {
    check(FIT, pardon("i-7"), expect!["pardon: i-7 is not a member"]);
}

// Compensate.

fn compensate(from: u32, to: u32) -> impl FnOnce(&Picture) -> Action {
    move |_| Action::Compensate { from, to }
}

#[test]
fn one_unit_may_be_given_back() {
    check(BOTH, compensate(2, 3), expect!["fine"]);
}

#[test]
fn nothing_is_given_back_without_a_journal() {
    check(FIT, compensate(1, 2), expect!["compensate: no journal is on the group"]);
}

#[test]
fn two_units_are_not_given_back() {
    check(BOTH, compensate(2, 4), expect!["compensate: more than one"]);
}

#[test]
fn nothing_is_given_back_when_desired_has_moved_on() {
    check(BOTH, compensate(1, 2), expect!["compensate: desired is 2"]);
}

#[test]
fn nothing_is_given_back_above_maxsize() {
    check(
        "group web  max 2
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        compensate(2, 3),
        expect!["compensate: MaxSize is 2"],
    );
}

// RecordReady.

const WARMING: &str = "group web
                         i-1  on-demand
                         i-9  spot  unattached  replaces i-1";

/// `ready`, heard so many seconds ago, of `i-9`.
fn ready(seconds_ago: i64) -> impl FnOnce(&Picture) -> Action {
    move |picture| Action::RecordReady {
        replica: InstanceId::new("i-9"),
        at: picture.observation.now - SignedDuration::from_secs(seconds_ago),
    }
}

#[test]
fn our_running_replica_may_be_marked_as_ready() {
    check(WARMING, ready(0), expect!["fine"]);
}

#[test]
fn nothing_else_may() {
    for (picture, expected) in [
        ("group web\n i-1  on-demand", expect!["record-ready: i-9 is not ours"]),
        ("group web\n i-1  on-demand\n i-9  on-demand", expect!["record-ready: i-9 is a member"]),
        ("group web\n i-1  on-demand\n i-9  spot  replaces i-1", expect!["record-ready: i-9 is a member"]),
        ("group web\n i-1  on-demand\n i-9  spot  unattached  finished", expect!["record-ready: i-9 is a member"]),
        ("group web\n i-1  on-demand\n i-9  spot  unattached  doomed", expect!["record-ready: i-9 is a doomed"]),
        (
            "group web\n i-1  on-demand\n i-9  spot  unattached  replaces i-1  by other",
            expect!["record-ready: i-9 belongs to other"],
        ),
        (
            "group web\n i-1  on-demand\n i-9  spot  unattached  replaces i-1  was-member",
            expect!["record-ready: i-9 is a member of some group"],
        ),
        (
            "group web\n i-1  on-demand\n i-9  spot  unattached  replaces i-1  pending",
            expect!["record-ready: i-9 is not running well"],
        ),
        (
            "group web\n i-1  on-demand\n i-9  spot  unattached  replaces i-1  interrupted",
            expect!["record-ready: i-9 is not running well"],
        ),
        (
            "group web  not-enabled\n i-1  on-demand\n i-9  spot  unattached  replaces i-1",
            expect!["record-ready: the group is not enabled"],
        ),
    ] {
        check(picture, ready(0), expected);
    }
}

#[test]
fn nobody_was_ready_before_he_was_launched_or_will_be() {
    check(WARMING, ready(3600), expect!["record-ready: i-9 was not ready at 2026-11-22T11:05:00Z"]);
    check(WARMING, ready(-1), expect!["record-ready: i-9 was not ready at 2026-11-22T12:05:01Z"]);
}

#[test]
fn a_replica_that_has_not_said_that_it_is_ready_is_not_attached_where_that_is_waited_for() {
    let armed = |ready: &str| {
        format!(
            "group web
               i-1  on-demand
               i-9  spot  unattached  replaces i-1{ready}
               journal  i-9 for i-1  desired 1
               set  readiness=watcher"
        )
    };
    check(&armed(""), attach("i-9"), expect!["attach: i-9 has not said that it is ready"]);
    check(&armed("  ready"), attach("i-9"), expect!["fine"]);
}

// Note.

fn note(backoff: Option<&'static str>) -> impl FnOnce(&Picture) -> Action {
    move |_| Action::Note { backoff: backoff.map(str::to_owned) }
}

#[test]
fn a_note_that_nobody_could_read_is_not_written() {
    check(FIT, note(Some("v9;nonsense")), expect!["note: nobody could read it"]);
}

#[test]
fn no_note_is_written_on_a_group_that_is_not_enabled() {
    check(
        "group web  not-enabled
           i-1  on-demand",
        note(Some("v9;nonsense")),
        expect!["note: the group is not enabled"],
    );
}

#[test]
fn a_note_may_always_be_dropped() {
    check(
        "group web  not-enabled
           i-1  on-demand",
        note(None),
        expect!["fine"],
    );
}

// Restore.

fn restore(max: Option<(u32, u32)>, resume_az_rebalance: bool) -> impl FnOnce(&Picture) -> Action {
    move |_| Action::Restore { max: max.map(|(original, raised)| RaisedMax { original, raised }), resume_az_rebalance }
}

const OVER: &str = "group web  max 2
                      i-9  spot  replaces i-1
                      journal  i-9 for i-1  desired 1  max 1>2  az
                      suspended  AZRebalance";

#[test]
fn what_we_changed_may_be_restored() {
    check(OVER, restore(Some((1, 2)), true), expect!["fine"]);
}

#[test]
fn what_we_changed_may_be_restored_from_the_copy() {
    check(
        "group web  max 2
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  copy-only",
        restore(Some((1, 2)), false),
        expect!["fine"],
    );
}

#[test]
fn another_deployments_copy_is_no_ground_to_restore() {
    check(
        "group web  max 2
           i-9  spot  replaces i-1  by other
           journal  i-9 for i-1  desired 1  max 1>2  copy-only",
        restore(Some((1, 2)), false),
        expect!["restore: no journal is on the group"],
    );
}

#[test]
fn nothing_is_restored_without_a_journal() {
    check(FIT, restore(Some((1, 2)), false), expect!["restore: no journal is on the group"]);
}

#[test]
fn rebalancing_that_we_did_not_suspend_is_not_resumed() {
    check(
        "group web
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1
           suspended  AZRebalance",
        restore(None, true),
        expect!["restore: AZRebalance was not suspended by us"],
    );
}

#[test]
fn another_maxsize_than_the_journal_says_is_not_restored() {
    check(OVER, restore(Some((0, 1)), false), expect!["restore: the journal says otherwise about MaxSize"]);
}

#[test]
fn a_maxsize_that_its_owner_has_changed_is_not_restored() {
    check(
        "group web  max 7
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        restore(Some((1, 2)), false),
        expect!["restore: MaxSize is 7"],
    );
}

#[test]
fn maxsize_is_not_restored_below_minsize() {
    check(
        "group web  max 2  min 2
           i-1  on-demand
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        restore(Some((1, 2)), false),
        expect!["restore: MinSize is 2"],
    );
}

#[test]
fn maxsize_is_not_restored_below_desired_while_members_come() {
    check(
        "group web  max 2
           i-5  on-demand  Pending
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        restore(Some((1, 2)), false),
        expect!["restore: 2 are wanted and not all of them serve"],
    );
}

#[test]
fn maxsize_is_not_restored_below_desired_while_one_too_many_comes() {
    check(
        "group web  desired 2  max 2
           i-5  on-demand
           i-6  on-demand  Pending
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        restore(Some((1, 2)), false),
        expect!["restore: 2 are wanted and not all of them serve"],
    );
}

#[test]
fn maxsize_may_be_restored_below_desired_when_the_group_stands_still() {
    check(
        "group web  max 2
           i-5  on-demand
           i-9  spot  finished  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        restore(Some((1, 2)), false),
        expect!["fine"],
    );
}

// Finish.

/// The id of every journal in a picture.
const JOURNAL: &str = "0badcafe";

fn finish(replica: Option<Finished>, drop_journal: bool) -> impl FnOnce(&Picture) -> Action {
    move |_| Action::Finish { replica, drop_journal: drop_journal.then(|| JOURNAL.to_owned()) }
}

const DONE: &str = "group web  max 1
                      i-9  spot  replaces i-1
                      journal  i-9 for i-1  desired 1  max 1>2  az";

#[test]
fn a_swap_may_be_finished() {
    check(DONE, finish(Some(Finished::Member(id("i-9"))), true), expect!["fine"]);
}

#[test]
fn a_replica_outside_is_not_called_a_member() {
    check(
        "group web
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1",
        finish(Some(Finished::Member(id("i-9"))), true),
        expect!["finish: i-9 is not a member"],
    );
}

#[test]
fn a_replica_that_leaves_is_not_called_a_member() {
    check(
        "group web
           i-9  spot  Terminating  replaces i-1
           journal  i-9 for i-1  desired 1",
        finish(Some(Finished::Member(id("i-9"))), true),
        expect!["finish: i-9 is leaving"],
    );
}

#[test]
fn a_member_is_not_called_an_outsider() {
    check(DONE, finish(Some(Finished::Kept(id("i-9"))), true), expect!["finish: i-9 is a member"]);
}

#[test]
fn a_journal_that_is_not_there_is_not_dropped() {
    check(FIT, finish(None, true), expect!["finish: no journal is on the group"]);
}

#[test]
fn only_the_journal_that_was_meant_is_dropped() {
    // An old look planned the end of an earlier swap; meanwhile the next one has begun.
    let of_before = |_: &Picture| Action::Finish { replica: None, drop_journal: Some("0000beef".to_owned()) };
    check(DONE, of_before, expect!["finish: the journal is 0badcafe, not 0000beef"]);
}

#[test]
fn another_deployments_journal_is_not_dropped() {
    check(
        "group web
           i-1  on-demand
           journal  i-9 for i-1  desired 1  by other",
        finish(None, true),
        expect!["finish: the journal belongs to other"],
    );
}

#[test]
fn a_journal_that_cannot_be_read_is_not_dropped() {
    check(
        "group web
           i-1  on-demand
           journal-text  v9;x",
        finish(None, true),
        expect![[r#"finish: journal tag "v9;x": v1 is missing or malformed"#]],
    );
}

#[test]
fn the_journal_is_not_dropped_while_maxsize_is_raised() {
    check(
        "group web  max 2
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2",
        finish(None, true),
        expect!["finish: MaxSize is still raised"],
    );
}

#[test]
fn the_journal_is_not_dropped_while_what_it_announces_may_still_come() {
    // A look older than our own changes: neither is shown, and the replica is not inside yet.
    let announced = |age: &str, place: &str| {
        format!(
            "group web  desired 1
               i-1  on-demand
               i-9  spot  {place}  replaces i-1
               journal  i-9 for i-1  desired 1  az  age {age}"
        )
    };
    let waits = "finish: what it announces may still come";
    for (age, place, told) in [
        ("9s", "unattached", waits),
        ("74s", "unattached", waits),
        ("75s", "unattached", "fine"),
        ("9s", "Pending", "fine"),
    ] {
        assert_eq!(verdict(&announced(age, place), finish(None, true)), told, "{age} {place}");
    }
}

#[test]
fn the_journal_is_not_dropped_while_rebalancing_is_suspended() {
    check(
        "group web
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  az
           suspended  AZRebalance",
        finish(None, true),
        expect!["finish: AZRebalance is still suspended"],
    );
}

#[test]
fn the_journal_is_not_dropped_while_its_victim_is_doomed() {
    check(
        "group web
           i-1  on-demand  doomed
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1",
        finish(None, true),
        expect!["finish: i-1 is still doomed"],
    );
}

#[test]
fn a_label_alone_needs_no_journal() {
    check(
        "group web
           i-9  spot  replaces i-1",
        finish(Some(Finished::Member(id("i-9"))), false),
        expect!["fine"],
    );
}

/// The group's own tags decide, not those of the deployment that looks.
#[test]
fn the_deployments_defaults_are_wishes_as_well() {
    let mut seen = picture(BOTH);
    seen.config.defaults = BTreeMap::from([("min-on-demand".to_owned(), "1".to_owned())]);
    let action = terminate("i-1")(&seen);
    let refusal = guard::check(&seen.observation, &action, &seen.config).expect_err("the floor");
    expect!["terminate: 0 on-demand members would be left of 1"].assert_eq(&refusal.to_string());
}

#[test]
fn no_journal_that_would_put_back_another_maxsize_than_the_owners() {
    check(
        "group web  max 5
           i-1  on-demand
           i-9  spot  unattached  replaces i-1",
        arm(|journal| journal.raised_max = Some(RaisedMax { original: 4, raised: 5 })),
        expect!["arm: MaxSize is 5"],
    );
}

#[test]
fn no_journal_that_would_resume_what_somebody_else_has_suspended() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           suspended  AZRebalance",
        arm(|journal| journal.suspends_az_rebalance = true),
        expect!["arm: AZRebalance is suspended already"],
    );
}

#[test]
fn nothing_is_attached_by_a_journal_that_is_older_than_somebodys_leaving() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1
           activity  i-4  started 10s  ended 5s  shrank 2>1",
        attach("i-9"),
        expect!["attach: the group has shrunk from 2 to 1 since the journal was written"],
    );
}

#[test]
fn nothing_is_given_back_while_the_replica_is_on_trial() {
    // The journal is on the group, or the group is enabled: either may still take the replica back.
    for (enabled, place) in [("", ""), ("not-enabled", ""), ("", "copy-only")] {
        check(
            &format!(
                "group web  max 2  {enabled}
                   i-1  on-demand
                   i-9  spot  replaces i-1
                   journal  i-9 for i-1  desired 1  max 1>2  {place}"
            ),
            restore(Some((1, 2)), false),
            expect!["restore: i-9 has just been attached"],
        );
    }
}

#[test]
fn what_nobody_will_take_back_any_more_is_not_on_trial() {
    check(
        "group web  max 2  not-enabled
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  copy-only",
        restore(Some((1, 2)), false),
        expect!["fine"],
    );
}

#[test]
fn nothing_is_prepared_by_an_old_journal() {
    check(
        "group web  max 1
           i-1  on-demand
           i-9  spot  unattached  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  age 46s",
        prepare(false, Some((1, 2))),
        expect!["prepare: the journal is too old to begin by"],
    );
}

#[test]
fn a_replica_of_a_recommendation_does_not_take_an_on_demand_members_place_at_the_floor() {
    check(
        "group web
           i-1  on-demand
           i-9  spot  unattached  rebalance  replaces i-1
           journal  i-9 for i-1  desired 1
           set  min-on-demand=1",
        attach("i-9"),
        expect!["attach: 1 on-demand members for a floor of 1"],
    );
}

#[test]
fn nor_that_of_an_on_demand_member_that_we_brought() {
    check(
        "group web
           i-1  on-demand  finished
           i-9  spot  unattached  rebalance  replaces i-1
           journal  i-9 for i-1  desired 1
           set  min-on-demand=1",
        attach("i-9"),
        expect!["attach: 1 on-demand members for a floor of 1"],
    );
}

// An end that EC2 has announced.

const DYING: &str = "group web  desired 3
                       i-1  spot  finished  interrupted  ends-in 90s
                       i-2  on-demand
                       i-3  on-demand
                       i-9  spot  Pending  notice  replaces i-1
                       journal  i-9 for i-1  desired 2";

#[test]
fn nobody_is_launched_in_haste_for_a_member_that_stays() {
    let in_haste = |launch: &mut Launch| drop(launch.tags.insert(tag::WINDOW.to_owned(), "notice".to_owned()));
    check(FIT, launch(in_haste), expect!["launch: i-1 is not about to end"]);
}

#[test]
fn nobody_is_launched_in_haste_for_one_that_the_swap_in_flight_is_about() {
    let in_haste = |launch: &mut Launch| drop(launch.tags.insert(tag::WINDOW.to_owned(), "notice".to_owned()));
    let dying = |journal: &str| format!("group web\n i-1  spot  finished  interrupted  ends-in 90s\n {journal}");
    let swap_of = "launch: the swap in flight is about i-1";
    for (journal, told) in [
        ("journal  i-9 for i-1", swap_of),
        ("journal  i-1 for i-2", swap_of),
        ("journal  i-9 for i-2", "fine"),
        ("", "fine"),
    ] {
        assert_eq!(verdict(&dying(journal), launch(in_haste)), told, "{journal}");
    }
}

#[test]
fn a_recommendation_is_about_a_spot_member_of_ours() {
    let recommended = |launch: &mut Launch| drop(launch.tags.insert(tag::WINDOW.to_owned(), "rebalance".to_owned()));
    let is_fine = |member: &str| verdict(&format!("group web\n i-1  {member}"), launch(recommended)) == "fine";
    assert!(is_fine("spot  finished"));
    for other in ["on-demand", "on-demand  finished", "spot"] {
        assert!(!is_fine(other), "{other}");
    }
}

#[test]
fn the_dying_one_does_not_leave_before_its_replacement_serves() {
    check(DYING, terminate("i-1"), expect!["terminate: i-9 does not serve"]);
}

#[test]
fn in_its_last_half_minute_it_may() {
    check(&DYING.replace("90s", "25s"), terminate("i-1"), expect!["fine"]);
}

#[test]
fn the_dying_one_stays_as_long_as_another_is_missing() {
    check(
        "group web  desired 3
           i-1  spot  finished  interrupted  ends-in 90s
           i-2  on-demand  Pending
           i-9  spot  notice  replaces i-1
           journal  i-9 for i-1  desired 2",
        terminate("i-1"),
        expect!["terminate: members are coming or going"],
    );
}

#[test]
fn only_who_is_about_to_end_is_replaced_by_the_group() {
    check(FIT, |_| Action::Replace { member: id("i-1") }, expect!["replace: i-1 is not about to end"]);
    check(
        "group web
           i-1  spot  finished  interrupted  ends-in 25s",
        |_| Action::Replace { member: id("i-1") },
        expect!["fine"],
    );
}

// When the world is looked at again.

#[test]
fn what_cannot_be_taken_back_is_checked_on_a_fresh_look() {
    let picture = picture(
        "group web  desired 1  max 1
           i-1  on-demand
           i-9  spot  unattached  replaces i-1",
    );
    let asks = |action: Action| action.needs_fresh_look();
    let replace = Action::Replace { member: id("i-1") };
    for action in [attach("i-9")(&picture), detach("i-1")(&picture), terminate("i-1")(&picture), replace] {
        assert!(asks(action.clone()), "{}", action.name());
    }
    assert!(asks(discard("i-9")(&picture)) && asks(end_doomed("i-1")(&picture)) && asks(compensate(1, 2)(&picture)));
    // What writes over a number that its owner may be changing.
    assert!(asks(prepare(true, None)(&picture)) && asks(restore(None, true)(&picture)));
    assert!(asks(finish(None, true)(&picture)), "dropping the journal forgets what is to be put back");
    let armed = |max: Option<RaisedMax>| arm(|journal| journal.raised_max = max)(&picture);
    assert!(asks(armed(Some(RaisedMax { original: 1, raised: 2 }))) && !asks(armed(None)));
    // Marks, and a launch that a client token keeps from happening twice.
    let labelled = finish(Some(Finished::Member(id("i-9"))), false)(&picture);
    for action in
        [launch(|_| {})(&picture), doom("i-1")(&picture), pardon("i-1")(&picture), note(None)(&picture), labelled]
    {
        assert!(!asks(action.clone()), "{}", action.name());
    }
}
