//! What the owner can do about a blocker: one sentence each.

use planner::reason::Blocker;

/// The fix. `None` where it passes by itself.
pub fn fix(blocker: &Blocker, group: &str) -> Option<String> {
    let text = match blocker {
        Blocker::NotEnabled => format!("tag {group} with the enabling tag"),
        Blocker::Settings(errors) => {
            let tags: Vec<&str> = errors.iter().map(|error| error.tag.as_str()).collect();
            format!("correct or delete {}; until then this group, and only this one, is left alone", tags.join(", "))
        }
        Blocker::Status(_) => return None,
        Blocker::Operator(_) => "use that service's own spot support".to_owned(),
        Blocker::MixedInstancesPolicy => {
            "set OnDemandPercentageAboveBaseCapacity of its mixed instances policy: no swaps are needed".to_owned()
        }
        Blocker::NoTemplate => "give the group a launch template that exists".to_owned(),
        Blocker::TemplateUnreadable(_) => {
            "see that the template and its image exist and may be described by these credentials".to_owned()
        }
        Blocker::AlreadySpot => "nothing is needed: what the group launches is spot already".to_owned(),
        Blocker::InstanceRequirements => {
            "name an instance type in the template, or use a mixed instances policy".to_owned()
        }
        Blocker::CapacityType(_) => "size the group in units".to_owned(),
        Blocker::WarmPool => "delete the warm pool, or leave this group on-demand".to_owned(),
        Blocker::Weighted(_) => "remove the weights of the group's instance types".to_owned(),
        Blocker::InstanceRefresh(_) => return None,
        Blocker::Suspended(process) => {
            format!("aws autoscaling resume-processes --auto-scaling-group-name {group} --scaling-processes {process}")
        }
        Blocker::NewMembersProtected => {
            "turn off scale-in protection of new members (for ECS: managed termination protection)".to_owned()
        }
        Blocker::MemberState { member, .. } => format!("put {member} back into service, or take it out of the group"),
        Blocker::LaunchHooks(_) => {
            "if the hooks may be skipped for replicas, tag the group spotward:launch-hooks=ignore; to wait for your own check instead, spotward:readiness=watcher".to_owned()
        }
        Blocker::ManagedBy(_) => "use that service's own spot support".to_owned(),
        Blocker::UnsupportedBilling(_) => "use an image of Linux, Red Hat, SUSE or Windows without add-ons".to_owned(),
        Blocker::ImageUnavailable(_) => "give the template an image that exists and is shared with you".to_owned(),
        Blocker::NotReproducible(_) => "take it out of the template, or leave this group on-demand".to_owned(),
        Blocker::Unstable { .. } | Blocker::ActivityInProgress | Blocker::Quiet { .. } => return None,
        Blocker::ScheduledAction { .. } => return None,
        Blocker::AtMaxSize(_) => {
            "raise MaxSize by one, or let a swap do it for its length (spotward:on-max=raise)".to_owned()
        }
        Blocker::OutsideSchedule { opens: Some(_) } | Blocker::Pace { .. } | Blocker::Losses { .. } => return None,
        Blocker::OutsideSchedule { opens: None } => {
            "correct spotward:schedule and spotward:schedule-state: together they leave no hour".to_owned()
        }
        Blocker::ForeignSwap(stack) => {
            format!("let the deployment {stack} finish, or remove the enabling tag of one of the two")
        }
        Blocker::DetachNeedsPropagatedTag => {
            "set PropagateAtLaunch on the enabling tag, or let victims leave by spotward:removal=terminate".to_owned()
        }
        Blocker::Journal(_) => {
            "look at MaxSize, desired and AZRebalance, correct them, then delete the tag spotward:swap".to_owned()
        }
    };
    Some(text)
}
