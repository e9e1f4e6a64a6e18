//! Auto Scaling as strict as AWS: the rules of attach, detach and terminate, the sizes, and who launches what where.
//!
//! moto keeps members, tags, hooks and suspended processes; its own sizes are set so wide that it never acts by itself.

use std::collections::BTreeMap;

use crate::Stage;
use crate::launch::{self, Recipe};
use crate::moto::tree;
use crate::wire::{Answer, Call, Params, Refusal, query_answer};
use crate::world::{Activity, Leaving, LeavingHow, Refresh, World, now, timestamp};
use crate::xml::Element;

const XMLNS: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";

/// moto's own limit, far above anything that we let pass.
const WIDE_OPEN: &str = "1000000";

/// "You can specify up to 20 instances": https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachInstances.html
const INSTANCES_PER_CALL: usize = 20;

const PROCESSES: [&str; 9] = [
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
];

pub async fn handle(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    match call.action.as_str() {
        "CreateAutoScalingGroup" => create_group(stage, world, call).await,
        "UpdateAutoScalingGroup" => update_group(stage, world, call).await,
        "DeleteAutoScalingGroup" => delete_group(stage, world, call).await,
        "SetDesiredCapacity" => set_desired(stage, world, call).await,
        "AttachInstances" => attach(stage, world, call).await,
        "DetachInstances" => detach(stage, world, call).await,
        "TerminateInstanceInAutoScalingGroup" => terminate(stage, world, call).await,
        "EnterStandby" | "ExitStandby" => standby(stage, world, call).await,
        "SetInstanceProtection" => protect(stage, world, call).await,
        "SuspendProcesses" | "ResumeProcesses" => processes(stage, world, call).await,
        "CreateOrUpdateTags" | "DeleteTags" => tags(stage, world, call).await,
        "DescribeAutoScalingGroups" => describe_groups(stage, world, call).await,
        "DescribeAutoScalingInstances" => describe_instances(stage, world, call).await,
        "DescribeScalingActivities" => describe_activities(world, call),
        "DescribeInstanceRefreshes" => describe_refreshes(stage, world, call).await,
        "StartInstanceRefresh" => start_refresh(stage, world, call).await,
        "CancelInstanceRefresh" => cancel_refresh(world, call),
        "DescribeTrafficSources" => traffic_sources(stage, world, call).await,
        "DescribeLifecycleHooks" | "PutLifecycleHook" | "DescribeWarmPool" | "PutWarmPool" => {
            view(stage, world, group_name(call)).await?;
            stage.moto.forward(call).await
        }
        "DescribeScheduledActions" | "DescribeLaunchConfigurations" | "DescribePolicies" | "DescribeTags" => {
            max_records(call, 100)?;
            stage.moto.forward(call).await
        }
        _ => stage.moto.forward(call).await,
    }
}

fn group_name(call: &Call) -> &str {
    call.params.get("AutoScalingGroupName").unwrap_or("")
}

