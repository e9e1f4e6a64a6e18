//! Advice on a group: which profile, and who should buy. Each case names the rule.

mod support;

use expect_test::{Expect, expect};
use planner::advise::{Character, advise};
use planner::market::InstanceSpec;
use planner::model::{InstanceType, Price};
use planner::plan::plan;
use planner::reason::Code;
use support::{Picture, picture};

fn check(text: &str, expected: Expect) {
    let Picture { observation, market, config } = picture(text);
    let plan = plan(&observation, market.as_ref(), &config);
    let advice = advise(&observation, &plan, market.as_ref(), &config);
    let left = |savings: Option<planner::savings::Savings>| {
        savings.map_or("unknown".to_owned(), |savings| format!("{} swaps", savings.swaps_left))
    };
    expected.assert_eq(&format!(
        "{}, {}: {}\n{}: {}\n{}, with the profile {}",
        advice.profile.name,
        advice.character.code(),
        advice.character,
        advice.mode.code(),
        advice.mode,
        left(advice.savings),
        left(advice.savings_with_profile),
    ));
}

#[test]
fn what_serves_traffic_is_web() {
    check(
        "group web  desired 3  load-balanced
           i-1  on-demand  targets-healthy
           i-2  on-demand  targets-healthy
           i-3  on-demand  targets-healthy",
        expect![[r#"
            web, serves: a load balancer sends traffic to it, and the others take over when one goes
            swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
            3 swaps, with the profile 2 swaps"#]],
    );
}

#[test]
fn two_behind_a_load_balancer_are_critical() {
    check(
        "group web  desired 2  load-balanced
           i-1  on-demand  targets-healthy
           i-2  on-demand  targets-healthy",
        expect![[r#"
            critical, few: a load balancer sends traffic to 2 members only
            swap: with 2 members an instance that cannot be had would be missed, and a swap keeps the on-demand one until then
            2 swaps, with the profile 1 swaps"#]],
    );
}

#[test]
fn what_holds_on_to_something_is_critical_whatever_else_it_is() {
    check(
        "group web  desired 3  load-balanced
           i-1  on-demand  targets-healthy  elastic-ip
           i-2  on-demand  targets-healthy  protected
           i-3  on-demand  targets-healthy",
        expect![[r#"
            critical, holds-on: 2 members are protected, or have an address or a volume that would be lost
            swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
            1 swaps, with the profile 1 swaps"#]],
    );
}

#[test]
fn each_thing_that_a_member_holds_on_to_is_enough() {
    for held in ["protected", "elastic-ip", "attached-later", "termination-protected"] {
        let Picture { observation, market, config } =
            picture(&format!("group web  desired 3\n i-1  on-demand  {held}"));
        let plan = plan(&observation, market.as_ref(), &config);
        assert_eq!(advise(&observation, &plan, None, &config).character, Character::HoldsOn { members: 1 }, "{held}");
    }
}

#[test]
fn what_may_shrink_to_nothing_is_batch() {
    check(
        "group work  desired 3  min 0
           i-1  on-demand
           i-2  on-demand
           i-3  on-demand",
        expect![[r#"
            batch, to-zero: it may shrink to nothing, so its work can wait
            swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
            3 swaps, with the profile 3 swaps"#]],
    );
}

#[test]
fn a_lone_member_is_critical() {
    check(
        "group one  desired 1  min 1
           i-1  on-demand",
        expect![[r#"
            critical, alone: its one member has nobody to take over
            swap: with 1 member an instance that cannot be had would be missed, and a swap keeps the on-demand one until then
            1 swaps, with the profile 0 swaps"#]],
    );
}

#[test]
fn members_that_stay_for_a_month_may_hold_something_and_younger_ones_do_not() {
    check(
        "group store  desired 3  min 1
           i-1  on-demand  age 30d
           i-2  on-demand  age 31d
           i-3  on-demand  age 1d",
        expect![[r#"
            critical, long-lived: half of its members have run for 30 days or longer: they may hold what is not elsewhere
            swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
            3 swaps, with the profile 1 swaps"#]],
    );
    check(
        "group store  desired 3  min 1
           i-1  on-demand  age 29d
           i-2  on-demand  age 31d
           i-3  on-demand  age 2d",
        expect![[r#"
            batch, workers: nothing sends traffic to it, so its members seem to fetch their work
            swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
            3 swaps, with the profile 3 swaps"#]],
    );
    check(
        "group store  desired 3  min 1
           i-1  on-demand  age 23h
           i-2  on-demand  age 31d
           i-3  on-demand  age 2h",
        expect![[r#"
            batch, short-lived: half of its members are no older than 23 hours: they come and go
            swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
            3 swaps, with the profile 3 swaps"#]],
    );
}

#[test]
fn the_age_is_that_of_the_member_in_the_middle() {
    check(
        "group store  desired 5  min 1
           i-1  on-demand  age 1h
           i-2  on-demand  age 2h
           i-3  on-demand  age 3d
           i-4  on-demand  age 4d
           i-5  on-demand  age 31d",
        expect![[r#"
            batch, workers: nothing sends traffic to it, so its members seem to fetch their work
            swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
            5 swaps, with the profile 5 swaps"#]],
    );
}

#[test]
fn an_owner_who_has_chosen_knows_better() {
    check(
        "group web  desired 3  load-balanced
           set profile=batch
           i-1  on-demand  targets-healthy
           i-2  on-demand  targets-healthy
           i-3  on-demand  targets-healthy",
        expect![[r#"
            batch, chosen: its owner has chosen it
            swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
            3 swaps, with the profile unknown"#]],
    );
}

#[test]
fn launch_hooks_run_with_a_policy_only() {
    check(
        "group web  desired 3  min 1
           hooks launch register
           i-1  on-demand
           i-2  on-demand
           i-3  on-demand",
        expect![[r#"
            batch, workers: nothing sends traffic to it, so its members seem to fetch their work
            native: its launch hooks (register) run with it, and would not on an attach
            3 swaps, with the profile 3 swaps"#]],
    );
}

#[test]
fn a_policy_that_is_there_needs_no_swaps() {
    check(
        "group web  desired 3  min 1  mixed
           i-1  on-demand
           i-2  on-demand
           i-3  on-demand",
        expect![[r#"
            batch, workers: nothing sends traffic to it, so its members seem to fetch their work
            native: it has one: set its OnDemandPercentageAboveBaseCapacity
            3 swaps, with the profile 3 swaps"#]],
    );
}

#[test]
fn the_service_that_operates_a_group_is_the_one_to_ask() {
    check(
        "group web  desired 3  min 1  operator eks.amazonaws.com
           i-1  on-demand
           i-2  on-demand
           i-3  on-demand",
        expect![[r#"
            batch, workers: nothing sends traffic to it, so its members seem to fetch their work
            service: it belongs to the AWS service that operates it, which has spot support of its own
            3 swaps, with the profile 3 swaps"#]],
    );
}

/// Types for a policy of its own: a large group in `zones`, and a market of that many types, all alike but for the price.
fn native_types(zones: &str, market_of: usize) -> Vec<String> {
    let members: String = (1..=21).map(|n| format!("i-{n}  on-demand\n")).collect();
    let text = format!("group web  desired 21  min 1\n zones {zones}\n {members}");
    let Picture { observation, market, config } = picture(&text);
    let mut market = market.expect("one is drawn");
    let model = market.specs[&InstanceType::new("m5.large")].clone();
    for n in 0..market_of {
        let name = InstanceType::new(format!("m5n{n:02}.large"));
        market.specs.insert(name.clone(), InstanceSpec { instance_type: name.clone(), ..model.clone() });
        for offered in market.offerings.values_mut() {
            offered.insert(name.clone());
        }
        market.on_demand.insert(name.clone(), Price(100_000));
        for (at, prices) in market.spot.values_mut().enumerate() {
            // Dearer from type to type, and what is cheap in one zone is not the cheapest in the next.
            prices.insert(name.clone(), Price(20_000 + 100 * n as u64 + 50 * at as u64));
        }
    }
    let plan = plan(&observation, Some(&market), &config);
    let advice = advise(&observation, &plan, Some(&market), &config);
    advice.native_types.iter().map(ToString::to_string).collect()
}

#[test]
fn a_policy_is_offered_the_cheapest_types_of_all_zones_each_once_and_no_more_than_it_takes() {
    assert_eq!(native_types("a b", 2), ["m5n00.large", "m5n01.large", "m5.large"]);
    let many = native_types("a b", 60);
    assert_eq!(many.len(), 40, "an override list has at most 40 entries");
    assert_eq!((many[0].as_str(), many[39].as_str()), ("m5n00.large", "m5n39.large"));
}

#[test]
fn a_launch_configuration_takes_no_policy_however_large_the_group_is() {
    check(
        "group web  desired 21  min 1  configuration
           i-1  on-demand",
        expect![[r#"
            batch, workers: nothing sends traffic to it, so its members seem to fetch their work
            swap: it launches from a launch configuration, which a mixed instances policy does not take
            1 swaps, with the profile 1 swaps"#]],
    );
}

#[test]
fn more_than_twenty_members_are_many() {
    let members = |count: u32| -> String {
        let lines: Vec<String> = (1..=count).map(|at| format!("i-{at}  on-demand")).collect();
        format!("group web  desired {count}  min 1\n{}", lines.join("\n"))
    };
    check(
        &members(20),
        expect![[r#"
        batch, workers: nothing sends traffic to it, so its members seem to fetch their work
        swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
        20 swaps, with the profile 20 swaps"#]],
    );
    check(
        &members(21),
        expect![[r#"
        batch, workers: nothing sends traffic to it, so its members seem to fetch their work
        native: with 21 members one swap after the other takes hours; it launches spot at once
        21 swaps, with the profile 21 swaps"#]],
    );
}

#[test]
fn three_launches_within_an_hour_are_restless_and_older_ones_do_not_count() {
    let group = |third: &str| {
        format!(
            "group web  desired 3  min 1
               activity  i-1  started 10m
               activity  i-2  started 20m
               activity  i-3  started {third}
               i-1  on-demand
               i-2  on-demand
               i-3  on-demand"
        )
    };
    check(
        &group("59m"),
        expect![[r#"
        batch, workers: nothing sends traffic to it, so its members seem to fetch their work
        native: 3 launches within an hour would each boot twice; it launches spot at once
        3 swaps, with the profile 3 swaps"#]],
    );
    check(
        &group("60m"),
        expect![[r#"
        batch, workers: nothing sends traffic to it, so its members seem to fetch their work
        swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
        3 swaps, with the profile 3 swaps"#]],
    );
}

#[test]
fn scaling_in_and_calls_are_no_launches() {
    check(
        "group web  desired 3  min 1
           activity  i-1  started 10m  by-request
           activity  i-8  started 20m  shrank 4>3
           activity  i-3  started 30m
           i-1  on-demand
           i-2  on-demand
           i-3  on-demand",
        expect![[r#"
            batch, workers: nothing sends traffic to it, so its members seem to fetch their work
            swap: it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had
            3 swaps, with the profile 3 swaps"#]],
    );
}

#[test]
fn what_cannot_be_spot_is_neither() {
    check(
        "group web  desired 1  min 1  warm-pool\n  i-1  on-demand",
        expect![[r#"
        critical, alone: its one member has nobody to take over
        neither: warm pools cannot hold spot instances
        1 swaps, with the profile 0 swaps"#]],
    );
    check(
        "group web  desired 1  min 1\n  template hibernation\n  i-1  on-demand",
        expect![[r#"
        critical, alone: its one member has nobody to take over
        neither: the template asks for hibernation, which works differently on spot instances
        0 swaps, with the profile 0 swaps"#]],
    );
    check(
        "group web  desired 1  min 1\n  template spot\n  i-1  on-demand",
        expect![[r#"
        critical, alone: its one member has nobody to take over
        already-spot: what it launches is spot already
        1 swaps, with the profile 0 swaps"#]],
    );
    check(
        "group web  desired 1  min 1\n  tag eks:nodegroup-name=n\n  i-1  on-demand",
        expect![[r#"
        critical, alone: its one member has nobody to take over
        service: it belongs to an EKS managed node group, which has spot support of its own
        1 swaps, with the profile 0 swaps"#]],
    );
    check(
        "group web  desired 1  min 1  new-members-protected\n  i-1  on-demand",
        expect![[r#"
        critical, alone: its one member has nobody to take over
        native: new members are protected from scale-in, so no victim may leave; it needs none to
        1 swaps, with the profile 0 swaps"#]],
    );
    check(
        "group web  desired 1  min 1  sized-in vcpu\n  i-1  on-demand",
        expect![[r#"
        critical, alone: its one member has nobody to take over
        native: it is sized by weights or attributes, which only Auto Scaling counts
        1 swaps, with the profile 0 swaps"#]],
    );
}
