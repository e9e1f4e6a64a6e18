//! The correlated-loss budget: losing any one capacity pool costs at most so much of a group.
//!
//! Instances of one pool (type and zone) are taken back together, so what counts is how many of a group's members
//! sit in one pool, not how likely each is to go. The rule is kept at the launch: a pool that is full for this group
//! is not asked for. It holds for every sequence of swaps and losses at one desired capacity; when a group is made
//! smaller, pools may be above the smaller budget, and nothing is added to them.

use std::collections::BTreeMap;

use crate::choose::{NoPool, Pools};
use crate::model::{Group, InstanceId, InstanceType, PurchaseOption, Role, Zone};
use crate::policy::{AllocationStrategy, Policy};

/// Spot instances of a group by capacity pool: members that stay, and replicas on their way in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings<'a> {
    by_pool: BTreeMap<(&'a InstanceType, &'a Zone), u32>,
}

impl<'a> Holdings<'a> {
    /// What the group holds now.
    pub fn all(group: &'a Group) -> Holdings<'a> {
        Self::of(group, None)
    }

    /// What the group holds once `leaving` has left it.
    pub fn without(group: &'a Group, leaving: &InstanceId) -> Holdings<'a> {
        Self::of(group, Some(leaving))
    }

    fn of(group: &'a Group, leaving: Option<&InstanceId>) -> Holdings<'a> {
        let members = group
            .members
            .iter()
            .filter(|member| member.purchase == PurchaseOption::Spot && !member.lifecycle.is_leaving())
            .map(|member| (&member.id, &member.instance_type, &member.zone));
        let replicas = group
            .replicas
            .iter()
            // One that its owner has taken out of the group does not come back.
            .filter(|replica| replica.ours.role == Role::Replica && !replica.was_member)
            .filter(|replica| replica.purchase == PurchaseOption::Spot && replica.state.is_alive())
            .map(|replica| (&replica.id, &replica.instance_type, &replica.zone));
        let mut holdings = Holdings::default();
        for (_, instance_type, zone) in members.chain(replicas).filter(|(id, ..)| Some(*id) != leaving) {
            *holdings.by_pool.entry((instance_type, zone)).or_default() += 1;
        }
        holdings
    }

    /// Instances in one pool.
    pub fn count(&self, instance_type: &InstanceType, zone: &Zone) -> u32 {
        self.by_pool.get(&(instance_type, zone)).copied().unwrap_or(0)
    }

    /// The pool whose loss would cost most, and how many instances; `None` without spot instances.
    pub fn worst(&self) -> Option<(&'a InstanceType, &'a Zone, u32)> {
        // Of equal ones the first by name.
        let worst = self.by_pool.iter().max_by(|(a, count_a), (b, count_b)| count_a.cmp(count_b).then(b.cmp(a)));
        worst.map(|((instance_type, zone), count)| (*instance_type, *zone, *count))
    }
}

/// The most instances of a group of `desired` that may sit in one pool: `percent` % of it, rounded up, and one in any
/// case: a group of one could not be on spot at all otherwise.
pub fn most_per_pool(desired: u32, percent: u32) -> u32 {
    let share = (u64::from(desired) * u64::from(percent)).div_ceil(100);
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}

/// What the loss of one capacity pool costs a group at worst, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorstLoss {
    /// Type and zone of the pool that holds most of the group now; `None` without spot instances.
    pub pool: Option<(InstanceType, Zone)>,
    /// Instances that it holds.
    pub now: u32,
    /// The most that one pool may hold once everything is swapped: as many as the budget allows, if there are so many.
    pub after: u32,
    /// Of so many.
    pub desired: u32,
}

/// The worst loss now, and after so many more swaps.
pub fn worst_loss(group: &Group, policy: &Policy, swaps_left: u32) -> WorstLoss {
    let holdings = Holdings::all(group);
    let spot: u32 = holdings.by_pool.values().sum();
    let worst = holdings.worst();
    let now = worst.map_or(0, |(_, _, count)| count);
    let most = most_per_pool(group.desired, policy.pool_loss_percent);
    // A pool that is above the budget already is not emptied.
    let after = now.max(most.min(spot + swaps_left));
    let pool = worst.map(|(instance_type, zone, _)| (instance_type.clone(), zone.clone()));
    WorstLoss { pool, now, after, desired: group.desired }
}

/// Those of `pools` that have room in the budget when `leaving` goes, and among them the ones that the allocation
/// strategy wants: EC2 picks for one instance at a time and knows nothing of the group, so spreading is up to us.
pub fn within(pools: &Pools, group: &Group, leaving: &InstanceId, policy: &Policy) -> Result<Pools, NoPool> {
    let holdings = Holdings::without(group, leaving);
    let most = most_per_pool(group.desired, policy.pool_loss_percent);
    let count = |pool: &crate::choose::Pool| holdings.count(&pool.instance_type, &pool.zone);
    let with_room = pools.only(|pool| count(pool) < most).ok_or(NoPool::BudgetSpent { most, pools: pools.count() })?;
    if !spreads(policy) {
        return Ok(with_room);
    }
    let least = with_room.iter().map(count).min().unwrap_or(0);
    Ok(with_room.only(|pool| count(pool) == least).unwrap_or(with_room))
}

/// `diversified` spreads over all pools; `lowest-price` over the number of pools that the owner names.
fn spreads(policy: &Policy) -> bool {
    match policy.strategy {
        AllocationStrategy::Diversified => true,
        AllocationStrategy::LowestPrice => policy.pools_to_use.is_some(),
        AllocationStrategy::PriceCapacityOptimized
        | AllocationStrategy::CapacityOptimized
        | AllocationStrategy::CapacityOptimizedPrioritized => false,
    }
}
