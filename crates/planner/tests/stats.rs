//! Market statistics: by hand, for every history, and against figures that another program computed.

#[path = "market_support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use jiff::Timestamp;
use planner::model::Price;
use planner::stats::{self, Cost, InterruptionFrequency, PriceHistory};
use proptest::prelude::*;
use serde_json::Value;

const TRUTHS: &str = include_str!("../../../data/truths.json");
const M5: &str = include_str!("../../../data/spot/az_m5.large_us-east-1_2021-01.csv");
const C5A: &str = include_str!("../../../data/spot/az_c5a.2xlarge_us-east-1_2023-11.csv");
const GPU: &[u8] = include_bytes!("../../../data/spot/az_gpu_2019-12_2020-03.csv.gz");
const ADVISORS: [(&str, &[u8]); 2] = [
    ("2021-02-10", include_bytes!("../../../data/advisor/spot_advisor_2021-02-10.json.gz")),
    ("2025-06-28", include_bytes!("../../../data/advisor/spot_advisor_2025-06-28.json.gz")),
];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("within the calendar")
}

fn history(steps: &[(i64, u64)], end: i64) -> PriceHistory {
    PriceHistory::new(steps.iter().map(|(second, price)| (at(*second), Price(*price))), at(end)).expect("has a price")
}

/// Half the time 10, a quarter 30, a quarter 20; with a repeated record in the middle.
fn simple() -> PriceHistory {
    history(&[(100, 10), (120, 10), (150, 30), (175, 20)], 200)
}

#[test]
fn availability_is_a_share_of_time_not_of_records() {
    let history = simple();
    let of = |bid| history.availability(Price(bid));
    assert_eq!((of(9), of(10), of(19), of(20), of(29), of(30), of(99)), (0.0, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0));
}

#[test]
fn availability_of_a_percentage_of_on_demand() {
    let history = simple();
    let of = |percent| history.availability_at_percent(percent, Price(40));
    assert_eq!((of(24), of(25), of(49), of(50), of(75), of(100)), (0.0, 0.5, 0.5, 0.75, 1.0, 1.0));
}

#[test]
fn at_on_demand_or_above_a_pool_is_sold_out() {
    let history = simple();
    assert_eq!(history.sold_out(Price(31)), 0.0);
    assert_eq!(history.sold_out(Price(30)), 0.25);
    assert_eq!(history.sold_out(Price(20)), 0.5);
}

#[test]
fn means_changes_and_levels() {
    let history = simple();
    assert_eq!(history.mean(), 17.5);
    assert_eq!(history.mean_saving(Price(35)), 0.5);
    assert_eq!(history.changes(), 2, "a repeated record is no change");
    assert_eq!(history.seconds(), 100);
    let levels = history.levels();
    assert_eq!((levels.count, levels.floor, levels.ceiling), (3, Price(10), Price(30)));
    // Variance: half of 7.5², a quarter of 12.5², a quarter of 2.5².
    let deviation = (0.5 * 56.25 + 0.25 * 156.25 + 0.25 * 6.25_f64).sqrt();
    assert!((history.volatility() - deviation / 17.5).abs() < 1e-12);
    assert_eq!(PriceHistory::new([(at(0), Price(7))], at(9)).expect("one price").volatility(), 0.0);
}

#[test]
fn a_price_within_a_tenth_of_its_floor_says_little() {
    assert!(history(&[(0, 100), (50, 110)], 100).levels().is_flat());
    assert!(!history(&[(0, 100), (50, 111)], 100).levels().is_flat());
}

#[test]
fn before_the_first_record_and_after_the_end_there_is_no_price() {
    let history = simple();
    let price = |second| history.price_at(at(second)).map(|price| price.0);
    assert_eq!((price(99), price(100), price(149), price(150)), (None, Some(10), Some(10), Some(30)));
    assert_eq!((price(199), price(200)), (Some(20), None));
    assert!(PriceHistory::new([(at(5), Price(1))], at(5)).is_none());
    assert!(PriceHistory::new([], at(5)).is_none());
}