fn not_found(name: &str) -> Refusal {
    Refusal::validation(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"))
}

fn max_records(call: &Call, most: i64) -> Result<(), Refusal> {
    match call.params.number("MaxRecords") {
        Some(wanted) if wanted > most => Err(Refusal::validation(format!(
            "1 validation error detected: Value '{wanted}' at 'maxRecords' failed to satisfy constraint: Member must have value less than or equal to {most}"
        ))),
        _ => Ok(()),
    }
}

// ---- reading ------------------------------------------------------------------------------------------------------------

/// A group as moto has it, less the sizes.
async fn view(stage: &Stage, world: &World, name: &str) -> Result<Element, Refusal> {
    let question = Params::of([("AutoScalingGroupNames.member.1", name)]);
    let answer = stage.moto.ask(&world.place, "autoscaling", "DescribeAutoScalingGroups", &question).await?;
    answer
        .items(&["DescribeAutoScalingGroupsResult", "AutoScalingGroups"])
        .iter()
        .find(|group| group.text_at(&["AutoScalingGroupName"]) == name)
        .cloned()
        .ok_or_else(|| not_found(name))
}

fn is_suspended(group: &Element, process: &str) -> bool {
    group.items(&["SuspendedProcesses"]).iter().any(|suspended| suspended.text_at(&["ProcessName"]) == process)
}

fn members(group: &Element) -> &[Element] {
    group.items(&["Instances"])
}

fn member_id(member: &Element) -> &str {
    member.text_at(&["InstanceId"])
}

/// The members of every group, as moto lists them.
async fn all_members(stage: &Stage, world: &World, ids: &[String]) -> Result<Vec<Element>, Refusal> {
    let mut question = Params::default();
    for (index, id) in ids.iter().enumerate() {
        question.set(&format!("InstanceIds.member.{}", index + 1), id);
    }
    let answer = stage.moto.ask(&world.place, "autoscaling", "DescribeAutoScalingInstances", &question).await?;
    Ok(answer.items(&["DescribeAutoScalingInstancesResult", "AutoScalingInstances"]).to_vec())
}

/// The group that an instance is a member of.
async fn group_of(stage: &Stage, world: &World, id: &str) -> Result<Option<String>, Refusal> {
    let found = all_members(stage, world, &[id.to_owned()]).await?;
    Ok(found
        .iter()
        .find(|member| member_id(member) == id)
        .map(|member| member.text_at(&["AutoScalingGroupName"]).to_owned()))
}

/// The fields that moto fills wrongly: the life cycle, and what the member was launched from.
fn correct_member(world: &World, member: &mut Element) {
    let Some(state) = world.instances.get(member_id(member)) else { return };
    let settled = state.member_since.is_none_or(|since| now() >= since + world.settings.in_service_seconds);
    if !settled && member.text_at(&["LifecycleState"]) == "InService" {
        member.set("LifecycleState", "Pending");
    }
    member.set("InstanceType", &state.instance_type);
    // An attached instance keeps the template that it was launched from; it has no launch configuration.
    member.remove("LaunchConfigurationName");
    member.remove("LaunchTemplate");
    if let Some(name) = &state.launch_configuration {
        member.children.push(Element::leaf("LaunchConfigurationName", name));
    } else if let Some(template) = &state.template {
        member.children.push(
            Element::new("LaunchTemplate")
                .field("LaunchTemplateId", &template.id)
                .field("LaunchTemplateName", &template.name)
                .field("Version", &template.version),
        );
    }
}

/// The members on their way out, which moto has forgotten already.
fn leaving_members(world: &World, name: &str) -> Vec<Element> {
    let Some(group) = world.groups.get(name) else { return Vec::new() };
    group
        .leaving
        .iter()
        .map(|leaving| {
            let mut member = leaving.member.clone();
            if leaving.how == LeavingHow::Terminating {
                member.set("LifecycleState", "Terminating");
            }
            member
        })
        .collect()
}

async fn describe_groups(stage: &Stage, world: &World, call: &Call) -> Result<Answer, Refusal> {
    max_records(call, 100)?;
    for filter in call.params.items("Filters.member") {
        let name = filter.get("Name").unwrap_or("");
        if !(name == "tag-key" || name == "tag-value" || name.starts_with("tag:")) {
            return Err(Refusal::validation(format!(
                "Filter type {name} is not correct. Allowed Filter types are: tag-key, tag-value, tag:<key>"
            )));
        }
    }
    let names = call.params.list("AutoScalingGroupNames.member");
    if let (true, Some(token)) = (names.is_empty(), call.params.get("NextToken")) {
        // moto's token is the name of the last group of the page; any other makes it stumble.
        if !world.groups.contains_key(token) {
            return Err(Refusal::new(400, "InvalidNextToken", "The token is not valid"));
        }
    }
    let mut root = stage.moto.forward_tree(call, &call.params).await?;
    let with_instances = call.params.get("IncludeInstances") != Some("false");
    if let Some(groups) = root.at_mut(&["DescribeAutoScalingGroupsResult", "AutoScalingGroups"]) {
        for group in &mut groups.children {
            correct_group(world, group, with_instances);
        }
    }
    Ok(Answer::xml(&root))
}

fn correct_group(world: &World, group: &mut Element, with_instances: bool) {
    let name = group.text_at(&["AutoScalingGroupName"]).to_owned();
    if let Some(state) = world.groups.get(&name) {
        group.set("MinSize", state.min.to_string());
        group.set("MaxSize", state.max.to_string());
        group.set("DesiredCapacity", state.desired.to_string());
    }
    for suspended in group.get_mut("SuspendedProcesses").into_iter().flat_map(|list| &mut list.children) {
        suspended.set("SuspensionReason", "User suspended at 2026-01-01T00:00:00Z");
    }
    let Some(list) = group.get_mut("Instances") else { return };
    if !with_instances {
        list.children.clear();
        return;
    }
    for member in &mut list.children {
        correct_member(world, member);
    }
    list.children.extend(leaving_members(world, &name));
}

async fn describe_instances(stage: &Stage, world: &World, call: &Call) -> Result<Answer, Refusal> {
    const PAGE: usize = 50;
    max_records(call, PAGE as i64)?;
    let ids = call.params.list("InstanceIds.member");
    if ids.len() > PAGE {
        return Err(Refusal::validation(format!("The number of instance ids exceeds the maximum of {PAGE}")));
    }
    let mut found = all_members(stage, world, &ids).await?;
    for member in &mut found {
        correct_member(world, member);
    }
    for (name, group) in &world.groups {
        for (leaving, mut member) in group.leaving.iter().zip(leaving_members(world, name)) {
            if ids.is_empty() || ids.contains(&leaving.instance_id) {
                member.set("AutoScalingGroupName", name);
                found.push(member);
            }
        }
    }
    let start = page_start(call)?;
    let size = call.params.number("MaxRecords").map_or(PAGE, |size| size as usize);
    let (page, token) = page(found, start, size);
    let result = Element::new("").list("AutoScalingInstances", page).maybe("NextToken", token);
    Ok(query_answer(&call.action, XMLNS, Some(result)))
}

fn page_start(call: &Call) -> Result<usize, Refusal> {
    match call.params.get("NextToken") {
        None | Some("") => Ok(0),
        Some(token) => token
            .strip_prefix("from-")
            .and_then(|start| start.parse().ok())
            .ok_or_else(|| Refusal::new(400, "InvalidNextToken", "The token is not valid")),
    }
}

fn page(all: Vec<Element>, start: usize, size: usize) -> (Vec<Element>, Option<String>) {
    let more = all.len() > start + size;
    (all.into_iter().skip(start).take(size).collect(), more.then(|| format!("from-{}", start + size)))
}

fn describe_activities(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    max_records(call, 100)?;
    let ids = call.params.list("ActivityIds.member");
    let since = call
        .params
        .items("Filters.member")
        .iter()
        .find(|filter| filter.get("Name") == Some("StartTimeLowerBound"))
        .and_then(|filter| filter.list("Values.member").first()?.parse::<jiff::Timestamp>().ok())
        .map_or(f64::MIN, |since| since.as_second() as f64);
    let wanted = call.params.get("AutoScalingGroupName").map(str::to_owned);
    if let Some(name) = wanted.as_ref().filter(|name| !world.groups.contains_key(*name)) {
        return Err(not_found(name));
    }
    let mut found: Vec<(&String, &Activity)> = world
        .groups
        .iter()
        .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name))
        .flat_map(|(name, group)| group.activities.iter().map(move |activity| (name, activity)))
        .filter(|(_, activity)| activity.start >= since && (ids.is_empty() || ids.contains(&activity.id)))
        .collect();
    found.sort_by(|a, b| a.1.end.is_some().cmp(&b.1.end.is_some()).then(b.1.start.total_cmp(&a.1.start)));
    let found: Vec<Element> =
        found.into_iter().map(|(name, activity)| activity_xml("member", name, activity)).collect();
    let size = call.params.number("MaxRecords").map_or(100, |size| size as usize);
    let (page, token) = page(found, page_start(call)?, size);
    let result = Element::new("").list("Activities", page).maybe("NextToken", token);
    Ok(query_answer(&call.action, XMLNS, Some(result)))
}

fn activity_xml(name: &str, group: &str, activity: &Activity) -> Element {
    Element::new(name)
        .field("ActivityId", &activity.id)
        .field("AutoScalingGroupName", group)
        .field("Description", &activity.description)
        .field("Cause", &activity.cause)
        .field("StartTime", timestamp(activity.start))
        .maybe("EndTime", activity.end.map(timestamp))
        .field("StatusCode", &activity.status)
        .field("Progress", if activity.end.is_some() { "100" } else { "50" })
        .field("Details", &activity.details)
}

