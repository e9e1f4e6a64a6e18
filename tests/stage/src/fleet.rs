//! CreateFleet of type `instant`: chooses the capacity pool as asked, launches with all that the template says, and tells
//! pool by pool what could not be had.

use crate::Stage;
use crate::ec2::{remember, replay};
use crate::launch::{self, Recipe};
use crate::wire::{Answer, Call, Params, Refusal, ec2_answer};
use crate::world::World;
use crate::xml::Element;

/// One override, with all that decides whether it is taken.
struct Candidate {
    /// The override as it was asked for, for the answer.
    asked: Params,
    recipe: Recipe,
    subnet: String,
    zone: String,
    instance_type: String,
    usd: Option<f64>,
    /// Instances left in the pool; none: plenty.
    capacity: Option<i64>,
    priority: f64,
}

/// Why a pool was passed over.
struct PoolError {
    code: String,
    message: String,
}

pub async fn create(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    if call.params.get("Type") != Some("instant") {
        return Err(Refusal::gap("only fleets of type instant are played here"));
    }
    check_request(call)?;
    if let Some(answer) = replay(world, call)? {
        return Ok(answer);
    }
    let is_spot =
        call.params.get("TargetCapacitySpecification.DefaultTargetCapacityType").unwrap_or("on-demand") == "spot";
    let wanted = call.params.number("TargetCapacitySpecification.TotalTargetCapacity").unwrap_or(0);
    let mut candidates = candidates(stage, world, call, is_spot).await?;
    order(&mut candidates, strategy(call, is_spot));

    let fleet_id = world.id("fleet-");
    let mut errors: Vec<Element> = Vec::new();
    let mut instances: Vec<Element> = Vec::new();
    let mut left = wanted;
    for candidate in &mut candidates {
        if left == 0 {
            break;
        }
        if let Some(error) = refusal_of_pool(stage, world, &call.region, candidate, is_spot) {
            errors.push(error_xml(candidate, &error, is_spot));
            continue;
        }
        let take = candidate.capacity.map_or(left, |capacity| capacity.min(left));
        candidate.recipe.is_spot = is_spot;
        candidate.recipe.tag("aws:ec2:fleet-id", &fleet_id);
        for (key, value) in request_tags(call) {
            candidate.recipe.tag(&key, &value);
        }
        let recipe = candidate.recipe.clone();
        match launch::run(stage, world, &recipe, &candidate.subnet, take as usize).await {
            Ok(ids) => {
                if let Some(pool) = world.pools.get_mut(&(candidate.instance_type.clone(), candidate.zone.clone()))
                    && let Some(capacity) = &mut pool.capacity
                {
                    *capacity -= take;
                }
                left -= take;
                instances.push(instance_xml(candidate, &ids, is_spot));
                if candidate.capacity.is_some() && left > 0 {
                    errors.push(error_xml(candidate, &no_capacity(candidate), is_spot));
                }
            }
            // A wrong template fails the launch, not the call.
            Err(refusal) if refusal.code != "StageGap" => {
                let error = Element::new("item")
                    .with(echo(candidate))
                    .field("lifecycle", lifecycle(is_spot))
                    .field("errorCode", refusal.code)
                    .field("errorMessage", refusal.message);
                errors.push(error);
            }
            Err(refusal) => return Err(refusal),
        }
    }
    let result =
        Element::new("").field("fleetId", &fleet_id).list("errorSet", errors).list("fleetInstanceSet", instances);
    let answer = ec2_answer(&call.action, result);
    let root = Element::parse(&answer.body).map_err(Refusal::gap)?;
    remember(world, call, &root);
    Ok(answer)
}

fn lifecycle(is_spot: bool) -> &'static str {
    if is_spot { "spot" } else { "on-demand" }
}

/// What AWS refuses before it looks at any pool.
fn check_request(call: &Call) -> Result<(), Refusal> {
    let total = call.params.number("TargetCapacitySpecification.TotalTargetCapacity").unwrap_or(0);
    if total < 1 {
        return Err(Refusal::new(400, "InvalidFleetConfig", "TotalTargetCapacity must be at least 1"));
    }
    if call.params.items("LaunchTemplateConfigs").is_empty() {
        return Err(Refusal::new(
            400,
            "MissingParameter",
            "The request must contain the parameter LaunchTemplateConfigs",
        ));
    }
    for specification in call.params.items("TagSpecification") {
        let kind = specification.get("ResourceType").unwrap_or("");
        // "you can only specify fleet and instance": volumes and network interfaces get theirs from the template.
        if !matches!(kind, "fleet" | "instance") {
            return Err(Refusal::invalid(format!(
                "'{kind}' is not a valid taggable resource type for this operation."
            )));
        }
        for tag in specification.items("Tag") {
            if tag.get("Key").unwrap_or("").to_ascii_lowercase().starts_with("aws:") {
                return Err(Refusal::invalid("Tag keys starting with 'aws:' are reserved for internal use"));
            }
        }
    }
    if call.params.get("ClientToken").is_some_and(|token| token.len() > 64) {
        return Err(Refusal::invalid("The client token must have at most 64 characters"));
    }
    Ok(())
}

