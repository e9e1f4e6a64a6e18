//! Puts one group's plan together: the table of contents of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::action::{Action, Launch};
use crate::backoff::Backoff;
use crate::budget;
use crate::choose::{Choices, Chosen, NoPool, Pool, Pools};
use crate::compat;
use crate::market::Market;
use crate::model::{
    Cause, Ec2Facts, Group, InstanceId, InstanceType, LaunchFacts, LifecycleState, Member, Observation, Platform,
    PurchaseOption, Tags, Zone, tag,
};
use crate::pace;
use crate::payback::{self, Payback};
use crate::policy::{Config, EnabledGroup, Policies, Policy, enabled};
use crate::preflight::{self, Moment, Strictness};
use crate::reason::{Blocker, Reason, StrayReason, Wait};
use crate::rescue;
use crate::risk::{Estimate, Risk};
use crate::savings::{Savings, savings_among};
use crate::swap::{Step, Swap};

/// What we want now: at most one action, and why everything else is left alone.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Where the swap of the group stands.
    pub swap: &'static str,
    /// What to do.
    pub action: Option<Action>,
    /// Why the action ends an instance of ours outside the group, if it does.
    pub ended: Option<StrayReason>,
    /// What to write down beforehand about pools that failed. Not being able to must not stop anything.
    pub note: Option<Action>,
    /// What has to be known before there can be a plan.
    pub need: Option<Need>,
    /// What a swap in flight, or one about to start, waits for.
    pub wait: Option<Wait>,
    /// Why no swap may start.
    pub blockers: Vec<Blocker>,
    /// Members that stay as they are.
    pub left_alone: Vec<(InstanceId, Reason)>,
}

/// What has to be known before there can be a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// The group's slow facts.
    Details,
    /// Types and prices.
    Market(Platform),
    /// EC2 termination protection of one member.
    Closer(InstanceId),
}

impl Plan {
    /// Nothing to do, nothing to wait for.
    pub fn is_quiet(&self) -> bool {
        self.action.is_none() && self.need.is_none() && !self.is_waiting()
    }

    /// A swap is in flight and waits for something that comes by itself within minutes.
    pub fn is_waiting(&self) -> bool {
        self.wait.is_some()
    }

    fn act(action: Action) -> Self {
        Self { action: Some(action), ..Self::default() }
    }

    fn wait(wait: Wait) -> Self {
        Self { wait: Some(wait), ..Self::default() }
    }

    fn need(need: Need) -> Self {
        Self { need: Some(need), ..Self::default() }
    }

    fn leave(blockers: Vec<Blocker>) -> Self {
        Self { blockers, ..Self::default() }
    }
}

/// The plan for one group.
pub fn plan(observation: &Observation, market: Option<&Market>, config: &Config) -> Plan {
    Planner::new(market, config).plan(observation)
}

/// The same for somebody who plans a group again and again: its settings are read once.
pub fn plan_again(
    observation: &Observation,
    market: Option<&Market>,
    config: &Config,
    policies: &mut Policies,
) -> Plan {
    let mut planner = Planner { policies: std::mem::take(policies), ..Planner::new(market, config) };
    let plan = planner.plan(observation);
    *policies = planner.policies;
    plan
}

/// Plans one group after the other in one market. What depends on wishes, templates and types alone is worked out once,
/// however many groups share it; the plans are the same as those of [`plan`].
#[derive(Debug)]
pub struct Planner<'a> {
    market: Option<&'a Market>,
    config: &'a Config,
    policies: Policies,
    choices: Option<Choices<'a>>,
}