async fn traffic_sources(stage: &Stage, world: &World, call: &Call) -> Result<Answer, Refusal> {
    let group = view(stage, world, group_name(call)).await?;
    let kind = call.params.get("TrafficSourceType");
    let targets = group.items(&["TargetGroupARNs"]).iter().map(|arn| ("elbv2", arn.text.clone(), "InService"));
    let classic = group.items(&["LoadBalancerNames"]).iter().map(|name| ("elb", name.text.clone(), "InService"));
    let sources =
        targets.chain(classic).filter(|(name, _, _)| kind.is_none_or(|kind| kind == *name)).map(|(kind, id, state)| {
            Element::new("member")
                .field("Identifier", &id)
                .field("TrafficSource", &id)
                .field("State", state)
                .field("Type", kind)
        });
    Ok(query_answer(&call.action, XMLNS, Some(Element::new("").list("TrafficSources", sources))))
}

async fn describe_refreshes(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    max_records(call, 100)?;
    let name = group_name(call).to_owned();
    view(stage, world, &name).await?;
    let found = world.group(&name).refreshes.iter().rev().map(|refresh| {
        Element::new("member")
            .field("InstanceRefreshId", &refresh.id)
            .field("AutoScalingGroupName", &name)
            .field("Status", &refresh.status)
            .field("StartTime", timestamp(refresh.start))
            .field("PercentageComplete", if refresh.status == "Successful" { "100" } else { "0" })
    });
    let list = Element::new("").list("InstanceRefreshes", found.collect::<Vec<_>>());
    Ok(query_answer(&call.action, XMLNS, Some(list)))
}

/// A refresh is only recorded as in progress, until it is cancelled: what it does to members is not simulated.
async fn start_refresh(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    view(stage, world, &name).await?;
    if world.group(&name).refreshes.iter().any(|refresh| refresh.status == "InProgress") {
        return Err(Refusal::new(
            400,
            "InstanceRefreshInProgress",
            format!("An Instance Refresh is already in progress for {name}"),
        ));
    }
    let id = world.id("refresh-");
    world.group(&name).refreshes.push(Refresh { id: id.clone(), status: "InProgress".to_owned(), start: now() });
    Ok(query_answer(&call.action, XMLNS, Some(Element::new("").field("InstanceRefreshId", id))))
}

fn cancel_refresh(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    let Some(refresh) = world.group(&name).refreshes.iter_mut().find(|refresh| refresh.status == "InProgress") else {
        return Err(Refusal::new(
            400,
            "ActiveInstanceRefreshNotFound",
            format!("No in progress or pending Instance Refresh found for {name}"),
        ));
    };
    refresh.status = "Cancelled".to_owned();
    let id = refresh.id.clone();
    Ok(query_answer(&call.action, XMLNS, Some(Element::new("").field("InstanceRefreshId", id))))
}

// ---- sizes --------------------------------------------------------------------------------------------------------------

fn check_sizes(min: i64, max: i64, desired: i64) -> Result<(), Refusal> {
    if min < 0 || max < 0 {
        return Err(Refusal::validation("Size bounds must be zero or greater"));
    }
    if max < min {
        return Err(Refusal::validation(format!(
            "Max bound, {max}, must be greater than or equal to min bound, {min}"
        )));
    }
    if desired < min || desired > max {
        return Err(Refusal::validation(format!(
            "Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}"
        )));
    }
    Ok(())
}

async fn create_group(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    if view(stage, world, &name).await.is_ok() {
        return Err(Refusal::new(
            400,
            "AlreadyExists",
            format!("AutoScalingGroup by this name already exists - A group with the name {name} already exists"),
        ));
    }
    let (Some(min), Some(max)) = (call.params.number("MinSize"), call.params.number("MaxSize")) else {
        return Err(Refusal::validation("MinSize and MaxSize are required"));
    };
    let desired = call.params.number("DesiredCapacity").unwrap_or(min);
    check_sizes(min, max, desired)?;
    check_tags(&call.params.items("Tags.member"))?;
    let mut params = call.params.clone();
    params.set("MinSize", "0");
    params.set("MaxSize", WIDE_OPEN);
    params.set("DesiredCapacity", "0");
    let answer = stage.moto.forward_with(call, &params).await?;
    tree(&call.service, &call.action, &answer)?;
    let state = world.group(&name);
    *state = Default::default();
    (state.min, state.max, state.desired) = (min, max, desired);
    let group = view(stage, world, &name).await?;
    let cause = format!(
        "At {} a user request created an AutoScalingGroup changing the desired capacity from 0 to {desired}.",
        timestamp(now())
    );
    if let Err(refusal) = launch_members(stage, world, &group, desired as usize, &cause).await {
        // AWS would keep the group and report a failed activity; for a test the reason is worth more.
        let question = Params::of([("AutoScalingGroupName", name.as_str()), ("ForceDelete", "true")]);
        stage.moto.ask(&world.place, "autoscaling", "DeleteAutoScalingGroup", &question).await?;
        world.groups.remove(&name);
        return Err(refusal);
    }
    Ok(answer)
}

async fn update_group(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    let group = view(stage, world, &name).await?;
    let before = world.group(&name).clone();
    let min = call.params.number("MinSize").unwrap_or(before.min);
    let max = call.params.number("MaxSize").unwrap_or(before.max);
    // A new bound moves desired with it, unless desired is given too.
    let desired = match call.params.number("DesiredCapacity") {
        Some(desired) => desired,
        None if min <= max => before.desired.clamp(min, max),
        None => before.desired,
    };
    check_sizes(min, max, desired)?;
    let mut params = call.params.clone();
    for key in ["MinSize", "MaxSize", "DesiredCapacity"] {
        params.remove(key);
    }
    let answer = stage.moto.forward_with(call, &params).await?;
    tree(&call.service, &call.action, &answer)?;
    let state = world.group(&name);
    (state.min, state.max, state.desired) = (min, max, desired);
    drop(group);
    resize(stage, world, &name, before.desired).await?;
    Ok(answer)
}

