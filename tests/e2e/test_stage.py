"""The stage itself: every rule that makes it as strict as AWS, asserted with boto3 on both sides of the rule."""

import base64
import collections
import datetime
import gzip
import json
import threading
import time

import botocore.exceptions
import pytest

from cloud import AL2023, USER_DATA, image, tags_of
from servers import DATA


def refused(call, code="ValidationError", containing="", **arguments):
    """Makes a call that must be refused with this code and these words."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert containing in error["Message"], error
    return error["Message"]


def attach(cloud, group, *ids):
    return cloud.asg.attach_instances(AutoScalingGroupName=group, InstanceIds=list(ids))


def terminate(cloud, instance, decrement=True):
    return cloud.asg.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=decrement)


def wait_until(question, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if question():
            return
        time.sleep(0.1)
    raise AssertionError("it did not become true")


# ---- groups and their sizes ------------------------------------------------------------------------------------------------


def test_members_spread_over_the_zones_and_carry_what_the_template_says(cloud):
    profile = cloud.instance_profile()
    template = cloud.template(IamInstanceProfile={"Arn": profile}, KeyName=cloud.key_pair(), EbsOptimized=True)
    cloud.group("web", size=5, template=template)
    group = cloud.describe("web")
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 5, 7)
    zones = collections.Counter(member["AvailabilityZone"] for member in group["Instances"])
    assert sorted(zones.values()) == [1, 2, 2]
    for instance in cloud.group_instances("web"):
        assert "InstanceLifecycle" not in instance
        assert instance["ImageId"] == image(AL2023)
        assert {found["GroupId"] for found in instance["SecurityGroups"]} == set(cloud.security_groups)
        assert instance["IamInstanceProfile"]["Arn"] == profile
        assert instance["KeyName"] == "ops-key"
        assert instance["Monitoring"]["State"] == "enabled"
        assert instance["EbsOptimized"] is True
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        assert base64.b64decode(cloud.user_data(instance["InstanceId"])).decode() == USER_DATA
        tags = tags_of(instance)
        assert tags["team"] == "shop" and tags["from-template"] == "yes"
        assert tags["aws:autoscaling:groupName"] == "web"
        assert tags["aws:ec2launchtemplate:id"] == template
        assert "spot-enabled" not in tags, "this tag is not to be propagated"
        (disk,) = instance["BlockDeviceMappings"]
        (volume,) = cloud.ec2.describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"]
        assert (volume["Size"], volume["VolumeType"]) == (20, "gp3")


def test_members_of_a_launch_configuration_carry_what_it_says(cloud):
    configuration = cloud.launch_configuration(IamInstanceProfile=cloud.instance_profile(), KeyName=cloud.key_pair())
    cloud.group("old", size=2, configuration=configuration)
    for member in cloud.describe("old")["Instances"]:
        assert member["LaunchConfigurationName"] == configuration
        assert "LaunchTemplate" not in member
    for instance in cloud.group_instances("old"):
        assert instance["KeyName"] == "ops-key"
        assert instance["IamInstanceProfile"]["Arn"].endswith("/web-role")
        assert {found["GroupId"] for found in instance["SecurityGroups"]} == set(cloud.security_groups)
        assert base64.b64decode(cloud.user_data(instance["InstanceId"])).decode() == USER_DATA


def test_a_launch_configuration_with_a_public_address_keeps_its_security_groups(cloud):
    configuration = cloud.launch_configuration(AssociatePublicIpAddress=True)
    cloud.group("public", size=1, configuration=configuration)
    (instance,) = cloud.group_instances("public")
    assert {found["GroupId"] for found in instance["SecurityGroups"]} == set(cloud.security_groups)
    assert instance["SubnetId"] == cloud.subnets[0]


@pytest.mark.parametrize("sizes", [(2, 1, 1), (1, 3, 4), (2, 3, 1)])
def test_a_group_is_created_with_sizes_in_order_only(cloud, sizes):
    least, most, desired = sizes
    refused(cloud.group, name="web", template=cloud.template(), MinSize=least, MaxSize=most, DesiredCapacity=desired)


def test_a_group_name_is_used_once(cloud):
    cloud.group("web", size=1)
    refused(cloud.group, "AlreadyExists", name="web", size=1)


def test_desired_capacity_stays_within_the_bounds(cloud):
    cloud.group("web", size=2, MinSize=1, MaxSize=3)
    set_desired = cloud.asg.set_desired_capacity
    refused(set_desired, containing="above max value 3", AutoScalingGroupName="web", DesiredCapacity=4)
    refused(set_desired, containing="below min value 1", AutoScalingGroupName="web", DesiredCapacity=0)
    set_desired(AutoScalingGroupName="web", DesiredCapacity=3)
    assert len(cloud.members("web")) == 3
    set_desired(AutoScalingGroupName="web", DesiredCapacity=1)
    assert len(cloud.members("web")) == 1


def test_lowering_max_size_below_desired_lowers_desired_and_terminates(cloud):
    cloud.group("web", size=4, MaxSize=5)
    before = set(cloud.members("web"))
    cloud.asg.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=2)
    group = cloud.describe("web")
    assert (group["MaxSize"], group["DesiredCapacity"]) == (2, 2)
    left = set(cloud.members("web"))
    assert len(left) == 2 and left < before
    gone = cloud.instances(*(before - left))
    assert all(instance["State"]["Name"] == "terminated" for instance in gone)


def test_raising_max_size_alone_changes_nothing_else(cloud):
    cloud.group("web", size=2, MaxSize=2)
    members = cloud.members("web")
    cloud.asg.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=3)
    group = cloud.describe("web")
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 2, 3)
    assert cloud.members("web") == members


def test_raising_min_size_raises_desired(cloud):
    cloud.group("web", size=1, MaxSize=4)
    cloud.asg.update_auto_scaling_group(AutoScalingGroupName="web", MinSize=3)
    assert cloud.describe("web")["DesiredCapacity"] == 3
    assert len(cloud.members("web")) == 3


def test_sizes_are_checked_on_update(cloud):
    cloud.group("web", size=2, MinSize=1, MaxSize=3)
    update = cloud.asg.update_auto_scaling_group
    refused(update, containing="Max bound, 0, must be greater", AutoScalingGroupName="web", MaxSize=0)
    refused(update, containing="must be between", AutoScalingGroupName="web", DesiredCapacity=9)
    refused(update, containing="name not found", AutoScalingGroupName="nobody", MaxSize=3)


def test_a_scale_in_spares_protected_members_and_empties_the_fullest_zone_first(cloud):
    cloud.group("web", size=4)
    crowded = [member for member in cloud.describe("web")["Instances"] if member["AvailabilityZone"] == cloud.zones[0]]
    assert len(crowded) == 2
    cloud.asg.set_instance_protection(AutoScalingGroupName="web", InstanceIds=[crowded[0]["InstanceId"]], ProtectedFromScaleIn=True)
    cloud.asg.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=3)
    left = cloud.members("web")
    assert crowded[0]["InstanceId"] in left and crowded[1]["InstanceId"] not in left


# ---- attach ----------------------------------------------------------------------------------------------------------------


def test_attach_raises_desired_by_what_is_attached_and_propagates_tags(cloud):
    cloud.group("web", size=2)
    (instance,) = cloud.run(subnet=1, TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "old"}]}])
    attach(cloud, "web", instance)
    group = cloud.describe("web")
    assert group["DesiredCapacity"] == 3 and instance in cloud.members("web")
    tags = tags_of(cloud.instance(instance))
    assert tags["team"] == "shop" and tags["aws:autoscaling:groupName"] == "web"
    assert "spot-enabled" not in tags


def test_desired_is_counted_from_desired_not_from_the_members(cloud):
    cloud.group("web", size=3, MaxSize=9)
    cloud.asg.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["Terminate"])
    cloud.asg.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=1)
    assert len(cloud.members("web")) == 3
    attach(cloud, "web", *cloud.run())
    assert cloud.describe("web")["DesiredCapacity"] == 2


def test_nothing_is_attached_above_max(cloud):
    cloud.group("web", size=1, MinSize=1, MaxSize=1)
    (instance,) = cloud.run()
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        attach(cloud, "web", instance)
    error = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error["Error"]["Code"] == "ValidationError"
    assert error["Error"]["Message"] == (
        "AutoScalingGroup web has min-size=1, max-size=1, and desired-size=1. "
        "To attach 1 instance, please update the AutoScalingGroup sizes appropriately."
    )
    assert cloud.describe("web")["DesiredCapacity"] == 1


def attach_refused(cloud, group, instance, containing):
    before = cloud.describe(group)
    refused(cloud.asg.attach_instances, containing=containing, AutoScalingGroupName=group, InstanceIds=[instance])
    after = cloud.describe(group)
    assert after["DesiredCapacity"] == before["DesiredCapacity"]
    assert len(after["Instances"]) == len(before["Instances"])


def test_a_member_is_not_attached_again(cloud):
    cloud.group("web", size=1)
    (member,) = cloud.members("web")
    attach_refused(cloud, "web", member, f"{member} is already part of AutoScalingGroup:web")


def test_a_member_of_another_group_is_not_attached(cloud):
    cloud.group("web", size=1)
    cloud.group("other", size=1)
    attach_refused(cloud, "web", cloud.members("other")[0], "is already part of AutoScalingGroup:other")


def test_a_terminated_instance_is_not_attached(cloud):
    cloud.group("web", size=1)
    (instance,) = cloud.run()
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    attach_refused(cloud, "web", instance, "not in correct state")


def test_an_instance_that_boots_is_not_attached_before_it_runs(cloud):
    cloud.group("web", size=1)
    cloud.control.settings(boot_seconds=1.5)
    (instance,) = cloud.run()
    assert cloud.instance(instance)["State"]["Name"] == "pending"
    attach_refused(cloud, "web", instance, "not in correct state")
    wait_until(lambda: cloud.instance(instance)["State"]["Name"] == "running")
    attach(cloud, "web", instance)


def test_an_unknown_instance_is_not_attached(cloud):
    cloud.group("web", size=1)
    attach_refused(cloud, "web", "i-0123456789abcdef0", "i-0123456789abcdef0")


def test_an_instance_of_a_zone_outside_the_group_is_not_attached(cloud):
    cloud.group("web", size=1, zones=1)
    attach_refused(cloud, "web", cloud.run(subnet=2)[0], "Availability Zone us-east-1c")


def test_nothing_is_attached_while_launch_is_suspended(cloud):
    cloud.group("web", size=1)
    cloud.asg.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["Launch"])
    (instance,) = cloud.run()
    attach_refused(cloud, "web", instance, "Launch process suspended")
    cloud.asg.resume_processes(AutoScalingGroupName="web", ScalingProcesses=["Launch"])
    attach(cloud, "web", instance)


def test_at_most_twenty_instances_are_attached_in_one_call(cloud):
    cloud.group("web", size=0, MaxSize=30)
    ids = cloud.run(count=21)
    refused(cloud.asg.attach_instances, containing="20", AutoScalingGroupName="web", InstanceIds=ids)
    attach(cloud, "web", *ids[:20])
    assert cloud.describe("web")["DesiredCapacity"] == 20


def test_an_attached_member_keeps_its_own_template_and_inherits_protection(cloud):
    cloud.group("web", size=1, NewInstancesProtectedFromScaleIn=True)
    template = cloud.template()
    replica = cloud.fleet(template, [{"InstanceType": "m5.large", "SubnetId": cloud.subnets[0]}])["Instances"][0]["InstanceIds"][0]
    attach(cloud, "web", replica)
    (member,) = [member for member in cloud.describe("web")["Instances"] if member["InstanceId"] == replica]
    assert member["LaunchTemplate"]["LaunchTemplateId"] == template
    assert member["ProtectedFromScaleIn"] is True


def test_attach_into_an_unknown_group_is_a_validation_error(cloud):
    refused(cloud.asg.attach_instances, containing="name not found", AutoScalingGroupName="nobody", InstanceIds=cloud.run())


def test_a_member_is_pending_for_a_while_when_asked_for(cloud):
    cloud.group("web", size=1)
    cloud.control.settings(in_service_seconds=1.0)
    (instance,) = cloud.run()
    attach(cloud, "web", instance)
    states = {member["InstanceId"]: member["LifecycleState"] for member in cloud.describe("web")["Instances"]}
    assert states[instance] == "Pending"
    wait_until(lambda: instance in cloud.members("web"))


# ---- detach and terminate --------------------------------------------------------------------------------------------------


def test_terminate_with_decrement_takes_the_member_and_one_of_desired(cloud):
    cloud.group("web", size=3)
    victim = cloud.members("web")[1]
    activity = terminate(cloud, victim)["Activity"]
    assert "shrinking the capacity from 3 to 2" in activity["Cause"]
    assert cloud.describe("web")["DesiredCapacity"] == 2
    assert victim not in cloud.members("web") and len(cloud.members("web")) == 2
    assert cloud.instance(victim)["State"]["Name"] == "terminated"


def test_terminate_without_decrement_is_followed_by_a_launch_in_the_emptiest_zone(cloud):
    cloud.group("web", size=3)
    victim = next(member for member in cloud.describe("web")["Instances"] if member["AvailabilityZone"] == cloud.zones[1])
    terminate(cloud, victim["InstanceId"], decrement=False)
    group = cloud.describe("web")
    assert group["DesiredCapacity"] == 3
    assert sorted(member["AvailabilityZone"] for member in group["Instances"]) == cloud.zones


def test_terminate_with_decrement_stops_at_min(cloud):
    cloud.group("web", size=2, MinSize=2)
    victim = cloud.members("web")[0]
    refused(
        cloud.asg.terminate_instance_in_auto_scaling_group,
        containing="Currently, desiredSize equals minSize (2). Terminating instance without replacement will violate group's min size constraint.",
        InstanceId=victim,
        ShouldDecrementDesiredCapacity=True,
    )
    assert len(cloud.members("web")) == 2


def test_only_members_are_terminated_through_their_group(cloud):
    cloud.group("web", size=1)
    call = cloud.asg.terminate_instance_in_auto_scaling_group
    for instance in [*cloud.run(), "i-0123456789abcdef0"]:
        refused(call, containing="No managed instance found", InstanceId=instance, ShouldDecrementDesiredCapacity=True)
    assert cloud.describe("web")["DesiredCapacity"] == 1


def test_a_terminating_member_stays_listed_until_it_is_drained(cloud):
    cloud.group("web", size=2)
    cloud.control.settings(terminating_seconds=1.5)
    victim = cloud.members("web")[0]
    terminate(cloud, victim)
    states = {member["InstanceId"]: member["LifecycleState"] for member in cloud.describe("web")["Instances"]}
    assert states[victim] == "Terminating" and len(states) == 2
    assert cloud.describe("web")["DesiredCapacity"] == 1
    assert cloud.instance(victim)["State"]["Name"] == "running"
    (listed,) = cloud.asg.describe_auto_scaling_instances(InstanceIds=[victim])["AutoScalingInstances"]
    assert listed["LifecycleState"] == "Terminating"
    call = cloud.asg.terminate_instance_in_auto_scaling_group
    refused(call, "ScalingActivityInProgress", InstanceId=victim, ShouldDecrementDesiredCapacity=True)
    refused(
        cloud.asg.detach_instances,
        containing="is not in InService or Standby",
        AutoScalingGroupName="web",
        InstanceIds=[victim],
        ShouldDecrementDesiredCapacity=True,
    )
    attach_refused(cloud, "web", victim, "is already part of")
    wait_until(lambda: cloud.instance(victim)["State"]["Name"] == "terminated")
    assert len(cloud.describe("web")["Instances"]) == 1


def test_the_other_answer_to_a_second_decrement_can_be_had(cloud):
    cloud.group("web", size=3)
    cloud.control.settings(terminating_seconds=30, second_decrement_counts=True)
    victim = cloud.members("web")[0]
    terminate(cloud, victim)
    terminate(cloud, victim)
    assert cloud.describe("web")["DesiredCapacity"] == 1


def test_a_detached_member_runs_on_without_the_groups_tag(cloud):
    cloud.group("web", size=3)
    victim = cloud.members("web")[0]
    cloud.asg.detach_instances(AutoScalingGroupName="web", InstanceIds=[victim], ShouldDecrementDesiredCapacity=True)
    assert cloud.describe("web")["DesiredCapacity"] == 2
    assert victim not in cloud.members("web")
    instance = cloud.instance(victim)
    assert instance["State"]["Name"] == "running"
    assert "aws:autoscaling:groupName" not in tags_of(instance) and tags_of(instance)["team"] == "shop"


def test_detach_with_decrement_stops_at_min(cloud):
    cloud.group("web", size=1, MinSize=1)
    refused(
        cloud.asg.detach_instances,
        containing="min-size=1",
        AutoScalingGroupName="web",
        InstanceIds=cloud.members("web"),
        ShouldDecrementDesiredCapacity=True,
    )


def test_what_is_not_a_member_is_not_detached(cloud):
    cloud.group("web", size=2)
    (outsider,) = cloud.run()
    refused(
        cloud.asg.detach_instances,
        containing=f"The instance {outsider} is not part of Auto Scaling group web.",
        AutoScalingGroupName="web",
        InstanceIds=[outsider],
        ShouldDecrementDesiredCapacity=True,
    )
    assert len(cloud.members("web")) == 2 and cloud.describe("web")["DesiredCapacity"] == 2


def test_detach_without_decrement_is_followed_by_a_launch_unless_that_is_suspended(cloud):
    cloud.group("web", size=2)
    detach = cloud.asg.detach_instances
    detach(AutoScalingGroupName="web", InstanceIds=cloud.members("web")[:1], ShouldDecrementDesiredCapacity=False)
    assert len(cloud.members("web")) == 2
    cloud.asg.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["Launch"])
    detach(AutoScalingGroupName="web", InstanceIds=cloud.members("web")[:1], ShouldDecrementDesiredCapacity=False)
    assert len(cloud.members("web")) == 1 and cloud.describe("web")["DesiredCapacity"] == 2
    cloud.asg.resume_processes(AutoScalingGroupName="web")
    assert len(cloud.members("web")) == 2


def test_a_member_ended_behind_the_groups_back_is_noticed_and_replaced(cloud):
    cloud.group("web", size=2)
    cloud.control.settings(repair_seconds=1.0)
    victim = cloud.members("web")[0]
    cloud.ec2.terminate_instances(InstanceIds=[victim])
    assert victim in cloud.members("web"), "the group has not noticed yet"
    wait_until(lambda: victim not in cloud.members("web") and len(cloud.members("web")) == 2)


def test_standby_moves_desired_both_ways(cloud):
    cloud.group("web", size=2)
    member = cloud.members("web")[0]
    cloud.asg.enter_standby(AutoScalingGroupName="web", InstanceIds=[member], ShouldDecrementDesiredCapacity=True)
    assert cloud.describe("web")["DesiredCapacity"] == 1 and len(cloud.members("web")) == 1
    cloud.asg.exit_standby(AutoScalingGroupName="web", InstanceIds=[member])
    assert cloud.describe("web")["DesiredCapacity"] == 2 and len(cloud.members("web")) == 2


# ---- processes, tags, pages ------------------------------------------------------------------------------------------------


def test_only_real_processes_are_suspended(cloud):
    cloud.group("web", size=1)
    refused(cloud.asg.suspend_processes, containing="Nonsense", AutoScalingGroupName="web", ScalingProcesses=["Nonsense"])
    cloud.asg.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["AZRebalance"])
    (suspended,) = cloud.describe("web")["SuspendedProcesses"]
    assert suspended["ProcessName"] == "AZRebalance" and suspended["SuspensionReason"].startswith("User suspended at")


def test_reserved_tags_are_refused_everywhere(cloud):
    cloud.group("web", size=1)
    (member,) = cloud.members("web")
    tag = {"Key": "aws:autoscaling:groupName", "Value": "x"}
    group_tag = {**tag, "ResourceId": "web", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    refused(cloud.asg.create_or_update_tags, Tags=[group_tag])
    refused(cloud.ec2.create_tags, "InvalidParameterValue", "reserved", Resources=[member], Tags=[tag])
    refused(cloud.ec2.delete_tags, "InvalidParameterValue", "reserved", Resources=[member], Tags=[tag])
    specification = [{"ResourceType": "instance", "Tags": [tag]}]
    refused(cloud.run, "InvalidParameterValue", "reserved", TagSpecifications=specification)
    overrides = [{"InstanceType": "m5.large", "SubnetId": cloud.subnets[0]}]
    refused(
        cloud.fleet, "InvalidParameterValue", "reserved", template=cloud.template(), overrides=overrides, TagSpecifications=specification
    )


def test_group_tags_are_limited_in_length(cloud):
    cloud.group("web", size=1)
    tag = {"ResourceId": "web", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    refused(cloud.asg.create_or_update_tags, containing="256", Tags=[{**tag, "Key": "spotward:swap", "Value": "x" * 257}])
    cloud.asg.create_or_update_tags(Tags=[{**tag, "Key": "spotward:swap", "Value": "x" * 256}])


def test_groups_come_in_pages_of_at_most_a_hundred(cloud):
    template = cloud.template()
    for number in range(7):
        cloud.group(f"web-{number}", size=0, template=template, enabled=number % 2 == 0)
    refused(cloud.asg.describe_auto_scaling_groups, containing="less than or equal to 100", MaxRecords=101)
    first = cloud.asg.describe_auto_scaling_groups(MaxRecords=3)
    assert len(first["AutoScalingGroups"]) == 3
    pages = cloud.asg.get_paginator("describe_auto_scaling_groups").paginate(PaginationConfig={"PageSize": 3})
    assert len([group for page in pages for group in page["AutoScalingGroups"]]) == 7
    filters = [{"Name": "tag:spot-enabled", "Values": ["true"]}]
    assert len(cloud.asg.describe_auto_scaling_groups(Filters=filters)["AutoScalingGroups"]) == 4
    refused(cloud.asg.describe_auto_scaling_groups, Filters=[{"Name": "colour", "Values": ["blue"]}])
    refused(cloud.asg.describe_auto_scaling_groups, "InvalidNextToken", NextToken="nonsense")


def test_groups_come_without_their_members_on_request(cloud):
    cloud.group("web", size=2)
    (group,) = cloud.asg.describe_auto_scaling_groups(IncludeInstances=False)["AutoScalingGroups"]
    assert group["Instances"] == [] and group["DesiredCapacity"] == 2


def test_members_come_in_pages_of_at_most_fifty(cloud):
    cloud.group("web", size=53, template=cloud.template())
    describe = cloud.asg.describe_auto_scaling_instances
    first = describe()
    assert len(first["AutoScalingInstances"]) == 50
    assert len(describe(NextToken=first["NextToken"])["AutoScalingInstances"]) == 3
    refused(describe, MaxRecords=51)
    refused(describe, InstanceIds=[f"i-{number:017x}" for number in range(51)])


# ---- fleets ----------------------------------------------------------------------------------------------------------------


def overrides_for(cloud, *types, subnet=0, **more):
    return [{"InstanceType": name, "SubnetId": cloud.subnets[subnet], **more} for name in types]


def test_a_spot_fleet_carries_the_template_and_the_requests_tags(cloud):
    profile = cloud.instance_profile()
    template = cloud.template(IamInstanceProfile={"Arn": profile}, KeyName=cloud.key_pair())
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "spotward:role", "Value": "replica"}]}]
    made = cloud.fleet(template, overrides_for(cloud, "m5.large", subnet=1), TagSpecifications=tags)
    (launched,) = made["Instances"]
    assert made["Errors"] == [] and launched["Lifecycle"] == "spot" and launched["InstanceType"] == "m5.large"
    instance = cloud.instance(launched["InstanceIds"][0])
    assert instance["InstanceLifecycle"] == "spot" and instance["SubnetId"] == cloud.subnets[1]
    assert instance["IamInstanceProfile"]["Arn"] == profile and instance["KeyName"] == "ops-key"
    assert {found["GroupId"] for found in instance["SecurityGroups"]} == set(cloud.security_groups)
    assert instance["Monitoring"]["State"] == "enabled" and instance["MetadataOptions"]["HttpTokens"] == "required"
    assert base64.b64decode(cloud.user_data(instance["InstanceId"])).decode() == USER_DATA
    found = tags_of(instance)
    assert found["aws:ec2:fleet-id"] == made["FleetId"]
    assert found["spotward:role"] == "replica" and found["from-template"] == "yes"
    (request,) = cloud.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[instance["SpotInstanceRequestId"]])["SpotInstanceRequests"]
    assert request["InstanceId"] == instance["InstanceId"] and request["Status"]["Code"] == "fulfilled"


def test_the_cheapest_pool_with_capacity_is_taken(cloud):
    zone = cloud.zones[0]
    for name, usd in (("m5.large", 0.05), ("m6i.large", 0.03), ("c5.xlarge", 0.04)):
        cloud.control.pool(name, zone, usd=usd)
    template, pools = cloud.template(), overrides_for(cloud, "m5.large", "m6i.large", "c5.xlarge")
    assert cloud.fleet(template, pools)["Instances"][0]["InstanceType"] == "m6i.large"
    cloud.control.pool("m6i.large", zone, capacity=0, usd=0.03)
    assert cloud.fleet(template, pools)["Instances"][0]["InstanceType"] == "c5.xlarge"


def test_a_fleet_without_capacity_answers_with_errors_and_no_instance(cloud):
    for name in ("m5.large", "m6i.large"):
        cloud.control.pool(name, cloud.zones[0], capacity=0)
    made = cloud.fleet(cloud.template(), overrides_for(cloud, "m5.large", "m6i.large"))
    assert made["Instances"] == []
    assert {error["ErrorCode"] for error in made["Errors"]} == {"InsufficientInstanceCapacity"}
    assert {error["LaunchTemplateAndOverrides"]["Overrides"]["InstanceType"] for error in made["Errors"]} == {"m5.large", "m6i.large"}
    assert cloud.alive() == []


def test_a_pool_fails_with_the_error_that_a_test_wants(cloud):
    cloud.control.pool("m5.large", cloud.zones[0], error="MaxSpotInstanceCountExceeded")
    made = cloud.fleet(cloud.template(), overrides_for(cloud, "m5.large"))
    assert made["Instances"] == [] and made["Errors"][0]["ErrorCode"] == "MaxSpotInstanceCountExceeded"


def test_a_fleet_is_filled_in_part(cloud):
    cloud.control.pool("m5.large", cloud.zones[0], capacity=2)
    made = cloud.fleet(cloud.template(), overrides_for(cloud, "m5.large"), total=3)
    assert [len(entry["InstanceIds"]) for entry in made["Instances"]] == [2]
    assert made["Errors"][0]["ErrorCode"] == "InsufficientInstanceCapacity"


@pytest.mark.parametrize(
    ("override", "code"),
    [
        ({"InstanceType": "m5.large", "MaxPrice": "0.0001"}, "SpotMaxPriceTooLow"),
        ({"InstanceType": "m6g.large"}, "InvalidParameterValue"),
        ({"InstanceType": "no.such"}, "InvalidParameterValue"),
    ],
)
def test_a_pool_that_does_not_fit_is_an_error_of_that_pool(cloud, override, code):
    made = cloud.fleet(cloud.template(), [{"SubnetId": cloud.subnets[0], **override}])
    assert made["Instances"] == [] and made["Errors"][0]["ErrorCode"] == code


def test_a_type_that_a_zone_does_not_offer_is_an_error_of_that_pool(cloud):
    offered = {}
    for page in cloud.ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="availability-zone"):
        for offering in page["InstanceTypeOfferings"]:
            offered.setdefault(offering["Location"], set()).add(offering["InstanceType"])
    missing = sorted(offered[cloud.zones[1]] - offered[cloud.zones[0]])[0]
    made = cloud.fleet(cloud.template(), overrides_for(cloud, missing))
    assert made["Errors"][0]["ErrorCode"] == "InvalidFleetConfiguration"


def test_a_client_token_launches_once(cloud):
    template, pools = cloud.template(), overrides_for(cloud, "m5.large")
    first = cloud.fleet(template, pools, ClientToken="window-1")
    again = cloud.fleet(template, pools, ClientToken="window-1")
    assert again["Instances"] == first["Instances"] and again["FleetId"] == first["FleetId"]
    assert len(cloud.alive()) == 1
    refused(
        cloud.fleet, "IdempotentParameterMismatch", template=template, overrides=overrides_for(cloud, "c5.large"), ClientToken="window-1"
    )
    cloud.fleet(template, pools, ClientToken="window-2")
    assert len(cloud.alive()) == 2


def test_a_template_is_created_once_per_token_and_per_name(cloud):
    create = cloud.ec2.create_launch_template
    data = cloud.template_data()
    first = create(LaunchTemplateName="derived", LaunchTemplateData=data, ClientToken="t")["LaunchTemplate"]
    again = create(LaunchTemplateName="derived", LaunchTemplateData=data, ClientToken="t")["LaunchTemplate"]
    assert again["LaunchTemplateId"] == first["LaunchTemplateId"]
    refused(create, "InvalidLaunchTemplateName.AlreadyExistsException", LaunchTemplateName="derived", LaunchTemplateData=data, ClientToken="u")
    other = cloud.template_data(instance_type="c5.large")
    refused(create, "IdempotentParameterMismatch", LaunchTemplateName="derived", LaunchTemplateData=other, ClientToken="t")


def test_a_fleet_of_an_unknown_template_version_is_refused(cloud):
    config = {"LaunchTemplateSpecification": {"LaunchTemplateId": cloud.template(), "Version": "7"}}
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        cloud.ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[{**config, "Overrides": overrides_for(cloud, "m5.large")}],
            TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
        )
    assert caught.value.response["Error"]["Code"].startswith("InvalidLaunchTemplateId")


def test_an_on_demand_fleet_is_on_demand(cloud):
    made = cloud.fleet(cloud.template(), overrides_for(cloud, "m5.large"), market="on-demand")
    assert made["Instances"][0]["Lifecycle"] == "on-demand"
    instance = cloud.instance(made["Instances"][0]["InstanceIds"][0])
    assert "InstanceLifecycle" not in instance and "SpotInstanceRequestId" not in instance


# ---- instances -------------------------------------------------------------------------------------------------------------


def test_an_interrupted_replica_ends_and_says_why(cloud):
    (instance,) = cloud.run(spot=True)
    cloud.control.interrupt(instance, in_seconds=1.0)
    (request,) = cloud.ec2.describe_spot_instance_requests(Filters=[{"Name": "instance-id", "Values": [instance]}])["SpotInstanceRequests"]
    assert request["Status"]["Code"] == "marked-for-termination"
    wait_until(lambda: cloud.instance(instance)["State"]["Name"] == "terminated")
    assert cloud.instance(instance)["StateReason"]["Code"] == "Server.SpotInstanceTermination"


def test_an_interrupted_member_is_replaced_by_its_group(cloud):
    cloud.group("web", size=1)
    (replica,) = cloud.run(spot=True)
    attach(cloud, "web", replica)
    cloud.control.interrupt(replica)
    assert replica not in cloud.members("web") and len(cloud.members("web")) == 2
    assert all("InstanceLifecycle" not in instance for instance in cloud.group_instances("web"))


def test_status_checks_pass_after_a_while_when_asked_for(cloud):
    cloud.control.settings(checks_seconds=1.0)
    (instance,) = cloud.run()

    def status():
        (found,) = cloud.ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
        return found["InstanceStatus"]["Status"], found["SystemStatus"]["Status"]

    assert status() == ("initializing", "initializing")
    wait_until(lambda: status() == ("ok", "ok"))


def test_instances_are_filtered_by_lifecycle_state_and_tag(cloud):
    spot, on_demand, gone = cloud.run(spot=True)[0], cloud.run()[0], cloud.run()[0]
    cloud.ec2.create_tags(Resources=[spot], Tags=[{"Key": "spotward:role", "Value": "replica"}])
    cloud.ec2.terminate_instances(InstanceIds=[gone])

    def found(name, *values):
        reservations = cloud.ec2.describe_instances(Filters=[{"Name": name, "Values": list(values)}])["Reservations"]
        return {instance["InstanceId"] for reservation in reservations for instance in reservation["Instances"]}

    assert found("instance-lifecycle", "spot") == {spot}
    assert found("instance-state-name", "running") == {spot, on_demand}
    assert found("tag:spotward:role", "replica", "doomed") == {spot}
    refused(cloud.ec2.describe_instances, "InvalidParameterValue", "colour", Filters=[{"Name": "colour", "Values": ["blue"]}])
    refused(cloud.ec2.describe_instances, "InvalidParameterCombination", InstanceIds=[spot], MaxResults=5)
    refused(cloud.ec2.describe_instances, "InvalidParameterValue", MaxResults=1001)
    refused(cloud.ec2.describe_instances, "InvalidInstanceID.NotFound", InstanceIds=["i-0123456789abcdef0"])


def test_filters_find_a_new_instance_late_when_asked_for(cloud):
    cloud.control.settings(lag_seconds=1.0)
    (instance,) = cloud.run()
    assert cloud.alive() == []
    assert cloud.instance(instance)["State"]["Name"] == "running"
    wait_until(lambda: len(cloud.alive()) == 1)


def test_a_protected_instance_is_not_terminated(cloud):
    (instance,) = cloud.run(DisableApiTermination=True)
    refused(cloud.ec2.terminate_instances, "OperationNotPermitted", InstanceIds=[instance])
    assert cloud.instance(instance)["State"]["Name"] == "running"


@pytest.mark.parametrize(
    ("name", "platform", "operation"),
    [
        (AL2023, "Linux/UNIX", "RunInstances"),
        ("Windows", "Windows", "RunInstances:0002"),
        ("RHEL", "Red Hat Enterprise Linux", "RunInstances:0010"),
        ("suse", "SUSE Linux", "RunInstances:000g"),
    ],
)
def test_images_and_instances_name_their_platform(cloud, name, platform, operation):
    (described,) = cloud.ec2.describe_images(ImageIds=[image(name)])["Images"]
    assert (described["PlatformDetails"], described["UsageOperation"]) == (platform, operation)
    assert described["EnaSupport"] is True and described["BootMode"]
    made = cloud.ec2.run_instances(ImageId=image(name), InstanceType="m5.large", SubnetId=cloud.subnets[0], MinCount=1, MaxCount=1)
    instance = cloud.instance(made["Instances"][0]["InstanceId"])
    assert (instance["PlatformDetails"], instance["UsageOperation"]) == (platform, operation)


# ---- the market ------------------------------------------------------------------------------------------------------------


def test_instance_types_are_awss_own_description(cloud):
    """boto3 reads from our XML what the data file says in JSON, field by field, for every type of the region."""
    with gzip.open(DATA / "describe_instance_types_2026-10.json.gz") as file:
        expected = {entry["InstanceType"]: entry for entry in json.load(file)}
    found = {}
    for page in cloud.ec2.get_paginator("describe_instance_types").paginate():
        assert len(page["InstanceTypes"]) <= 100
        found.update({entry["InstanceType"]: entry for entry in page["InstanceTypes"]})
    assert len(found) > 1300
    for name, entry in found.items():
        assert comparable(entry, expected[name]), name
    refused(cloud.ec2.describe_instance_types, "InvalidParameterValue", MaxResults=101)
    refused(cloud.ec2.describe_instance_types, "InvalidInstanceType", InstanceTypes=["no.such"])


def comparable(found, expected):
    """Whether all of `found` is as expected; what this boto3 does not know yet may be missing."""
    if isinstance(found, dict):
        return all(key in expected and comparable(value, expected[key]) for key, value in found.items())
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(comparable, found, expected))
    return found == expected


def test_offerings_come_in_pages_of_at_most_a_thousand(cloud):
    pages = list(cloud.ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="availability-zone"))
    assert [len(page["InstanceTypeOfferings"]) for page in pages[:-1]] == [1000] * (len(pages) - 1)
    assert sum(len(page["InstanceTypeOfferings"]) for page in pages) > 6000
    refused(cloud.ec2.describe_instance_type_offerings, "InvalidParameterValue", MaxResults=1001)


def now():
    return datetime.datetime.now(datetime.UTC)


def test_the_spot_price_now_is_one_row_per_pool_below_on_demand(cloud):
    pages = cloud.ec2.get_paginator("describe_spot_price_history").paginate(
        StartTime=now(), ProductDescriptions=["Linux/UNIX (Amazon VPC)", "Linux/UNIX"], InstanceTypes=["m5.large", "c5.xlarge"]
    )
    rows = [row for page in pages for row in page["SpotPriceHistory"]]
    pools = {(row["InstanceType"], row["AvailabilityZone"]) for row in rows}
    assert len(pools) == len(rows) >= 10
    on_demand = {"m5.large": 0.096, "c5.xlarge": 0.17}
    for row in rows:
        assert 0 < float(row["SpotPrice"]) < on_demand[row["InstanceType"]]
        assert row["Timestamp"] <= now()
    assert len({row["SpotPrice"] for row in rows}) > 6, "zones differ"


def test_the_spot_price_history_holds_every_change_of_the_window(cloud):
    start = now() - datetime.timedelta(days=10)
    rows = cloud.ec2.describe_spot_price_history(
        StartTime=start, InstanceTypes=["m5.large"], AvailabilityZone="us-east-1a", ProductDescriptions=["Linux/UNIX"]
    )["SpotPriceHistory"]
    times = [row["Timestamp"] for row in rows]
    assert len(rows) > 2 and times == sorted(times, reverse=True)
    assert times[-1] <= start < times[-2]


def test_a_spot_price_can_be_commanded(cloud):
    cloud.control.pool("m5.large", "us-east-1b", usd=0.0123)
    (row,) = cloud.ec2.describe_spot_price_history(
        StartTime=now(), InstanceTypes=["m5.large"], AvailabilityZone="us-east-1b", ProductDescriptions=["Linux/UNIX"]
    )["SpotPriceHistory"]
    assert float(row["SpotPrice"]) == 0.0123


def products(cloud, **fields):
    filters = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in fields.items()]
    pages = cloud.client("pricing").get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
    return [json.loads(item) for page in pages for item in page["PriceList"]]


def price(product):
    (term,) = product["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    return float(dimension["pricePerUnit"]["USD"])


@pytest.mark.parametrize(("operation", "usd"), [("RunInstances", 0.096), ("RunInstances:0002", 0.188)])
def test_the_price_list_has_one_product_per_platform_when_filtered_well(cloud, operation, usd):
    (found,) = products(
        cloud, regionCode="us-east-1", instanceType="m5.large", operation=operation, tenancy="Shared", capacitystatus="Used"
    )
    assert price(found) == pytest.approx(usd)
    assert found["product"]["attributes"]["operation"] == operation


def test_the_price_list_holds_lookalikes_for_those_who_filter_too_little(cloud):
    found = products(cloud, regionCode="us-east-1", instanceType="m5.large", operatingSystem="Linux")
    assert {entry["product"]["attributes"]["tenancy"] for entry in found} == {"Shared", "Dedicated"}
    assert 0.0 in {price(entry) for entry in found}


def test_the_price_list_comes_in_pages_of_at_most_a_hundred(cloud):
    client = cloud.client("pricing")
    refused(client.get_products, "InvalidParameterException", ServiceCode="AmazonEC2", MaxResults=101)
    page = client.get_products(ServiceCode="AmazonEC2", Filters=[{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"}])
    assert len(page["PriceList"]) == 100 and page["NextToken"]


# ---- what moto lacks ---------------------------------------------------------------------------------------------------------


def test_scaling_activities_are_recorded_newest_first(cloud):
    cloud.group("web", size=2)
    attach(cloud, "web", *cloud.run())
    terminate(cloud, cloud.members("web")[0])
    activities = cloud.asg.describe_scaling_activities(AutoScalingGroupName="web")["Activities"]
    assert len(activities) == 4
    assert activities[0]["Description"].startswith("Terminating") and activities[1]["Description"].startswith("Attaching")
    assert all(activity["StatusCode"] == "Successful" and activity["Progress"] == 100 for activity in activities)
    (one,) = cloud.asg.describe_scaling_activities(ActivityIds=[activities[0]["ActivityId"]])["Activities"]
    assert "shrinking the capacity from 3 to 2" in one["Cause"]
    refused(cloud.asg.describe_scaling_activities, AutoScalingGroupName="web", MaxRecords=101)
    cloud.control.activity("web")
    newest = cloud.asg.describe_scaling_activities(AutoScalingGroupName="web", MaxRecords=1)["Activities"][0]
    assert newest["StatusCode"] == "InProgress"


def test_an_instance_refresh_is_in_progress_until_it_is_cancelled(cloud):
    cloud.group("web", size=1)
    describe = cloud.asg.describe_instance_refreshes
    assert describe(AutoScalingGroupName="web")["InstanceRefreshes"] == []
    cloud.asg.start_instance_refresh(AutoScalingGroupName="web")
    assert describe(AutoScalingGroupName="web")["InstanceRefreshes"][0]["Status"] == "InProgress"
    refused(cloud.asg.start_instance_refresh, "InstanceRefreshInProgress", AutoScalingGroupName="web")
    cloud.asg.cancel_instance_refresh(AutoScalingGroupName="web")
    assert describe(AutoScalingGroupName="web")["InstanceRefreshes"][0]["Status"] == "Cancelled"
    refused(describe, containing="name not found", AutoScalingGroupName="nobody")


def target_group(cloud):
    made = cloud.elbv2.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=cloud.vpc, TargetType="instance")
    return made["TargetGroups"][0]["TargetGroupArn"]


def targets(cloud, arn):
    found = cloud.elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return {entry["Target"]["Id"]: entry["TargetHealth"]["State"] for entry in found}


def test_members_are_registered_with_the_target_group_and_leave_it_with_the_group(cloud):
    arn = target_group(cloud)
    cloud.group("web", size=2, TargetGroupARNs=[arn])
    assert targets(cloud, arn) == dict.fromkeys(cloud.members("web"), "healthy")
    cloud.control.settings(healthy_seconds=1.0)
    (replica,) = cloud.run()
    attach(cloud, "web", replica)
    assert targets(cloud, arn)[replica] == "initial"
    wait_until(lambda: targets(cloud, arn)[replica] == "healthy")
    cloud.control.target(replica, "unhealthy")
    assert targets(cloud, arn)[replica] == "unhealthy"
    cloud.asg.detach_instances(AutoScalingGroupName="web", InstanceIds=[replica], ShouldDecrementDesiredCapacity=True)
    assert replica not in targets(cloud, arn)
    (source,) = cloud.asg.describe_traffic_sources(AutoScalingGroupName="web")["TrafficSources"]
    assert source["Identifier"] == arn and source["Type"] == "elbv2"


def test_members_are_not_registered_while_that_is_suspended(cloud):
    arn = target_group(cloud)
    cloud.group("web", size=1, TargetGroupARNs=[arn])
    cloud.asg.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["AddToLoadBalancer"])
    (replica,) = cloud.run()
    attach(cloud, "web", replica)
    assert replica not in targets(cloud, arn)


# ---- the record and the faults -----------------------------------------------------------------------------------------------


def test_every_call_is_recorded_with_its_parameters(cloud):
    mark = cloud.control.mark()
    cloud.group("web", size=1)
    cloud.describe("web")
    looked = cloud.control.calls(since=mark, mutating=False)
    changed = cloud.control.calls(since=mark, mutating=True)
    assert [call["action"] for call in looked] == ["DescribeAutoScalingGroups"]
    assert [call["action"] for call in changed] == ["CreateLaunchTemplate", "CreateAutoScalingGroup"]
    assert changed[1]["params"]["AutoScalingGroupName"] == "web" and changed[1]["status"] == 200
    assert "Boto3" in changed[1]["agent"] and changed[1]["region"] == cloud.region


def test_accounts_do_not_see_each_other(stage, cloud):
    from cloud import new_cloud

    other = new_cloud(stage.url).network()
    cloud.group("web", size=1)
    assert other.asg.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert all(call["account"] == cloud.account for call in cloud.control.calls())


@pytest.mark.parametrize(
    ("do", "code", "status"),
    [
        ("throttle", "RequestLimitExceeded", 503),
        ("unavailable", "ServiceUnavailable", 503),
        ({"error": {"status": 403, "code": "UnauthorizedOperation", "message": "no"}}, "UnauthorizedOperation", 403),
    ],
)
def test_a_rule_fails_the_calls_it_is_for_and_no_other(cloud, do, code, status):
    cloud.control.rule(do, service="ec2", action="DescribeVpcs", skip=1, times=1)
    cloud.ec2.describe_vpcs()
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        cloud.ec2.describe_vpcs()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    cloud.ec2.describe_vpcs()
    cloud.ec2.describe_subnets()


def test_auto_scaling_is_throttled_in_its_own_words(cloud):
    cloud.control.rule("throttle", service="autoscaling")
    refused(cloud.asg.describe_auto_scaling_groups, "Throttling")


@pytest.mark.parametrize(("do", "instances"), [("drop", 0), ("lose_reply", 1)])
def test_a_connection_breaks_before_or_after_the_effect(cloud, do, instances):
    cloud.control.rule(do, action="RunInstances")
    with pytest.raises(botocore.exceptions.HTTPClientError):
        cloud.run()
    wait_until(lambda: len(cloud.alive()) == instances)


@pytest.mark.parametrize(("do", "instances"), [("hold", 0), ("hold_reply", 1)])
def test_a_call_is_held_before_or_after_its_effect_and_released(cloud, do, instances):
    cloud.control.rule(do, action="RunInstances", mutating=True)
    caller = threading.Thread(target=cloud.run)
    caller.start()
    assert cloud.control.wait_held()
    assert len(cloud.alive()) == instances
    cloud.control.release()
    caller.join(30)
    assert len(cloud.alive()) == 1
    assert cloud.control.wait_held(seconds=0) == []


def test_a_held_call_of_a_killed_caller_never_happens(cloud):
    import subprocess
    import sys

    cloud.control.rule("hold", action="CreateTags")
    (instance,) = cloud.run()
    script = (
        "import boto3, sys; boto3.client('ec2', endpoint_url=sys.argv[1], region_name='us-east-1')"
        ".create_tags(Resources=[sys.argv[2]], Tags=[{'Key': 'late', 'Value': 'yes'}])"
    )
    caller = subprocess.Popen([sys.executable, "-c", script, cloud.stage_url, instance], env=cloud.environment())
    assert cloud.control.wait_held()
    caller.kill()
    caller.wait()
    cloud.control.wait_gone()
    assert "late" not in tags_of(cloud.instance(instance))


def test_a_stalled_call_is_late_and_done(cloud):
    cloud.control.rule({"stall": {"seconds": 0.5}}, action="DescribeVpcs")
    start = time.monotonic()
    cloud.ec2.describe_vpcs()
    assert time.monotonic() - start >= 0.5
