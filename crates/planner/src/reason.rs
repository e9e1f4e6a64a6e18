//! Every "no" and every "not yet" as a value, with its numbers: printed by the same code for people, logs and tests.

use std::fmt;

use jiff::Timestamp;

use crate::choose::NoPool;
use crate::model::{InstanceId, InstanceType, LifecycleState};
use crate::policy::SettingError;

/// Why a group is unfit for starting a swap now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// The owner did not ask for us.
    NotEnabled,
    /// Settings that cannot be understood.
    Settings(Vec<SettingError>),
    /// The group is being deleted or changed by AWS.
    Status(String),
    /// Managed by another AWS service.
    Operator(String),
    /// Launches from a mixed instances policy: Auto Scaling itself decides between spot and on-demand.
    MixedInstancesPolicy,
    /// Neither launch template nor launch configuration.
    NoTemplate,
    /// The template or launch configuration cannot be read.
    TemplateUnreadable(String),
    /// Its template asks for spot itself.
    AlreadySpot,
    /// Names types by attributes.
    InstanceRequirements,
    /// Sized in vCPUs or memory instead of instances.
    CapacityType(String),
    /// Warm pool.
    WarmPool,
    /// Members with weights.
    Weighted(InstanceId),
    /// An instance refresh is going on.
    InstanceRefresh(String),
    /// A process is suspended that a swap depends on.
    Suspended(String),
    /// New members are protected from scale-in (ECS managed termination protection, for instance).
    NewMembersProtected,
    /// A member is in a state in which we keep our hands off.
    MemberState {
        /// The member.
        member: InstanceId,
        /// Its state.
        state: LifecycleState,
    },
    /// Launch hooks would not run on attach.
    LaunchHooks(Vec<String>),
    /// Elastic Beanstalk or EKS owns the group.
    ManagedBy(&'static str),
    /// What its instances are billed as has no spot price.
    UnsupportedBilling(String),
    /// The image is gone or not available.
    ImageUnavailable(String),
    /// Something in the template cannot be had as spot, or would not survive a swap.
    NotReproducible(&'static str),
    /// Not as many serving members as desired, or members coming or going.
    Unstable {
        /// Serving members.
        serving: u32,
        /// Desired capacity.
        desired: u32,
    },
    /// A scaling activity is not over.
    ActivityInProgress,
    /// The last activity is too recent.
    Quiet {
        /// Quiet from then on.
        until: Timestamp,
    },
    /// A scheduled action is close.
    ScheduledAction {
        /// Its start.
        at: Timestamp,
    },
    /// Desired equals MaxSize and the owner forbids raising it.
    AtMaxSize(u32),
    /// A swap of another deployment is on the group, or one of its replicas.
    ForeignSwap(String),
    /// The journal cannot be read.
    Journal(String),
}

/// Why one member is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Already spot.
    Spot,
    /// Needed on-demand: the floor.
    Floor {
        /// Members that have to be on-demand.
        floor: u32,
    },
    /// Not in service.
    NotInService(LifecycleState),
    /// Unhealthy.
    Unhealthy,
    /// Scale-in protection.
    Protected,
    /// EC2 termination protection.
    TerminationProtected,
    /// Too young.
    Young {
        /// Old enough then.
        until: Timestamp,
    },
    /// EC2 did not show it.
    Unseen,
    /// An Elastic IP would be lost.
    ElasticIp,
    /// Volumes or interfaces attached after launch would be lost.
    AttachedLater,
    /// Runs in a capacity reservation that is paid for anyway.
    Reserved,
    /// Its subnet is no longer one of the group's.
    ForeignSubnet,
    /// Runs another template version than the group launches now.
    OtherVersion {
        /// The member's.
        member: u64,
        /// The group's.
        group: u64,
    },
    /// Nothing to ask for.
    NoPool(NoPool),
    /// Another victim goes first: one swap at a time.
    Later,
}

/// What a swap waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Launch window: a replica launched at the end of the last window must be visible first.
    LaunchWindow {
        /// Open from then on.
        until: Timestamp,
    },
    /// The replica is not running yet.
    Booting(InstanceId),
    /// Its status checks have not passed.
    StatusChecks(InstanceId),
    /// It is too young to be attached.
    Warmup {
        /// The replica.
        replica: InstanceId,
        /// Old enough then.
        until: Timestamp,
    },
    /// The group is unfit just now.
    Blocked(Vec<Blocker>),
    /// The replica is attached and does not serve yet.
    NotServing(InstanceId),
    /// The time between arming and the victim's end.
    Settle {
        /// Over then.
        until: Timestamp,
    },
    /// Members are coming or going; nothing is removed meanwhile.
    Unstable {
        /// Serving members.
        serving: u32,
        /// Desired capacity.
        desired: u32,
    },
    /// The victim is being detached and drained.
    Draining(InstanceId),
    /// MaxSize is written back when the group is stable: more than the owner's ceiling is running.
    AboveCeiling {
        /// Desired capacity.
        desired: u32,
        /// The owner's MaxSize.
        ceiling: u32,
    },
}

/// Why a replica outside the group is not wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrayReason {
    /// Past its deadline.
    Deadline,
    /// EC2 has announced its end, or it was stopped.
    Dying,
    /// Another replica was there first.
    Duplicate,
    /// Its group is not enabled any more.
    Disabled,
    /// No member is left that it could stand in for.
    NoVictim,
    /// Its victim left by `detach`.
    Doomed,
}

/// The second check said no. Either a bug or a race; counted either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the action.
    pub action: &'static str,
    /// What is not true.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.why)
    }
}

/// `reason-code` of a value, for logs, metrics and the operations manual.
pub trait Code {
    /// Lower case with hyphens; stable.
    fn code(&self) -> &'static str;
}

/// The first word of [`InstanceType`]'s pool for messages.
pub(crate) fn pool_text(best: &Option<(InstanceType, crate::model::Price)>) -> String {
    match best {
        Some((instance_type, price)) => format!("the cheapest that fits is {instance_type} at {price}"),
        None => "none that fits has a price now".to_owned(),
    }
}
