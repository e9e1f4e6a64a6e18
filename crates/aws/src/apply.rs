//! Acting: one `match`, one arm per action, the calls in the order that the action's comment gives.

use aws_sdk_autoscaling::config::retry::RetryConfig;
use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::operation::create_fleet::CreateFleetOutput;
use aws_sdk_ec2::types as ec2;
use engine::{CloudError, NoCapacity};
use planner::action::{Action, Finished, Launch};
use planner::backoff::Trouble;
use planner::choose::Pool;
use planner::journal::RaisedMax;
use planner::model::{GroupName, InstanceId, InstanceType, LaunchSource, Price, PurchaseOption, Role, Tags, tag};
use planner::policy::AllocationStrategy;

use crate::error::{Already, Kind, Refused, Service, refused, sort, trouble};
use crate::{Aws, convert};

/// The one process that a swap suspends.
const AZ_REBALANCE: &str = "AZRebalance";
/// What [`Action::Doom`] writes, and [`Action::Pardon`] takes off again.
const DOOM_KEYS: [&str; 5] = [tag::ROLE, tag::GROUP, tag::VICTIM, tag::DEADLINE, tag::STACK];
/// A derived template never has another version.
const FIRST_VERSION: &str = "1";

impl Aws {
    pub(crate) async fn perform(&self, group: &GroupName, action: &Action) -> Result<(), CloudError> {
        match action {
            Action::Launch(launch) => self.launch(group, launch).await?,
            Action::Discard { replica } => self.terminate_instance(replica).await?,
            Action::Arm { journal } => {
                let text = journal.to_string();
                self.tag_instance(&journal.replica, [(tag::SWAP, text.clone())]).await?;
                self.tag_group(group, tag::SWAP, &text).await?;
            }
            Action::Prepare { suspend_az_rebalance, raise_max } => {
                if *suspend_az_rebalance {
                    self.suspend_az_rebalance(group).await?;
                }
                if let Some(RaisedMax { raised, .. }) = raise_max {
                    self.set_max_size(group, *raised).await?;
                }
            }
            Action::Attach { replica, expect: _ } => self.attach(group, replica).await?,
            Action::Doom { victim, deadline, brought } => {
                let marks = [
                    (tag::ROLE, Role::Doomed.as_str().to_owned()),
                    (tag::GROUP, group.to_string()),
                    (tag::DEADLINE, deadline.as_second().to_string()),
                    (tag::STACK, self.config.stack.clone()),
                ];
                // One that we brought is known by whom it came for.
                let own = (!brought).then(|| (tag::VICTIM, victim.to_string()));
                self.tag_instance(victim, marks.into_iter().chain(own)).await?;
            }
            Action::Pardon { victim, brought: true } => {
                self.tag_instance(victim, [(tag::ROLE, Role::Member.as_str().to_owned())]).await.or_gone()?;
            }
            Action::Pardon { victim, brought: false } => {
                self.untag_instance(victim, &DOOM_KEYS).await.or_gone()?;
            }
            Action::RecordReady { replica, at } => {
                self.tag_instance(replica, [(tag::READY, at.as_second().to_string())]).await?;
            }
            Action::Note { backoff: Some(text) } => self.tag_group(group, tag::BACKOFF, text).await?,
            Action::Note { backoff: None } => self.untag_group(group, tag::BACKOFF).await.or_gone()?,
            Action::Detach { victim, expect: _ } => self.detach(group, victim).await?,
            Action::Terminate { member, expect: _ } => self.terminate_member(group, member, true).await?,
            Action::Replace { member } => self.terminate_member(group, member, false).await?,
            Action::Compensate { from: _, to } => self.set_desired(group, *to).await?,
            Action::Restore { max, resume_az_rebalance } => {
                if let Some(RaisedMax { original, .. }) = max {
                    self.set_max_size(group, *original).await?;
                }
                if *resume_az_rebalance {
                    self.resume_az_rebalance(group).await?;
                }
            }
            Action::Finish { replica, drop_journal } => {
                match replica {
                    Some(Finished::Member(id)) => {
                        self.tag_instance(id, [(tag::ROLE, Role::Member.as_str().to_owned())]).await.or_gone()?;
                        self.untag_instance(id, &[tag::SWAP]).await.or_gone()?;
                        self.memory().relabel(id);
                    }
                    Some(Finished::Kept(id)) => self.untag_instance(id, &[tag::SWAP]).await.or_gone()?,
                    None => {}
                }
                if drop_journal.is_some() {
                    self.untag_group(group, tag::SWAP).await.or_gone()?;
                }
            }
            Action::EndDoomed { victim } => self.terminate_instance(victim).await?,
        }
        Ok(())
    }

