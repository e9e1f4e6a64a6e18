//! What a history of spot prices says: how often a bid would have held, at which levels, how restless, what a run cost.
//!
//! A history is a step function: a price holds until the next record, and before the first record there is none.
//! Every mean here is weighted by time, never by the number of records: AWS repeats an unchanged price once a day and
//! reports a restless hour sixty times.
//!
//! Since 2018 a spot price is set by the supply side and moves slowly between a floor and a ceiling. It says what a run
//! costs. About interruptions it says little: [`Levels::is_flat`] and the account's own [`Exposure`] say when and what
//! instead.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::model::{InstanceType, Price, Zone};

/// The price of one capacity pool over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceHistory {
    /// Second and price, in order, no two at one second, no two neighbours equal.
    steps: Vec<(i64, Price)>,
    /// The last price holds until then; later than the last step.
    end: i64,
}

impl PriceHistory {
    /// From records in any order, as AWS reports them; the last price holds until `end`. Of two records of one second
    /// the later one in the list counts. `None` if there is no record before `end`.
    pub fn new(records: impl IntoIterator<Item = (Timestamp, Price)>, end: Timestamp) -> Option<PriceHistory> {
        let end = end.as_second();
        // A map keeps the last of equal keys.
        let by_second: BTreeMap<i64, Price> =
            records.into_iter().map(|(at, price)| (at.as_second(), price)).filter(|(at, _)| *at < end).collect();
        let mut steps: Vec<(i64, Price)> = by_second.into_iter().collect();
        steps.dedup_by_key(|(_, price)| *price);
        (!steps.is_empty()).then_some(PriceHistory { steps, end })
    }

    /// The part between two moments. `None` if it has no price there at any time.
    pub fn between(&self, from: Timestamp, until: Timestamp) -> Option<PriceHistory> {
        let (from, end) = (from.as_second().max(self.start()), until.as_second().min(self.end));
        if from >= end {
            return None;
        }
        let before = self.steps.partition_point(|(at, _)| *at <= from) - 1;
        let mut steps: Vec<(i64, Price)> =
            self.steps[before..].iter().copied().take_while(|(at, _)| *at < end).collect();
        steps[0].0 = from;
        Some(PriceHistory { steps, end })
    }

    /// Price at a moment; none before the first record, and none once the history is over.
    pub fn price_at(&self, moment: Timestamp) -> Option<Price> {
        self.at(moment.as_second())
    }

    fn at(&self, second: i64) -> Option<Price> {
        if second >= self.end {
            return None;
        }
        let after = self.steps.partition_point(|(at, _)| *at <= second);
        Some(self.steps[after.checked_sub(1)?].1)
    }

    fn start(&self) -> i64 {
        self.steps[0].0
    }

    /// The first moment with a price.
    pub fn since(&self) -> Timestamp {
        moment(self.start())
    }

    /// The last price holds until then.
    pub fn until(&self) -> Timestamp {
        moment(self.end)
    }

    /// When each price began to hold.
    pub fn steps(&self) -> impl Iterator<Item = (Timestamp, Price)> {
        self.steps.iter().map(|(at, price)| (moment(*at), *price))
    }

    /// Seconds that it covers; at least one.
    pub fn seconds(&self) -> u64 {
        self.end.abs_diff(self.start())
    }

    /// Days that it covers.
    pub fn days(&self) -> f64 {
        self.seconds() as f64 / 86_400.0
    }

    /// Length in seconds and price of every slice.
    pub fn slices(&self) -> impl Iterator<Item = (u64, Price)> {
        let ends = self.steps.iter().skip(1).map(|(at, _)| *at).chain([self.end]);
        self.steps.iter().zip(ends).map(|((at, price), end)| (end.abs_diff(*at), *price))
    }

    /// Availability of a bid: the share of time with a price at or below it. In [0, 1]; never falls when the bid
    /// rises; 1 at the highest price and 0 below the lowest; a price is held at exactly its own bid.
    pub fn availability(&self, bid: Price) -> f64 {
        self.share_of_time(|price| price <= bid)
    }

