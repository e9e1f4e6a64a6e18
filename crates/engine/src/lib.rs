//! Makes it so: look, plan, guard, apply. Owns the port, the event formats and the JSON that we promise.
//!
//! One pass performs at most one action on one group and keeps nothing: what must survive is on AWS before the effect it
//! accounts for. The caller may be killed at any line and start again.
#![warn(missing_docs)]

mod cloud;
pub mod inputs;
pub mod settings;
pub mod snapshot;
pub mod tidy;
pub mod trigger;
pub mod view;
pub mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use planner::action::{Action, Launch};
use planner::backoff::{Backoff, Trouble};
use planner::guard;
use planner::market::Market;
use planner::model::{
    Cause, Group, GroupName, InstanceId, InstanceType, Member, Observation, Platform, PurchaseOption, Replica,
};
use planner::pace;
use planner::plan::{Need, Plan, Planner, plan, plan_again};
use planner::policy::{Config, Policies};
use planner::reason::Refusal;
use planner::swap::Swap;

pub use cloud::{Cloud, CloudError, NoCapacity, Scope};

/// One look at a group and the plan that follows from it.
#[derive(Clone, Debug)]
pub struct Look {
    /// What was seen.
    pub observation: Observation,
    /// What we want now.
    pub plan: Plan,
}

/// One look-decide-check-act on one group.
#[derive(Debug)]
pub struct Pass {
    /// The group.
    pub group: GroupName,
    /// What was seen and wanted; `None` if the group does not exist.
    pub look: Option<Look>,
    /// What came of it.
    pub outcome: Outcome,
    /// The guard's objection to what was wanted first: the rest is about what its fresh look asked for instead.
    pub refused_first: Option<Refusal>,
}

/// What came of a pass.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing to do and nothing to wait for.
    Quiet,
    /// A swap waits for something that comes by itself.
    Waiting,
    /// The plan's action was performed.
    Acted,
    /// The guard objected to the plan's action: a race or a bug; nothing was done.
    Refused(Refusal),
    /// AWS did not perform the plan's action, or its answer was lost.
    Failed(CloudError),
    /// There is no such group.
    Gone,
}

impl Outcome {
    /// Whether another pass soon is worth it.
    pub fn goes_on(&self) -> bool {
        match self {
            Outcome::Acted | Outcome::Waiting | Outcome::Refused(_) => true,
            Outcome::Failed(error) => match error {
                CloudError::Throttled(_) | CloudError::Conflict(_) | CloudError::NotFound(_) => true,
                CloudError::InsufficientCapacity(_)
                | CloudError::Limit(_)
                | CloudError::Denied(_)
                | CloudError::Rejected(_) => false,
            },
            Outcome::Quiet | Outcome::Gone => false,
        }
    }
}

/// Every enabled group, and every group with a journal of ours, with a plan from a bulk look: cheap, and good enough to
/// tell which groups have something to do.
///
/// Groups with a swap in flight come first, then those that have been quiet for longest. Where the prices are at hand, a
/// group for whose members nothing is cheap enough, whatever its template says, has nothing to do: no call is made for it.
pub async fn survey(cloud: &impl Cloud, config: &Config) -> Result<Vec<Look>, CloudError> {
    let mut observations = cloud.observe(&Scope::Enabled).await?;
    observations.sort_by_key(|seen| (!is_in_flight(&seen.group), pace::changed_at(&seen.group)));
    let markets: Vec<Arc<Market>> =
        Platform::ALL.into_iter().filter_map(|platform| cloud.market_at_hand(platform)).collect();
    let mut priced: BTreeMap<Platform, Planner<'_>> =
        markets.iter().map(|market| (market.platform, Planner::new(Some(market), config))).collect();
    let mut bare = Planner::new(None, config);
    let look = |observation: Observation| {
        let plan = bare.plan(&observation);
        let starts = plan.need == Some(Need::Details) && !is_in_flight(&observation.group);
        let planner = observation.group.platform().filter(|_| starts).and_then(|platform| priced.get_mut(&platform));
        let closer = planner.map(|planner| planner.plan(&observation)).filter(Plan::is_quiet);
        Look { plan: closer.unwrap_or(plan), observation }
    };
    Ok(observations.into_iter().map(look).collect())
}

