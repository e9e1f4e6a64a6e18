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
use crate::budget;
use crate::choose::{Choice, NoPool, Pool, Pools};
use crate::market::Market;
use crate::model::cause::{NOTICE, REBALANCE};
use crate::model::{
    Cause, Ec2Facts, Group, InstanceId, InstanceType, LaunchFacts, Member, Observation, Platform, PurchaseOption,
    Replica, Role, Tags,
};
use crate::plan::{Need, Plan, client_token, launch_window, replica_tags, untimely, wishes};
use crate::policy::{Config, EnabledGroup, OnRebalance, Policy};
use crate::preflight::{self, Moment, Strictness};
use crate::reason::{Blocker, Reason, Wait};
use crate::swap::Swap;

/// A member that ends so soon goes the native way: attaching its replacement would only add a surplus to give back.
const LAST_CALL: SignedDuration = SignedDuration::from_secs(30);
/// A pool that costs so much more than the one at risk is not better, in percent of its price.
const DEARER_PERCENT: u32 = 120;

/// Whether spot pools are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// They are, if there are any.
    Try,
    /// None of them had capacity a moment ago.
    Failed,
}

/// How an occasion that does not come from the group itself is answered.
enum Answer {
    /// Launch.
    Launch(Box<Launch>),
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
            Answer::Launch(launch) => {
                return Some(Plan { action: Some(Action::Launch(launch)), left_alone, ..Plan::default() });
            }
            Answer::Need(need) => return Some(Plan { need: Some(need), left_alone, ..Plan::default() }),
            // The group replaces it when it has ended; whoever looks at the plan of the swap in flight sees it dying.
            Answer::NoPool(no_pool) => left_alone.push((member.id.clone(), Reason::NoPool(no_pool))),
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
    let plan = match (&swap, wishes(group, config)) {
        (_, Err(blocker)) => Plan { blockers: vec![blocker], ..Plan::default() },
        (Swap::Foreign { stack }, Ok(_)) => {
            Plan { blockers: vec![Blocker::ForeignSwap(stack.clone())], ..Plan::default() }
        }
        (Swap::Unreadable { why }, Ok(_)) => Plan { blockers: vec![Blocker::Journal(why.clone())], ..Plan::default() },
        (_, Ok((enabled, policy))) => {
            notice(group, (&enabled, &policy), market, config, Some(instance), spot, *now).unwrap_or_default()
        }
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
) -> Answer {
    let context = match Setting::of(group, member, market) {
        Ok(context) => context,
        Err(answer) => return answer,
    };
    let memory = Backoff::of(group).after_look(group, now);
    let pools = context.choice(PurchaseOption::Spot, policy).and_then(|choice| {
        let pools = elsewhere(&choice.pools(&member.zone)?, member)?;
        memory.admit(&budget::within(&pools, group, &member.id, policy)?, now)
    });
    let (purchase, pools) = match pools {
        Ok(pools) if spot == Spot::Try => (PurchaseOption::Spot, pools),
        Ok(_) | Err(_) => {
            let choice = context.choice(PurchaseOption::OnDemand, policy);
            match choice.and_then(|choice| choice.pools(&member.zone)) {
                Ok(pools) => (PurchaseOption::OnDemand, pools),
                Err(no_pool) => return Answer::NoPool(no_pool),
            }
        }
    };
    // One launch for each notice and way to buy, whoever hears of it, and however often.
    let letter = match purchase {
        PurchaseOption::Spot => 's',
        PurchaseOption::OnDemand => 'o',
    };
    let window = format!("{NOTICE}-{letter}");
    let tags = replica_tags(group, member, &pools, policy, config, NOTICE, now);
    Answer::Launch(Box::new(context.launch(enabled, policy, purchase, pools, tags, &window)))
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
    if !matches!(swap, Swap::Idle) {
        return leave(Reason::Later);
    }
    if member.ours.is_none() {
        return leave(Reason::Spot);
    }
    if let Some(reason) = preflight::unfit(member, PurchaseOption::Spot, group, &policy, Strictness::Launch, now) {
        return leave(reason);
    }
    let memory = Backoff::of(group).after_look(group, now);
    let mut blockers = preflight::blockers(group, &policy, config, Moment::Start, now);
    blockers.extend(untimely(group, &policy, &memory, now));
    if !blockers.is_empty() {
        return Plan { swap: swap.name(), blockers, ..Plan::default() };
    }
    let context = match Setting::of(group, member, market) {
        Ok(context) => context,
        Err(Answer::Need(need)) => return Plan { swap: swap.name(), need: Some(need), ..Plan::default() },
        Err(Answer::NoPool(no_pool)) => return leave(Reason::NoPool(no_pool)),
        Err(Answer::Launch(_)) => return Plan::default(),
    };
    let pools = context.choice(PurchaseOption::Spot, &policy).and_then(|choice| {
        let pools = elsewhere(&choice.pools(&member.zone)?, member)?;
        memory.admit(&budget::within(&pools, group, &member.id, &policy)?, now)
    });
    let pools = match pools {
        Ok(pools) => pools,
        Err(no_pool) => return leave(Reason::NoPool(no_pool)),
    };
    let pools = match policy.rebalance {
        OnRebalance::Always => Some(pools),
        OnRebalance::Judge | OnRebalance::Ignore => {
            let now_paid = context.market.spot.get(&member.zone).and_then(|spot| spot.get(&member.instance_type));
            // A pool without a price is sold out: any other one is better.
            pools.only(|pool| now_paid.is_none_or(|price| pool.price <= price.percent(DEARER_PERCENT)))
        }
    };
    let Some(pools) = pools else { return leave(Reason::NoBetterPool) };
    let (window, opens) = launch_window(&policy, now);
    if let Some(until) = opens {
        return Plan { swap: swap.name(), wait: Some(Wait::LaunchWindow { until }), ..Plan::default() };
    }
    let tags = replica_tags(group, member, &pools, &policy, config, REBALANCE, now);
    let launch = context.launch(&enabled, &policy, PurchaseOption::Spot, pools, tags, &window.to_string());
    Plan { swap: swap.name(), action: Some(Action::Launch(Box::new(launch))), ..Plan::default() }
}

/// What is needed to stand in for one spot member.
struct Setting<'a> {
    group: &'a Group,
    member: &'a Member,
    ec2: &'a Ec2Facts,
    launch: &'a LaunchFacts,
    platform: Platform,
    market: &'a Market,
}