impl<'a> Planner<'a> {
    /// For groups of one region and platform.
    pub fn new(market: Option<&'a Market>, config: &'a Config) -> Planner<'a> {
        Planner { market, config, policies: Policies::default(), choices: market.map(Choices::new) }
    }

    /// The plan for one group.
    pub fn plan(&mut self, observation: &Observation) -> Plan {
        let Observation { now, group } = observation;
        let wishes = wishes_among(group, self.config, &mut self.policies);
        plan_for(observation, wishes, self.market, self.choices.as_mut(), self.config, *now)
    }

    /// What the group of a plan costs and saves; `None` without a market.
    pub fn savings(&mut self, observation: &Observation, plan: &Plan) -> Option<Savings> {
        let policy = self.policies.of(&observation.group, self.config).ok();
        Some(savings_among(observation, plan, policy.as_ref(), self.choices.as_mut()?))
    }
}

fn plan_for(
    observation: &Observation,
    wishes: Result<(EnabledGroup, Arc<Policy>), Blocker>,
    market: Option<&Market>,
    choices: Option<&mut Choices<'_>>,
    config: &Config,
    now: Timestamp,
) -> Plan {
    let group = &observation.group;
    let swap = Swap::read(group, config, now);
    let wished = wishes.as_ref().ok().map(|(enabled, policy)| (enabled, &**policy));
    let policy = wished.map(|(_, policy)| policy);
    let rescue = rescue(group, &swap, wished, market, config, now);
    let mut plan = rescue.unwrap_or_else(|| match swap.next(group, policy, market, config, now) {
        Step::Do(action) => Plan::act(action),
        Step::Wait(wait) => Plan::wait(wait),
        // A full look without them: they are not to be had just now.
        Step::Details if group.details.is_some() => {
            Plan::wait(Wait::Unstable { serving: group.serving(), desired: group.desired })
        }
        Step::Details => Plan::need(Need::Details),
        Step::Closer(id) => Plan::need(Need::Closer(id)),
        Step::Market(platform) => Plan::need(Need::Market(platform)),
        Step::HandsOff => Plan::leave(hands_off(&swap)),
        Step::Start => match &wishes {
            Ok((enabled, policy)) => start(group, enabled, policy, choices, config, now),
            Err(blocker) => Plan::leave(vec![blocker.clone()]),
        },
    });
    plan.swap = swap.name();
    if let Some(Action::Discard { .. } | Action::EndDoomed { .. }) = &plan.action {
        plan.ended = Some(swap.why_ended(policy));
    }
    plan.note = wishes.is_ok().then(|| note(group, &swap, now)).flatten();
    plan
}

/// What the announced end of a member asks for, ahead of everything else. Nothing where others have a say.
fn rescue(
    group: &Group,
    swap: &Swap<'_>,
    wishes: Option<(&EnabledGroup, &Policy)>,
    market: Option<&Market>,
    config: &Config,
    now: Timestamp,
) -> Option<Plan> {
    let (enabled, policy) = wishes.filter(|_| hands_off(swap).is_empty())?;
    let launch = rescue::notice(group, (enabled, policy), market, config, None, rescue::Spot::Try, now);
    launch.or_else(|| {
        let late = rescue::late(group, now)?;
        let blockers = preflight::blockers(group, policy, config, Moment::Rescue, now);
        blockers.is_empty().then(|| Plan::act(Action::Replace { member: late.id.clone() }))
    })
}

/// The memory of pools, if this look has something to add to it, or, between swaps, if it can be tidied up.
fn note(group: &Group, swap: &Swap<'_>, now: Timestamp) -> Option<Action> {
    let memory = Backoff::of(group);
    let next = memory.after_look(group, now);
    let worth_it = next.is_worse_than(&memory) || (matches!(swap, Swap::Idle) && next != memory);
    worth_it.then(|| Action::Note { backoff: next.to_tag(now) })
}

/// What the owner wants, or why we may not act on it.
pub(crate) fn wishes(group: &Group, config: &Config) -> Result<(EnabledGroup, Arc<Policy>), Blocker> {
    wishes_among(group, config, &mut Policies::default())
}

fn wishes_among(
    group: &Group,
    config: &Config,
    policies: &mut Policies,
) -> Result<(EnabledGroup, Arc<Policy>), Blocker> {
    let enabled = enabled(group, config).ok_or(Blocker::NotEnabled)?;
    let policy = policies.of(group, config).map_err(Blocker::Settings)?;
    Ok((enabled, policy))
}

