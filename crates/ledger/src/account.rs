//! Adds up: what was paid, and what the same work would have cost on demand.
//!
//! The rule is one line per instance. Whoever is not ours would have cost what it cost. Whoever is ours stands in for
//! another instance: from the end of that one on, it would have cost that one's list price; until then, it costs on
//! top. So the overlap of a swap, and a replica that came to nothing, count against the saving.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use jiff::{SignedDuration, Timestamp};
use planner::model::Price;

use crate::book::{Book, GroupKey, Life, largest_pool};
use crate::prices::{PoolKey, Prices};
use crate::record::{Bought, Why};

const DAY_SECONDS: i64 = 86_400;

/// Micro-dollars times milliseconds, per hour: exact until somebody wants to read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i128);

impl Money {
    /// A price for a time.
    pub fn of(price: Price, millis: i64) -> Money {
        Money(i128::from(price.0) * i128::from(millis))
    }

    /// Micro-dollars, rounded to the nearest.
    pub fn micros(self) -> i64 {
        const HOUR: i128 = 3_600_000;
        let half = if self.0 < 0 { -HOUR / 2 } else { HOUR / 2 };
        i64::try_from((self.0 + half) / HOUR).unwrap_or(i64::MAX)
    }

    /// Dollars, for people and JSON only.
    pub fn dollars(self) -> f64 {
        self.micros() as f64 / 1e6
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        self.0 += other.0;
    }
}

impl std::ops::Sub for Money {
    type Output = Money;

    fn sub(self, other: Money) -> Money {
        Money(self.0 - other.0)
    }
}

impl std::ops::Add for Money {
    type Output = Money;

    fn add(self, other: Money) -> Money {
        Money(self.0 + other.0)
    }
}

/// Sums over some instances and some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Paid for spot instances.
    pub paid_spot: Money,
    /// Paid for on-demand instances.
    pub paid_on_demand: Money,
    /// What all of it would have cost without us.
    pub without: Money,
    /// The part of `without` for which instances of ours stood in.
    pub replaced: Money,
    /// Paid for instances of ours, once they had taken over.
    pub replacing: Money,
    /// Paid on top: replicas before they took over, and those that never did.
    pub on_top: Money,
    /// Instance milliseconds on spot.
    pub spot_ms: i64,
    /// Instance milliseconds on demand.
    pub on_demand_ms: i64,
    /// Instance milliseconds in no sum of money, since a price is not known.
    pub unpriced_ms: i64,
    /// Milliseconds for which replicas ran beside those that they replace.
    pub overlap_ms: i64,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        self.paid_spot += other.paid_spot;
        self.paid_on_demand += other.paid_on_demand;
        self.without += other.without;
        self.replaced += other.replaced;
        self.replacing += other.replacing;
        self.on_top += other.on_top;
        self.spot_ms += other.spot_ms;
        self.on_demand_ms += other.on_demand_ms;
        self.unpriced_ms += other.unpriced_ms;
        self.overlap_ms += other.overlap_ms;
    }
}

impl Sums {
    /// Paid.
    pub fn paid(&self) -> Money {
        self.paid_spot + self.paid_on_demand
    }

    /// Saved: what it would have cost, less what was paid.
    pub fn saved(&self) -> Money {
        self.without - self.paid()
    }

    /// Of what everything would have cost, percent.
    pub fn saved_percent(&self) -> Option<f64> {
        percent(self.saved(), self.without)
    }

    /// Of what the replaced instances would have cost, all that was paid on top included, percent.
    pub fn saved_percent_of_replaced(&self) -> Option<f64> {
        percent(self.saved(), self.replaced)
    }

    /// Part of the instance hours that ran on spot, percent.
    pub fn spot_percent(&self) -> Option<f64> {
        let all = self.spot_ms + self.on_demand_ms;
        (all > 0).then(|| self.spot_ms as f64 * 100.0 / all as f64)
    }
}

