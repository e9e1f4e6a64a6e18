//! EC2 as strict as AWS, with the answers that moto lacks.

use crate::Stage;
use crate::autoscaling;
use crate::fleet;
use crate::launch;
use crate::market::Platform;
use crate::moto::tree;
use crate::wire::{Answer, Call, Params, Refusal, ec2_answer};
use crate::world::{InstanceState, TemplateRef, World, digest, now, timestamp};
use crate::xml::Element;

pub async fn handle(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    match call.action.as_str() {
        "CreateFleet" => fleet::create(stage, world, call).await,
        "RunInstances" => run_instances(stage, world, call).await,
        "TerminateInstances" => terminate(stage, world, call).await,
        "CreateTags" | "DeleteTags" => tags(stage, call).await,
        "CreateLaunchTemplate" => create_template(stage, world, call).await,
        "DescribeLaunchTemplateVersions" => describe_template_versions(stage, call).await,
        "DescribeInstances" => describe_instances(stage, world, call).await,
        "DescribeInstanceStatus" => describe_status(stage, world, call).await,
        "DescribeInstanceTypes" => describe_types(stage, call),
        "DescribeInstanceTypeOfferings" => describe_offerings(stage, call),
        "DescribeSpotPriceHistory" => describe_spot_prices(stage, world, call),
        "DescribeSpotInstanceRequests" => describe_spot_requests(world, call),
        "DescribeImages" => describe_images(stage, call).await,
        _ => stage.moto.forward(call).await,
    }
}

/// Checks MaxResults as EC2 does.
fn max_results(call: &Call, least: i64, most: i64) -> Result<Option<usize>, Refusal> {
    match call.params.number("MaxResults") {
        None => Ok(None),
        Some(wanted) if wanted < least || wanted > most => Err(Refusal::invalid(format!(
            "Value ( {wanted} ) for parameter maxResults is invalid. Expecting a value between {least} and {most}."
        ))),
        Some(wanted) => Ok(Some(wanted as usize)),
    }
}

/// Where a page starts: our tokens are offsets.
fn offset(call: &Call) -> Result<usize, Refusal> {
    match call.params.get("NextToken") {
        None | Some("") => Ok(0),
        Some(token) => token
            .strip_prefix("offset-")
            .and_then(|offset| offset.parse().ok())
            .ok_or_else(|| Refusal::new(400, "InvalidNextToken", "The token is not valid")),
    }
}

/// One page of a list, with the token of the next.
fn page(items: Vec<Element>, start: usize, size: usize) -> (Vec<Element>, Option<String>) {
    let more = items.len() > start + size;
    (items.into_iter().skip(start).take(size).collect(), more.then(|| format!("offset-{}", start + size)))
}

/// The filters of a call, by name.
fn filters(call: &Call) -> Vec<(String, Vec<String>)> {
    call.params
        .items("Filter")
        .iter()
        .map(|filter| (filter.get("Name").unwrap_or("").to_owned(), filter.list("Value")))
        .collect()
}

/// EC2's wildcards: `*` for any characters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    fn at(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| at(rest, &text[skip..])),
            Some((b'?', rest)) => !text.is_empty() && at(rest, &text[1..]),
            Some((first, rest)) => text.first() == Some(first) && at(rest, &text[1..]),
        }
    }
    at(pattern.as_bytes(), text.as_bytes())
}

