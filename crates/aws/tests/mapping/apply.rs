//! The calls that each action makes, and the answers that count as done.

use engine::{Cloud, Scope};
use expect_test::{Expect as Golden, expect};
use jiff::Timestamp;
use planner::action::{Action, Expect, Finished, Launch};
use planner::choose::{Pool, Pools};
use planner::journal::{Journal, RaisedMax};
use planner::model::{
    GroupName, InstanceId, InstanceType, LaunchSource, Platform, Price, PurchaseOption, SubnetId, Tags, Zone,
};
use planner::policy::{AllocationStrategy, Config, EnabledGroup, enabled};

use crate::region::{Answer, Call, Region, ok, picture, run};

/// Performs the action with `answers` for the actions that they name (the plain success for all others) and draws the
/// calls and the result.
fn check(action: Action, answers: &'static [(&'static str, Answer)], golden: Golden) {
    let answers: Vec<(&str, Answer)> = answers.to_vec();
    check_with(
        action,
        move |call| answers.iter().find(|(name, _)| *name == call.action).map(|(_, answer)| answer.clone()),
        golden,
    );
}

fn check_with(action: Action, answers: impl Fn(&Call) -> Option<Answer> + Send + Sync + 'static, golden: Golden) {
    let region = Region::new(move |call| answers(call).unwrap_or_else(|| plain(call)));
    let result = run(region.aws(Config::default()).apply(&GroupName::new("web"), &action));
    let result = match result {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{error}"),
    };
    golden.assert_eq(&(picture(&region.calls()) + &result + "\n"));
}

fn plain(call: &Call) -> Answer {
    ok(match call.action.as_str() {
        "CreateFleet" => FLEET,
        "DescribeLaunchConfigurations" => CONFIGURATION,
        _ => "<return>true</return>",
    })
}

const FLEET: &str = "<fleetId>fleet-1</fleetId><fleetInstanceSet><item>\
    <instanceIds><item>i-9</item></instanceIds><lifecycle>spot</lifecycle></item></fleetInstanceSet>";

const CONFIGURATION: &str = "<LaunchConfigurations><member>\
    <LaunchConfigurationName>old</LaunchConfigurationName>\
    <LaunchConfigurationARN>arn:aws:autoscaling:us-east-1:123456789012:launchConfiguration:1:launchConfigurationName/old</LaunchConfigurationARN>\
    <ImageId>ami-1</ImageId><KeyName>ops</KeyName><UserData>IyEvYmluL3NoCg==</UserData><InstanceType>m5.large</InstanceType>\
    <SecurityGroups><member>sg-1</member><member>sg-2</member></SecurityGroups>\
    <KernelId></KernelId><RamdiskId></RamdiskId><EbsOptimized>false</EbsOptimized>\
    <IamInstanceProfile>arn:aws:iam::123456789012:instance-profile/web</IamInstanceProfile>\
    <InstanceMonitoring><Enabled>true</Enabled></InstanceMonitoring>\
    <AssociatePublicIpAddress>true</AssociatePublicIpAddress>\
    <BlockDeviceMappings>\
    <member><DeviceName>/dev/xvda</DeviceName><Ebs><VolumeSize>20</VolumeSize><VolumeType>gp3</VolumeType><DeleteOnTermination>true</DeleteOnTermination></Ebs></member>\
    <member><DeviceName>/dev/sdb</DeviceName><VirtualName>ephemeral0</VirtualName></member>\
    <member><DeviceName>/dev/sdc</DeviceName><NoDevice>true</NoDevice></member>\
    </BlockDeviceMappings>\
    <MetadataOptions><HttpTokens>required</HttpTokens><HttpPutResponseHopLimit>2</HttpPutResponseHopLimit><HttpEndpoint>enabled</HttpEndpoint></MetadataOptions>\
    </member></LaunchConfigurations>";

/// The proof that the owner of `web` asked for us comes from a look at the group.
fn enabled_group() -> EnabledGroup {
    let group = "<AutoScalingGroups><member><AutoScalingGroupName>web</AutoScalingGroupName><Tags><member>\
        <Key>spot-enabled</Key><Value>true</Value></member></Tags></member></AutoScalingGroups>";
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeAutoScalingGroups" => ok(group),
        _ => ok(""),
    });
    let config = Config::default();
    let observed = run(region.aws(config.clone()).observe(&Scope::group(&GroupName::new("web")))).unwrap();
    enabled(&observed[0].group, &config).unwrap()
}

