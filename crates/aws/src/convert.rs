//! AWS's answers in the planner's nouns. No call is made here, and nothing is judged.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::types as ec2;
use aws_smithy_types::DateTime;
use jiff::{SignedDuration, Timestamp};
use planner::market::{Disk, InstanceSpec};
use planner::model::{
    Activity, Ec2Facts, Group, GroupName, Image, ImageId, InstanceId, InstanceType, LaunchFacts, LaunchSource,
    LifecycleState, Member, Platform, Provenance, PurchaseOption, Replica, Role, RunState, SubnetId, Tags, Zone,
};
use planner::policy::Config;
use planner::stats::{End, Life};

/// Key of the tag that Auto Scaling puts on its members.
const MEMBER_OF: &str = "aws:autoscaling:groupName";
/// EC2 attaches what a launch asks for within a second or two; a boot script needs longer than this.
const ATTACHED_AT_LAUNCH_SECONDS: i64 = 15;
/// Idle time-out of tracked TCP connections on all but the newest types: five days.
const OLD_TCP_IDLE_SECONDS: i32 = 432_000;

/// An instance as EC2 shows it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub id: InstanceId,
    pub zone: Zone,
    pub instance_type: InstanceType,
    pub purchase: PurchaseOption,
    pub was_member: bool,
    pub facts: Ec2Facts,
    /// What it is billed as, in the words of the spot price history where it has a price there.
    pub platform: String,
    pub ours: Option<Provenance>,
}

impl Seen {
    /// Nothing about it changes any more that the group's own report would not show: it runs or is dead, and no swap
    /// of ours is in flight for it.
    pub fn is_settled(&self) -> bool {
        let in_flight = self.ours.as_ref().is_some_and(|ours| match ours.role {
            Role::Replica | Role::Doomed => true,
            Role::Member => false,
        });
        !in_flight
            && match self.facts.state {
                RunState::Running | RunState::ShuttingDown | RunState::Terminated => true,
                RunState::Pending | RunState::Stopping | RunState::Stopped => false,
            }
    }
}

pub(crate) fn time(time: Option<&DateTime>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.secs(), time.subsec_nanos() as i32).ok()
}

pub(crate) fn sdk_time(time: Timestamp) -> DateTime {
    DateTime::from_secs(time.as_second())
}

fn text<T: AsRef<str>>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(|value| value.as_ref().to_owned())
}

fn texts<T: AsRef<str>>(values: &Option<Vec<T>>) -> Vec<String> {
    values.iter().flatten().map(|value| value.as_ref().to_owned()).collect()
}

fn count(value: Option<i32>) -> u32 {
    value.unwrap_or(0).max(0) as u32
}

pub(crate) fn ec2_tags(tags: &[ec2::Tag]) -> Tags {
    tags.iter().filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()))).collect()
}

/// `None` for an answer without the fields that every instance has.
pub(crate) fn seen(instance: &ec2::Instance, config: &Config) -> Option<Seen> {
    let tags = ec2_tags(instance.tags());
    let launched_at = time(instance.launch_time())?;
    let spot = instance.instance_lifecycle() == Some(&ec2::InstanceLifecycleType::Spot);
    Some(Seen {
        id: InstanceId::new(instance.instance_id()?),
        zone: Zone::new(instance.placement().and_then(|placement| placement.availability_zone()).unwrap_or("")),
        instance_type: InstanceType::new(instance.instance_type()?.as_str()),
        purchase: if spot { PurchaseOption::Spot } else { PurchaseOption::OnDemand },
        was_member: tags.contains_key(MEMBER_OF),
        facts: Ec2Facts {
            state: RunState::parse(instance.state().and_then(|state| state.name()).map_or("", |name| name.as_str())),
            launched_at,
            subnet: SubnetId::new(instance.subnet_id().unwrap_or("")),
            image: ImageId::new(instance.image_id().unwrap_or("")),
            platform: instance.usage_operation().and_then(Platform::from_usage_operation),
            elastic_ip: has_elastic_ip(instance),
            attached_later: has_attached_later(instance, launched_at),
            reserved: instance.capacity_reservation_id().is_some() || instance.capacity_block_id().is_some(),
            termination_protected: None,
            enabled: tags.get(&config.enable_key) == Some(&config.enable_value),
            interrupted: false,
            ends_at: None,
        },
        platform: platform(instance),
        ours: Provenance::from_tags(&tags),
    })
}