    /// `CreateFleet` of type `instant`: one instance, from the group's own template, in the victim's subnet.
    async fn launch(&self, group: &GroupName, launch: &Launch) -> Result<(), CloudError> {
        let template = ec2::FleetLaunchTemplateSpecificationRequest::builder();
        let template = match &launch.source {
            LaunchSource::Template { id, version } => {
                // What `$Latest` means may change until EC2 reads it.
                let number = launch.template_version.ok_or_else(|| {
                    CloudError::Rejected(format!("version {version} of launch template {id} was not resolved"))
                })?;
                template.launch_template_id(id).version(number.to_string())
            }
            LaunchSource::Configuration { name } => {
                template.launch_template_name(self.derived_template(name, group).await?).version(FIRST_VERSION)
            }
            LaunchSource::MixedInstances | LaunchSource::Missing => {
                return Err(CloudError::Rejected(format!("{group} has no launch template or launch configuration")));
            }
        };
        let config = ec2::FleetLaunchTemplateConfigRequest::builder()
            .launch_template_specification(template.build())
            .set_overrides(Some(launch.pools.iter().enumerate().map(|(rank, pool)| over(launch, rank, pool)).collect()))
            .build();
        let fleet = self
            .clients
            .ec2
            .create_fleet()
            .r#type(ec2::FleetType::Instant)
            .client_token(&launch.client_token)
            .launch_template_configs(config)
            .target_capacity_specification(
                ec2::TargetCapacitySpecificationRequest::builder()
                    .total_target_capacity(1)
                    .default_target_capacity_type(match launch.purchase {
                        PurchaseOption::Spot => ec2::DefaultTargetCapacityType::Spot,
                        PurchaseOption::OnDemand => ec2::DefaultTargetCapacityType::OnDemand,
                    })
                    .build(),
            )
            .tag_specifications(born_with(ec2::ResourceType::Instance, &launch.tags))
            .tag_specifications(born_with(
                ec2::ResourceType::Fleet,
                &Tags::from([(tag::STACK.to_owned(), self.config.stack.clone())]),
            ));
        let fleet = match launch.purchase {
            PurchaseOption::Spot => fleet.spot_options(
                ec2::SpotOptionsRequest::builder()
                    .allocation_strategy(strategy(launch.strategy))
                    .instance_interruption_behavior(ec2::SpotInstanceInterruptionBehavior::Terminate)
                    .build(),
            ),
            // The pools come best first: EC2 goes down the list.
            PurchaseOption::OnDemand => fleet.on_demand_options(
                ec2::OnDemandOptionsRequest::builder()
                    .allocation_strategy(ec2::FleetOnDemandAllocationStrategy::Prioritized)
                    .build(),
            ),
        };
        let answer = fleet.send().await.map_err(refused(Service::Ec2, "CreateFleet"))?;
        launched(&answer)
    }

    pub(crate) async fn terminate_instance(&self, id: &InstanceId) -> Result<(), CloudError> {
        let ended = self.clients.ec2.terminate_instances().instance_ids(id.as_str()).send().await;
        Ok(ended.map_err(refused(Service::Ec2, "TerminateInstances")).or_gone()?)
    }

