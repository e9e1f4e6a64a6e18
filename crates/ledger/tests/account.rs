//! What counts as saved: each rule with the smallest ledger that shows it. All prices hold for an hour, all times are
//! whole hours, so the sums can be done in one's head.

use ledger::record::Record;
use ledger::{Account, Book, PoolKey, account, read};
use serde_json::{Value, json};

fn hour(hour: u32) -> String {
    format!("2026-10-01T{hour:02}:00:00Z")
}

fn on_demand(id: &str) -> Value {
    json!({ "id": id, "type": "m5.large", "zone": "us-east-1a", "bought": "on-demand", "launched": hour(0) })
}

/// A replica of ours, launched at an hour in place of a victim.
fn spot(id: &str, victim: &str, launched: u32) -> Value {
    json!({
        "id": id, "type": "m6i.large", "zone": "us-east-1a", "bought": "spot", "launched": hour(launched),
        "victim": victim, "stands_for": "m5.large",
    })
}

fn with(mut instance: Value, key: &str, value: Value) -> Value {
    instance[key] = value;
    instance
}

fn line(kind: &str, at: u32, more: Value) -> Value {
    let mut line = json!({
        "spotward": "ledger", "v": 1, "kind": kind, "at": hour(at),
        "region": "us-east-1", "stack": "spotward", "group": "web",
    });
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    line
}

fn members(at: u32, members: &[Value]) -> Value {
    line("members", at, json!({ "spot": 0, "on_demand": 0, "members": members }))
}

fn ended(at: u32, instance: Value, why: &str) -> Value {
    line("ended", at, json!({ "instance": instance, "ended": hour(at), "seen": hour(at), "why": why }))
}

fn price(kind: &str, zone: Option<&str>, from: u32, price: f64) -> Value {
    json!({
        "spotward": "ledger", "v": 1, "kind": "price", "region": "us-east-1", "platform": "Linux/UNIX",
        "type": kind, "zone": zone, "from": hour(from), "price": price,
    })
}

/// m5.large costs 10 cents, m6i.large 8 on demand and 4 on spot.
fn usual() -> Vec<Value> {
    vec![
        price("m5.large", None, 0, 0.10),
        price("m6i.large", None, 0, 0.08),
        price("m6i.large", Some("us-east-1a"), 0, 0.04),
    ]
}

fn of(lines: impl IntoIterator<Item = Value>) -> Account {
    let text: Vec<String> = lines.into_iter().map(|line| line.to_string()).collect();
    let found = read::read(&text.join("\n"));
    assert_eq!(found.unread, []);
    let book = Book::of(found.records);
    account(&book, &book.prices, None, None)
}

/// Cents: paid, without, saved, on top.
fn cents(account: &Account) -> [i64; 4] {
    let sums = &account.total;
    [sums.paid(), sums.without, sums.saved(), sums.on_top].map(|money| money.micros() / 10_000)
}

#[test]
fn who_is_not_ours_saves_nothing() {
    let own_spot =
        json!({ "id": "i-2", "type": "m6i.large", "zone": "us-east-1a", "bought": "spot", "launched": hour(0) });
    let there = [on_demand("i-1"), own_spot];
    assert_eq!(cents(&of([usual(), vec![members(0, &there), members(10, &there)]].concat())), [140, 140, 0, 0]);
}

#[test]
fn a_replica_costs_on_top_until_its_victim_has_ended_and_saves_from_then_on() {
    let (victim, replica) = (on_demand("i-1"), spot("i-2", "i-1", 2));
    let lines = vec![
        members(0, std::slice::from_ref(&victim)),
        members(2, &[victim.clone(), replica.clone()]),
        ended(3, victim, "terminated"),
        members(3, std::slice::from_ref(&replica)),
        members(10, &[replica]),
    ];
    // Three hours of the victim, eight of the replica; the comparison is ten hours of the victim.
    let account = of([usual(), lines].concat());
    assert_eq!(cents(&account), [30 + 32, 100, 38, 4]);
    assert_eq!(account.total.overlap_ms, 3_600_000);
}

#[test]
fn a_replica_that_comes_to_nothing_is_a_loss() {
    let outside = with(spot("i-2", "i-1", 2), "outside", json!(true));
    let lines = vec![
        members(0, &[on_demand("i-1")]),
        members(2, &[on_demand("i-1"), outside.clone()]),
        ended(4, outside, "terminated"),
        members(10, &[on_demand("i-1")]),
    ];
    assert_eq!(cents(&of([usual(), lines].concat())), [100 + 8, 100, -8, 8]);
}

#[test]
fn a_spot_instance_never_pays_more_than_its_cap() {
    let dear = vec![price("m6i.large", Some("us-east-1a"), 1, 0.50)];
    let replica = |more: Option<f64>| match more {
        Some(bid) => with(spot("i-2", "i-0", 0), "bid", json!(bid)),
        None => spot("i-2", "i-0", 0),
    };
    let paid = |bid: Option<f64>| {
        let lines = vec![members(0, &[replica(bid)]), members(3, &[replica(bid)])];
        of([usual(), dear.clone(), lines].concat()).total.paid_spot.micros()
    };
    assert_eq!(paid(Some(0.06)), 40_000 + 2 * 60_000, "its own cap");
    assert_eq!(paid(None), 40_000 + 2 * 80_000, "else the on-demand price of its type");
    assert_eq!(paid(Some(0.60)), 40_000 + 2 * 500_000, "nothing is guessed below the cap");
}