fn platform(instance: &ec2::Instance) -> String {
    let known = instance.usage_operation().and_then(Platform::from_usage_operation);
    let told = instance.platform_details().unwrap_or(Platform::Linux.spot_product());
    known.map_or(told, |platform| platform.spot_product()).to_owned()
}

/// An automatic public address belongs to `amazon`, an Elastic IP address to its account.
fn has_elastic_ip(instance: &ec2::Instance) -> bool {
    let owned = |association: Option<&ec2::InstanceNetworkInterfaceAssociation>| {
        association.and_then(|association| association.ip_owner_id()).is_some_and(|owner| owner != "amazon")
    };
    instance.network_interfaces().iter().any(|interface| {
        owned(interface.association())
            || interface.private_ip_addresses().iter().any(|address| owned(address.association()))
    })
}

fn has_attached_later(instance: &ec2::Instance, launched_at: Timestamp) -> bool {
    let later = |attached: Option<&DateTime>| {
        time(attached)
            .is_some_and(|attached| attached.as_second() - launched_at.as_second() > ATTACHED_AT_LAUNCH_SECONDS)
    };
    let volumes = instance.block_device_mappings().iter().filter_map(|mapping| mapping.ebs());
    let interfaces = instance.network_interfaces().iter().filter_map(|interface| interface.attachment());
    volumes.into_iter().any(|volume| later(volume.attach_time()))
        || interfaces.into_iter().any(|interface| later(interface.attach_time()))
}

/// Two minutes after a spot request was marked its instance is taken back.
const NOTICE: SignedDuration = SignedDuration::from_mins(2);

/// The instance of a marked spot request, and when it will be taken back.
pub(crate) fn announced_end(request: &ec2::SpotInstanceRequest) -> Option<(InstanceId, Option<Timestamp>)> {
    let marked_at = request.status().and_then(|status| time(status.update_time()));
    Some((InstanceId::new(request.instance_id()?), marked_at.map(|at| at + NOTICE)))
}

/// What became of the instance of a spot request. `None` if it never had one.
pub(crate) fn life(request: &ec2::SpotInstanceRequest) -> Option<Life> {
    request.instance_id().filter(|id| !id.is_empty())?;
    let status = request.status();
    let code = status.and_then(|status| status.code()).unwrap_or_default();
    let ended = match code {
        // By its owner, or by Auto Scaling in its owner's name: an end like any other.
        "instance-terminated-by-user" | "instance-terminated-by-service" | "instance-stopped-by-user" => {
            Some(End::Released)
        }
        // <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html>
        _ if ["marked-for-", "instance-terminated-", "instance-stopped-"].iter().any(|head| code.starts_with(head)) => {
            Some(End::Interrupted)
        }
        _ if request.state() == Some(&ec2::SpotInstanceState::Closed) => Some(End::Released),
        _ => None,
    };
    // Without a time of its end nobody can say whether that matters still.
    let ended = match ended {
        Some(end) => Some((time(status.and_then(|status| status.update_time()))?, end)),
        None => None,
    };
    Some(Life {
        instance_type: InstanceType::new(request.launch_specification()?.instance_type()?.as_str()),
        zone: Zone::new(request.launched_availability_zone()?),
        launched_at: time(request.create_time())?,
        ended,
    })
}

