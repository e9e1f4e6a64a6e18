//! Is this group, and this victim, fit for a swap now? Answers with blockers and reasons.

use jiff::{SignedDuration, Timestamp};

use crate::model::{Group, LaunchSource, LifecycleState, Member, PurchaseOption, RunState};
use crate::policy::{Config, Policy, Readiness, Removal};
use crate::reason::{Blocker, Reason};

/// A scheduled action so close changes the group under a swap.
const SCHEDULED_ACTION_MINUTES: i64 = 10;

/// Processes that a swap depends on. CloudFormation's rolling updates suspend them, too.
const NEEDED_PROCESSES: [&str; 4] = ["Launch", "Terminate", "HealthCheck", "ReplaceUnhealthy"];

/// When the question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before a launch: the group must be quiet as well.
    Start,
    /// Before arming and before attaching.
    Attach,
    /// Before the victim leaves: the room above MaxSize is taken already.
    Remove,
    /// In answer to the announced end of a member: whether the group stands still does not matter, since nothing is
    /// lost by adding to it.
    Rescue,
}

/// Why no swap may start on this group, or go on to its attach. Empty: it may.
pub fn blockers(group: &Group, policy: &Policy, config: &Config, moment: Moment, now: Timestamp) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    owner(group, &mut blockers);
    source(group, policy, &mut blockers);
    members(group, &mut blockers);
    if moment != Moment::Rescue {
        stability(group, policy, moment, now, &mut blockers);
    }
    if moment != Moment::Rescue
        && policy.removal == Removal::Detach
        && group.propagated_tags.get(&config.enable_key) != Some(&config.enable_value)
    {
        blockers.push(Blocker::DetachNeedsPropagatedTag);
    }
    let needs_room = moment != Moment::Remove;
    if needs_room && group.is_full() && !policy.may_raise_max {
        blockers.push(Blocker::AtMaxSize(group.max_size));
    }
    blockers
}

/// Who else has a say in this group.
fn owner(group: &Group, blockers: &mut Vec<Blocker>) {
    if let Some(status) = &group.status {
        blockers.push(Blocker::Status(status.clone()));
    }
    if let Some(operator) = &group.operator {
        blockers.push(Blocker::Operator(operator.clone()));
    }
    if let Some(kind) = &group.desired_capacity_type {
        blockers.push(Blocker::CapacityType(kind.clone()));
    }
    if group.warm_pool {
        blockers.push(Blocker::WarmPool);
    }
    if group.new_members_protected {
        blockers.push(Blocker::NewMembersProtected);
    }
    if group.tags.contains_key("eks:nodegroup-name") {
        blockers.push(Blocker::ManagedBy("an EKS managed node group"));
    }
    if group.tags.keys().any(|key| key.starts_with("elasticbeanstalk:")) {
        blockers.push(Blocker::ManagedBy("Elastic Beanstalk"));
    }
    for process in NEEDED_PROCESSES {
        if group.suspends(process) {
            blockers.push(Blocker::Suspended(process.to_owned()));
        }
    }
    if group.load_balanced && group.suspends("AddToLoadBalancer") {
        blockers.push(Blocker::Suspended("AddToLoadBalancer".to_owned()));
    }
}

/// Whether what the group launches can be launched by us.
fn source(group: &Group, policy: &Policy, blockers: &mut Vec<Blocker>) {
    match &group.source {
        LaunchSource::Template { .. } | LaunchSource::Configuration { .. } => {}
        LaunchSource::MixedInstances => blockers.push(Blocker::MixedInstancesPolicy),
        LaunchSource::Missing => blockers.push(Blocker::NoTemplate),
    }
    let Some(details) = &group.details else { return };
    let asks_the_owner = policy.readiness == Readiness::Watcher;
    if !details.launch_hooks.is_empty() && !policy.ignore_launch_hooks && !asks_the_owner {
        blockers.push(Blocker::LaunchHooks(details.launch_hooks.clone()));
    }
    if let Some(refresh) = &details.active_refresh {
        blockers.push(Blocker::InstanceRefresh(refresh.clone()));
    }
    let launch = match &details.launch {
        None => return,
        Some(Err(why)) => return blockers.push(Blocker::TemplateUnreadable(why.clone())),
        Some(Ok(launch)) => launch,
    };
    if launch.requests_spot {
        blockers.push(Blocker::AlreadySpot);
    }
    if launch.instance_requirements {
        blockers.push(Blocker::InstanceRequirements);
    }
    if !launch.image.available {
        blockers.push(Blocker::ImageUnavailable(launch.image.id.to_string()));
    } else if launch.image.platform().is_none() {
        blockers.push(Blocker::UnsupportedBilling(launch.image.usage_operation.clone()));
    }
    let impossible = [
        (launch.tenancy.as_deref().is_some_and(|tenancy| tenancy != "default"), "tenancy other than default"),
        (launch.termination_protection, "termination or stop protection, which spot instances cannot have"),
        (launch.hibernation, "hibernation, which works differently on spot instances"),
        (launch.kernel, "a kernel or RAM disk"),
        (launch.image.marketplace, "a Marketplace image, offered on some types only"),
    ];
    blockers.extend(impossible.into_iter().filter(|(hit, _)| *hit).map(|(_, what)| Blocker::NotReproducible(what)));
}

