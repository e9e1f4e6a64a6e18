//! How fast pools are chosen, and what the rules leave over of the real instance types.
//!
//! `cargo bench -p planner --bench choose`
#![allow(clippy::print_stdout)] // a benchmark prints for people

#[path = "../tests/market_support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use divan::{Bencher, black_box};
use jiff::{SignedDuration, Timestamp};
use planner::choose::{self, Choice, NoPool};
use planner::compat;
use planner::market::{InstanceSpec, Market};
use planner::model::{InstanceType, LaunchFacts, Price, PurchaseOption, Zone};
use planner::policy::Policy;
use planner::stats::PriceHistory;

static MARKET: LazyLock<Market> = LazyLock::new(support::real::market);
static POLICY: LazyLock<Policy> = LazyLock::new(|| support::policy(""));

fn main() {
    println!("{}", alternatives("default policy", &POLICY));
    let generous = support::policy("cpu-manufacturer=any;previous-generation=true;burstable=true");
    println!("{}", alternatives("any CPU manufacturer, previous generations, burstable", &generous));
    println!("{}", a_week_of_history());
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
    let mut savings: Vec<u64> = Vec::new();
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
                Ok(pools) => best = best.max(Some((paid.0 - pools.best().price.0) * 100 / paid.0)),
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

/// Would a week of history choose better than the price now? For sets of like types of us-east-1, on each day of the record:
/// the cheapest now, and the cheapest by its mean over the last seven days; and what each cost over the next seven.
fn a_week_of_history() -> String {
    const RECORD: &[u8] = include_bytes!("../../../data/advisor/saving_pct_changes_2024-08_2024-12.csv.gz");
    const SETS: [&str; 5] = [
        "m5 m6i m7i r5 r6i r7i",
        "m5a m6a m7a r5a r6a r7a",
        "c5 c6i c7i m5 m6i m7i",
        "m6g m7g r6g r7g",
        "c6g c7g m6g m7g",
    ];
    const SIZES: [&str; 5] = ["large", "xlarge", "2xlarge", "4xlarge", "8xlarge"];
    const DAY: i64 = 86_400;
    let mut records: BTreeMap<InstanceType, Vec<(Timestamp, Price)>> = BTreeMap::new();
    let text = support::real::unzip(RECORD);
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [at, "us-east-1", name, saving] = cells[..] else { continue };
        let name = InstanceType::new(name);
        let Some(on_demand) = MARKET.on_demand.get(&name) else { continue };
        let at = Timestamp::from_second(at.parse().expect("a second")).expect("a moment");
        let price = on_demand.percent(100 - saving.parse::<u32>().expect("a percentage"));
        records.entry(name).or_default().push((at, price));
    }
    let moments = || records.values().flatten().map(|(at, _)| *at);
    let (first, last) = (moments().min().expect("records"), moments().max().expect("records"));
    let histories: BTreeMap<InstanceType, PriceHistory> = records
        .iter()
        .filter_map(|(name, records)| Some((name.clone(), PriceHistory::new(records.iter().copied(), last)?)))
        .collect();
    let week = SignedDuration::from_hours(7 * 24);
    let (mut asked, mut differ, mut by_now, mut by_week, mut by_oracle) = (0, 0, 0.0, 0.0, 0.0);
    for (set, size) in SETS.iter().flat_map(|set| SIZES.iter().map(move |size| (set, size))) {
        let types: Vec<InstanceType> =
            set.split(' ').map(|family| format!("{family}.{size}").as_str().into()).collect();
        let mut now = first + week;
        while now + week < last {
            // Price now, mean of the week before, mean of the week after.
            let seen: Vec<(Price, f64, f64)> = types
                .iter()
                .filter_map(|name| {
                    let history = histories.get(name)?;
                    history.price_at(now - week)?;
                    let before = history.between(now - week, now)?.mean();
                    Some((history.price_at(now)?, before, history.between(now, now + week)?.mean()))
                })
                .collect();
            now += SignedDuration::from_secs(DAY);
            let cheapest_now = seen.iter().min_by_key(|(price, ..)| *price);
            let cheapest_before = seen.iter().min_by(|(_, a, _), (_, b, _)| a.total_cmp(b));
            let best = seen.iter().min_by(|(.., a), (.., b)| a.total_cmp(b));
            if let (Some(now), Some(before), Some(best)) = (cheapest_now, cheapest_before, best) {
                asked += 1;
                differ += usize::from(now != before);
                by_now += now.2;
                by_week += before.2;
                by_oracle += best.2;
            }
        }
    }
    format!(
        "a week of history: {asked} choices among like types, another one in {:.1} %; over the week after it costs {:+.2} % \
         against the cheapest now (who knew the week after: {:+.2} %)",
        100.0 * differ as f64 / asked as f64,
        100.0 * (by_week / by_now - 1.0),
        100.0 * (by_oracle / by_now - 1.0),
    )
}
