//! The circuit breaker: a pool that failed is left alone for a time, longer after every failure; a group that has lost
//! several pools holds its on-demand members until one of them has cooled.
//!
//! Its memory is the text of one tag on the group, `spotward:backoff`, for people to read as well:
//! `v1;t=29833333;us-east-1a=m5.large+35*2!,c5.large+12*1` says, from minute 29833333 of the Unix clock: m5.large in
//! us-east-1a may be tried again in 35 minutes, has failed twice in a row, and failed by losing an instance (`!`), not
//! by lacking capacity. What does not fit into 256 characters is what has cooled most; what cannot be read is
//! forgotten. Either costs at worst one wasted request.
//!
//! | state of a pool | when | asked for? |
//! |---|---|---|
//! | closed | never failed, or long ago | yes |
//! | open | failed, and its time is not over | no |
//! | half open | its time is over, and it has not proved itself yet | one at a time, as a probe: a failure opens it for twice as long, a launch closes it |

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::choose::{NoPool, Pool, Pools};
use crate::model::{Group, InstanceType, LifecycleState, Member, PurchaseOption, Zone, tag};

/// How long a pool cools after its first failure, in minutes: AWS advises to wait for more than a few, and half an hour
/// is what other users of fleets wait.
const FIRST_MINUTES: i64 = 30;
/// A type that EC2 does not support there is not going to be in the next hours either.
const UNSUPPORTED_MINUTES: i64 = 24 * 60;
/// No pool cools for longer than that after losses or missing capacity.
const LONGEST_MINUTES: i64 = 8 * 60;
/// Nobody cools for longer, jitter included: a tag that says so was not written by us, and cannot stop us for years.
const LONGEST_JITTERED: i64 = UNSUPPORTED_MINUTES * 5 / 4;
/// Pools lost at one time that make a group hold its on-demand members: with one lost, the next is better; with three
/// lost, the market is the problem, and not the pool.
const LOST_POOLS: usize = 3;
/// Longest value of a tag.
const TAG_CHARACTERS: usize = 256;

/// Pools that failed lately. A value: what happens makes a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    pools: BTreeMap<(Zone, InstanceType), Failed>,
}

/// One pool's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed {
    /// Minute of the Unix clock from which it may be tried again.
    until: i64,
    /// Failures in a row.
    times: u32,
    /// It took an instance away, the last time; else it had none to give.
    lost: bool,
}

/// A pool that failed, for people to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered<'a> {
    /// Its zone.
    pub zone: &'a Zone,
    /// Its type.
    pub instance_type: &'a InstanceType,
    /// It may be asked for again from then on.
    pub until: Timestamp,
    /// Then is still ahead.
    pub cools: bool,
    /// Failures in a row.
    pub times: u32,
    /// It took an instance away; else it had none to give.
    pub lost: bool,
}

/// What happened in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No capacity for a launch.
    NoCapacity,
    /// EC2 does not support the type there.
    Unsupported,
    /// An instance was taken back, or is about to be.
    Interrupted,
}

/// State of one pool's circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// May be asked for.
    Closed,
    /// May not be asked for.
    Open {
        /// Until then.
        until: Timestamp,
    },
    /// May be tried.
    HalfOpen,
}

