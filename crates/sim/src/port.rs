//! The port on the simulated region: observes by single reads, and takes every action apart into its single calls, in
//! the documented order.

use std::fmt::Write as _;
use std::sync::Arc;

use engine::{Cloud, CloudError, Scope};
use jiff::Timestamp;
use planner::action::{Action, Finished, Launch};
use planner::market::Market;
use planner::model::{
    Activity, Details, Ec2Facts, Group, GroupName, Image, ImageId, InstanceId, LaunchFacts, LaunchSource,
    LifecycleState, Member, Observation, Platform, Provenance, Replica, RunState, tag,
};
use planner::policy::AllocationStrategy;

use crate::oracle::{Done, Facts, Promise};
use crate::region::{Asg, Ec2, FleetRequest, MEMBER_TAG, MINUTE, Ms, Origin, Record, SECOND, Source, Target};
use crate::world::{Api, Sim, Watchers, World};

/// A tag search may miss instances younger than this.
const TAG_LAG: Ms = MINUTE;

impl Cloud for Sim {
    async fn observe(&self, scope: &Scope) -> Result<Vec<Observation>, CloudError> {
        let worker = self.worker;
        self.world.borrow_mut().draw_stale_look(worker);
        let observations = self.observe_scope(scope).await;
        if let Some(slot) = self.world.borrow_mut().stale.get_mut(worker) {
            *slot = None;
        }
        observations
    }

    async fn market(&self, platform: Platform) -> Result<Arc<Market>, CloudError> {
        self.read(Api::DescribeInstanceTypes, |_, _| ()).await?;
        self.read(Api::DescribeSpotPriceHistory, |_, _| ()).await?;
        let world = &mut *self.world.borrow_mut();
        world.oracle.note_market(self.worker, &world.region);
        Ok(world.region.pools.market(platform))
    }

    async fn apply(&self, group: &GroupName, action: &Action) -> Result<(), CloudError> {
        self.world.borrow_mut().note(|| format!("   applies {}", action.name()));
        let twice = self.world.borrow().twice;
        if twice {
            // Performing it again must be harmless: whatever the first came to, the second is what we hear of.
            let _ = self.perform(group, action).await;
        }
        self.perform(group, action).await
    }
}

impl Sim {
    async fn observe_scope(&self, scope: &Scope) -> Result<Vec<Observation>, CloudError> {
        let world_enabled = |group: &Asg| {
            group.tags.get("spot-enabled").map(String::as_str) == Some("true") || group.tags.contains_key(tag::SWAP)
        };
        match scope {
            Scope::Enabled => {
                let names: Vec<GroupName> = self
                    .read(Api::DescribeAutoScalingGroups, |view, _| {
                        view.groups
                            .values()
                            .filter(|group| world_enabled(group))
                            .map(|group| group.name.clone())
                            .collect()
                    })
                    .await?;
                let mut observations = Vec::new();
                for name in names {
                    observations.extend(self.observe_group(&name, None, false).await?);
                }
                Ok(observations)
            }
            Scope::Group { name, closer } => {
                Ok(self.observe_group(name, closer.as_ref(), true).await?.into_iter().collect())
            }
            Scope::Notice(id) => {
                let announced = self
                    .read(Api::DescribeInstances, |view, _| {
                        view.instances.get(id).is_some_and(|ec2| ec2.ends_at.is_some())
                    })
                    .await?;
                let name = self.read(Api::DescribeInstances, |_, region| region.group_of(id)).await?;
                match name.filter(|_| announced) {
                    Some(name) => Ok(self.observe_group(&name, None, true).await?.into_iter().collect()),
                    None => Ok(Vec::new()),
                }
            }
            Scope::GroupOf(id) => {
                let name = self
                    .read(Api::DescribeInstances, |_, region| {
                        let launched_for = region.ec2(id).and_then(|ec2| ec2.tags.get(tag::GROUP)).map(GroupName::new);
                        region.group_of(id).or(launched_for)
                    })
                    .await?;
                match name {
                    Some(name) => Ok(self.observe_group(&name, None, true).await?.into_iter().collect()),
                    None => Ok(Vec::new()),
                }
            }
        }
    }

