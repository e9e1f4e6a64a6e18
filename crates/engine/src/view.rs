//! The JSON that we promise. Nothing else is serializable, and nothing of it is ever read back as a plan.

use planner::action::{Action, Launch};
use planner::backoff::Backoff;
use planner::journal::Journal;
use planner::model::{GroupName, InstanceId, Member, PurchaseOption};
use planner::plan::Need;
use planner::reason::Code;
use planner::risk::Estimate;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{CloudError, Look, Outcome, Pass};

/// The age that stands for a journal that nobody can read: above every limit for the age of a swap.
const UNREADABLE_AGE_SECONDS: i64 = 2 * 60 * 60;

/// A reason with its stable code.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    /// Stable, lower case with hyphens.
    pub code: &'static str,
    /// One sentence for people.
    pub text: String,
}

/// One group, as `plan --json` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct GroupPlan {
    /// Name.
    pub group: String,
    /// Time of the look, RFC 3339.
    pub at: String,
    /// DesiredCapacity.
    pub desired: u32,
    /// MinSize.
    pub min_size: u32,
    /// MaxSize.
    pub max_size: u32,
    /// On-demand members in service.
    pub on_demand: u32,
    /// Spot members in service.
    pub spot: u32,
    /// Where the group's swap stands.
    pub swap: &'static str,
    /// What would be done next.
    pub action: Option<Value>,
    /// What has to be known first (bulk looks only).
    pub need: Option<&'static str>,
    /// What is waited for.
    pub wait: Option<Said>,
    /// Why nothing may start.
    pub blockers: Vec<Said>,
    /// Every member.
    pub members: Vec<MemberPlan>,
}

/// One member, as `plan --json` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct MemberPlan {
    /// Instance id.
    pub id: String,
    /// Instance type.
    pub instance_type: String,
    /// Zone.
    pub zone: String,
    /// `on-demand` or `spot`.
    pub purchase: String,
    /// Lifecycle state.
    pub state: String,
    /// Why it stays; `None` for the victim of the next action.
    pub left_alone: Option<Said>,
}

impl GroupPlan {
    /// The view of a look.
    pub fn of(look: &Look) -> Self {
        let group = &look.observation.group;
        let plan = &look.plan;
        Self {
            group: group.name.to_string(),
            at: look.observation.now.to_string(),
            desired: group.desired,
            min_size: group.min_size,
            max_size: group.max_size,
            on_demand: group.in_service(PurchaseOption::OnDemand),
            spot: group.in_service(PurchaseOption::Spot),
            swap: plan.swap,
            action: plan.action.as_ref().map(|wanted| {
                let mut shown = action(wanted);
                if let Some(why) = plan.ended {
                    shown["why"] = json!({ "code": why.code(), "text": why.to_string() });
                }
                shown
            }),
            need: plan.need.as_ref().map(|need| match need {
                Need::Details => "details",
                Need::Market(_) => "market",
                Need::Closer(_) => "closer",
            }),
            wait: plan.wait.as_ref().map(|wait| Said { code: wait.code(), text: wait.to_string() }),
            blockers: plan
                .blockers
                .iter()
                .map(|blocker| Said { code: blocker.code(), text: blocker.to_string() })
                .collect(),
            members: group.members.iter().map(|member| MemberPlan::of(member, look)).collect(),
        }
    }
}

impl MemberPlan {
    fn of(member: &Member, look: &Look) -> Self {
        let left = look.plan.left_alone.iter().find(|(id, _)| *id == member.id);
        Self {
            id: member.id.to_string(),
            instance_type: member.instance_type.to_string(),
            zone: member.zone.to_string(),
            purchase: member.purchase.to_string(),
            state: member.lifecycle.to_string(),
            left_alone: left.map(|(_, reason)| Said { code: reason.code(), text: reason.to_string() }),
        }
    }
}