fn percent(part: Money, whole: Money) -> Option<f64> {
    (whole.0 > 0).then(|| part.0 as f64 * 100.0 / whole.0 as f64)
}

/// Hours, for people and JSON only.
pub fn hours(millis: i64) -> f64 {
    millis as f64 / 3_600_000.0
}

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Account {
    /// From then on: asked for, or where the ledger begins.
    pub from: Timestamp,
    /// Until then: asked for, or where the ledger ends.
    pub until: Timestamp,
    /// Everything.
    pub total: Sums,
    /// Start of each day (UTC), ascending, without gaps.
    pub days: Vec<(Timestamp, Sums)>,
    /// Each group.
    pub groups: Vec<GroupAccount>,
    /// Each spot pool.
    pub pools: Vec<PoolAccount>,
    /// By what is billed (`Linux/UNIX`, `Windows`, …), instances of ours only.
    pub platforms: BTreeMap<String, Sums>,
    /// Interruptions by EC2, in order.
    pub interruptions: Vec<Interruption>,
    /// Swaps that were finished.
    pub swaps: u32,
    /// Instances whose end nobody saw, and the time that may be missing for them all, milliseconds.
    pub unsure: (u32, i64),
    /// Prices that would have been needed.
    pub unpriced: Vec<PoolKey>,
}

/// One group.
#[derive(Clone, Debug, Default)]
pub struct GroupAccount {
    /// Region and name.
    pub key: GroupKey,
    /// Sums.
    pub sums: Sums,
    /// Swaps that were finished.
    pub swaps: u32,
    /// Interruptions by EC2.
    pub interruptions: u32,
    /// Saved on each day of the account.
    pub saved_by_day: Vec<Money>,
    /// Spot members when it was seen last.
    pub spot: u32,
    /// On-demand members then.
    pub on_demand: u32,
    /// So many of its members were in one spot pool then.
    pub largest_pool: u32,
    /// The most that ever were, of so many.
    pub worst: (u32, u32),
}

/// One spot pool.
#[derive(Clone, Debug)]
pub struct PoolAccount {
    /// Which.
    pub pool: PoolKey,
    /// Instance milliseconds.
    pub ms: i64,
    /// Paid.
    pub paid: Money,
    /// Interruptions by EC2.
    pub interruptions: u32,
    /// Members in it when their groups were seen last.
    pub now: u32,
    /// Of so many groups.
    pub groups: u32,
}

/// EC2 took an instance back.
#[derive(Clone, Debug)]
pub struct Interruption {
    /// When.
    pub at: Timestamp,
    /// Region and group.
    pub group: GroupKey,
    /// Which.
    pub instance: String,
    /// From which pool.
    pub pool: PoolKey,
    /// It had lived so long, milliseconds.
    pub age_ms: i64,
}