/// What the spot members of these groups are billed as: whose prices a notice will ask for.
pub fn spot_platforms(looks: &[Look]) -> BTreeSet<Platform> {
    let members = looks.iter().flat_map(|look| &look.observation.group.members);
    let spot = members.filter(|member| member.purchase == PurchaseOption::Spot);
    spot.filter_map(|member| member.ec2.as_ref()?.platform).collect()
}

/// Something of ours is on its way in or out.
fn is_in_flight(group: &Group) -> bool {
    group.journal().is_some() || !group.replicas.is_empty() || group.members.iter().any(Member::is_replica)
}

/// One group in full detail, and its plan. Reads only.
pub async fn look(cloud: &impl Cloud, config: &Config, name: &GroupName) -> Result<Option<Look>, CloudError> {
    let mut policies = Policies::default();
    look_with(cloud, name, |observation, market| {
        plan_again(observation, market.map(|market| &**market), config, &mut policies)
    })
    .await
}

/// The same for somebody who plans many groups, and lets them share what they have in common.
pub async fn look_with(
    cloud: &impl Cloud,
    name: &GroupName,
    mut plan: impl FnMut(&Observation, Option<&Arc<Market>>) -> Plan,
) -> Result<Option<Look>, CloudError> {
    let mut market: Option<Arc<Market>> = None;
    let mut closer: Option<InstanceId> = None;
    let mut observation = match observe(cloud, name, None).await? {
        Some(observation) => observation,
        None => return Ok(None),
    };
    let mut explored: BTreeMap<InstanceId, bool> = BTreeMap::new();
    // Each turn satisfies one need; a victim that turns out to be protected makes way for the next.
    let limit = 4 + observation.group.members.len();
    for _ in 0..limit {
        let plan = plan(&observation, market.as_ref());
        match &plan.need {
            None => return Ok(Some(Look { observation, plan })),
            Some(Need::Market(platform)) => market = Some(cloud.market(*platform).await?),
            Some(Need::Closer(id)) => closer = Some(id.clone()),
            Some(Need::Details) => {}
        }
        if !matches!(plan.need, Some(Need::Market(_))) {
            let before = std::mem::take(&mut observation.group.replicas);
            observation = match observe(cloud, name, closer.take()).await? {
                Some(observation) => observation,
                None => return Ok(None),
            };
            remember(&mut explored, &mut observation);
            keep(before, &mut observation.group);
        }
    }
    let plan = plan(&observation, market.as_ref());
    Ok(Some(Look { observation, plan }))
}

/// A look shows the termination protection of one member; what earlier looks of the same pass showed still holds, else
/// two protected members would send us to and fro.
fn remember(explored: &mut BTreeMap<InstanceId, bool>, observation: &mut Observation) {
    for member in &mut observation.group.members {
        let Some(ec2) = &mut member.ec2 else { continue };
        match ec2.termination_protected {
            Some(protected) => drop(explored.insert(member.id.clone(), protected)),
            None => ec2.termination_protected = explored.get(&member.id).copied(),
        }
    }
}

/// A search for tags may find a replica and, a second later, not. What an earlier look of the same pass has shown is
/// there: else another one would be launched beside it.
fn keep(before: Vec<Replica>, group: &mut Group) {
    let missing = |replica: &Replica| {
        replica.state.is_alive() && group.replica(&replica.id).is_none() && group.member(&replica.id).is_none()
    };
    let hidden: Vec<Replica> = before.into_iter().filter(missing).collect();
    group.replicas.extend(hidden);
}

/// One pass over one group: at most one action.
pub async fn reconcile(cloud: &impl Cloud, config: &Config, name: &GroupName) -> Result<Pass, CloudError> {
    let Some(look) = look(cloud, config, name).await? else {
        return Ok(Pass { group: name.clone(), look: None, outcome: Outcome::Gone, refused_first: None });
    };
    if let Some(note) = &look.plan.note {
        write_down(cloud, config, name, &look.observation, note).await;
    }
    pass(cloud, config, look).await
}

