//! How fast pools are chosen, and what the rules leave over of the real instance types.
//!
//! `cargo bench -p planner --bench choose`
#![allow(clippy::print_stdout)] // a benchmark prints for people

#[path = "../tests/market_support/mod.rs"]
mod support;

use std::sync::LazyLock;

use divan::{Bencher, black_box};
use planner::choose::{self, Choice, NoPool};
use planner::compat;
use planner::market::{InstanceSpec, Market};
use planner::model::{InstanceType, LaunchFacts, PurchaseOption, Zone};
use planner::policy::Policy;

static MARKET: LazyLock<Market> = LazyLock::new(support::real::market);
static POLICY: LazyLock<Policy> = LazyLock::new(|| support::policy(""));

fn main() {
    println!("{}", alternatives("default policy", &POLICY));
    let generous = support::policy("cpu-manufacturer=any;previous-generation=true;burstable=true");
    println!("{}", alternatives("any CPU manufacturer, previous generations, burstable", &generous));
    divan::main();
}

/// What a group of such instances launches.
fn launch_of(victim: &InstanceSpec) -> LaunchFacts {
    let mut launch = support::launch();
    launch.image.architecture = victim.architectures.last().cloned().unwrap_or_default();
    launch.image.ena = victim.ena_required;
    launch
}

/// Over all types and zones of us-east-1 that have an on-demand price and can be had as spot.
fn alternatives(title: &str, policy: &Policy) -> String {
    let mut counts: Vec<usize> = Vec::new();
    let mut savings: Vec<u32> = Vec::new();
    let (mut none, mut not_cheaper) = (0, 0);
    for victim in MARKET.specs.values().filter(|spec| spec.spot) {
        let Some(paid) = MARKET.on_demand.get(&victim.instance_type) else { continue };
        let launch = launch_of(victim);
        let others = MARKET
            .specs
            .values()
            .filter(|spec| spec.instance_type != victim.instance_type)
            .filter(|spec| compat::fits(victim, &launch, policy, spec).is_ok())
            .count();
        counts.push(others);
        none += usize::from(others == 0);
        let mut best = None;
        for zone in MARKET.offerings.keys().filter(|zone| MARKET.offers(zone, &victim.instance_type)) {
            match choose::choose(&victim.instance_type, zone, &launch, PurchaseOption::Spot, &MARKET, policy) {
                Ok(pools) => best = best.max(Some(pools.best().price.saving_percent(*paid))),
                Err(NoPool::NothingCheaper { .. }) => not_cheaper += 1,
                Err(_) => {}
            }
        }
        savings.extend(best);
    }
    counts.sort_unstable();
    savings.sort_unstable();
    format!(
        "{title}: {} types, {none} without any other type that fits, median {} others (quartiles {} and {}); \
         {} with a cheap enough pool somewhere, median saving of the best {} %; {not_cheaper} type-and-zone pairs \
         where nothing that fits is cheap enough",
        counts.len(),
        counts[counts.len() / 2],
        counts[counts.len() / 4],
        counts[counts.len() * 3 / 4],
        savings.len(),
        savings[savings.len() / 2],
    )
}

const VICTIMS: [&str; 5] = ["t3.micro", "m5.large", "m6i.2xlarge", "r7g.4xlarge", "c5d.18xlarge"];

#[divan::bench(args = VICTIMS)]
fn one_victim_one_zone(bencher: Bencher, victim: &str) {
    let victim: InstanceType = victim.into();
    let launch = launch_of(&MARKET.specs[&victim]);
    let zone: Zone = "us-east-1a".into();
    bencher
        .bench(|| choose::choose(black_box(&victim), &zone, &launch, PurchaseOption::Spot, &MARKET, &POLICY).is_ok());
}

/// As a plan does it: one choice for all zones.
#[divan::bench(args = VICTIMS)]
fn one_victim_all_six_zones(bencher: Bencher, victim: &str) {
    let victim: InstanceType = victim.into();
    let launch = launch_of(&MARKET.specs[&victim]);
    bencher.bench(|| {
        let choice = Choice::new(black_box(&victim), &launch, PurchaseOption::Spot, &MARKET, &POLICY);
        choice.map(|choice| MARKET.offerings.keys().filter(|zone| choice.pools(zone).is_ok()).count())
    });
}

/// The dearest case: a list of patterns that match late, and every rule lifted that turns types away early.
#[divan::bench]
fn one_victim_one_zone_with_wide_bounds_and_many_patterns(bencher: Bencher) {
    let victim: InstanceType = "m5.large".into();
    let launch = launch_of(&MARKET.specs[&victim]);
    let policy = support::policy(
        "max-vcpus=any;max-memory=any;cpu-manufacturer=any;previous-generation=true;burstable=true;\
         allowed-types=a*b*c*, *x*y*z*, ?????, m?n*, *.large, *.xlarge, *",
    );
    let zone: Zone = "us-east-1a".into();
    bencher
        .bench(|| choose::choose(black_box(&victim), &zone, &launch, PurchaseOption::Spot, &MARKET, &policy).is_ok());
}

/// Every mismatch of every type, as `explain` shows them.
#[divan::bench]
fn every_mismatch_of_every_type(bencher: Bencher) {
    let victim = &MARKET.specs["m5.large"];
    let launch = launch_of(victim);
    bencher.bench(|| {
        MARKET.specs.values().filter(|spec| compat::fits(black_box(victim), &launch, &POLICY, spec).is_ok()).count()
    });
}
