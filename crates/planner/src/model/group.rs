//! An Auto Scaling group as one look shows it.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;

use super::{
    GroupName, ImageId, InstanceId, InstanceType, LifecycleState, Member, PurchaseOption, Replica, SubnetId, Tags,
    Zone, tag,
};
use crate::journal::{Journal, JournalError};

/// What we saw, and when. `now` is the adapter's clock: nobody else asks one.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Time of the look.
    pub now: Timestamp,
    /// The group.
    pub group: Group,
}

/// An Auto Scaling group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Name.
    pub name: GroupName,
    /// ARN; with the group's unique id in it, so a group that was deleted and made again has another one.
    pub arn: String,
    /// DesiredCapacity.
    pub desired: u32,
    /// MinSize.
    pub min_size: u32,
    /// MaxSize.
    pub max_size: u32,
    /// `VPCZoneIdentifier`, split.
    pub subnets: Vec<SubnetId>,
    /// Zones of the group.
    pub zones: Vec<Zone>,
    /// Tags of the group.
    pub tags: Tags,
    /// Tags with `PropagateAtLaunch`.
    pub propagated_tags: Tags,
    /// Names of the suspended processes.
    pub suspended: BTreeSet<String>,
    /// What the group launches from.
    pub source: LaunchSource,
    /// `Status`: set while the group is being deleted.
    pub status: Option<String>,
    /// Managed by another AWS service, which alone may change it.
    pub operator: Option<String>,
    /// Has a warm pool.
    pub warm_pool: bool,
    /// Capacity Rebalancing is on.
    pub capacity_rebalance: bool,
    /// `DesiredCapacityType` other than `units`.
    pub desired_capacity_type: Option<String>,
    /// `NewInstancesProtectedFromScaleIn`.
    pub new_members_protected: bool,
    /// Health-check grace period in seconds.
    pub grace_seconds: u32,
    /// Has load balancers, target groups or traffic sources.
    pub load_balanced: bool,
    /// Placement group of the group.
    pub placement_group: Option<String>,
    /// Members.
    pub members: Vec<Member>,
    /// Instances with our tags for this group that are not members.
    pub replicas: Vec<Replica>,
    /// Slow facts; `None` on a bulk look.
    pub details: Option<Details>,
}

/// What a group launches from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchSource {
    /// A launch template at a version that the group names (`$Latest`, `$Default` or a number).
    Template {
        /// `lt-…`
        id: String,
        /// As the group names it.
        version: String,
    },
    /// A launch configuration.
    Configuration {
        /// Its name.
        name: String,
    },
    /// A mixed instances policy.
    MixedInstances,
    /// Neither: the group's template is gone.
    Missing,
}

/// Facts that cost a call each and change rarely.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// Names of launch lifecycle hooks.
    pub launch_hooks: Vec<String>,
    /// Names of termination lifecycle hooks.
    pub termination_hooks: Vec<String>,
    /// Status of an instance refresh that is not over.
    pub active_refresh: Option<String>,
    /// Start times of the scheduled actions ahead.
    pub scheduled_actions: Vec<Timestamp>,
    /// The latest scaling activities, newest first. `None` if this look did not ask.
    pub activities: Option<Vec<Activity>>,
    /// What the template or launch configuration says; `Err` says why it cannot be read.
    pub launch: Option<Result<LaunchFacts, String>>,
}

/// One scaling activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The instance that its description names.
    pub instance: Option<InstanceId>,
    /// Start.
    pub started_at: Timestamp,
    /// End; `None` while it runs.
    pub ended_at: Option<Timestamp>,
    /// "shrinking the capacity from X to Y" in its cause.
    pub shrank: Option<(u32, u32)>,
    /// "in response to a user request" in its cause: somebody called the API, as we do.
    pub by_request: bool,
}