fn launch(source: LaunchSource) -> Launch {
    let pool = |name: &str, micros: u64| Pool {
        instance_type: InstanceType::new(name),
        zone: Zone::new("us-east-1a"),
        price: Price(micros),
        max_price: None,
        risk: None,
    };
    Launch {
        enabled: enabled_group(),
        group_arn: "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/web".to_owned(),
        victim: InstanceId::new("i-1"),
        purchase: PurchaseOption::Spot,
        source,
        template_version: Some(7),
        zone: Zone::new("us-east-1a"),
        subnet: SubnetId::new("subnet-a"),
        placement_group: None,
        platform: Platform::Linux,
        pools: Pools::new(vec![pool("m5.large", 35_000), pool("m6i.large", 36_500)]).unwrap(),
        strategy: AllocationStrategy::PriceCapacityOptimized,
        tags: Tags::from([("Name".to_owned(), "web".to_owned()), ("spotward:role".to_owned(), "replica".to_owned())]),
        client_token: "spotward-i-1-5-0123".to_owned(),
    }
}

fn from_template() -> Launch {
    launch(LaunchSource::Template { id: "lt-1".to_owned(), version: "$Latest".to_owned() })
}

fn launches(launch: Launch) -> Action {
    Action::Launch(Box::new(launch))
}

fn journal() -> Journal {
    Journal {
        id: "1a2b3c4d".to_owned(),
        replica: InstanceId::new("i-9"),
        victim: InstanceId::new("i-1"),
        desired: 2,
        raised_max: Some(RaisedMax { original: 2, raised: 3 }),
        suspends_az_rebalance: true,
        written_at: Timestamp::from_second(1_790_000_000).unwrap(),
        stack: "spotward".to_owned(),
    }
}

fn replica() -> InstanceId {
    InstanceId::new("i-9")
}

fn victim() -> InstanceId {
    InstanceId::new("i-1")
}

const EXPECT: Expect = Expect { desired: 2, serving: 2 };

