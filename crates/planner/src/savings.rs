//! What a group costs now, what it saves, and what is left to save: at public prices, as the market shows them now.
//!
//! An estimate for people, never a reason to act: [`choose`](crate::choose) decides what is cheap enough.

use std::ops::Add;
use std::sync::Arc;

use crate::action::{Action, Launch};
use crate::choose::Choices;
use crate::market::Market;
use crate::model::{
    Group, InstanceId, InstanceType, LaunchFacts, LifecycleState, Member, Observation, Price, PurchaseOption, Role,
    Zone,
};
use crate::plan::Plan;
use crate::policy::{Config, Policy};
use crate::preflight::{self, Strictness};
use crate::reason::Reason;

/// Micro-dollars per hour that become free: a range, since EC2 picks one of the pools that we ask for. Negative if it
/// costs more, as on the way back to on-demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saving {
    /// If EC2 picks the dearest pool.
    pub least: i64,
    /// If EC2 picks the cheapest one.
    pub most: i64,
}

impl Saving {
    /// From a price to one of several.
    fn between(before: Price, after: impl Iterator<Item = Price>) -> Option<Saving> {
        let saved = after.map(|after| before.0 as i64 - after.0 as i64);
        saved
            .map(|saved| Saving { least: saved, most: saved })
            .reduce(|a, b| Saving { least: a.least.min(b.least), most: a.most.max(b.most) })
    }
}

impl Add for Saving {
    type Output = Saving;

    fn add(self, other: Saving) -> Saving {
        Saving { least: self.least + other.least, most: self.most + other.most }
    }
}

/// What one group costs and saves: micro-dollars per hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Savings {
    /// What its instances cost now, ours outside the group included.
    pub cost_now: u64,
    /// What its serving members, but for a replica whose swap is not over, would cost if all were on-demand: each spot member as the type that the group
    /// launches by itself, or as its own type if the template names none.
    pub cost_on_demand: u64,
    /// What those serving members cost now.
    pub cost_serving: u64,
    /// The swap in flight, or the one that would start next.
    pub swap: Option<Saving>,
    /// All swaps that are left, that one included.
    pub left: Saving,
    /// How many they are.
    pub swaps_left: u32,
    /// Instances for which the market has no price: in none of the sums.
    pub unpriced: u32,
}

impl Savings {
    /// What is saved already, micro-dollars per hour.
    pub fn already(&self) -> i64 {
        self.cost_on_demand as i64 - self.cost_serving as i64
    }
}

/// The estimate for one group. `market` is the one of its platform; `plan` is the plan from the same look.
pub fn savings(observation: &Observation, plan: &Plan, market: &Market, config: &Config) -> Savings {
    let policy = Policy::of(&observation.group, config).ok().map(Arc::new);
    savings_among(observation, plan, policy.as_ref(), &mut Choices::new(market))
}

/// The same among other groups. Without a policy: what an owner means whose settings cannot be understood is not
/// guessed.
pub(crate) fn savings_among(
    observation: &Observation,
    plan: &Plan,
    policy: Option<&Arc<Policy>>,
    choices: &mut Choices<'_>,
) -> Savings {
    let (group, market) = (&observation.group, choices.market());
    let launch = group.details.as_ref().and_then(|details| details.launch.as_ref()?.as_ref().ok());
    let mut savings = costs(group, launch, market);
    let current = current_swap(group, plan, market);
    let mut victims_done: Vec<&InstanceId> = Vec::new();
    if let Some((victim, saving)) = &current {
        victims_done.push(victim);
        savings.swap = *saving;
        savings.left = saving.unwrap_or_default();
        savings.swaps_left = u32::from(saving.is_some());
    }
    let (Some(launch), Some(policy)) = (launch, policy) else { return savings };

    let desired = group.journal().and_then(Result::ok).map_or(group.desired, |journal| journal.desired);
    let floor = policy.min_on_demand.of(desired);
    let above_floor = group.in_service(PurchaseOption::OnDemand).saturating_sub(floor) as usize;
    for member in &group.members {
        if victims_done.len() >= above_floor {
            break;
        }
        if victims_done.contains(&&member.id) || !may_be_victim(member, observation, policy) {
            continue;
        }
        let chosen = choices.of(&member.instance_type, launch, PurchaseOption::Spot, policy);
        let Ok(pools) = choices.pools(chosen, &member.zone) else { continue };
        let Some(before) = price_of(&member.instance_type, &member.zone, member.purchase, market) else { continue };
        let Some(saving) = Saving::between(before, pools.iter().map(|pool| pool.price)) else { continue };
        victims_done.push(&member.id);
        savings.left = savings.left + saving;
        savings.swaps_left += 1;
    }
    savings
}

