//! Starting a swap: which victim, which pools, when, and with what on the replica.

mod support;

use std::fmt::Write;

use expect_test::{Expect, expect};
use planner::action::{Action, Launch};
use planner::plan::plan;
use support::{Picture, check, picture, short_times};

fn launch(text: &str) -> Launch {
    let Picture { observation, market, config } = picture(text);
    match plan(&observation, market.as_ref(), &config).action {
        Some(Action::Launch(launch)) => *launch,
        other => panic!("a launch, not {other:?}"),
    }
}

/// Everything that the launch carries.
fn carries(text: &str, expected: Expect) {
    let launch = launch(text);
    let mut lines = String::new();
    let mut line = |name: &str, value: String| writeln!(lines, "{name:10} {value}").expect("a string");
    line("victim", launch.victim.to_string());
    line("purchase", launch.purchase.to_string());
    line("source", format!("{:?} at version {:?}", launch.source, launch.template_version));
    line("where", format!("{} {} placement {:?}", launch.zone, launch.subnet, launch.placement_group));
    line("strategy", launch.strategy.as_str().to_owned());
    line("token", launch.client_token.clone());
    for (key, value) in &launch.tags {
        line("tag", format!("{key} = {value}"));
    }
    expected.assert_eq(&short_times(&lines));
}

// Which victim.