async fn set_desired(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    view(stage, world, &name).await?;
    let desired =
        call.params.number("DesiredCapacity").ok_or_else(|| Refusal::validation("DesiredCapacity is required"))?;
    let state = world.group(&name);
    let before = state.desired;
    if desired > state.max {
        return Err(Refusal::validation(format!(
            "New SetDesiredCapacity value {desired} is above max value {} for the AutoScalingGroup.",
            state.max
        )));
    }
    if desired < state.min {
        return Err(Refusal::validation(format!(
            "New SetDesiredCapacity value {desired} is below min value {} for the AutoScalingGroup.",
            state.min
        )));
    }
    state.desired = desired;
    resize(stage, world, &name, before).await?;
    Ok(query_answer(&call.action, XMLNS, None))
}

/// Brings the number of members to what is desired, both ways.
async fn resize(stage: &Stage, world: &mut World, name: &str, before: i64) -> Result<(), Refusal> {
    let group = view(stage, world, name).await?;
    let wanted = world.group(name).desired;
    let have = counted(world, &group);
    let cause =
        format!("At {} a user request changed the desired capacity from {before} to {wanted}.", timestamp(now()));
    if wanted > have && !is_suspended(&group, "Launch") {
        launch_members(stage, world, &group, (wanted - have) as usize, &cause).await?;
    }
    if wanted < have && !is_suspended(&group, "Terminate") {
        for victim in scale_in_victims(world, &group, (have - wanted) as usize) {
            take_out(stage, world, &group, &victim, &cause).await?;
        }
    }
    Ok(())
}

/// The members that count towards desired: those in service or starting, and those whose end nobody has noticed.
fn counted(world: &World, group: &Element) -> i64 {
    let standing = members(group).iter().filter(|member| member.text_at(&["LifecycleState"]) == "InService").count();
    let unnoticed = world
        .groups
        .get(group.text_at(&["AutoScalingGroupName"]))
        .map_or(0, |state| state.leaving.iter().filter(|leaving| leaving.how == LeavingHow::Unnoticed).count());
    (standing + unnoticed) as i64
}

/// The default policy, as far as it matters: the fullest zone first, there members of another template or version than the
/// group's now, then the oldest. Protected members stay.
fn scale_in_victims(world: &World, group: &Element, count: usize) -> Vec<Element> {
    let mut left: Vec<&Element> =
        members(group).iter().filter(|member| member.text_at(&["LifecycleState"]) == "InService").collect();
    let current = group.text_at(&["LaunchTemplate", "LaunchTemplateId"]);
    let mut victims = Vec::new();
    for _ in 0..count {
        let mut by_zone: BTreeMap<&str, usize> = BTreeMap::new();
        for member in &left {
            *by_zone.entry(member.text_at(&["AvailabilityZone"])).or_default() += 1;
        }
        let victim = left
            .iter()
            .enumerate()
            .filter(|(_, member)| member.text_at(&["ProtectedFromScaleIn"]) != "true")
            .min_by(|(_, a), (_, b)| {
                let rank = |member: &Element| {
                    let state = world.instances.get(member_id(member));
                    let fullness = by_zone.get(member.text_at(&["AvailabilityZone"])).copied().unwrap_or(0);
                    let is_current =
                        state.and_then(|state| state.template.as_ref()).is_some_and(|template| template.id == current);
                    (std::cmp::Reverse(fullness), is_current, state.map_or(0, |state| state.launched as i64))
                };
                rank(a).cmp(&rank(b))
            })
            .map(|(index, _)| index);
        let Some(index) = victim else { break };
        victims.push(left.remove(index).clone());
    }
    victims
}

async fn delete_group(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    let group = view(stage, world, &name).await?;
    if !members(&group).is_empty() && !call.params.is_true("ForceDelete") {
        return Err(Refusal::new(
            400,
            "ResourceInUse",
            format!(
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group. - {name}"
            ),
        ));
    }
    for member in members(&group) {
        note_end(world, member_id(member));
    }
    let answer = stage.moto.forward(call).await?;
    tree(&call.service, &call.action, &answer)?;
    world.groups.remove(&name);
    Ok(answer)
}

// ---- members: in --------------------------------------------------------------------------------------------------------

/// Launches members as the group itself does: its own template, spread over its subnets, with its tags.
async fn launch_members(
    stage: &Stage,
    world: &mut World,
    group: &Element,
    count: usize,
    cause: &str,
) -> Result<(), Refusal> {
    if count == 0 {
        return Ok(());
    }
    let name = group.text_at(&["AutoScalingGroupName"]).to_owned();
    let recipe = group_recipe(stage, world, group).await?;
    let mut by_subnet: Vec<(String, String, usize)> = Vec::new();
    for subnet in group_subnets(stage, world, group).await? {
        let zone = world.subnet(stage, &subnet).await?.zone;
        by_subnet.push((subnet, zone, 0));
    }
    let mut by_zone: BTreeMap<String, usize> = by_subnet.iter().map(|(_, zone, _)| (zone.clone(), 0)).collect();
    for member in members(group) {
        if let Some(count) = by_zone.get_mut(member.text_at(&["AvailabilityZone"])) {
            *count += 1;
        }
    }
    for _ in 0..count {
        let emptiest = by_subnet.iter_mut().min_by_key(|(_, zone, _)| by_zone[zone]);
        let Some((_, zone, planned)) = emptiest else {
            return Err(Refusal::validation("At least one Availability Zone or VPC Subnet is required."));
        };
        *planned += 1;
        *by_zone.entry(zone.clone()).or_default() += 1;
    }
    let mut launched = Vec::new();
    for (subnet, _, planned) in by_subnet.iter().filter(|(_, _, planned)| *planned > 0) {
        launched.extend(launch::run(stage, world, &recipe, subnet, *planned).await?);
    }
    join(stage, world, group, &launched).await?;
    for id in &launched {
        add_activity(world, &name, &format!("Launching a new EC2 instance: {id}"), cause);
    }
    Ok(())
}

