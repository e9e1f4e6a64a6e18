"""Deploys or deletes the stack in one or more regions, and says before what it will do: `make deploy`, `make delete`."""

import argparse
import pathlib
import re
import shlex
import subprocess
import sys

import boto3
import botocore.exceptions

#: What the role of the journal is: a swap in flight, on the group that carries it.
JOURNAL = "spotward:swap"


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("what", choices=["deploy", "delete"])
    options.add_argument("--regions", required=True, help="separated by spaces")
    options.add_argument("--stack", default="spotward")
    options.add_argument("--package", type=pathlib.Path, help="directory of `make package`, for deploy")
    options.add_argument("--arch", default="arm64", choices=["arm64", "x86_64"])
    options.add_argument("--parameters", default="", help="Key=value, separated by spaces; a value with spaces in quotes")
    options.add_argument("--sam", default="sam", help="the SAM CLI")
    options.add_argument("--yes", action="store_true", help="do not ask")
    chosen = options.parse_args()
    regions = chosen.regions.split()
    try:
        if not regions:
            raise Stop('no region: say REGIONS="eu-central-1 us-east-1"')
        account = boto3.client("sts", region_name=regions[0]).get_caller_identity()["Account"]
        (deploy if chosen.what == "deploy" else delete)(chosen, regions, account)
    except Stop as stop:
        return str(stop)
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        return f"AWS: {error}"
    return 0


class Stop(Exception):
    """Nothing more is done; the message says why, and what to do."""


def confirm(chosen, question):
    if chosen.yes:
        return
    if not sys.stdin.isatty():
        raise Stop("nobody to ask: say YES=1 to go on without a question")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise Stop("nothing was done")


def find(region, stack):
    """The stack as it is, or None."""
    formation = boto3.client("cloudformation", region_name=region)
    try:
        return formation.describe_stacks(StackName=stack)["Stacks"][0]
    except botocore.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def deploy(chosen, regions, account):
    package = chosen.package / chosen.arch
    if not (package / "bootstrap").exists():
        raise Stop(f"{package} is not there: run `make package ARCH={chosen.arch}` first")
    parameters = read_parameters(chosen.parameters)
    print(f"account {account}, stack {chosen.stack}, {chosen.arch}, {(package / 'bootstrap').stat().st_size:,} bytes")
    print(f"parameters: {' '.join(parameters) or 'as they are, or the defaults'}")
    for region in regions:
        found = find(region, chosen.stack)
        print(f"  {region}: {'update, now ' + found['StackStatus'] if found else 'create'}")
    print("The archive goes to the SAM CLI's own bucket in each region. Roles are created or changed.")
    confirm(chosen, "Deploy?")
    for region in regions:
        command = [
            *(chosen.sam, "deploy", "--region", region, "--stack-name", chosen.stack),
            *("--template-file", str(package / "template.yaml"), "--resolve-s3", "--no-progressbar"),
            *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset"),
            *("--parameter-overrides", f"Architecture={chosen.arch}", *parameters),
        ]
        if subprocess.run(command, cwd=package, check=False).returncode != 0:
            raise Stop(f"{region}: sam deploy failed; regions after it were not touched")
        outputs = {found["OutputKey"]: found["OutputValue"] for found in find(region, chosen.stack)["Outputs"]}
        print(f"{region}: done. Tag a group with {outputs['EnablingTag']}; topic for watchers: {outputs['WatcherTopicArn']}")


def read_parameters(text):
    """`Key=value Key='value with spaces'`, as the SAM CLI wants them."""
    try:
        pairs = shlex.split(text)
    except ValueError as error:
        raise Stop(f"PARAMETERS = {text!r}: {error}") from None
    for pair in pairs:
        if not re.fullmatch(r'\w+=[^"]*', pair):
            raise Stop(f"PARAMETERS = {pair!r}: allowed is Key=value Key='value with spaces'")
    return ['{}="{}"'.format(*pair.split("=", 1)) for pair in pairs]


def in_flight(region, stack):
    """Groups with a journal of this deployment, or one that does not say whose, and its replicas that no group owns yet."""
    pages = boto3.client("autoscaling", region_name=region).get_paginator("describe_tags").paginate(
        Filters=[{"Name": "key", "Values": [JOURNAL]}]
    )
    whose = {tag["ResourceId"]: re.search(r";by=([^;]*)", tag["Value"]) for page in pages for tag in page["Tags"]}
    groups = sorted(name for name, found in whose.items() if found is None or found[1] == stack)
    wanted = {"tag:spotward:stack": [stack], "tag:spotward:role": ["replica", "doomed"], "instance-state-name": ["pending", "running", "stopping", "stopped"]}
    pages = boto3.client("ec2", region_name=region).get_paginator("describe_instances").paginate(
        Filters=[{"Name": name, "Values": values} for name, values in wanted.items()]
    )
    instances = [instance["InstanceId"] for page in pages for reservation in page["Reservations"] for instance in reservation["Instances"]]
    return groups + sorted(instances)


def delete(chosen, regions, account):
    existing = [region for region in regions if find(region, chosen.stack)]
    for region in regions:
        print(f"  {region}: {'delete' if region in existing else 'there is no such stack'}")
    if not existing:
        return
    # Nobody would finish the swap: MaxSize and AZRebalance would stay as they are in the middle of it, a replica would run for ever.
    for region in existing:
        if found := in_flight(region, chosen.stack):
            raise Stop(f"{region}: a swap is in flight on {', '.join(found)}: run `spotward uninstall` first, or wait. Nothing was deleted")
    print(f"account {account}, stack {chosen.stack}: function, schedule, rules, queues, topic, log group with its lines, alarms, dashboard, roles.")
    print("Spot members stay in their groups, which go on as before. `spotward revert --all` before this brings them back to on-demand.")
    confirm(chosen, "Delete?")
    for region in existing:
        formation = boto3.client("cloudformation", region_name=region)
        formation.delete_stack(StackName=chosen.stack)
        formation.get_waiter("stack_delete_complete").wait(StackName=chosen.stack, WaiterConfig={"Delay": 5})
        print(f"{region}: deleted")


if __name__ == "__main__":
    sys.exit(main())
