//! The bid advisor: needs on both sides of their edges, what a quote says, and the orders.

use jiff::Timestamp;
use planner::bids::{self, Bid, Needs, Offer, Quote, SortBy, TypeFacts};
use planner::model::{InstanceType, Price, Zone};
use planner::policy::TypePatterns;
use planner::stats::{InterruptionFrequency, PriceHistory};

fn facts() -> TypeFacts {
    TypeFacts { vcpus: 4, memory_mib: 16_384, architectures: vec!["x86_64".to_owned()], spot: true }
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + day * 86_400).expect("within the calendar")
}

fn quote(zone: &str, spot: u64) -> Quote {
    Quote {
        zone: Some(Zone::new(zone)),
        spot: Some(Price(spot)),
        on_demand: Some(Price(100)),
        saving_percent: None,
        as_of: Some(at(0)),
        history: None,
    }
}

#[test]
fn a_need_is_met_at_its_edge_and_not_beyond() {
    let met = |needs: Needs| needs.met_by(&InstanceType::new("m6i.xlarge"), &facts());
    assert!(met(Needs::default()));
    assert!(met(Needs { vcpus: 4, ..Needs::default() }) && !met(Needs { vcpus: 5, ..Needs::default() }));
    assert!(met(Needs { memory_mib: 16_384, ..Needs::default() }));
    assert!(!met(Needs { memory_mib: 16_385, ..Needs::default() }));
    let architecture = |name: &str| Needs { architecture: Some(name.to_owned()), ..Needs::default() };
    assert!(met(architecture("x86_64")) && !met(architecture("arm64")));
    let types = |pattern: &str| Needs { types: Some(TypePatterns(vec![pattern.to_owned()])), ..Needs::default() };
    assert!(met(types("m6*")) && !met(types("c6*")));
    let on_demand_only = TypeFacts { spot: false, ..facts() };
    assert!(!Needs::default().met_by(&InstanceType::new("mac2.metal"), &on_demand_only), "spot is what is asked for");
}

#[test]
fn a_price_at_on_demand_is_sold_out_and_one_below_is_not() {
    let judged = |spot: u64| Bid::of(quote("a", spot));
    assert!(!judged(99).sold_out && judged(99).price() == Some(Price(99)));
    assert!(judged(100).sold_out && judged(100).price().is_none());
    assert_eq!(
        (judged(25).saving_percent, judged(99).saving_percent, judged(150).saving_percent),
        (Some(75), Some(1), Some(-50))
    );
}

#[test]
fn availability_is_that_of_a_quarter_half_and_the_whole_of_on_demand() {
    let steps = [(at(0), Price(20)), (at(1), Price(40)), (at(2), Price(60)), (at(3), Price(100))];
    let history = PriceHistory::new(steps, at(4));
    let bid = Bid::of(Quote { history, ..quote("a", 100) });
    assert_eq!(bid.availability, Some([0.25, 0.5, 1.0]));
    assert_eq!(Bid::of(quote("a", 100)).availability, None, "no history says nothing");
}

#[test]
fn the_cheapest_zone_that_can_be_had_comes_first() {
    let offer =
        Offer::new("m6i.xlarge".into(), facts(), None, None, vec![quote("a", 100), quote("c", 40), quote("b", 40)]);
    let zones: Vec<&str> = offer.bids.iter().filter_map(|bid| bid.quote.zone.as_ref()).map(Zone::as_str).collect();
    assert_eq!(zones, ["b", "c", "a"]);
    assert_eq!((offer.price(), offer.saving_percent()), (Some(Price(40)), Some(60)));
    let old = Quote { as_of: Some(at(-400)), ..quote("d", 1) };
    let offer = Offer::new("m6i.xlarge".into(), facts(), None, None, vec![old, quote("a", 40)]);
    assert_eq!(offer.price(), Some(Price(40)), "an old record is no price of today");
}

#[test]
fn what_is_not_known_comes_last_in_every_order() {
    let history = |percent: u64| PriceHistory::new([(at(0), Price(percent))], at(1));
    let offer = |name: &str, spot: Option<u64>, held: Option<u64>, frequency| {
        let quotes = spot.map(|spot| Quote { history: held.and_then(history), ..quote("a", spot) });
        Offer::new(name.into(), facts(), None, frequency, quotes.into_iter().collect())
    };
    use InterruptionFrequency::{Above20, Below5};
    let offers = [
        offer("d.unknown", None, None, None),
        offer("c.sold-out", Some(100), Some(100), None),
        offer("b.cheap", Some(20), Some(80), Some(Above20)),
        offer("a.calm", Some(30), Some(40), Some(Below5)),
    ];
    let order = |by: SortBy| {
        let mut names = Vec::new();
        // Whatever the order before.
        for turn in 0..offers.len() {
            let mut turned = offers.to_vec();
            turned.rotate_left(turn);
            bids::sort(&mut turned, by);
            names.push(turned.iter().map(|offer| offer.instance_type.to_string()).collect::<Vec<_>>().join(" "));
        }
        names.dedup();
        assert_eq!(names.len(), 1, "{by:?}: {names:?}");
        names.remove(0)
    };
    assert_eq!(order(SortBy::Price), "b.cheap a.calm c.sold-out d.unknown");
    assert_eq!(order(SortBy::Saving), "b.cheap a.calm c.sold-out d.unknown");
    assert_eq!(order(SortBy::Availability), "a.calm b.cheap c.sold-out d.unknown");
    assert_eq!(order(SortBy::Interruptions), "a.calm b.cheap c.sold-out d.unknown");
    assert_eq!(order(SortBy::Type), "a.calm b.cheap c.sold-out d.unknown");
}

#[test]
fn availability_is_ordered_by_the_middle_bid_first_then_the_highest_then_the_lowest() {
    // Each is known by four prices of equal length: those below 25, 50 and 100 count for the three bids.
    let offer = |name: &str, prices: [u64; 4]| {
        let history = PriceHistory::new((0..).zip(prices).map(|(day, price)| (at(day), Price(price))), at(4));
        Offer::new(name.into(), facts(), None, None, vec![Quote { history, ..quote("a", 10) }])
    };
    let mut offers = vec![
        offer("d.low-only", [20, 20, 20, 200]),
        offer("c.middle", [20, 40, 40, 40]),
        offer("b.high", [40, 40, 40, 90]),
        offer("a.lowest", [40, 40, 40, 200]),
    ];
    bids::sort(&mut offers, SortBy::Availability);
    let names: Vec<&str> = offers.iter().map(|offer| offer.instance_type.as_str()).collect();
    assert_eq!(names, ["c.middle", "b.high", "d.low-only", "a.lowest"]);
}