#[test]
fn the_oldest_goes_first() {
    check(
        "group web
           i-1  on-demand  age 2h
           i-2  on-demand  age 4h
           i-3  on-demand  age 3h",
        expect![[r#"
            idle
              do      launch spot for i-2 in us-east-1a: m5.large $0.0400/h
              leave   i-3 comes later: one swap at a time
              leave   i-1 comes later: one swap at a time
        "#]],
    );
}

#[test]
fn the_zone_with_the_fewest_members_goes_first() {
    check(
        "group web
           i-1  on-demand  zone a  age 9h
           i-2  on-demand  zone a
           i-3  on-demand  zone b",
        expect![[r#"
            idle
              do      launch spot for i-3 in us-east-1b: m5.large $0.0400/h
              leave   i-2 comes later: one swap at a time
              leave   i-1 comes later: one swap at a time
        "#]],
    );
}

#[test]
fn spot_members_count_for_their_zone_as_well() {
    check(
        "group web
           i-1  on-demand  zone a
           i-2  spot  zone a
           i-3  on-demand  zone b",
        expect![[r#"
            idle
              do      launch spot for i-3 in us-east-1b: m5.large $0.0400/h
              leave   i-2 is bought as it should be
              leave   i-1 comes later: one swap at a time
        "#]],
    );
}

#[test]
fn members_of_the_same_age_go_by_name() {
    check(
        "group web
           i-2  on-demand
           i-1  on-demand",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
              leave   i-2 comes later: one swap at a time
        "#]],
    );
}

#[test]
fn a_victim_without_a_pool_makes_way_for_the_next() {
    check(
        "group web
           i-1  on-demand  type m5.4xlarge  age 9h
           i-2  on-demand  age 1h",
        expect![[r#"
            idle
              do      launch spot for i-2 in us-east-1a: m5.large $0.0400/h
              leave   i-1 no on-demand price is known for m5.4xlarge
        "#]],
    );
}

#[test]
fn when_nothing_is_cheaper_everybody_stays() {
    check(
        "group web
           i-1  on-demand
           market  m5.large 0.10 spot 0.095",
        expect![[r#"
            idle
              leave   i-1 nothing that fits is cheap enough: the cheapest is m5.large at $0.0950/h, on-demand is $0.1000/h
        "#]],
    );
}

#[test]
fn a_spot_price_at_the_on_demand_price_is_sold_out() {
    check(
        "group web
           i-1  on-demand
           market  m5.large 0.10 spot 0.10",
        expect![[r#"
            idle
              leave   i-1 nothing that fits has a price now, on-demand is $0.1000/h
        "#]],
    );
}

#[test]
fn nobody_is_swapped_in_a_group_of_nobody() {
    check(
        "group web  desired 0",
        expect![[r#"
        idle
    "#]],
    );
}

// Which way.

#[test]
fn below_the_floor_a_spot_member_of_ours_goes_back() {
    check(
        "group web
           i-1  on-demand
           i-2  spot  finished
           i-3  spot  finished
           set  min-on-demand=2",
        expect![[r#"
            idle
              do      launch on-demand for i-2 in us-east-1a: m5.large $0.1000/h
              leave   i-1 is bought as it should be
              leave   i-3 comes later: one swap at a time
        "#]],
    );
}

#[test]
fn a_spot_member_of_somebody_else_does_not_go_back() {
    check(
        "group web
           i-1  spot
           set  min-on-demand=1",
        expect![[r#"
            idle
              leave   i-1 is bought as it should be
        "#]],
    );
}

#[test]
fn the_way_back_is_blocked_by_the_same_things() {
    check(
        "group web
           i-1  spot  finished
           set  min-on-demand=1
           refresh  Pending",
        expect![[r#"
            idle
              blocked an instance refresh is Pending
        "#]],
    );
}

#[test]
fn on_the_way_back_the_age_of_the_template_does_not_matter() {
    check(
        "group web
           i-1  spot  finished  version 1
           template  version 3  type m5.large
           set  min-on-demand=1",
        expect![[r#"
            idle
              do      launch on-demand for i-1 in us-east-1a: m5.large $0.1000/h
        "#]],
    );
}

// When.

#[test]
fn a_launch_window_opens_ninety_seconds_late() {
    check(
        "now  12:11:29
         group web
           i-1  on-demand",
        expect![[r#"
            idle
              wait    the next launch window opens at 12:11:30
        "#]],
    );
}

#[test]
fn meanwhile_it_is_said_why_the_others_stay() {
    check(
        "now  12:11:29
         group web
           i-1  on-demand  protected
           i-2  on-demand",
        expect![[r#"
            idle
              wait    the next launch window opens at 12:11:30
              leave   i-1 is protected from scale-in
        "#]],
    );
}

#[test]
fn then_it_is_open() {
    check(
        "now  12:11:30
         group web
           i-1  on-demand",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn it_is_open_until_its_last_second() {
    check(
        "now  12:09:59
         group web
           i-1  on-demand",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn whose_replica_is_lost_waits_for_the_next_window_and_another_goes_first() {
    check(
        "now  12:15:00
         group web
           i-1  on-demand
           i-2  on-demand
           i-9  spot  unattached  terminated  replaces i-1  age 2m",
        expect![[r#"
            idle
              do      launch spot for i-2 in us-east-1a: m5.large $0.0400/h
              leave   i-1 has lost its replica: another one may be launched from 12:21:30 on
        "#]],
    );
}

#[test]
fn one_that_was_launched_in_haste_and_is_lost_holds_up_nobody() {
    check(
        "now  12:15:00
         group web
           i-1  on-demand
           i-9  spot  unattached  terminated  notice  replaces i-1  age 2m",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn what_was_lost_in_the_last_window_may_be_tried_again() {
    check(
        "now  12:15:00
         group web
           i-1  on-demand
           i-9  spot  unattached  terminated  replaces i-1  age 6m",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn a_short_window_opens_after_a_sixth_of_its_length() {
    check(
        "now  12:00:04
         group web
           i-1  on-demand
           set  retry-window=30s",
        expect![[r#"
            idle
              wait    the next launch window opens at 12:00:05
        "#]],
    );
}

#[test]
fn a_short_window_is_open_after_a_sixth_of_its_length() {
    check(
        "now  12:00:05
         group web
           i-1  on-demand
           set  retry-window=30s",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn within_a_window_the_token_stays() {
    let early = launch("now 12:02:00\ngroup web\ni-1 on-demand");
    let late = launch("now 12:09:00\ngroup web\ni-1 on-demand\nmarket m5.large 0.20 spot 0.05");
    assert_eq!(early.client_token, late.client_token);
}

#[test]
fn every_window_victim_and_group_has_a_token_of_its_own() {
    let token = |text: &str| launch(text).client_token;
    let one = token("now 12:02:00\ngroup web\ni-1 on-demand");
    assert_ne!(one, token("now 12:12:00\ngroup web\ni-1 on-demand"));
    assert_ne!(one, token("now 12:02:00\ngroup web\ni-2 on-demand"));
    assert_ne!(one, token("now 12:02:00\ngroup api\ni-1 on-demand"));
}

#[test]
fn a_pool_that_holds_its_share_of_the_group_is_not_asked_for() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           i-3  spot
           i-4  spot",
        expect![[r#"
            idle
              leave   i-3 is bought as it should be
              leave   i-4 is bought as it should be
              leave   i-1 each of the 1 pools to ask for holds 2 of the group already, the most that one pool may
              leave   i-2 each of the 1 pools to ask for holds 2 of the group already, the most that one pool may
        "#]],
    );
}

#[test]
fn the_same_type_in_another_zone_is_another_pool() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           i-3  spot
           i-4  spot  zone b",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
              leave   i-3 is bought as it should be
              leave   i-4 is bought as it should be
              leave   i-2 comes later: one swap at a time
        "#]],
    );
}

#[test]
fn a_swap_has_to_pay_within_the_life_of_the_groups_members() {
    check(
        "group web
           i-1  on-demand  age 5m",
        expect![[r#"
            idle
              leave   i-1 a swap would pay after 5 min, and members of this group live for 5 min
        "#]],
    );
}

// What is needed to tell.

#[test]
fn a_bulk_look_needs_details() {
    check(
        "group web  bulk
           i-1  on-demand",
        expect![[r#"
            idle
              need    details
        "#]],
    );
}

#[test]
fn a_bulk_look_is_enough_to_see_that_nobody_may_go() {
    check(
        "group web  bulk
           i-1  spot
           i-2  on-demand  protected",
        expect![[r#"
            idle
              leave   i-1 is bought as it should be
              leave   i-2 is protected from scale-in
        "#]],
    );
}

#[test]
fn a_bulk_look_is_enough_to_see_that_the_group_is_blocked() {
    check(
        "group web  bulk  warm-pool
           i-1  on-demand",
        expect![[r#"
            idle
              blocked warm pools cannot hold spot instances
        "#]],
    );
}

#[test]
fn whoever_needs_a_closer_look_keeps_what_was_said_of_the_others() {
    check(
        "group web
           i-1  on-demand  protected
           i-2  on-demand  not-looked-closer",
        expect![[r#"
            idle
              need    a closer look at i-2
              leave   i-1 is protected from scale-in
        "#]],
    );
}

#[test]
fn quiet_is_a_plan_with_nothing_to_do_to_ask_or_to_wait_for() {
    let is_quiet = |text: &str| {
        let Picture { observation, market, config } = picture(text);
        plan(&observation, market.as_ref(), &config).is_quiet()
    };
    assert!(is_quiet("group web\n i-1  spot"));
    assert!(!is_quiet("group web\n i-1  on-demand"), "a launch");
    assert!(!is_quiet("group web\n i-1  on-demand\n no-market"), "prices are needed");
    assert!(!is_quiet("group web\n i-1  on-demand\n i-9  spot  unattached  pending  replaces i-1"), "a replica boots");
}

#[test]
fn prices_are_asked_for_last() {
    check(
        "group web
           i-1  on-demand
           no-market",
        expect![[r#"
            idle
              need    market of Linux/UNIX
        "#]],
    );
}

// What the replica is born with.

#[test]
fn a_replica_is_born_with_our_tags_and_the_groups_propagated_ones() {
    carries(
        "group web
           i-1  on-demand
           propagates  team=red Name=web aws:cloudformation:stack-name=s",
        expect![[r#"
            victim     i-1
            purchase   spot
            source     Template { id: "lt-1", version: "$Default" } at version Some(1)
            where      us-east-1a subnet-a placement None
            strategy   price-capacity-optimized
            token      spotward-i-1-2992248-0733ca41488c98f9
            tag        Name = web
            tag        spotward:asg = web
            tag        spotward:deadline = 1795350900
            tag        spotward:role = replica
            tag        spotward:stack = spotward
            tag        spotward:stands-for = m5.large
            tag        spotward:victim = i-1
            tag        spotward:win = 2992248
            tag        team = red
        "#]],
    );
}

#[test]
fn our_tags_win_over_propagated_ones() {
    let launch = launch(
        "group web
           i-1  on-demand
           propagates  spotward:role=member spotward:deadline=0",
    );
    assert_eq!(launch.tags["spotward:role"], "replica");
    assert_eq!(launch.tags["spotward:deadline"], "1795350900");
}

#[test]
fn the_deadline_is_the_owners_choice() {
    let launch = launch(
        "group web
           i-1  on-demand
           set  boot-deadline=1h",
    );
    // 13:05:00, where the default is 12:35:00.
    assert_eq!(launch.tags["spotward:deadline"], "1795352700");
}

#[test]
fn a_replica_is_launched_into_the_victims_subnet_at_the_resolved_version() {
    carries(
        "group web
           i-1  on-demand  zone b  subnet subnet-b2  version 7
           subnets  subnet-b1 subnet-b2
           template  version 7
           set  allocation-strategy=capacity-optimized",
        expect![[r#"
            victim     i-1
            purchase   spot
            source     Template { id: "lt-1", version: "$Default" } at version Some(7)
            where      us-east-1b subnet-b2 placement None
            strategy   capacity-optimized
            token      spotward-i-1-2992248-0733ca41488c98f9
            tag        spotward:asg = web
            tag        spotward:deadline = 1795350900
            tag        spotward:role = replica
            tag        spotward:stack = spotward
            tag        spotward:stands-for = m5.large
            tag        spotward:victim = i-1
            tag        spotward:win = 2992248
        "#]],
    );
}

#[test]
fn a_launch_configuration_has_no_version() {
    let mut seen = picture("group web  configuration\ni-1  on-demand  no-version");
    let details = seen.observation.group.details.as_mut().expect("a full look");
    let Some(Ok(facts)) = &mut details.launch else { panic!("facts") };
    facts.version = None;
    let plan = plan(&seen.observation, seen.market.as_ref(), &seen.config);
    let Some(Action::Launch(launch)) = plan.action else { panic!("a launch") };
    assert_eq!(launch.template_version, None);
}
