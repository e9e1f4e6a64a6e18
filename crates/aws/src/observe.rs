//! Looking: groups, their members, our instances, and the facts that cost a call each.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::types as ec2;
use engine::CloudError;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use planner::model::{
    Activity, Details, Group, GroupName, InstanceId, LaunchFacts, LaunchSource, Observation, PurchaseOption, Role,
    RunState, tag,
};

use crate::Aws;
use crate::convert::{self, Seen};
use crate::error::{Kind, Refused, Service, refused};

/// The most that the services put on one page, by call.
pub(crate) const GROUPS_PER_PAGE: i32 = 100;
pub(crate) const INSTANCES_PER_PAGE: i32 = 1000;
/// Names in one DescribeAutoScalingGroups.
pub(crate) const NAMES_PER_CALL: usize = 50;
/// Instance ids in one call: EC2 throttles unbounded filters, and long lists of ids are answered on one page.
const IDS_PER_CALL: usize = 500;
/// EC2 refills twenty describe calls a second, for everybody in the account.
const BATCHES_AT_A_TIME: usize = 4;
/// Ids in one DescribeAutoScalingInstances.
pub(crate) const MEMBER_IDS_PER_CALL: usize = 50;
/// Enough to see what runs, what ended last, and our own decrement.
const ACTIVITIES: i32 = 20;
/// Scheduled actions further ahead matter to nobody now.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// Between notice and end lie two minutes.
const ENDS_AGE: SignedDuration = SignedDuration::from_secs(15);
/// Status codes of spot requests whose instance is about to be taken back
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html>).
const MARKED: &str = "marked-for-*";
const REQUESTS_PER_PAGE: i32 = 1000;
/// A look so young, with nothing done by us since, is the same look.
const SAME_LOOK: SignedDuration = SignedDuration::from_secs(3);
/// How often ids that EC2 does not know are dropped from a batch before it is given up.
const MISSING_ROUNDS: usize = 3;

/// An image as EC2 describes it, and as the planner sees it.
pub(crate) type KnownImage = (ec2::Image, planner::model::Image);

/// Whether an image is asked for again. All but its state is fixed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Images {
    /// Ask.
    Fresh,
    /// In haste an earlier answer will do, also one of an earlier invocation: EC2 refuses what is gone.
    Kept,
}

/// Spot instances about to be taken back, and when; `None` if EC2 does not say.
type Ends = HashMap<InstanceId, Option<Timestamp>>;

/// What one invocation remembers: facts that do not change within it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Instances as EC2 showed them first. Tags of ours are read again on every look.
    instances: HashMap<InstanceId, Seen>,
    /// What each instance that was seen is billed as: for the books only.
    pub platforms: HashMap<InstanceId, String>,
    termination_protected: HashMap<InstanceId, bool>,
    checks_passed: HashSet<InstanceId>,
    /// Spot instances whose end EC2 has announced, and when we asked.
    ends: Option<(Timestamp, Arc<Ends>)>,
    details: HashMap<GroupName, (LaunchSource, Details)>,
    looks: HashMap<GroupName, Observation>,
    /// What Auto Scaling answered to our own removal of a member, with the numbers that it counted.
    endings: HashMap<GroupName, Activity>,
    pub configurations: HashMap<String, asg::LaunchConfiguration>,
    pub templates: HashSet<String>,
}

impl Memory {
    /// Something is about to change in the group by our hand.
    pub fn stir(&mut self, group: &GroupName) {
        self.looks.remove(group);
    }

    /// The instance's swap is over: what our tags say now is what we just wrote.
    pub fn relabel(&mut self, id: &InstanceId) {
        if let Some(ours) = self.instances.get_mut(id).and_then(|seen| seen.ours.as_mut()) {
            ours.role = Role::Member;
            ours.journal = None;
        }
    }

    /// The answer to our removal of a member, if it says what it counted.
    pub fn end(&mut self, group: &GroupName, activity: Option<Activity>) {
        match activity.filter(|activity| activity.shrank.is_some()) {
            Some(activity) => self.endings.insert(group.clone(), activity),
            None => self.endings.remove(group),
        };
    }
}

