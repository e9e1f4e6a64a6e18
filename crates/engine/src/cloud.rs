//! The port: a region as this program sees it. Two implementations: AWS, and the simulator.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use planner::action::Action;
use planner::backoff::Trouble;
use planner::market::Market;
use planner::model::{GroupName, InstanceId, InstanceType, Observation, Platform};

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every group whose owner asked for us or that still carries our journal, in bulk: without
    /// [`Details`](planner::model::Details).
    Enabled,
    /// One group in full detail. `closer` names a member whose EC2 termination protection is wanted as well.
    Group {
        /// The group.
        name: GroupName,
        /// A member to look at more closely.
        closer: Option<InstanceId>,
    },
    /// The group that the instance is a member of, or was launched for by us, in full detail.
    GroupOf(InstanceId),
    /// The group that the instance is a member of, in haste, if EC2 has announced the instance's end: of the [`Details`](planner::model::Details) only what the
    /// group launches.
    Notice(InstanceId),
}

impl Scope {
    /// One group.
    pub fn group(name: &GroupName) -> Self {
        Self::Group { name: name.clone(), closer: None }
    }
}

/// A region. Static dispatch; the engine never spawns.
pub trait Cloud {
    /// What is in scope, with members, our replicas and the time of the look. A group that does not exist is not in
    /// the answer.
    fn observe(&self, scope: &Scope) -> impl Future<Output = Result<Vec<Observation>, CloudError>>;

    /// Instance types, offerings and prices of the region for one platform. Shared, since it is large: implementations
    /// cache it.
    fn market(&self, platform: Platform) -> impl Future<Output = Result<Arc<Market>, CloudError>>;

    /// The same, if it can be had without asking anybody: read a moment ago and still good.
    fn market_at_hand(&self, _platform: Platform) -> Option<Arc<Market>> {
        None
    }

    /// Performs one action on a group. Performing it again must be harmless; no choice is made here.
    fn apply(&self, group: &GroupName, action: &Action) -> impl Future<Output = Result<(), CloudError>>;
}

/// What went wrong, sorted by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// No pool of the request had capacity: ask for others, later.
    #[error("no capacity: {0}")]
    InsufficientCapacity(NoCapacity),
    /// An account limit (spot vCPUs, for instance): every further launch will fail until somebody raises it.
    #[error("account limit reached: {0}")]
    Limit(String),
    /// Too many requests, or AWS failed for a moment: the next pass tries again.
    #[error("throttled or temporarily failing: {0}")]
    Throttled(String),
    /// The role may not do this: the owner has to act.
    #[error("not permitted: {0}")]
    Denied(String),
    /// It is gone.
    #[error("not found: {0}")]
    NotFound(String),
    /// Somebody else is changing it, or this was tried already: look again.
    #[error("conflict: {0}")]
    Conflict(String),
    /// AWS refuses the request as it is.
    #[error("refused: {0}")]
    Rejected(String),
}

/// What came of a launch that no pool could serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoCapacity {
    /// For people.
    pub text: String,
    /// The types that failed in the zone of the launch, each with what was wrong; empty if the answer names none: then
    /// nothing is known of any pool in particular.
    pub pools: Vec<(InstanceType, Trouble)>,
}

impl fmt::Display for NoCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for NoCapacity {
    /// An answer that names no pool.
    fn from(text: String) -> Self {
        Self { text, pools: Vec::new() }
    }
}