    async fn observe_group(
        &self,
        name: &GroupName,
        closer: Option<&InstanceId>,
        details: bool,
    ) -> Result<Option<Observation>, CloudError> {
        let Some(asg) = self.read(Api::DescribeAutoScalingGroups, |view, _| view.groups.get(name).cloned()).await?
        else {
            return self.observe_orphans(name).await;
        };
        let members: Vec<Option<std::rc::Rc<Ec2>>> = self
            .read(Api::DescribeInstances, |view, _| {
                asg.seats.iter().map(|seat| view.instances.get(&seat.id).cloned()).collect()
            })
            .await?;
        if let Some(reading) = self.world.borrow_mut().oracle.readings.get_mut(self.worker) {
            reading.desired = asg.desired;
        }
        let hides = self.world.borrow_mut().hides();
        let outside: Vec<std::rc::Rc<Ec2>> = self
            .read(Api::DescribeInstancesByTag, |view, region| {
                let found = |ec2: &&std::rc::Rc<Ec2>| {
                    ec2.tags.get(tag::GROUP).map(String::as_str) == Some(name.as_str())
                        && matches!(ec2.tags.get(tag::ROLE).map(String::as_str), Some("replica" | "doomed"))
                        && !asg.seats.iter().any(|seat| seat.id == ec2.id)
                        && !(hides && ec2.launched_at + TAG_LAG > region.now)
                };
                view.instances.values().filter(found).cloned().collect()
            })
            .await?;
        if !outside.is_empty() {
            self.read(Api::DescribeInstanceStatus, |_, _| ()).await?;
        }
        let targets: Option<Vec<Option<Target>>> = match asg.load_balanced {
            false => None,
            true => Some(
                self.read(Api::DescribeTargetHealth, |view, _| {
                    let now = view.groups.get(name);
                    let target = |id: &InstanceId| now?.seats.iter().find(|seat| seat.id == *id)?.target;
                    asg.seats.iter().map(|seat| target(&seat.id)).collect()
                })
                .await?,
            ),
        };
        let details = match details {
            true => Some(self.details(name, &asg).await?),
            false => None,
        };
        if closer.is_some() {
            self.read(Api::DescribeInstanceAttribute, |_, _| ()).await?;
        }
        let now = self.world.borrow().region.now;
        let members = asg
            .seats
            .iter()
            .enumerate()
            .map(|(at, seat)| {
                member(&asg, at, seat, members[at].as_deref(), targets.as_ref().map(|all| all[at]), closer)
            })
            .collect();
        let group = Group {
            name: name.clone(),
            arn: format!("arn:aws:autoscaling:us-east-1:111122223333:autoScalingGroup:1:autoScalingGroupName/{name}"),
            desired: asg.desired,
            min_size: asg.min,
            max_size: asg.max,
            subnets: asg.zones.iter().map(|(_, subnet)| subnet.clone()).collect(),
            zones: asg.zones.iter().map(|(zone, _)| zone.clone()).collect(),
            tags: asg.tags.clone(),
            propagated_tags: asg.propagated.clone(),
            suspended: asg.suspended.clone(),
            source: match &asg.source {
                Source::Template(id, version) => {
                    LaunchSource::Template { id: id.clone(), version: version.to_string() }
                }
                Source::Configuration(name) => LaunchSource::Configuration { name: name.clone() },
            },
            status: asg.deleting.then(|| "Delete in progress".to_owned()),
            operator: None,
            warm_pool: false,
            capacity_rebalance: asg.capacity_rebalance,
            desired_capacity_type: None,
            new_members_protected: asg.new_members_protected,
            grace_seconds: asg.grace_seconds,
            load_balanced: asg.load_balanced,
            placement_group: None,
            members,
            replicas: outside.iter().filter_map(|ec2| replica(ec2, now)).collect(),
            details,
        };
        let observation = Observation { now: timestamp(now), group };
        let worker = self.worker;
        self.world.borrow_mut().note(|| format!("   [{worker}] sees {}", seen(&observation.group)));
        Ok(Some(observation))
    }