/// Makes running instances members in moto, and registers them with the load balancers unless that is suspended.
async fn join(stage: &Stage, world: &mut World, group: &Element, ids: &[String]) -> Result<(), Refusal> {
    let name = group.text_at(&["AutoScalingGroupName"]);
    let mut params = Params::of([("AutoScalingGroupName", name)]);
    for (index, id) in ids.iter().enumerate() {
        params.set(&format!("InstanceIds.member.{}", index + 1), id);
    }
    stage.moto.ask(&world.place, "autoscaling", "AttachInstances", &params).await?;
    for id in ids {
        if let Some(state) = world.instances.get_mut(id) {
            state.member_since = Some(now());
        }
    }
    if is_suspended(group, "AddToLoadBalancer") {
        deregister(stage, world, group, ids).await?;
    }
    Ok(())
}

/// Takes instances out of the group's target groups; moto forgets to when they are detached.
async fn deregister(stage: &Stage, world: &World, group: &Element, ids: &[String]) -> Result<(), Refusal> {
    for target_group in group.items(&["TargetGroupARNs"]) {
        let mut params = Params::of([("TargetGroupArn", target_group.text.as_str())]);
        for (index, id) in ids.iter().enumerate() {
            params.set(&format!("Targets.member.{}.Id", index + 1), id);
        }
        stage.moto.ask(&world.place, "elasticloadbalancing", "DeregisterTargets", &params).await?;
    }
    for balancer in group.items(&["LoadBalancerNames"]) {
        let mut params = Params::of([("LoadBalancerName", balancer.text.as_str())]);
        for (index, id) in ids.iter().enumerate() {
            params.set(&format!("Instances.member.{}.InstanceId", index + 1), id);
        }
        stage.moto.ask(&world.place, "elasticloadbalancing", "DeregisterInstancesFromLoadBalancer", &params).await?;
    }
    Ok(())
}

async fn group_recipe(stage: &Stage, world: &World, group: &Element) -> Result<Recipe, Refusal> {
    let mixed = group.at(&["MixedInstancesPolicy", "LaunchTemplate", "LaunchTemplateSpecification"]);
    let mut recipe = match (group.get("LaunchTemplate").or(mixed), group.value("LaunchConfigurationName")) {
        (Some(template), _) => {
            let mut spec = Params::default();
            for key in ["LaunchTemplateId", "Version"] {
                if let Some(value) = template.value(key) {
                    spec.set(key, value);
                }
            }
            launch::from_template(stage, world, &spec).await?
        }
        (None, Some(name)) => launch::from_launch_configuration(stage, world, name).await?,
        (None, None) => return Err(Refusal::gap("a group with neither template nor launch configuration")),
    };
    for tag in group.items(&["Tags"]).iter().filter(|tag| tag.text_at(&["PropagateAtLaunch"]) == "true") {
        recipe.tag(tag.text_at(&["Key"]), tag.text_at(&["Value"]));
    }
    recipe.tag("aws:autoscaling:groupName", group.text_at(&["AutoScalingGroupName"]));
    Ok(recipe)
}

/// The group's subnets, or the default ones of its zones.
async fn group_subnets(stage: &Stage, world: &World, group: &Element) -> Result<Vec<String>, Refusal> {
    if let Some(list) = group.value("VPCZoneIdentifier") {
        return Ok(list.split(',').map(|id| id.trim().to_owned()).collect());
    }
    let mut subnets = Vec::new();
    for zone in group.items(&["AvailabilityZones"]) {
        let question = Params::of([
            ("Filter.1.Name", "default-for-az"),
            ("Filter.1.Value.1", "true"),
            ("Filter.2.Name", "availability-zone"),
            ("Filter.2.Value.1", zone.text.as_str()),
        ]);
        let answer = stage.moto.ask(&world.place, "ec2", "DescribeSubnets", &question).await?;
        subnets.extend(answer.items(&["subnetSet"]).iter().map(|subnet| subnet.text_at(&["subnetId"]).to_owned()));
    }
    Ok(subnets)
}

async fn attach(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    let group = view(stage, world, &name).await?;
    let ids = call.params.list("InstanceIds.member");
    if ids.is_empty() || ids.len() > INSTANCES_PER_CALL {
        return Err(Refusal::validation(format!(
            "At least one and at most {INSTANCES_PER_CALL} instances can be attached in one call"
        )));
    }
    if is_suspended(&group, "Launch") {
        return Err(Refusal::validation(format!(
            "AutoScalingGroup {name} has the Launch process suspended. Instances cannot be attached"
        )));
    }
    for id in &ids {
        may_attach(stage, world, &group, id).await?;
    }
    let sizes = world.group(&name).clone();
    let count = ids.len() as i64;
    if sizes.desired + count > sizes.max {
        let plural = if count == 1 { "" } else { "s" };
        return Err(Refusal::validation(format!(
            "AutoScalingGroup {name} has min-size={}, max-size={}, and desired-size={}. To attach {count} instance{plural}, please update the AutoScalingGroup sizes appropriately.",
            sizes.min, sizes.max, sizes.desired
        )));
    }
    for id in &ids {
        world.instances.entry(id.clone()).or_default();
    }
    join(stage, world, &group, &ids).await?;
    propagate_tags(stage, world, &group, &ids).await?;
    world.group(&name).desired += count;
    let cause = format!(
        "At {} an instance was attached in response to a user request, increasing the capacity from {} to {}.",
        timestamp(now()),
        sizes.desired,
        sizes.desired + count
    );
    for id in &ids {
        add_activity(world, &name, &format!("Attaching an existing EC2 instance: {id}"), &cause);
    }
    Ok(query_answer(&call.action, XMLNS, None))
}