impl Backoff {
    /// What the group's tag says. A tag that is missing or cannot be read says nothing.
    pub fn of(group: &Group) -> Backoff {
        group.tags.get(tag::BACKOFF).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Whether there is anything to remember at this time: if not, the tag can go.
    pub fn is_empty(&self, now: Timestamp) -> bool {
        self.pools.values().all(|failed| failed.is_forgotten(minute(now)))
    }

    /// How many pools cool at this time: their circuits are open.
    pub fn cooling(&self, now: Timestamp) -> usize {
        self.pools.values().filter(|failed| failed.is_open(minute(now))).count()
    }

    /// Whether a pool cools here that did not there, or for longer.
    pub fn is_worse_than(&self, other: &Backoff) -> bool {
        self.pools.iter().any(|(key, failed)| other.pools.get(key).is_none_or(|before| before.until < failed.until))
    }

    /// The memory after a launch that came to nothing. `failed` are the types that EC2 named: it may have tried only some
    /// of the pools, and the others have done nothing wrong. If it named none, all pools of the request count.
    pub fn after_failed_launch(
        &self,
        pools: &Pools,
        failed: &[(InstanceType, Trouble)],
        salt: &str,
        now: Timestamp,
    ) -> Backoff {
        let trouble = |pool: &Pool| match failed {
            [] => Some(Trouble::NoCapacity),
            named => named.iter().find(|(name, _)| *name == pool.instance_type).map(|(_, trouble)| *trouble),
        };
        let troubled = pools.iter().filter_map(|pool| Some((pool, trouble(pool)?)));
        troubled.fold(self.clone(), |backoff, (pool, trouble)| {
            backoff.after(&pool.zone, &pool.instance_type, trouble, salt, now)
        })
    }

    /// The memory after a look at the group. Every spot instance of its own whose end is announced counts against its
    /// pool; one that is gone already does not, else it would be counted again for as long as EC2 shows it. A spot
    /// member that was launched since its pool's time was over has proved the pool.
    pub fn after_look(&self, group: &Group, now: Timestamp) -> Backoff {
        let spot = || group.members.iter().filter(|member| member.purchase == PurchaseOption::Spot);
        let proved = spot()
            .filter(|member| member.lifecycle == LifecycleState::InService)
            .filter(|member| member.launched_at().is_some_and(|at| self.is_probe(member, at)))
            .map(|member| (&member.zone, &member.instance_type));
        let members = spot()
            .filter(|member| member.ec2.as_ref().is_some_and(|ec2| ec2.interrupted && ec2.state.is_alive()))
            .map(|member| (&member.zone, &member.instance_type));
        let replicas = group
            .replicas
            .iter()
            .filter(|replica| replica.purchase == PurchaseOption::Spot)
            .filter(|replica| replica.interrupted && replica.state.is_alive())
            .map(|replica| (&replica.zone, &replica.instance_type));
        let next = proved.fold(self.without_the_forgotten(now), |backoff, (zone, instance_type)| {
            backoff.after_success(zone, instance_type, now)
        });
        members.chain(replicas).fold(next, |backoff, (zone, instance_type)| {
            backoff.after(zone, instance_type, Trouble::Interrupted, &group.arn, now)
        })
    }

    fn is_probe(&self, member: &Member, launched_at: Timestamp) -> bool {
        let key = (member.zone.clone(), member.instance_type.clone());
        self.pools.get(&key).is_some_and(|failed| minute(launched_at) >= failed.until)
    }

    /// Every pool that is remembered at this time, by zone and type.
    pub fn pools(&self, now: Timestamp) -> impl Iterator<Item = Remembered<'_>> {
        let remembered = self.pools.iter().filter(move |(_, failed)| !failed.is_forgotten(minute(now)));
        remembered.map(move |((zone, instance_type), failed)| Remembered {
            zone,
            instance_type,
            until: moment(failed.until),
            cools: failed.is_open(minute(now)),
            times: failed.times,
            lost: failed.lost,
        })
    }

    /// State of a pool.
    pub fn circuit(&self, zone: &Zone, instance_type: &InstanceType, now: Timestamp) -> Circuit {
        match self.pools.get(&(zone.clone(), instance_type.clone())) {
            Some(failed) if failed.is_open(minute(now)) => Circuit::Open { until: moment(failed.until) },
            Some(failed) if !failed.is_forgotten(minute(now)) => Circuit::HalfOpen,
            Some(_) | None => Circuit::Closed,
        }
    }

    /// The memory after trouble in a pool. The same trouble seen again on the next pass, or more of it while the pool
    /// cools, changes nothing: one bad hour counts once. `salt` (the group's ARN) spreads the ends, so that not every
    /// group of an account comes back in the same minute.
    pub fn after(
        &self,
        zone: &Zone,
        instance_type: &InstanceType,
        trouble: Trouble,
        salt: &str,
        now: Timestamp,
    ) -> Backoff {
        let mut next = self.without_the_forgotten(now);
        let key = (zone.clone(), instance_type.clone());
        let before = next.pools.get(&key).copied();
        let lost = trouble == Trouble::Interrupted;
        if let Some(failed) = before.filter(|failed| failed.is_open(minute(now))) {
            next.pools.insert(key, Failed { lost: failed.lost || lost, ..failed });
            return next;
        }
        let times = before.map_or(1, |failed| failed.times.saturating_add(1));
        let minutes = match trouble {
            Trouble::Unsupported => UNSUPPORTED_MINUTES,
            Trouble::NoCapacity | Trouble::Interrupted => cooling_minutes(times),
        };
        let jitter = spread(&format!("{salt}/{zone}/{instance_type}/{times}"), minutes / 4);
        next.pools.insert(key, Failed { until: minute(now) + minutes + jitter, times, lost });
        next
    }

    /// The memory after a replica from the pool has become a member: the pool has proved itself.
    pub fn after_success(&self, zone: &Zone, instance_type: &InstanceType, now: Timestamp) -> Backoff {
        let mut next = self.without_the_forgotten(now);
        let key = (zone.clone(), instance_type.clone());
        if next.pools.get(&key).is_some_and(|failed| !failed.is_open(minute(now))) {
            next.pools.remove(&key);
        }
        next
    }

    /// Those of `pools` that may be asked for: all that are closed, and of the half-open ones the one that has cooled
    /// for longest, as a probe beside the others.
    pub fn admit(&self, pools: &Pools, now: Timestamp) -> Result<Pools, NoPool> {
        let now_minute = minute(now);
        let failed = |pool: &Pool| {
            let failed = self.pools.get(&(pool.zone.clone(), pool.instance_type.clone())).copied();
            failed.filter(|failed| !failed.is_forgotten(now_minute))
        };
        let probe = pools
            .iter()
            .filter_map(|pool| Some((failed(pool).filter(|failed| !failed.is_open(now_minute))?.until, pool)))
            .min_by(|(a, pool_a), (b, pool_b)| a.cmp(b).then_with(|| pool_a.instance_type.cmp(&pool_b.instance_type)))
            .map(|(_, pool)| pool);
        pools.only(|pool| failed(pool).is_none() || probe == Some(pool)).ok_or_else(|| NoPool::Cooling {
            until: moment(pools.iter().filter_map(failed).map(|failed| failed.until).min().unwrap_or(now_minute)),
            pools: pools.count(),
        })
    }