/// What a launch template version or a launch configuration says, as far as a swap depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchFacts {
    /// The template's version, resolved; `None` for a launch configuration.
    pub version: Option<u64>,
    /// The type that the group launches by itself; `None` if the template names none.
    pub instance_type: Option<InstanceType>,
    /// The image.
    pub image: Image,
    /// Asks for spot itself.
    pub requests_spot: bool,
    /// Names types by attributes.
    pub instance_requirements: bool,
    /// `default`, `dedicated` or `host`; `None` means default.
    pub tenancy: Option<String>,
    /// Asks for termination or stop protection, which spot instances cannot have.
    pub termination_protection: bool,
    /// Asks for hibernation.
    pub hibernation: bool,
    /// Asks for Nitro Enclaves.
    pub enclave: bool,
    /// Sets CPU options (cores, threads, SEV-SNP).
    pub cpu_options: bool,
    /// Names a kernel or RAM disk.
    pub kernel: bool,
    /// Maps ephemeral devices.
    pub maps_instance_store: bool,
    /// EBS volumes that it maps (the root included).
    pub volumes: u32,
    /// Network interfaces that it asks for (at least one).
    pub interfaces: u32,
    /// IPv6 addresses asked for.
    pub ipv6: bool,
    /// Asks for EFA interfaces.
    pub efa: bool,
    /// Sets the idle connection-tracking timeouts itself.
    pub conntrack: bool,
    /// Strategy of the placement group (`cluster`, `spread`, `partition`).
    pub placement_strategy: Option<String>,
}

/// What EC2 runs and bills: decides which spot product and which on-demand price apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// `Linux/UNIX`
    Linux,
    /// `Red Hat Enterprise Linux`
    Rhel,
    /// `SUSE Linux`
    Suse,
    /// `Windows`
    Windows,
}

impl Platform {
    /// All of them.
    pub const ALL: [Platform; 4] = [Platform::Linux, Platform::Rhel, Platform::Suse, Platform::Windows];

    /// Reads EC2's `UsageOperation`
    /// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/billing-info-fields.html>). `None` for operations
    /// that have no spot price of their own. Red Hat with one's own licence is billed as Linux.
    pub fn from_usage_operation(operation: &str) -> Option<Platform> {
        match operation {
            "RunInstances" | "RunInstances:00g0" => Some(Self::Linux),
            "RunInstances:0010" => Some(Self::Rhel),
            "RunInstances:000g" => Some(Self::Suse),
            "RunInstances:0002" => Some(Self::Windows),
            _ => None,
        }
    }

    /// What an operation is that has no spot price of its own, as far as AWS lists it.
    pub fn unsupported_name(operation: &str) -> Option<&'static str> {
        Some(match operation {
            "RunInstances:0800" => "Windows with one's own licence",
            "RunInstances:0g00" => "Ubuntu Pro",
            "RunInstances:0006" | "RunInstances:0102" | "RunInstances:0202" => "Windows with SQL Server",
            "RunInstances:0004" | "RunInstances:0100" | "RunInstances:0200" => "Linux with SQL Server",
            "RunInstances:0014" | "RunInstances:0110" | "RunInstances:0210" => "Red Hat with SQL Server",
            "RunInstances:1010" => "Red Hat with High Availability",
            "RunInstances:1014" | "RunInstances:1110" => "Red Hat with SQL Server and High Availability",
            _ => return None,
        })
    }

    /// The `UsageOperation` under which the on-demand price is listed.
    pub fn usage_operation(self) -> &'static str {
        match self {
            Self::Linux => "RunInstances",
            Self::Rhel => "RunInstances:0010",
            Self::Suse => "RunInstances:000g",
            Self::Windows => "RunInstances:0002",
        }
    }

    /// `ProductDescription` of the spot price history.
    pub fn spot_product(self) -> &'static str {
        match self {
            Self::Linux => "Linux/UNIX",
            Self::Rhel => "Red Hat Enterprise Linux",
            Self::Suse => "SUSE Linux",
            Self::Windows => "Windows",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spot_product())
    }
}