#[test]
fn of_two_records_of_one_second_the_later_one_counts() {
    assert_eq!(history(&[(0, 5), (10, 7), (10, 8)], 20).price_at(at(10)), Some(Price(8)));
}

#[test]
fn a_window_is_cut_out_with_the_price_that_held_at_its_start() {
    let cut = simple().between(at(160), at(190)).expect("inside");
    assert_eq!(cut, history(&[(160, 30), (175, 20)], 190));
    assert_eq!(simple().between(at(0), at(120)), Some(history(&[(100, 10)], 120)));
    assert_eq!(simple().between(at(0), at(150)), Some(history(&[(100, 10)], 150)), "the next price is not of it yet");
    assert_eq!((cut.since(), cut.until()), (at(160), at(190)));
    assert_eq!(cut.steps().collect::<Vec<_>>(), [(at(160), Price(30)), (at(175), Price(20))]);
    assert_eq!(simple().between(at(0), at(1000)), Some(simple()));
    assert_eq!(simple().between(at(0), at(100)), None);
    assert_eq!(simple().between(at(200), at(300)), None);
}

#[test]
fn a_run_costs_the_sum_over_its_slices() {
    let history = history(&[(0, 36_000), (1800, 72_000)], 7200);
    let cost = |from, until| history.cost(at(from), at(until)).map(Cost::usd_micros);
    assert_eq!(cost(0, 1800), Some(18_000));
    assert_eq!(cost(900, 5400), Some(9_000 + 72_000));
    assert_eq!(cost(900, 900), Some(0));
    assert_eq!(cost(0, 7200), Some(18_000 + 108_000));
    assert_eq!(cost(-1, 10), None, "no price is known before the first record");
    assert_eq!(cost(0, 7201), None, "nor after the end");
    assert_eq!(history.cost(at(1800), at(5400)), Some(Cost::of(Price(72_000), 3600)));
    assert_eq!(Cost::of(Price(100_000), 5400).to_string(), "$0.1500");
}

#[test]
fn the_cheapest_of_several_by_name_if_equal() {
    let histories = BTreeMap::from([
        ("b", history(&[(0, 10), (20, 30)], 40)),
        ("a", history(&[(10, 10)], 40)),
        ("c", history(&[(30, 5)], 40)),
    ]);
    let cheapest = stats::cheapest(&histories, at(0), at(40), 10).expect("there are prices");
    assert_eq!(cheapest.samples, 5);
    assert_eq!(cheapest.winners, [("a", 2), ("c", 2), ("b", 1)]);
    assert_eq!(cheapest.changes, 2);
    assert_eq!(cheapest.mean, (10 + 10 + 10 + 5 + 5) as f64 / 5.0);
    assert_eq!(stats::cheapest(&histories, at(-20), at(-10), 10), None);
}

#[test]
fn the_advisors_buckets() {
    let labels: Vec<&str> =
        (0..5).map(|bucket| InterruptionFrequency::from_bucket(bucket).expect("known").label()).collect();
    assert_eq!(labels, ["<5%", "5-10%", "10-15%", "15-20%", ">20%"]);
    assert_eq!(InterruptionFrequency::from_bucket(5), None);
    assert!(InterruptionFrequency::ALL.windows(2).all(|two| two[0].percent_per_month() < two[1].percent_per_month()));
}

// For every history.

fn a_history() -> impl Strategy<Value = PriceHistory> {
    prop::collection::vec((1..5000i64, 1..40u64), 1..40).prop_map(|steps| {
        let mut second = 0;
        let mut records = Vec::new();
        for (seconds, price) in steps {
            records.push((second, price * 1000));
            second += seconds;
        }
        history(&records, second)
    })
}

fn scaled(history: &PriceHistory, factor: u64) -> PriceHistory {
    let mut second = 0;
    let mut records = Vec::new();
    for (seconds, price) in history.slices() {
        records.push((at(second), Price(price.0 * factor)));
        second += seconds as i64;
    }
    PriceHistory::new(records, at(second)).expect("has a price")
}