/// Whose business the group is, if it is not ours.
pub(crate) fn hands_off(swap: &Swap<'_>) -> Vec<Blocker> {
    match swap {
        Swap::Foreign { stack } => vec![Blocker::ForeignSwap(stack.clone())],
        Swap::Unreadable { why } => vec![Blocker::Journal(why.clone())],
        Swap::Idle
        | Swap::Warming { .. }
        | Swap::Unmoored { .. }
        | Swap::Armed { .. }
        | Swap::Attached { .. }
        | Swap::Undoing { .. }
        | Swap::Settling { .. }
        | Swap::Forfeit { .. }
        | Swap::Unlabelled { .. }
        | Swap::Stray { .. }
        | Swap::Reprieved { .. } => Vec::new(),
    }
}

/// Nothing is in flight: is there a swap to start?
fn start(
    group: &Group,
    enabled: &EnabledGroup,
    policy: &Arc<Policy>,
    choices: Option<&mut Choices<'_>>,
    config: &Config,
    now: Timestamp,
) -> Plan {
    let floor = policy.min_on_demand.of(group.desired);
    let on_demand = group.in_service(PurchaseOption::OnDemand);
    let leaves = if on_demand < floor { PurchaseOption::Spot } else { PurchaseOption::OnDemand };
    let nothing_above_floor = leaves == PurchaseOption::OnDemand && on_demand <= floor;

    let mut left_alone = Vec::new();
    let mut victims: Vec<&Member> = Vec::new();
    for member in &group.members {
        match preflight::unfit(member, leaves, group, policy, Strictness::Launch, now) {
            Some(Reason::Spot) if member.is_dying() => {
                let at = member.ec2.as_ref().and_then(|ec2| ec2.ends_at);
                left_alone.push((member.id.clone(), Reason::Ending { at }));
            }
            Some(reason) => left_alone.push((member.id.clone(), reason)),
            // Only what we brought goes back: a foreign spot member is its owner's business.
            None if leaves == PurchaseOption::Spot && member.ours.is_none() => {
                left_alone.push((member.id.clone(), Reason::Spot));
            }
            None if nothing_above_floor => left_alone.push((member.id.clone(), Reason::Floor { floor })),
            None => victims.push(member),
        }
    }
    let idle = |left_alone| Plan { left_alone, ..Plan::default() };
    if victims.is_empty() {
        return idle(left_alone);
    }
    let memory = Backoff::of(group).after_look(group, now);
    let mut blockers = preflight::blockers(group, policy, config, Moment::Start, now);
    // The way back is owed to the owner: it does not wait for a better time.
    if leaves == PurchaseOption::OnDemand {
        blockers.extend(untimely(group, policy, &memory, now));
    }
    if !blockers.is_empty() {
        return Plan { blockers, left_alone, ..Plan::default() };
    }
    let Some(details) = &group.details else {
        let hopeless = choices.and_then(|choices| hopeless(&victims, group, leaves, policy, choices, &memory, now));
        let Some(reasons) = hopeless else { return Plan::need(Need::Details) };
        left_alone.extend(reasons);
        return idle(left_alone);
    };
    let Some(Ok(launch)) = &details.launch else {
        return Plan::leave(vec![Blocker::TemplateUnreadable("this look did not read it".to_owned())]);
    };
    let Some(platform) = launch.image.platform() else {
        return Plan::leave(vec![Blocker::UnsupportedBilling(launch.image.usage_operation.clone())]);
    };
    let Some(choices) = choices.filter(|choices| choices.market().platform == platform) else {
        return Plan::need(Need::Market(platform));
    };

    sort_by_zone_then_age(&mut victims, group);
    // Which types fit is judged once per type, and which pools once per type and zone, whatever the number of victims:
    // equal victims have equal answers (a victim that leaves on-demand capacity takes no room in any spot pool).
    let mut chosen: BTreeMap<&InstanceType, Chosen> = BTreeMap::new();
    let mut answers: BTreeMap<(&InstanceType, &Zone), Result<Pools, Reason>> = BTreeMap::new();
    let mut first: Option<(&Member, Pools)> = None;
    for victim in victims {
        if first.is_some() {
            left_alone.push((victim.id.clone(), Reason::Later));
            continue;
        }
        if let Some(until) = tried_until(victim, group, policy, now) {
            left_alone.push((victim.id.clone(), Reason::Tried { until }));
            continue;
        }
        let answer = answers.entry((&victim.instance_type, &victim.zone)).or_insert_with(|| {
            let chosen = *chosen
                .entry(&victim.instance_type)
                .or_insert_with(|| choices.of(&victim.instance_type, launch, leaves.opposite(), policy));
            match leaves {
                PurchaseOption::OnDemand => to_spot(choices, chosen, victim, group, policy, &memory, now),
                PurchaseOption::Spot => choices.pools(chosen, &victim.zone).map_err(Reason::NoPool),
            }
        });
        match answer {
            Ok(pools) => first = Some((victim, pools.clone())),
            Err(reason) => left_alone.push((victim.id.clone(), reason.clone())),
        }
    }
    let Some((victim, pools)) = first else {
        return idle(left_alone);
    };
    let (window, opens) = launch_window(policy, now);
    if let Some(until) = opens {
        return Plan { wait: Some(Wait::LaunchWindow { until }), left_alone, ..Plan::default() };
    }
    let window = window.to_string();
    let Some(ec2) = &victim.ec2 else { return idle(left_alone) };
    if ec2.termination_protected.is_none() {
        return Plan { need: Some(Need::Closer(victim.id.clone())), left_alone, ..Plan::default() };
    }
    let stand_in = StandIn { group, member: victim, ec2, launch, platform, market: choices.market() };
    let launch = stand_in.launch((enabled, policy), config, leaves.opposite(), pools, &window, &window, now);
    Plan { left_alone, ..Plan::act(Action::Launch(Box::new(launch))) }
}