    /// A group that is gone, seen through the living instances of ours that were meant for it.
    async fn observe_orphans(&self, name: &GroupName) -> Result<Option<Observation>, CloudError> {
        let orphans: Vec<std::rc::Rc<Ec2>> = self
            .read(Api::DescribeInstancesByTag, |view, region| {
                let meant = |ec2: &&std::rc::Rc<Ec2>| {
                    ec2.tags.get(tag::GROUP).map(String::as_str) == Some(name.as_str())
                        && matches!(ec2.tags.get(tag::ROLE).map(String::as_str), Some("replica" | "doomed"))
                        && ec2.state.is_alive()
                        && region.group_of(&ec2.id).is_none()
                };
                view.instances.values().filter(meant).cloned().collect()
            })
            .await?;
        let now = self.world.borrow().region.now;
        let replicas: Vec<Replica> = orphans.iter().filter_map(|ec2| replica(ec2, now)).collect();
        if replicas.is_empty() {
            return Ok(None);
        }
        let group = Group {
            name: name.clone(),
            arn: String::new(),
            desired: 0,
            min_size: 0,
            max_size: 0,
            subnets: Vec::new(),
            zones: Vec::new(),
            tags: Default::default(),
            propagated_tags: Default::default(),
            suspended: Default::default(),
            source: LaunchSource::Missing,
            status: Some("deleted".to_owned()),
            operator: None,
            warm_pool: false,
            capacity_rebalance: false,
            desired_capacity_type: None,
            new_members_protected: false,
            grace_seconds: 0,
            load_balanced: false,
            placement_group: None,
            members: Vec::new(),
            replicas,
            details: Some(Details::default()),
        };
        Ok(Some(Observation { now: timestamp(now), group }))
    }

    /// As the adapter does it: not while a replica waits outside without a journal, where nothing is decided by them.
    fn reads_activities(&self, asg: &Asg) -> bool {
        let waits = |ec2: &Ec2| {
            let ours = ec2.tags.get(tag::GROUP).map(String::as_str) == Some(asg.name.as_str());
            ours && ec2.state.is_alive() && !asg.seats.iter().any(|seat| seat.id == ec2.id)
        };
        asg.tags.contains_key(tag::SWAP) || !self.world.borrow().region.view.instances.values().any(|ec2| waits(ec2))
    }

    async fn activities(&self, name: &GroupName) -> Result<Option<Vec<Activity>>, CloudError> {
        self.read(Api::DescribeScalingActivities, |view, _| {
            view.groups.get(name).map(|group| {
                let seen = |record: &Record| Activity {
                    instance: Some(record.instance.clone()),
                    started_at: timestamp(record.started),
                    ended_at: record.ended.map(timestamp),
                    shrank: record.shrank,
                    by_request: record.by_request,
                };
                group.activities.iter().rev().map(seen).collect()
            })
        })
        .await
    }

    async fn details(&self, name: &GroupName, asg: &Asg) -> Result<Details, CloudError> {
        let activities = if self.reads_activities(asg) { self.activities(name).await? } else { None };
        let hooks = self
            .read(Api::DescribeLifecycleHooks, |view, _| {
                view.groups.get(name).map(|group| (group.launch_hook, group.hook))
            })
            .await?;
        let refresh =
            self.read(Api::DescribeInstanceRefreshes, |view, _| view.groups.get(name)?.refresh.clone()).await?;
        let scheduled = self
            .read(Api::DescribeScheduledActions, |view, _| {
                view.groups.get(name).map(|group| group.scheduled.clone()).unwrap_or_default()
            })
            .await?;
        let version = match &asg.source {
            Source::Template(_, version) => {
                self.read(Api::DescribeLaunchTemplateVersions, |_, _| ()).await?;
                Some(*version)
            }
            Source::Configuration(_) => {
                self.read(Api::DescribeLaunchConfigurations, |_, _| ()).await?;
                None
            }
        };
        self.read(Api::DescribeImages, |_, _| ()).await?;
        Ok(Details {
            launch_hooks: hooks.filter(|(launch, _)| *launch).map(|_| "on-launch".to_owned()).into_iter().collect(),
            termination_hooks: hooks
                .and_then(|(_, hook)| hook)
                .map(|_| "on-terminate".to_owned())
                .into_iter()
                .collect(),
            active_refresh: refresh.map(|_| "InProgress".to_owned()),
            scheduled_actions: scheduled.iter().map(|(at, _)| timestamp(*at)).collect(),
            activities,
            launch: Some(Ok(launch_facts(asg, version))),
        })
    }

