//! Launch first: what is done about a member of ours whose end EC2 has announced, or whose pool is at risk.
//!
//! A notice leaves two minutes. Its replacement is launched at once, whatever else is in flight: in another spot pool,
//! and if none has capacity, on-demand, several types. The swap that follows is an ordinary one with the dying member
//! as its victim, in haste: no warm-up, no quiet period. It loses nothing, since the victim is lost anyway. What does
//! not come in time becomes an ordinary replica, and the group replaces the member by itself, as it does without us.
//!
//! A rebalance recommendation leaves time, and often nothing follows. By default it is an occasion for an ordinary
//! swap from spot to spot if a better pool is to be had (`spotward:rebalance`).
//!
//! Groups with Capacity Rebalancing see to both by themselves.

use jiff::{SignedDuration, Timestamp};

use crate::action::{Action, Launch};
use crate::backoff::Backoff;
use crate::choose::{Choice, NoPool, Pool, Pools};
use crate::market::Market;
use crate::model::cause::{NOTICE, REBALANCE};
use crate::model::{Cause, Group, InstanceId, Member, Observation, PurchaseOption, Replica, Role};
use crate::plan::{Need, Plan, StandIn, admit, hands_off, launch_window, tried_until, untimely, wishes};
use crate::policy::{Config, EnabledGroup, OnRebalance, Policy};
use crate::preflight::{self, Moment, Strictness};
use crate::reason::{Reason, Wait};
use crate::swap::Swap;

/// A member that ends so soon goes the native way: attaching its replacement would only add a surplus to give back.
const LAST_CALL: SignedDuration = SignedDuration::from_secs(30);
/// A pool that costs so much more than the one at risk is not better, in percent of its price.
const DEARER_PERCENT: u32 = 120;

/// One launch for each notice and way to buy, whoever hears of it, and however often.
const ONCE_SPOT: &str = "notice-s";
const ONCE_ON_DEMAND: &str = "notice-o";

/// Whether spot pools are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// They are, if there are any.
    Try,
    /// None of them had capacity a moment ago.
    Failed,
}

/// Why there is no launch.
enum Missing {
    /// Something has to be known first.
    Need(Need),
    /// There is no pool to launch in.
    NoPool(NoPool),
}

/// Whether the member ends so soon that its replacement would come too late. An end of which nobody knows when it
/// comes is not that soon.
pub fn is_last_call(member: &Member, now: Timestamp) -> bool {
    let ends_at = member.ec2.as_ref().and_then(|ec2| ec2.ends_at);
    ends_at.is_some_and(|ends_at| ends_at - LAST_CALL <= now)
}

/// The dying member that a replica of a notice can still stand in for.
pub(crate) fn victim_of<'a>(group: &'a Group, replica: &Replica, now: Timestamp) -> Option<&'a Member> {
    let victim = group.member(&replica.ours.victim).filter(|_| replica.ours.cause == Cause::Notice)?;
    (is_replaceable(victim, group) && !is_last_call(victim, now)).then_some(victim)
}

/// A dying member whose place a replica may take.
fn is_replaceable(member: &Member, group: &Group) -> bool {
    let usual_subnet = |member: &Member| {
        member.ec2.as_ref().is_some_and(|ec2| group.subnets.is_empty() || group.subnets.contains(&ec2.subnet))
    };
    member.is_dying() && !member.protected && !group.capacity_rebalance && usual_subnet(member)
}

/// A replica was launched for the member already, or a swap in flight names it.
fn is_served(member: &Member, group: &Group) -> bool {
    let living = group.replicas.iter().filter(|replica| replica.state.is_alive() && !replica.was_member);
    let outside = living.map(|replica| &replica.ours);
    let inside = group.members.iter().filter(|other| other.is_replica()).filter_map(|other| other.ours.as_ref());
    let named = group.journal().is_some_and(|journal| {
        journal.is_ok_and(|journal| journal.victim == member.id || journal.replica == member.id)
    });
    named || outside.chain(inside).any(|ours| ours.role == Role::Replica && ours.victim == member.id)
}

/// How the replacement of a dying member was bought that was launched for it and is gone again.
fn lost_replacements<'a>(member: &'a Member, group: &'a Group) -> impl Iterator<Item = PurchaseOption> + 'a {
    let gone = group.replicas.iter().filter(|replica| !replica.state.is_alive());
    let for_it = gone.filter(|replica| replica.ours.cause == Cause::Notice && replica.ours.victim == member.id);
    for_it.map(|replica| replica.purchase)
}