/// Why none of the victims can be replaced, whatever their template says, as far as a bulk look and the prices tell. `None`:
/// a closer look is needed.
fn hopeless(
    victims: &[&Member],
    group: &Group,
    leaves: PurchaseOption,
    policy: &Arc<Policy>,
    choices: &mut Choices<'_>,
    memory: &Backoff,
    now: Timestamp,
) -> Option<Vec<(InstanceId, Reason)>> {
    let market = choices.market();
    // What is owed is looked into, and what the template decides needs the template.
    if leaves == PurchaseOption::Spot || policy.roll_forward || group.platform() != Some(market.platform) {
        return None;
    }
    let mut answers: BTreeMap<(&InstanceType, &Zone), Reason> = BTreeMap::new();
    let mut reasons = Vec::new();
    for victim in victims {
        let reason = match answers.get(&(&victim.instance_type, &victim.zone)) {
            Some(known) => known.clone(),
            None => {
                let launch = compat::least_asked(market.specs.get(&victim.instance_type)?);
                let chosen = choices.of(&victim.instance_type, &launch, leaves.opposite(), policy);
                let reason = to_spot(choices, chosen, victim, group, policy, memory, now).err()?;
                answers.insert((&victim.instance_type, &victim.zone), reason.clone());
                reason
            }
        };
        reasons.push((victim.id.clone(), reason));
    }
    Some(reasons)
}

/// Why a swap that nobody is owed should not start now.
pub(crate) fn untimely(group: &Group, policy: &Policy, memory: &Backoff, now: Timestamp) -> Vec<Blocker> {
    let closed = !policy.schedule.is_open(now);
    let outside = closed.then(|| Blocker::OutsideSchedule { opens: policy.schedule.opens_at(now) });
    let pace = pace::next_swap(group, policy.swaps_per_hour, now).map(|until| Blocker::Pace { until });
    let losses = memory.holds_until(now).map(|until| Blocker::Losses { until });
    outside.into_iter().chain(pace).chain(losses).collect()
}