impl<'a> Setting<'a> {
    fn of(group: &'a Group, member: &'a Member, market: Option<&'a Market>) -> Result<Setting<'a>, Answer> {
        let Some(launch) = group.details.as_ref().and_then(|details| details.launch.as_ref()) else {
            return Err(Answer::Need(Need::Details));
        };
        // An unreadable template or platform is a blocker, and was judged as one; so is an instance that EC2 hides.
        let nothing = || Answer::NoPool(NoPool::NothingCompatible);
        let ec2 = member.ec2.as_ref().ok_or_else(nothing)?;
        let launch = launch.as_ref().map_err(|_| nothing())?;
        let platform = launch.image.platform().ok_or_else(nothing)?;
        let market = market.filter(|market| market.platform == platform);
        let market = market.ok_or(Answer::Need(Need::Market(platform)))?;
        Ok(Setting { group, member, ec2, launch, platform, market })
    }

    /// A spot member's own size is an accident of the market: what has to fit is the type that the group launches.
    fn model_type(&self) -> &'a InstanceType {
        self.launch.instance_type.as_ref().unwrap_or(&self.member.instance_type)
    }

    fn choice(&self, purchase: PurchaseOption, policy: &Policy) -> Result<Choice<'a>, NoPool> {
        Choice::new(self.model_type(), self.launch, purchase, self.market, policy)
    }

    fn launch(
        &self,
        enabled: &EnabledGroup,
        policy: &Policy,
        purchase: PurchaseOption,
        pools: Pools,
        tags: Tags,
        window: &str,
    ) -> Launch {
        Launch {
            enabled: enabled.clone(),
            group_arn: self.group.arn.clone(),
            victim: self.member.id.clone(),
            purchase,
            source: self.group.source.clone(),
            template_version: self.launch.version,
            zone: self.member.zone.clone(),
            subnet: self.ec2.subnet.clone(),
            placement_group: self.group.placement_group.clone(),
            platform: self.platform,
            pools,
            strategy: policy.strategy,
            tags,
            client_token: client_token(&self.group.arn, &self.member.id, window),
        }
    }
}

/// All but the member's own pool.
fn elsewhere(pools: &Pools, member: &Member) -> Result<Pools, NoPool> {
    let other = |pool: &Pool| pool.instance_type != member.instance_type || pool.zone != member.zone;
    pools.only(other).ok_or(NoPool::NothingCompatible)
}

/// The member that leaves the native way: it ends in half a minute, nothing of ours will stand in for it, and there is
/// something to win from leaving before its end: a load balancer drains it, and its termination hooks run.
pub(crate) fn late<'a>(group: &'a Group, now: Timestamp) -> Option<&'a Member> {
    let has_hooks = group.details.as_ref().is_some_and(|details| !details.termination_hooks.is_empty());
    if !(group.load_balanced || has_hooks) || group.journal().is_some() {
        return None;
    }
    group.members.iter().find(|member| is_replaceable(member, group) && is_last_call(member, now))
}