    async fn tag_instance(
        &self,
        id: &InstanceId,
        tags: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<(), Refused> {
        let tags = tags.into_iter().map(|(key, value)| ec2::Tag::builder().key(key).value(value).build()).collect();
        let call = self.clients.ec2.create_tags().resources(id.as_str()).set_tags(Some(tags));
        call.send().await.map_err(refused(Service::Ec2, "CreateTags"))?;
        Ok(())
    }

    /// Keys without values: whatever value the tags have.
    pub(crate) async fn untag_instance(&self, id: &InstanceId, keys: &[&str]) -> Result<(), Refused> {
        let tags = keys.iter().map(|key| ec2::Tag::builder().key(*key).build()).collect();
        let call = self.clients.ec2.delete_tags().resources(id.as_str()).set_tags(Some(tags));
        call.send().await.map_err(refused(Service::Ec2, "DeleteTags"))?;
        Ok(())
    }

    pub(crate) async fn tag_group(&self, group: &GroupName, key: &str, value: &str) -> Result<(), Refused> {
        let tag = asg::Tag::builder()
            .resource_id(group.as_str())
            .resource_type("auto-scaling-group")
            .key(key)
            .value(value)
            .propagate_at_launch(false)
            .build();
        let call = self.clients.autoscaling.create_or_update_tags().tags(tag);
        call.send().await.map_err(refused(Service::AutoScaling, "CreateOrUpdateTags"))?;
        Ok(())
    }

    async fn untag_group(&self, group: &GroupName, key: &str) -> Result<(), Refused> {
        let tag = asg::Tag::builder().resource_id(group.as_str()).resource_type("auto-scaling-group").key(key).build();
        let call = self.clients.autoscaling.delete_tags().tags(tag);
        call.send().await.map_err(refused(Service::AutoScaling, "DeleteTags"))?;
        Ok(())
    }

    async fn suspend_az_rebalance(&self, group: &GroupName) -> Result<(), Refused> {
        let call = self.clients.autoscaling.suspend_processes().auto_scaling_group_name(group.as_str());
        let call = call.scaling_processes(AZ_REBALANCE);
        call.send().await.map_err(refused(Service::AutoScaling, "SuspendProcesses"))?;
        Ok(())
    }

    async fn resume_az_rebalance(&self, group: &GroupName) -> Result<(), Refused> {
        let call = self.clients.autoscaling.resume_processes().auto_scaling_group_name(group.as_str());
        let call = call.scaling_processes(AZ_REBALANCE);
        call.send().await.map_err(refused(Service::AutoScaling, "ResumeProcesses"))?;
        Ok(())
    }

    async fn set_max_size(&self, group: &GroupName, max_size: u32) -> Result<(), Refused> {
        let call = self.clients.autoscaling.update_auto_scaling_group().auto_scaling_group_name(group.as_str());
        let call = call.max_size(number(max_size));
        call.send().await.map_err(refused(Service::AutoScaling, "UpdateAutoScalingGroup"))?;
        Ok(())
    }

    async fn set_desired(&self, group: &GroupName, desired: u32) -> Result<(), Refused> {
        let call = self.clients.autoscaling.set_desired_capacity().auto_scaling_group_name(group.as_str());
        let call = call.desired_capacity(number(desired)).honor_cooldown(false);
        call.send().await.map_err(refused(Service::AutoScaling, "SetDesiredCapacity"))?;
        Ok(())
    }

    async fn attach(&self, group: &GroupName, replica: &InstanceId) -> Result<(), Refused> {
        let call = self.clients.autoscaling.attach_instances().auto_scaling_group_name(group.as_str());
        let attached = call.instance_ids(replica.as_str()).send().await;
        match attached.map_err(refused(Service::AutoScaling, "AttachInstances")) {
            Ok(_) => Ok(()),
            // Ours: an earlier call of the same action was done, its answer lost. A member of another group has
            // another name in the text.
            Err(refused) if is_member_of(&refused.message, group) => Ok(()),
            Err(refused) => Err(refused),
        }
    }

    async fn detach(&self, group: &GroupName, victim: &InstanceId) -> Result<(), Refused> {
        let call = self.clients.autoscaling.detach_instances().auto_scaling_group_name(group.as_str());
        let call = call.instance_ids(victim.as_str()).should_decrement_desired_capacity(true);
        let detached = call.customize().config_override(once()).send().await;
        let detached = detached.map_err(refused(Service::AutoScaling, "DetachInstances"));
        let activity = detached.as_ref().ok().and_then(|answer| answer.activities().first());
        self.memory().end(group, activity.and_then(convert::activity));
        detached.or_gone()
    }

    async fn terminate_member(&self, group: &GroupName, member: &InstanceId, decrement: bool) -> Result<(), Refused> {
        let call = self.clients.autoscaling.terminate_instance_in_auto_scaling_group();
        let call = call.instance_id(member.as_str()).should_decrement_desired_capacity(decrement);
        let ended = call.customize().config_override(once()).send().await;
        let ended = ended.map_err(refused(Service::AutoScaling, "TerminateInstanceInAutoScalingGroup"));
        let activity = ended.as_ref().ok().and_then(|answer| answer.activity());
        self.memory().end(group, activity.and_then(convert::activity));
        ended.or_gone()
    }
}

/// No retry by the SDK: after a lost answer the second try of a decrement might count twice. The next pass looks first.
fn once() -> aws_sdk_autoscaling::config::Builder {
    aws_sdk_autoscaling::Config::builder().retry_config(RetryConfig::disabled())
}

/// One capacity pool of the request.
fn over(launch: &Launch, rank: usize, pool: &Pool) -> ec2::FleetLaunchTemplateOverridesRequest {
    let prioritized = launch.purchase == PurchaseOption::OnDemand
        || launch.strategy == AllocationStrategy::CapacityOptimizedPrioritized;
    ec2::FleetLaunchTemplateOverridesRequest::builder()
        .instance_type(ec2::InstanceType::from(pool.instance_type.as_str()))
        .subnet_id(launch.subnet.as_str())
        .set_max_price(pool.max_price.map(decimal))
        .set_priority(prioritized.then_some(rank as f64))
        .set_placement(
            launch.placement_group.as_deref().map(|group| ec2::Placement::builder().group_name(group).build()),
        )
        .build()
}

fn born_with(resource: ec2::ResourceType, tags: &Tags) -> ec2::TagSpecification {
    let tags = tags.iter().map(|(key, value)| ec2::Tag::builder().key(key).value(value).build()).collect();
    ec2::TagSpecification::builder().resource_type(resource).set_tags(Some(tags)).build()
}

fn strategy(strategy: AllocationStrategy) -> ec2::SpotAllocationStrategy {
    match strategy {
        AllocationStrategy::PriceCapacityOptimized => ec2::SpotAllocationStrategy::PriceCapacityOptimized,
        AllocationStrategy::CapacityOptimized => ec2::SpotAllocationStrategy::CapacityOptimized,
        AllocationStrategy::CapacityOptimizedPrioritized => ec2::SpotAllocationStrategy::CapacityOptimizedPrioritized,
        AllocationStrategy::Diversified => ec2::SpotAllocationStrategy::Diversified,
        AllocationStrategy::LowestPrice => ec2::SpotAllocationStrategy::LowestPrice,
    }
}

/// Dollars per hour as EC2 takes them.
fn decimal(price: Price) -> String {
    format!("{}.{:06}", price.0 / 1_000_000, price.0 % 1_000_000)
}

fn number(size: u32) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}