/// Those of `pools` that are worth asking for now: not too many of the group in one, not failed lately, neither here nor
/// elsewhere in the account.
pub(crate) fn admit(
    pools: &Pools,
    (group, victim, policy): (&Group, &Member, &Policy),
    (memory, risk): (&Backoff, &Risk),
    now: Timestamp,
) -> Result<Pools, NoPool> {
    let pools = budget::within(pools, group, &victim.id, policy)?;
    risk.admit(memory.admit(&pools, now)?, now)
}

/// The pools to ask for: cheap enough, not too many of the group in one, not failed lately; and worth the swap,
/// whichever of them EC2 picks.
fn to_spot(
    choices: &mut Choices<'_>,
    chosen: Chosen,
    victim: &Member,
    group: &Group,
    policy: &Policy,
    memory: &Backoff,
    now: Timestamp,
) -> Result<Pools, Reason> {
    let risk = &choices.market().risk;
    let pools = choices
        .pools(chosen, &victim.zone)
        .and_then(|pools| admit(&pools, (group, victim, policy), (memory, risk), now))
        .map_err(Reason::NoPool)?;
    if !policy.requires_payback {
        return Ok(pools);
    }
    let Some(on_demand) = choices.on_demand(chosen) else { return Ok(pools) };
    let overlap = payback::overlap_seconds(group, policy);
    let usual_life = payback::usual_life_seconds(group, now);
    let payback = |pool: &Pool| {
        let interruptions = pool.risk.map(Estimate::interruptions_per_month);
        Payback::new(on_demand, pool.price, overlap, payback::until_interrupted(usual_life, interruptions))
    };
    if pools.iter().all(|pool| payback(pool).is_worth_it()) {
        return Ok(pools);
    }
    pools.only(|pool| payback(pool).is_worth_it()).ok_or_else(|| {
        let Payback { after_seconds, life_seconds, .. } = payback(pools.best());
        Reason::NotWorthIt { after_seconds, life_seconds, risk: pools.best().risk }
    })
}

/// The zone with the fewest members first, so that an attach never worsens the balance; then the oldest.
fn sort_by_zone_then_age(victims: &mut [&Member], group: &Group) {
    let mut members_in: BTreeMap<&Zone, usize> = BTreeMap::new();
    for member in group.members.iter().filter(|member| member.lifecycle == LifecycleState::InService) {
        *members_in.entry(&member.zone).or_default() += 1;
    }
    let crowd = |member: &Member| members_in.get(&member.zone).copied();
    let mut ranked: Vec<(Option<usize>, &Member)> = victims.iter().map(|member| (crowd(member), *member)).collect();
    ranked.sort_unstable_by(|(crowd_a, a), (crowd_b, b)| {
        let by_zone = crowd_a.cmp(crowd_b).then_with(|| a.zone.cmp(&b.zone));
        by_zone.then_with(|| a.launched_at().cmp(&b.launched_at())).then_with(|| a.id.cmp(&b.id))
    });
    for (victim, (_, member)) in victims.iter_mut().zip(ranked) {
        *victim = member;
    }
}

/// The number of the launch window, and when it opens if it is not open yet: a replica launched at the end of the
/// last window must be visible to our tag filters before we may launch again.
pub(crate) fn launch_window(policy: &Policy, now: Timestamp) -> (u64, Option<Timestamp>) {
    let window = window_at(policy, now);
    let opens = window_opens(policy, window);
    (window as u64, opens.filter(|opens| *opens > now))
}

fn window_at(policy: &Policy, time: Timestamp) -> i64 {
    time.as_second().div_euclid(i64::from(policy.retry_window_seconds))
}

fn window_opens(policy: &Policy, window: i64) -> Option<Timestamp> {
    /// EC2's describe calls are eventually consistent; a minute and a half has always been enough.
    const VISIBLE_SECONDS: i64 = 90;
    let length = i64::from(policy.retry_window_seconds);
    // Short windows are for demonstrations: a sixth of the window at most.
    let closed = VISIBLE_SECONDS.min(length / 6);
    Timestamp::from_second(window * length + closed).ok()
}