/// An action with everything that it carries, by the names that AWS uses.
pub fn action(action: &Action) -> Value {
    let mut value = match action {
        Action::Launch(launch) => launch_view(launch),
        Action::Discard { replica } => json!({ "replica": replica.as_str() }),
        Action::Arm { journal } => json!({ "journal": journal.to_string() }),
        Action::Prepare { suspend_az_rebalance, raise_max } => json!({
            "suspend_az_rebalance": suspend_az_rebalance,
            "max_size": raise_max.map(|max| json!({ "from": max.original, "to": max.raised })),
        }),
        Action::Attach { replica, expect } => json!({ "replica": replica.as_str(), "desired": expect.desired }),
        Action::Doom { victim, deadline, .. } => json!({ "victim": victim.as_str(), "deadline": deadline.to_string() }),
        Action::Pardon { victim, .. } => json!({ "victim": victim.as_str() }),
        Action::Detach { victim, expect } => json!({ "victim": victim.as_str(), "desired": expect.desired }),
        Action::Terminate { member, expect } => json!({ "member": member.as_str(), "desired": expect.desired }),
        Action::Replace { member } => json!({ "member": member.as_str() }),
        Action::Compensate { from, to } => json!({ "desired": { "from": from, "to": to } }),
        Action::Restore { max, resume_az_rebalance } => json!({
            "resume_az_rebalance": resume_az_rebalance,
            "max_size": max.map(|max| json!({ "from": max.raised, "to": max.original })),
        }),
        Action::Finish { replica, drop_journal } => json!({
            "replica": replica.as_ref().map(|finished| finished.id().as_str().to_owned()),
            "drop_journal": drop_journal,
        }),
        Action::EndDoomed { victim } => json!({ "victim": victim.as_str() }),
        Action::RecordReady { replica, at } => json!({ "replica": replica.as_str(), "at": at.to_string() }),
        Action::Note { backoff } => json!({ "backoff": backoff }),
    };
    value["name"] = json!(action.name());
    value
}

fn launch_view(launch: &Launch) -> Value {
    let pools: Vec<Value> = launch
        .pools
        .iter()
        .map(|pool| {
            let mut value = json!({
                "instance_type": pool.instance_type.as_str(),
                "zone": pool.zone.as_str(),
                "usd_per_hour": pool.price.dollars(),
            });
            if let Some(estimate) = pool.risk {
                value["interruptions"] = interruptions(estimate);
            }
            value
        })
        .collect();
    json!({
        "victim": launch.victim.as_str(),
        "purchase": launch.purchase.to_string(),
        "subnet": launch.subnet.as_str(),
        "strategy": launch.strategy.as_str(),
        "client_token": launch.client_token,
        "pools": pools,
    })
}

/// How often a pool is interrupted, with the terms of the estimate.
pub fn interruptions(estimate: Estimate) -> Value {
    json!({
        "percent_per_month": estimate.percent_per_month,
        "advisor": estimate.advisor.map(|frequency| frequency.label()),
        "own_losses": estimate.own.interruptions,
        "own_seconds": estimate.own.seconds,
    })
}

/// The names of an error's kinds, for logs and metrics.
pub fn error_kind(error: &CloudError) -> &'static str {
    match error {
        CloudError::InsufficientCapacity(_) => "insufficient-capacity",
        CloudError::Limit(_) => "limit",
        CloudError::Throttled(_) => "throttled",
        CloudError::Denied(_) => "denied",
        CloudError::NotFound(_) => "not-found",
        CloudError::Conflict(_) => "conflict",
        CloudError::Rejected(_) => "rejected",
    }
}

impl Outcome {
    /// Its name, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Quiet => "quiet",
            Outcome::Waiting => "waiting",
            Outcome::Acted => "acted",
            Outcome::Refused(_) => "refused",
            Outcome::Failed(_) => "failed",
            Outcome::Gone => "gone",
        }
    }
}

/// One line per pass: log, metric (CloudWatch embedded metric format) and audit record in one.
///
/// `millis` is the time in Unix milliseconds that CloudWatch files the metrics under. Metrics have one dimension, the
/// deployment: a dimension per group would cost money per group.
pub fn pass_line(pass: &Pass, stack: &str, millis: i64) -> Value {
    let count = |hit: bool| u32::from(hit);
    let outcome = &pass.outcome;
    let denied = matches!(outcome, Outcome::Failed(CloudError::Denied(_)));
    let mut line = json!({
        "_aws": metrics(millis, &["Refused", "Failed", "Denied", "Launched", "Swapped"], "Count"),
        "v": 1,
        "kind": "pass",
        "stack": stack,
        "group": pass.group.as_str(),
        "outcome": outcome.name(),
        "Acted": count(matches!(outcome, Outcome::Acted)),
        "Refused": count(matches!(outcome, Outcome::Refused(_)) || pass.refused_first.is_some()),
        "Failed": count(matches!(outcome, Outcome::Failed(_))),
        "Denied": count(denied),
    });
    let planned = pass.look.as_ref().and_then(|look| look.plan.action.as_ref());
    let acted =
        |wanted: &str| matches!(outcome, Outcome::Acted) && planned.is_some_and(|action| action.name() == wanted);
    line["Launched"] = json!(count(acted("launch")));
    line["Swapped"] = json!(count(completed_swap(pass).is_some()));
    if let Some(refusal) = &pass.refused_first {
        line["refusal"] = json!(refusal.to_string());
    }
    match outcome {
        Outcome::Refused(refusal) => line["refusal"] = json!(refusal.to_string()),
        Outcome::Failed(error) => line["error"] = json!({ "kind": error_kind(error), "text": error.to_string() }),
        Outcome::Quiet | Outcome::Waiting | Outcome::Acted | Outcome::Gone => {}
    }
    let Some(look) = &pass.look else { return line };
    let view = GroupPlan::of(look);
    line["swap"] = json!(view.swap);
    line["desired"] = json!(view.desired);
    line["max_size"] = json!(view.max_size);
    line["on_demand"] = json!(view.on_demand);
    line["spot"] = json!(view.spot);
    line["action"] = json!(view.action);
    if let Some(note) = &look.plan.note {
        // Written down beside the action, if at all; no reason to act.
        line["note"] = action(note);
    }
    line["wait"] = json!(view.wait);
    line["blockers"] = json!(view.blockers);
    line
}

