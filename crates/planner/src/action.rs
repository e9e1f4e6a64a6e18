//! What can be done to the world: one closed enum. Adding an action is a compile error everywhere it matters.

use jiff::Timestamp;

use crate::choose::Pools;
use crate::journal::{Journal, RaisedMax};
use crate::model::{Cause, Group, InstanceId, LaunchSource, Platform, PurchaseOption, SubnetId, Tags, Zone, tag};
use crate::policy::{AllocationStrategy, EnabledGroup};

/// One action on one group: one or two calls to AWS, no choices left. Performing it again must be harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Launch a replica: `CreateFleet` of type `instant`.
    Launch(Box<Launch>),
    /// End a replica outside the group: `TerminateInstances`.
    Discard {
        /// The replica.
        replica: InstanceId,
    },
    /// Write the journal: on the replica first, then on the group.
    Arm {
        /// What is written.
        journal: Journal,
    },
    /// Make room: suspend AZRebalance, then raise MaxSize. At least one of the two.
    Prepare {
        /// `SuspendProcesses(AZRebalance)`.
        suspend_az_rebalance: bool,
        /// `UpdateAutoScalingGroup(MaxSize)`.
        raise_max: Option<RaisedMax>,
    },
    /// `AttachInstances`: desired becomes `expect.desired + 1`.
    Attach {
        /// The replica.
        replica: InstanceId,
        /// What must still be true.
        expect: Expect,
    },
    /// Mark a victim that leaves by `detach`, before it is detached: whatever happens to us, it will be ended.
    Doom {
        /// The victim.
        victim: InstanceId,
        /// Ended by then at the latest.
        deadline: Timestamp,
        /// Brought by us once: it keeps its own history, and gets its role back if it stays.
        brought: bool,
    },
    /// Take the mark off again: the victim stays.
    Pardon {
        /// The victim.
        victim: InstanceId,
        /// Brought by us once: a member as before, not a stranger.
        brought: bool,
    },
    /// `DetachInstances` with decrement.
    Detach {
        /// The victim.
        victim: InstanceId,
        /// What must still be true.
        expect: Expect,
    },
    /// `TerminateInstanceInAutoScalingGroup` with decrement.
    Terminate {
        /// The member that leaves: the victim, or on the way back whoever is surplus.
        member: InstanceId,
        /// What must still be true.
        expect: Expect,
    },
    /// `TerminateInstanceInAutoScalingGroup` without decrement: a member whose end is announced leaves now, drained and
    /// through its hooks, and the group launches another by itself.
    Replace {
        /// The dying member.
        member: InstanceId,
    },
    /// `SetDesiredCapacity`: a decrement of ours hit somebody else's change; give it back, once.
    Compensate {
        /// Desired capacity as we see it.
        from: u32,
        /// One more.
        to: u32,
    },
    /// Give back what we changed: MaxSize if it still has our value, then AZRebalance. At least one of the two.
    Restore {
        /// `UpdateAutoScalingGroup(MaxSize)` from `raised` back to `original`.
        max: Option<RaisedMax>,
        /// `ResumeProcesses(AZRebalance)`.
        resume_az_rebalance: bool,
    },
    /// The swap is over: relabel the replica first, then drop the journal from the group.
    Finish {
        /// What becomes of the replica.
        replica: Option<Finished>,
        /// Id of the journal that goes from the group: another one that is there by then stays.
        drop_journal: Option<String>,
    },
    /// End a doomed victim that has left its group: `TerminateInstances`.
    EndDoomed {
        /// The victim.
        victim: InstanceId,
    },
    /// Write down that the watcher on our replica has said `ready`: `CreateTags`.
    RecordReady {
        /// The replica.
        replica: InstanceId,
        /// When we heard it, by our clock.
        at: Timestamp,
    },
    /// Write down which pools cool, or that none does: `CreateOrUpdateTags`, `DeleteTags`. Losing it costs at worst one
    /// wasted request.
    Note {
        /// Value of the group's tag `spotward:backoff`; `None` to drop the tag.
        backoff: Option<String>,
    },
}