#[test]
fn the_heir_of_a_replica_is_compared_with_where_it_began() {
    let first = with(spot("i-2", "i-0", 0), "type", json!("r5.large"));
    let heir = spot("i-3", "i-2", 4);
    let swap = line(
        "swap",
        4,
        json!({
            "swap": "1a2b3c4d", "victim": first, "replica": heir, "overlap_minutes": 0.0,
        }),
    );
    let lines = vec![
        price("r5.large", None, 0, 0.20),
        price("r5.large", Some("us-east-1a"), 0, 0.05),
        members(0, std::slice::from_ref(&first)),
        swap,
        ended(4, first, "interrupted"),
        members(4, std::slice::from_ref(&heir)),
        members(10, &[heir]),
    ];
    let account = of([usual(), lines].concat());
    assert_eq!(cents(&account), [20 + 24, 100, 56, 0], "m5.large all the time, not r5.large");
    assert_eq!((account.swaps, account.interruptions.len()), (1, 1));
}

#[test]
fn an_end_that_nobody_saw_is_counted_until_the_last_sight_and_listed() {
    let lines = vec![members(0, &[spot("i-2", "i-0", 0)]), members(5, &[spot("i-2", "i-0", 0)]), members(7, &[])];
    let account = of([usual(), lines].concat());
    assert_eq!((cents(&account), account.unsure), ([20, 50, 30, 0], (1, 2 * 3_600_000)));
}

#[test]
fn a_process_that_had_just_looked_knows_better() {
    let gone = with(members(7, &[]), "before", json!("2026-10-01T06:00:00Z"));
    let lines = vec![members(0, &[spot("i-2", "i-0", 0)]), gone];
    assert_eq!(of([usual(), lines].concat()).unsure, (1, 3_600_000));
}

#[test]
fn hours_without_a_price_are_in_no_sum_and_listed() {
    let prices = vec![
        price("m6i.large", Some("us-east-1a"), 4, 0.04),
        price("m6i.large", None, 0, 0.08),
        price("m5.large", None, 0, 0.10),
    ];
    let lines = vec![members(0, &[spot("i-2", "i-0", 0)]), members(10, &[spot("i-2", "i-0", 0)])];
    let account = of([prices, lines.clone()].concat());
    assert_eq!(cents(&account), [24, 60, 36, 0]);
    assert_eq!(account.total.unpriced_ms, 4 * 3_600_000);
    let pool = PoolKey {
        region: "us-east-1".into(),
        platform: "Linux/UNIX".into(),
        kind: "m6i.large".into(),
        zone: Some("us-east-1a".into()),
    };
    assert_eq!(account.unpriced, [pool]);
    // What it stands in for has no price: nothing is claimed, and nothing is charged.
    let account = of([vec![price("m6i.large", Some("us-east-1a"), 0, 0.04)], lines].concat());
    assert_eq!((cents(&account), account.total.unpriced_ms), ([0, 0, 0, 0], 10 * 3_600_000));
}

#[test]
fn what_is_written_twice_counts_once() {
    let victim = on_demand("i-1");
    let lines = vec![
        members(0, std::slice::from_ref(&victim)),
        ended(3, victim.clone(), "terminated"),
        members(3, &[spot("i-2", "i-1", 2)]),
        members(10, &[spot("i-2", "i-1", 2)]),
    ];
    let once = of([usual(), lines.clone()].concat());
    let twice = of([usual(), lines.clone(), lines].concat());
    assert_eq!(cents(&once), cents(&twice));
    assert_eq!(once.groups[0].sums, twice.groups[0].sums);
}

#[test]
fn a_part_of_the_time_is_a_part_of_the_sum() {
    let lines = [usual(), vec![members(0, &[spot("i-2", "i-0", 0)]), members(10, &[spot("i-2", "i-0", 0)])]].concat();
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    let book = Book::of(read::read(&text.join("\n")).records);
    let at = |hour: u32| Some(self::hour(hour).parse().expect("a time"));
    let part = account(&book, &book.prices, at(2), at(5));
    assert_eq!(cents(&part), [12, 30, 18, 0]);
    let days = account(&book, &book.prices, None, None).days;
    assert_eq!(days.len(), 1);
}

#[test]
fn the_worst_loss_is_the_largest_pool() {
    let three = [spot("i-2", "i-0", 0), spot("i-3", "i-1", 0), on_demand("i-4")];
    let two = [spot("i-2", "i-0", 0), with(spot("i-3", "i-1", 0), "zone", json!("us-east-1b"))];
    let account = of([usual(), vec![members(0, &three), members(1, &two)]].concat());
    assert_eq!((account.groups[0].largest_pool, account.groups[0].worst), (1, (2, 3)));
}

#[test]
fn lines_survive_the_way_there_and_back() {
    let swap = line(
        "swap",
        4,
        json!({
            "swap": "1a2b3c4d", "victim": on_demand("i-1"), "replica": spot("i-2", "i-1", 3), "overlap_minutes": 4.5,
            "victim_price": 0.096, "replica_price": 0.0351, "saves": 0.0609,
        }),
    );
    for line in [
        members(0, &[on_demand("i-1"), spot("i-2", "i-1", 0)]),
        ended(3, on_demand("i-1"), "left"),
        swap,
        price("m5.large", None, 0, 0.096),
    ] {
        let record = Record::parse(&line).expect("ours").expect("well-formed");
        assert_eq!(Record::parse(&record.line()), Some(Ok(record)));
    }
}
