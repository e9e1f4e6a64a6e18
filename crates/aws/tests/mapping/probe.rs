//! What `doctor` asks, and what it makes of each answer.

use std::collections::BTreeMap;

use aws::Aws;
use aws::probe::{Identity, Probe, Verdict, Which, is_standard};
use engine::CloudError;
use expect_test::expect;
use planner::model::InstanceType;
use planner::policy::Config;

use crate::region::{Answer, Call, Region, ok, picture, run};

/// EC2's answer to a dry run that would have been allowed is an error by form.
const DRY_RUN: Answer = Answer::Error(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.");
const DENIED: &str = "You are not authorized to perform this operation.";

fn region(answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> (Region, Aws) {
    let region = Region::new(answer);
    let aws = region.aws(Config::default());
    (region, aws)
}

fn told(probes: &[Probe]) -> String {
    let line = |probe: &Probe| match &probe.verdict {
        Verdict::Allowed => format!("{} allowed\n", probe.call),
        Verdict::Denied(why) => format!("{} denied: {why}\n", probe.call),
        Verdict::Unknown(why) => format!("{} unknown: {why}\n", probe.call),
    };
    probes.iter().map(line).collect()
}

/// All reads are answered alike.
fn reads(answer: Answer) -> Vec<Probe> {
    let (_, aws) = region(move |_| answer.clone());
    run(aws.probe_reads())
}

#[test]
fn every_read_is_asked_for_one_row_or_as_a_dry_run() {
    let (region, aws) = region(|call| if call.service == "ec2" { DRY_RUN } else { ok("") });
    let probes = run(aws.probe_reads());
    assert!(probes.iter().all(|probe| matches!(probe.verdict, Verdict::Allowed)), "{}", told(&probes));
    expect![[r#"
        autoscaling DescribeAutoScalingGroups
            MaxRecords = 1
        autoscaling DescribeAutoScalingInstances
            MaxRecords = 1
        autoscaling DescribeLaunchConfigurations
            MaxRecords = 1
        autoscaling DescribeScalingActivities
            MaxRecords = 1
        autoscaling DescribeScheduledActions
            MaxRecords = 1
        ec2 DescribeInstances
            DryRun = true
        ec2 DescribeInstanceStatus
            DryRun = true
        ec2 DescribeInstanceTypes
            DryRun = true
        ec2 DescribeInstanceTypeOfferings
            DryRun = true
        ec2 DescribeImages
            Owner.1 = self
            DryRun = true
        ec2 DescribeLaunchTemplateVersions
            DryRun = true
            LaunchTemplateVersion.1 = $Latest
        ec2 DescribePlacementGroups
            DryRun = true
        ec2 DescribeSpotInstanceRequests
            DryRun = true
        ec2 DescribeSpotPriceHistory
            DryRun = true
            ProductDescription.1 = Linux/UNIX
        api GetProducts
            body = {"ServiceCode":"AmazonEC2","MaxResults":1}
    "#]]
    .assert_eq(&picture(&region.calls()));
}

#[test]
fn writes_are_dry_runs_on_things_that_do_not_exist() {
    let (region, aws) = region(|_| DRY_RUN);
    let probes = run(aws.probe_writes());
    expect![[r#"
        ec2:CreateFleet allowed
        ec2:CreateTags allowed
        ec2:DeleteTags allowed
        ec2:TerminateInstances allowed
    "#]]
    .assert_eq(&told(&probes));
    let mut calls = region.calls();
    for call in &mut calls {
        assert_eq!(call.param("DryRun"), Some("true"), "{}", call.action);
        // The SDK draws one of its own.
        call.params.retain(|(key, _)| key != "ClientToken");
    }
    expect![[r#"
        ec2 CreateFleet
            DryRun = true
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId = lt-00000000000000000
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version = 1
            TargetCapacitySpecification.TotalTargetCapacity = 1
            TargetCapacitySpecification.DefaultTargetCapacityType = spot
            Type = instant
        ec2 CreateTags
            DryRun = true
            ResourceId.1 = i-00000000000000000
            Tag.1.Key = spotward:role
            Tag.1.Value = replica
        ec2 DeleteTags
            DryRun = true
            ResourceId.1 = i-00000000000000000
            Tag.1.Key = spotward:role
            Tag.1.Value = replica
        ec2 TerminateInstances
            InstanceId.1 = i-00000000000000000
            DryRun = true
    "#]]
    .assert_eq(&picture(&calls));
}

#[test]
fn what_is_not_allowed_is_denied_in_the_words_of_aws() {
    let (_, aws) = region(|call| match call.action.as_str() {
        "TerminateInstances" => Answer::Error(403, "UnauthorizedOperation", DENIED),
        "CreateFleet" => Answer::Error(403, "AccessDenied", DENIED),
        _ => DRY_RUN,
    });
    expect![[r#"
        ec2:CreateFleet denied: not permitted: CreateFleet: AccessDenied: You are not authorized to perform this operation.
        ec2:CreateTags allowed
        ec2:DeleteTags allowed
        ec2:TerminateInstances denied: not permitted: TerminateInstances: UnauthorizedOperation: You are not authorized to perform this operation.
    "#]].assert_eq(&told(&run(aws.probe_writes())));
    let denied = |code| {
        let probes = reads(Answer::Error(403, code, DENIED));
        probes.iter().all(|probe| matches!(&probe.verdict, Verdict::Denied(why) if why.contains(code)))
    };
    for code in ["UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "ExpiredToken", "AuthFailure"] {
        assert!(denied(code), "{code}");
    }
}

#[test]
fn whoever_is_throttled_or_pointed_at_what_is_not_there_knows_nothing() {
    for (status, code) in [
        (503, "RequestLimitExceeded"),
        (400, "Throttling"),
        (500, "InternalError"),
        (400, "InvalidInstanceID.NotFound"),
        (400, "InvalidParameterCombination"),
        (501, ""),
    ] {
        let probes = reads(Answer::Error(status, code, "words"));
        assert!(probes.iter().all(|probe| matches!(&probe.verdict, Verdict::Unknown(why) if why.contains("words"))));
    }
    // With tags in the policy, EC2 looks for the thing before it looks at the policy.
    let (_, aws) = region(|call| match call.action.as_str() {
        "TerminateInstances" => Answer::Error(400, "InvalidInstanceID.NotFound", "does not exist"),
        _ => DRY_RUN,
    });
    expect![[r#"
        ec2:CreateFleet allowed
        ec2:CreateTags allowed
        ec2:DeleteTags allowed
        ec2:TerminateInstances unknown: not found: TerminateInstances: InvalidInstanceID.NotFound: does not exist
    "#]]
    .assert_eq(&told(&run(aws.probe_writes())));
}

#[test]
fn who_asks_is_told_without_any_permission() {
    let arn = "arn:aws:sts::111122223333:assumed-role/ops/eve";
    let (asked, aws) =
        region(move |_| ok(format!("<Arn>{arn}</Arn><UserId>AROA:eve</UserId><Account>111122223333</Account>")));
    let who = run(aws.identity()).unwrap();
    assert_eq!(who, Identity { account: "111122223333".to_owned(), arn: arn.to_owned() });
    expect![[r#"
        sts GetCallerIdentity
    "#]]
    .assert_eq(&picture(&asked.calls()));
    let (_, aws) = region(|_| Answer::Error(403, "InvalidClientTokenId", "The security token is invalid."));
    let error = run(aws.identity()).unwrap_err();
    assert!(matches!(error, CloudError::Denied(_)), "{error}");
}

#[test]
fn the_enabled_regions_are_listed_by_name() {
    let named =
        ["us-east-1", "af-south-1", "eu-west-1"].map(|name| format!("<item><regionName>{name}</regionName></item>"));
    let (asked, aws) = region(move |_| ok(format!("<regionInfo>{}</regionInfo>", named.concat())));
    assert_eq!(run(aws.regions()).unwrap(), ["af-south-1", "eu-west-1", "us-east-1"]);
    expect![[r#"
        ec2 DescribeRegions
    "#]]
    .assert_eq(&picture(&asked.calls()));
}

#[test]
fn a_deployment_is_known_by_its_queues() {
    let queue = |waiting: &'static str, dead: &'static str| {
        region(move |call| match (call.action.as_str(), call.param("body").unwrap_or_default()) {
            ("GetQueueUrl", body) => {
                let name = if body.contains("spotward-dead.fifo") { "dead" } else { "waiting" };
                ok(format!(r#"{{"QueueUrl":"https://sqs/{name}"}}"#))
            }
            (_, body) => {
                let count = if body.contains("sqs/dead") { dead } else { waiting };
                ok(format!(r#"{{"Attributes":{{"ApproximateNumberOfMessages":"{count}"}}}}"#))
            }
        })
    };
    let (asked, aws) = queue("3", "2");
    let queues = run(aws.queues()).unwrap().unwrap();
    assert_eq!((queues.waiting, queues.dead), (3, 2));
    expect![[r#"
        sqs GetQueueUrl
            body = {"QueueName":"spotward.fifo"}
        sqs GetQueueAttributes
            body = {"QueueUrl":"https://sqs/waiting","AttributeNames":["ApproximateNumberOfMessages"]}
        sqs GetQueueUrl
            body = {"QueueName":"spotward-dead.fifo"}
        sqs GetQueueAttributes
            body = {"QueueUrl":"https://sqs/dead","AttributeNames":["ApproximateNumberOfMessages"]}
    "#]]
    .assert_eq(&picture(&asked.calls()));
    let (_, aws) = region(|_| Answer::Error(400, "QueueDoesNotExist", "The specified queue does not exist."));
    assert_eq!(run(aws.queues()).unwrap(), None);
    let (_, aws) = region(|_| Answer::Error(403, "AccessDenied", DENIED));
    assert!(matches!(run(aws.queues()), Err(CloudError::Denied(_))));
}

#[test]
fn spot_has_been_asked_for_if_there_is_a_request() {
    let asked = |answer: &'static str| run(region(move |_| ok(answer)).1.has_asked_for_spot()).unwrap();
    assert!(asked(
        "<spotInstanceRequestSet><item><spotInstanceRequestId>sir-1</spotInstanceRequestId></item></spotInstanceRequestSet>"
    ));
    assert!(!asked("<spotInstanceRequestSet/>"));
}

#[test]
fn the_quota_is_read_by_its_code_and_what_is_not_a_number_is_no_quota() {
    let (asked, aws) = region(|_| ok(r#"{"Quota":{"QuotaCode":"L-34B43A08","Value":640.0}}"#));
    assert_eq!(run(aws.spot_quota()).unwrap(), 640);
    expect![[r#"
        servicequotas GetServiceQuota
            body = {"ServiceCode":"ec2","QuotaCode":"L-34B43A08"}
    "#]]
    .assert_eq(&picture(&asked.calls()));
    let refused = |answer: Answer| run(region(move |_| answer.clone()).1.spot_quota()).unwrap_err();
    assert!(matches!(refused(ok(r#"{"Quota":{}}"#)), CloudError::NotFound(_)));
    assert!(matches!(refused(Answer::Error(400, "NoSuchResourceException", "none")), CloudError::NotFound(_)));
    assert!(matches!(refused(Answer::Error(400, "AccessDeniedException", DENIED)), CloudError::Denied(_)));
    assert!(matches!(refused(Answer::Error(400, "TooManyRequestsException", "later")), CloudError::Throttled(_)));
    assert!(matches!(refused(Answer::Error(501, "", "not implemented")), CloudError::Throttled(_)));
}

#[test]
fn spot_instances_are_counted_by_type_page_by_page() {
    let instance = |name: &str| format!("<item><instanceType>{name}</instanceType></item>");
    let page = move |names: &[&str], token: &str| {
        let instances: String = names.iter().map(|name| instance(name)).collect();
        let set = format!("<reservationSet><item><instancesSet>{instances}</instancesSet></item></reservationSet>");
        ok(format!("{set}{token}"))
    };
    let (asked, aws) = region(move |call| match call.param("NextToken") {
        None => page(&["m5.large", "m5.large", "c5.xlarge"], "<nextToken>more</nextToken>"),
        Some(_) => page(&["m5.large"], ""),
    });
    let counted = run(aws.running_spot()).unwrap();
    assert_eq!(counted, BTreeMap::from([(InstanceType::new("c5.xlarge"), 1), (InstanceType::new("m5.large"), 3)]));
    expect![[r#"
        ec2 DescribeInstances
            Filter.1.Name = instance-lifecycle
            Filter.1.Value.1 = spot
            Filter.2.Name = instance-state-name
            Filter.2.Value.1 = pending
            Filter.2.Value.2 = running
            MaxResults = 1000
        ec2 DescribeInstances
            Filter.1.Name = instance-lifecycle
            Filter.1.Value.1 = spot
            Filter.2.Name = instance-state-name
            Filter.2.Value.1 = pending
            Filter.2.Value.2 = running
            NextToken = more
            MaxResults = 1000
    "#]]
    .assert_eq(&picture(&asked.calls()));
}

#[test]
fn sizes_of_types_are_asked_for_a_hundred_at_a_time_and_nobody_is_asked_about_none() {
    let (asked, aws) = region(|_| ok(include_str!("types.xml")));
    let types: Vec<InstanceType> = (0..101).map(|number| InstanceType::new(format!("m5.{number}xlarge"))).collect();
    let sizes = run(aws.vcpus(&types)).unwrap();
    assert_eq!(sizes.get(&InstanceType::new("m5.large")), Some(&2));
    let calls = asked.calls();
    assert_eq!(calls.iter().map(|call| call.params.len()).collect::<Vec<_>>(), [100, 1]);
    assert!(run(aws.vcpus(&[])).unwrap().is_empty() && asked.calls().is_empty());
}

#[test]
fn only_standard_families_count_against_the_quota() {
    let counts = |name: &&str| is_standard(&InstanceType::new(*name));
    let standard = ["a1.medium", "c7gn.large", "d3en.xlarge", "h1.2xlarge", "i4i.large", "im4gn.large", "is4gen.large"];
    assert!(standard.iter().all(counts) && ["m6i.large", "r8gd.large", "t3.micro", "z1d.large"].iter().all(counts));
    let own = ["dl1.24xlarge", "f2.6xlarge", "g5.xlarge", "gr6.4xlarge", "hpc7a.12xlarge", "inf2.xlarge", "mac2.metal"];
    assert!(
        !own.iter().chain(&["p5.48xlarge", "trn1.2xlarge", "u-6tb1.metal", "vt1.3xlarge", "x2idn.metal"]).any(counts)
    );
}

#[test]
fn names_of_groups_come_page_by_page_and_end_with_an_error() {
    let (asked, aws) = region(|call| match call.param("NextToken") {
        None => ok(
            "<AutoScalingGroups><member><AutoScalingGroupName>web</AutoScalingGroupName></member></AutoScalingGroups>\
                    <NextToken>more</NextToken>",
        ),
        Some(_) => Answer::Error(400, "Throttling", "Rate exceeded"),
    });
    run(async {
        let mut pages = aws.group_name_pages(Which::Enabled);
        assert_eq!(pages.next().await.unwrap().unwrap(), [planner::model::GroupName::new("web")]);
        assert!(matches!(pages.next().await, Some(Err(CloudError::Throttled(_)))));
        assert!(pages.next().await.is_none());
    });
    expect![[r#"
        autoscaling DescribeAutoScalingGroups
            IncludeInstances = false
            MaxRecords = 100
            Filters.member.1.Name = tag:spot-enabled
            Filters.member.1.Values.member.1 = true
        autoscaling DescribeAutoScalingGroups
            IncludeInstances = false
            NextToken = more
            MaxRecords = 100
            Filters.member.1.Name = tag:spot-enabled
            Filters.member.1.Values.member.1 = true
    "#]]
    .assert_eq(&picture(&asked.calls()));
}