/// The launch that a notice asks for, ahead of everything else; `None` if no dying member lacks its replacement.
/// `first` names the member that woke us.
pub(crate) fn notice(
    group: &Group,
    (enabled, policy): (&EnabledGroup, &Policy),
    market: Option<&Market>,
    config: &Config,
    first: Option<&InstanceId>,
    spot: Spot,
    now: Timestamp,
) -> Option<Plan> {
    let mut dying: Vec<&Member> = group
        .members
        .iter()
        .filter(|member| is_replaceable(member, group) && !is_last_call(member, now) && !is_served(member, group))
        .filter(|member| lost_replacements(member, group).all(|purchase| purchase == PurchaseOption::Spot))
        .collect();
    // Whoever ends first; of equal ones always the same.
    dying.sort_by_key(|member| {
        (Some(&member.id) != first, member.ec2.as_ref().and_then(|ec2| ec2.ends_at), member.id.clone())
    });
    if dying.is_empty() || !preflight::blockers(group, policy, config, Moment::Rescue, now).is_empty() {
        return None;
    }
    let mut left_alone = Vec::new();
    for member in dying {
        match replacement(group, member, (enabled, policy), market, config, spot, now) {
            Ok(launch) => {
                return Some(Plan { action: Some(Action::Launch(Box::new(launch))), left_alone, ..Plan::default() });
            }
            Err(Missing::Need(need)) => return Some(Plan { need: Some(need), ..Plan::default() }),
            // The group replaces it when it has ended; whoever looks at the plan of the swap in flight sees it dying.
            Err(Missing::NoPool(no_pool)) => left_alone.push((member.id.clone(), Reason::NoPool(no_pool))),
        }
    }
    None
}

/// One look, for one member: what its notice asks for, and nothing else. For the path that may not touch the group
/// itself, since somebody else may hold its lock.
pub fn plan_notice(observation: &Observation, market: Option<&Market>, config: &Config, instance: &InstanceId) -> Plan {
    on_notice(observation, market, config, instance, Spot::Try)
}

/// The same when no spot pool had capacity a moment ago.
pub fn plan_notice_on_demand(
    observation: &Observation,
    market: Option<&Market>,
    config: &Config,
    instance: &InstanceId,
) -> Plan {
    on_notice(observation, market, config, instance, Spot::Failed)
}

fn on_notice(
    observation: &Observation,
    market: Option<&Market>,
    config: &Config,
    instance: &InstanceId,
    spot: Spot,
) -> Plan {
    let Observation { now, group } = observation;
    let swap = Swap::read(group, config, *now);
    let blockers = hands_off(&swap);
    let plan = match wishes(group, config) {
        Err(blocker) => Plan { blockers: vec![blocker], ..Plan::default() },
        Ok(_) if !blockers.is_empty() => Plan { blockers, ..Plan::default() },
        Ok((enabled, policy)) => notice(group, (&enabled, &policy), market, config, Some(instance), spot, *now)
            .unwrap_or_else(|| {
                // Whoever reads the log wants to know why nothing is done about a member that ends.
                let dying = group.member(instance).is_some_and(Member::is_dying);
                let blockers = preflight::blockers(group, &policy, config, Moment::Rescue, *now);
                Plan { blockers: if dying { blockers } else { Vec::new() }, ..Plan::default() }
            }),
    };
    Plan { swap: swap.name(), ..plan }
}

/// A replacement in haste: any other spot pool within the budget, else on-demand.
fn replacement(
    group: &Group,
    member: &Member,
    (enabled, policy): (&EnabledGroup, &Policy),
    market: Option<&Market>,
    config: &Config,
    spot: Spot,
    now: Timestamp,
) -> Result<Launch, Missing> {
    let stand_in = stand_in(group, member, market)?;
    // EC2 hears each request once: what was launched and lost again is asked for another way, or not at all.
    let spot = if lost_replacements(member, group).next().is_some() { Spot::Failed } else { spot };
    let pools = match spot {
        Spot::Try => elsewhere(&stand_in, policy, now).ok(),
        Spot::Failed => None,
    };
    let (purchase, pools, once) = match pools {
        Some(pools) => (PurchaseOption::Spot, pools, ONCE_SPOT),
        None => {
            let pools = choice(&stand_in, PurchaseOption::OnDemand, policy).and_then(|it| it.pools(&member.zone));
            (PurchaseOption::OnDemand, pools.map_err(Missing::NoPool)?, ONCE_ON_DEMAND)
        }
    };
    Ok(stand_in.launch((enabled, policy), config, purchase, pools, NOTICE, once, now))
}

