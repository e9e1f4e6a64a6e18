//! Every "no" and every "not yet" as a value, with its numbers: printed by the same code for people, logs and tests.

use std::fmt;

use jiff::Timestamp;

use crate::choose::NoPool;
use crate::model::{InstanceId, LifecycleState, Platform};
use crate::policy::SettingError;
use crate::risk::Estimate;

/// A stable name for logs, metrics and the operations manual: lower case with hyphens.
pub trait Code {
    /// The name.
    fn code(&self) -> &'static str;
}

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
    /// Outside the owner's schedule.
    OutsideSchedule {
        /// Open from then on; `None` if it never opens.
        opens: Option<Timestamp>,
    },
    /// As many launches within an hour as the owner allows.
    Pace {
        /// Room for one more then.
        until: Timestamp,
    },
    /// Instances were lost in several pools lately: the market is the problem, and on-demand members stay.
    Losses {
        /// One of the pools has cooled then.
        until: Timestamp,
    },
    /// A swap of another deployment is on the group, or one of its replicas.
    ForeignSwap(String),
    /// The journal cannot be read.
    Journal(String),
    /// `removal=detach` marks victims by tags, which the role may only write on instances that carry the enabling tag.
    DetachNeedsPropagatedTag,
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
    /// `removal=detach` marks victims, and this one was launched before the enabling tag was propagated.
    NotMarkable,
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
    /// Members of this group do not live long enough for a swap to pay.
    NotWorthIt {
        /// How long a replica would have to live, seconds; `None` if no life would be long enough.
        after_seconds: Option<u64>,
        /// How long it may be expected to live, seconds.
        life_seconds: u64,
        /// What shortens that life, if anybody has said.
        risk: Option<Estimate>,
    },
    /// EC2 has announced its end.
    Ending {
        /// When, if EC2 says.
        at: Option<Timestamp>,
    },
    /// A rebalance recommendation that the owner, or the group's own Capacity Rebalancing, keeps us from acting on.
    RebalanceIgnored,
    /// A rebalance recommendation, and no pool that would be better.
    NoBetterPool,
    /// Its replica of this launch window is gone: EC2 hears each request once.
    Tried {
        /// The next window opens.
        until: Timestamp,
    },
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
    /// The watcher on it has not said that it is ready.
    Ready {
        /// The replica.
        replica: InstanceId,
        /// Discarded if it has not by then.
        deadline: Timestamp,
    },
    /// The group is unfit just now.
    Blocked(Vec<Blocker>),
    /// The replica is attached and does not serve yet.
    NotServing(InstanceId),
    /// The time between arming and what cannot be taken back: the victim's end, or forgetting the journal.
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
    /// The victim is gone and the group's activities do not say yet how.
    NoTrace(InstanceId),
    /// A protected member whose end is announced: we do not end it, and who is surplus shows when it is gone.
    ProtectedEnding(InstanceId),
    /// MaxSize is written back when the group is stable: more than the owner's ceiling is running.
    AboveCeiling {
        /// Desired capacity.
        desired: u32,
        /// The owner's MaxSize.
        ceiling: u32,
    },
}

impl Wait {
    /// When it is over, if that is known: nobody has to look before.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::LaunchWindow { until } | Self::Warmup { until, .. } | Self::Settle { until } => Some(*until),
            Self::Booting(_)
            | Self::StatusChecks(_)
            | Self::Ready { .. }
            | Self::Blocked(_)
            | Self::NotServing(_)
            | Self::Unstable { .. }
            | Self::NoTrace(_)
            | Self::ProtectedEnding(_)
            | Self::AboveCeiling { .. } => None,
        }
    }
}

/// Why a replica outside the group is not wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrayReason {
    /// Past its deadline.
    Deadline,
    /// Past its deadline, and its group waits for a watcher that has never said `ready`.
    NeverReady,
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

