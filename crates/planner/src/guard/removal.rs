//! The second opinion on one removal, on a look of its own.

use crate::model::{InstanceId, tag};
use crate::policy::{Config, NAMESPACE};
use crate::reason::Refusal;
use crate::traces::{Extent, GRACE, Removal, Trace, Traces, Whereabouts};

use super::{Verdict, require};

/// `Ok` if nothing speaks against `removal` as the region looks now.
pub fn check_removal(
    fresh: &Traces,
    whereabouts: &Whereabouts,
    removal: &Removal,
    extent: Extent,
    config: &Config,
) -> Result<(), Refusal> {
    verdict(fresh, whereabouts, removal, extent, config).map_err(|why| Refusal { action: removal.name(), why })
}

fn verdict(fresh: &Traces, whereabouts: &Whereabouts, removal: &Removal, extent: Extent, config: &Config) -> Verdict {
    let installed = extent == Extent::Sweep;
    match removal {
        Removal::End { instance } => {
            let trace = found(fresh, instance, config)?;
            let role = trace.tags.get(tag::ROLE).map_or("", String::as_str);
            require(matches!(role, "replica" | "doomed"), || format!("{instance} is a {role:?}"))?;
            let due = trace.deadline().ok_or_else(|| format!("{instance} has no deadline"))?;
            require(due + GRACE <= fresh.now, || format!("{instance} has until {due}"))?;
            match whereabouts.member_of.get(instance) {
                Some(None) => Ok(()),
                Some(Some(group)) => Err(format!("{instance} is a member of {group}")),
                None => Err(format!("nobody asked whether {instance} is a member")),
            }
        }
        Removal::Template { id } => {
            let template = fresh.templates.iter().find(|template| template.id == *id);
            let template = template.ok_or_else(|| format!("{id} is not there"))?;
            require(template.tags.get(tag::STACK) == Some(&config.stack), || format!("{id} is not ours"))?;
            require(template.tags.get(tag::ROLE).map(String::as_str) == Some("lt"), || format!("{id} is not derived"))?;
            require(!installed || !template.is_needed, || format!("{id}: its launch configuration is there"))
        }
        Removal::InstanceTags { instance, fleet: _, keys } => {
            require(!installed, || "the tags are needed".to_owned())?;
            let trace = found(fresh, instance, config)?;
            require(!trace.is_in_flight(), || format!("{instance} is in flight"))?;
            let strange = keys.iter().find(|key| !key.starts_with(NAMESPACE));
            require(strange.is_none(), || format!("{strange:?} is not ours"))
        }
        Removal::GroupTags { group, keys } => {
            require(!installed, || "the tags are needed".to_owned())?;
            let tagged = fresh.groups.iter().find(|tagged| tagged.name == *group);
            let tagged = tagged.ok_or_else(|| format!("{group} is not there"))?;
            // A journal is dropped by the pass that has restored what it accounts for, never here.
            require(!tagged.tags.contains_key(tag::SWAP), || format!("a swap is in flight on {group}"))?;
            let owners = |key: &str| extent == Extent::UninstallWithSettings && key == config.enable_key;
            let strange = keys.iter().find(|key| !key.starts_with(NAMESPACE) && !owners(key));
            require(strange.is_none(), || format!("{strange:?} is not ours"))
        }
    }
}

fn found<'a>(fresh: &'a Traces, id: &InstanceId, config: &Config) -> Result<&'a Trace, String> {
    let trace = fresh.instances.iter().find(|trace| trace.id == *id).ok_or_else(|| format!("{id} is not there"))?;
    require(trace.tags.get(tag::STACK) == Some(&config.stack), || format!("{id} is not ours"))?;
    Ok(trace)
}
