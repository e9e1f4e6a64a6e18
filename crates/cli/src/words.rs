//! Actions and members in words for people.

use planner::action::{Action, Finished};
use planner::journal::Journal;
use planner::model::{Group, InstanceId, LifecycleState, Member, PurchaseOption, Replica, Role};
use planner::plan::Plan;
use planner::reason::{Blocker, Reason};

use crate::output::Tone;

/// An action in one clause.
pub fn action(action: &Action) -> String {
    match action {
        Action::Launch(launch) => {
            let replica = match launch.purchase {
                PurchaseOption::Spot => "a spot replica",
                PurchaseOption::OnDemand => "an on-demand replica",
            };
            format!("launch {replica} for {} in {}", launch.victim, launch.zone)
        }
        Action::Discard { replica } => format!("terminate the replica {replica}, which is not needed any more"),
        Action::Arm { journal } => format!("write the journal: {} for {}", journal.replica, journal.victim),
        Action::Prepare { suspend_az_rebalance, raise_max } => {
            let max = raise_max.map(|max| format!("MaxSize {} -> {}", max.original, max.raised));
            let suspend = suspend_az_rebalance.then(|| "AZRebalance suspended".to_owned());
            let parts: Vec<String> = suspend.into_iter().chain(max).collect();
            format!("make room: {}", parts.join(", "))
        }
        Action::Attach { replica, expect } => {
            format!("attach {replica}, desired {} -> {}", expect.desired, expect.desired + 1)
        }
        Action::Doom { victim, .. } => format!("mark {victim} to be ended"),
        Action::Pardon { victim, .. } => format!("take the mark off {victim} again: it stays"),
        Action::Detach { victim, expect } => {
            format!("detach {victim}, desired {} -> {}", expect.desired, expect.desired.saturating_sub(1))
        }
        Action::Terminate { member, expect } => {
            let to = expect.desired.saturating_sub(1);
            format!("terminate {member} through the group, desired {} -> {to}", expect.desired)
        }
        Action::Replace { member } => format!("terminate {member} through the group, which replaces it by itself"),
        Action::Compensate { from, to } => format!("give desired back what our decrement took: {from} -> {to}"),
        Action::Restore { max, resume_az_rebalance } => {
            let max = max.map(|max| format!("MaxSize {} -> {}", max.raised, max.original));
            let resume = resume_az_rebalance.then(|| "AZRebalance resumed".to_owned());
            let parts: Vec<String> = max.into_iter().chain(resume).collect();
            format!("give back: {}", parts.join(", "))
        }
        Action::Finish { replica: Some(Finished::Member(id)), .. } => {
            format!("finish the swap: {id} is an ordinary member")
        }
        Action::Finish { replica: Some(Finished::Kept(id)), .. } => {
            format!("finish the swap: {id} stays outside until its deadline")
        }
        Action::Finish { replica: None, .. } => "finish the swap: drop the journal".to_owned(),
        Action::EndDoomed { victim } => format!("terminate {victim}, which has left the group"),
        Action::RecordReady { replica, .. } => format!("write down that {replica} is ready"),
        Action::Note { backoff: Some(_) } => "write down which pools failed".to_owned(),
        Action::Note { backoff: None } => "forget which pools failed".to_owned(),
    }
}

/// The plan's action in one clause, and why an instance of ours is ended by it.
pub fn next(plan: &Plan) -> Option<String> {
    let said = plan.action.as_ref().map(action)?;
    Some(match (&plan.action, plan.ended) {
        (Some(Action::Discard { replica }), Some(why)) => format!("terminate the replica {replica}: {why}"),
        _ => said,
    })
}

/// A length of time as people say it: its two largest units.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (1, 0, _) => "1 day".to_owned(),
        (days, 0, _) => format!("{days} days"),
        (1, hours, _) => format!("1 day {hours} h"),
        (days, hours, _) => format!("{days} days {hours} h"),
    }
}