impl Aws {
    /// All groups whose owner asked for us, that carry our journal, or that have instances of ours outside.
    pub(crate) async fn observe_enabled(&self) -> Result<Vec<Observation>, CloudError> {
        let now = Timestamp::now();
        let enabled = self.groups_by(format!("tag:{}", self.config.enable_key), self.config.enable_value.clone());
        let journalled = self.groups_by("tag-key".to_owned(), tag::SWAP.to_owned());
        let ours = self.our_instances(vec![filter(format!("tag:{}", tag::STACK), [self.config.stack.clone()])]);
        let (enabled, journalled, ours) = tokio::try_join!(enabled, journalled, ours)?;
        let mut groups: BTreeMap<String, asg::AutoScalingGroup> = BTreeMap::new();
        for group in enabled.into_iter().chain(journalled) {
            groups.insert(group.auto_scaling_group_name().unwrap_or_default().to_owned(), group);
        }
        // Instances of ours whose group is neither: its owner took the tag away, or deleted it.
        let elsewhere: BTreeSet<GroupName> = ours
            .iter()
            .filter(|seen| seen.facts.state.is_alive())
            .filter_map(|seen| seen.ours.as_ref().map(|ours| ours.group.clone()))
            .filter(|name| !groups.contains_key(name.as_str()))
            .collect();
        let elsewhere: Vec<GroupName> = elsewhere.into_iter().collect();
        for group in self.groups_named(&elsewhere).await? {
            groups.insert(group.auto_scaling_group_name().unwrap_or_default().to_owned(), group);
        }
        let ids: BTreeSet<InstanceId> = groups.values().flat_map(member_ids).collect();
        let unseen: Vec<InstanceId> = ids.into_iter().filter(|id| ours.iter().all(|seen| seen.id != *id)).collect();
        let members = self.instances_by_id(&unseen).await?;
        let by_id: HashMap<&InstanceId, &Seen> = members.iter().chain(&ours).map(|seen| (&seen.id, seen)).collect();
        let mut observations: Vec<Observation> = groups
            .values()
            .filter_map(|group| {
                let name = group.auto_scaling_group_name()?;
                convert::group(group, &|id| by_id.get(id).copied(), &of_group(&ours, name))
            })
            .map(|group| Observation { now, group })
            .collect();
        if observations.iter().any(|observation| has_spot(&observation.group)) {
            let ends = self.announced_ends(now).await?;
            observations.iter_mut().for_each(|observation| mark_ends(&mut observation.group, &ends));
        }
        for name in elsewhere.iter().filter(|name| !groups.contains_key(name.as_str())) {
            observations.extend(self.vanished(name, &ours, now).await?);
        }
        let mut memory = self.memory();
        memory.platforms.extend(members.iter().chain(&ours).map(|seen| (seen.id.clone(), seen.platform.clone())));
        memory.instances.extend(members.into_iter().map(|seen| (seen.id.clone(), seen)));
        Ok(observations)
    }

