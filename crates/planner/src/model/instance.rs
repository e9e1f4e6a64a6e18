//! Instances: members of a group, and replicas that are not members yet.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::{GroupName, ImageId, InstanceId, InstanceType, Platform, Price, SubnetId, Zone};
use crate::journal::Journal;

/// Keys and values of the tags of one resource.
pub type Tags = BTreeMap<String, String>;

/// How an instance is paid for (`InstanceLifecycle` in EC2, where an absent value means on-demand).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PurchaseOption {
    /// Pay the public on-demand price.
    OnDemand,
    /// Pay the spot price of the capacity pool; may be interrupted with two minutes' notice.
    Spot,
}

impl PurchaseOption {
    /// The other one.
    pub fn opposite(self) -> Self {
        match self {
            Self::OnDemand => Self::Spot,
            Self::Spot => Self::OnDemand,
        }
    }
}

impl fmt::Display for PurchaseOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
        })
    }
}

/// Lifecycle state of a member, as Auto Scaling reports it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LifecycleState {
    /// `Pending`, `Pending:Wait`, `Pending:Proceed`.
    Pending,
    /// Counts towards desired capacity and serves.
    InService,
    /// `Terminating`, `Terminating:Wait`, `Terminating:Proceed`: no longer counts towards desired capacity.
    Terminating,
    /// `Terminating:Retained`: billed and not counted until somebody terminates it.
    TerminatingRetained,
    /// Gone.
    Terminated,
    /// Being deregistered and drained before it leaves the group.
    Detaching,
    /// No longer a member.
    Detached,
    /// On the way to `Standby`.
    EnteringStandby,
    /// Taken out of service by its owner.
    Standby,
    /// A state we do not know: never treated as stable.
    Other(String),
}

impl LifecycleState {
    /// Parses the text of `DescribeAutoScalingGroups`.
    pub fn parse(text: &str) -> Self {
        match text {
            "Pending" | "Pending:Wait" | "Pending:Proceed" => Self::Pending,
            "InService" => Self::InService,
            "Terminating" | "Terminating:Wait" | "Terminating:Proceed" => Self::Terminating,
            "Terminating:Retained" => Self::TerminatingRetained,
            "Terminated" => Self::Terminated,
            "Detaching" => Self::Detaching,
            "Detached" => Self::Detached,
            "EnteringStandby" => Self::EnteringStandby,
            "Standby" => Self::Standby,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether the member is on its way out or gone.
    pub fn is_leaving(&self) -> bool {
        match self {
            Self::Terminating | Self::TerminatingRetained | Self::Terminated | Self::Detaching | Self::Detached => true,
            Self::Pending | Self::InService | Self::EnteringStandby | Self::Standby | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for LifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "Pending",
            Self::InService => "InService",
            Self::Terminating => "Terminating",
            Self::TerminatingRetained => "Terminating:Retained",
            Self::Terminated => "Terminated",
            Self::Detaching => "Detaching",
            Self::Detached => "Detached",
            Self::EnteringStandby => "EnteringStandby",
            Self::Standby => "Standby",
            Self::Other(text) => text,
        })
    }
}

/// State of an instance in EC2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunState {
    /// Being launched.
    Pending,
    /// Running; the only state in which an instance can be attached.
    Running,
    /// Being stopped.
    Stopping,
    /// Stopped: not running, its disks are still billed.
    Stopped,
    /// Being terminated.
    ShuttingDown,
    /// Gone; visible for about an hour.
    Terminated,
}

impl RunState {
    /// Parses EC2's state name. An unknown name is treated as not running yet.
    pub fn parse(text: &str) -> Self {
        match text {
            "running" => Self::Running,
            "stopping" => Self::Stopping,
            "stopped" => Self::Stopped,
            "shutting-down" => Self::ShuttingDown,
            "terminated" => Self::Terminated,
            _ => Self::Pending,
        }
    }

    /// Whether the instance exists and may cost money.
    pub fn is_alive(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Stopping | Self::Stopped => true,
            Self::ShuttingDown | Self::Terminated => false,
        }
    }
}

/// What an instance of ours is for: the tag `spotward:role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Launched by us; attached or ended by its deadline.
    Replica,
    /// A swap that is over: an ordinary member, which our role may no longer terminate.
    Member,
    /// A victim that leaves by `detach`: ended as soon as it is out of the group.
    Doomed,
}