fn any_matches(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

// ---- the market ---------------------------------------------------------------------------------------------------------

fn describe_types(stage: &Stage, call: &Call) -> Result<Answer, Refusal> {
    const PAGE: usize = 100;
    let names = call.params.list("InstanceType");
    if names.len() > PAGE {
        return Err(Refusal::invalid(format!("At most {PAGE} instance types can be given")));
    }
    let size = max_results(call, 5, PAGE as i64)?.unwrap_or(PAGE);
    let offered: Vec<&str> = stage.market.offered(&call.region).map(|(name, _)| name).collect();
    let unknown: Vec<&String> = names.iter().filter(|name| !offered.contains(&name.as_str())).collect();
    if !unknown.is_empty() {
        let list = unknown.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Refusal::new(
            400,
            "InvalidInstanceType",
            format!("The following supplied instance types do not exist: [{list}]"),
        ));
    }
    let filters = filters(call);
    let mut found = Vec::new();
    for name in offered {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let Some(info) = stage.market.types.get(name) else { continue };
        let mut fits = true;
        for (filter, values) in &filters {
            let have = type_values(&info.json, filter)?;
            fits &= have.iter().any(|have| any_matches(values, have));
        }
        if fits {
            found.push(info.xml.clone());
        }
    }
    let (page, token) = page(found, offset(call)?, size);
    Ok(ec2_answer(&call.action, Element::new("").list("instanceTypeSet", page).maybe("nextToken", token)))
}

