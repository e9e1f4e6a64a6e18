"""What the end-to-end tests look at, through boto3 alone: facts of groups and instances, and what a swap may leave behind."""

from cloud import tags_of
from product import AGENT

#: Tags that a replica has and the member that it replaced has not, by nature.
OURS = ("spotward:", "aws:ec2:fleet-id", "aws:ec2launchtemplate:")


def group_facts(cloud, name):
    """What the owner set and nobody may change: sizes, suspended processes, tags, template."""
    group = cloud.describe(name)
    return {
        "sizes": (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]),
        "suspended": sorted(process["ProcessName"] for process in group["SuspendedProcesses"]),
        "tags": sorted((tag["Key"], tag["Value"], tag["PropagateAtLaunch"]) for tag in group["Tags"]),
        "source": group.get("LaunchTemplate") or group.get("LaunchConfigurationName"),
        "zones": group["VPCZoneIdentifier"],
    }


def instance_facts(cloud, instance):
    """What a replica must share with the member that it replaced."""
    disks = []
    for mapping in instance.get("BlockDeviceMappings", []):
        (volume,) = cloud.ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"]
        disks.append((mapping["DeviceName"], volume["Size"], volume["VolumeType"], volume["Encrypted"]))
    return {
        "image": instance["ImageId"],
        "user data": cloud.user_data(instance["InstanceId"]),
        "security groups": sorted(group["GroupId"] for group in instance["SecurityGroups"]),
        "profile": instance.get("IamInstanceProfile", {}).get("Arn"),
        "key": instance.get("KeyName"),
        "subnet": instance["SubnetId"],
        "monitoring": instance["Monitoring"]["State"],
        "metadata": {key: instance["MetadataOptions"][key] for key in ("HttpTokens", "HttpPutResponseHopLimit")},
        "disks": sorted(disks),
        "tags": sorted((key, value) for key, value in tags_of(instance).items() if not key.startswith(OURS)),
    }


def is_spot(instance):
    return instance.get("InstanceLifecycle") == "spot"


def spot_count(cloud, name):
    return sum(is_spot(instance) for instance in cloud.group_instances(name))


def assert_nothing_left_behind(cloud, *groups, templates=0):
    """No journal, no orphan, no tag of ours that says anything but `member`, no template but the derived ones."""
    for name in groups:
        group = cloud.describe(name)
        left = [tag["Key"] for tag in group["Tags"] if tag["Key"] in ("spotward:swap", "spotward:backoff")]
        assert left == [], f"{name} still carries {left}"
        assert len(group["Instances"]) == group["DesiredCapacity"]
        assert all(member["LifecycleState"] == "InService" for member in group["Instances"])
    for instance in cloud.alive():
        tags = tags_of(instance)
        assert "aws:autoscaling:groupName" in tags, f"{instance['InstanceId']} is in no group: {tags}"
        assert tags.get("spotward:role", "member") == "member", tags
        assert "spotward:swap" not in tags, tags
    derived = [
        found for found in cloud.ec2.describe_launch_templates()["LaunchTemplates"] if found["LaunchTemplateName"].startswith("spotward")
    ]
    assert len(derived) == templates, derived


def changes(cloud, since=0):
    """The product's calls that change something."""
    return cloud.control.calls(since=since, mutating=True, agent=AGENT)


def assert_untouched(cloud, name, instances, since=0):
    """No changing call named the group or one of its instances."""
    ids = {name, *(instance["InstanceId"] for instance in instances)}
    touching = [(call["action"], call["params"]) for call in changes(cloud, since) if ids & set(call["params"].values())]
    assert touching == []


def spot_launched(cloud):
    """Every spot instance that was ever paid for, gone ones included."""
    return [instance["InstanceId"] for instance in cloud.instances() if is_spot(instance)]