/// A group with its members; `known` are the instances that EC2 showed, `ours` those of them with our tags for it.
pub(crate) fn group<'a>(
    group: &asg::AutoScalingGroup,
    known: &dyn Fn(&InstanceId) -> Option<&'a Seen>,
    ours: &[&Seen],
) -> Option<Group> {
    let name = GroupName::new(group.auto_scaling_group_name()?);
    let source = source(group);
    let members: Vec<Member> =
        group.instances().iter().filter_map(|instance| member(instance, &source, known)).collect();
    let replicas = ours
        .iter()
        .filter(|seen| members.iter().all(|member| member.id != seen.id))
        .filter_map(|seen| replica(seen))
        .collect();
    let tags = |wanted: fn(&asg::TagDescription) -> bool| -> Tags {
        let wanted = group.tags().iter().filter(|tag| wanted(tag));
        wanted.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()))).collect()
    };
    Some(Group {
        name,
        arn: group.auto_scaling_group_arn().unwrap_or_default().to_owned(),
        desired: count(group.desired_capacity()),
        min_size: count(group.min_size()),
        max_size: count(group.max_size()),
        subnets: group
            .vpc_zone_identifier()
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|subnet| !subnet.is_empty())
            .map(SubnetId::new)
            .collect(),
        zones: group.availability_zones().iter().map(Zone::new).collect(),
        tags: tags(|_| true),
        // AWS propagates its own tags by itself and refuses them in a launch.
        propagated_tags: tags(|tag| {
            tag.propagate_at_launch() == Some(true) && tag.key().is_some_and(|key| !key.starts_with("aws:"))
        }),
        suspended: group
            .suspended_processes()
            .iter()
            .filter_map(|process| process.process_name().map(str::to_owned))
            .collect(),
        source,
        status: text(&group.status),
        operator: group.operator().map(|operator| operator.principal().unwrap_or("another service").to_owned()),
        warm_pool: group.warm_pool_configuration().is_some(),
        capacity_rebalance: group.capacity_rebalance() == Some(true),
        desired_capacity_type: text(&group.desired_capacity_type).filter(|unit| !unit.is_empty() && unit != "units"),
        new_members_protected: group.new_instances_protected_from_scale_in() == Some(true),
        grace_seconds: count(group.health_check_grace_period()),
        load_balanced: !group.load_balancer_names().is_empty()
            || !group.target_group_arns().is_empty()
            || !group.traffic_sources().is_empty(),
        placement_group: text(&group.placement_group).filter(|name| !name.is_empty()),
        members,
        replicas,
        details: None,
    })
}

/// A group that is no more, of which instances of ours are left: nothing but its name and them, so that they can be
/// ended by their deadline.
pub(crate) fn vanished(name: &GroupName, ours: &[&Seen]) -> Group {
    Group {
        name: name.clone(),
        arn: String::new(),
        desired: 0,
        min_size: 0,
        max_size: 0,
        subnets: Vec::new(),
        zones: Vec::new(),
        tags: Tags::new(),
        propagated_tags: Tags::new(),
        suspended: BTreeSet::new(),
        source: LaunchSource::Missing,
        status: Some("deleted".to_owned()),
        operator: None,
        warm_pool: false,
        capacity_rebalance: false,
        desired_capacity_type: None,
        new_members_protected: false,
        grace_seconds: 0,
        load_balanced: false,
        placement_group: None,
        members: Vec::new(),
        replicas: ours.iter().filter_map(|seen| replica(seen)).collect(),
        details: None,
    }
}

fn source(group: &asg::AutoScalingGroup) -> LaunchSource {
    if group.mixed_instances_policy().is_some() {
        return LaunchSource::MixedInstances;
    }
    let template = group.launch_template().and_then(|template| {
        let id = template.launch_template_id()?.to_owned();
        let version = template.version().filter(|version| !version.is_empty()).unwrap_or("$Default").to_owned();
        Some(LaunchSource::Template { id, version })
    });
    let configuration = group
        .launch_configuration_name()
        .filter(|name| !name.is_empty())
        .map(|name| LaunchSource::Configuration { name: name.to_owned() });
    template.or(configuration).unwrap_or(LaunchSource::Missing)
}