    /// One action as its calls, in order.
    async fn perform(&self, group: &GroupName, action: &Action) -> Result<(), CloudError> {
        match action {
            Action::Launch(launch) => self.launch(group, launch).await,
            Action::Discard { replica: id } | Action::EndDoomed { victim: id } => {
                self.change(Api::TerminateInstances, group, Some(id), |world| {
                    // The role's policy: only what carries our stack and one of these two roles.
                    let tags = world.region.ec2(id).map(|ec2| ec2.tags.clone()).unwrap_or_default();
                    let ours = tags.get(tag::STACK) == Some(&world.stack);
                    let role = tags.get(tag::ROLE).map(String::as_str);
                    if !ours || !matches!(role, Some("replica" | "doomed")) {
                        world.oracle.denied += 1;
                        return Err(CloudError::Denied(format!("ec2:TerminateInstances on {id}")));
                    }
                    world.region.terminate_instance(id)
                })
                .await
            }
            Action::Arm { journal } => {
                let text = journal.to_string();
                let replica = &journal.replica;
                self.tag_instance(group, replica, &[(tag::SWAP, Some(text.clone()))]).await?;
                self.change(Api::CreateOrUpdateTags, group, None, |world| {
                    enabled_or_denied(world, group, "autoscaling:CreateOrUpdateTags")?;
                    world.region.tag_group(group, tag::SWAP, Some(&text))
                })
                .await
            }
            Action::Prepare { suspend_az_rebalance, raise_max } => {
                if *suspend_az_rebalance {
                    self.change(Api::SuspendProcesses, group, None, |world| {
                        enabled_or_denied(world, group, "autoscaling:SuspendProcesses")?;
                        world.region.suspend(group, "AZRebalance", true)
                    })
                    .await?;
                }
                match raise_max {
                    Some(max) => self.set_max(group, max.raised).await,
                    None => Ok(()),
                }
            }
            Action::Attach { replica, .. } => {
                self.change(Api::AttachInstances, group, Some(replica), |world| {
                    enabled_or_denied(world, group, "autoscaling:AttachInstances")?;
                    let ready = world.region.ec2(replica).is_some_and(|ec2| ec2.tags.contains_key(tag::READY));
                    if world.watchers != Watchers::Absent && !ready {
                        let World { oracle, region, .. } = &mut *world;
                        oracle.object(region, Promise::Ready, || format!("{replica} is attached unheard"));
                    }
                    match world.region.attach(group, replica) {
                        Err(CloudError::Rejected(text))
                            if text.contains(&format!("already part of AutoScalingGroup:{group}")) =>
                        {
                            Ok(())
                        }
                        other => other,
                    }
                })
                .await
            }
            Action::Doom { victim, deadline, brought } => {
                let stack = self.world.borrow().stack.clone();
                let mut tags = vec![
                    (tag::ROLE, Some("doomed".to_owned())),
                    (tag::GROUP, Some(group.to_string())),
                    (tag::DEADLINE, Some(deadline.as_second().to_string())),
                    (tag::STACK, Some(stack)),
                ];
                if !brought {
                    tags.push((tag::VICTIM, Some(victim.to_string())));
                }
                self.change(Api::CreateTags, group, Some(victim), |world| {
                    // The role's policy: a victim may be marked if it carries the enabling tag itself.
                    let carried = world.region.ec2(victim).and_then(|ec2| ec2.tags.get("spot-enabled"));
                    if carried.map(String::as_str) != Some("true") {
                        world.oracle.denied += 1;
                        return Err(CloudError::Denied(format!("ec2:CreateTags on {victim}")));
                    }
                    world.region.tag_instance(victim, &tags)
                })
                .await
            }
            Action::Pardon { victim, brought: true } => {
                let tags = [(tag::ROLE, Some("member".to_owned()))];
                self.change(Api::CreateTags, group, Some(victim), |world| world.region.tag_instance(victim, &tags))
                    .await
            }
            Action::Pardon { victim, brought: false } => {
                let tags = [tag::ROLE, tag::GROUP, tag::VICTIM, tag::DEADLINE, tag::STACK].map(|key| (key, None));
                self.change(Api::DeleteTags, group, Some(victim), |world| world.region.tag_instance(victim, &tags))
                    .await
            }
            Action::RecordReady { replica, at } => {
                let tags = [(tag::READY, Some(at.as_second().to_string()))];
                self.change(Api::CreateTags, group, Some(replica), |world| {
                    // The role's policy: only what carries our stack.
                    let carried = world.region.ec2(replica).and_then(|ec2| ec2.tags.get(tag::STACK));
                    if carried != Some(&world.stack) {
                        world.oracle.denied += 1;
                        return Err(CloudError::Denied(format!("ec2:CreateTags on {replica}")));
                    }
                    world.region.tag_instance(replica, &tags)
                })
                .await
            }
            Action::Note { backoff: Some(text) } => {
                self.change(Api::CreateOrUpdateTags, group, None, |world| {
                    enabled_or_denied(world, group, "autoscaling:CreateOrUpdateTags")?;
                    world.region.tag_group(group, tag::BACKOFF, Some(text))
                })
                .await
            }
            Action::Note { backoff: None } => {
                self.change(Api::DeleteGroupTags, group, None, |world| {
                    enabled_or_in_flight_or_denied(world, group, "autoscaling:DeleteTags")?;
                    world.region.tag_group(group, tag::BACKOFF, None)
                })
                .await
            }
            Action::Detach { victim, .. } => {
                self.change(Api::DetachInstances, group, Some(victim), |world| {
                    enabled_or_denied(world, group, "autoscaling:DetachInstances")?;
                    world.region.detach(group, victim, true)?;
                    world.region.sign_last_activity(group, victim);
                    Ok(())
                })
                .await
            }
            Action::Terminate { member, .. } => {
                self.change(Api::TerminateInstanceInAutoScalingGroup, group, Some(member), |world| {
                    enabled_or_in_flight_or_denied(world, group, "autoscaling:TerminateInstanceInAutoScalingGroup")?;
                    world.region.terminate_member(member, true)?;
                    world.region.sign_last_activity(group, member);
                    Ok(())
                })
                .await
            }
            Action::Replace { member } => {
                self.change(Api::TerminateInstanceInAutoScalingGroup, group, Some(member), |world| {
                    enabled_or_in_flight_or_denied(world, group, "autoscaling:TerminateInstanceInAutoScalingGroup")?;
                    world.region.terminate_member(member, false)
                })
                .await
            }
            Action::Compensate { to, .. } => {
                self.change(Api::SetDesiredCapacity, group, None, |world| {
                    enabled_or_in_flight_or_denied(world, group, "autoscaling:SetDesiredCapacity")?;
                    world.region.set_desired(group, *to)
                })
                .await
            }
            Action::Restore { max, resume_az_rebalance } => {
                if let Some(max) = max {
                    self.set_max(group, max.original).await?;
                }
                if *resume_az_rebalance {
                    self.change(Api::ResumeProcesses, group, None, |world| {
                        enabled_or_in_flight_or_denied(world, group, "autoscaling:ResumeProcesses")?;
                        world.region.suspend(group, "AZRebalance", false)
                    })
                    .await?;
                }
                Ok(())
            }
            Action::Finish { replica, drop_journal } => {
                match replica {
                    Some(Finished::Member(id)) => {
                        self.tag_instance(group, id, &[(tag::ROLE, Some("member".to_owned()))]).await?;
                        self.untag_journal(group, id).await?;
                    }
                    Some(Finished::Kept(id)) => self.untag_journal(group, id).await?,
                    None => {}
                }
                if drop_journal.is_some() {
                    self.change(Api::DeleteGroupTags, group, None, |world| {
                        enabled_or_in_flight_or_denied(world, group, "autoscaling:DeleteTags")?;
                        world.region.tag_group(group, tag::SWAP, None)
                    })
                    .await?;
                }
                Ok(())
            }
        }
    }