/// What is running.
fn costs(group: &Group, launch: Option<&LaunchFacts>, market: &Market) -> Savings {
    let mut savings = Savings::default();
    for member in &group.members {
        match &member.lifecycle {
            LifecycleState::Terminated | LifecycleState::Detached => continue,
            LifecycleState::Pending
            | LifecycleState::InService
            | LifecycleState::Terminating
            | LifecycleState::TerminatingRetained
            | LifecycleState::Detaching
            | LifecycleState::EnteringStandby
            | LifecycleState::Standby
            | LifecycleState::Other(_) => {}
        }
        let Some(price) = price_of(&member.instance_type, &member.zone, member.purchase, market) else {
            savings.unpriced += 1;
            continue;
        };
        savings.cost_now += price.0;
        let own_type = launch.and_then(|launch| launch.instance_type.as_ref());
        let stands_for = match member.purchase {
            PurchaseOption::OnDemand => &member.instance_type,
            PurchaseOption::Spot => own_type.unwrap_or(&member.instance_type),
        };
        if let Some(on_demand) = market.on_demand.get(stands_for).filter(|_| member.serves() && !member.is_replica()) {
            savings.cost_serving += price.0;
            savings.cost_on_demand += on_demand.0;
        }
    }
    for replica in group.replicas.iter().filter(|replica| replica.state.is_alive()) {
        match price_of(&replica.instance_type, &replica.zone, replica.purchase, market) {
            Some(price) => savings.cost_now += price.0,
            None => savings.unpriced += 1,
        }
    }
    savings
}

/// The price that a running instance pays. Unlike for a launch, a spot price above on-demand is paid, not refused.
fn price_of(instance_type: &InstanceType, zone: &Zone, purchase: PurchaseOption, market: &Market) -> Option<Price> {
    match purchase {
        PurchaseOption::OnDemand => market.on_demand.get(instance_type).copied(),
        PurchaseOption::Spot => market.spot.get(zone)?.get(instance_type).copied(),
    }
}

/// The swap in flight or the one that the plan would start: its victim, and what it saves if the prices are known.
fn current_swap<'a>(group: &'a Group, plan: &'a Plan, market: &Market) -> Option<(&'a InstanceId, Option<Saving>)> {
    if let Some(Action::Launch(launch)) = &plan.action {
        return Some((&launch.victim, of_launch(group, launch, market)));
    }
    let gives_back = |replica: &InstanceId| match &plan.action {
        Some(Action::Terminate { member: id, .. } | Action::Discard { replica: id }) => id == replica,
        Some(_) | None => false,
    };
    let journal = group.journal().and_then(Result::ok);
    let outside = group.replicas.iter().find(|replica| {
        let named = journal.as_ref().is_none_or(|journal| journal.replica == replica.id);
        replica.state.is_alive() && replica.ours.role == Role::Replica && named && !gives_back(&replica.id)
    });
    let inside = group
        .members
        .iter()
        .find(|member| member.is_replica() && !member.lifecycle.is_leaving() && !gives_back(&member.id));
    let (victim, after) = match (inside, outside) {
        (Some(member), _) => (
            member.ours.as_ref()?.victim.clone(),
            price_of(&member.instance_type, &member.zone, member.purchase, market),
        ),
        (None, Some(replica)) => {
            (replica.ours.victim.clone(), price_of(&replica.instance_type, &replica.zone, replica.purchase, market))
        }
        (None, None) => return None,
    };
    // The journal knows better: the replica may stand in for another member than it was launched for.
    let victim = group.member(&journal.map_or(victim, |journal| journal.victim))?;
    let before = price_of(&victim.instance_type, &victim.zone, victim.purchase, market);
    let saving = before.zip(after).and_then(|(before, after)| Saving::between(before, std::iter::once(after)));
    Some((&victim.id, saving))
}

fn of_launch(group: &Group, launch: &Launch, market: &Market) -> Option<Saving> {
    let victim = group.member(&launch.victim)?;
    let before = price_of(&victim.instance_type, &victim.zone, victim.purchase, market)?;
    Saving::between(before, launch.pools.iter().map(|pool| pool.price))
}

/// A member that a later swap could replace: fit now, or fit as soon as it is old enough.
fn may_be_victim(member: &Member, observation: &Observation, policy: &Policy) -> bool {
    let Observation { now, group } = observation;
    match preflight::unfit(member, PurchaseOption::OnDemand, group, policy, Strictness::Launch, *now) {
        None | Some(Reason::Young { .. }) => true,
        Some(_) => false,
    }
}