fn member<'a>(
    instance: &asg::Instance,
    source: &LaunchSource,
    known: &dyn Fn(&InstanceId) -> Option<&'a Seen>,
) -> Option<Member> {
    let id = InstanceId::new(instance.instance_id()?);
    let seen = known(&id);
    Some(Member {
        zone: Zone::new(instance.availability_zone().unwrap_or("")),
        instance_type: InstanceType::new(instance.instance_type().unwrap_or("")),
        // Nobody's victim, and not counted towards the on-demand floor, until EC2 shows it.
        purchase: seen.map_or(PurchaseOption::Spot, |seen| seen.purchase),
        lifecycle: LifecycleState::parse(instance.lifecycle_state().map_or("", |state| state.as_str())),
        healthy: instance.health_status().is_some_and(|status| status.eq_ignore_ascii_case("healthy")),
        targets_healthy: None,
        protected: instance.protected_from_scale_in() == Some(true),
        weighted: instance.weighted_capacity().is_some_and(|weight| !weight.is_empty()),
        template_version: template_version(instance, source),
        ec2: seen.map(|seen| seen.facts.clone()),
        ours: seen.and_then(|seen| seen.ours.clone()),
        id,
    })
}

/// Version 0 (there is none) stands for an instance of another template than the group's.
fn template_version(instance: &asg::Instance, source: &LaunchSource) -> Option<u64> {
    let template = instance.launch_template()?;
    match source {
        LaunchSource::Template { id, .. } if template.launch_template_id() != Some(id.as_str()) => Some(0),
        LaunchSource::Template { .. } => template.version()?.parse().ok(),
        LaunchSource::Configuration { .. } | LaunchSource::MixedInstances | LaunchSource::Missing => None,
    }
}

/// `None` if its tags cannot be read: what we cannot read we do not touch.
fn replica(seen: &Seen) -> Option<Replica> {
    Some(Replica {
        id: seen.id.clone(),
        zone: seen.zone.clone(),
        instance_type: seen.instance_type.clone(),
        purchase: seen.purchase,
        state: seen.facts.state,
        checks_ok: None,
        launched_at: seen.facts.launched_at,
        was_member: seen.was_member,
        interrupted: false,
        ours: seen.ours.clone()?,
    })
}

/// `None` for an activity without a start.
pub(crate) fn activity(activity: &asg::Activity) -> Option<Activity> {
    let words = activity.description().unwrap_or_default().split([' ', ',', '.']);
    Some(Activity {
        instance: words.into_iter().find(|word| word.starts_with("i-")).map(InstanceId::new),
        started_at: time(activity.start_time())?,
        ended_at: time(activity.end_time()),
        shrank: activity.cause().and_then(shrank),
        by_request: activity.cause().is_some_and(|cause| cause.contains("in response to a user request")),
    })
}

/// "… shrinking the capacity from 5 to 4."
fn shrank(cause: &str) -> Option<(u32, u32)> {
    let (_, rest) = cause.split_once("shrinking the capacity from ")?;
    let (from, rest) = rest.split_once(" to ")?;
    let to: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((from.parse().ok()?, to.parse().ok()?))
}

pub(crate) fn image(image: &ec2::Image) -> Option<Image> {
    Some(Image {
        id: ImageId::new(image.image_id()?),
        available: image.state() == Some(&ec2::ImageState::Available),
        architecture: text(&image.architecture).unwrap_or_default(),
        virtualization: text(&image.virtualization_type).unwrap_or_default(),
        boot_mode: text(&image.boot_mode),
        tpm: image.tpm_support().is_some(),
        ena: image.ena_support() == Some(true),
        root_device: text(&image.root_device_type).unwrap_or_default(),
        usage_operation: text(&image.usage_operation).unwrap_or_default(),
        marketplace: !image.product_codes().is_empty(),
    })
}

/// One device of an image, a template or a launch configuration.
struct Device<'a> {
    name: &'a str,
    ebs: bool,
    ephemeral: bool,
    removed: bool,
}

