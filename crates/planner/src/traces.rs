//! What we have left in a region, outside any pass over a group: what the sweep ends, what an uninstall takes away.
//!
//! A pass sees a group and what belongs to it. What belongs to no group any more is seen here: instances of ours whose
//! group is gone or whose tags no longer name one, and derived launch templates that nothing needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::journal::{Journal, plausible_time};
use crate::model::{GroupName, InstanceId, PurchaseOption, Role, RunState, Tags, tag};
use crate::policy::{Config, NAMESPACE, is_setting};

/// Tags and deadlines are eventually consistent, and a worker arms no replica within five minutes of its deadline:
/// ten minutes lie between the last moment at which anybody may attach an instance and its end by the sweep.
pub const GRACE: SignedDuration = SignedDuration::from_mins(5);
/// So long after its deadline an instance is ended whoever should have done it.
pub const FORSAKEN: SignedDuration = SignedDuration::from_hours(1);
/// The tag that Auto Scaling puts on its members.
const MEMBER_OF: &str = "aws:autoscaling:groupName";
/// The tag that EC2 puts on what a fleet launches.
const FLEET: &str = "aws:ec2:fleet-id";

/// Everything of our deployment that one look at the region shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Time of the look.
    pub now: Timestamp,
    /// Living instances with our deployment's tag.
    pub instances: Vec<Trace>,
    /// Launch templates that we made from launch configurations.
    pub templates: Vec<DerivedTemplate>,
    /// Groups that carry a tag of our namespace. Empty on a look of the sweep, which has no business with groups.
    pub groups: Vec<TaggedGroup>,
}

/// An instance with our deployment's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Instance id.
    pub id: InstanceId,
    /// State in EC2.
    pub state: RunState,
    /// How it is paid for.
    pub purchase: PurchaseOption,
    /// All of its tags.
    pub tags: Tags,
}

/// A launch template that we made from a launch configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedTemplate {
    /// `lt-…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Its tags.
    pub tags: Tags,
    /// The launch configuration that it was made from is still there.
    pub is_needed: bool,
}

/// A group with a tag of our namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedGroup {
    /// Name.
    pub name: GroupName,
    /// All of its tags.
    pub tags: Tags,
}

/// What Auto Scaling says about some instances and groups. What was not asked for is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The instances that were asked for, and the group of which each is a member, if of any.
    pub member_of: BTreeMap<InstanceId, Option<GroupName>>,
    /// The groups that were asked for, and whether each exists.
    pub exists: BTreeMap<GroupName, bool>,
}

/// One thing to take away. Doing it again is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// `TerminateInstances`: an instance of ours that has had its time and belongs to no group.
    End {
        /// The instance.
        instance: InstanceId,
    },
    /// `DeleteLaunchTemplate`: a derived template. Instances that were launched from it run on.
    Template {
        /// `lt-…`
        id: String,
    },
    /// `DeleteTags` of EC2.
    InstanceTags {
        /// The instance.
        instance: InstanceId,
        /// The fleet that launched it and carries our deployment's tag as well; it vanishes with its instance.
        fleet: Option<String>,
        /// Keys.
        keys: Vec<String>,
    },
    /// `DeleteTags` of Auto Scaling.
    GroupTags {
        /// The group.
        group: GroupName,
        /// Keys.
        keys: Vec<String>,
    },
}

impl Removal {
    /// Its name, for logs and refusals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::End { .. } => "end",
            Self::Template { .. } => "delete-template",
            Self::InstanceTags { .. } => "untag-instance",
            Self::GroupTags { .. } => "untag-group",
        }
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End { instance } => write!(f, "terminate {instance}"),
            Self::Template { id } => write!(f, "delete launch template {id}"),
            Self::InstanceTags { instance, fleet: _, keys } => write!(f, "untag {instance}: {}", keys.join(", ")),
            Self::GroupTags { group, keys } => write!(f, "untag group {group}: {}", keys.join(", ")),
        }
    }
}

/// How far things are taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What nobody needs: by the function, on each tick.
    Sweep,
    /// Everything of ours, when nothing is in flight; the owners' settings stay.
    Uninstall,
    /// The owners' settings for us and the enabling tag as well.
    UninstallWithSettings,
}

impl Trace {
    fn text(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(String::as_str)
    }

    /// A replica whose swap is not over, or a doomed victim.
    pub fn is_in_flight(&self) -> bool {
        self.text(tag::ROLE).is_some_and(|role| role == Role::Replica.as_str() || role == Role::Doomed.as_str())
    }

    /// The group that it was launched for, as its tag says.
    pub fn group(&self) -> Option<GroupName> {
        self.text(tag::GROUP).filter(|name| !name.is_empty()).map(GroupName::new)
    }

    /// Attached by then, or ended; `None` if the tag is missing or cannot be read.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.text(tag::DEADLINE)?.parse().ok().and_then(plausible_time)
    }

    fn is_ours(&self, config: &Config) -> bool {
        self.text(tag::STACK) == Some(config.stack.as_str())
    }

    /// Ours, in flight, and past its deadline by the grace.
    pub fn is_overdue(&self, config: &Config, now: Timestamp) -> bool {
        self.is_ours(config)
            && self.is_in_flight()
            && self.state.is_alive()
            && self.deadline().is_some_and(|deadline| deadline + GRACE <= now)
    }
}

