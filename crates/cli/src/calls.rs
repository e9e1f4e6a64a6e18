//! Which calls to AWS an action makes, in order. Follows the comments of `planner::action::Action`, as the adapter does.

use planner::action::{Action, Finished, Launch};
use planner::model::{Group, LaunchSource, PurchaseOption};

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// As IAM writes it: `ec2:CreateFleet`.
    pub name: &'static str,
    /// With what.
    pub with: String,
}

fn call(name: &'static str, with: impl Into<String>) -> Call {
    Call { name, with: with.into() }
}

/// The calls that change something. Reads before them are not listed.
pub fn calls(action: &Action, group: &Group) -> Vec<Call> {
    let name = &group.name;
    match action {
        Action::Launch(launch) => launch_calls(launch),
        Action::Discard { replica } => vec![call("ec2:TerminateInstances", replica.to_string())],
        Action::Arm { journal } => vec![
            call("ec2:CreateTags", format!("{}: spotward:swap", journal.replica)),
            call("autoscaling:CreateOrUpdateTags", format!("{name}: spotward:swap={journal}")),
        ],
        Action::Prepare { suspend_az_rebalance, raise_max } => {
            let mut calls = Vec::new();
            if *suspend_az_rebalance {
                calls.push(call("autoscaling:SuspendProcesses", format!("{name}: AZRebalance")));
            }
            if let Some(max) = raise_max {
                let with = format!("{name}: MaxSize {} -> {}", max.original, max.raised);
                calls.push(call("autoscaling:UpdateAutoScalingGroup", with));
            }
            calls
        }
        Action::Attach { replica, expect } => {
            let (from, to) = (expect.desired, expect.desired + 1);
            vec![call("autoscaling:AttachInstances", format!("{name}: {replica}, desired {from} -> {to}"))]
        }
        Action::Doom { victim, .. } => vec![call("ec2:CreateTags", format!("{victim}: spotward:role=doomed"))],
        Action::Pardon { victim, brought: true } => {
            vec![call("ec2:CreateTags", format!("{victim}: spotward:role=member"))]
        }
        Action::Pardon { victim, brought: false } => vec![call("ec2:DeleteTags", format!("{victim}: spotward:role"))],
        Action::Detach { victim, expect } => {
            let (from, to) = (expect.desired, expect.desired.saturating_sub(1));
            vec![call("autoscaling:DetachInstances", format!("{name}: {victim}, desired {from} -> {to}"))]
        }
        Action::Terminate { member, expect } => {
            let (from, to) = (expect.desired, expect.desired.saturating_sub(1));
            let with = format!("{member}, desired {from} -> {to}");
            vec![call("autoscaling:TerminateInstanceInAutoScalingGroup", with)]
        }
        Action::Replace { member } => {
            vec![call("autoscaling:TerminateInstanceInAutoScalingGroup", format!("{member}, desired stays"))]
        }
        Action::Compensate { from, to } => {
            vec![call("autoscaling:SetDesiredCapacity", format!("{name}: desired {from} -> {to}"))]
        }
        Action::Restore { max, resume_az_rebalance } => {
            let mut calls = Vec::new();
            if let Some(max) = max {
                let with = format!("{name}: MaxSize {} -> {}", max.raised, max.original);
                calls.push(call("autoscaling:UpdateAutoScalingGroup", with));
            }
            if *resume_az_rebalance {
                calls.push(call("autoscaling:ResumeProcesses", format!("{name}: AZRebalance")));
            }
            calls
        }
        Action::Finish { replica, drop_journal } => {
            let mut calls = Vec::new();
            match replica {
                Some(Finished::Member(id)) => {
                    calls.push(call("ec2:CreateTags", format!("{id}: spotward:role=member")));
                    calls.push(call("ec2:DeleteTags", format!("{id}: spotward:swap")));
                }
                Some(Finished::Kept(id)) => calls.push(call("ec2:DeleteTags", format!("{id}: spotward:swap"))),
                None => {}
            }
            if drop_journal.is_some() {
                calls.push(call("autoscaling:DeleteTags", format!("{name}: spotward:swap")));
            }
            calls
        }
        Action::EndDoomed { victim } => vec![call("ec2:TerminateInstances", victim.to_string())],
        Action::RecordReady { replica, at } => {
            vec![call("ec2:CreateTags", format!("{replica}: spotward:ready={}", at.as_second()))]
        }
        Action::Note { backoff: Some(text) } => {
            vec![call("autoscaling:CreateOrUpdateTags", format!("{name}: spotward:backoff={text}"))]
        }
        Action::Note { backoff: None } => {
            vec![call("autoscaling:DeleteTags", format!("{name}: spotward:backoff"))]
        }
    }
}

fn launch_calls(launch: &Launch) -> Vec<Call> {
    let mut calls = Vec::new();
    let template = match &launch.source {
        LaunchSource::Template { id, version } => match launch.template_version {
            Some(number) => format!("{id} version {number}"),
            None => format!("{id} version {version}"),
        },
        LaunchSource::Configuration { name } => {
            let with = format!("with what launch configuration {name} says, unless it was made before");
            calls.push(call("ec2:CreateLaunchTemplate", with));
            format!("that of launch configuration {name}")
        }
        LaunchSource::MixedInstances | LaunchSource::Missing => "none".to_owned(),
    };
    let with = format!(
        "instant, 1 {} instance, template {template}, subnet {}, {}, {}",
        launch.purchase,
        launch.subnet,
        match launch.purchase {
            PurchaseOption::Spot => launch.strategy.as_str(),
            // The adapter asks for the best first: there is nothing to optimize.
            PurchaseOption::OnDemand => "prioritized",
        },
        match launch.pools.count() {
            1 => "1 type".to_owned(),
            count => format!("{count} types"),
        }
    );
    calls.push(call("ec2:CreateFleet", with));
    calls
}
