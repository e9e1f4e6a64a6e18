//! Losing any one capacity pool costs at most so much of a group.

#[path = "market_support/mod.rs"]
mod support;

use expect_test::{Expect, expect};
use planner::budget::{self, Holdings, most_per_pool, worst_loss};
use planner::choose::{Pool, Pools};
use planner::model::{Group, LifecycleState, PurchaseOption, RunState};
use planner::policy::Policy;
use proptest::prelude::*;
use support::group::{group, member, minute, replica};

fn pools(names: &[&str]) -> Pools {
    let pool = |(at, name): (usize, &&str)| {
        let (instance_type, zone) = name.split_once('/').expect("type/zone");
        let price = support::price(&format!("0.0{}", at + 1));
        Pool { instance_type: instance_type.into(), zone: zone.into(), price, max_price: None, risk: None }
    };
    Pools::new(names.iter().enumerate().map(pool).collect()).expect("some")
}

/// A group of `desired`: on-demand members for what is not named.
fn group_with(desired: u32, spot: &[&str]) -> Group {
    let mut group = group(desired);
    for at in 0..desired as usize {
        let id = format!("i-{at}");
        group.members.push(match spot.get(at) {
            Some(pool) => member(&id, pool, PurchaseOption::Spot, minute(0)),
            None => member(&id, "m5.large/a", PurchaseOption::OnDemand, minute(0)),
        });
    }
    group
}

/// The last member is the victim.
fn check(settings: &str, group: &Group, candidates: &[&str], expect: Expect) {
    let victim = group.members.last().expect("a victim").id.clone();
    let policy = support::policy(settings);
    let answer = match budget::within(&pools(candidates), group, &victim, &policy) {
        Ok(pools) => pools.iter().map(|pool| format!("{}/{} ", pool.instance_type, pool.zone)).collect(),
        Err(no_pool) => no_pool.to_string(),
    };
    expect.assert_eq(answer.trim_end());
}

#[test]
fn the_budget_is_rounded_up_and_never_less_than_one() {
    let most: Vec<u32> = (0..=9).map(|desired| most_per_pool(desired, 34)).collect();
    assert_eq!(most, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]);
    assert_eq!((most_per_pool(10, 10), most_per_pool(11, 10), most_per_pool(100, 1)), (1, 2, 1));
    assert_eq!((most_per_pool(7, 100), most_per_pool(u32::MAX, 100)), (7, u32::MAX));
}

#[test]
fn a_pool_with_room_is_asked_for() {
    check("", &group_with(4, &["c5.large/a"]), &["c5.large/a", "m5.large/a"], expect!["c5.large/a m5.large/a"]);
}

#[test]
fn a_full_pool_is_left_out() {
    check("", &group_with(4, &["c5.large/a", "c5.large/a"]), &["c5.large/a", "m5.large/a"], expect!["m5.large/a"]);
}

#[test]
fn when_every_pool_is_full_nothing_is_asked_for() {
    check(
        "pool-loss=10%",
        &group_with(4, &["c5.large/a", "m5.large/a"]),
        &["c5.large/a", "m5.large/a"],
        expect!["each of the 2 pools to ask for holds 1 of the group already, the most that one pool may"],
    );
}

#[test]
fn another_zone_is_another_pool() {
    check("pool-loss=10%", &group_with(4, &["c5.large/a"]), &["c5.large/b"], expect!["c5.large/b"]);
}

#[test]
fn a_group_of_one_may_be_on_spot() {
    check("pool-loss=1%", &group_with(1, &[]), &["c5.large/a"], expect!["c5.large/a"]);
}

#[test]
fn a_replica_on_its_way_in_counts_and_a_dead_one_does_not() {
    let mut group = group_with(4, &["c5.large/a"]);
    group.replicas.push(replica("i-9", "c5.large/a", minute(0)));
    check(
        "",
        &group,
        &["c5.large/a"],
        expect!["each of the 1 pools to ask for holds 2 of the group already, the most that one pool may"],
    );
    group.replicas[0].state = RunState::Terminated;
    check("", &group, &["c5.large/a"], expect!["c5.large/a"]);
}