impl Traces {
    /// Instances that have had their time: where they belong has to be asked.
    pub fn overdue<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = &'a Trace> {
        self.instances.iter().filter(|trace| trace.is_overdue(config, self.now))
    }

    /// Instances in flight whose deadline cannot be read: nobody will end them.
    pub fn timeless<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = &'a Trace> {
        let in_flight = move |trace: &&Trace| trace.is_ours(config) && trace.is_in_flight() && trace.state.is_alive();
        self.instances.iter().filter(in_flight).filter(|trace| trace.deadline().is_none())
    }

    /// Groups with a swap of ours that is not over, or an instance of ours in flight: passes have to settle them first.
    pub fn in_flight(&self, config: &Config) -> BTreeSet<GroupName> {
        let ours = |group: &&TaggedGroup| match group.journal() {
            Some(Ok(journal)) => journal.stack == config.stack,
            // Nobody can tell whose it is.
            Some(Err(())) => true,
            None => false,
        };
        let journals = self.groups.iter().filter(ours).map(|group| group.name.clone());
        let living = self.instances.iter().filter(|trace| trace.is_ours(config) && trace.is_in_flight());
        journals.chain(living.filter_map(Trace::group)).collect()
    }

    /// Spot instances that we brought and whose swap is over.
    pub fn spot_members<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = &'a Trace> {
        self.instances
            .iter()
            .filter(|trace| trace.is_ours(config) && trace.purchase == PurchaseOption::Spot && !trace.is_in_flight())
    }
}

impl TaggedGroup {
    /// Its journal; `Err` for one that cannot be read.
    pub fn journal(&self) -> Option<Result<Journal, ()>> {
        self.tags.get(tag::SWAP).map(|text| text.parse().map_err(drop))
    }
}

/// What nobody needs any more. An instance is ended only if Auto Scaling was asked and counts it as a member of nothing,
/// and only where no pass over its group can be expected to do it.
pub fn sweep(traces: &Traces, whereabouts: &Whereabouts, config: &Config) -> Vec<Removal> {
    let now = traces.now;
    let orphaned = |trace: &&Trace| {
        if whereabouts.member_of.get(&trace.id) != Some(&None) {
            return false;
        }
        let forsaken = trace.deadline().is_some_and(|deadline| deadline + FORSAKEN <= now);
        // The passes of a group leave what carries the mark of a membership to whoever took it.
        let marked = trace.tags.contains_key(MEMBER_OF);
        match trace.group() {
            None => true,
            Some(group) => forsaken || marked || whereabouts.exists.get(&group) == Some(&false),
        }
    };
    let ends = traces.overdue(config).filter(orphaned).map(|trace| Removal::End { instance: trace.id.clone() });
    ends.chain(unneeded_templates(traces, config)).collect()
}

fn unneeded_templates(traces: &Traces, config: &Config) -> impl Iterator<Item = Removal> {
    let unneeded = move |template: &&DerivedTemplate| {
        let ours = template.tags.get(tag::STACK) == Some(&config.stack);
        ours && !template.is_needed && template.made_at + GRACE <= traces.now
    };
    traces.templates.iter().filter(unneeded).map(|template| Removal::Template { id: template.id.clone() })
}

/// Everything of ours, in the order in which it may go: nothing of a group or an instance in flight.
pub fn uninstall(traces: &Traces, extent: Extent, config: &Config) -> Vec<Removal> {
    let with_settings = match extent {
        Extent::Sweep => return Vec::new(),
        Extent::Uninstall => false,
        Extent::UninstallWithSettings => true,
    };
    let in_flight = traces.in_flight(config);
    let ours = |key: &str| key.starts_with(NAMESPACE) && (with_settings || !is_setting(key));
    let instances =
        traces.instances.iter().filter(|trace| trace.is_ours(config) && !trace.is_in_flight()).map(|trace| {
            Removal::InstanceTags {
                instance: trace.id.clone(),
                fleet: trace.text(FLEET).map(str::to_owned),
                keys: keys(&trace.tags, ours),
            }
        });
    let of_group = |key: &str| key != tag::SWAP && ours(key) || with_settings && key == config.enable_key;
    let groups = traces
        .groups
        .iter()
        // A swap of another deployment: its group is not ours to tidy up.
        .filter(|group| !in_flight.contains(&group.name) && !group.tags.contains_key(tag::SWAP))
        .map(|group| Removal::GroupTags { group: group.name.clone(), keys: keys(&group.tags, of_group) });
    let templates = traces
        .templates
        .iter()
        .filter(|template| in_flight.is_empty() && template.tags.get(tag::STACK) == Some(&config.stack))
        .map(|template| Removal::Template { id: template.id.clone() });
    let is_something = |removal: &Removal| match removal {
        Removal::InstanceTags { keys, .. } | Removal::GroupTags { keys, .. } => !keys.is_empty(),
        Removal::End { .. } | Removal::Template { .. } => true,
    };
    instances.chain(groups).chain(templates).filter(is_something).collect()
}

fn keys(tags: &Tags, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    tags.keys().filter(|key| wanted(key)).cloned().collect()
}