    async fn tag_instance(
        &self,
        group: &GroupName,
        id: &InstanceId,
        tags: &[(&str, Option<String>)],
    ) -> Result<(), CloudError> {
        self.change(Api::CreateTags, group, Some(id), |world| world.region.tag_instance(id, tags)).await
    }

    async fn untag_journal(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.change(Api::DeleteTags, group, Some(id), |world| world.region.tag_instance(id, &[(tag::SWAP, None)])).await
    }

    async fn set_max(&self, group: &GroupName, to: u32) -> Result<(), CloudError> {
        self.change(Api::UpdateAutoScalingGroup, group, None, |world| {
            enabled_or_in_flight_or_denied(world, group, "autoscaling:UpdateAutoScalingGroup")?;
            world.region.set_max(group, to)
        })
        .await
    }

    async fn launch(&self, group: &GroupName, launch: &Launch) -> Result<(), CloudError> {
        let origin = match &launch.source {
            LaunchSource::Template { id, .. } => Origin::Template(id.clone(), launch.template_version.unwrap_or(0)),
            LaunchSource::Configuration { name } => {
                let derived = format!("spotward-{name}");
                self.change(Api::CreateLaunchTemplate, group, None, |world| {
                    world.region.derive_template(derived.clone());
                    Ok(())
                })
                .await?;
                Origin::Template(derived, 1)
            }
            LaunchSource::MixedInstances | LaunchSource::Missing => {
                return Err(CloudError::Rejected("nothing to launch from".to_owned()));
            }
        };
        let mut fingerprint = String::new();
        let _ = write!(fingerprint, "{} {} {:?}", launch.subnet, launch.purchase, launch.tags);
        for pool in launch.pools.iter() {
            let _ = write!(fingerprint, " {}", pool.instance_type);
        }
        let worker = self.worker;
        self.change(Api::CreateFleet, group, Some(&launch.victim), |world| {
            let before = Facts::of(&world.region, group);
            let subject_before = world.region.ec2(&launch.victim).cloned();
            let request = || FleetRequest {
                token: &launch.client_token,
                fingerprint: fingerprint.clone(),
                purchase: launch.purchase,
                zone: launch.zone.clone(),
                subnet: launch.subnet.clone(),
                overrides: launch
                    .pools
                    .iter()
                    .map(|pool| (pool.instance_type.clone(), pool.max_price.map(|price| price.0)))
                    .collect(),
                deepest_first: launch.strategy != AllocationStrategy::LowestPrice,
                tags: launch.tags.clone(),
                origin: origin.clone(),
            };
            let known = world.region.view.instances.len();
            let id = world.region.create_fleet(request())?;
            if world.region.view.instances.len() > known {
                world.note(|| format!("   {id} is launched"));
                let done = Done {
                    api: Api::CreateFleet,
                    worker,
                    group,
                    subject: Some(&launch.victim),
                    before: &before,
                    subject_before: subject_before.as_ref(),
                    protected: false,
                    two_workers: world.two_workers,
                };
                world.oracle.judge_launch(&world.region, &done, &request(), &id);
            }
            Ok(())
        })
        .await
    }
}