/// AWS's criteria: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-detach-attach-instances.html
async fn may_attach(stage: &Stage, world: &mut World, group: &Element, id: &str) -> Result<(), Refusal> {
    let name = group.text_at(&["AutoScalingGroupName"]);
    if let Some(member_of) = group_of(stage, world, id).await? {
        return Err(Refusal::validation(format!("Instance {id} is already part of AutoScalingGroup:{member_of}")));
    }
    let leaving = world.groups.iter().find(|(_, group)| group.leaving.iter().any(|leaving| leaving.instance_id == id));
    if let Some((member_of, _)) = leaving {
        return Err(Refusal::validation(format!("Instance {id} is already part of AutoScalingGroup:{member_of}")));
    }
    let answer = stage.moto.ask(&world.place, "ec2", "DescribeInstances", &Params::of([("InstanceId.1", id)])).await;
    let Ok(answer) = answer else {
        return Err(Refusal::validation(format!("Invalid Instance ID(s) for attach: [{id}]. No such instance exists")));
    };
    let instance =
        answer.items(&["reservationSet"]).first().and_then(|reservation| reservation.items(&["instancesSet"]).first());
    let Some(instance) = instance else {
        return Err(Refusal::validation(format!("Invalid Instance ID(s) for attach: [{id}]. No such instance exists")));
    };
    let state = match instance.text_at(&["instanceState", "name"]) {
        "running" if crate::ec2::is_booting(world, id) => "pending",
        other => other,
    };
    if state != "running" {
        return Err(Refusal::validation(format!(
            "Instance {id} is not in correct state. It must be in the 'running' state, it is '{state}'"
        )));
    }
    let zone = instance.text_at(&["placement", "availabilityZone"]);
    let zones = group.items(&["AvailabilityZones"]);
    if !zones.iter().any(|known| known.text == zone) {
        return Err(Refusal::validation(format!(
            "Instance {id} is in Availability Zone {zone}, which is not one of those of AutoScalingGroup {name}"
        )));
    }
    if let Some(subnet) = group.value("VPCZoneIdentifier").and_then(|list| list.split(',').next()) {
        let vpc = world.subnet(stage, subnet.trim()).await?.vpc;
        if instance.text_at(&["vpcId"]) != vpc {
            return Err(Refusal::validation(format!("Instance {id} is not in VPC {vpc} of AutoScalingGroup {name}")));
        }
    }
    let image = instance.text_at(&["imageId"]);
    let images = stage.moto.ask(&world.place, "ec2", "DescribeImages", &Params::of([("ImageId.1", image)])).await;
    if images.is_ok_and(|images| images.items(&["imagesSet"]).is_empty()) {
        return Err(Refusal::validation(format!("The AMI {image} of instance {id} does not exist")));
    }
    let known = world.instances.entry(id.to_owned()).or_default();
    known.instance_type = instance.text_at(&["instanceType"]).to_owned();
    known.zone = zone.to_owned();
    Ok(())
}

/// "the Auto Scaling group adds the tags to the instances, overwriting any existing tags with the same tag key":
/// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html
async fn propagate_tags(stage: &Stage, world: &World, group: &Element, ids: &[String]) -> Result<(), Refusal> {
    let tags: Vec<&Element> =
        group.items(&["Tags"]).iter().filter(|tag| tag.text_at(&["PropagateAtLaunch"]) == "true").collect();
    if tags.is_empty() {
        return Ok(());
    }
    let mut params = Params::default();
    for (index, id) in ids.iter().enumerate() {
        params.set(&format!("ResourceId.{}", index + 1), id);
    }
    for (index, tag) in tags.iter().enumerate() {
        params.set(&format!("Tag.{}.Key", index + 1), tag.text_at(&["Key"]));
        params.set(&format!("Tag.{}.Value", index + 1), tag.text_at(&["Value"]));
    }
    stage.moto.ask(&world.place, "ec2", "CreateTags", &params).await.map(|_| ())
}

// ---- members: out -------------------------------------------------------------------------------------------------------

async fn detach(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    let group = view(stage, world, &name).await?;
    let ids = call.params.list("InstanceIds.member");
    let decrement = call.params.is_true("ShouldDecrementDesiredCapacity");
    if ids.is_empty() || ids.len() > INSTANCES_PER_CALL {
        return Err(Refusal::validation(format!(
            "At least one and at most {INSTANCES_PER_CALL} instances can be detached in one call"
        )));
    }
    for id in &ids {
        if world.group(&name).leaving.iter().any(|leaving| leaving.instance_id == *id) {
            return Err(Refusal::validation(format!("The instance {id} is not in InService or Standby.")));
        }
        let Some(member) = members(&group).iter().find(|member| member_id(member) == id) else {
            return Err(Refusal::validation(format!("The instance {id} is not part of Auto Scaling group {name}.")));
        };
        let mut member = member.clone();
        correct_member(world, &mut member);
        if !matches!(member.text_at(&["LifecycleState"]), "InService" | "Standby") {
            return Err(Refusal::validation(format!("The instance {id} is not in InService or Standby.")));
        }
    }
    let sizes = world.group(&name).clone();
    let count = ids.len() as i64;
    if decrement && sizes.desired - count < sizes.min {
        let plural = if count == 1 { "" } else { "s" };
        return Err(Refusal::validation(format!(
            "AutoScalingGroup {name} has min-size={}, max-size={}, and desired-size={}. To detach {count} instance{plural}, please update the AutoScalingGroup sizes appropriately.",
            sizes.min, sizes.max, sizes.desired
        )));
    }
    leave(stage, world, &group, &ids).await?;
    let after = if decrement { sizes.desired - count } else { sizes.desired };
    world.group(&name).desired = after;
    let cause = format!(
        "At {} instance was detached in response to a user request, shrinking the capacity from {} to {after}.",
        timestamp(now()),
        sizes.desired
    );
    let mut activities = Vec::new();
    for id in &ids {
        if let Some(state) = world.instances.get_mut(id) {
            state.member_since = None;
        }
        let activity = add_activity(world, &name, &format!("Detaching EC2 instance: {id}"), &cause);
        activities.push(activity_xml("member", &name, &activity));
    }
    if !decrement {
        schedule_repair(world, &name);
        world.advance_one(stage, &name).await?;
    }
    Ok(query_answer(&call.action, XMLNS, Some(Element::new("").list("Activities", activities))))
}

