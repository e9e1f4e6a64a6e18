//! What each look asks, and what it makes of the answers.

use std::sync::Mutex;

use aws::Aws;
use engine::{Cloud, CloudError, Scope};
use expect_test::expect;
use planner::action::{Action, Expect, Finished};
use planner::model::{Group, GroupName, InstanceId, Observation};
use planner::policy::Config;

use crate::region::{Answer, Call, Region, ok, picture, run};

/// A group of AWS's answers, in the fewest words.
struct Web {
    members: &'static [(&'static str, &'static str)],
    more: &'static str,
    tags: &'static [(&'static str, &'static str)],
}

const TWO: Web =
    Web { members: &[("i-1", "InService"), ("i-2", "InService")], more: "", tags: &[("spot-enabled", "true")] };

impl Web {
    fn xml(&self) -> String {
        let members: String = self
            .members
            .iter()
            .map(|(id, state)| {
                format!(
                    "<member><InstanceId>{id}</InstanceId><InstanceType>m5.large</InstanceType>\
                     <AvailabilityZone>us-east-1a</AvailabilityZone><LifecycleState>{state}</LifecycleState>\
                     <HealthStatus>Healthy</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn>\
                     <LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><Version>3</Version></LaunchTemplate></member>"
                )
            })
            .collect();
        let tags: String = self
            .tags
            .iter()
            .map(|(key, value)| {
                format!(
                    "<member><Key>{key}</Key><Value>{value}</Value><PropagateAtLaunch>true</PropagateAtLaunch></member>"
                )
            })
            .collect();
        format!(
            "<AutoScalingGroups><member><AutoScalingGroupName>web</AutoScalingGroupName>\
             <AutoScalingGroupARN>arn:web</AutoScalingGroupARN>\
             <MinSize>1</MinSize><MaxSize>4</MaxSize><DesiredCapacity>2</DesiredCapacity>\
             <HealthCheckGracePeriod>30</HealthCheckGracePeriod>\
             <VPCZoneIdentifier>subnet-a,subnet-b</VPCZoneIdentifier>\
             <AvailabilityZones><member>us-east-1a</member><member>us-east-1b</member></AvailabilityZones>\
             <LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><Version>$Latest</Version></LaunchTemplate>\
             <Instances>{members}</Instances><Tags>{tags}</Tags>{}</member></AutoScalingGroups>",
            self.more
        )
    }
}

/// An instance of EC2's answers.
fn instance(id: &str, more: &str, tags: &[(&str, &str)]) -> String {
    let tags: String =
        tags.iter().map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>")).collect();
    format!(
        "<item><instancesSet><item><instanceId>{id}</instanceId><imageId>ami-1</imageId>\
         <instanceState><code>16</code><name>running</name></instanceState><instanceType>m5.large</instanceType>\
         <launchTime>2026-11-01T00:00:00Z</launchTime><placement><availabilityZone>us-east-1a</availabilityZone></placement>\
         <subnetId>subnet-a</subnetId><tagSet>{tags}</tagSet>{more}</item></instancesSet></item>"
    )
}

fn instances(all: &[String]) -> String {
    format!("<reservationSet>{}</reservationSet>", all.concat())
}

const SPOT: &str = "<instanceLifecycle>spot</instanceLifecycle><spotInstanceRequestId>sir-9</spotInstanceRequestId>";

const OURS: &[(&str, &str)] = &[
    ("spotward:role", "replica"),
    ("spotward:asg", "web"),
    ("spotward:victim", "i-1"),
    ("spotward:deadline", "1800000000"),
    ("spotward:stack", "spotward"),
];

const JOURNAL: &str = "v1;id=1a2b3c4d;in=i-9;out=i-1;d=2;t=1790000000;by=spotward";

const TEMPLATE: &str = "<launchTemplateVersionSet><item><versionNumber>3</versionNumber>\
    <launchTemplateData><imageId>ami-1</imageId><instanceType>m5.large</instanceType></launchTemplateData>\
    </item></launchTemplateVersionSet>";

const IMAGE: &str = "<imagesSet><item><imageId>ami-1</imageId><imageState>available</imageState>\
    <architecture>x86_64</architecture><virtualizationType>hvm</virtualizationType><rootDeviceType>ebs</rootDeviceType>\
    <enaSupport>true</enaSupport><usageOperation>RunInstances</usageOperation>\
    <blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeSize>8</volumeSize></ebs></item></blockDeviceMapping>\
    </item></imagesSet>";

/// Answers the slow facts of an ordinary group.
fn slow(call: &Call) -> Answer {
    ok(match call.action.as_str() {
        "DescribeLaunchTemplateVersions" => TEMPLATE,
        "DescribeImages" => IMAGE,
        _ => "",
    })
}

/// Whether a DescribeInstances asks by id.
fn by_id(call: &Call) -> bool {
    call.param("InstanceId.1").is_some()
}

fn asked(call: &Call) -> Vec<String> {
    call.params.iter().filter(|(key, _)| key.starts_with("InstanceId.")).map(|(_, id)| id.clone()).collect()
}

fn look(aws: &Aws) -> Group {
    one(run(aws.observe(&Scope::group(&GroupName::new("web")))))
}