/// A machine image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `ami-…`
    pub id: ImageId,
    /// State is `available`.
    pub available: bool,
    /// `x86_64`, `arm64`, `i386`.
    pub architecture: String,
    /// `hvm` or `paravirtual`.
    pub virtualization: String,
    /// `legacy-bios`, `uefi`, `uefi-preferred`; `None` = the type's default.
    pub boot_mode: Option<String>,
    /// Needs NitroTPM.
    pub tpm: bool,
    /// Has ENA drivers.
    pub ena: bool,
    /// `ebs` or `instance-store`.
    pub root_device: String,
    /// `UsageOperation`, from which the platform follows.
    pub usage_operation: String,
    /// Has marketplace product codes: offered on some types only.
    pub marketplace: bool,
}

impl Image {
    /// What it is billed as.
    pub fn platform(&self) -> Option<Platform> {
        Platform::from_usage_operation(&self.usage_operation)
    }
}

impl Group {
    /// The journal on the group: `None` without one, `Err` for one that cannot be read.
    pub fn journal(&self) -> Option<Result<Journal, JournalError>> {
        self.tags.get(tag::SWAP).map(|text| text.parse())
    }

    /// The latest scaling activities, newest first. `None` if this look did not ask.
    pub fn activities(&self) -> Option<&Vec<Activity>> {
        self.details.as_ref()?.activities.as_ref()
    }

    /// Whether one of them names the instance and began from then on.
    pub fn has_activity(&self, of: &InstanceId, since: Timestamp) -> bool {
        let mut activities = self.activities().into_iter().flatten();
        activities.any(|activity| activity.instance.as_ref() == Some(of) && activity.started_at >= since)
    }

    /// A member by id.
    pub fn member(&self, id: &InstanceId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == *id)
    }

    /// One of our instances outside the group, by id.
    pub fn replica(&self, id: &InstanceId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.id == *id)
    }

    /// Members that are in service and healthy.
    pub fn serving(&self) -> u32 {
        self.members.iter().filter(|member| member.serves()).count() as u32
    }

    /// Members in service that are paid for as `purchase`.
    pub fn in_service(&self, purchase: PurchaseOption) -> u32 {
        self.members
            .iter()
            .filter(|member| member.lifecycle == LifecycleState::InService && member.purchase == purchase)
            .count() as u32
    }

    /// What all members are billed as; `None` if they differ, or if EC2 did not say.
    pub fn platform(&self) -> Option<Platform> {
        let mut platforms = self.members.iter().map(|member| member.ec2.as_ref()?.platform);
        let first = platforms.next()??;
        platforms.all(|platform| platform == Some(first)).then_some(first)
    }

    /// Another attach would exceed MaxSize.
    pub fn is_full(&self) -> bool {
        self.desired >= self.max_size
    }

    /// A process is suspended.
    pub fn suspends(&self, process: &str) -> bool {
        self.suspended.contains(process)
    }

    /// `id` is the victim of a swap of ours that is over: a termination hook may still hold it.
    pub fn is_earlier_victim(&self, id: &InstanceId) -> bool {
        self.members.iter().any(|member| member.ours.as_ref().is_some_and(|ours| ours.victim == *id))
    }

    /// As many serving members as desired, and nobody coming or going but earlier victims of ours.
    pub fn is_stable(&self) -> bool {
        self.serving() == self.desired
            && self.members.iter().all(|member| match &member.lifecycle {
                LifecycleState::InService => true,
                LifecycleState::Terminated | LifecycleState::Detached => true,
                LifecycleState::Terminating => self.is_earlier_victim(&member.id),
                LifecycleState::TerminatingRetained => true,
                LifecycleState::Detaching => member.is_doomed(),
                LifecycleState::Pending
                | LifecycleState::EnteringStandby
                | LifecycleState::Standby
                | LifecycleState::Other(_) => false,
            })
    }
}