async fn terminate(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let id = call.params.get("InstanceId").unwrap_or("").to_owned();
    let decrement = call.params.is_true("ShouldDecrementDesiredCapacity");
    let missing =
        || Refusal::validation(format!("Instance Id not found - No managed instance found for instance ID: {id}"));
    let terminating = world
        .groups
        .iter()
        .find(|(_, group)| {
            group.leaving.iter().any(|leaving| leaving.instance_id == id && leaving.how == LeavingHow::Terminating)
        })
        .map(|(name, _)| name.clone());
    if let Some(name) = terminating {
        return terminate_again(world, call, &name, &id, decrement);
    }
    let name = group_of(stage, world, &id).await?.ok_or_else(missing)?;
    let group = view(stage, world, &name).await?;
    let member = members(&group).iter().find(|member| member_id(member) == id).cloned().ok_or_else(missing)?;
    let sizes = world.group(&name).clone();
    if decrement && sizes.desired - 1 < sizes.min {
        return Err(Refusal::validation(format!(
            "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.",
            sizes.min
        )));
    }
    let after = if decrement { sizes.desired - 1 } else { sizes.desired };
    world.group(&name).desired = after;
    let cause = if decrement {
        format!(
            "At {} instance {id} was taken out of service in response to a user request, shrinking the capacity from {} to {after}.",
            timestamp(now()),
            sizes.desired
        )
    } else {
        format!("At {} instance {id} was taken out of service in response to a user request.", timestamp(now()))
    };
    let activity = take_out(stage, world, &group, &member, &cause).await?;
    if !decrement {
        schedule_repair(world, &name);
        world.advance_one(stage, &name).await?;
    }
    let activity = activity_xml("Activity", &name, &activity);
    Ok(query_answer(&call.action, XMLNS, Some(Element::new("").with(activity))))
}

/// The question that AWS's documents leave open; both answers can be had.
fn terminate_again(world: &mut World, call: &Call, name: &str, id: &str, decrement: bool) -> Result<Answer, Refusal> {
    if !world.settings.second_decrement_counts {
        return Err(Refusal::new(400, "ScalingActivityInProgress", format!("Instance {id} is terminating already")));
    }
    if decrement {
        let group = world.group(name);
        if group.desired - 1 < group.min {
            return Err(Refusal::validation(format!("Currently, desiredSize equals minSize ({}).", group.min)));
        }
        group.desired -= 1;
    }
    let activity = add_activity(world, name, &format!("Terminating EC2 instance: {id}"), "");
    schedule_repair(world, name);
    Ok(query_answer(&call.action, XMLNS, Some(Element::new("").with(activity_xml("Activity", name, &activity)))))
}

/// Removes members in moto. It must not react: its own desired goes down with them.
async fn leave(stage: &Stage, world: &World, group: &Element, ids: &[String]) -> Result<(), Refusal> {
    let mut params = Params::of([
        ("AutoScalingGroupName", group.text_at(&["AutoScalingGroupName"])),
        ("ShouldDecrementDesiredCapacity", "true"),
    ]);
    for (index, id) in ids.iter().enumerate() {
        params.set(&format!("InstanceIds.member.{}", index + 1), id);
    }
    stage.moto.ask(&world.place, "autoscaling", "DetachInstances", &params).await?;
    deregister(stage, world, group, ids).await
}

/// Takes one member out by the group's own hand and ends it, at once or after the draining that the test asked for.
async fn take_out(
    stage: &Stage,
    world: &mut World,
    group: &Element,
    member: &Element,
    cause: &str,
) -> Result<Activity, Refusal> {
    let name = group.text_at(&["AutoScalingGroupName"]).to_owned();
    let id = member_id(member).to_owned();
    leave(stage, world, group, std::slice::from_ref(&id)).await?;
    // Detaching took the group's tag; a member that its group terminates keeps it.
    let tag = Params::of([
        ("ResourceId.1", id.as_str()),
        ("Tag.1.Key", "aws:autoscaling:groupName"),
        ("Tag.1.Value", name.as_str()),
    ]);
    stage.moto.ask(&world.place, "ec2", "CreateTags", &tag).await?;
    let mut activity = add_activity(world, &name, &format!("Terminating EC2 instance: {id}"), cause);
    if world.settings.terminating_seconds > 0.0 {
        let mut member = member.clone();
        correct_member(world, &mut member);
        let until = now() + world.settings.terminating_seconds;
        // The activity stays open as long as the member is on its way out.
        activity.end = None;
        activity.status = "InProgress".to_owned();
        let group = world.group(&name);
        group.leaving.push(Leaving { instance_id: id, member, until, how: LeavingHow::Terminating });
        if let Some(last) = group.activities.last_mut() {
            *last = activity.clone();
        }
    } else {
        end_instance(stage, world, &id).await?;
    }
    Ok(activity)
}

async fn end_instance(stage: &Stage, world: &mut World, id: &str) -> Result<(), Refusal> {
    stage.moto.ask(&world.place, "ec2", "TerminateInstances", &Params::of([("InstanceId.1", id)])).await?;
    note_end(world, id);
    Ok(())
}

/// Remembers that an instance is gone: its spot request ends with it.
pub fn note_end(world: &mut World, id: &str) {
    if let Some(state) = world.instances.get_mut(id) {
        state.interrupt_at = None;
        state.member_since = None;
        if let Some(spot) = &mut state.spot
            && spot.state == "active"
        {
            spot.state = "closed".to_owned();
            spot.status_code = "instance-terminated-by-user".to_owned();
        }
    }
}

/// An instance ends behind its group's back: by TerminateInstances, or taken back by EC2. The group notices later.
pub async fn lose(stage: &Stage, world: &mut World, id: &str) -> Result<(), Refusal> {
    let Some(name) = group_of(stage, world, id).await? else {
        return end_instance(stage, world, id).await;
    };
    let group = view(stage, world, &name).await?;
    let Some(mut member) = members(&group).iter().find(|member| member_id(member) == id).cloned() else {
        return end_instance(stage, world, id).await;
    };
    correct_member(world, &mut member);
    leave(stage, world, &group, &[id.to_owned()]).await?;
    end_instance(stage, world, id).await?;
    let until = now() + world.settings.repair_seconds;
    world.group(&name).leaving.push(Leaving { instance_id: id.to_owned(), member, until, how: LeavingHow::Unnoticed });
    finish_leaving(stage, world, &name, now()).await?;
    world.advance_one(stage, &name).await
}

/// Ends what is due to leave, and lets the group look for a replacement.
pub async fn finish_leaving(stage: &Stage, world: &mut World, name: &str, now: f64) -> Result<(), Refusal> {
    let group = world.group(name);
    let (due, rest): (Vec<Leaving>, Vec<Leaving>) = group.leaving.drain(..).partition(|leaving| leaving.until <= now);
    group.leaving = rest;
    for leaving in due {
        let id = &leaving.instance_id;
        match leaving.how {
            LeavingHow::Terminating => {
                end_instance(stage, world, id).await?;
                for activity in &mut world.group(name).activities {
                    if activity.end.is_none() && activity.description.ends_with(id.as_str()) {
                        activity.end = Some(now);
                        activity.status = "Successful".to_owned();
                    }
                }
            }
            LeavingHow::Unnoticed => {
                let cause = format!(
                    "At {} an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.",
                    timestamp(now)
                );
                add_activity(world, name, &format!("Terminating EC2 instance: {id}"), &cause);
                world.group(name).repair_at = Some(now);
            }
        }
    }
    Ok(())
}