fn strategy(call: &Call, is_spot: bool) -> &str {
    let key = if is_spot { "SpotOptions.AllocationStrategy" } else { "OnDemandOptions.AllocationStrategy" };
    call.params.get(key).unwrap_or("lowest-price")
}

async fn candidates(stage: &Stage, world: &mut World, call: &Call, is_spot: bool) -> Result<Vec<Candidate>, Refusal> {
    let now = crate::world::now() as i64;
    let mut candidates = Vec::new();
    for config in call.params.items("LaunchTemplateConfigs") {
        let base = launch::from_template(stage, world, &config.sub("LaunchTemplateSpecification")).await?;
        let mut overrides = config.items("Overrides");
        if overrides.is_empty() {
            overrides.push(Params::default());
        }
        for asked in overrides {
            let mut recipe = base.clone();
            apply_override(&mut recipe, &asked);
            let instance_type = recipe.instance_type().to_owned();
            let in_template = recipe.params.get("NetworkInterface.1.SubnetId").or(recipe.params.get("SubnetId"));
            let Some(subnet) = asked.get("SubnetId").or(in_template).map(str::to_owned) else {
                return Err(Refusal::gap("an override without subnet, in a VPC without defaults"));
            };
            if subnet.contains(',') {
                return Err(Refusal::new(
                    400,
                    "InvalidFleetConfig",
                    "A fleet of type instant takes one subnet per override",
                ));
            }
            let zone = world.subnet(stage, &subnet).await?.zone;
            let platform = stage.platform_of(recipe.image());
            let usd = if is_spot {
                world.spot_usd(stage, &zone, &instance_type, platform, now)
            } else {
                stage.market.on_demand(&world.place.region, &instance_type, platform)
            };
            let pool = world.pools.get(&(instance_type.clone(), zone.clone()));
            candidates.push(Candidate {
                capacity: pool.and_then(|pool| pool.capacity),
                priority: asked.get("Priority").and_then(|text| text.parse().ok()).unwrap_or(f64::MAX),
                asked,
                recipe,
                subnet,
                zone,
                instance_type,
                usd,
            });
        }
    }
    Ok(candidates)
}

fn apply_override(recipe: &mut Recipe, asked: &Params) {
    for key in ["InstanceType", "ImageId", "KeyName"] {
        if let Some(value) = asked.get(key) {
            recipe.params.set(key, value);
        }
    }
    for key in ["Placement", "IamInstanceProfile", "MetadataOptions"] {
        let inner = asked.sub(key);
        if !inner.is_empty() {
            recipe.params.put_sub(key, &inner);
        }
    }
    // Whether AWS merges the disks device by device is not documented; the whole list is replaced here.
    let disks = asked.items("BlockDeviceMapping");
    if !disks.is_empty() {
        recipe.params.remove_all("BlockDeviceMapping");
        for (index, disk) in disks.iter().enumerate() {
            recipe.params.put_sub(&format!("BlockDeviceMapping.{}", index + 1), disk);
        }
    }
}

/// The order in which the pools are asked. How AWS weighs price against capacity is its secret; the rules here are:
/// an empty pool is never the better one, and among the others the cheapest wins.
fn order(candidates: &mut [Candidate], strategy: &str) {
    let depth = |candidate: &Candidate| candidate.capacity.unwrap_or(i64::MAX);
    let usd = |candidate: &Candidate| candidate.usd.unwrap_or(f64::MAX);
    match strategy {
        "capacity-optimized" => candidates.sort_by(|a, b| depth(b).cmp(&depth(a)).then(usd(a).total_cmp(&usd(b)))),
        "capacity-optimized-prioritized" | "prioritized" => {
            candidates.sort_by(|a, b| (depth(a) == 0).cmp(&(depth(b) == 0)).then(a.priority.total_cmp(&b.priority)))
        }
        "price-capacity-optimized" => {
            candidates.sort_by(|a, b| (depth(a) == 0).cmp(&(depth(b) == 0)).then(usd(a).total_cmp(&usd(b))))
        }
        "lowest-price" => candidates.sort_by(|a, b| usd(a).total_cmp(&usd(b))),
        // `diversified` takes them as they come: one instance at a time it makes no difference.
        _ => {}
    }
}