/// The image's devices with the launch's over them: how many EBS volumes, and whether ephemeral devices are mapped.
fn devices<'a>(image: &'a ec2::Image, launch: impl Iterator<Item = Device<'a>>) -> (u32, bool) {
    let of_image = image.block_device_mappings().iter().map(|mapping| Device {
        name: mapping.device_name().unwrap_or(""),
        ebs: mapping.ebs().is_some(),
        ephemeral: mapping.virtual_name().is_some_and(|name| name.starts_with("ephemeral")),
        removed: mapping.no_device().is_some(),
    });
    let by_name: BTreeMap<&str, Device<'_>> = of_image.chain(launch).map(|device| (device.name, device)).collect();
    let kept = || by_name.values().filter(|device| !device.removed);
    (kept().filter(|device| device.ebs).count() as u32, kept().any(|device| device.ephemeral))
}

pub(crate) fn template_facts(
    version: &ec2::LaunchTemplateVersion,
    data: &ec2::ResponseLaunchTemplateData,
    sdk_image: &ec2::Image,
    image: Image,
) -> LaunchFacts {
    let interfaces = data.network_interfaces();
    let (volumes, maps_instance_store) = devices(
        sdk_image,
        data.block_device_mappings().iter().map(|mapping| Device {
            name: mapping.device_name().unwrap_or(""),
            ebs: mapping.ebs().is_some(),
            ephemeral: mapping.virtual_name().is_some_and(|name| name.starts_with("ephemeral")),
            removed: mapping.no_device().is_some(),
        }),
    );
    LaunchFacts {
        version: version.version_number().and_then(|number| u64::try_from(number).ok()),
        instance_type: data.instance_type().map(|name| InstanceType::new(name.as_str())),
        image,
        requests_spot: data.instance_market_options().and_then(|market| market.market_type())
            == Some(&ec2::MarketType::Spot),
        instance_requirements: data.instance_requirements().is_some(),
        tenancy: data.placement().and_then(|placement| placement.tenancy()).map(|tenancy| tenancy.as_str().to_owned()),
        termination_protection: data.disable_api_termination() == Some(true) || data.disable_api_stop() == Some(true),
        hibernation: data.hibernation_options().and_then(|options| options.configured()) == Some(true),
        enclave: data.enclave_options().and_then(|options| options.enabled()) == Some(true),
        cpu_options: data.cpu_options().is_some_and(|options| {
            options.core_count().is_some()
                || options.threads_per_core().is_some()
                || options.amd_sev_snp().is_some()
                || options.nested_virtualization().is_some()
        }),
        kernel: data.kernel_id().is_some() || data.ram_disk_id().is_some(),
        maps_instance_store,
        volumes,
        interfaces: (interfaces.len() as u32).max(1),
        ipv6: interfaces.iter().any(|interface| {
            interface.ipv6_address_count().is_some_and(|number| number > 0)
                || interface.ipv6_prefix_count().is_some_and(|number| number > 0)
                || !interface.ipv6_addresses().is_empty()
                || !interface.ipv6_prefixes().is_empty()
                || interface.primary_ipv6() == Some(true)
        }),
        efa: interfaces.iter().any(|interface| interface.interface_type().is_some_and(|kind| kind.starts_with("efa"))),
        conntrack: interfaces.iter().any(|interface| {
            interface
                .connection_tracking_specification()
                .is_some_and(|tracking| tracking.tcp_established_timeout().is_some())
        }),
        placement_strategy: None,
    }
}

pub(crate) fn configuration_facts(
    configuration: &asg::LaunchConfiguration,
    sdk_image: &ec2::Image,
    image: Image,
) -> LaunchFacts {
    let filled = |value: Option<&str>| value.is_some_and(|value| !value.is_empty());
    let (volumes, maps_instance_store) = devices(
        sdk_image,
        configuration.block_device_mappings().iter().map(|mapping| Device {
            name: mapping.device_name().unwrap_or(""),
            ebs: mapping.ebs().is_some(),
            ephemeral: mapping.virtual_name().is_some_and(|name| name.starts_with("ephemeral")),
            removed: mapping.no_device() == Some(true),
        }),
    );
    LaunchFacts {
        version: None,
        instance_type: configuration.instance_type().map(InstanceType::new),
        image,
        requests_spot: filled(configuration.spot_price()),
        instance_requirements: false,
        tenancy: text(&configuration.placement_tenancy).filter(|tenancy| !tenancy.is_empty()),
        termination_protection: false,
        hibernation: false,
        enclave: false,
        cpu_options: false,
        kernel: filled(configuration.kernel_id()) || filled(configuration.ramdisk_id()),
        maps_instance_store,
        volumes,
        interfaces: 1,
        ipv6: false,
        efa: false,
        conntrack: false,
        placement_strategy: None,
    }
}