fn schedule_repair(world: &mut World, name: &str) {
    world.group(name).repair_at = Some(now());
}

/// Launches what is missing to desired, as the group would.
pub async fn repair(stage: &Stage, world: &mut World, name: &str) -> Result<(), Refusal> {
    let group = view(stage, world, name).await?;
    let missing = world.group(name).desired - counted(world, &group);
    if missing > 0 && !is_suspended(&group, "Launch") {
        let cause = format!(
            "At {} an instance was started in response to a difference between desired and actual capacity, increasing the capacity.",
            timestamp(now())
        );
        launch_members(stage, world, &group, missing as usize, &cause).await?;
    }
    if missing < 0 && !is_suspended(&group, "Terminate") {
        let cause = format!(
            "At {} an instance was taken out of service in response to a difference between desired and actual capacity.",
            timestamp(now())
        );
        for victim in scale_in_victims(world, &group, (-missing) as usize) {
            take_out(stage, world, &group, &victim, &cause).await?;
        }
    }
    Ok(())
}

impl World {
    /// Repairs one group now if it is due: what AWS does "at once" after a call without decrement.
    async fn advance_one(&mut self, stage: &Stage, name: &str) -> Result<(), Refusal> {
        if self.group(name).repair_at.is_some_and(|at| at <= now()) {
            self.group(name).repair_at = None;
            repair(stage, self, name).await?;
        }
        Ok(())
    }
}

pub fn add_activity(world: &mut World, group: &str, description: &str, cause: &str) -> Activity {
    let activity = Activity {
        id: world.id("activity-"),
        description: description.to_owned(),
        cause: cause.to_owned(),
        start: now(),
        end: Some(now()),
        status: "Successful".to_owned(),
        details: "{}".to_owned(),
    };
    world.group(group).activities.push(activity.clone());
    activity
}

// ---- the rest -----------------------------------------------------------------------------------------------------------

async fn standby(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    let group = view(stage, world, &name).await?;
    let ids = call.params.list("InstanceIds.member");
    let (from, step) = if call.action == "EnterStandby" { ("InService", -1) } else { ("Standby", 1) };
    for id in &ids {
        let Some(member) = members(&group).iter().find(|member| member_id(member) == id) else {
            return Err(Refusal::validation(format!("The instance {id} is not part of Auto Scaling group {name}.")));
        };
        if member.text_at(&["LifecycleState"]) != from {
            return Err(Refusal::validation(format!("The instance {id} is not in {from}.")));
        }
    }
    let moves_desired = call.action == "ExitStandby" || call.params.is_true("ShouldDecrementDesiredCapacity");
    let sizes = world.group(&name).clone();
    let desired = if moves_desired { sizes.desired + step * ids.len() as i64 } else { sizes.desired };
    if desired < sizes.min || desired > sizes.max {
        return Err(Refusal::validation(format!(
            "AutoScalingGroup {name} has min-size={}, max-size={}, and desired-size={}. To place into or return from standby {} instance, please update the AutoScalingGroup sizes appropriately.",
            sizes.min,
            sizes.max,
            sizes.desired,
            ids.len()
        )));
    }
    // moto moves its own desired; told to decrement it launches nothing by itself.
    let mut params = call.params.clone();
    if call.action == "EnterStandby" {
        params.set("ShouldDecrementDesiredCapacity", "true");
    }
    let answer = stage.moto.forward_with(call, &params).await?;
    tree(&call.service, &call.action, &answer)?;
    world.group(&name).desired = desired;
    if !moves_desired {
        repair(stage, world, &name).await?;
    }
    Ok(answer)
}

async fn protect(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    let group = view(stage, world, &name).await?;
    for id in call.params.list("InstanceIds.member") {
        if !members(&group).iter().any(|member| member_id(member) == id) {
            return Err(Refusal::validation(format!("The instance {id} is not part of Auto Scaling group {name}.")));
        }
    }
    stage.moto.forward(call).await
}

async fn processes(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = group_name(call).to_owned();
    view(stage, world, &name).await?;
    for process in call.params.list("ScalingProcesses.member") {
        if !PROCESSES.contains(&process.as_str()) {
            return Err(Refusal::validation(format!("Invalid process name: {process}")));
        }
    }
    let answer = stage.moto.forward(call).await?;
    if call.action == "ResumeProcesses" {
        schedule_repair(world, &name);
        world.advance_one(stage, &name).await?;
    }
    Ok(answer)
}

async fn tags(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let tags = call.params.items("Tags.member");
    check_tags(&tags)?;
    for tag in &tags {
        let name = tag.get("ResourceId").unwrap_or("");
        let group = view(stage, world, name).await?;
        let known = group.items(&["Tags"]);
        let is_new = !known.iter().any(|known| Some(known.text_at(&["Key"])) == tag.get("Key"));
        if call.action == "CreateOrUpdateTags" && is_new && known.len() >= 50 {
            return Err(Refusal::new(400, "LimitExceeded", "Tag limit of 50 exceeded"));
        }
    }
    stage.moto.forward(call).await
}

fn check_tags(tags: &[Params]) -> Result<(), Refusal> {
    if tags.len() > 25 {
        return Err(Refusal::validation("At most 25 tags can be given in one call"));
    }
    for tag in tags {
        let key = tag.get("Key").unwrap_or("");
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refusal::validation(format!(
                "Tag keys starting with 'aws:' are reserved for internal use: {key}"
            )));
        }
        if key.is_empty() || key.chars().count() > 128 {
            return Err(Refusal::validation(format!(
                "1 validation error detected: the tag key '{key}' must have 1 to 128 characters"
            )));
        }
        if tag.get("Value").unwrap_or("").chars().count() > 256 {
            return Err(Refusal::validation(format!(
                "1 validation error detected: the value of tag '{key}' must have at most 256 characters"
            )));
        }
    }
    Ok(())
}
