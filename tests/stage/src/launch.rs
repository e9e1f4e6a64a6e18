//! Launching with everything that the template says: moto drops much of it unless each field is in the RunInstances call.

use crate::Stage;
use crate::market::Platform;
use crate::wire::{Params, Refusal};
use crate::world::{InstanceState, Spot, TemplateRef, World, now};
use crate::xml::Element;

/// All that RunInstances needs, made from a launch template or a launch configuration.
#[derive(Clone, Debug, Default)]
pub struct Recipe {
    pub params: Params,
    pub instance_tags: Vec<(String, String)>,
    pub volume_tags: Vec<(String, String)>,
    pub template: Option<TemplateRef>,
    pub launch_configuration: Option<String>,
    pub is_spot: bool,
}

impl Recipe {
    pub fn instance_type(&self) -> &str {
        self.params.get("InstanceType").unwrap_or("")
    }

    pub fn image(&self) -> &str {
        self.params.get("ImageId").unwrap_or("")
    }

    /// Adds a tag; an equal key is overwritten.
    pub fn tag(&mut self, key: &str, value: &str) {
        self.instance_tags.retain(|(known, _)| known != key);
        self.instance_tags.push((key.to_owned(), value.to_owned()));
    }
}

/// The recipe of a launch template's version.
pub async fn from_template(stage: &Stage, world: &World, spec: &Params) -> Result<Recipe, Refusal> {
    let version = spec.get("Version").unwrap_or("$Default").to_owned();
    let mut question = Params::of([("LaunchTemplateVersion.1", version.as_str())]);
    for key in ["LaunchTemplateId", "LaunchTemplateName"] {
        if let Some(value) = spec.get(key) {
            question.set(key, value);
        }
    }
    let answer = stage.moto.ask(&world.place, "ec2", "DescribeLaunchTemplateVersions", &question).await?;
    let Some(found) = answer.items(&["launchTemplateVersionSet"]).first() else {
        return Err(Refusal::new(
            400,
            "InvalidLaunchTemplateId.VersionNotFound",
            format!("Could not find the specified version {version} for the launch template"),
        ));
    };
    let template = TemplateRef {
        id: found.text_at(&["launchTemplateId"]).to_owned(),
        name: found.text_at(&["launchTemplateName"]).to_owned(),
        version: found.text_at(&["versionNumber"]).to_owned(),
    };
    let data = found.get("launchTemplateData").cloned().unwrap_or_default();
    let mut recipe = Recipe { params: template_params(&data), template: Some(template.clone()), ..Recipe::default() };
    recipe.is_spot = data.text_at(&["instanceMarketOptions", "marketType"]) == "spot";
    for specification in data.items(&["tagSpecificationSet"]) {
        let tags = specification.items(&["tagSet"]).iter().map(tag_of);
        match specification.text_at(&["resourceType"]) {
            "instance" => recipe.instance_tags.extend(tags),
            "volume" => recipe.volume_tags.extend(tags),
            _ => {}
        }
    }
    recipe.tag("aws:ec2launchtemplate:id", &template.id);
    recipe.tag("aws:ec2launchtemplate:version", &template.version);
    Ok(recipe)
}

/// A `key`/`value` pair of EC2's XML.
pub fn tag_of(tag: &Element) -> (String, String) {
    (tag.text_at(&["key"]).to_owned(), tag.text_at(&["value"]).to_owned())
}