impl Role {
    /// The tag's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replica => "replica",
            Self::Member => "member",
            Self::Doomed => "doomed",
        }
    }
}

/// What our tags say about an instance. A hint until AWS confirms it, never truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// `spotward:role`
    pub role: Role,
    /// `spotward:asg`
    pub group: GroupName,
    /// `spotward:victim`: the member that this instance stands in for.
    pub victim: InstanceId,
    /// `spotward:stands-for`: the type that it was launched in place of. For the books only.
    pub stands_for: Option<InstanceType>,
    /// `spotward:bid`: the cap on its spot price. For the books only.
    pub bid: Option<Price>,
    /// `spotward:deadline`: attached by then, or ended.
    pub deadline: Timestamp,
    /// `spotward:stack`: which deployment launched it.
    pub stack: String,
    /// `spotward:swap`: copy of the group's journal, unless the swap is over.
    pub journal: Option<Journal>,
    /// `spotward:ready`: when the watcher on the instance said so.
    pub ready_at: Option<Timestamp>,
    /// `spotward:win`: why it was launched.
    pub cause: Cause,
}

/// Why a replica was launched: the tag `spotward:win` holds the number of the launch window, or the event's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// To save money, or to bring the floor back: a swap of the usual kind.
    #[default]
    Swap,
    /// EC2 has announced its victim's end.
    Notice,
    /// EC2 sees a higher risk for its victim's pool.
    Rebalance,
}

/// The words in the tag.
pub mod cause {
    /// [`Notice`](super::Cause::Notice)
    pub const NOTICE: &str = "notice";
    /// [`Rebalance`](super::Cause::Rebalance)
    pub const REBALANCE: &str = "rebalance";
}

impl Cause {
    /// Reads the tag.
    pub fn from_tag(text: Option<&str>) -> Self {
        match text {
            Some(cause::NOTICE) => Self::Notice,
            Some(cause::REBALANCE) => Self::Rebalance,
            Some(_) | None => Self::Swap,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Swap => "swap",
            Self::Notice => cause::NOTICE,
            Self::Rebalance => cause::REBALANCE,
        }
    }
}

/// Tag keys on instances. None of them may be used as a propagated tag of a group: attaching overwrites equal keys.
pub mod tag {
    /// What the instance is for.
    pub const ROLE: &str = "spotward:role";
    /// Name of the group.
    pub const GROUP: &str = "spotward:asg";
    /// The member to replace.
    pub const VICTIM: &str = "spotward:victim";
    /// Instance type of the member to replace: what the replica's cost is compared with.
    pub const STANDS_FOR: &str = "spotward:stands-for";
    /// The cap that the replica was launched with, dollars per hour; without one EC2's own applies.
    pub const BID: &str = "spotward:bid";
    /// Number of the launch window, `notice` or `rebalance`.
    pub const WINDOW: &str = "spotward:win";
    /// Unix seconds.
    pub const DEADLINE: &str = "spotward:deadline";
    /// Deployment that owns the instance.
    pub const STACK: &str = "spotward:stack";
    /// Journal: on the group, and its copy on the replica.
    pub const SWAP: &str = "spotward:swap";
    /// Unix seconds at which the watcher reported readiness.
    pub const READY: &str = "spotward:ready";
    /// Cooling pools, on the group.
    pub const BACKOFF: &str = "spotward:backoff";
}

impl Provenance {
    /// Reads our tags. `None` if the instance is not ours, or if a tag is missing or malformed: what we cannot
    /// read we do not touch.
    pub fn from_tags(tags: &Tags) -> Option<Provenance> {
        let text = |key: &str| tags.get(key).map(String::as_str);
        let seconds = |key: &str| {
            let seconds = text(key)?.parse().ok()?;
            crate::journal::plausible_time(seconds)
        };
        Some(Provenance {
            role: match text(tag::ROLE)? {
                "replica" => Role::Replica,
                "member" => Role::Member,
                "doomed" => Role::Doomed,
                _ => return None,
            },
            group: GroupName::new(text(tag::GROUP)?),
            victim: InstanceId::new(text(tag::VICTIM)?),
            stands_for: text(tag::STANDS_FOR).map(InstanceType::new),
            bid: text(tag::BID).and_then(Price::parse),
            deadline: seconds(tag::DEADLINE)?,
            stack: text(tag::STACK)?.to_owned(),
            journal: text(tag::SWAP).and_then(|text| text.parse().ok()),
            ready_at: seconds(tag::READY),
            cause: Cause::from_tag(text(tag::WINDOW)),
        })
    }
}