/// What happens to an instance, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Two words.
    pub what: &'static str,
    /// One clause; may be empty.
    pub why: String,
    /// How it is meant.
    pub tone: Tone,
}

fn fate(what: &'static str, tone: Tone, why: impl Into<String>) -> Fate {
    Fate { what, why: why.into(), tone }
}

/// The swap in flight, as far as the instances show it.
pub struct InFlight {
    pub replica: InstanceId,
    pub victim: InstanceId,
}

/// The swap in flight, if there is one.
pub fn in_flight(group: &Group) -> Option<InFlight> {
    if let Some(Ok(Journal { replica, victim, .. })) = group.journal() {
        return Some(InFlight { replica, victim });
    }
    let outside = group.replicas.iter().filter(|replica| replica.state.is_alive());
    let outside = outside.map(|replica| (&replica.id, &replica.ours));
    let inside = group.members.iter().filter_map(|member| Some((&member.id, member.ours.as_ref()?)));
    inside
        .chain(outside)
        .find(|(_, ours)| ours.role == Role::Replica)
        .map(|(id, ours)| InFlight { replica: id.clone(), victim: ours.victim.clone() })
}

/// What happens to a member.
pub fn member(member: &Member, group: &Group, plan: &Plan) -> Fate {
    match &plan.action {
        Some(Action::Launch(launch)) if launch.victim == member.id => {
            let best = &launch.pools.best().instance_type;
            let why = match launch.pools.count() - 1 {
                0 => format!("by {} {best}", launch.purchase),
                1 => format!("by {} {best} or one more type", launch.purchase),
                more => format!("by {} {best} or one of {more} more types", launch.purchase),
            };
            return fate("replaced now", Tone::Act, why);
        }
        Some(Action::Terminate { member: leaving, .. }) if *leaving == member.id => {
            let given_back = in_flight(group).is_some_and(|swap| swap.replica == member.id);
            let why = if given_back { "the swap is given back" } else { "terminated through the group" };
            return fate("leaves now", Tone::Act, why);
        }
        Some(Action::Replace { member: leaving }) if *leaving == member.id => {
            return fate("leaves now", Tone::Act, "drained before EC2 takes it back");
        }
        Some(Action::Detach { victim, .. } | Action::Doom { victim, .. }) if *victim == member.id => {
            return fate("leaves now", Tone::Act, "detached, drained, terminated");
        }
        Some(_) | None => {}
    }
    if let Some((_, reason)) = plan.left_alone.iter().find(|(id, _)| *id == member.id) {
        return left_alone(member, reason);
    }
    if let Some(swap) = in_flight(group) {
        let given_back = matches!(&plan.action, Some(Action::Terminate { member: id, .. } | Action::Discard { replica: id })
            if *id == swap.replica);
        if swap.victim == member.id && given_back {
            return fate("stays", Tone::Plain, "the swap is given back");
        }
        if swap.victim == member.id && member.lifecycle == LifecycleState::InService {
            return fate("leaves soon", Tone::Act, format!("{} takes its place", swap.replica));
        }
        if swap.replica == member.id {
            return fate("stays", Tone::Plain, format!("takes the place of {}", swap.victim));
        }
    }
    if member.lifecycle.is_leaving() {
        return fate("leaves", Tone::Faint, "");
    }
    if !plan.blockers.is_empty() {
        return fate("stays", Tone::Mind, "the group is blocked");
    }
    if plan.need.is_none() && plan.action.is_none() && plan.wait.is_some() && plan.swap == "idle" {
        return fate("replaced soon", Tone::Act, "");
    }
    match member.purchase {
        PurchaseOption::Spot => fate("stays", Tone::Faint, "is spot already"),
        PurchaseOption::OnDemand => fate("stays for now", Tone::Plain, "one swap at a time"),
    }
}

