"""Records what the product calls, with the tags that each named thing had at that moment: `make permissions-record`.

Every changing call of a few swaps is held in the air by the stage while boto3 looks at what it names; `calls.json` is what the
replay in test_permissions.py asks the policy about.
"""

import json
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import cloud as clouds  # noqa: E402
import product  # noqa: E402
import servers  # noqa: E402
import witness  # noqa: E402

CALLS = pathlib.Path(__file__).with_name("calls.json")


def listed(params, name):
    """The values of a list parameter in either of the two query protocols: `Name.1`, `Name.member.1`."""
    found = [(key, value) for key, value in params.items() if key.startswith((f"{name}.member.", f"{name}.")) and key.split(".")[-1].isdigit()]
    return [value for _, value in sorted(found)]


class Recorder:
    def __init__(self, cloud):
        self.cloud = cloud
        self.changes = []

    def note(self, call):
        """One held call, with the tags of what it names."""
        # The first override stands for all of them.
        params = {key: value for key, value in call["params"].items() if not re.search(r"Overrides\.(?!1\.)|UserData", key)}
        instances = [*listed(params, "InstanceId"), *listed(params, "InstanceIds"), *listed(params, "ResourceId")]
        instances += [params["InstanceId"]] if "InstanceId" in params else []
        group = params.get("AutoScalingGroupName") or params.get("Tags.member.1.ResourceId")
        entry = {"action": f"{call['service']}:{call['action']}", "params": params}
        if call["service"] == "autoscaling" and not group:
            (found,) = self.cloud.asg.describe_auto_scaling_instances(InstanceIds=instances)["AutoScalingInstances"]
            group = found["AutoScalingGroupName"]
        if group:
            described = self.cloud.describe(group)
            entry["group"] = {"arn": described["AutoScalingGroupARN"], "tags": {tag["Key"]: tag["Value"] for tag in described["Tags"]}}
        if instances:
            entry["instances"] = {found["InstanceId"]: clouds.tags_of(found) for found in self.cloud.instances(*instances)}
        if call["action"] == "CreateFleet":
            entry["template"] = self.template(params)
        self.changes.append(entry)

    def template(self, params):
        """What the launch takes from its template: the things that EC2 asks permission for."""
        prefix = "LaunchTemplateConfigs.1.LaunchTemplateSpecification."
        key = "LaunchTemplateId" if f"{prefix}LaunchTemplateId" in params else "LaunchTemplateName"
        name = {key: params[f"{prefix}{key}"]}
        (version,) = self.cloud.ec2.describe_launch_template_versions(**name, Versions=[params[f"{prefix}Version"]])["LaunchTemplateVersions"]
        data = version["LaunchTemplateData"]
        return {
            "id": version["LaunchTemplateId"],
            "image": data["ImageId"],
            "key": data.get("KeyName"),
            "profile": (data.get("IamInstanceProfile") or {}).get("Arn"),
            "security_groups": data.get("SecurityGroupIds", []),
            "tagged": sorted(found["ResourceType"] for found in data.get("TagSpecifications", [])),
        }

    def run(self, *groups, after=None, **settings):
        """Lets the CLI work until nothing is left to do; `after` is called once, when its action has been let go."""
        cloud = self.cloud
        cloud.control.rule("hold", mutating=True, agent=product.AGENT, times=1000)
        process = product.start(cloud, "run", *groups, "--until-settled", "--pause", product.PAUSE_SECONDS, "--timeout", "150s", retry_window="30s", **settings)
        while process.poll() is None:
            held = cloud.control.wait_held(1)
            if not held:
                continue
            calls = {call["n"]: call for call in cloud.control.calls(agent=product.AGENT, mutating=True)}
            for number in held:
                self.note(calls[number])
            cloud.control.release()
            if after and after[0] in [calls[number]["action"] for number in held]:
                after[1]()
                after = None
        out, err = process.communicate()
        cloud.control.clear_rules()
        cloud.control.release()
        assert process.returncode == 0, f"{out[-2000:]}\n{err[-2000:]}"


def scenarios(cloud, record):
    profile = cloud.instance_profile()
    load_balancer = cloud.elb.create_load_balancer(
        LoadBalancerName="classic", Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}], Subnets=cloud.subnets
    )
    assert load_balancer
    target = cloud.elbv2.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=cloud.vpc)["TargetGroups"][0]["TargetGroupArn"]

    # MaxSize gives way, AZRebalance is suspended, a template is derived, load balancers are asked.
    configuration = cloud.launch_configuration(IamInstanceProfile=profile, KeyName=cloud.key_pair())
    cloud.group("full", size=1, configuration=configuration, MinSize=1, MaxSize=1, LoadBalancerNames=["classic"], TargetGroupARNs=[target])
    record.run("full")

    # The victim is marked, detached and ended; the enabling tag has reached it.
    template = cloud.template(IamInstanceProfile={"Arn": profile})
    cloud.group("detaching", size=1, template=template, tags={"spot-enabled": ("true", True), "spotward:removal": ("detach", False)})
    record.run("detaching")

    # The owner takes the tag away right after the attach: only the journal opens the way back.
    disable = lambda: cloud.asg.delete_tags(Tags=[{"Key": "spot-enabled", "ResourceId": "disabled", "ResourceType": "auto-scaling-group"}])  # noqa: E731
    cloud.group("disabled", size=1, template=template, MinSize=1, MaxSize=1)
    record.run("disabled", after=("AttachInstances", disable))

    # The floor is raised: an on-demand replica for a spot member.
    cloud.group("back", size=1, template=template)
    record.run("back")
    floor = {"Key": "spotward:min-on-demand", "Value": "1", "ResourceId": "back", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    cloud.asg.create_or_update_tags(Tags=[floor])
    record.run("back")
    witness.assert_nothing_left_behind(cloud, "full", "detaching", "disabled", "back", templates=1)


def main():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="spotward-permissions-"))
    moto = servers.start_moto(directory)
    stage = servers.start_stage(moto, directory)
    try:
        cloud = clouds.new_cloud(stage.url, account="123456789012").network()
        record = Recorder(cloud)
        scenarios(cloud, record)
        calls = cloud.control.calls(agent=product.AGENT, mutating=False)
        reads = sorted({f"{call['service']}:{call['action']}" for call in calls})
    finally:
        stage.stop()
        moto.stop()
    lines = ",\n".join(f"    {json.dumps(call, sort_keys=True)}" for call in record.changes)
    CALLS.write_text(f'{{\n  "reads": {json.dumps(reads)},\n  "changes": [\n{lines}\n  ]\n}}\n')
    print(f"{len(record.changes)} changing calls, {len(reads)} kinds of reads in {CALLS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
