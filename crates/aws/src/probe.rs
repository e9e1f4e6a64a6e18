//! What these credentials are and may do, and what the account has: facts for `spotward doctor`. Changes nothing: what
//! would change something is asked as EC2's dry run, with names that do not exist.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::operation::describe_auto_scaling_groups::builders::DescribeAutoScalingGroupsFluentBuilder;
use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::types as ec2;
use aws_sdk_sqs::types::QueueAttributeName;
use engine::CloudError;
use planner::model::{GroupName, InstanceType, Platform, tag};

use crate::Aws;
use crate::error::{Kind, Refused, Service, refused};
use crate::observe::{GROUPS_PER_PAGE, INSTANCES_PER_PAGE, filter};

/// EC2 takes no more names in one question for types.
const TYPES_PER_CALL: usize = 100;

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// ARN of the user or of the assumed role.
    pub arn: String,
}

/// What AWS says to one call.
#[derive(Debug)]
pub struct Probe {
    /// As IAM writes it: `ec2:DescribeInstances`.
    pub call: &'static str,
    /// Its verdict.
    pub verdict: Verdict,
}

/// Whether a call is allowed.
#[derive(Debug)]
pub enum Verdict {
    /// It is.
    Allowed,
    /// It is not; AWS's words.
    Denied(String),
    /// AWS looked at something else first; its words. A policy that depends on tags can only be judged on things that
    /// carry them.
    Unknown(String),
}

/// The deployment's queues, if it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Groups that wait for their pass.
    pub waiting: u32,
    /// Groups that were given up after several attempts.
    pub dead: u32,
}

/// "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", in vCPUs.
/// <https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html>
pub const SPOT_QUOTA: &str = "L-34B43A08";

/// Families that count against [`SPOT_QUOTA`]; every other has a quota of its own.
const STANDARD: [&str; 11] = ["a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"];

/// Whether spot instances of this type count against [`SPOT_QUOTA`].
pub fn is_standard(instance_type: &InstanceType) -> bool {
    let name = instance_type.as_str();
    let family = &name[..name.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(name.len())];
    STANDARD.contains(&family)
}

/// EC2's answer to a dry run that would have been allowed.
const DRY_RUN: &str = "DryRunOperation";

impl Verdict {
    fn of<T>(answer: Result<T, Refused>) -> Verdict {
        match answer {
            Ok(_) => Verdict::Allowed,
            Err(refused) if refused.code == DRY_RUN => Verdict::Allowed,
            Err(refused) => match refused.kind {
                Kind::Denied => Verdict::Denied(CloudError::from(refused).to_string()),
                Kind::InsufficientCapacity
                | Kind::Limit
                | Kind::Throttled
                | Kind::NotFound
                | Kind::Conflict
                | Kind::Rejected => Verdict::Unknown(CloudError::from(refused).to_string()),
            },
        }
    }
}

/// One call that is made, and what AWS says to it.
macro_rules! probe {
    ($service:expr, $prefix:literal, $operation:literal, $request:expr) => {
        Probe {
            call: concat!($prefix, ":", $operation),
            verdict: Verdict::of($request.send().await.map_err(refused($service, $operation))),
        }
    };
}

impl Aws {
    /// Whose credentials these are. Needs no permission.
    pub async fn identity(&self) -> Result<Identity, CloudError> {
        let answer = self
            .clients
            .sts
            .get_caller_identity()
            .send()
            .await
            .map_err(refused(Service::Identity, "GetCallerIdentity"))?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ok(Identity { account: text(answer.account()), arn: text(answer.arn()) })
    }

