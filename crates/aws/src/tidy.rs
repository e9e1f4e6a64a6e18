//! What carries our tags in the region, and how it goes: the port of the sweep and the uninstall; and the owner's
//! settings, which only the command line writes, with its caller's own permissions.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::types as ec2;
use engine::CloudError;
use engine::tidy::{Reach, Tidy};
use jiff::Timestamp;
use planner::model::{GroupName, InstanceId, PurchaseOption, Role, RunState, Tags, tag};
use planner::policy::NAMESPACE;
use planner::traces::{DerivedTemplate, Removal, TaggedGroup, Trace, Traces, Whereabouts};

use crate::error::{Already, Kind, Refused, Service, refused};
use crate::observe::{GROUPS_PER_PAGE, INSTANCES_PER_PAGE, MEMBER_IDS_PER_CALL, NAMES_PER_CALL, filter};
use crate::template::{self, CONFIGURATION};
use crate::{Aws, convert};

/// The most that EC2 puts on one page of launch templates.
const TEMPLATES_PER_PAGE: i32 = 200;

impl Tidy for Aws {
    async fn traces(&self, reach: Reach) -> Result<Traces, CloudError> {
        let now = Timestamp::now();
        let groups = async {
            match reach {
                Reach::InFlight => Ok(Vec::new()),
                Reach::Everything => self.tagged_groups().await,
            }
        };
        let (instances, templates, groups) =
            tokio::try_join!(self.traced_instances(reach), self.derived_templates(), groups)?;
        Ok(Traces { now, instances, templates, groups })
    }

    async fn whereabouts(&self, instances: &[InstanceId], groups: &[GroupName]) -> Result<Whereabouts, CloudError> {
        let mut member_of: BTreeMap<InstanceId, Option<GroupName>> =
            instances.iter().map(|id| (id.clone(), None)).collect();
        for ids in instances.chunks(MEMBER_IDS_PER_CALL) {
            let answer = self
                .clients
                .autoscaling
                .describe_auto_scaling_instances()
                .set_instance_ids(Some(ids.iter().map(InstanceId::to_string).collect()))
                .send()
                .await
                .map_err(refused(Service::AutoScaling, "DescribeAutoScalingInstances"))?;
            for found in answer.auto_scaling_instances() {
                let (Some(id), Some(group)) = (found.instance_id(), found.auto_scaling_group_name()) else { continue };
                member_of.insert(InstanceId::new(id), Some(GroupName::new(group)));
            }
        }
        let found = self.groups_named(groups).await?;
        let found: BTreeSet<&str> = found.iter().filter_map(|group| group.auto_scaling_group_name()).collect();
        let exists = groups.iter().map(|name| (name.clone(), found.contains(name.as_str()))).collect();
        Ok(Whereabouts { member_of, exists })
    }

    async fn remove(&self, removal: &Removal) -> Result<(), CloudError> {
        match removal {
            Removal::End { instance } => self.terminate_instance(instance).await?,
            Removal::Template { id } => {
                let call = self.clients.ec2.delete_launch_template().launch_template_id(id);
                call.send().await.map_err(refused(Service::Ec2, "DeleteLaunchTemplate")).or_gone()?;
            }
            Removal::InstanceTags { instance, fleet, keys } => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                self.untag_instance(instance, &keys).await.or_gone()?;
                if let Some(fleet) = fleet {
                    self.untag_fleet(fleet).await.or_gone()?;
                }
            }
            Removal::GroupTags { group, keys } => {
                let tags = keys.iter().map(|key| group_tag(group, key).build()).collect();
                let call = self.clients.autoscaling.delete_tags().set_tags(Some(tags));
                call.send().await.map_err(refused(Service::AutoScaling, "DeleteTags")).or_gone()?;
            }
        }
        Ok(())
    }
}

impl Aws {
    /// Writes a tag of an owner on his group, not propagated. For the command line, which has asked its caller; the
    /// function's role may not do this.
    pub async fn set_setting(&self, group: &GroupName, key: &str, value: &str) -> Result<(), CloudError> {
        Ok(self.tag_group(group, key, value).await?)
    }