fn refusal_of_pool(
    stage: &Stage,
    world: &World,
    region: &str,
    candidate: &Candidate,
    is_spot: bool,
) -> Option<PoolError> {
    let Candidate { instance_type, zone, .. } = candidate;
    if !stage.market.types.contains_key(instance_type) {
        let message = format!("The instance type '{instance_type}' does not exist");
        return Some(PoolError { code: "InvalidParameterValue".to_owned(), message });
    }
    if !stage.market.is_offered(region, instance_type, zone) {
        let message = format!(
            "Your requested instance type ({instance_type}) is not supported in your requested Availability Zone ({zone})."
        );
        return Some(PoolError { code: "InvalidFleetConfiguration".to_owned(), message });
    }
    if !architecture_fits(stage, candidate) {
        let message =
            format!("The architecture of the specified AMI is not supported by instance type '{instance_type}'.");
        return Some(PoolError { code: "InvalidParameterValue".to_owned(), message });
    }
    let pool = world.pools.get(&(instance_type.clone(), zone.clone()));
    if let Some(code) = pool.and_then(|pool| pool.error.clone()) {
        return Some(PoolError { message: format!("{code}, as the test wished"), code });
    }
    if is_spot && candidate.usd.is_none() {
        let message =
            format!("There is no Spot capacity available that matches your request for {instance_type} in {zone}.");
        return Some(PoolError { code: "UnfulfillableCapacity".to_owned(), message });
    }
    let max_price = candidate.asked.get("MaxPrice").and_then(|text| text.parse::<f64>().ok());
    if let (true, Some(max), Some(usd)) = (is_spot, max_price, candidate.usd)
        && usd > max
    {
        let message = format!(
            "Your Spot request price of {max} is lower than the minimum required Spot request fulfillment price of {usd}."
        );
        return Some(PoolError { code: "SpotMaxPriceTooLow".to_owned(), message });
    }
    if pool.is_some_and(|pool| pool.capacity == Some(0)) {
        return Some(no_capacity(candidate));
    }
    None
}

fn architecture_fits(stage: &Stage, candidate: &Candidate) -> bool {
    let Some(architecture) = stage.architecture_of(candidate.recipe.image()) else { return true };
    let Some(info) = stage.market.types.get(&candidate.instance_type) else { return true };
    info.json["ProcessorInfo"]["SupportedArchitectures"]
        .as_array()
        .is_none_or(|known| known.iter().any(|known| known == architecture))
}

fn no_capacity(candidate: &Candidate) -> PoolError {
    let Candidate { instance_type, zone, .. } = candidate;
    let message = format!(
        "We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested ({zone})."
    );
    PoolError { code: "InsufficientInstanceCapacity".to_owned(), message }
}

fn request_tags(call: &Call) -> Vec<(String, String)> {
    call.params
        .items("TagSpecification")
        .iter()
        .filter(|specification| specification.get("ResourceType") == Some("instance"))
        .flat_map(|specification| specification.items("Tag"))
        .map(|tag| (tag.get("Key").unwrap_or("").to_owned(), tag.get("Value").unwrap_or("").to_owned()))
        .collect()
}

/// The template and override as AWS repeats them in its answer.
fn echo(candidate: &Candidate) -> Element {
    let template = candidate.recipe.template.as_ref();
    let specification = Element::new("launchTemplateSpecification")
        .maybe("launchTemplateId", template.map(|template| template.id.clone()))
        .maybe("version", template.map(|template| template.version.clone()));
    let asked = Element::new("overrides")
        .field("instanceType", &candidate.instance_type)
        .field("subnetId", &candidate.subnet)
        .field("availabilityZone", &candidate.zone)
        .maybe("maxPrice", candidate.asked.get("MaxPrice"))
        .maybe("priority", candidate.asked.get("Priority"));
    Element::new("launchTemplateAndOverrides").with(specification).with(asked)
}

fn error_xml(candidate: &Candidate, error: &PoolError, is_spot: bool) -> Element {
    Element::new("item")
        .with(echo(candidate))
        .field("lifecycle", lifecycle(is_spot))
        .field("errorCode", &error.code)
        .field("errorMessage", &error.message)
}

fn instance_xml(candidate: &Candidate, ids: &[String], is_spot: bool) -> Element {
    Element::new("item")
        .with(echo(candidate))
        .field("lifecycle", lifecycle(is_spot))
        .list("instanceIds", ids.iter().map(|id| Element::leaf("item", id)))
        .field("instanceType", &candidate.instance_type)
}