impl Code for StrayReason {
    fn code(&self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::NeverReady => "never-ready",
            Self::Dying => "dying",
            Self::Duplicate => "duplicate",
            Self::Disabled => "disabled",
            Self::NoVictim => "no-victim",
            Self::Doomed => "doomed",
        }
    }
}

impl fmt::Display for StrayReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "could not join the group before its deadline",
            Self::NeverReady => {
                "its watcher never said that it is ready, and spotward:readiness=watcher waits for that: is it running there, with the right topic?"
            }
            Self::Dying => "EC2 takes it back, or it was stopped",
            Self::Duplicate => "another replica was there first",
            Self::Disabled => "the group is not enabled any more, or its settings cannot be understood",
            Self::NoVictim => "no member is left that it could stand in for",
            Self::Doomed => "its replica has taken its place, and it has left the group",
        })
    }
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

impl Code for Blocker {
    fn code(&self) -> &'static str {
        match self {
            Self::NotEnabled => "not-enabled",
            Self::Settings(_) => "settings",
            Self::Status(_) => "group-status",
            Self::Operator(_) => "operator",
            Self::MixedInstancesPolicy => "mixed-instances-policy",
            Self::NoTemplate => "no-template",
            Self::TemplateUnreadable(_) => "template-unreadable",
            Self::AlreadySpot => "already-spot",
            Self::InstanceRequirements => "instance-requirements",
            Self::CapacityType(_) => "capacity-type",
            Self::WarmPool => "warm-pool",
            Self::Weighted(_) => "weighted",
            Self::InstanceRefresh(_) => "instance-refresh",
            Self::Suspended(_) => "process-suspended",
            Self::NewMembersProtected => "new-members-protected",
            Self::MemberState { .. } => "member-state",
            Self::LaunchHooks(_) => "launch-hooks",
            Self::ManagedBy(_) => "managed-by",
            Self::UnsupportedBilling(_) => "unsupported-billing",
            Self::ImageUnavailable(_) => "image-unavailable",
            Self::NotReproducible(_) => "not-reproducible",
            Self::Unstable { .. } => "unstable",
            Self::ActivityInProgress => "activity-in-progress",
            Self::Quiet { .. } => "quiet-period",
            Self::ScheduledAction { .. } => "scheduled-action",
            Self::AtMaxSize(_) => "at-max-size",
            Self::OutsideSchedule { .. } => "outside-schedule",
            Self::Pace { .. } => "swaps-per-hour",
            Self::Losses { .. } => "pools-lost",
            Self::ForeignSwap(_) => "foreign-swap",
            Self::Journal(_) => "journal-unreadable",
            Self::DetachNeedsPropagatedTag => "detach-needs-propagated-tag",
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnabled => write!(f, "the group does not carry the enabling tag"),
            Self::Settings(errors) => {
                let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
                write!(f, "settings that cannot be understood: {}", texts.join("; "))
            }
            Self::Status(status) => write!(f, "the group's status is {status:?}"),
            Self::Operator(operator) => write!(f, "only {operator} may change the group"),
            Self::MixedInstancesPolicy => {
                write!(f, "a mixed instances policy decides between spot and on-demand: set its spot share instead")
            }
            Self::NoTemplate => write!(f, "the group has neither launch template nor launch configuration"),
            Self::TemplateUnreadable(why) => write!(f, "what the group launches cannot be read: {why}"),
            Self::AlreadySpot => write!(f, "the group's template asks for spot itself"),
            Self::InstanceRequirements => write!(f, "the template names types by attributes"),
            Self::CapacityType(kind) => write!(f, "the group is sized in {kind}, not in instances"),
            Self::WarmPool => write!(f, "warm pools cannot hold spot instances"),
            Self::Weighted(member) => write!(f, "{member} counts with a weight"),
            Self::InstanceRefresh(status) => write!(f, "an instance refresh is {status}"),
            Self::Suspended(process) => write!(f, "the process {process} is suspended"),
            Self::NewMembersProtected => write!(f, "new members are protected from scale-in"),
            Self::MemberState { member, state } => write!(f, "{member} is {state}"),
            Self::LaunchHooks(hooks) => write!(
                f,
                "launch lifecycle hooks would not run on attach: {} (spotward:launch-hooks=ignore accepts that, spotward:readiness=watcher waits for your own check)",
                hooks.join(", ")
            ),
            Self::ManagedBy(owner) => write!(f, "the group belongs to {owner}"),
            Self::UnsupportedBilling(operation) => {
                let name = Platform::unsupported_name(operation).map_or(String::new(), |name| format!(" ({name})"));
                write!(f, "instances billed as {operation:?}{name} have no spot price of their own")
            }
            Self::ImageUnavailable(image) => write!(f, "the image {image} is not available"),
            Self::NotReproducible(what) => write!(f, "the template asks for {what}"),
            Self::Unstable { serving, desired } => {
                write!(f, "{serving} of {desired} members serve, or members come and go")
            }
            Self::ActivityInProgress => write!(f, "a scaling activity is in progress"),
            Self::Quiet { until } => write!(f, "quiet period after the last scaling activity, until {until}"),
            Self::ScheduledAction { at } => write!(f, "a scheduled action is due at {at}"),
            Self::AtMaxSize(max) => {
                write!(f, "desired equals MaxSize {max}, and spotward:on-max=skip forbids raising it")
            }
            Self::OutsideSchedule { opens: Some(opens) } => write!(f, "outside the schedule, which opens at {opens}"),
            Self::OutsideSchedule { opens: None } => write!(f, "the schedule never opens"),
            Self::Pace { until } => {
                write!(f, "as many launches in an hour as spotward:swaps-per-hour allows, until {until}")
            }
            Self::Losses { until } => {
                write!(f, "instances were lost in several pools lately: on-demand members stay until {until}")
            }
            Self::ForeignSwap(stack) => write!(f, "the deployment {stack:?} has a swap in flight on this group"),
            Self::DetachNeedsPropagatedTag => {
                write!(
                    f,
                    "spotward:removal=detach needs the enabling tag on the instances: set PropagateAtLaunch on it"
                )
            }
            Self::Journal(why) => write!(f, "{why}: remove the tag once the group is as it should be"),
        }
    }
}

