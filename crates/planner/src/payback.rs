//! Is a swap worth its own cost? A pick that saves less than its own churn is a bad pick, however cheap.
//!
//! From the launch of a replica to the end of its victim the group runs one instance more than it has to: that is the
//! cost. The saving is the difference of the two prices for as long as the replica is expected to live. A group whose
//! members live ten minutes, because it scales all day or because its pools are taken back all the time, is left alone
//! even at 90 % off.

use jiff::Timestamp;

use crate::model::{Group, LifecycleState, Member, Price};
use crate::policy::Policy;
use crate::stats::Cost;

/// Time in which EC2 starts an instance, and in which a load balancer drains one (its own default).
const BOOT_AND_DRAIN_SECONDS: u64 = 120 + 300;

/// What is expected of one swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payback {
    /// What the instance too many costs while the two overlap.
    pub overlap: Cost,
    /// What is saved over the replica's expected life.
    pub saving: Cost,
    /// The expected life, seconds.
    pub life_seconds: u64,
    /// How long the replica has to live until the overlap is paid for, seconds; `None` if it never is.
    pub after_seconds: Option<u64>,
}

impl Payback {
    /// For a victim at one price and a replica at another, with so many seconds of overlap and of expected life.
    pub fn new(victim: Price, replica: Price, overlap_seconds: u64, life_seconds: u64) -> Payback {
        let overlap = Cost::of(replica, overlap_seconds);
        let difference = Price(victim.0.saturating_sub(replica.0));
        let needed = u128::from(replica.0) * u128::from(overlap_seconds);
        let after = needed.checked_div(u128::from(difference.0));
        Payback {
            overlap,
            saving: Cost::of(difference, life_seconds),
            life_seconds,
            after_seconds: after.map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX)),
        }
    }

    /// Whether more is saved than spent.
    pub fn is_worth_it(&self) -> bool {
        self.saving > self.overlap
    }
}

/// For how long the group is going to run one instance more than it has to.
pub fn overlap_seconds(group: &Group, policy: &Policy) -> u64 {
    let warmup = policy.warmup_seconds.unwrap_or(group.grace_seconds);
    BOOT_AND_DRAIN_SECONDS + u64::from(warmup) + u64::from(policy.settle_seconds)
}

/// How long a new member of this group may be expected to live: as long as half of its members have lived already. That
/// is an underestimate for a group that was made an hour ago, and becomes true by itself. Members that we brought do not
/// count beside others: they are young because of us. Where it is known how often the pool is interrupted (per instance
/// and month), that shortens it.
pub fn life_seconds(group: &Group, interruptions_per_month: Option<f64>, now: Timestamp) -> u64 {
    until_interrupted(usual_life_seconds(group, now), interruptions_per_month)
}

/// The same without interruptions.
pub fn usual_life_seconds(group: &Group, now: Timestamp) -> u64 {
    let ages = |of: &dyn Fn(&Member) -> bool| -> Vec<i64> {
        let in_service = group.members.iter().filter(|member| member.lifecycle == LifecycleState::InService);
        let launches = in_service.filter(|member| of(member)).filter_map(Member::launched_at);
        let mut ages: Vec<i64> = launches.map(|at| (now.as_second() - at.as_second()).max(0)).collect();
        ages.sort_unstable();
        ages
    };
    let mut ages_that_count = ages(&|member| member.ours.is_none());
    if ages_that_count.is_empty() {
        ages_that_count = ages(&|_| true);
    }
    ages_that_count.get(ages_that_count.len() / 2).map_or(0, |median| median.unsigned_abs())
}

/// What interruptions leave of a usual life.
pub fn until_interrupted(usual_life_seconds: u64, interruptions_per_month: Option<f64>) -> u64 {
    const MONTH_SECONDS: f64 = 730.0 * 3600.0;
    match interruptions_per_month {
        Some(rate) if rate > 0.0 => {
            // Two independent ends: their rates add up.
            let by_interruption = MONTH_SECONDS / rate;
            let by_group = usual_life_seconds as f64;
            (by_interruption * by_group / (by_interruption + by_group)) as u64
        }
        Some(_) | None => usual_life_seconds,
    }
}
