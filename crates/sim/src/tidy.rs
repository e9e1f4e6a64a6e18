//! What carries our tags in the simulated region: the port of the sweep and the uninstall.

use engine::CloudError;
use engine::tidy::{Reach, Tidy};
use planner::model::{GroupName, InstanceId, tag};
use planner::traces::{DerivedTemplate, Removal, TaggedGroup, Trace, Traces, Whereabouts};

use crate::region::{Source, View};
use crate::world::{Api, Sim};

impl Tidy for Sim {
    async fn traces(&self, reach: Reach) -> Result<Traces, CloudError> {
        let stack = self.world.borrow().stack.clone();
        let instances = self
            .read(Api::DescribeInstancesByTag, |view, _| {
                let ours = view.instances.values().filter(|ec2| ec2.tags.get(tag::STACK) == Some(&stack));
                let in_reach = ours.filter(|ec2| {
                    let role = ec2.tags.get(tag::ROLE).map(String::as_str);
                    ec2.state.is_alive() && (reach == Reach::Everything || matches!(role, Some("replica" | "doomed")))
                });
                in_reach
                    .map(|ec2| Trace {
                        id: ec2.id.clone(),
                        state: ec2.state,
                        purchase: ec2.purchase,
                        tags: ec2.tags.clone(),
                    })
                    .collect()
            })
            .await?;
        let templates = self
            .read(Api::DescribeLaunchTemplates, |view, region| {
                let made = region.derived_templates().map(|(name, made_at)| DerivedTemplate {
                    id: name.clone(),
                    name: name.clone(),
                    made_at: crate::port::timestamp(made_at),
                    tags: [(tag::ROLE.to_owned(), "lt".to_owned()), (tag::STACK.to_owned(), stack.clone())].into(),
                    is_needed: has_configuration(view, name),
                });
                made.collect()
            })
            .await?;
        let groups = match reach {
            Reach::InFlight => Vec::new(),
            Reach::Everything => {
                self.read(Api::DescribeAutoScalingGroups, |view, _| {
                    let groups = view.groups.values();
                    groups.map(|group| TaggedGroup { name: group.name.clone(), tags: group.tags.clone() }).collect()
                })
                .await?
            }
        };
        let now = crate::port::timestamp(self.world.borrow().region.now);
        Ok(Traces { now, instances, templates, groups })
    }

    async fn whereabouts(&self, instances: &[InstanceId], groups: &[GroupName]) -> Result<Whereabouts, CloudError> {
        let member_of = self
            .read(Api::DescribeAutoScalingInstances, |_, region| {
                instances.iter().map(|id| (id.clone(), region.group_of(id))).collect()
            })
            .await?;
        let exists = self
            .read(Api::DescribeAutoScalingGroups, |view, _| {
                groups.iter().map(|name| (name.clone(), view.groups.contains_key(name))).collect()
            })
            .await?;
        Ok(Whereabouts { member_of, exists })
    }

    async fn remove(&self, removal: &Removal) -> Result<(), CloudError> {
        let nobodys = GroupName::new("");
        match removal {
            Removal::End { instance } => {
                let group = {
                    let world = self.world.borrow();
                    world.region.ec2(instance).and_then(|ec2| ec2.tags.get(tag::GROUP)).map(GroupName::new)
                };
                self.change(Api::TerminateInstances, &group.unwrap_or(nobodys), Some(instance), |world| {
                    world.oracle.judge_sweep(&world.region, instance);
                    world.region.terminate_instance(instance)
                })
                .await
            }
            Removal::Template { id } => {
                self.change(Api::DeleteLaunchTemplate, &nobodys, None, |world| {
                    world.region.delete_template(id);
                    Ok(())
                })
                .await
            }
            Removal::InstanceTags { instance, fleet: _, keys } => {
                let tags: Vec<(&str, Option<String>)> = keys.iter().map(|key| (key.as_str(), None)).collect();
                self.change(Api::DeleteTags, &nobodys, Some(instance), |world| {
                    world.region.tag_instance(instance, &tags)
                })
                .await
            }
            Removal::GroupTags { group, keys } => {
                self.change(Api::DeleteGroupTags, group, None, |world| {
                    keys.iter().try_for_each(|key| world.region.tag_group(group, key, None))
                })
                .await
            }
        }
    }
}

/// A group still launches from the configuration that the template was made from.
fn has_configuration(view: &View, template: &str) -> bool {
    let derived = |name: &String| format!("spotward-{name}") == template;
    view.groups.values().any(|group| matches!(&group.source, Source::Configuration(name) if derived(name)))
}
