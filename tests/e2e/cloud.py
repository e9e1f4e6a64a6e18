"""A small region to test in, made with boto3: network, templates, groups. boto3 is also the independent witness."""

import base64
import dataclasses
import itertools
import json
import os
import uuid

import boto3
import botocore.config

from servers import IMAGES, Control

REGION = "us-east-1"
USER_DATA = "#!/bin/sh\necho ready > /run/ready\n"

_accounts = itertools.count(1)


def image(kind):
    """The id of the image whose name contains a word, such as `al2023`."""
    for known in json.loads(IMAGES.read_text()):
        if kind.lower() in known["name"].lower():
            return known["ami_id"]
    raise KeyError(kind)


AL2023 = "kernel-6.18-x86_64"


@dataclasses.dataclass
class Cloud:
    """One account in one region on the stage, and boto3 clients for it. Accounts do not see each other."""

    control: Control
    account: str
    region: str
    stage_url: str

    @property
    def credentials(self):
        # An access key of twelve digits names its account.
        return {"AWS_ACCESS_KEY_ID": self.account, "AWS_SECRET_ACCESS_KEY": "secret"}

    def environment(self, **more):
        """What the product's binaries need to reach this cloud and nothing else."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        return {
            **inherited,
            **self.credentials,
            **endpoints(self.stage_url),
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            **more,
        }

    def client(self, service, region=None):
        config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120)
        return boto3.client(
            service,
            region_name=region or self.region,
            endpoint_url=self.stage_url,
            aws_access_key_id=self.account,
            aws_secret_access_key="secret",
            config=config,
        )

    def __post_init__(self):
        self.ec2 = self.client("ec2")
        self.asg = self.client("autoscaling")
        self.elbv2 = self.client("elbv2")
        self.elb = self.client("elb")
        self.iam = self.client("iam")

    # ---- building -----------------------------------------------------------------------------------------------------

    def network(self, zones=3):
        """A VPC with one subnet per zone, and two security groups."""
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.zones = [f"{self.region}{letter}" for letter in "abcdef"[:zones]]
        self.subnets = [
            self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{16 * index}.0/20", AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for index, zone in enumerate(self.zones)
        ]
        self.security_groups = [
            self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"] for name in ("web", "ops")
        ]
        return self

    def instance_profile(self, name="web-role"):
        self.iam.create_instance_profile(InstanceProfileName=name)
        return self.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]

    def key_pair(self, name="ops-key"):
        self.ec2.create_key_pair(KeyName=name)
        return name

    def template_data(self, instance_type="m5.large", **more):
        """What a careful owner puts into a launch template."""
        return {
            "ImageId": image(AL2023),
            "InstanceType": instance_type,
            "SecurityGroupIds": self.security_groups,
            "UserData": base64.b64encode(USER_DATA.encode()).decode(),
            "Monitoring": {"Enabled": True},
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "DeleteOnTermination": True}}
            ],
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": [{"Key": "from-template", "Value": "yes"}]},
                {"ResourceType": "volume", "Tags": [{"Key": "volume-from-template", "Value": "yes"}]},
            ],
            **more,
        }

    def template(self, name=None, **data):
        name = name or f"template-{uuid.uuid4().hex[:8]}"
        made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=self.template_data(**data))
        return made["LaunchTemplate"]["LaunchTemplateId"]

    def launch_configuration(self, name=None, instance_type="m5.large", **more):
        name = name or f"configuration-{uuid.uuid4().hex[:8]}"
        self.asg.create_launch_configuration(
            LaunchConfigurationName=name,
            ImageId=image(AL2023),
            InstanceType=instance_type,
            SecurityGroups=self.security_groups,
            UserData=USER_DATA,
            **more,
        )
        return name

    def group(self, name, size=3, template=None, configuration=None, enabled=True, tags=None, zones=None, **more):
        """A group over all zones; `spot-enabled=true` unless told otherwise, and one tag that its instances inherit."""
        wanted = {"team": ("shop", True), **({"spot-enabled": ("true", False)} if enabled else {}), **(tags or {})}
        source = (
            {"LaunchConfigurationName": configuration}
            if configuration
            else {"LaunchTemplate": {"LaunchTemplateId": template or self.template(), "Version": "$Latest"}}
        )
        arguments = {
            "AutoScalingGroupName": name,
            "MinSize": 0,
            "MaxSize": size + 2,
            "DesiredCapacity": size,
            "VPCZoneIdentifier": ",".join(self.subnets[: zones or len(self.subnets)]),
            "Tags": [
                {"Key": key, "Value": value, "PropagateAtLaunch": propagate, "ResourceId": name, "ResourceType": "auto-scaling-group"}
                for key, (value, propagate) in wanted.items()
            ],
            **source,
            **more,
        }
        self.asg.create_auto_scaling_group(**arguments)
        return name

    # ---- looking ------------------------------------------------------------------------------------------------------

    def describe(self, name):
        found = self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        assert len(found) == 1, f"group {name} is not there"
        return found[0]

    def members(self, name):
        """The ids of the members that are in service."""
        return [member["InstanceId"] for member in self.describe(name)["Instances"] if member["LifecycleState"] == "InService"]

    def instances(self, *ids, **filters):
        arguments = {"InstanceIds": list(ids)} if ids else {}
        if filters:
            arguments["Filters"] = [{"Name": key.replace("_", "-"), "Values": [value]} for key, value in filters.items()]
        pages = self.ec2.get_paginator("describe_instances").paginate(**arguments)
        return [instance for page in pages for reservation in page["Reservations"] for instance in reservation["Instances"]]

    def instance(self, instance_id):
        (found,) = self.instances(instance_id)
        return found

    def group_instances(self, name):
        """The members in service, as EC2 describes them."""
        ids = self.members(name)
        return self.instances(*ids) if ids else []

    def alive(self):
        """Every instance of the account that is not gone or going."""
        return [instance for instance in self.instances() if instance["State"]["Name"] in ("pending", "running", "stopping", "stopped")]

    def user_data(self, instance_id):
        attribute = self.ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        return attribute["UserData"].get("Value")

    def run(self, subnet=0, count=1, instance_type="m5.large", spot=False, **more):
        """Instances outside any group."""
        market = {"InstanceMarketOptions": {"MarketType": "spot"}} if spot else {}
        made = self.ec2.run_instances(
            ImageId=image(AL2023), InstanceType=instance_type, SubnetId=self.subnets[subnet], MinCount=count, MaxCount=count, **market, **more
        )
        return [instance["InstanceId"] for instance in made["Instances"]]

    def fleet(self, template, overrides, total=1, market="spot", **more):
        """CreateFleet instant, as the product asks for it."""
        return self.ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[
                {"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"}, "Overrides": overrides}
            ],
            TargetCapacitySpecification={"TotalTargetCapacity": total, "DefaultTargetCapacityType": market},
            **({"SpotOptions": {"AllocationStrategy": "price-capacity-optimized"}} if market == "spot" else {}),
            **more,
        )


def endpoints(stage_url):
    """The SDK's variables that point every service that the product's binaries call at the stage."""
    services = ("EC2", "AUTO_SCALING", "ELASTIC_LOAD_BALANCING_V2", "ELASTIC_LOAD_BALANCING", "PRICING", "STS", "IAM", "SQS", "SERVICE_QUOTAS")
    return {f"AWS_ENDPOINT_URL_{service}": stage_url for service in services}


def new_cloud(stage_url, region=REGION, account=None):
    """A cloud in an account that nobody else has."""
    account = account or f"{next(_accounts):012d}"
    return Cloud(Control(stage_url, account, region), account, region, stage_url)


def tags_of(instance):
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
