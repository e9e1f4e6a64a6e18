//! A swap that could start, and the rules about risk, worth and time that hold it back; and what is written down about
//! pools that failed.

#[path = "market_support/mod.rs"]
mod support;

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use jiff::Timestamp;
use planner::action::Action;
use planner::market::Market;
use planner::model::{Details, Group, LaunchFacts, LaunchSource, Observation, PurchaseOption, Role};
use planner::plan;
use planner::policy::Config;
use planner::reason::Code;
use support::group::{group, member, minute, ours, replica};

/// Three pools: m7i is the cheapest, r6i the dearest.
fn market() -> Market {
    support::market(&[
        "m6i.large 2 vCPUs 8 GiB on-demand 0.096 a 0.040",
        "m7i.large 2 vCPUs 8 GiB on-demand 0.1008 a 0.038",
        "r6i.large 2 vCPUs 16 GiB on-demand 0.126 a 0.041",
    ])
}

/// Four members in zone a, a day old: on-demand but for what `spot` names, which we brought three hours ago.
fn web(settings: &[(&str, &str)], spot: &[&str]) -> Group {
    let mut group = group(4);
    group.source = LaunchSource::Template { id: "lt-1".to_owned(), version: "1".to_owned() };
    group.tags.insert("spot-enabled".to_owned(), "true".to_owned());
    for (key, value) in settings {
        group.tags.insert(format!("spotward:{key}"), (*value).to_owned());
    }
    group.details = Some(Details {
        activities: Some(Vec::new()),
        launch: Some(Ok(LaunchFacts { version: Some(1), ..support::launch() })),
        ..Details::default()
    });
    for at in 0..4 {
        let id = format!("i-{}", at + 1);
        group.members.push(match spot.get(at) {
            Some(pool) => {
                let mut member = member(&id, pool, PurchaseOption::Spot, minute(-180));
                member.ours = Some(ours(Role::Member));
                member
            }
            None => member(&id, "m6i.large/a", PurchaseOption::OnDemand, minute(-1440)),
        });
        group.members.last_mut().expect("just pushed").ec2.as_mut().expect("seen").subnet = "subnet-1".into();
    }
    group.subnets = vec!["subnet-1".into()];
    group
}

fn check_at(now: Timestamp, group: Group, expect: Expect) {
    let plan = plan::plan(&Observation { now, group }, Some(&market()), &Config::default());
    let mut picture = String::new();
    if let Some(Action::Note { backoff }) = &plan.note {
        let _ = writeln!(picture, "note {}", backoff.as_deref().unwrap_or("nothing"));
    }
    match &plan.action {
        Some(Action::Launch(launch)) => {
            let pools: Vec<&str> = launch.pools.iter().map(|pool| pool.instance_type.as_str()).collect();
            let _ = writeln!(picture, "launch {} for {}: {}", launch.purchase, launch.victim, pools.join(", "));
        }
        Some(other) => {
            let _ = writeln!(picture, "{}", other.name());
        }
        None => {}
    }
    for blocker in &plan.blockers {
        let _ = writeln!(picture, "blocked [{}] {blocker}", blocker.code());
    }
    for (member, reason) in &plan.left_alone {
        if !["later", "spot"].contains(&reason.code()) {
            let _ = writeln!(picture, "leave {member} [{}] {reason}", reason.code());
        }
    }
    expect.assert_eq(&picture);
}

/// Five minutes past noon: the launch window is open.
fn check(group: Group, expect: Expect) {
    check_at(minute(5), group, expect);
}