/// An instance that belongs to the group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Instance id.
    pub id: InstanceId,
    /// Availability Zone.
    pub zone: Zone,
    /// Instance type.
    pub instance_type: InstanceType,
    /// On-demand or spot.
    pub purchase: PurchaseOption,
    /// State in the group.
    pub lifecycle: LifecycleState,
    /// The group's own verdict (`HealthStatus`).
    pub healthy: bool,
    /// Health of its load-balancer targets: all healthy, or not. `None` where the group has no load balancer or
    /// the look did not ask.
    pub targets_healthy: Option<bool>,
    /// Scale-in protection.
    pub protected: bool,
    /// `WeightedCapacity` is set.
    pub weighted: bool,
    /// Version of the group's launch template that it runs; `None` for launch configurations and attached instances
    /// for which Auto Scaling records none.
    pub template_version: Option<u64>,
    /// EC2's facts; `None` if EC2 did not show the instance on this look.
    pub ec2: Option<Ec2Facts>,
    /// What our tags say.
    pub ours: Option<Provenance>,
}

/// What only EC2 knows about an instance.
#[derive(Clone, Debug)]
pub struct Ec2Facts {
    /// State in EC2.
    pub state: RunState,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// Subnet of its primary interface.
    pub subnet: SubnetId,
    /// Image that it runs.
    pub image: ImageId,
    /// What it is billed as; `None` for what has no spot price of its own, or if EC2 does not say.
    pub platform: Option<Platform>,
    /// An Elastic IP address is associated: it would be lost.
    pub elastic_ip: bool,
    /// Volumes or interfaces were attached after launch: they would be lost.
    pub attached_later: bool,
    /// Runs in a capacity reservation: already paid for.
    pub reserved: bool,
    /// Carries the enabling tag itself: only then may it be marked as doomed.
    pub enabled: bool,
    /// EC2 has announced its end (spot request marked for termination).
    pub interrupted: bool,
    /// When that will be: two minutes after the announcement. `None` without one, or if EC2 does not say when it was.
    pub ends_at: Option<Timestamp>,
    /// EC2 termination protection; `None` until somebody looked closer.
    pub termination_protected: Option<bool>,
}

impl Member {
    /// In service and healthy for the group and, as far as we looked, for its load balancers; and running without an
    /// announced end for EC2: the group's own verdict lags behind a machine that has just died.
    pub fn serves(&self) -> bool {
        self.lifecycle == LifecycleState::InService
            && self.healthy
            && self.targets_healthy != Some(false)
            && self.ec2.as_ref().is_some_and(|ec2| ec2.state == RunState::Running && !ec2.interrupted)
    }

    /// Brought by us, with its swap not over yet.
    pub fn is_replica(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| ours.role == Role::Replica)
    }

    /// In service on spot capacity, brought by us, with its end announced: it runs for two minutes at most.
    pub fn is_dying(&self) -> bool {
        self.lifecycle == LifecycleState::InService
            && self.purchase == PurchaseOption::Spot
            && self.ours.is_some()
            && self.ec2.as_ref().is_some_and(|ec2| ec2.state == RunState::Running && ec2.interrupted)
    }

    /// Marked to leave by `detach`.
    pub fn is_doomed(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| ours.role == Role::Doomed)
    }

    /// Brought by us once, before it was marked to leave: what we mark otherwise is named as its own victim.
    pub fn was_brought(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| ours.victim != self.id)
    }

    /// When EC2 launched it, if EC2 showed it.
    pub fn launched_at(&self) -> Option<Timestamp> {
        self.ec2.as_ref().map(|facts| facts.launched_at)
    }
}

/// An instance with our tags that is not a member of the group: a replica before its attach, or a doomed victim
/// after its detach.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Instance id.
    pub id: InstanceId,
    /// Availability Zone.
    pub zone: Zone,
    /// Instance type.
    pub instance_type: InstanceType,
    /// On-demand on the way back, spot otherwise.
    pub purchase: PurchaseOption,
    /// State in EC2.
    pub state: RunState,
    /// Both status checks passed; `None` if the look did not ask.
    pub checks_ok: Option<bool>,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// Carries `aws:autoscaling:groupName`: it has been a member.
    pub was_member: bool,
    /// EC2 has announced its end (spot request marked for termination).
    pub interrupted: bool,
    /// What our tags say.
    pub ours: Provenance,
}
