//! Prices over time: steps, each holding until the next.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use planner::model::Price;

use crate::record::{Bought, Instance, PriceAt};

/// A capacity pool, or with no zone a type at its list price; of one platform in one region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    /// Region.
    pub region: String,
    /// What is billed.
    pub platform: String,
    /// Type.
    pub kind: String,
    /// Zone; `None` for the on-demand price.
    pub zone: Option<String>,
}

impl PoolKey {
    /// Where an instance buys.
    pub fn of(instance: &Instance, region: &str) -> PoolKey {
        let zone = match instance.bought {
            Bought::Spot => Some(instance.zone.clone()),
            Bought::OnDemand => None,
        };
        PoolKey { region: region.to_owned(), platform: instance.platform.clone(), kind: instance.kind.clone(), zone }
    }

    /// The list price of a type, for the same platform and region.
    pub fn listed(&self, kind: &str) -> PoolKey {
        PoolKey { kind: kind.to_owned(), zone: None, ..self.clone() }
    }
}

/// A step of a price: from when on, and how much per hour.
pub type Step = (Timestamp, Price);

/// All prices that are known.
#[derive(Clone, Debug, Default)]
pub struct Prices(BTreeMap<PoolKey, Vec<Step>>);

impl Prices {
    /// Adds a step.
    pub fn add(&mut self, pool: PoolKey, from: Timestamp, price: Price) {
        let steps = self.0.entry(pool).or_default();
        match steps.binary_search_by_key(&from, |(at, _)| *at) {
            Ok(at) => steps[at].1 = price,
            Err(at) => steps.insert(at, (from, price)),
        }
    }

    /// Adds a record's.
    pub fn add_record(&mut self, record: &PriceAt) {
        let PriceAt { region, platform, kind, zone, from, price } = record.clone();
        self.add(PoolKey { region, platform, kind, zone }, from, price);
    }

    /// The steps of a pool.
    pub fn steps(&self, pool: &PoolKey) -> &[Step] {
        self.0.get(pool).map_or(&[], Vec::as_slice)
    }

    /// The pools that are wanted and have no price at that time.
    pub fn missing<'a>(&self, wanted: impl IntoIterator<Item = (&'a PoolKey, Timestamp)>) -> BTreeSet<PoolKey> {
        let unknown = |(pool, from): &(&PoolKey, Timestamp)| self.at(pool, *from).is_none();
        wanted.into_iter().filter(unknown).map(|(pool, _)| pool.clone()).collect()
    }

    /// The price at a time. A list price is taken to have held before it was first read, too: the list has no past.
    pub fn at(&self, pool: &PoolKey, at: Timestamp) -> Option<Price> {
        let steps = self.steps(pool);
        match steps.partition_point(|(from, _)| *from <= at) {
            0 if pool.zone.is_none() => steps.first().map(|(_, price)| *price),
            0 => None,
            after => Some(steps[after - 1].1),
        }
    }

    /// The pieces of a time over which the price stays the same; `None` where it is not known.
    pub fn pieces(
        &self,
        pool: &PoolKey,
        from: Timestamp,
        until: Timestamp,
    ) -> Vec<(Timestamp, Timestamp, Option<Price>)> {
        let steps = self.steps(pool);
        let mut pieces = Vec::new();
        let mut start = from;
        let mut next = steps.partition_point(|(at, _)| *at <= from);
        while start < until {
            let end = steps.get(next).map_or(until, |(at, _)| (*at).min(until));
            if end > start {
                pieces.push((start, end, self.at(pool, start)));
            }
            start = end;
            next += 1;
        }
        pieces
    }

    /// As records, for files that can be read without an account.
    pub fn records(&self) -> Vec<PriceAt> {
        let of_pool = |(pool, steps): (&PoolKey, &Vec<Step>)| {
            let PoolKey { region, platform, kind, zone } = pool.clone();
            let record = move |(from, price): &Step| PriceAt {
                region: region.clone(),
                platform: platform.clone(),
                kind: kind.clone(),
                zone: zone.clone(),
                from: *from,
                price: *price,
            };
            steps.iter().map(record).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_pool).collect()
    }
}