/// The account of a time: `None` for its ends means as far as the ledger goes.
pub fn account(book: &Book, prices: &Prices, since: Option<Timestamp>, until: Option<Timestamp>) -> Account {
    let (first, last) = book.span().unwrap_or((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
    let from = since.map_or(first, |since| since.max(first));
    let until = until.map_or(last, |until| until.min(last)).max(from);
    let mut sheet = Sheet::new(from, until, prices);
    for life in &book.lives {
        sheet.add(life);
    }
    sheet.close(book)
}

struct Sheet<'a> {
    from: Timestamp,
    until: Timestamp,
    prices: &'a Prices,
    days: Vec<Sums>,
    groups: BTreeMap<GroupKey, (GroupAccount, Vec<Sums>)>,
    pools: BTreeMap<PoolKey, PoolAccount>,
    platforms: BTreeMap<String, Sums>,
    interruptions: Vec<Interruption>,
    unsure: (u32, i64),
    unpriced: BTreeMap<PoolKey, ()>,
}

impl<'a> Sheet<'a> {
    fn new(from: Timestamp, until: Timestamp, prices: &'a Prices) -> Self {
        let days = if until > from { day(until - SignedDuration::from_nanos(1)) - day(from) + 1 } else { 0 };
        Self {
            from,
            until,
            prices,
            days: vec![Sums::default(); days.max(0) as usize],
            groups: BTreeMap::new(),
            pools: BTreeMap::new(),
            platforms: BTreeMap::new(),
            interruptions: Vec::new(),
            unsure: (0, 0),
            unpriced: BTreeMap::new(),
        }
    }

    fn add(&mut self, life: &Life) {
        let key = (life.region.clone(), life.group.clone());
        let count = self.days.len();
        let pool = life.pool();
        let (from, until) = (life.from.max(self.from), life.until.min(self.until));
        let (group, group_days) = self.groups.entry(key.clone()).or_insert_with(|| {
            (GroupAccount { key: key.clone(), ..GroupAccount::default() }, vec![Sums::default(); count])
        });
        if let Some(end) = life.end
            && (self.from..=self.until).contains(&life.until)
        {
            if end.unsure > SignedDuration::ZERO {
                self.unsure.0 += 1;
                self.unsure.1 += end.unsure.as_millis() as i64;
            }
            if end.why == Why::Interrupted {
                group.interruptions += 1;
                self.interruptions.push(Interruption {
                    at: life.until,
                    group: key,
                    instance: life.instance.id.clone(),
                    pool: pool.clone(),
                    age_ms: millis(life.instance.launched, life.until),
                });
                pool_of(&mut self.pools, &pool).interruptions += 1;
            }
        }
        let mut start = from;
        while start < until {
            let end = midnight_after(start).min(until);
            let sums = sums(life, &pool, start, end, self.prices, &mut self.unpriced);
            let at = (day(start) - day(self.from)) as usize;
            self.days[at] += sums;
            group_days[at] += sums;
            if life.is_ours() {
                *self.platforms.entry(life.instance.platform.clone()).or_default() += sums;
            }
            if life.instance.bought == Bought::Spot {
                let account = pool_of(&mut self.pools, &pool);
                account.ms += sums.spot_ms;
                account.paid += sums.paid_spot;
            }
            start = end;
        }
    }

    fn close(mut self, book: &Book) -> Account {
        let within = |at: Timestamp| (self.from..=self.until).contains(&at);
        let mut swaps = 0;
        for swap in book.swaps.iter().filter(|swap| within(swap.at)) {
            swaps += 1;
            if let Some((group, _)) = self.groups.get_mut(&(swap.region.clone(), swap.group.clone())) {
                group.swaps += 1;
            }
        }
        for (key, members) in &book.latest {
            let mut seen: BTreeMap<PoolKey, u32> = BTreeMap::new();
            for instance in members.members.iter().filter(|one| !one.outside && one.bought == Bought::Spot) {
                *seen.entry(PoolKey::of(instance, &members.region)).or_default() += 1;
            }
            for (pool, count) in seen {
                let account = pool_of(&mut self.pools, &pool);
                account.now += count;
                account.groups += 1;
            }
            let (group, _) = self.groups.entry(key.clone()).or_insert_with(|| {
                (GroupAccount { key: key.clone(), ..GroupAccount::default() }, vec![Sums::default(); self.days.len()])
            });
            group.spot = members.spot;
            group.on_demand = members.on_demand;
            group.largest_pool = largest_pool(members).0;
            group.worst = book.worst.get(key).copied().unwrap_or_default();
        }
        self.interruptions.sort_by(|a, b| (a.at, &a.instance).cmp(&(b.at, &b.instance)));
        let mut total = Sums::default();
        self.days.iter().for_each(|sums| total += *sums);
        let first = day(self.from);
        let start_of = |at: usize| Timestamp::from_second((first + at as i64) * DAY_SECONDS).unwrap_or(self.from);
        let close = |(mut group, days): (GroupAccount, Vec<Sums>)| {
            days.iter().for_each(|sums| group.sums += *sums);
            group.saved_by_day = days.iter().map(Sums::saved).collect();
            group
        };
        Account {
            from: self.from,
            until: self.until,
            total,
            days: self.days.iter().enumerate().map(|(at, sums)| (start_of(at), *sums)).collect(),
            groups: self.groups.into_values().map(close).collect(),
            pools: self.pools.into_values().collect(),
            platforms: self.platforms,
            interruptions: self.interruptions,
            swaps,
            unsure: self.unsure,
            unpriced: self.unpriced.into_keys().collect(),
        }
    }
}

/// One instance for a time.
fn sums(
    life: &Life,
    pool: &PoolKey,
    from: Timestamp,
    until: Timestamp,
    prices: &Prices,
    unpriced: &mut BTreeMap<PoolKey, ()>,
) -> Sums {
    let mut sums = Sums::default();
    let whole = millis(from, until);
    match life.instance.bought {
        Bought::Spot => sums.spot_ms = whole,
        Bought::OnDemand => sums.on_demand_ms = whole,
    }
    let takes_over = match (life.is_ours(), life.attached) {
        (false, _) => from,
        (true, true) => life.takes_over.unwrap_or(until).clamp(from, until),
        (true, false) => until,
    };
    if life.is_ours() {
        sums.overlap_ms = millis(from, takes_over);
    }
    let listed = life.listed();
    for (start, end, price) in prices.pieces(pool, from, until) {
        let millis_of = |from: Timestamp, until: Timestamp| if until > from { millis(from, until) } else { 0 };
        let ms = millis_of(start, end);
        let Some(price) = price else {
            unpriced.insert(pool.clone(), ());
            sums.unpriced_ms += ms;
            continue;
        };
        let paid = Money::of(capped(price, life, pool, prices, start), ms);
        let (before, after) = (millis_of(start, takes_over.min(end)), millis_of(takes_over.max(start), end));
        let without = if life.is_ours() {
            match listed.as_ref().map(|listed| (listed, prices.at(listed, start))) {
                Some((_, Some(list))) => Money::of(list, after),
                // It stands in for something of which we do not know the price: nothing is claimed.
                Some((listed, None)) => {
                    unpriced.insert(listed.clone(), ());
                    sums.unpriced_ms += ms;
                    continue;
                }
                None => {
                    sums.unpriced_ms += ms;
                    continue;
                }
            }
        } else {
            paid
        };
        match life.instance.bought {
            Bought::Spot => sums.paid_spot += paid,
            Bought::OnDemand => sums.paid_on_demand += paid,
        }
        sums.without += without;
        if life.is_ours() {
            let price = capped(price, life, pool, prices, start);
            sums.on_top += Money::of(price, before);
            sums.replacing += Money::of(price, after);
            sums.replaced += without;
        }
    }
    sums
}

/// A spot instance never pays more than its cap, also while it is being taken back: its own, or the on-demand price.
fn capped(price: Price, life: &Life, pool: &PoolKey, prices: &Prices, at: Timestamp) -> Price {
    match life.instance.bought {
        Bought::OnDemand => price,
        Bought::Spot => {
            let cap = life.instance.bid.or_else(|| prices.at(&pool.listed(&pool.kind), at));
            cap.map_or(price, |cap| price.min(cap))
        }
    }
}

fn pool_of<'a>(pools: &'a mut BTreeMap<PoolKey, PoolAccount>, pool: &PoolKey) -> &'a mut PoolAccount {
    pools.entry(pool.clone()).or_insert_with(|| PoolAccount {
        pool: pool.clone(),
        ms: 0,
        paid: Money::default(),
        interruptions: 0,
        now: 0,
        groups: 0,
    })
}

fn millis(from: Timestamp, until: Timestamp) -> i64 {
    until.as_millisecond() - from.as_millisecond()
}

fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY_SECONDS)
}

fn midnight_after(at: Timestamp) -> Timestamp {
    Timestamp::from_second((day(at) + 1) * DAY_SECONDS).unwrap_or(Timestamp::MAX)
}