impl Code for Reason {
    fn code(&self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Floor { .. } => "floor",
            Self::NotInService(_) => "not-in-service",
            Self::Unhealthy => "unhealthy",
            Self::Protected => "protected",
            Self::TerminationProtected => "termination-protected",
            Self::Young { .. } => "young",
            Self::Unseen => "unseen",
            Self::ElasticIp => "elastic-ip",
            Self::AttachedLater => "attached-later",
            Self::Reserved => "reserved",
            Self::NotMarkable => "not-markable",
            Self::ForeignSubnet => "foreign-subnet",
            Self::OtherVersion { .. } => "other-version",
            Self::NoPool(_) => "no-pool",
            Self::NotWorthIt { .. } => "not-worth-it",
            Self::Ending { .. } => "ending",
            Self::RebalanceIgnored => "rebalance-ignored",
            Self::NoBetterPool => "no-better-pool",
            Self::Tried { .. } => "tried",
            Self::Later => "later",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spot => write!(f, "is bought as it should be"),
            Self::Floor { floor } => write!(f, "stays on-demand: the floor is {floor}"),
            Self::NotInService(state) => write!(f, "is {state}"),
            Self::Unhealthy => write!(f, "is unhealthy"),
            Self::Protected => write!(f, "is protected from scale-in"),
            Self::TerminationProtected => write!(f, "has EC2 termination protection"),
            Self::Young { until } => write!(f, "is too young until {until}"),
            Self::Unseen => write!(f, "is not shown by EC2 yet"),
            Self::ElasticIp => write!(f, "has an Elastic IP address that would be lost"),
            Self::AttachedLater => write!(f, "has volumes or interfaces that were attached after its launch"),
            Self::Reserved => write!(f, "runs in a capacity reservation that is paid for anyway"),
            Self::NotMarkable => {
                write!(f, "does not carry the enabling tag, which spotward:removal=detach needs: tag the instance, too")
            }
            Self::ForeignSubnet => write!(f, "is in a subnet that the group no longer uses"),
            Self::OtherVersion { member, group } => write!(
                f,
                "runs template version {member}, the group launches {group} (spotward:roll-forward=true accepts that)"
            ),
            Self::NoPool(no_pool) => write!(f, "{no_pool}"),
            Self::NotWorthIt { after_seconds: Some(after), life_seconds, risk } => {
                let (pays_after, lives) = (after.div_ceil(60), life_seconds / 60);
                match risk {
                    None => write!(
                        f,
                        "a swap would pay after {pays_after} min, and members of this group live for {lives} min"
                    ),
                    Some(risk) => write!(
                        f,
                        "a swap would pay after {pays_after} min, and a replica would live for {lives} min: {risk}"
                    ),
                }
            }
            Self::NotWorthIt { after_seconds: None, .. } => write!(f, "a swap would save nothing"),
            Self::Ending { at: Some(at) } => write!(f, "will be taken back by EC2 at {at}"),
            Self::Ending { at: None } => write!(f, "will be taken back by EC2 within two minutes"),
            Self::RebalanceIgnored => {
                write!(
                    f,
                    "was recommended for rebalancing, which spotward:rebalance or Capacity Rebalancing leaves to others"
                )
            }
            Self::NoBetterPool => write!(f, "was recommended for rebalancing, and no other pool is better"),
            Self::Tried { until } => write!(f, "has lost its replica: another one may be launched from {until} on"),
            Self::Later => write!(f, "comes later: one swap at a time"),
        }
    }
}