/// What becomes of a replica when its swap is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is an ordinary member now: `spotward:role=member`, its journal copy removed.
    Member(InstanceId),
    /// It stays outside until its deadline, its journal copy removed.
    Kept(InstanceId),
}

impl Finished {
    /// The replica.
    pub fn id(&self) -> &InstanceId {
        match self {
            Self::Member(id) | Self::Kept(id) => id,
        }
    }
}

/// What must still be true, on a fresh look, when an irreversible action starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// DesiredCapacity.
    pub desired: u32,
    /// Serving members.
    pub serving: u32,
}

impl Expect {
    /// The group as it is.
    pub fn unchanged(group: &Group) -> Self {
        Self { desired: group.desired, serving: group.serving() }
    }
}

/// Everything that a launch needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Proof that the owner asked for us.
    pub enabled: EnabledGroup,
    /// ARN of the group.
    pub group_arn: String,
    /// The member to stand in for.
    pub victim: InstanceId,
    /// Spot; on-demand on the way back.
    pub purchase: PurchaseOption,
    /// The group's own template or launch configuration.
    pub source: LaunchSource,
    /// Resolved version of the template.
    pub template_version: Option<u64>,
    /// The victim's zone.
    pub zone: Zone,
    /// The victim's subnet.
    pub subnet: SubnetId,
    /// The group's placement group.
    pub placement_group: Option<String>,
    /// Which product the prices are for.
    pub platform: Platform,
    /// What to ask for, best first; never empty.
    pub pools: Pools,
    /// How EC2 picks.
    pub strategy: AllocationStrategy,
    /// Tags of the replica: ours and the group's propagated ones. Born with it.
    pub tags: Tags,
    /// At most one launch per victim and window: at most 64 ASCII characters.
    pub client_token: String,
}

impl Launch {
    /// Why the replica is launched, as its tags will say.
    pub fn cause(&self) -> Cause {
        Cause::from_tag(self.tags.get(tag::WINDOW).map(String::as_str))
    }
}

impl Action {
    /// Whether it is checked on a fresh look: it cannot be taken back, or a race with somebody else would last, or it
    /// writes over a number that its owner may be changing (a MaxSize below what is wanted by now would let the group remove members).
    pub fn needs_fresh_look(&self) -> bool {
        match self {
            Self::Attach { .. }
            | Self::Detach { .. }
            | Self::Terminate { .. }
            | Self::Replace { .. }
            | Self::Discard { .. }
            | Self::EndDoomed { .. }
            | Self::Compensate { .. }
            | Self::Prepare { .. }
            | Self::Finish { drop_journal: Some(_), .. }
            | Self::Restore { .. } => true,
            // A MaxSize that the owner changed between our look and this call would be put back to the old one.
            Self::Arm { journal } => journal.raised_max.is_some(),
            Self::Launch(_)
            | Self::Doom { .. }
            | Self::Pardon { .. }
            | Self::RecordReady { .. }
            | Self::Note { .. }
            | Self::Finish { drop_journal: None, .. } => false,
        }
    }

    /// Its name, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Launch(_) => "launch",
            Self::Discard { .. } => "discard",
            Self::Arm { .. } => "arm",
            Self::Prepare { .. } => "prepare",
            Self::Attach { .. } => "attach",
            Self::Doom { .. } => "doom",
            Self::Pardon { .. } => "pardon",
            Self::Detach { .. } => "detach",
            Self::Terminate { .. } => "terminate",
            Self::Replace { .. } => "replace",
            Self::Compensate { .. } => "compensate",
            Self::Restore { .. } => "restore",
            Self::Finish { .. } => "finish",
            Self::EndDoomed { .. } => "end-doomed",
            Self::RecordReady { .. } => "record-ready",
            Self::Note { .. } => "note",
        }
    }
}