/// What a filter of DescribeInstanceTypes looks at.
fn type_values(json: &serde_json::Value, filter: &str) -> Result<Vec<String>, Refusal> {
    let value = match filter {
        "instance-type" => &json["InstanceType"],
        "current-generation" => &json["CurrentGeneration"],
        "bare-metal" => &json["BareMetal"],
        "hypervisor" => &json["Hypervisor"],
        "burstable-performance-supported" => &json["BurstablePerformanceSupported"],
        "instance-storage-supported" => &json["InstanceStorageSupported"],
        "supported-usage-class" => &json["SupportedUsageClasses"],
        "supported-virtualization-type" => &json["SupportedVirtualizationTypes"],
        "supported-root-device-type" => &json["SupportedRootDeviceTypes"],
        "supported-boot-mode" => &json["SupportedBootModes"],
        "processor-info.supported-architecture" => &json["ProcessorInfo"]["SupportedArchitectures"],
        "vcpu-info.default-vcpus" => &json["VCpuInfo"]["DefaultVCpus"],
        "memory-info.size-in-mib" => &json["MemoryInfo"]["SizeInMiB"],
        other => return Err(unknown_filter(other)),
    };
    Ok(match value {
        serde_json::Value::Array(items) => items.iter().map(plain).collect(),
        other => vec![plain(other)],
    })
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn unknown_filter(name: &str) -> Refusal {
    Refusal::invalid(format!("The filter '{name}' is invalid"))
}

fn describe_offerings(stage: &Stage, call: &Call) -> Result<Answer, Refusal> {
    const PAGE: usize = 1000;
    let size = max_results(call, 5, PAGE as i64)?.unwrap_or(PAGE);
    let filters = filters(call);
    if let Some((name, _)) = filters.iter().find(|(name, _)| name != "instance-type" && name != "location") {
        return Err(unknown_filter(name));
    }
    let kind = call.params.get("LocationType").unwrap_or("region");
    let region = [call.region.clone()];
    let mut found = Vec::new();
    for (name, zones) in stage.market.offered(&call.region) {
        let locations = match kind {
            "region" => &region[..],
            "availability-zone" => zones,
            other => return Err(Refusal::invalid(format!("Value ({other}) for parameter LocationType is invalid"))),
        };
        for location in locations {
            let fits = filters
                .iter()
                .all(|(filter, values)| any_matches(values, if filter == "location" { location } else { name }));
            if fits {
                found.push(
                    Element::new("item")
                        .field("instanceType", name)
                        .field("locationType", kind)
                        .field("location", location),
                );
            }
        }
    }
    let (page, token) = page(found, offset(call)?, size);
    Ok(ec2_answer(&call.action, Element::new("").list("instanceTypeOfferingSet", page).maybe("nextToken", token)))
}

/// Ninety days of history; with StartTime = now exactly the price that is valid in each pool.
fn describe_spot_prices(stage: &Stage, world: &World, call: &Call) -> Result<Answer, Refusal> {
    const PAGE: usize = 1000;
    const HISTORY_SECONDS: i64 = 90 * 86_400;
    // AWS takes larger numbers too, but never answers more rows than this.
    let size = max_results(call, 1, i64::from(i32::MAX))?.unwrap_or(PAGE).min(PAGE);
    let filters = filters(call);
    let known = ["availability-zone", "instance-type", "product-description"];
    if let Some((name, _)) = filters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(unknown_filter(name));
    }
    let wanted = |name: &str, direct: Vec<String>| -> Vec<Vec<String>> {
        let filtered = filters.iter().filter(|(filter, _)| filter == name).map(|(_, values)| values.clone());
        filtered.chain((!direct.is_empty()).then_some(direct)).collect()
    };
    let zone = call.params.get("AvailabilityZone").map(str::to_owned).into_iter().collect();
    let zones = wanted("availability-zone", zone);
    let types = wanted("instance-type", call.params.list("InstanceType"));
    let products = wanted("product-description", call.params.list("ProductDescription"));
    let now = now() as i64;
    let time = |key: &str| -> Result<Option<i64>, Refusal> {
        let Some(text) = call.params.get(key) else { return Ok(None) };
        let time: jiff::Timestamp = text.parse().map_err(|_| Refusal::invalid(format!("Invalid time {text}")))?;
        Ok(Some(time.as_second()))
    };
    let to = time("EndTime")?.unwrap_or(now).min(now);
    let from = time("StartTime")?.unwrap_or(now - HISTORY_SECONDS).clamp(now - HISTORY_SECONDS, now).min(to);
    let all = |patterns: &[Vec<String>], text: &str| patterns.iter().all(|patterns| any_matches(patterns, text));
    let start = offset(call)?;
    let mut row = 0;
    let mut rows = Vec::new();
    let mut token = None;
    'pools: for (name, zones_of_type) in stage.market.offered(&call.region).filter(|(name, _)| all(&types, name)) {
        for zone in zones_of_type.iter().filter(|zone| all(&zones, zone)) {
            for platform in Platform::ALL {
                let vpc = format!("{} (Amazon VPC)", platform.product());
                if !(all(&products, platform.product()) || all(&products, &vpc)) {
                    continue;
                }
                let mut history = stage.market.spot_history(&call.region, zone, name, platform, from, to);
                let commanded = world.pools.get(&(name.to_owned(), zone.clone())).and_then(|pool| pool.usd);
                if let (Some(usd), Some(newest)) = (commanded, history.first_mut()) {
                    newest.usd = usd;
                }
                for price in history {
                    row += 1;
                    if row <= start {
                        continue;
                    }
                    if rows.len() == size {
                        token = Some(format!("offset-{}", start + size));
                        break 'pools;
                    }
                    rows.push(
                        Element::new("item")
                            .field("instanceType", name)
                            .field("productDescription", platform.product())
                            .field("spotPrice", format!("{:.6}", price.usd))
                            .field("timestamp", timestamp(price.at as f64))
                            .field("availabilityZone", zone),
                    );
                }
            }
        }
    }
    // The end of the list is an empty token, not a missing one.
    Ok(ec2_answer(
        &call.action,
        Element::new("").list("spotPriceHistorySet", rows).field("nextToken", token.unwrap_or_default()),
    ))
}

/// Between the announcement of an end and the end.
const NOTICE_SECONDS: f64 = 120.0;