proptest! {
    #[test]
    fn availability_is_a_share_that_never_falls_when_the_bid_rises(history in a_history(), a in 0..45_000u64, b in 0..45_000u64) {
        let (low, high) = (history.availability(Price(a.min(b))), history.availability(Price(a.max(b))));
        prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
        prop_assert!(low <= high);
        let levels = history.levels();
        prop_assert_eq!(history.availability(levels.ceiling), 1.0);
        prop_assert_eq!(history.availability(Price(levels.floor.0 - 1)), 0.0);
        prop_assert!(history.availability(levels.floor) > 0.0);
    }

    #[test]
    fn availability_is_continuous_from_the_right(history in a_history(), bid in 0..45_000u64) {
        // Prices are whole thousands: just above a bid nothing changes, only at the next level.
        let above = Price(bid - bid % 1000 + 999);
        prop_assert_eq!(history.availability(Price(bid - bid % 1000)), history.availability(above));
    }

    #[test]
    fn availability_does_not_depend_on_how_often_a_price_is_repeated(history in a_history(), every in 1..500i64) {
        let mut records = Vec::new();
        let mut second = 0;
        for (seconds, price) in history.slices() {
            let end = second + seconds as i64;
            records.extend((second..end).step_by(every as usize).map(|second| (at(second), price)));
            second = end;
        }
        prop_assert_eq!(PriceHistory::new(records, at(second)), Some(history));
    }

    #[test]
    fn twice_the_prices_leave_every_share_unchanged(history in a_history(), factor in 1..1000u64, percent in 1..130u32) {
        let on_demand = Price(30_000);
        let scaled_on_demand = Price(on_demand.0 * factor);
        let scaled = scaled(&history, factor);
        prop_assert_eq!(
            history.availability_at_percent(percent, on_demand),
            scaled.availability_at_percent(percent, scaled_on_demand)
        );
        prop_assert_eq!(history.sold_out(on_demand), scaled.sold_out(scaled_on_demand));
        prop_assert!((history.mean_saving(on_demand) - scaled.mean_saving(scaled_on_demand)).abs() < 1e-9);
        prop_assert!((history.volatility() - scaled.volatility()).abs() < 1e-9);
        prop_assert_eq!(history.levels().count, scaled.levels().count);
        prop_assert_eq!(history.levels().is_flat(), scaled.levels().is_flat());
    }

    #[test]
    fn the_mean_lies_between_floor_and_ceiling(history in a_history()) {
        let levels = history.levels();
        let slack = 1e-9 * levels.ceiling.0 as f64;
        prop_assert!(history.mean() >= levels.floor.0 as f64 - slack);
        prop_assert!(history.mean() <= levels.ceiling.0 as f64 + slack);
    }

    #[test]
    fn the_parts_of_a_run_cost_what_the_run_costs(history in a_history(), cuts in prop::array::uniform3(0.0..1.0f64)) {
        let mut cuts = cuts.map(|share| (share * history.seconds() as f64) as i64);
        cuts.sort_unstable();
        let [from, middle, until] = cuts.map(at);
        let cost = |from, until| history.cost(from, until).expect("covered");
        prop_assert_eq!(cost(from, middle) + cost(middle, until), cost(from, until));
        // An independent integration: second by second.
        let by_second: u64 = (cuts[0]..cuts[2]).map(|second| history.price_at(at(second)).expect("covered").0).sum();
        prop_assert_eq!(cost(from, until), Cost::of(Price(by_second), 1));
    }

    #[test]
    fn a_window_has_the_prices_of_the_whole(history in a_history(), cuts in prop::array::uniform2(0.0..1.2f64), probe in 0.0..1.2f64) {
        let second = |share: f64| (share * history.seconds() as f64) as i64;
        let (from, until) = (second(cuts[0].min(cuts[1])), second(cuts[0].max(cuts[1])));
        let inside = (from..until).contains(&second(probe));
        let cut = history.between(at(from), at(until));
        let price = cut.as_ref().and_then(|cut| cut.price_at(at(second(probe))));
        prop_assert_eq!(price, history.price_at(at(second(probe))).filter(|_| inside));
    }
}