fn one(observed: Result<Vec<Observation>, CloudError>) -> Group {
    let mut observed = observed.unwrap();
    assert_eq!(observed.len(), 1);
    observed.remove(0).group
}

/// A region with one group; `outside` are instances with our tags.
fn region(web: Web, outside: Vec<String>) -> Region {
    Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(web.xml()),
        "DescribeInstances" if by_id(call) => {
            ok(instances(&asked(call).iter().map(|id| instance(id, "", &[])).collect::<Vec<_>>()))
        }
        "DescribeInstances" => ok(instances(&outside)),
        _ => slow(call),
    })
}

#[test]
fn the_bulk_look_asks_by_pages_and_never_without_a_bound() {
    let region = region(TWO, Vec::new());
    run(region.aws(Config::default()).observe(&Scope::Enabled)).unwrap();
    expect![[r#"
        autoscaling DescribeAutoScalingGroups
            MaxRecords = 100
            Filters.member.1.Name = tag:spot-enabled
            Filters.member.1.Values.member.1 = true
        autoscaling DescribeAutoScalingGroups
            MaxRecords = 100
            Filters.member.1.Name = tag-key
            Filters.member.1.Values.member.1 = spotward:swap
        ec2 DescribeInstances
            Filter.1.Name = tag:spotward:stack
            Filter.1.Value.1 = spotward
            Filter.2.Name = tag:spotward:role
            Filter.2.Value.1 = replica
            Filter.2.Value.2 = doomed
            MaxResults = 1000
        ec2 DescribeInstances
            InstanceId.1 = i-1
            InstanceId.2 = i-2
    "#]]
    .assert_eq(&picture(&region.calls()));
}

#[test]
fn an_idle_region_of_a_hundred_groups_costs_four_calls() {
    let region = Region::new(|call| match call.action.as_str() {
        "DescribeAutoScalingGroups" if call.param("Filters.member.1.Name") == Some("tag-key") => ok(""),
        "DescribeAutoScalingGroups" => {
            let groups: String = (0..100)
                .map(|group| {
                    let members: String = (0..5)
                        .map(|member| format!("<member><InstanceId>i-{group:02}{member}</InstanceId></member>"))
                        .collect();
                    format!(
                        "<member><AutoScalingGroupName>g{group:02}</AutoScalingGroupName><Instances>{members}</Instances></member>"
                    )
                })
                .collect();
            ok(format!("<AutoScalingGroups>{groups}</AutoScalingGroups>"))
        }
        _ if by_id(call) => ok(instances(&asked(call).iter().map(|id| instance(id, "", &[])).collect::<Vec<_>>())),
        _ => ok(""),
    });
    let observed = run(region.aws(Config::default()).observe(&Scope::Enabled)).unwrap();
    assert_eq!(observed.len(), 100);
    assert!(observed.iter().all(|seen| seen.group.members.iter().all(|member| member.ec2.is_some())));
    expect![[r#"
        DescribeAutoScalingGroups
        DescribeAutoScalingGroups
        DescribeInstances
        DescribeInstances
    "#]]
    .assert_eq(&region.actions());
}

#[test]
fn a_full_look_reads_the_slow_facts_once() {
    let region = region(TWO, Vec::new());
    let aws = region.aws(Config::default());
    let group = look(&aws);
    expect![[r#"
        DescribeAutoScalingGroups
        DescribeInstances
        DescribeInstances
        DescribeLifecycleHooks
        DescribeInstanceRefreshes
        DescribeScheduledActions
        DescribeLaunchTemplateVersions
        DescribeImages
        DescribeScalingActivities
    "#]]
    .assert_eq(&region.actions());
    expect![[r#"
        Group {
            name: web,
            arn: "arn:web",
            desired: 2,
            min_size: 1,
            max_size: 4,
            subnets: [
                subnet-a,
                subnet-b,
            ],
            zones: [
                us-east-1a,
                us-east-1b,
            ],
            tags: {
                "spot-enabled": "true",
            },
            propagated_tags: {
                "spot-enabled": "true",
            },
            suspended: {},
            source: Template {
                id: "lt-1",
                version: "$Latest",
            },
            status: None,
            operator: None,
            warm_pool: false,
            capacity_rebalance: false,
            desired_capacity_type: None,
            new_members_protected: false,
            grace_seconds: 30,
            load_balanced: false,
            placement_group: None,
            members: [
                Member {
                    id: i-1,
                    zone: us-east-1a,
                    instance_type: m5.large,
                    purchase: OnDemand,
                    lifecycle: InService,
                    healthy: true,
                    targets_healthy: None,
                    protected: false,
                    weighted: false,
                    template_version: Some(
                        3,
                    ),
                    ec2: Some(
                        Ec2Facts {
                            state: Running,
                            launched_at: 2026-11-01T00:00:00Z,
                            subnet: subnet-a,
                            image: ami-1,
                            platform: None,
                            elastic_ip: false,
                            attached_later: false,
                            reserved: false,
                            enabled: false,
                            interrupted: false,
                            ends_at: None,
                            termination_protected: None,
                        },
                    ),
                    ours: None,
                },
                Member {
                    id: i-2,
                    zone: us-east-1a,
                    instance_type: m5.large,
                    purchase: OnDemand,
                    lifecycle: InService,
                    healthy: true,
                    targets_healthy: None,
                    protected: false,
                    weighted: false,
                    template_version: Some(
                        3,
                    ),
                    ec2: Some(
                        Ec2Facts {
                            state: Running,
                            launched_at: 2026-11-01T00:00:00Z,
                            subnet: subnet-a,
                            image: ami-1,
                            platform: None,
                            elastic_ip: false,
                            attached_later: false,
                            reserved: false,
                            enabled: false,
                            interrupted: false,
                            ends_at: None,
                            termination_protected: None,
                        },
                    ),
                    ours: None,
                },
            ],
            replicas: [],
            details: Some(
                Details {
                    launch_hooks: [],
                    termination_hooks: [],
                    active_refresh: None,
                    scheduled_actions: [],
                    activities: Some(
                        [],
                    ),
                    launch: Some(
                        Ok(
                            LaunchFacts {
                                version: Some(
                                    3,
                                ),
                                instance_type: Some(
                                    m5.large,
                                ),
                                image: Image {
                                    id: ami-1,
                                    available: true,
                                    architecture: "x86_64",
                                    virtualization: "hvm",
                                    boot_mode: None,
                                    tpm: false,
                                    ena: true,
                                    root_device: "ebs",
                                    usage_operation: "RunInstances",
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
                            },
                        ),
                    ),
                },
            ),
        }
    "#]]
    .assert_debug_eq(&group);
    look(&aws);
    expect![[r#"
        DescribeAutoScalingGroups
        DescribeInstances
        DescribeScalingActivities
    "#]]
    .assert_eq(&region.actions());
    aws.forget();
    look(&aws);
    expect![[r#"
        DescribeAutoScalingGroups
        DescribeInstances
        DescribeInstances
        DescribeLifecycleHooks
        DescribeInstanceRefreshes
        DescribeScheduledActions
        DescribeLaunchTemplateVersions
        DescribeImages
        DescribeScalingActivities
    "#]]
    .assert_eq(&region.actions());
}

#[test]
fn a_closer_look_at_once_asks_for_one_fact() {
    let region = region(TWO, Vec::new());
    let aws = region.aws(Config::default());
    look(&aws);
    region.calls();
    let closer = Scope::Group { name: GroupName::new("web"), closer: Some(InstanceId::new("i-2")) };
    let group = one(run(aws.observe(&closer)));
    expect![[r#"
        ec2 DescribeInstanceAttribute
            InstanceId = i-2
            Attribute = disableApiTermination
    "#]]
    .assert_eq(&picture(&region.calls()));
    let protected = |id: &str| group.member(&InstanceId::new(id)).unwrap().ec2.as_ref().unwrap().termination_protected;
    assert_eq!((protected("i-1"), protected("i-2")), (None, Some(false)));
}

#[test]
fn a_replica_outside_is_asked_about_until_its_checks_have_passed() {
    let outside = instance("i-9", SPOT, OURS);
    let passed = Mutex::new(false);
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(TWO.xml()),
        "DescribeInstances" if by_id(call) => ok(instances(&[instance("i-1", "", &[]), instance("i-2", "", &[])])),
        "DescribeInstances" => ok(instances(std::slice::from_ref(&outside))),
        "DescribeInstanceStatus" => {
            let status = if std::mem::replace(&mut *passed.lock().unwrap(), true) { "ok" } else { "initializing" };
            ok(format!(
                "<instanceStatusSet><item><instanceId>i-9</instanceId><instanceStatus><status>{status}</status></instanceStatus>\
                 <systemStatus><status>ok</status></systemStatus></item></instanceStatusSet>"
            ))
        }
        _ => slow(call),
    });
    let aws = region.aws(Config::default());
    let mut text = String::new();
    for _ in 0..3 {
        let group = look(&aws);
        let replica = &group.replicas[0];
        text += &format!("checks {:?}, interrupted {}\n{}", replica.checks_ok, replica.interrupted, region.actions());
    }
    expect![[r#"
        checks Some(false), interrupted false
        DescribeAutoScalingGroups
        DescribeInstances
        DescribeInstances
        DescribeLifecycleHooks
        DescribeInstanceRefreshes
        DescribeScheduledActions
        DescribeLaunchTemplateVersions
        DescribeImages
        DescribeInstanceStatus
        DescribeSpotInstanceRequests
        checks Some(true), interrupted false
        DescribeAutoScalingGroups
        DescribeInstances
        DescribeInstanceStatus
        checks Some(true), interrupted false
        DescribeAutoScalingGroups
        DescribeInstances
    "#]]
    .assert_eq(&text);
}

/// i-9, the replica, was marked at noon.
const MARKED: &str = "<spotInstanceRequestSet><item><instanceId>i-9</instanceId>\
    <spotInstanceRequestId>sir-9</spotInstanceRequestId><status><code>marked-for-termination</code>\
    <updateTime>2026-11-22T12:00:00.000Z</updateTime></status></item></spotInstanceRequestSet>";

#[test]
fn a_spot_request_that_is_marked_announces_the_end() {
    let outside = instance("i-9", SPOT, OURS);
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(TWO.xml()),
        "DescribeInstances" => ok(instances(std::slice::from_ref(&outside))),
        "DescribeSpotInstanceRequests" => ok(MARKED),
        _ => slow(call),
    });
    assert!(look(&region.aws(Config::default())).replicas[0].interrupted);
}

#[test]
fn a_member_that_ec2_takes_back_is_told_when() {
    let web = Web { members: &[("i-1", "InService"), ("i-9", "InService")], ..TWO };
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(web.xml()),
        "DescribeInstances" => ok(instances(&[instance("i-1", "", &[]), instance("i-9", SPOT, OURS)])),
        "DescribeSpotInstanceRequests" => ok(MARKED),
        _ => slow(call),
    });
    let aws = region.aws(Config::default());
    let ends = |group: &Group| -> Vec<String> {
        let facts = group.members.iter().map(|member| (member.id.to_string(), member.ec2.clone().expect("seen")));
        facts.map(|(id, ec2)| format!("{id} {} {:?}", ec2.interrupted, ec2.ends_at.map(|at| at.to_string()))).collect()
    };
    let expected = ["i-1 false None", "i-9 true Some(\"2026-11-22T12:02:00Z\")"];
    assert_eq!(ends(&look(&aws)), expected, "one group");
    aws.forget();
    assert_eq!(ends(&one(run(aws.observe(&Scope::Enabled)))), expected, "all groups");
}

#[test]
fn a_look_in_haste_makes_six_calls_and_five_when_the_image_is_known() {
    let web = Web { members: &[("i-1", "InService"), ("i-9", "InService")], ..TWO };
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingInstances" => ok(
            "<AutoScalingInstances><member><InstanceId>i-9</InstanceId><AutoScalingGroupName>web</AutoScalingGroupName></member></AutoScalingInstances>",
        ),
        "DescribeAutoScalingGroups" => ok(web.xml()),
        "DescribeInstances" => ok(instances(&[instance("i-1", "", &[]), instance("i-9", SPOT, OURS)])),
        "DescribeSpotInstanceRequests" => ok(MARKED),
        _ => slow(call),
    });
    let aws = region.aws(Config::default());
    let scope = Scope::Notice(InstanceId::new("i-9"));
    one(run(aws.observe(&scope)));
    assert_eq!(region.actions().lines().count(), 6);
    aws.forget();
    let group = one(run(aws.observe(&scope)));
    let launch = group.details.and_then(|details| details.launch).expect("what a launch needs");
    assert_eq!(launch.expect("readable").version, Some(3));
    let mut actions: Vec<String> = region.actions().lines().map(str::to_owned).collect();
    actions.sort();
    expect![[r#"
        DescribeAutoScalingGroups
        DescribeAutoScalingInstances
        DescribeInstances
        DescribeLaunchTemplateVersions
        DescribeSpotInstanceRequests"#]]
    .assert_eq(&actions.join("\n"));
}

#[test]
fn a_notice_that_ec2_does_not_confirm_is_not_looked_into() {
    let region = Region::new(|call| match call.action.as_str() {
        "DescribeAutoScalingInstances" => ok(
            "<AutoScalingInstances><member><InstanceId>i-9</InstanceId><AutoScalingGroupName>web</AutoScalingGroupName></member></AutoScalingInstances>",
        ),
        _ => ok(""),
    });
    let aws = region.aws(Config::default());
    assert!(run(aws.observe(&Scope::Notice(InstanceId::new("i-9")))).unwrap().is_empty());
    let mut actions: Vec<String> = region.actions().lines().map(str::to_owned).collect();
    actions.sort();
    assert_eq!(actions, ["DescribeAutoScalingInstances", "DescribeSpotInstanceRequests"]);
}

#[test]
fn members_with_our_tags_are_members() {
    let web = Web { members: &[("i-1", "InService"), ("i-9", "InService")], ..TWO };
    let region = region(web, vec![instance("i-9", SPOT, OURS), instance("i-8", SPOT, OURS)]);
    let group = look(&region.aws(Config::default()));
    let text: Vec<String> = group
        .members
        .iter()
        .map(|member| format!("{} {} {:?}", member.id, member.purchase, member.ours.as_ref().map(|ours| ours.role)))
        .chain(group.replicas.iter().map(|replica| format!("outside {}", replica.id)))
        .collect();
    expect![[r#"
        [
            "i-1 on-demand None",
            "i-9 spot Some(Replica)",
            "outside i-8",
        ]
    "#]]
    .assert_debug_eq(&text);
}

#[test]
fn unknown_ids_do_not_hide_the_others() {
    let region = Region::new(|call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(TWO.xml()),
        "DescribeInstances" if asked(call).contains(&"i-2".to_owned()) => {
            Answer::Error(400, "InvalidInstanceID.NotFound", "The instance ID 'i-2' does not exist")
        }
        "DescribeInstances" if by_id(call) => ok(instances(&[instance("i-1", "", &[])])),
        _ => slow(call),
    });
    let group = look(&region.aws(Config::default()));
    let seen: Vec<bool> = group.members.iter().map(|member| member.ec2.is_some()).collect();
    assert_eq!(seen, [true, false]);
}

#[test]
fn what_would_be_lost_with_an_instance_is_seen() {
    let interface = |owner: &str, attached: &str| {
        format!(
            "<networkInterfaceSet><item><association><ipOwnerId>{owner}</ipOwnerId></association>\
             <attachment><attachTime>{attached}</attachTime></attachment></item></networkInterfaceSet>"
        )
    };
    let volume = |attached: &str| {
        format!(
            "<blockDeviceMapping><item><deviceName>/dev/sdf</deviceName><ebs><attachTime>{attached}</attachTime></ebs></item></blockDeviceMapping>"
        )
    };
    let (at_launch, later) = ("2026-11-01T00:00:01Z", "2026-11-01T00:01:00Z");
    let cases = [
        ("an automatic address", interface("amazon", at_launch)),
        ("an Elastic IP address", interface("123456789012", at_launch)),
        ("an interface of the launch", interface("amazon", at_launch)),
        ("an interface of a boot script", interface("amazon", later)),
        ("a volume of the launch", volume(at_launch)),
        ("a volume of a boot script", volume(later)),
        ("a capacity reservation", "<capacityReservationId>cr-1</capacityReservationId>".to_owned()),
    ];
    let mut text = String::new();
    for (name, xml) in cases {
        let region = Region::new(move |call| match call.action.as_str() {
            "DescribeAutoScalingGroups" => ok(Web { members: &[("i-1", "InService")], ..TWO }.xml()),
            "DescribeInstances" if by_id(call) => ok(instances(&[instance("i-1", &xml, &[])])),
            _ => slow(call),
        });
        let group = look(&region.aws(Config::default()));
        let facts = group.members[0].ec2.as_ref().unwrap();
        text += &format!(
            "{name}: elastic ip {}, attached later {}, reserved {}\n",
            facts.elastic_ip, facts.attached_later, facts.reserved
        );
    }
    expect![[r#"
        an automatic address: elastic ip false, attached later false, reserved false
        an Elastic IP address: elastic ip true, attached later false, reserved false
        an interface of the launch: elastic ip false, attached later false, reserved false
        an interface of a boot script: elastic ip false, attached later true, reserved false
        a volume of the launch: elastic ip false, attached later false, reserved false
        a volume of a boot script: elastic ip false, attached later true, reserved false
        a capacity reservation: elastic ip false, attached later false, reserved true
    "#]]
    .assert_eq(&text);
}

#[test]
fn the_answer_to_our_own_decrement_spares_a_call() {
    let now = jiff::Timestamp::now();
    let journal = format!("v1;id=1a2b3c4d;in=i-9;out=i-1;d=2;t={};by=spotward", now.as_second() - 60);
    let tags: &'static [(&str, &str)] = Box::leak(Box::new([("spotward:swap", &*journal.leak())]));
    let web = Web { members: &[("i-1", "Terminating"), ("i-9", "InService")], tags, ..TWO };
    let xml = web.xml();
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(xml.clone()),
        "DescribeInstances" if !by_id(call) => ok(instances(&[instance("i-9", SPOT, OURS)])),
        "DescribeInstances" => ok(instances(&[instance("i-1", "", &[])])),
        "TerminateInstanceInAutoScalingGroup" => ok(format!(
            "<Activity><ActivityId>a</ActivityId><Description>Terminating EC2 instance: i-1</Description>\
             <Cause>At x instance i-1 was taken out of service in response to a user request, shrinking the capacity from 3 to 2.</Cause>\
             <StartTime>{now}</StartTime></Activity>"
        )),
        _ => slow(call),
    });
    let aws = region.aws(Config::default());
    let expect = Expect { desired: 3, serving: 3 };
    let terminate = Action::Terminate { member: InstanceId::new("i-1"), expect };
    run(aws.apply(&GroupName::new("web"), &terminate)).unwrap();
    let activities = look(&aws).details.unwrap().activities.unwrap();
    assert_eq!(activities[0].shrank, Some((3, 2)));
    assert!(activities[0].by_request);
    assert!(!region.actions().contains("DescribeScalingActivities"));
    // Another worker, or the next invocation, has to ask.
    aws.forget();
    look(&aws);
    assert!(region.actions().contains("DescribeScalingActivities"));
}

#[test]
fn activities_tell_who_shrank_the_group() {
    let region = Region::new(|call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(TWO.xml()),
        "DescribeScalingActivities" => ok("<Activities>\
            <member><Description>Launching a new EC2 instance: i-3.  Status Reason: x</Description>\
            <Cause>At x an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 1 to 2.</Cause>\
            <StartTime>2026-11-01T00:00:00Z</StartTime></member>\
            <member><Description>Terminating EC2 instance: i-4</Description>\
            <Cause>At x a user request explicitly set group desired capacity changing the desired capacity from 3 to 2.  At y an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from 3 to 2.</Cause>\
            <StartTime>2026-11-01T00:00:00Z</StartTime><EndTime>2026-11-01T00:01:00Z</EndTime></member>\
            </Activities>"),
        _ => slow(call),
    });
    let activities = look(&region.aws(Config::default())).details.unwrap().activities;
    expect![[r#"
        Some(
            [
                Activity {
                    instance: Some(
                        i-3,
                    ),
                    started_at: 2026-11-01T00:00:00Z,
                    ended_at: None,
                    shrank: None,
                    by_request: false,
                },
                Activity {
                    instance: Some(
                        i-4,
                    ),
                    started_at: 2026-11-01T00:00:00Z,
                    ended_at: Some(
                        2026-11-01T00:01:00Z,
                    ),
                    shrank: Some(
                        (
                            3,
                            2,
                        ),
                    ),
                    by_request: false,
                },
            ],
        )
    "#]]
    .assert_debug_eq(&activities);
}

#[test]
fn a_relabelled_member_is_remembered_as_such() {
    let labelled = Mutex::new(true);
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(Web { members: &[("i-9", "InService")], ..TWO }.xml()),
        // Once relabelled, the filter on our roles no longer finds it.
        "DescribeInstances" if !by_id(call) => match std::mem::replace(&mut *labelled.lock().unwrap(), false) {
            true => ok(instances(&[instance("i-9", SPOT, OURS)])),
            false => ok(""),
        },
        _ => slow(call),
    });
    let aws = region.aws(Config::default());
    let role = |group: Group| group.members[0].ours.as_ref().unwrap().role;
    let before = role(look(&aws));
    let finish = Action::Finish { replica: Some(Finished::Member(InstanceId::new("i-9"))), drop_journal: None };
    run(aws.apply(&GroupName::new("web"), &finish)).unwrap();
    region.calls();
    let after = role(look(&aws));
    expect!["Replica, then Member"].assert_eq(&format!("{before:?}, then {after:?}"));
    expect![[r#"
        DescribeAutoScalingGroups
        DescribeInstances
        DescribeScalingActivities
    "#]]
    .assert_eq(&region.actions());
}

#[test]
fn tags_of_ours_that_somebody_took_off_are_not_remembered() {
    let labelled = Mutex::new(true);
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(Web { members: &[("i-9", "InService")], ..TWO }.xml()),
        "DescribeInstances" if by_id(call) => ok(instances(&[instance("i-9", SPOT, &[])])),
        "DescribeInstances" => match std::mem::replace(&mut *labelled.lock().unwrap(), false) {
            true => ok(instances(&[instance("i-9", SPOT, OURS)])),
            false => ok(""),
        },
        _ => slow(call),
    });
    let aws = region.aws(Config::default());
    let labelled = |group: Group| group.members[0].ours.is_some();
    assert_eq!([labelled(look(&aws)), labelled(look(&aws))], [true, false]);
}

#[test]
fn targets_are_asked_about_only_during_a_swap() {
    let more = "<TargetGroupARNs><member>arn:tg</member></TargetGroupARNs>\
        <LoadBalancerNames><member>classic</member></LoadBalancerNames>\
        <TrafficSources><member><Identifier>arn:tg</Identifier><Type>elbv2</Type></member></TrafficSources>";
    let region = |tags: &'static [(&str, &str)]| {
        Region::new(move |call| match call.action.as_str() {
            "DescribeAutoScalingGroups" => {
                let members = &[("i-1", "InService"), ("i-2", "InService"), ("i-9", "InService")];
                ok(Web { more, tags, members }.xml())
            }
            "DescribeTargetHealth" => ok("<TargetHealthDescriptions>\
                <member><Target><Id>i-1</Id></Target><TargetHealth><State>healthy</State></TargetHealth></member>\
                <member><Target><Id>i-2</Id></Target><TargetHealth><State>unused</State><Reason>Target.NotInUse</Reason></TargetHealth></member>\
                <member><Target><Id>i-9</Id></Target><TargetHealth><State>initial</State></TargetHealth></member>\
                </TargetHealthDescriptions>"),
            "DescribeInstanceHealth" => ok("<InstanceStates>\
                <member><InstanceId>i-1</InstanceId><State>InService</State></member>\
                <member><InstanceId>i-2</InstanceId><State>OutOfService</State></member>\
                <member><InstanceId>i-9</InstanceId><State>InService</State></member>\
                </InstanceStates>"),
            _ => slow(call),
        })
    };
    let health =
        |group: Group| -> Vec<Option<bool>> { group.members.iter().map(|member| member.targets_healthy).collect() };
    let idle = region(&[("spot-enabled", "true")]);
    assert_eq!(health(look(&idle.aws(Config::default()))), [None, None, None]);
    let busy = region(&[("spotward:swap", JOURNAL)]);
    assert_eq!(health(look(&busy.aws(Config::default()))), [Some(true), Some(false), Some(false)]);
    let asked = busy.calls().into_iter().filter(|call| call.service == "elasticloadbalancing").count();
    assert_eq!(asked, 2);
}

#[test]
fn what_is_left_of_a_deleted_group_is_shown_unless_it_is_a_member_somewhere() {
    let region = |member_of: &'static str| {
        Region::new(move |call| match call.action.as_str() {
            "DescribeInstances" => ok(instances(&[instance("i-9", SPOT, OURS)])),
            "DescribeAutoScalingInstances" => ok(member_of),
            _ => ok(""),
        })
    };
    let left = region("");
    let aws = left.aws(Config::default());
    let group = one(run(aws.observe(&Scope::Enabled)));
    expect![[r#"web Some("deleted") outside i-9"#]]
        .assert_eq(&format!("{} {:?} outside {:?}", group.name, group.status, group.replicas[0].id));
    expect![[r#"
        DescribeAutoScalingGroups
        DescribeAutoScalingGroups
        DescribeInstances
        DescribeAutoScalingGroups
        DescribeAutoScalingInstances
    "#]]
    .assert_eq(&left.actions());
    assert_eq!(look(&aws).replicas.len(), 1);
    let kept = region(
        "<AutoScalingInstances><member><InstanceId>i-9</InstanceId><AutoScalingGroupName>web</AutoScalingGroupName></member></AutoScalingInstances>",
    );
    assert!(run(kept.aws(Config::default()).observe(&Scope::Enabled)).unwrap().is_empty());
}

#[test]
fn a_disabled_group_with_a_replica_of_ours_is_in_the_bulk_look() {
    let region = Region::new(|call| match call.action.as_str() {
        "DescribeAutoScalingGroups" if call.param("AutoScalingGroupNames.member.1") == Some("web") => {
            ok(Web { tags: &[], ..TWO }.xml())
        }
        "DescribeInstances" if !by_id(call) => ok(instances(&[instance("i-9", SPOT, OURS)])),
        "DescribeInstances" => ok(instances(&[instance("i-1", "", &[])])),
        _ => ok(""),
    });
    let group = one(run(region.aws(Config::default()).observe(&Scope::Enabled)));
    assert_eq!((group.members.len(), group.replicas.len()), (2, 1));
}

#[test]
fn the_group_of_an_instance_is_found_by_membership_or_by_our_tags() {
    let region = |member_of: &'static str| {
        Region::new(move |call| match call.action.as_str() {
            "DescribeAutoScalingInstances" => ok(member_of),
            "DescribeAutoScalingGroups" => ok(TWO.xml()),
            "DescribeInstances" => ok(instances(&[instance("i-9", SPOT, OURS)])),
            _ => slow(call),
        })
    };
    let scope = Scope::GroupOf(InstanceId::new("i-9"));
    let member = region(
        "<AutoScalingInstances><member><InstanceId>i-9</InstanceId><AutoScalingGroupName>web</AutoScalingGroupName></member></AutoScalingInstances>",
    );
    assert_eq!(one(run(member.aws(Config::default()).observe(&scope))).name.as_str(), "web");
    let outside = region("");
    assert_eq!(one(run(outside.aws(Config::default()).observe(&scope))).name.as_str(), "web");
    let stranger = Region::new(|call| match call.action.as_str() {
        "DescribeInstances" => ok(instances(&[instance("i-9", "", &[])])),
        _ => ok(""),
    });
    assert!(run(stranger.aws(Config::default()).observe(&scope)).unwrap().is_empty());
}

/// The launch facts of a group whose template says `data`.
fn facts_of_template(data: &'static str) -> String {
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(TWO.xml()),
        "DescribeLaunchTemplateVersions" if call.param("ResolveAlias").is_some() => ok(TEMPLATE),
        "DescribeLaunchTemplateVersions" => ok(format!(
            "<launchTemplateVersionSet><item><versionNumber>3</versionNumber><launchTemplateData>{data}</launchTemplateData></item></launchTemplateVersionSet>"
        )),
        "DescribePlacementGroups" => ok(
            "<placementGroupSet><item><groupName>close</groupName><strategy>cluster</strategy></item></placementGroupSet>",
        ),
        _ => slow(call),
    });
    format!("{:#?}\n", look(&region.aws(Config::default())).details.unwrap().launch.unwrap())
}

#[test]
fn everything_that_a_swap_depends_on_is_read_from_the_template() {
    let facts = facts_of_template(
        "<imageId>ami-1</imageId><instanceType>c5n.18xlarge</instanceType>\
         <instanceMarketOptions><marketType>spot</marketType></instanceMarketOptions>\
         <placement><groupName>close</groupName><tenancy>dedicated</tenancy></placement>\
         <disableApiTermination>true</disableApiTermination>\
         <hibernationOptions><configured>true</configured></hibernationOptions>\
         <enclaveOptions><enabled>true</enabled></enclaveOptions>\
         <cpuOptions><coreCount>2</coreCount></cpuOptions><kernelId>aki-1</kernelId>\
         <blockDeviceMappingSet>\
         <item><deviceName>/dev/xvda</deviceName><ebs><volumeSize>100</volumeSize></ebs></item>\
         <item><deviceName>/dev/sdb</deviceName><virtualName>ephemeral0</virtualName></item>\
         <item><deviceName>/dev/sdc</deviceName><ebs><volumeSize>10</volumeSize></ebs></item>\
         </blockDeviceMappingSet>\
         <networkInterfaceSet><item><deviceIndex>0</deviceIndex><interfaceType>efa</interfaceType><ipv6AddressCount>1</ipv6AddressCount>\
         <connectionTrackingSpecification><tcpEstablishedTimeout>432000</tcpEstablishedTimeout></connectionTrackingSpecification></item>\
         <item><deviceIndex>1</deviceIndex></item></networkInterfaceSet>",
    );
    expect![[r#"
        Ok(
            LaunchFacts {
                version: Some(
                    3,
                ),
                instance_type: Some(
                    c5n.18xlarge,
                ),
                image: Image {
                    id: ami-1,
                    available: true,
                    architecture: "x86_64",
                    virtualization: "hvm",
                    boot_mode: None,
                    tpm: false,
                    ena: true,
                    root_device: "ebs",
                    usage_operation: "RunInstances",
                    marketplace: false,
                },
                requests_spot: true,
                instance_requirements: false,
                tenancy: Some(
                    "dedicated",
                ),
                termination_protection: true,
                hibernation: true,
                enclave: true,
                cpu_options: true,
                kernel: true,
                maps_instance_store: true,
                volumes: 2,
                interfaces: 2,
                ipv6: true,
                efa: true,
                conntrack: true,
                placement_strategy: Some(
                    "cluster",
                ),
            },
        )
    "#]]
    .assert_eq(&facts);
}

#[test]
fn an_image_behind_a_parameter_is_resolved() {
    let facts = facts_of_template("<imageId>resolve:ssm:/images/web</imageId>");
    assert!(facts.contains("id: ami-1"), "{facts}");
}

#[test]
fn a_template_without_an_image_is_its_owners_business() {
    expect![[r#"
        Err(
            "launch template lt-1 version $Latest names no image",
        )
    "#]]
    .assert_eq(&facts_of_template("<instanceType>m5.large</instanceType>"));
}

#[test]
fn a_missing_permission_is_not_a_property_of_the_template() {
    let region = Region::new(|call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(TWO.xml()),
        "DescribeImages" => {
            Answer::Error(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")
        }
        _ => slow(call),
    });
    let error = run(region.aws(Config::default()).observe(&Scope::group(&GroupName::new("web")))).unwrap_err();
    expect!["not permitted: DescribeImages: UnauthorizedOperation: You are not authorized to perform this operation."]
        .assert_eq(&error.to_string());
}

#[test]
fn hooks_refreshes_and_schedules_are_facts_of_the_group() {
    let region = Region::new(|call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(TWO.xml()),
        "DescribeLifecycleHooks" => ok("<LifecycleHooks>\
            <member><LifecycleHookName>boot</LifecycleHookName><LifecycleTransition>autoscaling:EC2_INSTANCE_LAUNCHING</LifecycleTransition></member>\
            <member><LifecycleHookName>drain</LifecycleHookName><LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition></member>\
            </LifecycleHooks>"),
        "DescribeInstanceRefreshes" => ok("<InstanceRefreshes><member><Status>Successful</Status></member>\
            <member><Status>Baking</Status></member></InstanceRefreshes>"),
        "DescribeScheduledActions" => ok(
            "<ScheduledUpdateGroupActions><member><StartTime>2026-11-22T08:00:00Z</StartTime></member></ScheduledUpdateGroupActions>",
        ),
        _ => slow(call),
    });
    let details = look(&region.aws(Config::default())).details.unwrap();
    expect![[r#"launch ["boot"], termination ["drain"], refresh Some("Baking"), scheduled [2026-11-22T08:00:00Z]"#]]
        .assert_eq(&format!(
            "launch {:?}, termination {:?}, refresh {:?}, scheduled {:?}",
            details.launch_hooks, details.termination_hooks, details.active_refresh, details.scheduled_actions
        ));
}

#[test]
fn groups_that_are_not_ours_to_swap_show_why() {
    let more = "<MixedInstancesPolicy><LaunchTemplate/></MixedInstancesPolicy><Status>Delete in progress</Status>\
        <SuspendedProcesses><member><ProcessName>Launch</ProcessName></member></SuspendedProcesses>\
        <WarmPoolConfiguration><MinSize>1</MinSize></WarmPoolConfiguration><DesiredCapacityType>vcpu</DesiredCapacityType>\
        <NewInstancesProtectedFromScaleIn>true</NewInstancesProtectedFromScaleIn><CapacityRebalance>true</CapacityRebalance>\
        <Operator><Principal>some.amazonaws.com</Principal></Operator><PlacementGroup>close</PlacementGroup>";
    let tags = &[("aws:cloudformation:stack-name", "s"), ("team", "web")];
    let region = region(Web { more, tags, ..TWO }, Vec::new());
    let group = look(&region.aws(Config::default()));
    expect![[r#"MixedInstances Some("Delete in progress") {"Launch"} warm true Some("vcpu") protected true rebalance true operator Some("some.amazonaws.com") near Some("close") propagates {"team": "web"}"#]].assert_eq(&format!(
        "{:?} {:?} {:?} warm {} {:?} protected {} rebalance {} operator {:?} near {:?} propagates {:?}",
        group.source,
        group.status,
        group.suspended,
        group.warm_pool,
        group.desired_capacity_type,
        group.new_members_protected,
        group.capacity_rebalance,
        group.operator,
        group.placement_group,
        group.propagated_tags,
    ));
}
