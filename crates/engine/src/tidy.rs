//! Tidying up a region outside any pass over a group: the sweep of every tick, and the uninstall.
//!
//! A port of its own beside [`Cloud`](crate::Cloud): it knows regions, not groups, and only three implementations need
//! it. The rules are those of a pass: what to take away is decided by the planner, checked a second time on a fresh
//! look, and one thing that fails never stops the others.

use std::collections::BTreeSet;
use std::future::Future;

use planner::guard::check_removal;
use planner::model::{GroupName, InstanceId};
use planner::policy::Config;
use planner::reason::Refusal;
use planner::traces::{self, Extent, Removal, Traces, Whereabouts};
use serde_json::{Value, json};

use crate::CloudError;

/// At most so much is taken away in one go: the rest by the next tick.
const REMOVALS_MAX: usize = 20;

/// How far a look at the region reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Instances in flight and derived templates: what the sweep needs, in two or three calls.
    InFlight,
    /// Every instance and template of ours, and every group with a tag of our namespace.
    Everything,
}

/// What carries our tags in a region, and how it goes.
pub trait Tidy {
    /// Everything of our deployment within reach.
    fn traces(&self, reach: Reach) -> impl Future<Output = Result<Traces, CloudError>>;

    /// Where Auto Scaling counts the instances as members, and whether the groups exist.
    fn whereabouts(
        &self,
        instances: &[InstanceId],
        groups: &[GroupName],
    ) -> impl Future<Output = Result<Whereabouts, CloudError>>;

    /// Takes one thing away. Doing it again must be harmless; no choice is made here.
    fn remove(&self, removal: &Removal) -> impl Future<Output = Result<(), CloudError>>;
}

/// What came of tidying up.
#[derive(Debug, Default)]
pub struct Tidied {
    /// Taken away.
    pub done: Vec<Removal>,
    /// The second look objected: a race, or a bug.
    pub refused: Vec<Refusal>,
    /// AWS did not do it.
    pub failed: Vec<(Removal, CloudError)>,
    /// Instances in flight whose deadline cannot be read: nobody ends them.
    pub timeless: Vec<InstanceId>,
}

/// Ends what nobody needs any more: instances past their deadline that belong to no group, derived templates whose
/// launch configuration is gone. To be called on each tick: where there is nothing to end it only reads.
pub async fn sweep(cloud: &impl Tidy, config: &Config) -> Result<Tidied, CloudError> {
    let (traces, whereabouts) = look_around(cloud, config, Reach::InFlight).await?;
    let removals = traces::sweep(&traces, &whereabouts, config);
    let timeless = traces.timeless(config).map(|trace| trace.id.clone()).collect();
    let tidied = take_away(cloud, config, Extent::Sweep, removals).await?;
    Ok(Tidied { timeless, ..tidied })
}

/// Takes away everything of ours that is not in flight. The caller lets passes settle what is, and calls again.
pub async fn uninstall(cloud: &impl Tidy, config: &Config, extent: Extent) -> Result<Tidied, CloudError> {
    let (traces, whereabouts) = look_around(cloud, config, Reach::Everything).await?;
    let mut removals = traces::uninstall(&traces, extent, config);
    let ends = traces::sweep(&traces, &whereabouts, config);
    removals.extend(ends.into_iter().filter(|removal| matches!(removal, Removal::End { .. })));
    let timeless = traces.timeless(config).map(|trace| trace.id.clone()).collect();
    let tidied = take_away(cloud, config, extent, removals).await?;
    Ok(Tidied { timeless, ..tidied })
}

async fn look_around(cloud: &impl Tidy, config: &Config, reach: Reach) -> Result<(Traces, Whereabouts), CloudError> {
    let traces = cloud.traces(reach).await?;
    let overdue: Vec<InstanceId> = traces.overdue(config).map(|trace| trace.id.clone()).collect();
    if overdue.is_empty() {
        return Ok((traces, Whereabouts::default()));
    }
    let groups: BTreeSet<GroupName> = traces.overdue(config).filter_map(|trace| trace.group()).collect();
    let groups: Vec<GroupName> = groups.into_iter().collect();
    let whereabouts = cloud.whereabouts(&overdue, &groups).await?;
    Ok((traces, whereabouts))
}

async fn take_away(
    cloud: &impl Tidy,
    config: &Config,
    extent: Extent,
    mut removals: Vec<Removal>,
) -> Result<Tidied, CloudError> {
    let mut tidied = Tidied::default();
    if removals.is_empty() {
        return Ok(tidied);
    }
    if extent == Extent::Sweep {
        removals.truncate(REMOVALS_MAX);
    }
    // Nothing here can be taken back: a look of its own.
    let reach = if extent == Extent::Sweep { Reach::InFlight } else { Reach::Everything };
    let (fresh, whereabouts) = look_around(cloud, config, reach).await?;
    for removal in removals {
        if let Err(refusal) = check_removal(&fresh, &whereabouts, &removal, extent, config) {
            tidied.refused.push(refusal);
            continue;
        }
        match cloud.remove(&removal).await {
            Ok(()) => tidied.done.push(removal),
            Err(error) => tidied.failed.push((removal, error)),
        }
    }
    Ok(tidied)
}

impl Tidied {
    /// Nothing was to be done and nothing is amiss.
    pub fn is_quiet(&self) -> bool {
        let Self { done, refused, failed, timeless } = self;
        done.is_empty() && refused.is_empty() && failed.is_empty() && timeless.is_empty()
    }
}

/// What the sweep of a tick came to, as one line of the log. `None` if it found nothing. `unaccountable` are instances of
/// ours that nobody will end, since their tags were changed: they need somebody. No metric: the ten that CloudWatch gives
/// for nothing are taken.
pub fn sweep_line(swept: &Tidied, stack: &str) -> Option<Value> {
    if swept.is_quiet() {
        return None;
    }
    let ids: Vec<&str> = swept.timeless.iter().map(InstanceId::as_str).collect();
    Some(json!({
        "v": 1,
        "kind": "sweep",
        "stack": stack,
        "unaccountable": ids,
        "done": swept.done.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "refused": swept.refused.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "failed": swept.failed.iter().map(|(removal, error)| format!("{removal}: {error}")).collect::<Vec<_>>(),
    }))
}