/// Does what the plan wants.
async fn pass(cloud: &impl Cloud, config: &Config, look: Look) -> Result<Pass, CloudError> {
    let group = look.observation.group.name.clone();
    let Some(action) = &look.plan.action else {
        let outcome = if look.plan.is_quiet() { Outcome::Quiet } else { Outcome::Waiting };
        return Ok(Pass { group, look: Some(look), outcome, refused_first: None });
    };
    let (outcome, fresh) = act(cloud, config, &look, action).await?;
    match (outcome, fresh) {
        (Outcome::Refused(refusal), Some(fresh)) => second_thought(cloud, config, look, refusal, fresh).await,
        (outcome, _) => Ok(Pass { group, look: Some(look), outcome, refused_first: None }),
    }
}

/// What the fresh look that made the guard object asks for itself, if it only clears up: above all that both stay. Later
/// nobody could see that somebody had changed desired, if he changed it back in between.
async fn second_thought(
    cloud: &impl Cloud,
    config: &Config,
    look: Look,
    refusal: Refusal,
    fresh: Observation,
) -> Result<Pass, CloudError> {
    let group = fresh.group.name.clone();
    let wanted = plan(&fresh, None, config);
    let Some(action) = wanted.action.clone().filter(clears_up) else {
        return Ok(Pass { group, look: Some(look), outcome: Outcome::Refused(refusal), refused_first: None });
    };
    let (outcome, _) = attempt(cloud, config, &fresh, &action).await?;
    let look = Look { observation: fresh, plan: wanted };
    Ok(Pass { group, look: Some(look), outcome, refused_first: Some(refusal) })
}

/// Adds and removes nothing: what may follow an objection in the same pass.
fn clears_up(action: &Action) -> bool {
    match action {
        Action::Restore { .. } | Action::Finish { .. } | Action::Pardon { .. } => true,
        Action::Launch(_)
        | Action::Discard { .. }
        | Action::Arm { .. }
        | Action::Prepare { .. }
        | Action::Attach { .. }
        | Action::Doom { .. }
        | Action::RecordReady { .. }
        | Action::Note { .. }
        | Action::Detach { .. }
        | Action::Terminate { .. }
        | Action::Replace { .. }
        | Action::Compensate { .. }
        | Action::EndDoomed { .. } => false,
    }
}

/// EC2 has announced the end of an instance, or somebody says so: launches its replacement if EC2 confirms it, and
/// nothing else. Works beside whoever holds the group's lock; the swap itself is a matter of later passes under it.
/// `None`: the instance is no member of any group.
pub async fn rescue(cloud: &impl Cloud, config: &Config, instance: &InstanceId) -> Result<Option<Pass>, CloudError> {
    let scope = Scope::Notice(instance.clone());
    let plan = |observation: &Observation, market: Option<&Market>| {
        planner::rescue::plan_notice(observation, market, config, instance)
    };
    on_occasion(cloud, config, &scope, plan).await
}

/// EC2 sees a higher risk for an instance, or somebody says so: launches a replacement if that is a better one, under
/// all the rules for a swap. `None`: the instance is no member of any group.
pub async fn rebalance(cloud: &impl Cloud, config: &Config, instance: &InstanceId) -> Result<Option<Pass>, CloudError> {
    let scope = Scope::GroupOf(instance.clone());
    let plan = |observation: &Observation, market: Option<&Market>| {
        planner::rescue::plan_rebalance(observation, market, config, instance)
    };
    on_occasion(cloud, config, &scope, plan).await
}

/// One look and at most one action, as a plan for one occasion wants it.
async fn on_occasion(
    cloud: &impl Cloud,
    config: &Config,
    scope: &Scope,
    plan: impl Fn(&Observation, Option<&Market>) -> Plan,
) -> Result<Option<Pass>, CloudError> {
    let Some(observation) = cloud.observe(scope).await?.into_iter().next() else { return Ok(None) };
    let mut wanted = plan(&observation, None);
    if let Some(Need::Market(platform)) = wanted.need {
        let market = cloud.market(platform).await?;
        wanted = plan(&observation, Some(&market));
    }
    pass(cloud, config, Look { observation, plan: wanted }).await.map(Some)
}