    /// The same for a bid in percent of the on-demand price. Compared without division: twice the prices, the same
    /// answer.
    pub fn availability_at_percent(&self, percent: u32, on_demand: Price) -> f64 {
        let bid = u128::from(on_demand.0) * u128::from(percent);
        self.share_of_time(|price| u128::from(price.0) * 100 <= bid)
    }

    /// The share of time in which the pool was sold out: its price at or above on-demand.
    pub fn sold_out(&self, on_demand: Price) -> f64 {
        self.share_of_time(|price| price >= on_demand)
    }

    fn share_of_time(&self, counts: impl Fn(Price) -> bool) -> f64 {
        let seconds: u64 = self.slices().filter(|(_, price)| counts(*price)).map(|(seconds, _)| seconds).sum();
        seconds as f64 / self.seconds() as f64
    }

    /// Mean price, weighted by time, in micro-dollars per hour.
    pub fn mean(&self) -> f64 {
        let sum: u128 = self.slices().map(|(seconds, price)| u128::from(seconds) * u128::from(price.0)).sum();
        sum as f64 / self.seconds() as f64
    }

    /// Mean saving over an on-demand price: 0.6 is 60 %. Negative where spot was dearer.
    pub fn mean_saving(&self, on_demand: Price) -> f64 {
        1.0 - self.mean() / on_demand.0 as f64
    }

    /// How many times the price changed. Repeated prices are not changes.
    pub fn changes(&self) -> usize {
        self.steps.len() - 1
    }

    /// Changes per day.
    pub fn changes_per_day(&self) -> f64 {
        self.changes() as f64 / self.days()
    }

    /// How restless the price is: the standard deviation over the mean, both weighted by time. Zero for a price that
    /// never moved; the same for twice the prices.
    pub fn volatility(&self) -> f64 {
        let mean = self.mean();
        let square = |price: Price| (price.0 as f64 - mean).powi(2);
        let sum: f64 = self.slices().map(|(seconds, price)| seconds as f64 * square(price)).sum();
        (sum / self.seconds() as f64).sqrt() / mean
    }

    /// The levels between which the price moves.
    pub fn levels(&self) -> Levels {
        let mut prices: Vec<Price> = self.steps.iter().map(|(_, price)| *price).collect();
        prices.sort_unstable();
        prices.dedup();
        Levels { count: prices.len(), floor: prices[0], ceiling: prices[prices.len() - 1] }
    }

    /// What an instance costs that runs from `from` until `until`: the sum of price times time over the slices. `None`
    /// if the history does not cover the run; an empty run costs nothing.
    pub fn cost(&self, from: Timestamp, until: Timestamp) -> Option<Cost> {
        let (from, until) = (from.as_second(), until.as_second());
        if from < self.start() || until > self.end || from > until {
            return None;
        }
        let ends = self.steps.iter().skip(1).map(|(at, _)| *at).chain([self.end]);
        let sum = self
            .steps
            .iter()
            .zip(ends)
            .map(|((at, price), end)| {
                let seconds = (end.min(until) - (*at).max(from)).max(0);
                u128::from(seconds.unsigned_abs()) * u128::from(price.0)
            })
            .sum();
        Some(Cost(sum))
    }
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("it was a timestamp before")
}

/// Money spent, exact to the second: micro-dollars per hour times seconds. Costs of the parts of a run add up to the
/// cost of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(u128);

impl Cost {
    /// What a fixed price costs over some seconds.
    pub fn of(price: Price, seconds: u64) -> Cost {
        Cost(u128::from(price.0) * u128::from(seconds))
    }

    /// Micro-dollars, to the nearest.
    pub fn usd_micros(self) -> u128 {
        (self.0 + 1800) / 3600
    }

    /// Dollars, for people.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 3600.0 / 1e6
    }
}

impl std::ops::Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost(self.0 + other.0)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.4}", self.dollars())
    }
}

/// The levels between which a price moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Distinct prices.
    pub count: usize,
    /// The lowest.
    pub floor: Price,
    /// The highest.
    pub ceiling: Price,
}

impl Levels {
    /// Whether the price says next to nothing about interruptions: it stayed within a tenth of its floor, so that a
    /// pool that was short and one that was not cost the same.
    pub fn is_flat(self) -> bool {
        u128::from(self.ceiling.0) * 10 <= u128::from(self.floor.0) * 11
    }
}