/// A launch template's data as RunInstances parameters.
fn template_params(data: &Element) -> Params {
    let mut params = Params::default();
    for (from, to) in [
        ("imageId", "ImageId"),
        ("instanceType", "InstanceType"),
        ("keyName", "KeyName"),
        ("ebsOptimized", "EbsOptimized"),
        ("userData", "UserData"),
        ("disableApiTermination", "DisableApiTermination"),
        ("disableApiStop", "DisableApiStop"),
        ("instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior"),
        ("kernelId", "KernelId"),
        ("ramDiskId", "RamdiskId"),
    ] {
        if let Some(value) = data.value(from) {
            params.set(to, value);
        }
    }
    for (from, to) in [
        ("iamInstanceProfile", "IamInstanceProfile"),
        ("monitoring", "Monitoring"),
        ("metadataOptions", "MetadataOptions"),
        ("placement", "Placement"),
        ("creditSpecification", "CreditSpecification"),
        ("cpuOptions", "CpuOptions"),
        ("hibernationOptions", "HibernationOptions"),
    ] {
        for field in data.items(&[from]) {
            if !field.text.is_empty() && field.name != "state" {
                params.set(&format!("{to}.{}", capitalized(&field.name)), field.text.clone());
            }
        }
    }
    for (index, id) in data.items(&["securityGroupIdSet"]).iter().enumerate() {
        params.set(&format!("SecurityGroupId.{}", index + 1), id.text.clone());
    }
    for (index, name) in data.items(&["securityGroupSet"]).iter().enumerate() {
        params.set(&format!("SecurityGroup.{}", index + 1), name.text.clone());
    }
    for (index, disk) in data.items(&["blockDeviceMappingSet"]).iter().enumerate() {
        params.put_sub(&format!("BlockDeviceMapping.{}", index + 1), &disk_params(disk));
    }
    for (index, interface) in data.items(&["networkInterfaceSet"]).iter().enumerate() {
        let mut inner = Params::default();
        for field in &interface.children {
            if field.name == "groupSet" {
                for (number, group) in field.children.iter().enumerate() {
                    inner.set(&format!("SecurityGroupId.{}", number + 1), group.text.clone());
                }
            } else if field.children.is_empty() && !field.text.is_empty() {
                inner.set(&capitalized(&field.name), field.text.clone());
            }
        }
        params.put_sub(&format!("NetworkInterface.{}", index + 1), &inner);
    }
    params
}

fn disk_params(disk: &Element) -> Params {
    let mut params = Params::default();
    for field in &disk.children {
        if field.name == "ebs" {
            for inner in field.children.iter().filter(|inner| !inner.text.is_empty()) {
                params.set(&format!("Ebs.{}", capitalized(&inner.name)), inner.text.clone());
            }
        } else if !field.text.is_empty() {
            params.set(&capitalized(&field.name), field.text.clone());
        }
    }
    params
}

fn capitalized(name: &str) -> String {
    name[..1].to_ascii_uppercase() + &name[1..]
}

/// The recipe of a launch configuration.
pub async fn from_launch_configuration(stage: &Stage, world: &World, name: &str) -> Result<Recipe, Refusal> {
    let question = Params::of([("LaunchConfigurationNames.member.1", name)]);
    let answer = stage.moto.ask(&world.place, "autoscaling", "DescribeLaunchConfigurations", &question).await?;
    let found = answer.items(&["DescribeLaunchConfigurationsResult", "LaunchConfigurations"]).first();
    let Some(found) = found else {
        return Err(Refusal::validation(format!("Launch configuration name not found - {name}")));
    };
    let mut recipe = Recipe {
        launch_configuration: Some(name.to_owned()),
        is_spot: found.value("SpotPrice").is_some(),
        ..Recipe::default()
    };
    let params = &mut recipe.params;
    for key in ["ImageId", "InstanceType", "KeyName", "UserData", "EbsOptimized"] {
        if let Some(value) = found.value(key) {
            params.set(key, value);
        }
    }
    if let Some(profile) = found.value("IamInstanceProfile") {
        params.set(
            if profile.starts_with("arn:") { "IamInstanceProfile.Arn" } else { "IamInstanceProfile.Name" },
            profile,
        );
    }
    params.set("Monitoring.Enabled", found.text_at(&["InstanceMonitoring", "Enabled"]));
    for field in found.items(&["MetadataOptions"]) {
        params.set(&format!("MetadataOptions.{}", field.name), field.text.clone());
    }
    for (index, disk) in found.items(&["BlockDeviceMappings"]).iter().enumerate() {
        let mut inner = Params::default();
        for field in &disk.children {
            if field.name == "Ebs" {
                for part in field.children.iter().filter(|part| !part.text.is_empty()) {
                    inner.set(&format!("Ebs.{}", part.name), part.text.clone());
                }
            } else if !field.text.is_empty() {
                inner.set(&field.name, field.text.clone());
            }
        }
        params.put_sub(&format!("BlockDeviceMapping.{}", index + 1), &inner);
    }
    let groups = found.items(&["SecurityGroups"]);
    match found.value("AssociatePublicIpAddress") {
        Some(public) => {
            params.set("NetworkInterface.1.DeviceIndex", "0");
            params.set("NetworkInterface.1.AssociatePublicIpAddress", public);
            for (index, group) in groups.iter().enumerate() {
                params.set(&format!("NetworkInterface.1.SecurityGroupId.{}", index + 1), group.text.clone());
            }
        }
        None => {
            for (index, group) in groups.iter().enumerate() {
                params.set(&format!("SecurityGroupId.{}", index + 1), group.text.clone());
            }
        }
    }
    Ok(recipe)
}