    async fn traced_instances(&self, reach: Reach) -> Result<Vec<Trace>, CloudError> {
        let alive = ["pending", "running", "stopping", "stopped"].map(str::to_owned);
        let mut filters = vec![
            filter(format!("tag:{}", tag::STACK), [self.config.stack.clone()]),
            filter("instance-state-name".to_owned(), alive),
        ];
        if reach == Reach::InFlight {
            let roles = [Role::Replica, Role::Doomed].map(|role| role.as_str().to_owned());
            filters.push(filter(format!("tag:{}", tag::ROLE), roles));
        }
        let pages = self.clients.ec2.describe_instances().set_filters(Some(filters));
        let mut pages = pages.max_results(INSTANCES_PER_PAGE).into_paginator().send();
        let mut traces = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Ec2, "DescribeInstances"))?;
            traces.extend(page.reservations().iter().flat_map(|reservation| reservation.instances()).filter_map(trace));
        }
        Ok(traces)
    }

    /// Our templates, and whether the launch configuration of each is still there.
    async fn derived_templates(&self) -> Result<Vec<DerivedTemplate>, CloudError> {
        let filters = vec![
            filter(format!("tag:{}", tag::STACK), [self.config.stack.clone()]),
            filter(format!("tag:{}", tag::ROLE), [template::ROLE.to_owned()]),
        ];
        let pages = self.clients.ec2.describe_launch_templates().set_filters(Some(filters));
        let mut pages = pages.max_results(TEMPLATES_PER_PAGE).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Ec2, "DescribeLaunchTemplates"))?;
            found.extend(page.launch_templates.unwrap_or_default());
        }
        let names: BTreeSet<String> =
            found.iter().filter_map(|made| convert::ec2_tags(made.tags()).get(CONFIGURATION).cloned()).collect();
        let needed = self.template_names_of(&names.into_iter().collect::<Vec<_>>()).await?;
        let derived = |made: &ec2::LaunchTemplate| {
            let name = made.launch_template_name()?.to_owned();
            Some(DerivedTemplate {
                id: made.launch_template_id()?.to_owned(),
                made_at: convert::time(made.create_time())?,
                tags: convert::ec2_tags(made.tags()),
                is_needed: needed.contains(&name),
                name,
            })
        };
        Ok(found.iter().filter_map(derived).collect())
    }

    /// Names of the templates that would be derived from those of the launch configurations that exist.
    async fn template_names_of(&self, configurations: &[String]) -> Result<BTreeSet<String>, CloudError> {
        let mut names = BTreeSet::new();
        for wanted in configurations.chunks(NAMES_PER_CALL) {
            let answer = self
                .clients
                .autoscaling
                .describe_launch_configurations()
                .set_launch_configuration_names(Some(wanted.to_vec()))
                .max_records(GROUPS_PER_PAGE)
                .send()
                .await
                .map_err(refused(Service::AutoScaling, "DescribeLaunchConfigurations"))?;
            names.extend(answer.launch_configurations().iter().map(template::name_of));
        }
        Ok(names)
    }

    async fn tagged_groups(&self) -> Result<Vec<TaggedGroup>, CloudError> {
        let ours = |key: &String| key.starts_with(NAMESPACE) || *key == self.config.enable_key;
        let mut groups = self.groups_with_tags().await?;
        groups.retain(|group| group.tags.keys().any(ours));
        Ok(groups)
    }

    /// Every group of the region with its tags, enabled or not.
    pub async fn groups_with_tags(&self) -> Result<Vec<TaggedGroup>, CloudError> {
        let pages = self.clients.autoscaling.describe_auto_scaling_groups().include_instances(false);
        let mut pages = pages.max_records(GROUPS_PER_PAGE).into_paginator().send();
        let mut groups = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::AutoScaling, "DescribeAutoScalingGroups"))?;
            groups.extend(page.auto_scaling_groups().iter().filter_map(|group| {
                let tags = group.tags().iter();
                let tags: Tags =
                    tags.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()))).collect();
                Some(TaggedGroup { name: GroupName::new(group.auto_scaling_group_name()?), tags })
            }));
        }
        Ok(groups)
    }

    /// The fleet object lives as long as its instance and carries our deployment's tag. AWS deletes it by itself.
    async fn untag_fleet(&self, fleet: &str) -> Result<(), Refused> {
        let stack = ec2::Tag::builder().key(tag::STACK).build();
        let call = self.clients.ec2.delete_tags().resources(fleet).tags(stack);
        match call.send().await.map_err(refused(Service::Ec2, "DeleteTags")) {
            Ok(_) => Ok(()),
            // It is gone, by whatever code EC2 says so: nothing is left to tidy up.
            Err(refused) if matches!(refused.kind, Kind::NotFound | Kind::Rejected) => Ok(()),
            Err(refused) => Err(refused),
        }
    }
}

/// `None` for an answer without the fields that every instance has.
fn trace(instance: &ec2::Instance) -> Option<Trace> {
    let spot = instance.instance_lifecycle() == Some(&ec2::InstanceLifecycleType::Spot);
    Some(Trace {
        id: InstanceId::new(instance.instance_id()?),
        state: RunState::parse(instance.state().and_then(|state| state.name()).map_or("", |name| name.as_str())),
        purchase: if spot { PurchaseOption::Spot } else { PurchaseOption::OnDemand },
        tags: convert::ec2_tags(instance.tags()),
    })
}

fn group_tag(group: &GroupName, key: &str) -> asg::builders::TagBuilder {
    asg::Tag::builder().resource_id(group.as_str()).resource_type("auto-scaling-group").key(key)
}