// Against another program's figures.

/// Histories by zone. The last price of each holds until `last`, the last record
/// of its file; one second longer, so that a record at the very end has a price too.
fn by_zone<'a>(rows: impl Iterator<Item = Vec<&'a str>>, last: i64) -> BTreeMap<String, PriceHistory> {
    let mut records: BTreeMap<String, Vec<(Timestamp, Price)>> = BTreeMap::new();
    for row in rows {
        records.entry(row[1].to_owned()).or_default().push((at(second(&row)), Price::parse(row[4]).expect("a price")));
    }
    records
        .into_iter()
        .map(|(zone, records)| (zone, PriceHistory::new(records, at(last + 1)).expect("records")))
        .collect()
}

fn second(row: &[&str]) -> i64 {
    row[0].parse().expect("seconds")
}

fn last_second(text: &str) -> i64 {
    rows(text).map(|row| second(&row)).max().expect("rows")
}

fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(1).map(|line| line.split(',').collect())
}

/// The first second of the history that begins first, and of the one that begins last.
fn beginnings(histories: &BTreeMap<String, PriceHistory>, last: i64) -> (i64, i64) {
    let firsts = histories.values().map(|history| last + 1 - history.seconds() as i64);
    (firsts.clone().min().expect("some"), firsts.max().expect("some"))
}

/// The figures are rounded to so many digits.
fn assert_close(what: &str, got: f64, truth: &Value, digits: i32) {
    let truth = truth.as_f64().unwrap_or_else(|| panic!("{what}: {truth} is no number"));
    let tolerance = 0.5001 * 10f64.powi(-digits);
    assert!((got - truth).abs() <= tolerance, "{what}: {got}, and the other program says {truth}");
}

#[test]
fn real_histories_of_two_types_by_zone() {
    let truths: Value = serde_json::from_str(TRUTHS).expect("JSON");
    for (title, text) in [("m5.large us-east-1 2021-01/02", M5), ("c5a.2xlarge us-east-1 2023-11/12", C5A)] {
        let last = last_second(text);
        let histories = by_zone(rows(text), last);
        assert_eq!(histories.len(), 5);
        for (zone, history) in &histories {
            let truth = &truths[title][zone];
            let on_demand = Price((truth["od"].as_f64().expect("a price") * 1e6).round() as u64);
            assert_close(&format!("{zone} days"), history.days(), &truth["days"], 2);
            assert_close(&format!("{zone} mean"), history.mean() / 1e6, &truth["mean_price"], 5);
            assert_close(&format!("{zone} saving"), history.mean_saving(on_demand), &truth["mean_saving"], 4);
            assert_close(&format!("{zone} floor"), history.levels().floor.dollars(), &truth["min"], 6);
            assert_close(&format!("{zone} ceiling"), history.levels().ceiling.dollars(), &truth["max"], 6);
            assert_close(&format!("{zone} changes"), history.changes_per_day(), &truth["price_changes_per_day"], 2);
            for (bid, share) in truth["A_of_bid_as_share_of_od"].as_object().expect("bids") {
                let percent = (bid.parse::<f64>().expect("a share") * 100.0).round() as u32;
                let got = history.availability_at_percent(percent, on_demand);
                assert_close(&format!("{zone} at {percent} %"), got, share, 4);
            }
        }
        let truth = &truths[title]["cheapest AZ"];
        // The other program begins a day after the first record here …
        let (first, _) = beginnings(&histories, last);
        let cheapest = stats::cheapest(&histories, at(first + 86_400), at(last), 3600).expect("there are prices");
        assert_eq!(cheapest.samples as u64, truth["samples"]);
        assert_eq!(cheapest.changes as u64, truth["changes"]);
        assert_close("mean of the cheapest", cheapest.mean / 1e6, &truth["mean_price"], 5);
        assert_eq!(cheapest.winners.len() as u64, truth["winners"]);
        for ((zone, wins), top) in cheapest.winners.iter().zip(truth["top"].as_array().expect("a list")) {
            assert!(top[0].as_str().expect("a name").starts_with(zone.as_str()));
            assert_close("share of the winner", *wins as f64 / cheapest.samples as f64, &top[1], 3);
        }
    }
}

