//! How long it takes to plan a whole region, and whether that grows linearly.
//!
//! `cargo bench -p planner --bench region`
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // a benchmark prints for people, and asks the system for its time

#[path = "../tests/market_support/mod.rs"]
mod support;

use std::sync::LazyLock;

use divan::{Bencher, black_box};
use planner::market::Market;
use planner::model::{Details, Group, LaunchFacts, LaunchSource, Observation, PurchaseOption, Zone};
use planner::plan::{Plan, Planner};
use planner::policy::Config;
use support::group::{group, member, minute};

static MARKET: LazyLock<Market> = LazyLock::new(support::real::market);

fn main() {
    // Processor time of this thread: on a busy machine the clock on the wall measures the others.
    for (what, settings) in [("each starts a swap", &[][..]), ("nothing cheap enough anywhere", NOTHING_CHEAP)] {
        for groups in [1000, 10_000] {
            let (region, config) = (region(groups, settings), Config::default());
            let seconds = (0..3).filter_map(|_| {
                let before = processor_seconds()?;
                black_box(plan_all(&region, &config));
                Some(processor_seconds()? - before)
            });
            if let Some(least) = seconds.min_by(f64::total_cmp) {
                println!("{groups} groups of {MEMBERS}, {what}: {least:.3} s of processor time");
            }
        }
    }
    divan::main();
}

/// How long this thread has been running; `None` where the system does not say (it is Linux's).
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// A wish that no pool can fulfil.
const NOTHING_CHEAP: &[(&str, &str)] = &[("spotward:min-saving", "99%")];

const MEMBERS: u32 = 100;
const TYPES: [&str; 5] = ["m5.large", "m6i.2xlarge", "c5.xlarge", "r6i.large", "c6a.4xlarge"];

/// Groups of a hundred on-demand members over all zones, each group of one type, each fit for a swap.
fn region(groups: u32, settings: &[(&str, &str)]) -> Vec<Observation> {
    let zones: Vec<&Zone> = MARKET.offerings.keys().collect();
    (0..groups)
        .map(|n| {
            let instance_type = TYPES[n as usize % TYPES.len()];
            let group = Group {
                name: format!("group-{n}").as_str().into(),
                arn: format!("arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:{n}"),
                source: LaunchSource::Template { id: "lt-1".to_owned(), version: "1".to_owned() },
                subnets: vec!["subnet-1".into()],
                tags: settings
                    .iter()
                    .chain(&[("spot-enabled", "true")])
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
                members: (0..MEMBERS)
                    .map(|m| {
                        let zone = zones[m as usize % zones.len()];
                        let pool = format!("{instance_type}/{zone}");
                        member(&format!("i-{n}-{m}"), &pool, PurchaseOption::OnDemand, minute(-2000))
                    })
                    .collect(),
                details: Some(Details {
                    activities: Some(Vec::new()),
                    launch: Some(Ok(LaunchFacts { version: Some(1), ..support::launch() })),
                    ..Details::default()
                }),
                max_size: 2 * MEMBERS,
                ..group(MEMBERS)
            };
            Observation { now: minute(5), group }
        })
        .collect()
}

fn plan_all(region: &[Observation], config: &Config) -> Vec<Plan> {
    let mut planner = Planner::new(Some(&MARKET), config);
    region.iter().map(|observation| planner.plan(black_box(observation))).collect()
}

/// Every group has something to do.
#[divan::bench(args = [100, 1000, 10_000], sample_count = 5, sample_size = 1)]
fn groups_that_each_start_a_swap(bencher: Bencher, groups: u32) {
    let region = region(groups, &[]);
    let config = Config::default();
    let launches = plan_all(&region, &config).iter().filter(|plan| plan.action.is_some()).count();
    assert_eq!(launches, groups as usize, "the benchmark is about groups that act");
    bencher.bench_local(|| plan_all(&region, &config).len());
}

/// Every zone of every group is looked into, in vain: the dearest answer.
#[divan::bench(args = [100, 1000, 10_000], sample_count = 5, sample_size = 1)]
fn groups_in_which_nothing_is_cheap_enough_anywhere(bencher: Bencher, groups: u32) {
    let region = region(groups, NOTHING_CHEAP);
    let config = Config::default();
    let reasons: usize = plan_all(&region, &config).iter().map(|plan| plan.left_alone.len()).sum();
    assert_eq!(reasons, (groups * MEMBERS) as usize, "every member is left alone for a reason");
    bencher.bench_local(|| plan_all(&region, &config).len());
}