fn describe_spot_requests(world: &World, call: &Call) -> Result<Answer, Refusal> {
    let size = max_results(call, 5, 1000)?.unwrap_or(1000);
    let ids = call.params.list("SpotInstanceRequestId");
    let filters = filters(call);
    let mut found = Vec::new();
    for (instance_id, state) in &world.instances {
        let Some(spot) = &state.spot else { continue };
        if !ids.is_empty() && !ids.contains(&spot.request_id) {
            continue;
        }
        let status = match state.interrupt_at {
            Some(_) => "marked-for-termination",
            None => spot.status_code.as_str(),
        };
        let mut fits = true;
        for (filter, values) in &filters {
            let have = match filter.as_str() {
                "instance-id" => instance_id,
                "spot-instance-request-id" => &spot.request_id,
                "state" => &spot.state,
                "status-code" => status,
                "launch.instance-type" => &state.instance_type,
                "launched-availability-zone" => &state.zone,
                other => return Err(unknown_filter(other)),
            };
            fits &= any_matches(values, have);
        }
        if !fits {
            continue;
        }
        let launch = Element::new("launchSpecification")
            .field("imageId", &state.image)
            .field("instanceType", &state.instance_type)
            .field("subnetId", &state.subnet);
        let status = Element::new("status")
            .field("code", status)
            .field("message", format!("The status of the request is {status}."))
            .field("updateTime", timestamp(state.interrupt_at.map_or(spot.created, |end| end - NOTICE_SECONDS)));
        found.push(
            Element::new("item")
                .field("spotInstanceRequestId", &spot.request_id)
                .field("type", "one-time")
                .field("state", &spot.state)
                .with(status)
                .with(launch)
                .field("instanceId", instance_id)
                .field("createTime", timestamp(spot.created))
                .field("productDescription", spot.platform.product())
                .field("launchedAvailabilityZone", &state.zone)
                .field("instanceInterruptionBehavior", "terminate"),
        );
    }
    let missing =
        ids.iter().find(|id| !found.iter().any(|item| item.text_at(&["spotInstanceRequestId"]) == id.as_str()));
    if let (Some(id), true) = (missing, filters.is_empty()) {
        return Err(Refusal::new(
            400,
            "InvalidSpotInstanceRequestID.NotFound",
            format!("The spot instance request ID '{id}' does not exist"),
        ));
    }
    found.sort_by(|a, b| a.text_at(&["spotInstanceRequestId"]).cmp(b.text_at(&["spotInstanceRequestId"])));
    let (page, token) = page(found, offset(call)?, size);
    Ok(ec2_answer(&call.action, Element::new("").list("spotInstanceRequestSet", page).maybe("nextToken", token)))
}

// ---- instances ----------------------------------------------------------------------------------------------------------

/// Whether an instance has not finished booting yet, by the test's wish.
pub fn is_booting(world: &World, id: &str) -> bool {
    world.instances.get(id).is_some_and(|state| now() < state.launched + world.settings.boot_seconds)
}

/// Whether filters do not find an instance yet: they are eventually consistent on AWS.
fn is_lagging(world: &World, id: &str) -> bool {
    world.instances.get(id).is_some_and(|state| now() < state.launched + world.settings.lag_seconds)
}

/// These look at what the stage knows better than moto, so the stage applies them.
const OUR_FILTERS: [&str; 3] = ["instance-lifecycle", "instance-state-name", "spot-instance-request-id"];

/// What moto can filter by; for others it fails or, worse, answers everything.
const MOTO_FILTERS: [&str; 24] = [
    "architecture",
    "availability-zone",
    "group-id",
    "group-name",
    "image-id",
    "instance-group-id",
    "instance-group-name",
    "instance-id",
    "instance-state-code",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "key-name",
    "network-interface.private-dns-name",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "product-code",
    "reservation-id",
    "root-device-type",
    "subnet-id",
    "tag-key",
    "tag-value",
    "vpc-id",
];