#[test]
fn real_histories_of_gpu_types_in_three_regions() {
    let truths: Value = serde_json::from_str(TRUTHS).expect("JSON");
    let text = support::real::unzip(GPU);
    let truths = truths["gpu 2019-12 to 2020-03"].as_object().expect("regions and types");
    assert_eq!(truths.len(), 18);
    let last = last_second(&text);
    for (title, truth) in truths {
        let (region, instance_type) = title.split_once(' ').expect("region and type");
        let of_type = |row: &Vec<&str>| row[2] == instance_type && row[1].starts_with(region);
        let histories = by_zone(rows(&text).filter(of_type), last);
        assert_eq!(histories.len() as u64, truth["azs"], "{title}");
        let on_demand = Price((truth["od"].as_f64().expect("a price") * 1e6).round() as u64);
        let mean = |of: &dyn Fn(&PriceHistory) -> f64| histories.values().map(of).sum::<f64>() / histories.len() as f64;
        assert_close(
            &format!("{title} saving"),
            mean(&|history| history.mean_saving(on_demand)),
            &truth["mean_saving"],
            4,
        );
        let above = histories.values().filter(|history| history.levels().ceiling > on_demand).count();
        assert_eq!(above as u64, truth["ever_above_od"], "{title}");
        for (percent, key) in [(35, "A_0_35"), (50, "A_0_5")] {
            let got = mean(&|history| history.availability_at_percent(percent, on_demand));
            assert_close(&format!("{title} at {percent} %"), got, &truth[key], 4);
        }
        // … and here as soon as every zone has a price.
        let (_, all) = beginnings(&histories, last);
        let cheapest = stats::cheapest(&histories, at(all), at(last), 3600).expect("there are prices");
        let days = (cheapest.samples - 1) as f64 / 24.0;
        assert_close(
            &format!("{title} changes"),
            cheapest.changes as f64 / days,
            &truth["cheapest_az_changes_per_day"],
            3,
        );
    }
}

#[test]
fn real_interruption_frequencies() {
    let truths: Value = serde_json::from_str(TRUTHS).expect("JSON");
    for (date, bytes) in ADVISORS {
        let advisor: Value = serde_json::from_str(&support::real::unzip(bytes)).expect("JSON");
        for platform in ["Linux", "Windows"] {
            let mut counts: BTreeMap<InterruptionFrequency, (u32, f64)> = BTreeMap::new();
            for region in advisor["spot_advisor"].as_object().expect("regions").values() {
                for entry in region[platform].as_object().into_iter().flat_map(|types| types.values()) {
                    let bucket = entry["r"].as_u64().and_then(InterruptionFrequency::from_bucket).expect("a bucket");
                    let count = counts.entry(bucket).or_default();
                    *count = (count.0 + 1, count.1 + entry["s"].as_f64().expect("a saving"));
                }
            }
            let truth = &truths[format!("advisor {date}")][platform];
            let pairs: u32 = counts.values().map(|(count, _)| count).sum();
            assert_eq!(u64::from(pairs), truth["pairs"]);
            for (bucket, (count, savings)) in counts {
                let what = format!("{date} {platform} {bucket}");
                let share = f64::from(count) / f64::from(pairs);
                assert_close(&what, share, &truth["share_of_buckets"][bucket.label()], 4);
                assert_close(&what, savings / f64::from(count), &truth["mean_saving_pct"][bucket.label()], 1);
            }
        }
    }
}