/// The role's policy: `autoscaling:ResourceTag/spot-enabled`.
fn enabled_or_denied(world: &mut World, group: &GroupName, action: &str) -> Result<(), CloudError> {
    let Some(asg) = world.region.group(group) else {
        return Err(CloudError::NotFound(format!("AutoScalingGroup {group}")));
    };
    if asg.tags.get("spot-enabled").map(String::as_str) == Some("true") {
        return Ok(());
    }
    world.oracle.denied += 1;
    Err(CloudError::Denied(action.to_owned()))
}

/// The role's policy for finishing: enabled, or our journal is on the group.
fn enabled_or_in_flight_or_denied(world: &mut World, group: &GroupName, action: &str) -> Result<(), CloudError> {
    if world.region.journal_text(group).is_some() {
        return Ok(());
    }
    enabled_or_denied(world, group, action)
}

pub(crate) fn timestamp(at: Ms) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or_default()
}

fn member(
    asg: &Asg,
    at: usize,
    seat: &crate::region::Seat,
    ec2: Option<&Ec2>,
    target: Option<Option<Target>>,
    closer: Option<&InstanceId>,
) -> Member {
    let (zone, _) = &asg.zones[at % asg.zones.len()];
    Member {
        id: seat.id.clone(),
        zone: ec2.map_or_else(|| zone.clone(), |ec2| ec2.zone.clone()),
        instance_type: ec2.map_or_else(|| asg.instance_type.clone(), |ec2| ec2.instance_type.clone()),
        purchase: ec2.map_or(planner::model::PurchaseOption::OnDemand, |ec2| ec2.purchase),
        lifecycle: seat.lifecycle.clone(),
        healthy: seat.healthy,
        targets_healthy: target.map(|target| target == Some(Target::Healthy)),
        protected: seat.protected,
        weighted: false,
        template_version: match &seat.recorded {
            Origin::Template(id, version) if matches!(&asg.source, Source::Template(own, _) if own == id) => {
                Some(*version)
            }
            _ => None,
        },
        ec2: ec2.map(|ec2| Ec2Facts {
            state: ec2.state,
            launched_at: timestamp(ec2.launched_at),
            subnet: ec2.subnet.clone(),
            image: ImageId::new("ami-1"),
            platform: Some(Platform::Linux),
            elastic_ip: false,
            attached_later: false,
            enabled: ec2.tags.get("spot-enabled").is_some_and(|value| value == "true"),
            interrupted: ec2.ends_at.is_some(),
            ends_at: ec2.ends_at.map(timestamp),
            reserved: false,
            termination_protected: (closer == Some(&seat.id)).then_some(ec2.termination_protected),
        }),
        ours: ec2.and_then(|ec2| Provenance::from_tags(&ec2.tags)),
    }
}