/// `None` for an answer without a name.
pub(crate) fn spec(info: &ec2::InstanceTypeInfo) -> Option<InstanceSpec> {
    let processor = info.processor_info();
    let ebs = info.ebs_info();
    let ebs_optimized = ebs.and_then(|ebs| ebs.ebs_optimized_info());
    let network = info.network_info();
    let storage = info.instance_storage_info();
    let vcpus = info.v_cpu_info();
    let usage = |class: ec2::UsageClassType| info.supported_usage_classes().contains(&class);
    let network_baseline_gbps: f64 = network.map_or(0.0, |network| {
        network.network_cards().iter().filter_map(|card| card.baseline_bandwidth_in_gbps()).sum()
    });
    Some(InstanceSpec {
        instance_type: InstanceType::new(info.instance_type()?.as_str()),
        current_generation: info.current_generation() == Some(true),
        spot: usage(ec2::UsageClassType::Spot),
        on_demand: usage(ec2::UsageClassType::OnDemand),
        bare_metal: info.bare_metal() == Some(true),
        hypervisor: text(&info.hypervisor).unwrap_or_default(),
        virtualization: texts(&info.supported_virtualization_types),
        architectures: processor.map_or_else(Vec::new, |processor| texts(&processor.supported_architectures)),
        cpu_manufacturer: processor.and_then(|processor| text(&processor.manufacturer)).unwrap_or_default(),
        cpu_features: processor.map_or_else(Vec::new, |processor| texts(&processor.supported_features)),
        boot_modes: texts(&info.supported_boot_modes),
        tpm: info.nitro_tpm_support() == Some(&ec2::NitroTpmSupport::Supported),
        root_devices: texts(&info.supported_root_device_types),
        vcpus: count(vcpus.and_then(|vcpus| vcpus.default_v_cpus())),
        cores: count(vcpus.and_then(|vcpus| vcpus.default_cores())),
        valid_cores: vcpus.map_or_else(Vec::new, |vcpus| ascending(vcpus.valid_cores())),
        valid_threads_per_core: vcpus.map_or_else(Vec::new, |vcpus| ascending(vcpus.valid_threads_per_core())),
        memory_mib: info.memory_info().and_then(|memory| memory.size_in_mib()).unwrap_or(0).max(0) as u64,
        disks: storage.map_or_else(Vec::new, |storage| storage.disks().iter().map(disk).collect()),
        nvme_disks: storage
            .and_then(|storage| storage.nvme_support())
            .is_some_and(|support| support != &ec2::EphemeralNvmeSupport::Unsupported),
        encrypted_disks: storage.and_then(|storage| storage.encryption_support())
            == Some(&ec2::InstanceStorageEncryptionSupport::Required),
        ebs_baseline_mbps: count(ebs_optimized.and_then(|ebs| ebs.baseline_bandwidth_in_mbps())),
        ebs_baseline_iops: count(ebs_optimized.and_then(|ebs| ebs.baseline_iops())),
        ebs_attachments: count(ebs.and_then(|ebs| ebs.maximum_ebs_attachments())),
        ebs_attachments_shared: ebs.and_then(|ebs| ebs.attachment_limit_type())
            == Some(&ec2::AttachmentLimitType::Shared),
        ena_required: network.and_then(|network| network.ena_support()) == Some(&ec2::EnaSupport::Required),
        network_baseline_mbps: (network_baseline_gbps * 1000.0).round() as u32,
        interfaces: count(network.and_then(|network| network.maximum_network_interfaces())),
        network_cards: count(network.and_then(|network| network.maximum_network_cards())),
        ipv4_per_interface: count(network.and_then(|network| network.ipv4_addresses_per_interface())),
        ipv6: network.and_then(|network| network.ipv6_supported()) == Some(true),
        ipv6_per_interface: count(network.and_then(|network| network.ipv6_addresses_per_interface())),
        encryption_in_transit: network.and_then(|network| network.encryption_in_transit_supported()) == Some(true),
        efa: network.and_then(|network| network.efa_supported()) == Some(true),
        tcp_idle_timeout_seconds: network
            .and_then(|network| network.connection_tracking_configuration())
            .and_then(|tracking| tracking.default_tcp_established_timeout())
            .filter(|seconds| *seconds != OLD_TCP_IDLE_SECONDS)
            .and_then(|seconds| u32::try_from(seconds).ok()),
        accelerators: accelerators(info),
        accelerator_memory_mib: accelerator_memory_mib(info),
        burstable: info.burstable_performance_supported() == Some(true),
        enclaves: info.nitro_enclaves_support() == Some(&ec2::NitroEnclavesSupport::Supported),
        hibernation: info.hibernation_supported() == Some(true),
        placement_strategies: info
            .placement_group_info()
            .map_or_else(Vec::new, |placement| texts(&placement.supported_strategies)),
    })
}