    /// The regions that are enabled for the account, by name.
    pub async fn regions(&self) -> Result<Vec<String>, CloudError> {
        let answer =
            self.clients.ec2.describe_regions().send().await.map_err(refused(Service::Ec2, "DescribeRegions"))?;
        let mut names: Vec<String> =
            answer.regions().iter().filter_map(|region| region.region_name().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// The reads that a plan is made of, as far as they can be asked without naming anything: one page of each at most.
    pub async fn probe_reads(&self) -> Vec<Probe> {
        use Service::{AutoScaling, Ec2, Pricing};
        let (autoscaling, ec2) = (&self.clients.autoscaling, &self.clients.ec2);
        let product = Platform::Linux.spot_product();
        let mut probes = vec![
            probe!(
                AutoScaling,
                "autoscaling",
                "DescribeAutoScalingGroups",
                autoscaling.describe_auto_scaling_groups().max_records(1)
            ),
            probe!(
                AutoScaling,
                "autoscaling",
                "DescribeAutoScalingInstances",
                autoscaling.describe_auto_scaling_instances().max_records(1)
            ),
            probe!(
                AutoScaling,
                "autoscaling",
                "DescribeLaunchConfigurations",
                autoscaling.describe_launch_configurations().max_records(1)
            ),
            probe!(
                AutoScaling,
                "autoscaling",
                "DescribeScalingActivities",
                autoscaling.describe_scaling_activities().max_records(1)
            ),
            probe!(
                AutoScaling,
                "autoscaling",
                "DescribeScheduledActions",
                autoscaling.describe_scheduled_actions().max_records(1)
            ),
            probe!(Ec2, "ec2", "DescribeInstances", ec2.describe_instances().dry_run(true)),
            probe!(Ec2, "ec2", "DescribeInstanceStatus", ec2.describe_instance_status().dry_run(true)),
            probe!(Ec2, "ec2", "DescribeInstanceTypes", ec2.describe_instance_types().dry_run(true)),
            probe!(Ec2, "ec2", "DescribeInstanceTypeOfferings", ec2.describe_instance_type_offerings().dry_run(true)),
            probe!(Ec2, "ec2", "DescribeImages", ec2.describe_images().owners("self").dry_run(true)),
            probe!(
                Ec2,
                "ec2",
                "DescribeLaunchTemplateVersions",
                ec2.describe_launch_template_versions().versions("$Latest").dry_run(true)
            ),
            probe!(Ec2, "ec2", "DescribePlacementGroups", ec2.describe_placement_groups().dry_run(true)),
            probe!(Ec2, "ec2", "DescribeSpotInstanceRequests", ec2.describe_spot_instance_requests().dry_run(true)),
            probe!(
                Ec2,
                "ec2",
                "DescribeSpotPriceHistory",
                ec2.describe_spot_price_history().product_descriptions(product).dry_run(true)
            ),
        ];
        if self.has_price_list {
            let request = self.clients.pricing.get_products().service_code("AmazonEC2").max_results(1);
            probes.push(probe!(Pricing, "pricing", "GetProducts", request));
        }
        probes
    }

    /// The writes of EC2, as dry runs on things that do not exist. Auto Scaling has no dry run.
    pub async fn probe_writes(&self) -> Vec<Probe> {
        use Service::Ec2;
        const NO_INSTANCE: &str = "i-00000000000000000";
        const NO_TEMPLATE: &str = "lt-00000000000000000";
        let ec2 = &self.clients.ec2;
        let template =
            ec2::FleetLaunchTemplateSpecificationRequest::builder().launch_template_id(NO_TEMPLATE).version("1");
        let fleet = ec2
            .create_fleet()
            .dry_run(true)
            .r#type(ec2::FleetType::Instant)
            .launch_template_configs(
                ec2::FleetLaunchTemplateConfigRequest::builder()
                    .launch_template_specification(template.build())
                    .build(),
            )
            .target_capacity_specification(
                ec2::TargetCapacitySpecificationRequest::builder()
                    .total_target_capacity(1)
                    .default_target_capacity_type(ec2::DefaultTargetCapacityType::Spot)
                    .build(),
            );
        let tag = ec2::Tag::builder().key("spotward:role").value("replica").build();
        vec![
            probe!(Ec2, "ec2", "CreateFleet", fleet),
            probe!(Ec2, "ec2", "CreateTags", ec2.create_tags().dry_run(true).resources(NO_INSTANCE).tags(tag.clone())),
            probe!(Ec2, "ec2", "DeleteTags", ec2.delete_tags().dry_run(true).resources(NO_INSTANCE).tags(tag)),
            probe!(Ec2, "ec2", "TerminateInstances", ec2.terminate_instances().dry_run(true).instance_ids(NO_INSTANCE)),
        ]
    }

    /// Whether the account has asked for spot instances here: then the role that EC2 needs for them exists. `false` says
    /// nothing.
    pub async fn has_asked_for_spot(&self) -> Result<bool, CloudError> {
        let answer = self
            .clients
            .ec2
            .describe_spot_instance_requests()
            .max_results(5)
            .send()
            .await
            .map_err(refused(Service::Ec2, "DescribeSpotInstanceRequests"))?;
        Ok(!answer.spot_instance_requests().is_empty())
    }

    /// How many vCPUs of standard types may run as spot in this region at a time: [`SPOT_QUOTA`].
    pub async fn spot_quota(&self) -> Result<u32, CloudError> {
        let quotas = aws_sdk_servicequotas::Client::from_conf(self.clients.quotas.clone());
        let request = quotas.get_service_quota().service_code("ec2").quota_code(SPOT_QUOTA);
        let answer = request.send().await.map_err(refused(Service::Quotas, "GetServiceQuota"))?;
        let value = answer.quota().and_then(|quota| quota.value());
        // The cast saturates: whatever is not a count of vCPUs is none, or more than anybody can run.
        value
            .map(|vcpus| vcpus as u32)
            .ok_or_else(|| CloudError::NotFound(format!("GetServiceQuota: the answer has no value for {SPOT_QUOTA}")))
    }

    /// All spot instances of the account in this region that run or are about to, by type.
    pub async fn running_spot(&self) -> Result<BTreeMap<InstanceType, u32>, CloudError> {
        let filters = vec![
            filter("instance-lifecycle".to_owned(), ["spot".to_owned()]),
            filter("instance-state-name".to_owned(), ["pending".to_owned(), "running".to_owned()]),
        ];
        let pages = self.clients.ec2.describe_instances().set_filters(Some(filters));
        let mut pages = pages.max_results(INSTANCES_PER_PAGE).into_paginator().send();
        let mut running = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Ec2, "DescribeInstances"))?;
            let instances = page.reservations().iter().flat_map(|reservation| reservation.instances());
            for name in instances.filter_map(|instance| instance.instance_type()) {
                *running.entry(InstanceType::new(name.as_str())).or_default() += 1;
            }
        }
        Ok(running)
    }

    /// vCPUs of these types.
    pub async fn vcpus(&self, types: &[InstanceType]) -> Result<BTreeMap<InstanceType, u32>, CloudError> {
        let mut vcpus = BTreeMap::new();
        for types in types.chunks(TYPES_PER_CALL) {
            let names = types.iter().map(|name| name.as_str().into()).collect();
            let request = self.clients.ec2.describe_instance_types().set_instance_types(Some(names));
            let answer = request.send().await.map_err(refused(Service::Ec2, "DescribeInstanceTypes"))?;
            vcpus.extend(answer.instance_types().iter().filter_map(|seen| {
                let count = seen.v_cpu_info()?.default_v_cpus()?;
                Some((InstanceType::new(seen.instance_type()?.as_str()), u32::try_from(count).ok()?))
            }));
        }
        Ok(vcpus)
    }

    /// The queues of this deployment; `None` if it is not deployed in this region.
    pub async fn queues(&self) -> Result<Option<Queues>, CloudError> {
        let stack = &self.config.stack;
        let Some(waiting) = self.messages(&format!("{stack}.fifo")).await? else { return Ok(None) };
        let dead = self.messages(&format!("{stack}-dead.fifo")).await?;
        Ok(Some(Queues { waiting, dead: dead.unwrap_or(0) }))
    }

    async fn messages(&self, queue: &str) -> Result<Option<u32>, CloudError> {
        let found = self.clients.sqs.get_queue_url().queue_name(queue).send().await;
        let url = match found.map_err(refused(Service::Queue, "GetQueueUrl")) {
            Ok(answer) => answer.queue_url().unwrap_or_default().to_owned(),
            Err(refused) if refused.kind == Kind::NotFound => return Ok(None),
            Err(refused) => return Err(refused.into()),
        };
        let count = QueueAttributeName::ApproximateNumberOfMessages;
        let answer = self
            .clients
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(count.clone())
            .send()
            .await
            .map_err(refused(Service::Queue, "GetQueueAttributes"))?;
        let count = answer.attributes().and_then(|attributes| attributes.get(&count)?.parse().ok());
        Ok(Some(count.unwrap_or(0)))
    }

    /// Names of groups, page by page as AWS lists them.
    pub fn group_name_pages(&self, which: Which) -> NamePages {
        let pages = self.clients.autoscaling.describe_auto_scaling_groups().include_instances(false);
        let filter = asg::Filter::builder();
        let filter = match which {
            Which::All => None,
            Which::Enabled => {
                Some(filter.name(format!("tag:{}", self.config.enable_key)).values(&self.config.enable_value))
            }
            Which::Journalled => Some(filter.name("tag-key").values(tag::SWAP)),
        };
        let pages = match filter {
            Some(filter) => pages.filters(filter.build()),
            None => pages,
        };
        NamePages { request: pages.max_records(GROUPS_PER_PAGE), token: Some(None) }
    }

    /// Names of the groups, there or gone, that living instances of this deployment outside any group were launched for.
    pub async fn names_of_ours(&self) -> Result<Vec<GroupName>, CloudError> {
        let ours = self.our_instances(vec![filter(format!("tag:{}", tag::STACK), [self.config.stack.clone()])]).await?;
        let alive = ours.into_iter().filter(|seen| seen.facts.state.is_alive());
        Ok(alive.filter_map(|seen| seen.ours).map(|ours| ours.group).collect())
    }
}

/// Which groups to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every group of the region.
    All,
    /// Those whose owner asked for us.
    Enabled,
    /// Those with a journal.
    Journalled,
}

/// Pages of names.
#[derive(Debug)]
pub struct NamePages {
    request: DescribeAutoScalingGroupsFluentBuilder,
    /// Of the next page: `None` after the last one.
    token: Option<Option<String>>,
}

impl NamePages {
    /// The next page; `None` after the last one, or after an error.
    pub async fn next(&mut self) -> Option<Result<Vec<GroupName>, CloudError>> {
        let token = self.token.take()?;
        let answer = self.request.clone().set_next_token(token).send().await;
        Some(match answer.map_err(refused(Service::AutoScaling, "DescribeAutoScalingGroups")) {
            Ok(page) => {
                self.token = page.next_token().map(|token| Some(token.to_owned()));
                let groups = page.auto_scaling_groups().iter();
                Ok(groups.filter_map(|group| group.auto_scaling_group_name().map(GroupName::new)).collect())
            }
            Err(refused) => Err(refused.into()),
        })
    }
}
