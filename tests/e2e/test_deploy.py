"""`make deploy` and `make delete` as they are, against the emulated CloudFormation: sam deploy of the whole template."""

import os
import shutil
import subprocess

import pytest

import product
import servers
from product import binary
from servers import ROOT, tool

#: Stands for a directory with a package in it.
PACKAGE = "package"
ACCOUNT, REGION = "123456789012", "eu-central-1"


@pytest.fixture(scope="module")
def ministack(logs):
    server = servers.start_ministack(logs / "deploy", ACCOUNT)
    yield server
    server.stop()


def script(ministack, directory, *arguments):
    """deploy/deploy.py as the make targets call it, with nobody to ask."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
        "AWS_ENDPOINT_URL": ministack.url,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "SAM_CLI_TELEMETRY": "0",
        "HOME": str(directory),
    }
    done = subprocess.run(
        [tool(".venv-sam", "python"), ROOT / "deploy/deploy.py", *arguments, "--sam", tool(".venv-sam", "sam")],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stdout


def test_deployed_and_deleted_as_the_make_targets_do_it(ministack, tmp_path):
    package = tmp_path / "package" / "x86_64"
    package.mkdir(parents=True)
    shutil.copy(binary("bootstrap"), package)
    shutil.copy(ROOT / "template.yaml", package)
    function = product.Function(ministack.url, ACCOUNT, REGION)
    deploy = ["deploy", "--regions", REGION, "--package", str(package.parent), "--arch", "x86_64"]
    delete = ["delete", "--regions", f"{REGION} us-east-1"]

    code, said = script(ministack, tmp_path, *deploy)
    assert code == 1 and f"{REGION}: create" in said and "YES=1" in said, said
    assert function.client("cloudformation").list_stacks()["StackSummaries"] == [], "without an answer nothing is done"

    code, said = script(ministack, tmp_path, *deploy, "--parameters", "MemorySize=512 WatcherBucket=archives SavedQueries=false TickRate='rate(2 minutes)'", "--yes")
    assert code == 0, said[-3000:]
    outputs = function.outputs()
    settings = function.client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])
    assert (settings["MemorySize"], settings["Architectures"], settings["Runtime"]) == (512, ["x86_64"], "provided.al2023")
    assert f"TOPIC='{outputs['WatcherTopicArn']}' BUCKET='archives' REGION='{REGION}'" in outputs["WatcherUserData"]
    assert "@" not in outputs["WatcherUserData"] and "${" not in outputs["WatcherUserData"]
    schedules = function.client("scheduler").list_schedules()["Schedules"]
    assert [schedule["Name"] for schedule in schedules] == ["spotward-tick"], "named after its stack: two deployments can live in one region"
    assert function.client("scheduler").get_schedule(Name="spotward-tick")["ScheduleExpression"] == "rate(2 minutes)"
    rules = function.client("events").list_rules()["Rules"]
    assert len(rules) == 4
    for rule in rules:
        [target] = function.client("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
        assert target["DeadLetterConfig"]["Arn"].endswith(":spotward-events-dead")

    scaling = function.client("autoscaling")
    scaling.create_launch_configuration(LaunchConfigurationName="lc", ImageId="ami-12345678", InstanceType="m5.large")
    group = {"AutoScalingGroupName": "web", "LaunchConfigurationName": "lc", "MinSize": 0, "MaxSize": 0, "AvailabilityZones": [f"{REGION}a"]}
    tag = {"Key": "spotward:swap", "Value": "v1;id=0", "ResourceId": "web", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    scaling.create_auto_scaling_group(**group)
    scaling.create_or_update_tags(Tags=[tag])
    ours = [{"Key": "spotward:stack", "Value": "spotward"}, {"Key": "spotward:role", "Value": "replica"}]
    launch = {"ImageId": "ami-12345678", "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    born = function.client("ec2").run_instances(**launch, TagSpecifications=[{"ResourceType": "instance", "Tags": ours}])
    replica = born["Instances"][0]["InstanceId"]
    code, said = script(ministack, tmp_path, *delete, "--yes")
    assert code == 1 and f"a swap is in flight on web, {replica}" in said, said
    assert function.outputs(), "it is still there"

    function.client("ec2").terminate_instances(InstanceIds=[replica])
    # Another deployment's swap is none of ours.
    scaling.create_or_update_tags(Tags=[{**tag, "Value": "v1;id=0;by=another"}])
    code, said = script(ministack, tmp_path, *delete, "--yes")
    assert code == 0 and f"{REGION}: deleted" in said and "us-east-1: there is no such stack" in said, said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["deploy", "--regions", " ", "--package", "."], "no region"),
        (["deploy", "--regions", REGION, "--package", "/nowhere"], "run `make package ARCH=arm64` first"),
        (["deploy", "--regions", REGION, "--package", PACKAGE, "--parameters", "TickRate=rate(2 minutes)"], "PARAMETERS = 'minutes)': allowed is"),
    ],
)
def test_wrong_input_is_told_before_anything_is_done(ministack, tmp_path, arguments, told):
    if PACKAGE in arguments:
        (tmp_path / "arm64").mkdir()
        (tmp_path / "arm64/bootstrap").touch()
        arguments = [tmp_path if argument == PACKAGE else argument for argument in arguments]
    code, said = script(ministack, tmp_path, *arguments, "--yes")
    assert code == 1 and told in said and "Traceback" not in said, said