fn left_alone(member: &Member, reason: &Reason) -> Fate {
    let text = reason.to_string();
    match reason {
        Reason::Later => fate("replaced later", Tone::Plain, "one swap at a time"),
        Reason::Young { .. } | Reason::Tried { .. } => fate("replaced later", Tone::Plain, text),
        Reason::Spot => fate("stays", Tone::Faint, format!("is {} already", member.purchase)),
        Reason::Ending { .. } => fate("ends", Tone::Mind, text),
        Reason::Floor { .. }
        | Reason::RebalanceIgnored
        | Reason::NoBetterPool
        | Reason::NotInService(_)
        | Reason::Unhealthy
        | Reason::Protected
        | Reason::TerminationProtected
        | Reason::Unseen
        | Reason::ElasticIp
        | Reason::AttachedLater
        | Reason::Reserved
        | Reason::ForeignSubnet
        | Reason::OtherVersion { .. }
        | Reason::NotMarkable
        | Reason::NotWorthIt { .. }
        | Reason::NoPool(_) => fate("stays", Tone::Mind, text),
    }
}

/// What happens to one of our instances outside the group.
pub fn replica(replica: &Replica, plan: &Plan) -> Fate {
    match &plan.action {
        Some(Action::Discard { replica: id } | Action::EndDoomed { victim: id }) if *id == replica.id => {
            let why = plan.ended.map_or_else(|| "nobody needs it".to_owned(), |why| why.to_string());
            return fate("terminated now", Tone::Act, why);
        }
        Some(Action::Attach { replica: id, .. }) if *id == replica.id => {
            return fate("joins now", Tone::Act, format!("takes the place of {}", replica.ours.victim));
        }
        Some(_) | None => {}
    }
    match (replica.state.is_alive(), replica.ours.role) {
        (false, _) => fate("is gone", Tone::Faint, ""),
        (true, Role::Doomed) => fate("terminated soon", Tone::Plain, "has left the group"),
        (true, Role::Replica | Role::Member) => {
            fate("joins soon", Tone::Act, format!("takes the place of {}", replica.ours.victim))
        }
    }
}

/// A blocker in few words: which settings are wrong stands in its fix.
pub fn blocker(blocker: &Blocker) -> String {
    match blocker {
        Blocker::Settings(_) => "settings that cannot be understood".to_owned(),
        blocker => blocker.to_string(),
    }
}

/// A blocker that goes away without its owner's doing.
pub fn passes_by_itself(blocker: &Blocker) -> bool {
    match blocker {
        Blocker::Unstable { .. }
        | Blocker::ActivityInProgress
        | Blocker::Quiet { .. }
        | Blocker::ScheduledAction { .. }
        | Blocker::InstanceRefresh(_)
        | Blocker::OutsideSchedule { opens: Some(_) }
        | Blocker::Pace { .. }
        | Blocker::Losses { .. } => true,
        Blocker::NotEnabled
        | Blocker::Settings(_)
        | Blocker::Status(_)
        | Blocker::Operator(_)
        | Blocker::MixedInstancesPolicy
        | Blocker::NoTemplate
        | Blocker::TemplateUnreadable(_)
        | Blocker::AlreadySpot
        | Blocker::InstanceRequirements
        | Blocker::CapacityType(_)
        | Blocker::WarmPool
        | Blocker::Weighted(_)
        | Blocker::Suspended(_)
        | Blocker::NewMembersProtected
        | Blocker::MemberState { .. }
        | Blocker::LaunchHooks(_)
        | Blocker::ManagedBy(_)
        | Blocker::UnsupportedBilling(_)
        | Blocker::ImageUnavailable(_)
        | Blocker::NotReproducible(_)
        | Blocker::AtMaxSize(_)
        | Blocker::ForeignSwap(_)
        | Blocker::Journal(_)
        | Blocker::OutsideSchedule { opens: None }
        | Blocker::DetachNeedsPropagatedTag => false,
    }
}