fn replica(ec2: &Ec2, now: Ms) -> Option<Replica> {
    Some(Replica {
        id: ec2.id.clone(),
        zone: ec2.zone.clone(),
        instance_type: ec2.instance_type.clone(),
        purchase: ec2.purchase,
        state: ec2.state,
        checks_ok: Some(ec2.state == RunState::Running && ec2.checks_ok_at <= now),
        launched_at: timestamp(ec2.launched_at),
        was_member: ec2.tags.contains_key(MEMBER_TAG),
        interrupted: ec2.ends_at.is_some(),
        ours: Provenance::from_tags(&ec2.tags)?,
    })
}

fn launch_facts(asg: &Asg, version: Option<u64>) -> LaunchFacts {
    LaunchFacts {
        version,
        instance_type: Some(asg.instance_type.clone()),
        image: Image {
            id: ImageId::new("ami-1"),
            available: true,
            architecture: "x86_64".to_owned(),
            virtualization: "hvm".to_owned(),
            boot_mode: None,
            tpm: false,
            ena: true,
            root_device: "ebs".to_owned(),
            usage_operation: "RunInstances".to_owned(),
            marketplace: false,
        },
        requests_spot: false,
        instance_requirements: false,
        tenancy: None,
        termination_protection: false,
        hibernation: false,
        enclave: false,
        cpu_options: false,
        kernel: false,
        maps_instance_store: false,
        volumes: 1,
        interfaces: 1,
        ipv6: false,
        efa: false,
        conntrack: false,
        placement_strategy: None,
    }
}

/// One line about what a look showed.
fn seen(group: &Group) -> String {
    let mut line = format!("{} desired {} of {}..{}", group.name, group.desired, group.min_size, group.max_size);
    for member in &group.members {
        let _ = write!(line, " | {} {} {}", member.id, member.purchase, member.lifecycle);
        if !member.serves() && member.lifecycle == LifecycleState::InService {
            line.push_str(" not serving");
        }
        if member.protected {
            line.push_str(" protected");
        }
    }
    for replica in &group.replicas {
        let _ = write!(line, " | outside {} {} {:?}", replica.id, replica.ours.role.as_str(), replica.state);
    }
    if let Some(journal) = group.tags.get(tag::SWAP) {
        let _ = write!(line, " | journal {journal}");
    }
    if !group.suspended.is_empty() {
        let _ = write!(line, " | suspended {}", group.suspended.iter().cloned().collect::<Vec<_>>().join(" "));
    }
    let _ = SECOND;
    line
}