fn disk(disk: &ec2::DiskInfo) -> Disk {
    Disk {
        count: count(disk.count()),
        size_gb: disk.size_in_gb().unwrap_or(0).max(0) as u64,
        kind: text(&disk.r#type).unwrap_or_default(),
    }
}

fn ascending(numbers: &[i32]) -> Vec<u32> {
    let mut numbers: Vec<u32> = numbers.iter().map(|number| count(Some(*number))).collect();
    numbers.sort_unstable();
    numbers
}

/// Everything beside the CPU, by name; a part of a GPU is another thing than a GPU.
fn accelerators(info: &ec2::InstanceTypeInfo) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut add = |name: String, number: Option<i32>| found.push((name, count(number)));
    let name = |name: Option<&str>, kind: &str| name.unwrap_or(kind).to_owned();
    for gpu in info.gpu_info().map_or(&[][..], |gpus| gpus.gpus()) {
        match gpu.gpu_partition_size().filter(|part| *part < 1.0) {
            Some(part) => add(format!("{}/{part}", gpu.name().unwrap_or("GPU")), gpu.logical_gpu_count()),
            None => add(name(gpu.name(), "GPU"), gpu.count()),
        }
    }
    for device in info.neuron_info().map_or(&[][..], |neuron| neuron.neuron_devices()) {
        add(name(device.name(), "Neuron"), device.count());
    }
    for device in info.inference_accelerator_info().map_or(&[][..], |inference| inference.accelerators()) {
        add(name(device.name(), "inference"), device.count());
    }
    for device in info.fpga_info().map_or(&[][..], |fpga| fpga.fpgas()) {
        add(name(device.name(), "FPGA"), device.count());
    }
    for device in info.media_accelerator_info().map_or(&[][..], |media| media.accelerators()) {
        add(name(device.name(), "media"), device.count());
    }
    found.sort();
    found
}

fn accelerator_memory_mib(info: &ec2::InstanceTypeInfo) -> u64 {
    [
        info.gpu_info().and_then(|gpus| gpus.total_gpu_memory_in_mib()),
        info.neuron_info().and_then(|neuron| neuron.total_neuron_device_memory_in_mib()),
        info.inference_accelerator_info().and_then(|inference| inference.total_inference_memory_in_mib()),
        info.fpga_info().and_then(|fpga| fpga.total_fpga_memory_in_mib()),
        info.media_accelerator_info().and_then(|media| media.total_media_memory_in_mib()),
    ]
    .into_iter()
    .map(|mib| u64::from(count(mib)))
    .sum()
}