#[test]
fn nothing_speaks_against_it() {
    check(
        web(&[], &[]),
        expect![[r#"
        launch spot for i-1: m7i.large, m6i.large, r6i.large
    "#]],
    );
}

// The budget.

#[test]
fn a_pool_that_holds_its_share_is_not_asked_for() {
    check(
        web(&[], &["m7i.large/a", "m7i.large/a"]),
        expect![[r#"
        launch spot for i-3: m6i.large, r6i.large
    "#]],
    );
}

#[test]
fn when_every_pool_holds_its_share_the_rest_stays() {
    check(
        web(&[("pool-loss", "25%")], &["m7i.large/a", "m6i.large/a", "r6i.large/a"]),
        expect![[r#"
        leave i-4 [no-pool] each of the 3 pools to ask for holds 1 of the group already, the most that one pool may
    "#]],
    );
}

#[test]
fn the_way_back_knows_no_budget() {
    check(
        web(&[("pool-loss", "1%"), ("min-on-demand", "4")], &["m7i.large/a", "m6i.large/a", "r6i.large/a"]),
        expect![[r#"
            launch on-demand for i-1: m6i.large, m7i.large
        "#]],
    );
}

// The breaker.

#[test]
fn a_pool_that_cools_is_not_asked_for() {
    let mut group = web(&[], &[]);
    let now = minute(5).as_second() / 60;
    group.tags.insert("spotward:backoff".to_owned(), format!("v1;t={now};a=m7i.large+20*1"));
    check(
        group,
        expect![[r#"
        launch spot for i-1: m6i.large, r6i.large
    "#]],
    );
}

#[test]
fn when_all_cool_it_is_said_until_when() {
    let mut group = web(&[], &[]);
    let now = minute(5).as_second() / 60;
    group
        .tags
        .insert("spotward:backoff".to_owned(), format!("v1;t={now};a=m6i.large+30*1,m7i.large+20*1,r6i.large+40*1"));
    check(
        group,
        expect![[r#"
        leave i-1 [no-pool] each of the 3 pools to ask for has failed lately, until 2026-11-02T12:25:00Z
        leave i-2 [no-pool] each of the 3 pools to ask for has failed lately, until 2026-11-02T12:25:00Z
        leave i-3 [no-pool] each of the 3 pools to ask for has failed lately, until 2026-11-02T12:25:00Z
        leave i-4 [no-pool] each of the 3 pools to ask for has failed lately, until 2026-11-02T12:25:00Z
    "#]],
    );
}

#[test]
fn after_losses_in_three_pools_on_demand_members_stay() {
    let mut group = web(&[], &[]);
    let now = minute(5).as_second() / 60;
    group
        .tags
        .insert("spotward:backoff".to_owned(), format!("v1;t={now};b=m6i.large+30*1!,m7i.large+20*1!,r6i.large+40*1!"));
    check(
        group,
        expect![[r#"
        blocked [pools-lost] instances were lost in several pools lately: on-demand members stay until 2026-11-02T12:25:00Z
    "#]],
    );
}

#[test]
fn the_way_back_does_not_wait_for_the_market() {
    let mut group = web(&[("min-on-demand", "4")], &["m7i.large/a"]);
    let now = minute(5).as_second() / 60;
    group
        .tags
        .insert("spotward:backoff".to_owned(), format!("v1;t={now};b=m6i.large+30*1!,m7i.large+20*1!,r6i.large+40*1!"));
    check(
        group,
        expect![[r#"
        launch on-demand for i-1: m6i.large, m7i.large
    "#]],
    );
}

#[test]
fn a_member_whose_end_is_announced_is_written_down_and_its_pool_left_out_at_once() {
    let mut group = web(&[], &["m7i.large/a"]);
    group.members[0].ec2.as_mut().expect("seen").interrupted = true;
    group.desired = 3;
    check(
        group,
        expect![[r#"
            note v1;t=29893685;a=m7i.large+36*1!
            launch spot for i-1: m6i.large, r6i.large
        "#]],
    );
}

#[test]
fn a_replica_whose_end_is_announced_is_written_down_and_ended() {
    let mut group = web(&[], &[]);
    let mut replica = replica("i-9", "m7i.large/a", minute(0));
    replica.interrupted = true;
    replica.ours.victim = "i-1".into();
    group.replicas.push(replica);
    check(
        group,
        expect![[r#"
        note v1;t=29893685;a=m7i.large+36*1!
        discard
    "#]],
    );
}

#[test]
fn a_spot_member_launched_since_has_proved_its_pool() {
    let mut group = web(&[], &["m7i.large/a"]);
    let then = minute(-200).as_second() / 60;
    group.tags.insert("spotward:backoff".to_owned(), format!("v1;t={then};a=m7i.large+10*4,r6i.large+300*3"));
    check(
        group,
        expect![[r#"
            note v1;t=29893685;a=r6i.large+95*3
            launch spot for i-2: m7i.large, m6i.large
        "#]],
    );
}

#[test]
fn what_has_cooled_for_long_is_forgotten() {
    let mut group = web(&[], &[]);
    let then = minute(-200).as_second() / 60;
    group.tags.insert("spotward:backoff".to_owned(), format!("v1;t={then};a=m7i.large+10*1"));
    check(
        group,
        expect![[r#"
            note nothing
            launch spot for i-1: m7i.large, m6i.large, r6i.large
        "#]],
    );
}

#[test]
fn nothing_is_written_on_a_group_that_nobody_enabled() {
    let mut group = web(&[], &["m7i.large/a"]);
    group.tags.remove("spot-enabled");
    group.members[0].ec2.as_mut().expect("seen").interrupted = true;
    check(
        group,
        expect![[r#"
        blocked [not-enabled] the group does not carry the enabling tag
    "#]],
    );
}

// Pace and schedule.

#[test]
fn no_more_launches_in_an_hour_than_the_owner_allows() {
    let brought = |minutes: i64| {
        let mut group = web(&[("swaps-per-hour", "1")], &["m7i.large/a"]);
        group.members[0].ec2.as_mut().expect("seen").launched_at = minute(5 - minutes);
        group
    };
    check(
        brought(59),
        expect![[r#"
        blocked [swaps-per-hour] as many launches in an hour as spotward:swaps-per-hour allows, until 2026-11-02T12:06:00Z
    "#]],
    );
    check(
        brought(60),
        expect![[r#"
        launch spot for i-2: m7i.large, m6i.large, r6i.large
    "#]],
    );
}

#[test]
fn swaps_start_inside_the_schedule_only() {
    // Five past noon on a Monday, UTC.
    check(
        web(&[("schedule", "12 mon")], &[]),
        expect![[r#"
        launch spot for i-1: m7i.large, m6i.large, r6i.large
    "#]],
    );
    check(
        web(&[("schedule", "13-18 mon-fri")], &[]),
        expect![[r#"
        blocked [outside-schedule] outside the schedule, which opens at 2026-11-02T13:00:00Z
    "#]],
    );
    check(
        web(&[("schedule-state", "off")], &[]),
        expect![[r#"
        blocked [outside-schedule] the schedule never opens
    "#]],
    );
}

#[test]
fn the_way_back_does_not_wait_for_the_schedule_or_the_pace() {
    check(
        web(&[("schedule", "13"), ("swaps-per-hour", "1"), ("min-on-demand", "4")], &["m7i.large/a"]),
        expect![[r#"
            launch on-demand for i-1: m6i.large, m7i.large
        "#]],
    );
}

// Payback.

#[test]
fn a_group_whose_members_live_too_briefly_is_left_alone() {
    let aged = |minutes: i64| {
        let mut group = web(&[("min-age", "0s")], &[]);
        for member in &mut group.members {
            member.ec2.as_mut().expect("seen").launched_at = minute(5 - minutes);
        }
        group
    };
    // 750 s of overlap at 38 of 96: worth it after 491 s.
    check(
        aged(8),
        expect![[r#"
        leave i-1 [not-worth-it] a swap would pay after 9 min, and members of this group live for 8 min
        leave i-2 [not-worth-it] a swap would pay after 9 min, and members of this group live for 8 min
        leave i-3 [not-worth-it] a swap would pay after 9 min, and members of this group live for 8 min
        leave i-4 [not-worth-it] a swap would pay after 9 min, and members of this group live for 8 min
    "#]],
    );
    check(
        aged(9),
        expect![[r#"
        launch spot for i-1: m7i.large, m6i.large, r6i.large
    "#]],
    );
    let mut ignored = aged(8);
    ignored.tags.insert("spotward:payback".to_owned(), "ignore".to_owned());
    check(
        ignored,
        expect![[r#"
        launch spot for i-1: m7i.large, m6i.large, r6i.large
    "#]],
    );
}

#[test]
fn the_way_back_need_not_pay() {
    let mut group = web(&[("min-age", "0s"), ("min-on-demand", "4")], &["m7i.large/a"]);
    for member in &mut group.members {
        member.ec2.as_mut().expect("seen").launched_at = minute(1);
    }
    check(
        group,
        expect![[r#"
        launch on-demand for i-1: m6i.large, m7i.large
    "#]],
    );
}