    /// Names of all groups of the region, enabled or not.
    pub async fn group_names(&self) -> Result<Vec<GroupName>, CloudError> {
        let pages = self.clients.autoscaling.describe_auto_scaling_groups().include_instances(false);
        let mut pages = pages.max_records(GROUPS_PER_PAGE).into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::AutoScaling, "DescribeAutoScalingGroups"))?;
            names.extend(
                page.auto_scaling_groups()
                    .iter()
                    .filter_map(|group| group.auto_scaling_group_name().map(GroupName::new)),
            );
        }
        Ok(names)
    }

    /// The group that an instance is a member of: one call.
    pub async fn group_of_member(&self, instance: &InstanceId) -> Result<Option<GroupName>, CloudError> {
        let call = self.clients.autoscaling.describe_auto_scaling_instances().instance_ids(instance.as_str());
        let answer = call.send().await.map_err(refused(Service::AutoScaling, "DescribeAutoScalingInstances"))?;
        let name = answer.auto_scaling_instances().iter().find_map(|found| found.auto_scaling_group_name());
        Ok(name.map(GroupName::new))
    }

    /// One group without its members: one call.
    pub async fn bare_group(&self, name: &GroupName) -> Result<Option<Group>, CloudError> {
        let call = self.clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(name.as_str());
        let answer = call.include_instances(false).max_records(1).send().await;
        let answer = answer.map_err(refused(Service::AutoScaling, "DescribeAutoScalingGroups"))?;
        Ok(answer.auto_scaling_groups().first().and_then(|group| convert::group(group, &|_| None, &[])))
    }

    /// One group in full detail: two calls, and one for each fact that is not known yet or changes under a swap.
    pub(crate) async fn observe_group(
        &self,
        name: &GroupName,
        closer: Option<&InstanceId>,
    ) -> Result<Vec<Observation>, CloudError> {
        let now = Timestamp::now();
        if let Some(closer) = closer
            && let Some(observation) = self.look_closer(name, closer, now).await?
        {
            return Ok(vec![observation]);
        }
        let filters = vec![filter(format!("tag:{}", tag::GROUP), [name.to_string()])];
        let names = [name.clone()];
        let (groups, ours) = tokio::try_join!(self.groups_named(&names), self.our_instances(filters))?;
        let Some(sdk_group) = groups.first() else {
            return Ok(self.vanished(name, &ours, now).await?.into_iter().collect());
        };
        let known = self.remember(sdk_group, &ours).await?;
        let group = convert::group(sdk_group, &|id| known.get(id), &of_group(&ours, name.as_str()));
        let Some(mut group) = group else { return Ok(Vec::new()) };
        let (details, activities, checks, ends, targets, protection) = tokio::try_join!(
            self.details(&group, now),
            self.activities(&group),
            self.checks(&group),
            self.ends_of(&group, now),
            self.targets(sdk_group, &group),
            self.termination_protection(closer),
        )?;
        group.details = Some(Details { activities, ..details });
        for replica in &mut group.replicas {
            replica.checks_ok = checks.get(&replica.id).copied();
        }
        for member in &mut group.members {
            member.targets_healthy = targets.as_ref().map(|healthy| healthy.contains(&member.id));
            if let Some(facts) = &mut member.ec2 {
                facts.termination_protected = protection.get(&member.id).copied();
            }
        }
        mark_ends(&mut group, &ends);
        let observation = Observation { now, group };
        self.memory().looks.insert(name.clone(), observation.clone());
        Ok(vec![observation])
    }

    /// The group that the instance is a member of, or was launched for by us.
    pub(crate) async fn observe_group_of(&self, instance: &InstanceId) -> Result<Vec<Observation>, CloudError> {
        let member_of = self.group_of_member(instance).await?;
        let name = match member_of {
            Some(name) => Some(name),
            None => {
                let seen = self.instances_by_id(std::slice::from_ref(instance)).await?;
                seen.into_iter().find_map(|seen| seen.ours).map(|ours| ours.group)
            }
        };
        match name {
            Some(name) => self.observe_group(&name, None).await,
            None => Ok(Vec::new()),
        }
    }

    /// The group that the instance is a member of, with what a replacement in haste needs: two minutes are left.
    pub(crate) async fn observe_in_haste(&self, instance: &InstanceId) -> Result<Vec<Observation>, CloudError> {
        let now = Timestamp::now();
        let (member_of, ends) = tokio::try_join!(self.group_of_member(instance), self.announced_ends(now))?;
        let Some(name) = member_of else { return Ok(Vec::new()) };
        // Nobody else's word is taken for it: without EC2's, there is nothing to hurry for.
        if !ends.contains_key(instance) {
            return Ok(Vec::new());
        }
        // Ours in any role, members included: whoever is neither dying nor ours does not matter now.
        let filters = vec![filter(format!("tag:{}", tag::GROUP), [name.to_string()])];
        let names = [name.clone()];
        let (groups, ours) = tokio::try_join!(self.groups_named(&names), self.instances_with(filters))?;
        let Some(sdk_group) = groups.first() else { return Ok(Vec::new()) };
        let known: HashMap<&InstanceId, &Seen> = ours.iter().map(|seen| (&seen.id, seen)).collect();
        let group = convert::group(sdk_group, &|id| known.get(id).copied(), &of_group(&ours, name.as_str()));
        let Some(mut group) = group else { return Ok(Vec::new()) };
        let launch = self.launch_facts(&group, Images::Kept).await?;
        group.details = Some(Details { launch, ..Details::default() });
        mark_ends(&mut group, &ends);
        Ok(vec![Observation { now, group }])
    }

    /// The look that was just made, with one fact more.
    async fn look_closer(
        &self,
        name: &GroupName,
        closer: &InstanceId,
        now: Timestamp,
    ) -> Result<Option<Observation>, CloudError> {
        let last = self.memory().looks.get(name).cloned();
        let Some(mut last) = last.filter(|last| now.duration_since(last.now) < SAME_LOOK) else { return Ok(None) };
        let protection = self.termination_protection(Some(closer)).await?;
        for member in &mut last.group.members {
            if let Some(facts) = &mut member.ec2 {
                facts.termination_protected = protection.get(&member.id).copied();
            }
        }
        Ok(Some(last))
    }

    /// What is left of ours of a group that does not exist: `None` if nothing lives. An instance that Auto Scaling
    /// counts as a member of anything is not left over, whatever its tags say.
    async fn vanished(
        &self,
        name: &GroupName,
        ours: &[Seen],
        now: Timestamp,
    ) -> Result<Option<Observation>, CloudError> {
        let left: Vec<&Seen> =
            of_group(ours, name.as_str()).into_iter().filter(|seen| seen.facts.state.is_alive()).collect();
        let mut members = HashSet::new();
        for ids in left.chunks(MEMBER_IDS_PER_CALL) {
            let answer = self
                .clients
                .autoscaling
                .describe_auto_scaling_instances()
                .set_instance_ids(Some(ids.iter().map(|seen| seen.id.to_string()).collect()))
                .send()
                .await
                .map_err(refused(Service::AutoScaling, "DescribeAutoScalingInstances"))?;
            members.extend(
                answer.auto_scaling_instances().iter().filter_map(|found| found.instance_id().map(InstanceId::new)),
            );
        }
        let left: Vec<&Seen> = left.into_iter().filter(|seen| !members.contains(&seen.id)).collect();
        Ok((!left.is_empty()).then(|| Observation { now, group: convert::vanished(name, &left) }))
    }

    async fn groups_by(&self, filter: String, value: String) -> Result<Vec<asg::AutoScalingGroup>, CloudError> {
        let filter = asg::Filter::builder().name(filter).values(value).build();
        let pages = self.clients.autoscaling.describe_auto_scaling_groups().filters(filter);
        let mut pages = pages.max_records(GROUPS_PER_PAGE).into_paginator().send();
        let mut groups = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::AutoScaling, "DescribeAutoScalingGroups"))?;
            groups.extend(page.auto_scaling_groups.unwrap_or_default());
        }
        Ok(groups)
    }

    pub(crate) async fn groups_named(&self, names: &[GroupName]) -> Result<Vec<asg::AutoScalingGroup>, CloudError> {
        let mut groups = Vec::new();
        for names in names.chunks(NAMES_PER_CALL) {
            let answer = self
                .clients
                .autoscaling
                .describe_auto_scaling_groups()
                .set_auto_scaling_group_names(Some(names.iter().map(GroupName::to_string).collect()))
                .max_records(GROUPS_PER_PAGE)
                .send()
                .await
                .map_err(refused(Service::AutoScaling, "DescribeAutoScalingGroups"))?;
            groups.extend(answer.auto_scaling_groups.unwrap_or_default());
        }
        Ok(groups)
    }

    /// Replicas and doomed victims, dead ones included for as long as EC2 shows them.
    pub(crate) async fn our_instances(&self, mut filters: Vec<ec2::Filter>) -> Result<Vec<Seen>, CloudError> {
        let roles = [Role::Replica, Role::Doomed].map(|role| role.as_str().to_owned());
        filters.push(filter(format!("tag:{}", tag::ROLE), roles));
        self.instances_with(filters).await
    }

    async fn instances_with(&self, filters: Vec<ec2::Filter>) -> Result<Vec<Seen>, CloudError> {
        let pages = self.clients.ec2.describe_instances().set_filters(Some(filters));
        let mut pages = pages.max_results(INSTANCES_PER_PAGE).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Ec2, "DescribeInstances"))?;
            found.extend(
                page.reservations()
                    .iter()
                    .flat_map(|reservation| reservation.instances())
                    .filter_map(|instance| convert::seen(instance, &self.config)),
            );
        }
        Ok(found)
    }

    async fn instances_by_id(&self, ids: &[InstanceId]) -> Result<Vec<Seen>, CloudError> {
        let batches = ids.chunks(IDS_PER_CALL).map(|ids| self.batch(ids.to_vec()));
        let found: Vec<Vec<Seen>> = stream::iter(batches).buffered(BATCHES_AT_A_TIME).try_collect().await?;
        Ok(found.concat())
    }

    /// One id that EC2 does not know (any more, or yet) fails the whole batch: it is dropped, and the rest asked again.
    async fn batch(&self, mut ids: Vec<InstanceId>) -> Result<Vec<Seen>, CloudError> {
        for _ in 0..MISSING_ROUNDS {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let asked = ids.iter().map(InstanceId::to_string).collect();
            let answer = self.clients.ec2.describe_instances().set_instance_ids(Some(asked)).send().await;
            match answer.map_err(refused(Service::Ec2, "DescribeInstances")) {
                Ok(answer) => {
                    let instances = answer.reservations().iter().flat_map(|reservation| reservation.instances());
                    return Ok(instances.filter_map(|instance| convert::seen(instance, &self.config)).collect());
                }
                Err(refused) if refused.kind == Kind::NotFound => {
                    let before = ids.len();
                    ids.retain(|id| !names_instance(&refused, id));
                    if ids.len() == before {
                        return Err(refused.into());
                    }
                }
                Err(refused) => return Err(refused.into()),
            }
        }
        // Instances come and go faster than we look; who is not shown is "unseen" to the planner.
        Ok(Vec::new())
    }

    /// The members' facts: from this look where our tags are on them, else remembered, else asked for once.
    async fn remember(
        &self,
        group: &asg::AutoScalingGroup,
        ours: &[Seen],
    ) -> Result<HashMap<InstanceId, Seen>, CloudError> {
        let members = member_ids(group);
        let unseen: Vec<InstanceId> = {
            let mut memory = self.memory();
            memory.instances.retain(|_, seen| seen.is_settled());
            memory.instances.extend(ours.iter().map(|seen| (seen.id.clone(), seen.clone())));
            members.iter().filter(|id| !memory.instances.contains_key(*id)).cloned().collect()
        };
        let seen = self.instances_by_id(&unseen).await?;
        let mut memory = self.memory();
        memory.instances.extend(seen.into_iter().map(|seen| (seen.id.clone(), seen)));
        let platforms: Vec<(InstanceId, String)> =
            memory.instances.values().map(|seen| (seen.id.clone(), seen.platform.clone())).collect();
        memory.platforms.extend(platforms);
        let wanted = members.into_iter().chain(ours.iter().map(|seen| seen.id.clone()));
        Ok(wanted.filter_map(|id| memory.instances.get(&id).map(|seen| (id, seen.clone()))).collect())
    }

    /// Slow facts, once per invocation; read again if the group launches from something else now.
    async fn details(&self, group: &Group, now: Timestamp) -> Result<Details, CloudError> {
        if let Some((source, details)) = self.memory().details.get(&group.name)
            && *source == group.source
        {
            return Ok(details.clone());
        }
        let (hooks, active_refresh, scheduled_actions, launch) = tokio::try_join!(
            self.hooks(&group.name),
            self.active_refresh(&group.name),
            self.scheduled_actions(&group.name, now),
            self.launch_facts(group, Images::Fresh),
        )?;
        let (launch_hooks, termination_hooks) = hooks;
        let details =
            Details { launch_hooks, termination_hooks, active_refresh, scheduled_actions, activities: None, launch };
        self.memory().details.insert(group.name.clone(), (group.source.clone(), details.clone()));
        Ok(details)
    }

    /// Names of the hooks on launches and on terminations.
    async fn hooks(&self, name: &GroupName) -> Result<(Vec<String>, Vec<String>), CloudError> {
        let answer = self
            .clients
            .autoscaling
            .describe_lifecycle_hooks()
            .auto_scaling_group_name(name.as_str())
            .send()
            .await
            .map_err(refused(Service::AutoScaling, "DescribeLifecycleHooks"))?;
        let on = |transition: &str| {
            let hooks = answer.lifecycle_hooks().iter();
            hooks
                .filter(|hook| hook.lifecycle_transition() == Some(transition))
                .filter_map(|hook| hook.lifecycle_hook_name().map(str::to_owned))
                .collect()
        };
        Ok((on("autoscaling:EC2_INSTANCE_LAUNCHING"), on("autoscaling:EC2_INSTANCE_TERMINATING")))
    }

    async fn active_refresh(&self, name: &GroupName) -> Result<Option<String>, CloudError> {
        use asg::InstanceRefreshStatus::{Cancelled, Failed, RollbackFailed, RollbackSuccessful, Successful};
        let answer = self
            .clients
            .autoscaling
            .describe_instance_refreshes()
            .auto_scaling_group_name(name.as_str())
            .send()
            .await
            .map_err(refused(Service::AutoScaling, "DescribeInstanceRefreshes"))?;
        // A status that we do not know is not over.
        let over = [Cancelled, Failed, RollbackFailed, RollbackSuccessful, Successful];
        let statuses = answer.instance_refreshes().iter().filter_map(|refresh| refresh.status());
        Ok(statuses.into_iter().find(|status| !over.contains(status)).map(|status| status.as_str().to_owned()))
    }

    async fn scheduled_actions(&self, name: &GroupName, now: Timestamp) -> Result<Vec<Timestamp>, CloudError> {
        let pages = self
            .clients
            .autoscaling
            .describe_scheduled_actions()
            .auto_scaling_group_name(name.as_str())
            // An action that started minutes ago is still changing the group.
            .start_time(convert::sdk_time(now - SignedDuration::from_hours(1)))
            .end_time(convert::sdk_time(now + AHEAD));
        let mut pages = pages.max_records(GROUPS_PER_PAGE).into_paginator().send();
        let mut starts = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::AutoScaling, "DescribeScheduledActions"))?;
            let actions = page.scheduled_update_group_actions().iter();
            starts.extend(actions.filter_map(|action| convert::time(action.start_time().or(action.time()))));
        }
        starts.sort_unstable();
        Ok(starts)
    }

    /// What the group launches from. `Err` inside for what only its owner can mend.
    async fn launch_facts(
        &self,
        group: &Group,
        images: Images,
    ) -> Result<Option<Result<LaunchFacts, String>>, CloudError> {
        let facts = match &group.source {
            LaunchSource::Template { id, version } => self.template_facts(id, version, group, images).await,
            LaunchSource::Configuration { name } => self.configuration_facts(name, group, images).await,
            LaunchSource::MixedInstances | LaunchSource::Missing => return Ok(None),
        };
        match facts {
            Ok(facts) => Ok(Some(Ok(facts))),
            Err(CloudError::NotFound(text) | CloudError::Rejected(text)) => Ok(Some(Err(text))),
            Err(error) => Err(error),
        }
    }

    async fn template_facts(
        &self,
        id: &str,
        version: &str,
        group: &Group,
        images: Images,
    ) -> Result<LaunchFacts, CloudError> {
        let read = |resolve_alias: Option<bool>| {
            self.clients
                .ec2
                .describe_launch_template_versions()
                .launch_template_id(id)
                .versions(version)
                .set_resolve_alias(resolve_alias)
                .send()
        };
        let mut answer = read(None).await.map_err(refused(Service::Ec2, "DescribeLaunchTemplateVersions"))?;
        let named_by_parameter = |answer: &ec2_version::Answer| {
            let data = answer.launch_template_versions().first().and_then(|version| version.launch_template_data());
            data.and_then(|data| data.image_id()).is_some_and(|image| image.starts_with("resolve:"))
        };
        if named_by_parameter(&answer) {
            // Only now: resolving needs a permission on the parameter.
            answer = read(Some(true)).await.map_err(refused(Service::Ec2, "DescribeLaunchTemplateVersions"))?;
        }
        let found = answer.launch_template_versions().first();
        let found =
            found.ok_or_else(|| CloudError::NotFound(format!("launch template {id} has no version {version}")))?;
        let data = found
            .launch_template_data()
            .ok_or_else(|| CloudError::Rejected(format!("launch template {id} version {version} is empty")))?;
        let image_id = data
            .image_id()
            .ok_or_else(|| CloudError::Rejected(format!("launch template {id} version {version} names no image")))?;
        let placement_group = data.placement().and_then(|placement| placement.group_name()).map(str::to_owned);
        let placement_group = group.placement_group.clone().or(placement_group);
        let (image, strategy) =
            tokio::try_join!(self.image(image_id, images), self.placement_strategy(placement_group.as_deref()))?;
        let (sdk_image, image) = image;
        let facts = convert::template_facts(found, data, &sdk_image, image);
        Ok(LaunchFacts { placement_strategy: strategy, ..facts })
    }

    async fn configuration_facts(&self, name: &str, group: &Group, images: Images) -> Result<LaunchFacts, CloudError> {
        let configuration = self.configuration(name).await?;
        let image_id = configuration
            .image_id()
            .ok_or_else(|| CloudError::Rejected(format!("launch configuration {name} names no image")))?;
        let (image, strategy) =
            tokio::try_join!(self.image(image_id, images), self.placement_strategy(group.placement_group.as_deref()))?;
        let (sdk_image, image) = image;
        let facts = convert::configuration_facts(&configuration, &sdk_image, image);
        Ok(LaunchFacts { placement_strategy: strategy, ..facts })
    }

    async fn image(&self, id: &str, images: Images) -> Result<KnownImage, CloudError> {
        if let Some(known) = self.images().get(id).filter(|_| images == Images::Kept) {
            return Ok(known.clone());
        }
        let answer = self
            .clients
            .ec2
            .describe_images()
            .image_ids(id)
            // A deprecated image still launches.
            .include_deprecated(true)
            .send()
            .await
            .map_err(refused(Service::Ec2, "DescribeImages"))?;
        let found = answer.images.unwrap_or_default().into_iter().next();
        let converted = found.and_then(|found| convert::image(&found).map(|image| (found, image)));
        let known = converted
            .ok_or_else(|| CloudError::NotFound(format!("image {id} does not exist, or is not shared with us")))?;
        self.images().insert(id.to_owned(), known.clone());
        Ok(known)
    }

    async fn placement_strategy(&self, group: Option<&str>) -> Result<Option<String>, CloudError> {
        let Some(group) = group else { return Ok(None) };
        let answer = self
            .clients
            .ec2
            .describe_placement_groups()
            .group_names(group)
            .send()
            .await
            .map_err(refused(Service::Ec2, "DescribePlacementGroups"))?;
        let found = answer.placement_groups().first().and_then(|group| group.strategy());
        Ok(found.map(|strategy| strategy.as_str().to_owned()))
    }

    /// The latest activities, where they matter: before anything starts, and from the journal on. Our own removal of a
    /// member was answered with the activity that counts: then nothing is asked.
    async fn activities(&self, group: &Group) -> Result<Option<Vec<Activity>>, CloudError> {
        match group.journal() {
            Some(Ok(journal)) => {
                let ending = self.memory().endings.get(&group.name).cloned();
                let concerns = |ending: &Activity| {
                    ending.instance.as_ref().is_some_and(|id| *id == journal.victim || *id == journal.replica)
                        && ending.started_at >= journal.written_at
                };
                if let Some(ending) = ending.filter(concerns) {
                    return Ok(Some(vec![ending]));
                }
            }
            Some(Err(_)) => return Ok(None),
            None if group.replicas.iter().any(|replica| replica.state.is_alive()) => return Ok(None),
            None => {}
        }
        let answer = self
            .clients
            .autoscaling
            .describe_scaling_activities()
            .auto_scaling_group_name(group.name.as_str())
            .max_records(ACTIVITIES)
            .send()
            .await
            .map_err(refused(Service::AutoScaling, "DescribeScalingActivities"))?;
        Ok(Some(answer.activities().iter().filter_map(convert::activity).collect()))
    }

    /// Status checks of running instances of ours outside the group, until they have passed.
    async fn checks(&self, group: &Group) -> Result<HashMap<InstanceId, bool>, CloudError> {
        let running = group.replicas.iter().filter(|replica| replica.state == RunState::Running);
        let (mut checks, unknown): (HashMap<InstanceId, bool>, Vec<InstanceId>) = {
            let memory = self.memory();
            let (passed, unknown): (Vec<_>, Vec<_>) =
                running.map(|replica| replica.id.clone()).partition(|id| memory.checks_passed.contains(id));
            (passed.into_iter().map(|id| (id, true)).collect(), unknown)
        };
        if unknown.is_empty() {
            return Ok(checks);
        }
        let answer = self
            .clients
            .ec2
            .describe_instance_status()
            .set_instance_ids(Some(unknown.iter().map(InstanceId::to_string).collect()))
            .send()
            .await
            .map_err(refused(Service::Ec2, "DescribeInstanceStatus"))?;
        let is_ok = |summary: Option<&ec2::InstanceStatusSummary>| {
            summary.and_then(|summary| summary.status()) == Some(&ec2::SummaryStatus::Ok)
        };
        let passed: HashSet<&str> = answer
            .instance_statuses()
            .iter()
            .filter(|status| is_ok(status.instance_status()) && is_ok(status.system_status()))
            .filter_map(|status| status.instance_id())
            .collect();
        for id in unknown {
            let ok = passed.contains(id.as_str());
            if ok {
                self.memory().checks_passed.insert(id.clone());
            }
            checks.insert(id, ok);
        }
        Ok(checks)
    }

    /// Spot instances of the region whose end EC2 has announced, and when that will be. Usually none: one short page,
    /// whatever the number of instances.
    async fn announced_ends(&self, now: Timestamp) -> Result<Arc<Ends>, CloudError> {
        if let Some((asked, ends)) = &self.memory().ends
            && now.duration_since(*asked) < ENDS_AGE
        {
            return Ok(ends.clone());
        }
        let filter = filter("status-code".to_owned(), [MARKED.to_owned()]);
        let pages = self.clients.ec2.describe_spot_instance_requests().filters(filter);
        let mut pages = pages.max_results(REQUESTS_PER_PAGE).into_paginator().send();
        let mut ends = Ends::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Ec2, "DescribeSpotInstanceRequests"))?;
            ends.extend(page.spot_instance_requests().iter().filter_map(convert::announced_end));
        }
        let ends = Arc::new(ends);
        self.memory().ends = Some((now, ends.clone()));
        Ok(ends)
    }

    /// Of one group: nothing is asked where nothing is spot.
    async fn ends_of(&self, group: &Group, now: Timestamp) -> Result<Arc<Ends>, CloudError> {
        if has_spot(group) { self.announced_ends(now).await } else { Ok(Arc::default()) }
    }

    /// Instances that are healthy in every target group and classic load balancer of the group; `None` where there is
    /// none, or no swap that has to know.
    async fn targets(
        &self,
        sdk_group: &asg::AutoScalingGroup,
        group: &Group,
    ) -> Result<Option<HashSet<InstanceId>>, CloudError> {
        if !group.load_balanced || group.journal().is_none() {
            return Ok(None);
        }
        let of_kind = |kind: &'static str| {
            let sources = sdk_group.traffic_sources().iter().filter(move |source| source.r#type() == Some(kind));
            sources.filter_map(|source| source.identifier())
        };
        let target_groups: BTreeSet<&str> =
            sdk_group.target_group_arns().iter().map(String::as_str).chain(of_kind("elbv2")).collect();
        let classic: BTreeSet<&str> =
            sdk_group.load_balancer_names().iter().map(String::as_str).chain(of_kind("elb")).collect();
        let mut healthy: Option<HashSet<InstanceId>> = None;
        let mut narrow = |here: HashSet<InstanceId>| {
            healthy = Some(match healthy.take() {
                None => here,
                Some(before) => before.intersection(&here).cloned().collect(),
            });
        };
        for arn in target_groups {
            narrow(self.healthy_targets(arn).await?);
        }
        for name in classic {
            narrow(self.healthy_behind(name).await?);
        }
        Ok(healthy)
    }

    async fn healthy_targets(&self, arn: &str) -> Result<HashSet<InstanceId>, CloudError> {
        use aws_sdk_elasticloadbalancingv2::types::{TargetHealthReasonEnum, TargetHealthStateEnum};
        let answer = self
            .clients
            .load_balancing_v2
            .describe_target_health()
            .target_group_arn(arn)
            .send()
            .await
            .map_err(refused(Service::LoadBalancing, "DescribeTargetHealth"))?;
        let serves = |health: &aws_sdk_elasticloadbalancingv2::types::TargetHealth| match health.state() {
            Some(TargetHealthStateEnum::Healthy) => true,
            // No load balancer sends traffic to this target group: there is nothing to become healthy for.
            Some(TargetHealthStateEnum::Unused) => health.reason() == Some(&TargetHealthReasonEnum::NotInUse),
            // Health checks are switched off.
            Some(TargetHealthStateEnum::Unavailable) => true,
            _ => false,
        };
        let targets = answer.target_health_descriptions().iter();
        Ok(targets
            .filter(|target| target.target_health().is_some_and(serves))
            .filter_map(|target| target.target().and_then(|target| target.id()).map(InstanceId::new))
            .collect())
    }

    async fn healthy_behind(&self, load_balancer: &str) -> Result<HashSet<InstanceId>, CloudError> {
        let answer = self
            .clients
            .load_balancing
            .describe_instance_health()
            .load_balancer_name(load_balancer)
            .send()
            .await
            .map_err(refused(Service::LoadBalancing, "DescribeInstanceHealth"))?;
        let states = answer.instance_states().iter().filter(|state| state.state() == Some("InService"));
        Ok(states.filter_map(|state| state.instance_id().map(InstanceId::new)).collect())
    }

    /// What is known about EC2 termination protection, with one instance asked for if it is not known yet.
    async fn termination_protection(
        &self,
        closer: Option<&InstanceId>,
    ) -> Result<HashMap<InstanceId, bool>, CloudError> {
        let unknown = closer.filter(|id| !self.memory().termination_protected.contains_key(*id));
        if let Some(id) = unknown {
            let answer = self
                .clients
                .ec2
                .describe_instance_attribute()
                .instance_id(id.as_str())
                .attribute(ec2::InstanceAttributeName::DisableApiTermination)
                .send()
                .await
                .map_err(refused(Service::Ec2, "DescribeInstanceAttribute"));
            match answer {
                Ok(answer) => {
                    let protected = answer.disable_api_termination().and_then(|value| value.value()) == Some(true);
                    self.memory().termination_protected.insert(id.clone(), protected);
                }
                // It is going: the next look shows it.
                Err(refused) if refused.kind == Kind::NotFound => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(self.memory().termination_protected.clone())
    }
}

/// Short for a very long name.
mod ec2_version {
    pub(super) use aws_sdk_ec2::operation::describe_launch_template_versions::DescribeLaunchTemplateVersionsOutput as Answer;
}

pub(crate) fn filter(name: String, values: impl IntoIterator<Item = String>) -> ec2::Filter {
    ec2::Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

fn member_ids(group: &asg::AutoScalingGroup) -> Vec<InstanceId> {
    group.instances().iter().filter_map(|instance| instance.instance_id().map(InstanceId::new)).collect()
}

fn of_group<'a>(ours: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    ours.iter().filter(|seen| seen.ours.as_ref().is_some_and(|ours| ours.group.as_str() == name)).collect()
}

/// "The instance IDs 'i-1, i-2' do not exist"
fn names_instance(refused: &Refused, id: &InstanceId) -> bool {
    let words = refused.message.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.into_iter().any(|word| word == id.as_str())
}

fn has_spot(group: &Group) -> bool {
    let members = group.members.iter().map(|member| member.purchase);
    members.chain(group.replicas.iter().map(|replica| replica.purchase)).any(|bought| bought == PurchaseOption::Spot)
}

fn mark_ends(group: &mut Group, ends: &Ends) {
    for replica in &mut group.replicas {
        replica.interrupted = ends.contains_key(&replica.id);
    }
    for member in &mut group.members {
        let end = ends.get(&member.id);
        if let Some(facts) = &mut member.ec2 {
            facts.interrupted = end.is_some();
            facts.ends_at = end.copied().flatten();
        }
    }
}