/// When another replica may be launched for the member, if the one of this launch window is gone: EC2 would answer the
/// same request with the dead one, and refuse another one by the same token.
pub(crate) fn tried_until(member: &Member, group: &Group, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let window = window_at(policy, now);
    let gone = group.replicas.iter().filter(|replica| !replica.state.is_alive() && replica.ours.cause != Cause::Notice);
    let mut for_it = gone.filter(|replica| replica.ours.victim == member.id);
    let in_this = for_it.any(|replica| window_at(policy, replica.launched_at) == window);
    if in_this { window_opens(policy, window + 1) } else { None }
}

/// One member, and what is needed to launch a stand-in for it.
#[derive(Clone, Copy)]
pub(crate) struct StandIn<'a> {
    pub(crate) group: &'a Group,
    pub(crate) member: &'a Member,
    pub(crate) ec2: &'a Ec2Facts,
    pub(crate) launch: &'a LaunchFacts,
    pub(crate) platform: Platform,
    pub(crate) market: &'a Market,
}

impl StandIn<'_> {
    /// The launch. `window` is what the replica's tag says, `once` what EC2 hears at most once for the member.
    pub(crate) fn launch(
        &self,
        (enabled, policy): (&EnabledGroup, &Policy),
        config: &Config,
        purchase: PurchaseOption,
        pools: Pools,
        window: &str,
        once: &str,
        now: Timestamp,
    ) -> Launch {
        let StandIn { group, member, ec2, launch, platform, .. } = *self;
        Launch {
            enabled: enabled.clone(),
            group_arn: group.arn.clone(),
            victim: member.id.clone(),
            purchase,
            source: group.source.clone(),
            template_version: launch.version,
            zone: member.zone.clone(),
            subnet: ec2.subnet.clone(),
            placement_group: group.placement_group.clone(),
            platform,
            tags: replica_tags(group, member, &pools, policy, config, window, now),
            pools,
            strategy: policy.strategy,
            client_token: client_token(&group.arn, &member.id, once),
        }
    }
}

/// The group's propagated tags, so that boot scripts see them as on any member, and ours.
fn replica_tags(
    group: &Group,
    victim: &Member,
    pools: &Pools,
    policy: &Policy,
    config: &Config,
    window: &str,
    now: Timestamp,
) -> Tags {
    let deadline = now + SignedDuration::from_secs(i64::from(policy.boot_deadline_seconds));
    // Whoever replaces a replica stands in for whom that one stood in for: the books compare with what the owner chose.
    let stands_for = victim.ours.as_ref().and_then(|ours| ours.stands_for.as_ref()).unwrap_or(&victim.instance_type);
    let mut tags = group.propagated_tags.clone();
    // AWS refuses reserved keys; it sets its own on attach.
    tags.retain(|key, _| !key.starts_with("aws:"));
    tags.extend([
        (tag::ROLE.to_owned(), "replica".to_owned()),
        (tag::GROUP.to_owned(), group.name.to_string()),
        (tag::VICTIM.to_owned(), victim.id.to_string()),
        (tag::STANDS_FOR.to_owned(), stands_for.to_string()),
        (tag::WINDOW.to_owned(), window.to_owned()),
        (tag::DEADLINE.to_owned(), deadline.as_second().to_string()),
        (tag::STACK.to_owned(), config.stack.clone()),
    ]);
    // The cap is the same for all pools of a launch.
    tags.extend(pools.best().max_price.map(|bid| (tag::BID.to_owned(), format!("{:.6}", bid.dollars()))));
    tags
}

/// At most one launch per victim and window, with no stored state: parameters are left out on purpose, a changed list
/// of pools is then refused as "already tried".
fn client_token(group_arn: &str, victim: &InstanceId, window: &str) -> String {
    format!("spotward-{victim}-{window}-{:016x}", fnv1a(group_arn))
}

/// FNV-1a, 64 bits: spreads names, protects nothing.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