#[test]
fn a_member_on_its_way_out_does_not_count() {
    let mut group = group_with(4, &["c5.large/a", "c5.large/a"]);
    check(
        "",
        &group,
        &["c5.large/a"],
        expect!["each of the 1 pools to ask for holds 2 of the group already, the most that one pool may"],
    );
    group.members[0].lifecycle = LifecycleState::Terminating;
    check("", &group, &["c5.large/a"], expect!["c5.large/a"]);
}

#[test]
fn the_victim_makes_room_itself() {
    let group = group_with(2, &["m5.large/a", "c5.large/a"]);
    check("", &group, &["c5.large/a"], expect!["c5.large/a"]);
}

#[test]
fn diversified_asks_for_the_pools_that_the_group_uses_least() {
    let group = group_with(10, &["c5.large/a", "c5.large/a", "m5.large/a", "r5.large/a"]);
    let candidates = ["c5.large/a", "m5.large/a", "r5.large/a"];
    check("allocation-strategy=diversified", &group, &candidates, expect!["m5.large/a r5.large/a"]);
    check(
        "allocation-strategy=diversified",
        &group,
        &["c5.large/a", "m5.large/a", "r5.large/a", "t3.large/a"],
        expect!["t3.large/a"],
    );
    check(
        "allocation-strategy=price-capacity-optimized",
        &group,
        &candidates,
        expect!["c5.large/a m5.large/a r5.large/a"],
    );
}

#[test]
fn lowest_price_spreads_over_the_pools_to_use_and_else_takes_the_cheapest() {
    let group = group_with(10, &["c5.large/a"]);
    let candidates = ["c5.large/a", "m5.large/a"];
    check("allocation-strategy=lowest-price;pools-to-use=2", &group, &candidates, expect!["m5.large/a"]);
    check("allocation-strategy=lowest-price", &group, &candidates, expect!["c5.large/a m5.large/a"]);
}

#[test]
fn the_worst_pool_is_named() {
    let group = group_with(6, &["c5.large/a", "m5.large/b", "m5.large/b", "c5.large/b", "c5.large/b"]);
    let worst = Holdings::without(&group, &"i-5".into()).worst();
    let worst = worst.map(|(instance_type, zone, count)| format!("{count} in {instance_type}/{zone}"));
    assert_eq!(worst.as_deref(), Some("2 in c5.large/b"), "of equal ones the first by name");
    assert_eq!(Holdings::without(&group_with(3, &[]), &"i-2".into()).worst(), None);
}

// For every sequence.

/// What can happen to a group.
#[derive(Clone, Debug)]
enum Event {
    /// The n-th on-demand member is replaced; EC2 picks the k-th pool of what we ask for.
    Swap(usize, usize),
    /// A pool takes all its instances back; the group launches on-demand members for them.
    Loss(usize),
    /// Desired capacity changes; the last members go, or on-demand members come.
    Resize(u32),
}

const POOLS: [&str; 7] = ["a5/x", "b5/x", "c5/x", "d5/y", "e5/y", "f5/y", "g5/z"];

fn events(resizes: bool) -> impl Strategy<Value = Vec<Event>> {
    let resize = if resizes { 1 } else { 0 };
    let event = prop_oneof![
        8 => (0..50usize, 0..50usize).prop_map(|(victim, pick)| Event::Swap(victim, pick)),
        1 => (0..POOLS.len()).prop_map(Event::Loss),
        resize => (1..20u32).prop_map(Event::Resize),
    ];
    prop::collection::vec(event, 1..120)
}

/// Plays the events and shows the group to `look` before and after each.
fn play(group: &mut Group, policy: &Policy, events: &[Event], mut look: impl FnMut(&Group, &Group, &Event)) {
    for (at, event) in events.iter().enumerate() {
        let before = group.clone();
        match event {
            Event::Swap(victim, pick) => {
                let on_demand: Vec<usize> = (0..group.members.len())
                    .filter(|at| group.members[*at].purchase == PurchaseOption::OnDemand)
                    .collect();
                if on_demand.is_empty() {
                    continue;
                }
                let victim = on_demand[victim % on_demand.len()];
                let id = group.members[victim].id.clone();
                if let Ok(pools) = budget::within(&pools(&POOLS), group, &id, policy) {
                    let picked = pools.iter().nth(pick % pools.count()).expect("one of them");
                    let name = format!("{}/{}", picked.instance_type, picked.zone);
                    group.members[victim] = member(&format!("i-s{at}"), &name, PurchaseOption::Spot, minute(0));
                }
            }
            Event::Loss(pool) => {
                for member in &mut group.members {
                    if format!("{}/{}", member.instance_type, member.zone) == POOLS[*pool] {
                        member.purchase = PurchaseOption::OnDemand;
                        member.instance_type = "m5.large".into();
                    }
                }
            }
            Event::Resize(desired) => {
                group.members.truncate(*desired as usize);
                while group.members.len() < *desired as usize {
                    let id = format!("i-r{at}-{}", group.members.len());
                    group.members.push(member(&id, "m5.large/x", PurchaseOption::OnDemand, minute(0)));
                }
                group.desired = *desired;
            }
        }
        look(&before, group, event);
    }
}