/// One line per tick: what a bulk look showed of all groups, as the same kind of line.
pub fn tick_line(looks: &[Look], queued: u32, stack: &str, millis: i64) -> Value {
    let sum = |of: fn(&Look) -> u32| looks.iter().map(of).sum::<u32>();
    let mut metrics = metrics(millis, &["OnDemand", "Spot", "CoolingPools"], "Count");
    let seconds = json!({ "Name": "OldestSwap", "Unit": "Seconds" });
    metrics["CloudWatchMetrics"][0]["Metrics"].as_array_mut().expect("a list as it was made").push(seconds);
    json!({
        "_aws": metrics,
        "v": 1,
        "kind": "tick",
        "stack": stack,
        "groups": looks.len(),
        "queued": queued,
        "OnDemand": sum(|look| look.observation.group.in_service(PurchaseOption::OnDemand)),
        "Spot": sum(|look| look.observation.group.in_service(PurchaseOption::Spot)),
        "CoolingPools": sum(cooling_pools),
        "OldestSwap": looks.iter().map(swap_age_seconds).max().unwrap_or(0),
    })
}

/// One line per interruption notice that EC2 confirms. The instance's watcher and EventBridge may both bring the same one.
pub fn notice_line(group: &GroupName, instance: &InstanceId, stack: &str, millis: i64) -> Value {
    json!({
        "_aws": metrics(millis, &["Notices"], "Count"),
        "v": 1,
        "kind": "notice",
        "stack": stack,
        "group": group.as_str(),
        "instance": instance.as_str(),
        "Notices": 1,
    })
}

/// The declaration that makes metrics of members of a line. CloudWatch gives ten metrics for nothing: all lines together
/// declare no more.
fn metrics(millis: i64, names: &[&str], unit: &str) -> Value {
    let declared: Vec<Value> = names.iter().map(|name| json!({ "Name": name, "Unit": unit })).collect();
    json!({
        "Timestamp": millis,
        "CloudWatchMetrics": [{ "Namespace": "spotward", "Dimensions": [["stack"]], "Metrics": declared }],
    })
}

fn cooling_pools(look: &Look) -> u32 {
    let cooling = Backoff::of(&look.observation.group).cooling(look.observation.now);
    u32::try_from(cooling).unwrap_or(u32::MAX)
}

/// How old the group's journal is; 0 without one. One that cannot be read is an alarm of its own kind: it never ages away,
/// so it counts as two hours.
fn swap_age_seconds(look: &Look) -> i64 {
    match look.observation.group.journal() {
        None => 0,
        Some(Ok(journal)) => look.observation.now.duration_since(journal.written_at).as_secs().max(0),
        Some(Err(_)) => UNREADABLE_AGE_SECONDS,
    }
}

/// The swap that this pass has completed, and who leaves: its action removed a member for which the replica stands in.
/// A replica that leaves again is no swap, and what an undo removes is none either.
pub fn completed_swap(pass: &Pass) -> Option<(Journal, &InstanceId)> {
    let look =
        pass.look.as_ref().filter(|look| matches!(pass.outcome, Outcome::Acted) && look.plan.swap == "attached")?;
    let (Action::Terminate { member: leaving, .. } | Action::Detach { victim: leaving, .. }) =
        look.plan.action.as_ref()?
    else {
        return None;
    };
    let journal = look.observation.group.journal()?.ok()?;
    (journal.replica != *leaving).then_some((journal, leaving))
}