    /// Until when the group holds its on-demand members: it has lost instances in several pools, and they have not
    /// cooled. `None` if it does not.
    pub fn holds_until(&self, now: Timestamp) -> Option<Timestamp> {
        let mut ends: Vec<i64> = self
            .pools
            .values()
            .filter(|failed| failed.lost && failed.is_open(minute(now)))
            .map(|failed| failed.until)
            .collect();
        ends.sort_unstable();
        // Held until one fewer than the limit is left.
        let last_of_too_many = ends.len().checked_sub(LOST_POOLS)?;
        Some(moment(ends[last_of_too_many]))
    }

    fn without_the_forgotten(&self, now: Timestamp) -> Backoff {
        let pools = self.pools.iter().filter(|(_, failed)| !failed.is_forgotten(minute(now)));
        Backoff { pools: pools.map(|(key, failed)| (key.clone(), *failed)).collect() }
    }

    /// The value of the group's tag, at most 256 characters; `None` if there is nothing to remember.
    pub fn to_tag(&self, now: Timestamp) -> Option<String> {
        let mut kept = self.without_the_forgotten(now);
        while kept.text(now).len() > TAG_CHARACTERS {
            let coolest = kept.pools.iter().min_by_key(|(_, failed)| failed.until).map(|(key, _)| key.clone())?;
            kept.pools.remove(&coolest);
        }
        (!kept.pools.is_empty()).then(|| kept.text(now))
    }

    fn text(&self, now: Timestamp) -> String {
        let now = minute(now);
        let mut text = format!("v1;t={now}");
        let mut zone_before = None;
        for ((zone, instance_type), failed) in &self.pools {
            let minutes = failed.until - now;
            let sign = if minutes < 0 { "" } else { "+" };
            let lost = if failed.lost { "!" } else { "" };
            if zone_before == Some(zone) {
                text.push(',');
            } else {
                text += &format!(";{zone}=");
                zone_before = Some(zone);
            }
            text += &format!("{instance_type}{sign}{minutes}*{}{lost}", failed.times);
        }
        text
    }
}

impl Failed {
    fn is_open(self, now: i64) -> bool {
        (1..=LONGEST_JITTERED).contains(&(self.until - now))
    }

    /// A pool that is over its time and has not failed again for as long as it cooled starts anew.
    fn is_forgotten(self, now: i64) -> bool {
        now >= self.until + cooling_minutes(self.times) || self.until - now > LONGEST_JITTERED
    }
}

/// Twice as long after every failure.
fn cooling_minutes(times: u32) -> i64 {
    FIRST_MINUTES.checked_shl(times.saturating_sub(1).min(16)).unwrap_or(LONGEST_MINUTES).min(LONGEST_MINUTES)
}

/// A number from 0 to `most`, always the same for one text.
fn spread(text: &str, most: i64) -> i64 {
    let hash = crate::plan::fnv1a(text);
    // The high bits of this hash are the well mixed ones.
    ((hash >> 32) % (most.unsigned_abs() + 1)).cast_signed()
}

fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

fn moment(minute: i64) -> Timestamp {
    Timestamp::from_second(minute.saturating_mul(60)).unwrap_or(Timestamp::MAX)
}

/// A tag that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tag spotward:backoff cannot be read")]
pub struct BackoffError;

impl FromStr for Backoff {
    type Err = BackoffError;

    fn from_str(text: &str) -> Result<Backoff, BackoffError> {
        read(text).ok_or(BackoffError)
    }
}

fn read(text: &str) -> Option<Backoff> {
    let mut parts = text.split(';');
    if parts.next()? != "v1" {
        return None;
    }
    let written: i64 = parts.next()?.strip_prefix("t=")?.parse().ok()?;
    let mut pools = BTreeMap::new();
    for part in parts {
        let (zone, entries) = part.split_once('=')?;
        for entry in entries.split(',') {
            let (head, times) = entry.split_once('*')?;
            // Type names contain hyphens; what is over its time has a minus as well: the sign is the last one.
            let sign = head.rfind(['+', '-'])?;
            let minutes: i64 = head[sign..].parse().ok()?;
            let lost = times.ends_with('!');
            let times: u32 = times.trim_end_matches('!').parse().ok().filter(|times| *times > 0)?;
            let until = written.checked_add(minutes)?;
            pools.insert((zone.into(), head[..sign].into()), Failed { until, times, lost });
        }
    }
    Some(Backoff { pools })
}

impl fmt::Display for Backoff {
    /// As a person reads it, pool by pool.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, ((zone, instance_type), failed)) in self.pools.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            let what = if failed.lost { "lost" } else { "no capacity" };
            let (times, until) = (failed.times, moment(failed.until));
            write!(f, "{separator}{instance_type} in {zone} until {until} ({what}, {times} in a row)")?;
        }
        Ok(())
    }
}
