//! How often instances of a pool are interrupted, term by term: what AWS says of the type, corrected by what this
//! account has just lived through in the pool.
//!
//! | term | where from | weight |
//! |---|---|---|
//! | prior | the type's bucket in AWS's Spot Advisor, if its file was given; else AWS's own average of five in a hundred | one instance watched for a month |
//! | own | this account's spot instances in the pool over the last four hours: EC2 forgets a spot request four hours after its instance has ended | the time that they ran |
//!
//! Both are "of a hundred instances in a month", so they add up as
//! `(prior × 1 month + 100 × own losses) / (1 month + own time)`. Own losses speak at once, own quiet hours only slowly: that
//! nothing happened for four hours says little about a month. Where neither is known there is no estimate, and nothing is
//! left out.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::choose::{NoPool, Pool, Pools};
use crate::model::{InstanceType, Zone};
use crate::stats::{End, Exposure, InterruptionFrequency, Life};

/// How far back EC2 remembers what became of an instance. What ran before counts for nobody: of those times EC2 shows
/// only the survivors.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(4);
/// A pool that took back an instance of this account, of whatever group, is not asked for so long: as long as the
/// group's own [memory](crate::backoff) lets it cool after a first failure.
const COOLING: SignedDuration = SignedDuration::from_mins(30);
/// AWS: fewer than five in a hundred, over all regions and types.
const AVERAGE_PERCENT: u64 = 5;
/// A month of 730 hours.
const MONTH_SECONDS: u64 = 730 * 3600;

/// What is known about interruptions in a region. Empty is fine: then nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Risk {
    /// AWS's statement by type, from the Spot Advisor's file.
    pub advisor: BTreeMap<InstanceType, InterruptionFrequency>,
    /// What this account has seen lately, by pool.
    pub own: BTreeMap<Zone, BTreeMap<InstanceType, Own>>,
}

/// What this account has seen lately of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// How long instances ran there in the last four hours, and how many were taken back.
    pub exposure: Exposure,
    /// The latest loss.
    pub last_loss: Option<Timestamp>,
}

/// How often instances of one pool are interrupted, with the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// What AWS says of the type.
    pub advisor: Option<InterruptionFrequency>,
    /// What this account has seen of the pool.
    pub own: Exposure,
    /// Of a hundred instances, how many are interrupted in a month; more than a hundred where they live for less.
    pub percent_per_month: u64,
}

impl Risk {
    /// What the lives of this account's spot instances say, by pool.
    pub fn own<'a>(
        lives: impl IntoIterator<Item = &'a Life>,
        now: Timestamp,
    ) -> BTreeMap<Zone, BTreeMap<InstanceType, Own>> {
        let since = now - REMEMBERED;
        let mut zones: BTreeMap<Zone, BTreeMap<InstanceType, Own>> = BTreeMap::new();
        for life in lives {
            let ended_at = life.ended.map_or(now, |(at, _)| at.min(now));
            if ended_at < since {
                continue;
            }
            let ran = ended_at.as_second() - life.launched_at.max(since).as_second();
            let own = zones.entry(life.zone.clone()).or_default().entry(life.instance_type.clone()).or_default();
            own.exposure.seconds += u64::try_from(ran).unwrap_or(0);
            if life.ended.is_some_and(|(_, end)| end == End::Interrupted) {
                own.exposure.interruptions += 1;
                own.last_loss = own.last_loss.max(Some(ended_at));
            }
        }
        zones
    }

    /// How often instances of a pool are interrupted. `None`: nobody has said anything of it.
    pub fn of(&self, zone: &Zone, instance_type: &InstanceType) -> Option<Estimate> {
        let advisor = self.advisor.get(instance_type).copied();
        let own = self.seen(zone, instance_type).map(|own| own.exposure).unwrap_or_default();
        if advisor.is_none() && own.interruptions == 0 {
            return None;
        }
        let prior = advisor.map_or(AVERAGE_PERCENT, |frequency| frequency.percent_per_month().into());
        let weighted = (prior + 100 * u64::from(own.interruptions)) * MONTH_SECONDS;
        let weight = MONTH_SECONDS + own.seconds;
        // To the nearest; what AWS says alone comes out as AWS says it.
        let percent_per_month = (weighted + weight / 2) / weight;
        Some(Estimate { advisor, own, percent_per_month })
    }

    /// Those of `pools` in which this account has not just lost an instance.
    pub fn admit(&self, pools: Pools, now: Timestamp) -> Result<Pools, NoPool> {
        let cools_until = |pool: &Pool| self.cools_until(&pool.zone, &pool.instance_type, now);
        if !pools.iter().any(|pool| cools_until(pool).is_some()) {
            return Ok(pools);
        }
        pools.only(|pool| cools_until(pool).is_none()).ok_or_else(|| NoPool::Cooling {
            until: pools.iter().filter_map(cools_until).min().unwrap_or(now),
            pools: pools.count(),
        })
    }

    /// Until when a pool is not asked for, because this account has just lost an instance there.
    pub fn cools_until(&self, zone: &Zone, instance_type: &InstanceType, now: Timestamp) -> Option<Timestamp> {
        let lost = self.seen(zone, instance_type)?.last_loss?;
        Some(lost + COOLING).filter(|until| *until > now)
    }

    fn seen(&self, zone: &Zone, instance_type: &InstanceType) -> Option<&Own> {
        self.own.get(zone)?.get(instance_type)
    }
}

impl Estimate {
    /// Interruptions per instance and month.
    pub fn interruptions_per_month(self) -> f64 {
        self.percent_per_month as f64 / 100.0
    }
}

impl fmt::Display for Estimate {
    /// With every term, so that anybody can do the sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exposure { seconds, interruptions } = self.own;
        write!(f, "{} of 100 interrupted a month (", self.percent_per_month)?;
        match self.advisor {
            Some(frequency) => write!(f, "advisor {frequency}")?,
            None => write!(f, "AWS's average {AVERAGE_PERCENT}%")?,
        }
        let hours = seconds / 3600;
        match interruptions {
            0 if seconds == 0 => f.write_str(")"),
            0 => write!(f, ", none of ours lost in {hours} h)"),
            lost => write!(f, ", {lost} of ours lost in {hours} h)"),
        }
    }
}