impl Code for Wait {
    fn code(&self) -> &'static str {
        match self {
            Self::LaunchWindow { .. } => "launch-window",
            Self::Booting(_) => "booting",
            Self::StatusChecks(_) => "status-checks",
            Self::Warmup { .. } => "warmup",
            Self::Ready { .. } => "ready",
            Self::Blocked(_) => "blocked",
            Self::NotServing(_) => "not-serving",
            Self::Settle { .. } => "settle",
            Self::Unstable { .. } => "unstable",
            Self::NoTrace(_) => "no-trace",
            Self::ProtectedEnding(_) => "protected-ending",
            Self::AboveCeiling { .. } => "above-ceiling",
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LaunchWindow { until } => write!(f, "the next launch window opens at {until}"),
            Self::Booting(replica) => write!(f, "{replica} is booting"),
            Self::StatusChecks(replica) => write!(f, "the status checks of {replica} have not passed yet"),
            Self::Warmup { replica, until } => write!(f, "{replica} warms up until {until}"),
            Self::Ready { replica, deadline } => {
                write!(f, "the watcher on {replica} has not said that it is ready (it has time until {deadline})")
            }
            Self::Blocked(blockers) => {
                let texts: Vec<String> = blockers.iter().map(ToString::to_string).collect();
                write!(f, "the group is unfit just now: {}", texts.join("; "))
            }
            Self::NotServing(replica) => write!(f, "{replica} does not serve yet"),
            Self::Settle { until } => write!(f, "nothing is final before {until}"),
            Self::Unstable { serving, desired } => {
                write!(f, "{serving} of {desired} members serve, or members come and go")
            }
            Self::NoTrace(victim) => write!(f, "{victim} is gone and the activities do not say yet how"),
            Self::ProtectedEnding(victim) => write!(f, "{victim} is protected from scale-in and ends by itself"),
            Self::AboveCeiling { desired, ceiling } => {
                write!(f, "{desired} are wanted, the owner's MaxSize is {ceiling}: restored when the group is stable")
            }
        }
    }
}