#[test]
fn launches_from_the_groups_own_template_in_the_victims_subnet() {
    check(
        launches(from_template()),
        &[],
        expect![[r#"
        ec2 CreateFleet
            ClientToken = spotward-i-1-5-0123
            SpotOptions.AllocationStrategy = price-capacity-optimized
            SpotOptions.InstanceInterruptionBehavior = terminate
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId = lt-1
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version = 7
            LaunchTemplateConfigs.1.Overrides.1.InstanceType = m5.large
            LaunchTemplateConfigs.1.Overrides.1.SubnetId = subnet-a
            LaunchTemplateConfigs.1.Overrides.2.InstanceType = m6i.large
            LaunchTemplateConfigs.1.Overrides.2.SubnetId = subnet-a
            TargetCapacitySpecification.TotalTargetCapacity = 1
            TargetCapacitySpecification.DefaultTargetCapacityType = spot
            Type = instant
            TagSpecification.1.ResourceType = instance
            TagSpecification.1.Tag.1.Key = Name
            TagSpecification.1.Tag.1.Value = web
            TagSpecification.1.Tag.2.Key = spotward:role
            TagSpecification.1.Tag.2.Value = replica
            TagSpecification.2.ResourceType = fleet
            TagSpecification.2.Tag.1.Key = spotward:stack
            TagSpecification.2.Tag.1.Value = spotward
        done
    "#]],
    );
}

#[test]
fn a_cap_on_the_price_goes_into_each_pool() {
    let mut launch = from_template();
    let capped = launch.pools.iter().map(|pool| Pool { max_price: Some(Price(96_000)), ..pool.clone() }).collect();
    launch.pools = Pools::new(capped).unwrap();
    launch.strategy = AllocationStrategy::CapacityOptimizedPrioritized;
    launch.placement_group = Some("close".to_owned());
    check(
        launches(launch),
        &[],
        expect![[r#"
        ec2 CreateFleet
            ClientToken = spotward-i-1-5-0123
            SpotOptions.AllocationStrategy = capacity-optimized-prioritized
            SpotOptions.InstanceInterruptionBehavior = terminate
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId = lt-1
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version = 7
            LaunchTemplateConfigs.1.Overrides.1.InstanceType = m5.large
            LaunchTemplateConfigs.1.Overrides.1.MaxPrice = 0.096000
            LaunchTemplateConfigs.1.Overrides.1.SubnetId = subnet-a
            LaunchTemplateConfigs.1.Overrides.1.Priority = 0.0
            LaunchTemplateConfigs.1.Overrides.1.Placement.GroupName = close
            LaunchTemplateConfigs.1.Overrides.2.InstanceType = m6i.large
            LaunchTemplateConfigs.1.Overrides.2.MaxPrice = 0.096000
            LaunchTemplateConfigs.1.Overrides.2.SubnetId = subnet-a
            LaunchTemplateConfigs.1.Overrides.2.Priority = 1.0
            LaunchTemplateConfigs.1.Overrides.2.Placement.GroupName = close
            TargetCapacitySpecification.TotalTargetCapacity = 1
            TargetCapacitySpecification.DefaultTargetCapacityType = spot
            Type = instant
            TagSpecification.1.ResourceType = instance
            TagSpecification.1.Tag.1.Key = Name
            TagSpecification.1.Tag.1.Value = web
            TagSpecification.1.Tag.2.Key = spotward:role
            TagSpecification.1.Tag.2.Value = replica
            TagSpecification.2.ResourceType = fleet
            TagSpecification.2.Tag.1.Key = spotward:stack
            TagSpecification.2.Tag.1.Value = spotward
        done
    "#]],
    );
}

#[test]
fn an_on_demand_replica_is_asked_for_in_the_order_of_the_pools() {
    check(
        launches(Launch { purchase: PurchaseOption::OnDemand, ..from_template() }),
        &[],
        expect![[r#"
        ec2 CreateFleet
            ClientToken = spotward-i-1-5-0123
            OnDemandOptions.AllocationStrategy = prioritized
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId = lt-1
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version = 7
            LaunchTemplateConfigs.1.Overrides.1.InstanceType = m5.large
            LaunchTemplateConfigs.1.Overrides.1.SubnetId = subnet-a
            LaunchTemplateConfigs.1.Overrides.1.Priority = 0.0
            LaunchTemplateConfigs.1.Overrides.2.InstanceType = m6i.large
            LaunchTemplateConfigs.1.Overrides.2.SubnetId = subnet-a
            LaunchTemplateConfigs.1.Overrides.2.Priority = 1.0
            TargetCapacitySpecification.TotalTargetCapacity = 1
            TargetCapacitySpecification.DefaultTargetCapacityType = on-demand
            Type = instant
            TagSpecification.1.ResourceType = instance
            TagSpecification.1.Tag.1.Key = Name
            TagSpecification.1.Tag.1.Value = web
            TagSpecification.1.Tag.2.Key = spotward:role
            TagSpecification.1.Tag.2.Value = replica
            TagSpecification.2.ResourceType = fleet
            TagSpecification.2.Tag.1.Key = spotward:stack
            TagSpecification.2.Tag.1.Value = spotward
        done
    "#]],
    );
}

#[test]
fn a_launch_configuration_gets_one_derived_template() {
    let source = LaunchSource::Configuration { name: "old".to_owned() };
    check(
        launches(Launch { template_version: None, ..launch(source) }),
        &[],
        expect![[r#"
        autoscaling DescribeLaunchConfigurations
            LaunchConfigurationNames.member.1 = old
        ec2 CreateLaunchTemplate
            ClientToken = spotward-d153d4512420d3c22d7b11f5c9b7fd8f
            LaunchTemplateName = spotward-d153d4512420d3c22d7b11f5c9b7fd8f
            LaunchTemplateData.EbsOptimized = false
            LaunchTemplateData.IamInstanceProfile.Arn = arn:aws:iam::123456789012:instance-profile/web
            LaunchTemplateData.BlockDeviceMapping.1.DeviceName = /dev/xvda
            LaunchTemplateData.BlockDeviceMapping.1.Ebs.DeleteOnTermination = true
            LaunchTemplateData.BlockDeviceMapping.1.Ebs.VolumeSize = 20
            LaunchTemplateData.BlockDeviceMapping.1.Ebs.VolumeType = gp3
            LaunchTemplateData.BlockDeviceMapping.2.DeviceName = /dev/sdb
            LaunchTemplateData.BlockDeviceMapping.2.VirtualName = ephemeral0
            LaunchTemplateData.BlockDeviceMapping.3.DeviceName = /dev/sdc
            LaunchTemplateData.BlockDeviceMapping.3.NoDevice = 
            LaunchTemplateData.NetworkInterface.1.AssociatePublicIpAddress = true
            LaunchTemplateData.NetworkInterface.1.DeleteOnTermination = true
            LaunchTemplateData.NetworkInterface.1.DeviceIndex = 0
            LaunchTemplateData.NetworkInterface.1.SecurityGroupId.1 = sg-1
            LaunchTemplateData.NetworkInterface.1.SecurityGroupId.2 = sg-2
            LaunchTemplateData.ImageId = ami-1
            LaunchTemplateData.InstanceType = m5.large
            LaunchTemplateData.KeyName = ops
            LaunchTemplateData.Monitoring.Enabled = true
            LaunchTemplateData.UserData = IyEvYmluL3NoCg==
            LaunchTemplateData.MetadataOptions.HttpTokens = required
            LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit = 2
            LaunchTemplateData.MetadataOptions.HttpEndpoint = enabled
            TagSpecification.1.ResourceType = launch-template
            TagSpecification.1.Tag.1.Key = spotward:role
            TagSpecification.1.Tag.1.Value = lt
            TagSpecification.1.Tag.2.Key = spotward:stack
            TagSpecification.1.Tag.2.Value = spotward
            TagSpecification.1.Tag.3.Key = spotward:asg
            TagSpecification.1.Tag.3.Value = web
            TagSpecification.1.Tag.4.Key = spotward:launch-configuration
            TagSpecification.1.Tag.4.Value = old
        ec2 CreateFleet
            ClientToken = spotward-i-1-5-0123
            SpotOptions.AllocationStrategy = price-capacity-optimized
            SpotOptions.InstanceInterruptionBehavior = terminate
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName = spotward-d153d4512420d3c22d7b11f5c9b7fd8f
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version = 1
            LaunchTemplateConfigs.1.Overrides.1.InstanceType = m5.large
            LaunchTemplateConfigs.1.Overrides.1.SubnetId = subnet-a
            LaunchTemplateConfigs.1.Overrides.2.InstanceType = m6i.large
            LaunchTemplateConfigs.1.Overrides.2.SubnetId = subnet-a
            TargetCapacitySpecification.TotalTargetCapacity = 1
            TargetCapacitySpecification.DefaultTargetCapacityType = spot
            Type = instant
            TagSpecification.1.ResourceType = instance
            TagSpecification.1.Tag.1.Key = Name
            TagSpecification.1.Tag.1.Value = web
            TagSpecification.1.Tag.2.Key = spotward:role
            TagSpecification.1.Tag.2.Value = replica
            TagSpecification.2.ResourceType = fleet
            TagSpecification.2.Tag.1.Key = spotward:stack
            TagSpecification.2.Tag.1.Value = spotward
        done
    "#]],
    );
}

#[test]
fn a_derived_template_that_exists_is_used_again() {
    let source = LaunchSource::Configuration { name: "old".to_owned() };
    let exists =
        Answer::Error(400, "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.");
    let region = Region::new(move |call| match call.action.as_str() {
        "CreateLaunchTemplate" => exists.clone(),
        _ => plain(call),
    });
    let aws = region.aws(Config::default());
    let action = launches(Launch { template_version: None, ..launch(source) });
    run(async {
        aws.apply(&GroupName::new("web"), &action).await.unwrap();
        aws.apply(&GroupName::new("web"), &action).await.unwrap();
    });
    expect![[r#"
        DescribeLaunchConfigurations
        CreateLaunchTemplate
        CreateFleet
        CreateFleet
    "#]]
    .assert_eq(&region.actions());
}

#[test]
fn an_unresolved_template_version_is_not_launched() {
    check(
        launches(Launch { template_version: None, ..from_template() }),
        &[],
        expect![[r#"
        refused: version $Latest of launch template lt-1 was not resolved
    "#]],
    );
}

/// The result of a launch that the fleet answers, with 200, by these errors (type, code, message) and this instance.
fn fleet_answers(errors: &[(&str, &str, &str)], launched: &str, golden: Golden) {
    let errors: String = errors
        .iter()
        .map(|(name, code, message)| {
            format!(
                "<item><errorCode>{code}</errorCode><errorMessage>{message}</errorMessage><launchTemplateAndOverrides>\
                 <overrides><instanceType>{name}</instanceType></overrides></launchTemplateAndOverrides></item>"
            )
        })
        .collect();
    let instances = match launched {
        "" => String::new(),
        id => format!("<fleetInstanceSet><item><instanceIds><item>{id}</item></instanceIds></item></fleetInstanceSet>"),
    };
    let answer = format!("<fleetId>fleet-1</fleetId><errorSet>{errors}</errorSet>{instances}");
    let region = Region::new(move |call| if call.action == "CreateFleet" { ok(&*answer) } else { plain(call) });
    let result = run(region.aws(Config::default()).apply(&GroupName::new("web"), &launches(from_template())));
    golden.assert_eq(&format!("{result:?}"));
}

#[test]
fn no_capacity_anywhere_names_the_pools() {
    fleet_answers(
        &[("m5.large", "InsufficientInstanceCapacity", "no m5"), ("m6i.large", "UnfulfillableCapacity", "no m6i")],
        "",
        expect![[
            r#"Err(InsufficientCapacity(NoCapacity { text: "CreateFleet: m5.large: InsufficientInstanceCapacity: no m5; m6i.large: UnfulfillableCapacity: no m6i", pools: [(m5.large, NoCapacity), (m6i.large, NoCapacity)] }))"#
        ]],
    );
}

#[test]
fn pools_that_failed_are_told_from_those_that_were_not_tried() {
    // The request asks for two types; EC2 names one, and one more for another reason.
    fleet_answers(
        &[("m6i.large", "Unsupported", "not in this zone"), ("m6i.large", "InvalidParameterValue", "something else")],
        "",
        expect![[
            r#"Err(InsufficientCapacity(NoCapacity { text: "CreateFleet: m6i.large: Unsupported: not in this zone", pools: [(m6i.large, Unsupported)] }))"#
        ]],
    );
}

#[test]
fn a_limit_speaks_louder_than_missing_capacity() {
    fleet_answers(
        &[
            ("m5.large", "InsufficientInstanceCapacity", "no m5"),
            ("m6i.large", "MaxSpotInstanceCountExceeded", "spot quota"),
        ],
        "",
        expect![[r#"Err(Limit("CreateFleet: m6i.large: MaxSpotInstanceCountExceeded: spot quota"))"#]],
    );
}

#[test]
fn errors_beside_an_instance_do_not_matter() {
    fleet_answers(&[("m5.large", "InsufficientInstanceCapacity", "no m5")], "i-9", expect!["Ok(())"]);
}

#[test]
fn a_broken_template_is_refused() {
    fleet_answers(
        &[("m5.large", "InvalidParameterValue", "Invalid value for parameter groupId")],
        "",
        expect![[
            r#"Err(Rejected("CreateFleet: m5.large: InvalidParameterValue: Invalid value for parameter groupId"))"#
        ]],
    );
}

#[test]
fn a_fleet_without_instance_and_error_is_a_conflict() {
    fleet_answers(
        &[],
        "",
        expect![[r#"Err(Conflict("CreateFleet: fleet-1 names neither an instance nor an error"))"#]],
    );
}

#[test]
fn a_token_that_was_used_with_other_pools_is_a_conflict() {
    let answer = Answer::Error(400, "IdempotentParameterMismatch", "Arguments differ.");
    let region = Region::new(move |_| answer.clone());
    let result = run(region.aws(Config::default()).apply(&GroupName::new("web"), &launches(from_template())));
    expect![[r#"Err(Conflict("CreateFleet: IdempotentParameterMismatch: Arguments differ."))"#]]
        .assert_eq(&format!("{result:?}"));
}

#[test]
fn discards_a_replica() {
    check(
        Action::Discard { replica: replica() },
        &[],
        expect![[r#"
        ec2 TerminateInstances
            InstanceId.1 = i-9
        done
    "#]],
    );
}

#[test]
fn a_replica_that_is_gone_is_discarded() {
    const GONE: &[(&str, Answer)] = &[(
        "TerminateInstances",
        Answer::Error(400, "InvalidInstanceID.NotFound", "The instance ID 'i-9' does not exist"),
    )];
    check(
        Action::Discard { replica: replica() },
        GONE,
        expect![[r#"
        ec2 TerminateInstances
            InstanceId.1 = i-9
        done
    "#]],
    );
}

#[test]
fn the_journal_is_on_the_replica_before_it_is_on_the_group() {
    check(
        Action::Arm { journal: journal() },
        &[],
        expect![[r#"
        ec2 CreateTags
            ResourceId.1 = i-9
            Tag.1.Key = spotward:swap
            Tag.1.Value = v1;id=1a2b3c4d;in=i-9;out=i-1;d=2;max=2>3;az=1;t=1790000000;by=spotward
        autoscaling CreateOrUpdateTags
            Tags.member.1.ResourceId = web
            Tags.member.1.ResourceType = auto-scaling-group
            Tags.member.1.Key = spotward:swap
            Tags.member.1.Value = v1;id=1a2b3c4d;in=i-9;out=i-1;d=2;max=2>3;az=1;t=1790000000;by=spotward
            Tags.member.1.PropagateAtLaunch = false
        done
    "#]],
    );
}

#[test]
fn makes_room_after_suspending_az_rebalance() {
    let raise_max = Some(RaisedMax { original: 2, raised: 3 });
    check(
        Action::Prepare { suspend_az_rebalance: true, raise_max },
        &[],
        expect![[r#"
        autoscaling SuspendProcesses
            AutoScalingGroupName = web
            ScalingProcesses.member.1 = AZRebalance
        autoscaling UpdateAutoScalingGroup
            AutoScalingGroupName = web
            MaxSize = 3
        done
    "#]],
    );
}

#[test]
fn attaches() {
    check(
        Action::Attach { replica: replica(), expect: EXPECT },
        &[],
        expect![[r#"
        autoscaling AttachInstances
            InstanceIds.member.1 = i-9
            AutoScalingGroupName = web
        done
    "#]],
    );
}

#[test]
fn attached_already_is_attached() {
    const ALREADY: &[(&str, Answer)] = &[(
        "AttachInstances",
        Answer::Error(400, "ValidationError", "Instance i-9 is already part of AutoScalingGroup:web"),
    )];
    check(
        Action::Attach { replica: replica(), expect: EXPECT },
        ALREADY,
        expect![[r#"
        autoscaling AttachInstances
            InstanceIds.member.1 = i-9
            AutoScalingGroupName = web
        done
    "#]],
    );
}

#[test]
fn a_member_of_another_group_is_not_attached() {
    const ELSEWHERE: &[(&str, Answer)] = &[(
        "AttachInstances",
        Answer::Error(400, "ValidationError", "Instance i-9 is already part of AutoScalingGroup:web-2"),
    )];
    check(
        Action::Attach { replica: replica(), expect: EXPECT },
        ELSEWHERE,
        expect![[r#"
        autoscaling AttachInstances
            InstanceIds.member.1 = i-9
            AutoScalingGroupName = web
        conflict: AttachInstances: ValidationError: Instance i-9 is already part of AutoScalingGroup:web-2
    "#]],
    );
}

#[test]
fn sizes_that_moved_are_a_conflict() {
    const FULL: &[(&str, Answer)] = &[(
        "AttachInstances",
        Answer::Error(
            400,
            "ValidationError",
            "AutoScalingGroup web has min-size=1, max-size=2, and desired-size=2. To attach 1 instance, please update the AutoScalingGroup sizes appropriately.",
        ),
    )];
    check(
        Action::Attach { replica: replica(), expect: EXPECT },
        FULL,
        expect![[r#"
        autoscaling AttachInstances
            InstanceIds.member.1 = i-9
            AutoScalingGroupName = web
        conflict: AttachInstances: ValidationError: AutoScalingGroup web has min-size=1, max-size=2, and desired-size=2. To attach 1 instance, please update the AutoScalingGroup sizes appropriately.
    "#]],
    );
}

#[test]
fn marks_a_victim_before_it_is_detached() {
    let deadline = Timestamp::from_second(1_790_003_600).unwrap();
    check(
        Action::Doom { victim: victim(), deadline, brought: false },
        &[],
        expect![[r#"
        ec2 CreateTags
            ResourceId.1 = i-1
            Tag.1.Key = spotward:role
            Tag.1.Value = doomed
            Tag.2.Key = spotward:asg
            Tag.2.Value = web
            Tag.3.Key = spotward:deadline
            Tag.3.Value = 1790003600
            Tag.4.Key = spotward:stack
            Tag.4.Value = spotward
            Tag.5.Key = spotward:victim
            Tag.5.Value = i-1
        done
    "#]],
    );
}

#[test]
fn one_that_we_brought_keeps_whom_it_came_for() {
    let deadline = Timestamp::from_second(1_790_003_600).unwrap();
    check(
        Action::Doom { victim: victim(), deadline, brought: true },
        &[],
        expect![[r#"
        ec2 CreateTags
            ResourceId.1 = i-1
            Tag.1.Key = spotward:role
            Tag.1.Value = doomed
            Tag.2.Key = spotward:asg
            Tag.2.Value = web
            Tag.3.Key = spotward:deadline
            Tag.3.Value = 1790003600
            Tag.4.Key = spotward:stack
            Tag.4.Value = spotward
        done
    "#]],
    );
    check(
        Action::Pardon { victim: victim(), brought: true },
        &[],
        expect![[r#"
        ec2 CreateTags
            ResourceId.1 = i-1
            Tag.1.Key = spotward:role
            Tag.1.Value = member
        done
    "#]],
    );
}

#[test]
fn takes_off_exactly_the_marks() {
    check(
        Action::Pardon { victim: victim(), brought: false },
        &[],
        expect![[r#"
        ec2 DeleteTags
            ResourceId.1 = i-1
            Tag.1.Key = spotward:role
            Tag.2.Key = spotward:asg
            Tag.3.Key = spotward:victim
            Tag.4.Key = spotward:deadline
            Tag.5.Key = spotward:stack
        done
    "#]],
    );
}

#[test]
fn detaches_with_a_decrement() {
    check(
        Action::Detach { victim: victim(), expect: EXPECT },
        &[],
        expect![[r#"
        autoscaling DetachInstances
            InstanceIds.member.1 = i-1
            AutoScalingGroupName = web
            ShouldDecrementDesiredCapacity = true
        done
    "#]],
    );
}

#[test]
fn terminates_through_the_group_with_a_decrement() {
    check(
        Action::Terminate { member: victim(), expect: EXPECT },
        &[],
        expect![[r#"
        autoscaling TerminateInstanceInAutoScalingGroup
            InstanceId = i-1
            ShouldDecrementDesiredCapacity = true
        done
    "#]],
    );
}

#[test]
fn a_member_that_is_gone_is_terminated() {
    const GONE: &[(&str, Answer)] = &[(
        "TerminateInstanceInAutoScalingGroup",
        Answer::Error(400, "ValidationError", "Instance Id not found - No managed instance found for instance ID: i-1"),
    )];
    check(
        Action::Terminate { member: victim(), expect: EXPECT },
        GONE,
        expect![[r#"
        autoscaling TerminateInstanceInAutoScalingGroup
            InstanceId = i-1
            ShouldDecrementDesiredCapacity = true
        done
    "#]],
    );
}

#[test]
fn a_decrement_below_the_minimum_is_a_conflict() {
    const MINIMUM: &[(&str, Answer)] = &[(
        "TerminateInstanceInAutoScalingGroup",
        Answer::Error(
            400,
            "ValidationError",
            "Currently, desiredSize equals minSize (2). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.",
        ),
    )];
    check(
        Action::Terminate { member: victim(), expect: EXPECT },
        MINIMUM,
        expect![[r#"
        autoscaling TerminateInstanceInAutoScalingGroup
            InstanceId = i-1
            ShouldDecrementDesiredCapacity = true
        conflict: TerminateInstanceInAutoScalingGroup: ValidationError: Currently, desiredSize equals minSize (2). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.
    "#]],
    );
}

#[test]
fn gives_back_what_a_decrement_took_from_somebody_else() {
    check(
        Action::Compensate { from: 3, to: 4 },
        &[],
        expect![[r#"
        autoscaling SetDesiredCapacity
            AutoScalingGroupName = web
            DesiredCapacity = 4
            HonorCooldown = false
        done
    "#]],
    );
}

#[test]
fn restores_the_size_before_az_rebalance() {
    let max = Some(RaisedMax { original: 2, raised: 3 });
    check(
        Action::Restore { max, resume_az_rebalance: true },
        &[],
        expect![[r#"
        autoscaling UpdateAutoScalingGroup
            AutoScalingGroupName = web
            MaxSize = 2
        autoscaling ResumeProcesses
            AutoScalingGroupName = web
            ScalingProcesses.member.1 = AZRebalance
        done
    "#]],
    );
}

#[test]
fn relabels_a_member_before_dropping_the_journal() {
    let replica = Some(Finished::Member(replica()));
    check(
        Action::Finish { replica, drop_journal: Some("1a2b3c4d".to_owned()) },
        &[],
        expect![[r#"
        ec2 CreateTags
            ResourceId.1 = i-9
            Tag.1.Key = spotward:role
            Tag.1.Value = member
        ec2 DeleteTags
            ResourceId.1 = i-9
            Tag.1.Key = spotward:swap
        autoscaling DeleteTags
            Tags.member.1.ResourceId = web
            Tags.member.1.ResourceType = auto-scaling-group
            Tags.member.1.Key = spotward:swap
        done
    "#]],
    );
}

#[test]
fn a_replica_that_stays_outside_keeps_its_role() {
    let replica = Some(Finished::Kept(replica()));
    check(
        Action::Finish { replica, drop_journal: Some("1a2b3c4d".to_owned()) },
        &[],
        expect![[r#"
        ec2 DeleteTags
            ResourceId.1 = i-9
            Tag.1.Key = spotward:swap
        autoscaling DeleteTags
            Tags.member.1.ResourceId = web
            Tags.member.1.ResourceType = auto-scaling-group
            Tags.member.1.Key = spotward:swap
        done
    "#]],
    );
}

#[test]
fn the_journal_goes_even_if_the_replica_is_gone() {
    const GONE: &[(&str, Answer)] = &[
        ("CreateTags", Answer::Error(400, "InvalidInstanceID.NotFound", "The instance ID 'i-9' does not exist")),
        ("DeleteTags", Answer::Error(400, "InvalidInstanceID.NotFound", "The instance ID 'i-9' does not exist")),
    ];
    let replica = Some(Finished::Member(replica()));
    let only_ec2 = |call: &Call| {
        (call.service == "ec2").then(|| GONE.iter().find(|(name, _)| *name == call.action).unwrap().1.clone())
    };
    check_with(
        Action::Finish { replica, drop_journal: Some("1a2b3c4d".to_owned()) },
        only_ec2,
        expect![[r#"
        ec2 CreateTags
            ResourceId.1 = i-9
            Tag.1.Key = spotward:role
            Tag.1.Value = member
        ec2 DeleteTags
            ResourceId.1 = i-9
            Tag.1.Key = spotward:swap
        autoscaling DeleteTags
            Tags.member.1.ResourceId = web
            Tags.member.1.ResourceType = auto-scaling-group
            Tags.member.1.Key = spotward:swap
        done
    "#]],
    );
}

#[test]
fn ends_a_doomed_victim() {
    check(
        Action::EndDoomed { victim: victim() },
        &[],
        expect![[r#"
        ec2 TerminateInstances
            InstanceId.1 = i-1
        done
    "#]],
    );
}

#[test]
fn a_ready_replica_is_marked_with_the_time() {
    check(
        Action::RecordReady { replica: replica(), at: Timestamp::from_second(1_790_000_000).unwrap() },
        &[],
        expect![[r#"
            ec2 CreateTags
                ResourceId.1 = i-9
                Tag.1.Key = spotward:ready
                Tag.1.Value = 1790000000
            done
        "#]],
    );
}

#[test]
fn cooling_pools_are_noted_on_the_group() {
    check(
        Action::Note { backoff: Some("v1;t=1790000000".to_owned()) },
        &[],
        expect![[r#"
            autoscaling CreateOrUpdateTags
                Tags.member.1.ResourceId = web
                Tags.member.1.ResourceType = auto-scaling-group
                Tags.member.1.Key = spotward:backoff
                Tags.member.1.Value = v1;t=1790000000
                Tags.member.1.PropagateAtLaunch = false
            done
        "#]],
    );
    check(
        Action::Note { backoff: None },
        &[],
        expect![[r#"
            autoscaling DeleteTags
                Tags.member.1.ResourceId = web
                Tags.member.1.ResourceType = auto-scaling-group
                Tags.member.1.Key = spotward:backoff
            done
        "#]],
    );
}

#[test]
fn a_missing_permission_is_named() {
    const DENIED: &[(&str, Answer)] = &[(
        "SuspendProcesses",
        Answer::Error(403, "AccessDenied", "not authorized to perform: autoscaling:SuspendProcesses"),
    )];
    check(
        Action::Prepare { suspend_az_rebalance: true, raise_max: None },
        DENIED,
        expect![[r#"
        autoscaling SuspendProcesses
            AutoScalingGroupName = web
            ScalingProcesses.member.1 = AZRebalance
        not permitted: SuspendProcesses: AccessDenied: not authorized to perform: autoscaling:SuspendProcesses
    "#]],
    );
}

#[test]
fn queues_a_group_once_a_minute() {
    let region = Region::new(|_| ok(r#"{"MessageId":"m","MD5OfMessageBody":"x"}"#));
    let aws = region.aws(Config::default());
    run(async {
        aws.send_group(
            "https://sqs.us-east-1.amazonaws.com/123456789012/groups.fifo",
            &GroupName::new("web"),
            "arn:web",
            "tick",
            Timestamp::from_second(1_790_000_000).unwrap(),
        )
        .await
        .unwrap();
    });
    expect![[r#"
        sqs SendMessage
            body = {"QueueUrl":"https://sqs.us-east-1.amazonaws.com/123456789012/groups.fifo","MessageBody":"{\"v\":1,\"group\":\"web\"}","MessageDeduplicationId":"018d70a828fef0d01a22b87eaec9c054294b86c5167513b1b45acff736870582","MessageGroupId":"eac43cb41006ab1dfd5a7400b55e650093f1a7869ea73fe99b57cae2f4490fd2"}
    "#]].assert_eq(&picture(&region.calls()));
}