/// Which of several histories was the cheapest, sampled at equal steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Cheapest<K> {
    /// Moments at which at least one of them had a price.
    pub samples: usize,
    /// Samples at which another one was the cheapest than at the sample before.
    pub changes: usize,
    /// Mean of the cheapest price over the samples, micro-dollars per hour.
    pub mean: f64,
    /// The winners and how many samples each won, most wins first, then by name.
    pub winners: Vec<(K, usize)>,
}

/// Samples `histories` every `step_seconds` from `from` until `until` (both included). Of equally cheap ones the first
/// name wins. `None` if none of them ever has a price. The last price of each still counts at its end.
pub fn cheapest<K: Ord + Clone>(
    histories: &BTreeMap<K, PriceHistory>,
    from: Timestamp,
    until: Timestamp,
    step_seconds: u32,
) -> Option<Cheapest<K>> {
    let step = i64::from(step_seconds.max(1));
    let (mut samples, mut changes, mut sum) = (0usize, 0usize, 0u128);
    let mut wins: BTreeMap<&K, usize> = BTreeMap::new();
    let mut before: Option<&K> = None;
    let mut second = from.as_second();
    while second <= until.as_second() {
        let price = |history: &PriceHistory| history.at(second.min(history.end - 1));
        let best = histories.iter().filter_map(|(name, history)| Some((price(history)?, name))).min();
        if let Some((price, winner)) = best {
            samples += 1;
            sum += u128::from(price.0);
            changes += usize::from(before.is_some_and(|before| before != winner));
            *wins.entry(winner).or_default() += 1;
            before = Some(winner);
        }
        second += step;
    }
    let mut winners: Vec<(K, usize)> = wins.into_iter().map(|(name, count)| (name.clone(), count)).collect();
    winners.sort_by(|(a, wins_of_a), (b, wins_of_b)| wins_of_b.cmp(wins_of_a).then_with(|| a.cmp(b)));
    (samples > 0).then(|| Cheapest { samples, changes, mean: sum as f64 / samples as f64, winners })
}

/// How often AWS says that a type is interrupted in a month (Spot Advisor).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterruptionFrequency {
    /// Fewer than one in twenty.
    Below5,
    /// 5–10 %
    From5To10,
    /// 10–15 %
    From10To15,
    /// 15–20 %
    From15To20,
    /// More than one in five.
    Above20,
}

impl InterruptionFrequency {
    /// All of them, the calmest first.
    pub const ALL: [InterruptionFrequency; 5] =
        [Self::Below5, Self::From5To10, Self::From10To15, Self::From15To20, Self::Above20];

    /// Reads the advisor's bucket number.
    pub fn from_bucket(bucket: u64) -> Option<InterruptionFrequency> {
        Self::ALL.get(usize::try_from(bucket).ok()?).copied()
    }

    /// The advisor's words.
    pub fn label(self) -> &'static str {
        match self {
            Self::Below5 => "<5%",
            Self::From5To10 => "5-10%",
            Self::From10To15 => "10-15%",
            Self::From15To20 => "15-20%",
            Self::Above20 => ">20%",
        }
    }

    /// Its upper end per month, in percent; for the open bucket twice its lower end.
    pub fn percent_per_month(self) -> u32 {
        match self {
            Self::Below5 => 5,
            Self::From5To10 => 10,
            Self::From10To15 => 15,
            Self::From15To20 => 20,
            Self::Above20 => 40,
        }
    }
}

impl fmt::Display for InterruptionFrequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// One spot instance of this account, as AWS remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Type.
    pub instance_type: InstanceType,
    /// Zone.
    pub zone: Zone,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// When it ended, and whether EC2 took it back; `None` while it runs.
    pub ended: Option<(Timestamp, End)>,
}

/// How an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// EC2 took the capacity back.
    Interrupted,
    /// Anything else: scale-in, a swap, its owner.
    Released,
}

/// How long instances of one pool ran, and how often EC2 took one back: the only interruption frequency that is about
/// this account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Seconds that instances ran, all together.
    pub seconds: u64,
    /// How many were interrupted.
    pub interruptions: u32,
}