async fn describe_instances(stage: &Stage, world: &World, call: &Call) -> Result<Answer, Refusal> {
    let ids = call.params.list("InstanceId");
    let size = max_results(call, 5, 1000)?;
    if !ids.is_empty() && size.is_some() {
        return Err(Refusal::new(
            400,
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    if ids.len() > 1000 {
        return Err(Refusal::invalid("At most 1000 instance IDs can be given in one call"));
    }
    let mut params = call.params.clone();
    params.remove_all("Filter");
    let mut ours = Vec::new();
    let mut number = 0;
    for (name, values) in filters(call) {
        if OUR_FILTERS.contains(&name.as_str()) {
            ours.push((name, values));
            continue;
        }
        if !MOTO_FILTERS.contains(&name.as_str()) && !name.starts_with("tag:") {
            return Err(unknown_filter(&name));
        }
        number += 1;
        params.set(&format!("Filter.{number}.Name"), name);
        for (index, value) in values.iter().enumerate() {
            params.set(&format!("Filter.{number}.Value.{}", index + 1), value);
        }
    }
    if ids.is_empty() && size.is_none() {
        params.set("MaxResults", "1000");
    }
    let mut root = stage.moto.forward_tree(call, &params).await?;
    if let Some(reservations) = root.get_mut("reservationSet") {
        for reservation in &mut reservations.children {
            if let Some(instances) = reservation.get_mut("instancesSet") {
                for instance in &mut instances.children {
                    correct_instance(stage, world, instance);
                }
                instances.children.retain(|instance| {
                    let is_hidden = ids.is_empty() && is_lagging(world, instance.text_at(&["instanceId"]));
                    !is_hidden && ours.iter().all(|(name, values)| any_matches(values, our_value(instance, name)))
                });
            }
        }
        reservations.children.retain(|reservation| !reservation.items(&["instancesSet"]).is_empty());
    }
    Ok(Answer::xml(&root))
}

fn our_value<'a>(instance: &'a Element, filter: &str) -> &'a str {
    match filter {
        "instance-lifecycle" => instance.text_at(&["instanceLifecycle"]),
        "spot-instance-request-id" => instance.text_at(&["spotInstanceRequestId"]),
        _ => instance.text_at(&["instanceState", "name"]),
    }
}

/// The fields of an instance that moto lacks or gets wrong.
fn correct_instance(stage: &Stage, world: &World, instance: &mut Element) {
    let id = instance.text_at(&["instanceId"]).to_owned();
    let platform = stage.platform_of(instance.text_at(&["imageId"]));
    instance.set("platformDetails", platform.product());
    instance.set("usageOperation", platform.usage_operation());
    if platform == Platform::Windows {
        instance.set("platform", "windows");
    }
    if instance.text_at(&["instanceState", "name"]) == "running" && is_booting(world, &id) {
        instance.put(Element::new("instanceState").field("code", "0").field("name", "pending"));
    }
    // With a network interface in the launch, moto knows the security groups on the interface only.
    if instance.items(&["groupSet"]).is_empty() {
        let interface =
            instance.items(&["networkInterfaceSet"]).first().and_then(|interface| interface.get("groupSet")).cloned();
        if let Some(groups) = interface {
            instance.put(groups);
        }
    }
    let Some(state) = world.instances.get(&id) else { return };
    match &state.spot {
        Some(spot) => {
            instance.set("instanceLifecycle", "spot");
            instance.set("spotInstanceRequestId", &spot.request_id);
            if instance.text_at(&["instanceState", "name"]) == "terminated"
                && spot.status_code == "instance-terminated-by-service"
            {
                instance.put(
                    Element::new("stateReason")
                        .field("code", "Server.SpotInstanceTermination")
                        .field("message", "Server.SpotInstanceTermination: Instance was terminated by EC2"),
                );
            }
        }
        None => instance.remove("instanceLifecycle"),
    }
}

async fn describe_status(stage: &Stage, world: &World, call: &Call) -> Result<Answer, Refusal> {
    let size = max_results(call, 5, 1000)?;
    let ids = call.params.list("InstanceId");
    if !ids.is_empty() && size.is_some() {
        return Err(Refusal::new(
            400,
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    if ids.len() > 100 {
        return Err(Refusal::invalid("At most 100 instance IDs can be given in one call"));
    }
    let mut question = Params::default();
    for (index, id) in ids.iter().enumerate() {
        question.set(&format!("InstanceId.{}", index + 1), id);
    }
    if ids.is_empty() {
        question.set("MaxResults", "1000");
    }
    let all = call.params.is_true("IncludeAllInstances");
    let answer = stage.moto.ask(&world.place, "ec2", "DescribeInstances", &question).await?;
    let mut found = Vec::new();
    for reservation in answer.items(&["reservationSet"]) {
        for instance in reservation.items(&["instancesSet"]) {
            let mut instance = instance.clone();
            correct_instance(stage, world, &mut instance);
            let state = instance.text_at(&["instanceState", "name"]).to_owned();
            if state != "running" && !all {
                continue;
            }
            let status = check_status(world, instance.text_at(&["instanceId"]), &state);
            let mut fits = true;
            for (filter, values) in filters(call) {
                let have = match filter.as_str() {
                    "instance-state-name" => state.as_str(),
                    "availability-zone" => instance.text_at(&["placement", "availabilityZone"]),
                    "instance-status.status" | "system-status.status" => status,
                    other => return Err(unknown_filter(other)),
                };
                fits &= any_matches(&values, have);
            }
            if fits {
                found.push(status_xml(&instance, status));
            }
        }
    }
    let (page, token) = page(found, offset(call)?, size.unwrap_or(1000));
    Ok(ec2_answer(&call.action, Element::new("").list("instanceStatusSet", page).maybe("nextToken", token)))
}

fn check_status(world: &World, id: &str, state: &str) -> &'static str {
    if state != "running" {
        return "not-applicable";
    }
    let settings = &world.settings;
    let passed = world
        .instances
        .get(id)
        .is_none_or(|known| now() >= known.launched + settings.boot_seconds + settings.checks_seconds);
    if passed { "ok" } else { "initializing" }
}

fn status_xml(instance: &Element, status: &str) -> Element {
    let detail = if status == "ok" { "passed" } else { "initializing" };
    let check = |name: &str| {
        let item = Element::new("item").field("name", "reachability").field("status", detail);
        Element::new(name).field("status", status).list("details", [item])
    };
    Element::new("item")
        .field("instanceId", instance.text_at(&["instanceId"]))
        .field("availabilityZone", instance.text_at(&["placement", "availabilityZone"]))
        .with(instance.get("instanceState").cloned().unwrap_or_default())
        .with(check("systemStatus"))
        .with(check("instanceStatus"))
}

async fn run_instances(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    check_tag_keys(
        &call
            .params
            .items("TagSpecification")
            .iter()
            .flat_map(|specification| specification.items("Tag"))
            .collect::<Vec<_>>(),
    )?;
    if let Some(answer) = replay(world, call)? {
        return Ok(answer);
    }
    let mut params = call.params.clone();
    let mut template: Option<TemplateRef> = None;
    let mut is_spot = params.get("InstanceMarketOptions.MarketType") == Some("spot");
    let spec = params.sub("LaunchTemplate");
    if !spec.is_empty() {
        let recipe = launch::from_template(stage, world, &spec).await?;
        params.remove_all("LaunchTemplate");
        is_spot |= recipe.is_spot;
        // What the call says goes over what the template says, structure by structure.
        for (name, value) in recipe.params.pairs() {
            let head = name.split('.').next().unwrap_or(name);
            let is_given = params
                .pairs()
                .any(|(given, _)| given.split('.').next() == Some(head) && call.params.get(given).is_some());
            if !is_given {
                params.set(name, value);
            }
        }
        if let (Some(subnet), false) = (call.params.get("SubnetId"), params.sub("NetworkInterface").is_empty()) {
            params.set("NetworkInterface.1.SubnetId", subnet);
            params.remove("SubnetId");
        }
        add_tags(&mut params, &recipe.instance_tags);
        template = recipe.template;
    }
    if is_spot {
        params.set("InstanceMarketOptions.MarketType", "spot");
    }
    let count = params.get("MaxCount").unwrap_or("1").to_owned();
    params.set("MinCount", count);
    let root = stage.moto.forward_tree(call, &params).await?;
    for instance in root.items(&["instancesSet"]) {
        let image = instance.text_at(&["imageId"]).to_owned();
        let spot = if is_spot { Some(launch::new_spot(stage, world, &image)) } else { None };
        let state = InstanceState {
            launched: now(),
            instance_type: instance.text_at(&["instanceType"]).to_owned(),
            zone: instance.text_at(&["placement", "availabilityZone"]).to_owned(),
            subnet: instance.text_at(&["subnetId"]).to_owned(),
            image,
            template: template.clone(),
            spot,
            ..InstanceState::default()
        };
        world.instances.insert(instance.text_at(&["instanceId"]).to_owned(), state);
    }
    let ids: Vec<String> =
        root.items(&["instancesSet"]).iter().map(|item| item.text_at(&["instanceId"]).to_owned()).collect();
    launch::protect(stage, world, &params, &ids).await?;
    remember(world, call, &root);
    Ok(Answer::xml(&root))
}

/// Adds instance tags to those of the call; the call's own win.
fn add_tags(params: &mut Params, tags: &[(String, String)]) {
    let specifications = params.items("TagSpecification");
    let position =
        specifications.iter().position(|specification| specification.get("ResourceType") == Some("instance"));
    let given = position.map(|index| specifications[index].items("Tag")).unwrap_or_default();
    let place = format!("TagSpecification.{}", position.unwrap_or(specifications.len()) + 1);
    params.set(&format!("{place}.ResourceType"), "instance");
    let mut number = given.len();
    for (key, value) in tags {
        if given.iter().any(|tag| tag.get("Key") == Some(key)) {
            continue;
        }
        number += 1;
        params.set(&format!("{place}.Tag.{number}.Key"), key);
        params.set(&format!("{place}.Tag.{number}.Value"), value);
    }
}

/// The answer of an earlier call with the same client token, or AWS's refusal when the parameters differ.
pub fn replay(world: &World, call: &Call) -> Result<Option<Answer>, Refusal> {
    let Some(token) = call.params.get("ClientToken") else { return Ok(None) };
    let Some((known, answer)) = world.tokens.get(&(call.action.clone(), token.to_owned())) else { return Ok(None) };
    if *known != digest(&call.params, &["ClientToken"]) {
        return Err(Refusal::new(
            400,
            "IdempotentParameterMismatch",
            "The client token you have provided is associated with a resource that is already deleted or was used with different parameters. Please use a different client token.",
        ));
    }
    Ok(Some(Answer::xml(answer)))
}

/// Remembers the answer to a call with a client token.
pub fn remember(world: &mut World, call: &Call, answer: &Element) {
    if let Some(token) = call.params.get("ClientToken") {
        let known = digest(&call.params, &["ClientToken"]);
        world.tokens.insert((call.action.clone(), token.to_owned()), (known, answer.clone()));
    }
}

async fn terminate(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let ids = call.params.list("InstanceId");
    let mut question = Params::default();
    for (index, id) in ids.iter().enumerate() {
        question.set(&format!("InstanceId.{}", index + 1), id);
    }
    let before = stage.moto.ask(&world.place, "ec2", "DescribeInstances", &question).await?;
    for id in &ids {
        let question = Params::of([("InstanceId", id.as_str()), ("Attribute", "disableApiTermination")]);
        let attribute = stage.moto.ask(&world.place, "ec2", "DescribeInstanceAttribute", &question).await?;
        if attribute.text_at(&["disableApiTermination", "value"]).eq_ignore_ascii_case("true") {
            return Err(Refusal::new(
                400,
                "OperationNotPermitted",
                format!(
                    "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
                ),
            ));
        }
    }
    let states: Vec<&Element> =
        before.items(&["reservationSet"]).iter().flat_map(|reservation| reservation.items(&["instancesSet"])).collect();
    let mut items = Vec::new();
    for id in &ids {
        let previous = states
            .iter()
            .find(|instance| instance.text_at(&["instanceId"]) == id)
            .and_then(|instance| instance.get("instanceState"));
        let previous = previous.cloned().unwrap_or_default();
        let is_gone = previous.text_at(&["name"]) == "terminated";
        if !is_gone {
            autoscaling::lose(stage, world, id).await?;
        }
        let (code, name) = if is_gone { ("48", "terminated") } else { ("32", "shutting-down") };
        items.push(
            Element::new("item")
                .field("instanceId", id)
                .with(Element::new("currentState").field("code", code).field("name", name))
                .with(Element { name: "previousState".to_owned(), ..previous }),
        );
    }
    Ok(ec2_answer(&call.action, Element::new("").list("instancesSet", items)))
}

/// "Tag keys are case-sensitive … aws: … is reserved": nobody but AWS writes such tags.
fn check_tag_keys(tags: &[Params]) -> Result<(), Refusal> {
    for tag in tags {
        let key = tag.get("Key").unwrap_or("");
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refusal::invalid("Tag keys starting with 'aws:' are reserved for internal use"));
        }
        if key.chars().count() > 128 {
            return Err(Refusal::invalid(format!("Tag key exceeds the maximum length of 128 characters: {key}")));
        }
        if tag.get("Value").unwrap_or("").chars().count() > 256 {
            return Err(Refusal::invalid(format!("Tag value exceeds the maximum length of 256 characters: {key}")));
        }
    }
    Ok(())
}

async fn tags(stage: &Stage, call: &Call) -> Result<Answer, Refusal> {
    check_tag_keys(&call.params.items("Tag"))?;
    stage.moto.forward(call).await
}

// ---- templates and images -----------------------------------------------------------------------------------------------

async fn create_template(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    check_tag_keys(
        &call
            .params
            .items("TagSpecification")
            .iter()
            .flat_map(|specification| specification.items("Tag"))
            .collect::<Vec<_>>(),
    )?;
    if let Some(answer) = replay(world, call)? {
        return Ok(answer);
    }
    let root = stage.moto.forward_tree(call, &call.params).await?;
    remember(world, call, &root);
    Ok(Answer::xml(&root))
}

async fn describe_template_versions(stage: &Stage, call: &Call) -> Result<Answer, Refusal> {
    max_results(call, 1, 200)?;
    let mut root = stage.moto.forward_tree(call, &call.params).await?;
    for version in root.get_mut("launchTemplateVersionSet").into_iter().flat_map(|set| &mut set.children) {
        // The template's own tags are no part of its data; moto mixes them in.
        if let Some(specifications) = version.at_mut(&["launchTemplateData", "tagSpecificationSet"]) {
            specifications
                .children
                .retain(|specification| specification.text_at(&["resourceType"]) != "launch-template");
        }
    }
    Ok(Answer::xml(&root))
}

async fn describe_images(stage: &Stage, call: &Call) -> Result<Answer, Refusal> {
    let answer = stage.moto.forward(call).await?;
    let mut root = tree(&call.service, &call.action, &answer)?;
    for image in root.get_mut("imagesSet").into_iter().flat_map(|set| &mut set.children) {
        let platform = stage.platform_of(image.text_at(&["imageId"]));
        image.set("platformDetails", platform.product());
        image.set("usageOperation", platform.usage_operation());
        if platform == Platform::Windows {
            image.set("platform", "windows");
        }
        image.set("enaSupport", "true");
        if image.value("bootMode").is_none() {
            image.set("bootMode", "uefi-preferred");
        }
    }
    Ok(Answer::xml(&root))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards_match_as_ec2_says() {
        assert!(matches("m5.*", "m5.large"));
        assert!(matches("*", ""));
        assert!(matches("m?.large", "m5.large"));
        assert!(!matches("m5", "m5.large"));
        assert!(!matches("m5.*", "m5d.large"));
    }
}