/// Runs `count` instances in one subnet and remembers how. Answers their ids.
pub async fn run(
    stage: &Stage,
    world: &mut World,
    recipe: &Recipe,
    subnet: &str,
    count: usize,
) -> Result<Vec<String>, Refusal> {
    let zone = world.subnet(stage, subnet).await?.zone;
    let mut params = recipe.params.clone();
    if params.sub("NetworkInterface").is_empty() {
        params.set("SubnetId", subnet);
    } else {
        params.set("NetworkInterface.1.SubnetId", subnet);
    }
    if recipe.is_spot {
        params.set("InstanceMarketOptions.MarketType", "spot");
    }
    let mut specification = 0;
    for (kind, tags) in [("instance", &recipe.instance_tags), ("volume", &recipe.volume_tags)] {
        if tags.is_empty() {
            continue;
        }
        specification += 1;
        params.set(&format!("TagSpecification.{specification}.ResourceType"), kind);
        for (index, (key, value)) in tags.iter().enumerate() {
            params.set(&format!("TagSpecification.{specification}.Tag.{}.Key", index + 1), key);
            params.set(&format!("TagSpecification.{specification}.Tag.{}.Value", index + 1), value);
        }
    }
    // moto gives the instance profile to the first instance of a call only.
    let has_profile = !params.sub("IamInstanceProfile").is_empty();
    let (calls, each) = if has_profile { (count, 1) } else { (1, count) };
    let mut ids = Vec::new();
    for _ in 0..calls {
        params.set("MinCount", each.to_string());
        params.set("MaxCount", each.to_string());
        let answer = stage.moto.ask(&world.place, "ec2", "RunInstances", &params).await?;
        ids.extend(answer.items(&["instancesSet"]).iter().map(|item| item.text_at(&["instanceId"]).to_owned()));
    }
    protect(stage, world, &params, &ids).await?;
    for id in &ids {
        let spot = if recipe.is_spot { Some(new_spot(stage, world, recipe.image())) } else { None };
        let state = InstanceState {
            launched: now(),
            instance_type: recipe.instance_type().to_owned(),
            zone: zone.clone(),
            subnet: subnet.to_owned(),
            image: recipe.image().to_owned(),
            template: recipe.template.clone(),
            launch_configuration: recipe.launch_configuration.clone(),
            spot,
            ..InstanceState::default()
        };
        world.instances.insert(id.clone(), state);
    }
    Ok(ids)
}

/// Termination protection, which moto's RunInstances drops.
pub async fn protect(stage: &Stage, world: &World, params: &Params, ids: &[String]) -> Result<(), Refusal> {
    if !params.is_true("DisableApiTermination") {
        return Ok(());
    }
    for id in ids {
        let change = Params::of([("InstanceId", id.as_str()), ("DisableApiTermination.Value", "true")]);
        stage.moto.ask(&world.place, "ec2", "ModifyInstanceAttribute", &change).await?;
    }
    Ok(())
}

/// The spot request that EC2 makes for every spot instance.
pub fn new_spot(stage: &Stage, world: &mut World, image: &str) -> Spot {
    Spot {
        request_id: world.id("sir-"),
        platform: stage.platform_of(image),
        created: now(),
        state: "active".to_owned(),
        status_code: "fulfilled".to_owned(),
    }
}

/// What an image's name says about its platform.
pub fn platform_of_name(name: &str) -> Platform {
    let name = name.to_ascii_lowercase();
    match () {
        () if name.contains("windows") => Platform::Windows,
        () if name.contains("rhel") => Platform::Rhel,
        () if name.contains("suse") => Platform::Suse,
        () => Platform::Linux,
    }
}