/// What a rebalance recommendation for one member asks for: one launch, or why not. It cannot be read back from AWS,
/// so the only thing that it can bring about is a swap that the owner's settings, the budget and the pace allow.
pub fn plan_rebalance(
    observation: &Observation,
    market: Option<&Market>,
    config: &Config,
    instance: &InstanceId,
) -> Plan {
    let Observation { now, group } = observation;
    let now = *now;
    let swap = Swap::read(group, config, now);
    let (enabled, policy) = match wishes(group, config) {
        Ok(wishes) => wishes,
        Err(blocker) => return Plan { swap: swap.name(), blockers: vec![blocker], ..Plan::default() },
    };
    let leave =
        |reason: Reason| Plan { swap: swap.name(), left_alone: vec![(instance.clone(), reason)], ..Plan::default() };
    let Some(member) = group.member(instance) else {
        return Plan { swap: swap.name(), ..Plan::default() };
    };
    if policy.rebalance == OnRebalance::Ignore || group.capacity_rebalance {
        return leave(Reason::RebalanceIgnored);
    }
    let blockers = hands_off(&swap);
    if !blockers.is_empty() {
        return Plan { swap: swap.name(), blockers, ..Plan::default() };
    }
    if !matches!(swap, Swap::Idle) {
        return leave(Reason::Later);
    }
    if member.ours.is_none() {
        return leave(Reason::Spot);
    }
    if let Some(reason) = preflight::unfit(member, PurchaseOption::Spot, group, &policy, Strictness::Launch, now) {
        return leave(reason);
    }
    if let Some(until) = tried_until(member, group, &policy, now) {
        return leave(Reason::Tried { until });
    }
    let memory = Backoff::of(group).after_look(group, now);
    let mut blockers = preflight::blockers(group, &policy, config, Moment::Start, now);
    blockers.extend(untimely(group, &policy, &memory, now));
    if !blockers.is_empty() {
        return Plan { swap: swap.name(), blockers, ..Plan::default() };
    }
    let stand_in = match stand_in(group, member, market) {
        Ok(stand_in) => stand_in,
        Err(Missing::Need(need)) => return Plan { swap: swap.name(), need: Some(need), ..Plan::default() },
        Err(Missing::NoPool(no_pool)) => return leave(Reason::NoPool(no_pool)),
    };
    let pools = match elsewhere(&stand_in, &policy, now) {
        Ok(pools) => pools,
        Err(no_pool) => return leave(Reason::NoPool(no_pool)),
    };
    let pools = match policy.rebalance {
        OnRebalance::Always => Some(pools),
        OnRebalance::Judge | OnRebalance::Ignore => {
            let now_paid = stand_in.market.spot.get(&member.zone).and_then(|spot| spot.get(&member.instance_type));
            // A pool without a price is sold out: any other one is better.
            pools.only(|pool| now_paid.is_none_or(|price| pool.price <= price.percent(DEARER_PERCENT)))
        }
    };
    let Some(pools) = pools else { return leave(Reason::NoBetterPool) };
    let (window, opens) = launch_window(&policy, now);
    if let Some(until) = opens {
        return Plan { swap: swap.name(), wait: Some(Wait::LaunchWindow { until }), ..Plan::default() };
    }
    let (wished, once) = ((&enabled, &*policy), window.to_string());
    let launch = stand_in.launch(wished, config, PurchaseOption::Spot, pools, REBALANCE, &once, now);
    Plan { swap: swap.name(), action: Some(Action::Launch(Box::new(launch))), ..Plan::default() }
}

fn stand_in<'a>(group: &'a Group, member: &'a Member, market: Option<&'a Market>) -> Result<StandIn<'a>, Missing> {
    let Some(launch) = group.details.as_ref().and_then(|details| details.launch.as_ref()) else {
        return Err(Missing::Need(Need::Details));
    };
    // An unreadable template or platform is a blocker, and was judged as one; so is an instance that EC2 hides.
    let nothing = || Missing::NoPool(NoPool::NothingCompatible);
    let ec2 = member.ec2.as_ref().ok_or_else(nothing)?;
    let launch = launch.as_ref().map_err(|_| nothing())?;
    let platform = launch.image.platform().ok_or_else(nothing)?;
    let market = market.filter(|market| market.platform == platform);
    let market = market.ok_or(Missing::Need(Need::Market(platform)))?;
    Ok(StandIn { group, member, ec2, launch, platform, market })
}

/// A spot member's own size is an accident of the market: what has to fit is the type that the group launches.
fn choice<'a>(stand_in: &StandIn<'a>, purchase: PurchaseOption, policy: &Policy) -> Result<Choice<'a>, NoPool> {
    let model_type = stand_in.launch.instance_type.as_ref().unwrap_or(&stand_in.member.instance_type);
    Choice::new(model_type, stand_in.launch, purchase, stand_in.market, policy)
}

/// Spot pools other than the member's own, within the budget, that have not failed lately.
fn elsewhere(stand_in: &StandIn<'_>, policy: &Policy, now: Timestamp) -> Result<Pools, NoPool> {
    let StandIn { group, member, market, .. } = *stand_in;
    let pools = choice(stand_in, PurchaseOption::Spot, policy)?.pools(&member.zone)?;
    let other = |pool: &Pool| pool.instance_type != member.instance_type || pool.zone != member.zone;
    let pools = pools.only(other).ok_or(NoPool::NothingCompatible)?;
    let memory = Backoff::of(group).after_look(group, now);
    admit(&pools, (group, member, policy), (&memory, &market.risk), now)
}

/// The member that leaves the native way: it ends in half a minute, nothing of ours will stand in for it, and there is
/// something to win from leaving before its end: a load balancer drains it, and its termination hooks run.
pub(crate) fn late(group: &Group, now: Timestamp) -> Option<&Member> {
    let has_hooks = group.details.as_ref().is_some_and(|details| !details.termination_hooks.is_empty());
    if !(group.load_balanced || has_hooks) || group.journal().is_some() {
        return None;
    }
    group.members.iter().find(|member| is_replaceable(member, group) && is_last_call(member, now))
}