/// Members in states in which we keep our hands off the group.
fn members(group: &Group, blockers: &mut Vec<Blocker>) {
    for member in &group.members {
        if member.weighted {
            blockers.push(Blocker::Weighted(member.id.clone()));
        }
        match &member.lifecycle {
            LifecycleState::Standby | LifecycleState::EnteringStandby | LifecycleState::Other(_) => {
                blockers.push(Blocker::MemberState { member: member.id.clone(), state: member.lifecycle.clone() });
            }
            LifecycleState::Detaching if !member.is_doomed() => {
                blockers.push(Blocker::MemberState { member: member.id.clone(), state: member.lifecycle.clone() });
            }
            LifecycleState::Pending
            | LifecycleState::InService
            | LifecycleState::Terminating
            | LifecycleState::TerminatingRetained
            | LifecycleState::Terminated
            | LifecycleState::Detaching
            | LifecycleState::Detached => {}
        }
    }
}

/// Whether the group stands still.
fn stability(group: &Group, policy: &Policy, moment: Moment, now: Timestamp, blockers: &mut Vec<Blocker>) {
    if !group.is_stable() {
        blockers.push(Blocker::Unstable { serving: group.serving(), desired: group.desired });
    }
    let Some(details) = &group.details else { return };
    let close = SignedDuration::from_mins(SCHEDULED_ACTION_MINUTES);
    if let Some(at) = details.scheduled_actions.iter().find(|at| at.duration_since(now).abs() <= close) {
        blockers.push(Blocker::ScheduledAction { at: *at });
    }
    let Some(activities) = details.activities.as_ref().filter(|_| moment == Moment::Start) else { return };
    let running = activities.iter().any(|activity| {
        activity.ended_at.is_none() && !activity.instance.as_ref().is_some_and(|id| group.is_earlier_victim(id))
    });
    if running {
        blockers.push(Blocker::ActivityInProgress);
    }
    let quiet = SignedDuration::from_secs(i64::from(policy.quiet_seconds));
    let until = activities.iter().filter_map(|activity| activity.ended_at).max().map(|ended| ended + quiet);
    if let Some(until) = until.filter(|until| *until > now) {
        blockers.push(Blocker::Quiet { until });
    }
}

/// How strictly a victim is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Before a launch.
    Launch,
    /// A replica is there already: the age of its victim no longer matters.
    Replace,
}

/// Why `member` may not leave for a replica bought as the opposite of `leaves`. `None`: it may, as far as this look
/// shows. The on-demand floor is a property of the group and judged elsewhere.
pub fn unfit(
    member: &Member,
    leaves: PurchaseOption,
    group: &Group,
    policy: &Policy,
    strictness: Strictness,
    now: Timestamp,
) -> Option<Reason> {
    if member.purchase != leaves {
        return Some(Reason::Spot);
    }
    if member.lifecycle != LifecycleState::InService {
        return Some(Reason::NotInService(member.lifecycle.clone()));
    }
    if !member.healthy || member.targets_healthy == Some(false) {
        return Some(Reason::Unhealthy);
    }
    if member.protected {
        return Some(Reason::Protected);
    }
    let Some(ec2) = &member.ec2 else { return Some(Reason::Unseen) };
    if ec2.state != RunState::Running {
        return Some(Reason::Unhealthy);
    }
    if ec2.termination_protected == Some(true) {
        return Some(Reason::TerminationProtected);
    }
    if ec2.elastic_ip {
        return Some(Reason::ElasticIp);
    }
    if ec2.attached_later {
        return Some(Reason::AttachedLater);
    }
    if ec2.reserved {
        return Some(Reason::Reserved);
    }
    if policy.removal == Removal::Detach && !ec2.enabled {
        return Some(Reason::NotMarkable);
    }
    if !group.subnets.is_empty() && !group.subnets.contains(&ec2.subnet) {
        return Some(Reason::ForeignSubnet);
    }
    if leaves == PurchaseOption::OnDemand && !policy.roll_forward {
        let current = group.details.as_ref().and_then(|details| details.launch.as_ref()?.as_ref().ok()?.version);
        if let (Some(mine), Some(current)) = (member.template_version, current)
            && mine != current
        {
            return Some(Reason::OtherVersion { member: mine, group: current });
        }
    }
    let until = ec2.launched_at + SignedDuration::from_secs(i64::from(policy.min_age_seconds));
    if strictness == Strictness::Launch && until > now {
        return Some(Reason::Young { until });
    }
    None
}