fn worst(group: &Group) -> u32 {
    Holdings::without(group, &"i-nobody".into()).worst().map_or(0, |(_, _, count)| count)
}

proptest! {
    #[test]
    fn no_sequence_of_swaps_and_losses_breaks_the_budget(
        desired in 1..20u32, percent in 1..=100u32, strategy in 0..3usize, events in events(false),
    ) {
        let strategy = ["price-capacity-optimized", "diversified", "lowest-price"][strategy];
        let policy = support::policy(&format!("pool-loss={percent}%;allocation-strategy={strategy}"));
        let bound = ((f64::from(percent) * f64::from(desired) / 100.0 - 1e-9).ceil() as u32).max(1);
        let mut worst_seen = 0;
        play(&mut group_with(desired, &[]), &policy, &events, |_, after, _| worst_seen = worst_seen.max(worst(after)));
        prop_assert!(worst_seen <= bound, "{} of {}, {} allowed", worst_seen, desired, bound);
    }

    #[test]
    fn in_a_group_that_shrinks_no_swap_adds_to_a_full_pool(desired in 1..20u32, percent in 1..=100u32, events in events(true)) {
        let policy = support::policy(&format!("pool-loss={percent}%"));
        let mut broken = None;
        play(&mut group_with(desired, &[]), &policy, &events, |before, after, event| {
            let most = most_per_pool(after.desired, percent);
            if matches!(event, Event::Swap(..)) && worst(after) > most && worst(after) > worst(before) {
                broken = Some((worst(before), worst(after), most));
            }
        });
        prop_assert_eq!(broken, None);
    }

    #[test]
    fn diversified_spreads_within_one(desired in 1..40u32, picks in prop::collection::vec(0..50usize, 40)) {
        let policy = support::policy("pool-loss=100%;allocation-strategy=diversified");
        let swaps: Vec<Event> = picks.into_iter().map(|pick| Event::Swap(0, pick)).collect();
        let mut spread = Vec::new();
        play(&mut group_with(desired, &[]), &policy, &swaps, |_, after, _| {
            let holdings = Holdings::without(after, &"i-nobody".into());
            let counts = POOLS.map(|name| {
                let (instance_type, zone) = name.split_once('/').expect("type/zone");
                holdings.count(&instance_type.into(), &zone.into())
            });
            spread.push(counts.iter().max().expect("some") - counts.iter().min().expect("some"));
        });
        prop_assert!(spread.iter().all(|spread| *spread <= 1), "{:?}", spread);
    }
}

/// Now, and at most after so many swaps.
fn check_loss(settings: &str, group: &Group, swaps_left: u32, expect: Expect) {
    let loss = worst_loss(group, &support::policy(settings), swaps_left);
    let pool = loss.pool.map_or("no pool".to_owned(), |(instance_type, zone)| format!("{instance_type}/{zone}"));
    expect.assert_eq(&format!("{} of {} in {pool}, then {}", loss.now, loss.desired, loss.after));
}

#[test]
fn without_spot_nothing_is_lost_and_later_as_much_as_the_budget_allows() {
    check_loss("", &group_with(10, &[]), 0, expect!["0 of 10 in no pool, then 0"]);
    check_loss("", &group_with(10, &[]), 2, expect!["0 of 10 in no pool, then 2"]);
    check_loss("", &group_with(10, &[]), 10, expect!["0 of 10 in no pool, then 4"]);
}

#[test]
fn a_pool_above_the_budget_stays_the_worst() {
    let group = group_with(4, &["c5.large/a", "c5.large/a", "c5.large/a", "m5.large/b"]);
    check_loss("pool-loss=25%", &group, 0, expect!["3 of 4 in c5.large/a, then 3"]);
}