/// One pool's answer in a fleet that launched nothing.
struct Unlaunched {
    kind: Kind,
    pool: Option<(InstanceType, Trouble)>,
    text: String,
}

/// A fleet that launches nothing is answered with 200 and a list of errors, one per pool. The kinds are looked for in
/// the order of what most needs somebody: a limit or a missing permission fails every pool, capacity only some.
fn launched(answer: &CreateFleetOutput) -> Result<(), CloudError> {
    if answer.instances().iter().any(|instance| !instance.instance_ids().is_empty()) {
        return Ok(());
    }
    let errors: Vec<Unlaunched> = answer
        .errors()
        .iter()
        .map(|error| {
            let (code, message) = (error.error_code().unwrap_or_default(), error.error_message().unwrap_or_default());
            let pool = error.launch_template_and_overrides().and_then(|pool| pool.overrides()?.instance_type());
            let name = pool.map_or(String::new(), |name| format!("{name}: "));
            Unlaunched {
                kind: sort(Service::Ec2, code, message),
                pool: pool.map(|name| (InstanceType::new(name.as_str()), trouble(code))),
                text: format!("{name}{code}: {message}"),
            }
        })
        .collect();
    let order = [
        Kind::Limit,
        Kind::Denied,
        Kind::InsufficientCapacity,
        Kind::Throttled,
        Kind::NotFound,
        Kind::Conflict,
        Kind::Rejected,
    ];
    match order.into_iter().find(|kind| errors.iter().any(|error| error.kind == *kind)) {
        Some(kind) => {
            let of_kind = || errors.iter().filter(|error| error.kind == kind);
            let texts: Vec<&str> = of_kind().map(|error| error.text.as_str()).collect();
            let text = format!("CreateFleet: {}", texts.join("; "));
            Err(match kind {
                Kind::InsufficientCapacity => CloudError::InsufficientCapacity(NoCapacity {
                    text,
                    pools: of_kind().filter_map(|error| error.pool.clone()).collect(),
                }),
                other => other.with(text),
            })
        }
        // The replay of a launch whose instance is not visible yet, or gone: the next look tells.
        None => Err(CloudError::Conflict(format!(
            "CreateFleet: {} names neither an instance nor an error",
            answer.fleet_id().unwrap_or("the fleet")
        ))),
    }
}

/// "Instance i-… is already part of AutoScalingGroup:<name>"
fn is_member_of(message: &str, group: &GroupName) -> bool {
    let Some((_, rest)) = message.split_once("already part of AutoScalingGroup:") else { return false };
    let name = rest.trim_start().strip_prefix(group.as_str());
    name.is_some_and(|after| !after.starts_with(|next: char| next.is_alphanumeric() || next == '-' || next == '_'))
}