/// One action; and if it was a rescue that found no spot capacity, on-demand in the same breath: the two minutes are too
/// short for another pass.
async fn act(
    cloud: &impl Cloud,
    config: &Config,
    look: &Look,
    action: &Action,
) -> Result<(Outcome, Option<Observation>), CloudError> {
    let seen = &look.observation;
    let (outcome, fresh) = attempt(cloud, config, seen, action).await?;
    let (Action::Launch(failed), Outcome::Failed(error)) = (action, &outcome) else { return Ok((outcome, fresh)) };
    let no_spot = matches!(error, CloudError::InsufficientCapacity(_) | CloudError::Limit(_));
    if !no_spot || failed.purchase == PurchaseOption::OnDemand || failed.cause() != Cause::Notice {
        return Ok((outcome, fresh));
    }
    let market = cloud.market(failed.platform).await?;
    match planner::rescue::plan_notice_on_demand(seen, Some(&market), config, &failed.victim).action {
        Some(action) => attempt(cloud, config, seen, &action).await,
        None => Ok((outcome, fresh)),
    }
}

/// Checks the action a second time, on a fresh look if it cannot be taken back, and performs it if the swap is still
/// where it was. With the fresh look, if there was one.
async fn attempt(
    cloud: &impl Cloud,
    config: &Config,
    seen: &Observation,
    action: &Action,
) -> Result<(Outcome, Option<Observation>), CloudError> {
    let name = &seen.group.name;
    let fresh = if action.needs_fresh_look() {
        match observe(cloud, name, None).await? {
            Some(fresh) => Some(fresh),
            None => return Ok((Outcome::Gone, None)),
        }
    } else {
        None
    };
    if let Err(refusal) = guard::check(fresh.as_ref().unwrap_or(seen), action, config) {
        return Ok((Outcome::Refused(refusal), fresh));
    }
    let stands_at = |seen: &Observation| Swap::read(&seen.group, config, seen.now).name();
    if let Some(later) = &fresh
        && stands_at(later) != stands_at(seen)
    {
        let why = format!("the swap is {} by now, not {}", stands_at(later), stands_at(seen));
        return Ok((Outcome::Refused(Refusal { action: action.name(), why }), fresh));
    }
    let outcome = match cloud.apply(name, action).await {
        Ok(()) => Outcome::Acted,
        Err(error) => {
            if let (Action::Launch(launch), CloudError::InsufficientCapacity(no_capacity)) = (action, &error) {
                remember_failure(cloud, config, seen, launch, &no_capacity.pools).await;
            }
            Outcome::Failed(error)
        }
    };
    Ok((outcome, fresh))
}

/// The pools of a launch that had no capacity cool down: those that EC2 named, all of them if it named none.
async fn remember_failure(
    cloud: &impl Cloud,
    config: &Config,
    seen: &Observation,
    launch: &Launch,
    failed: &[(InstanceType, Trouble)],
) {
    if launch.purchase == PurchaseOption::OnDemand {
        return;
    }
    let (group, now) = (&seen.group, seen.now);
    let memory = Backoff::of(group).after_look(group, now);
    let memory = memory.after_failed_launch(&launch.pools, failed, &group.arn, now);
    if memory.is_worse_than(&Backoff::of(group)) {
        write_down(cloud, config, &group.name, seen, &Action::Note { backoff: memory.to_tag(now) }).await;
    }
}

/// Writes the memory of pools. It is a convenience: if the guard or AWS refuses, the pass goes on without, and the next
/// one may waste a request.
async fn write_down(cloud: &impl Cloud, config: &Config, name: &GroupName, seen: &Observation, note: &Action) {
    if guard::check(seen, note, config).is_ok() {
        let _ = cloud.apply(name, note).await;
    }
}

async fn observe(
    cloud: &impl Cloud,
    name: &GroupName,
    closer: Option<InstanceId>,
) -> Result<Option<Observation>, CloudError> {
    let scope = Scope::Group { name: name.clone(), closer };
    Ok(cloud.observe(&scope).await?.into_iter().find(|observation| observation.group.name == *name))
}
