//! The ledger against the simulated region's own bill: written from the same looks as the function writes it, read
//! back from its lines, priced from the price history; and the sum has to be the bill's.

use std::collections::BTreeMap;

use ledger::keeper::{Ending, Place};
use ledger::{Book, Bought, Keeper, PoolKey, Prices, Record, Why, account, finished_swap};
use planner::model::{InstanceId, Price};
use sim::{Bill, Metered};

const PLACE: Place<'static> = Place { region: "us-east-1", stack: "spotward" };

/// A day of ticks and passes, with everything that moves a bill.
struct Day {
    region: Metered,
    keeper: Keeper,
    lines: Vec<String>,
    interrupted: u32,
}

impl Day {
    fn write(&mut self, records: impl IntoIterator<Item = Record>) {
        self.lines.extend(records.into_iter().map(|record| record.line().to_string()));
    }

    fn tick(&mut self) {
        let looks = self.region.looks().expect("fair weather");
        let records = self.keeper.look(&looks, PLACE, |_| None);
        self.write(records);
        let gone = self.keeper.gone();
        let ending = |id: InstanceId| {
            let (at, interrupted) = self.region.ending(&id)?;
            let why = if interrupted { Why::Interrupted } else { Why::Terminated };
            Some((id, Ending { at: Some(at), why }))
        };
        let answers: BTreeMap<InstanceId, Ending> = gone.into_iter().filter_map(ending).collect();
        let now = self.region.now();
        let records = self.keeper.ended(&answers, now, PLACE);
        self.write(records);
    }

    fn minute(&mut self, number: u32) {
        match number % 360 {
            50 | 170 | 290 => self.region.move_prices(),
            100 | 200 => self.interrupted += u32::from(self.region.interrupt_one()),
            230 => self.region.set_desired(8),
            300 => self.region.set_desired(5),
            _ => {}
        }
        for _ in 0..4 {
            let pass = self.region.pass().expect("fair weather");
            let record = finished_swap(&pass, PLACE, |_| None, |_| None);
            self.write(record);
            self.region.advance(11);
        }
        self.tick();
        self.region.advance(9);
    }

    fn prices(&self) -> Prices {
        let mut prices = Prices::default();
        let pool = |kind: &str, zone: Option<&str>| PoolKey {
            region: "us-east-1".to_owned(),
            platform: "Linux/UNIX".to_owned(),
            kind: kind.to_owned(),
            zone: zone.map(str::to_owned),
        };
        for (from, zone, kind, price) in self.region.spot_steps() {
            prices.add(pool(kind.as_str(), Some(zone.as_str())), *from, Price(*price));
        }
        for (kind, price) in self.region.list_prices() {
            prices.add(pool(kind.as_str(), None), self.region.now(), Price(price));
        }
        prices
    }
}

fn play(seed: u64, minutes: u32, new_process_every: u32) -> (Day, Bill, jiff::Timestamp, jiff::Timestamp) {
    let mut day = Day { region: Metered::new(seed, 6), keeper: Keeper::default(), lines: Vec::new(), interrupted: 0 };
    day.tick();
    let from = day.region.now();
    day.region.start_bill();
    for number in 0..minutes {
        if number > 0 && number % new_process_every == 0 {
            day.keeper = Keeper::default();
        }
        day.minute(number);
    }
    let until = day.region.now();
    let bill = day.region.take_bill().expect("it was started");
    // A group at rest is written down once an hour: what was up to now, only somebody who looks now can say, as a
    // report does that looks at the present, too.
    day.tick();
    day.keeper = Keeper::default();
    day.tick();
    (day, bill, from, until)
}

/// Micro-dollars, rounded like a bill.
fn cents(micro_dollar_millis: i128) -> i128 {
    (micro_dollar_millis + 18_000_000_000) / 36_000_000_000
}

#[test]
fn the_ledger_is_the_bill_to_the_cent() {
    for seed in 1..=4 {
        let (day, bill, from, until) = play(seed, 24 * 60, u32::MAX);
        let found = ledger::read::read(&day.lines.join("\n"));
        assert_eq!(found.unread, [], "seed {seed}");
        let account = account(&Book::of(found.records), &day.prices(), Some(from), Some(until));
        let sum = |of: fn(&sim::Line) -> i128, spot: Option<bool>| -> i128 {
            bill.lines().filter(|(_, line)| spot.is_none_or(|spot| line.spot == spot)).map(|(_, line)| of(line)).sum()
        };
        let without = |line: &sim::Line| if line.ours && !line.member { 0 } else { line.without };
        assert!(account.swaps >= 6 && day.interrupted >= 4, "seed {seed}: a day in which something happens");
        assert_eq!(account.interruptions.len() as u32, day.interrupted, "seed {seed}");
        assert_eq!((account.unpriced.len(), account.unsure), (0, (0, 0)), "seed {seed}");
        // To the micro-dollar, even: ends and prices are known to the millisecond here.
        let micros = |sum: i128| ((sum + 1_800_000) / 3_600_000) as i64;
        assert_eq!(account.total.paid_spot.micros(), micros(sum(|line| line.paid, Some(true))), "seed {seed}: spot");
        assert_eq!(
            account.total.paid_on_demand.micros(),
            micros(sum(|line| line.paid, Some(false))),
            "seed {seed}: od"
        );
        assert_eq!(account.total.without.micros(), micros(sum(without, None)), "seed {seed}: without");
        assert_eq!(
            account.total.spot_ms + account.total.on_demand_ms,
            bill.lines().map(|(_, line)| line.ms).sum::<i64>()
        );
        let groups: i128 = account.groups.iter().map(|group| i128::from(group.sums.paid().micros())).sum();
        assert_eq!(groups, i128::from(account.total.paid().micros()), "seed {seed}: the parts are the whole");
        assert!(account.total.saved().micros() > 0, "seed {seed}: spot was cheaper, and it shows");
        assert!(cents(sum(|line| line.paid, None)) > 100, "seed {seed}: more than pocket money");
    }
}

/// A process that starts anew has nothing to compare with: what ended just then is counted until it was last seen.
#[test]
fn what_a_new_process_cannot_know_is_listed_and_never_claimed() {
    let (day, bill, from, until) = play(11, 24 * 60, 7);
    let found = ledger::read::read(&day.lines.join("\n"));
    let account = account(&Book::of(found.records), &day.prices(), Some(from), Some(until));
    let paid: i128 = bill.lines().map(|(_, line)| line.paid).sum();
    let short = (paid / 3_600_000) as i64 - account.total.paid().micros();
    // No instance costs more than $0.126 an hour here.
    let at_most = account.unsure.1 as i128 * 126_000 / 3_600_000;
    assert!(short >= 0 && i128::from(short) <= at_most + 10, "short of {short} micro-dollars, {at_most} at most");
}

/// What the keeper writes at rest: an hour's worth is one line.
#[test]
fn a_group_at_rest_costs_a_line_an_hour() {
    let mut day = Day { region: Metered::new(3, 6), keeper: Keeper::default(), lines: Vec::new(), interrupted: 0 };
    for _ in 0..6 * 60 {
        day.tick();
        day.region.advance(58);
    }
    let kinds = |kind: &str| day.lines.iter().filter(|line| line.contains(kind)).count();
    assert_eq!((kinds(r#""kind":"members""#), day.lines.len()), (6, 6));
    let spot = |record: &Record| matches!(record, Record::Members(members) if members.members.iter().any(|one| one.bought == Bought::Spot));
    assert!(!ledger::read::read(&day.lines.join("\n")).records.iter().any(spot), "nobody swaps here");
}
