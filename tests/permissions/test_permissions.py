"""Every call that was recorded, against the role of template.yaml: allowed for what is ours, denied for what is not.

An independent evaluation of IAM policies (npm, test tool only) is asked, with the resources, the tags at that moment and the
permissions that AWS checks besides the call itself.
"""

import copy
import json
import re

import pytest

from policy import ACCOUNT, DEAD_LETTERS, HERE, QUEUE, REGION, STACK, ask, function_policy
from test_template import actions, calls_in_code, is_read

RECORD = json.loads((HERE / "calls.json").read_text())
BASE = {"aws:RequestedRegion": REGION}
GROUP = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1f2e3d4c-5b6a-4788-99aa-bbccddeeff00:autoScalingGroupName/web"
JOURNAL = "v1;id=510a063a;in=i-0a;out=i-0b;d=1;max=1>2;az=1;t=1795330365;by=spotward"

#: What no recorded swap shows: seldom, or not on the stage. One request each, written by hand.
BY_HAND = {
    "autoscaling:SetDesiredCapacity": [
        ("autoscaling:SetDesiredCapacity", GROUP, {**BASE, "autoscaling:ResourceTag/spot-enabled": "true"}),
        ("autoscaling:SetDesiredCapacity", GROUP, {**BASE, "autoscaling:ResourceTag/spotward:swap": JOURNAL}),
    ],
    # The sweep: a template of ours whose launch configuration is gone.
    "ec2:DeleteLaunchTemplate": [
        (
            "ec2:DeleteLaunchTemplate",
            f"arn:aws:ec2:{REGION}:{ACCOUNT}:launch-template/lt-0a",
            {**BASE, "aws:ResourceTag/spotward:stack": STACK, "aws:ResourceTag/spotward:role": "lt"},
        ),
    ],
    "sqs:SendMessage": [("sqs:SendMessage", QUEUE, BASE), ("sqs:SendMessage", DEAD_LETTERS, BASE)],
    # What Lambda does in the function's name: it polls the queue and writes the log.
    "sqs:ReceiveMessage": [("sqs:ReceiveMessage", QUEUE, BASE)],
    "sqs:DeleteMessage": [("sqs:DeleteMessage", QUEUE, BASE)],
    "sqs:GetQueueAttributes": [("sqs:GetQueueAttributes", QUEUE, BASE)],
    "logs:CreateLogStream": [("logs:CreateLogStream", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/{STACK}:log-stream:s", BASE)],
    "logs:PutLogEvents": [("logs:PutLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/{STACK}:log-stream:s", BASE)],
}


def arn(kind, name="*", account=ACCOUNT):
    return f"arn:aws:ec2:{REGION}:{account}:{kind}/{name}"


def on(resource_tags, prefix="aws:ResourceTag"):
    return {f"{prefix}/{key}": value for key, value in resource_tags.items()}


def asks_for(tags):
    """The keys about tags in a request, which are there only if it has some."""
    return {**on(tags, "aws:RequestTag"), **({"aws:TagKeys": sorted(tags)} if tags else {})}


def tag_specifications(params, name="TagSpecification"):
    """Resource type -> tags, from a launch."""
    found = {}
    for key, kind in params.items():
        if match := re.fullmatch(rf"{name}\.(\d+)\.ResourceType", key):
            prefix = f"{name}.{match[1]}.Tag."
            numbers = {key[len(prefix) :].split(".")[0] for key in params if key.startswith(prefix)}
            found[kind] = {params[f"{prefix}{number}.Key"]: params.get(f"{prefix}{number}.Value", "") for number in numbers}
    return found


def tags_in(params, pattern):
    """Tags of a call that sets or removes them; a removed one has no value."""
    numbers = {match[1] for key in params if (match := re.fullmatch(pattern.replace("#", r"(\d+)") + r"\.Key", key))}
    return {params[f"{pattern.replace('#', n)}.Key"]: params.get(f"{pattern.replace('#', n)}.Value", "") for n in numbers}


def launch_requests(call):
    """CreateFleet, and what EC2 asks besides: RunInstances on all that a launch takes and makes, the tags at birth, the role."""
    params, template = call["params"], call["template"]
    born = tag_specifications(params)
    takes = [
        f"arn:aws:ec2:{REGION}::image/{template['image']}",
        arn("launch-template", template["id"]),
        arn("subnet", params["LaunchTemplateConfigs.1.Overrides.1.SubnetId"]),
        arn("volume"),
    ]
    runs_besides = [
        f"arn:aws:ec2:{REGION}::snapshot/snap-0a1b2c3d",
        arn("network-interface"),
        *(arn("security-group", group) for group in template["security_groups"]),
        *([arn("key-pair", template["key"])] if template["key"] else []),
    ]
    spot = params["TargetCapacitySpecification.DefaultTargetCapacityType"] == "spot"
    requests = [("ec2:CreateFleet", arn("fleet"), {**BASE, **asks_for(born.get("fleet", {}))})]
    requests += [("ec2:CreateFleet", resource, BASE) for resource in takes]
    requests += [("ec2:RunInstances", resource, BASE) for resource in takes + runs_besides]
    for action in ("ec2:CreateFleet", "ec2:RunInstances"):
        requests.append((action, arn("instance"), {**BASE, **asks_for(born.get("instance", {}))}))
    if spot:
        requests.append(("ec2:RunInstances", arn("spot-instances-request"), BASE))
        linked = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
        requests.append(("iam:CreateServiceLinkedRole", linked, {**BASE, "iam:AWSServiceName": "spot.amazonaws.com"}))
    for kind, tags in born.items():
        maker = "CreateFleet" if kind == "fleet" else "RunInstances"
        requests.append(("ec2:CreateTags", arn(kind), {**BASE, "ec2:CreateAction": maker, **asks_for(tags)}))
    for kind in template["tagged"]:
        requests.append(("ec2:CreateTags", arn(kind), {**BASE, "ec2:CreateAction": "RunInstances", **asks_for({"from-template": "yes"})}))
    if template["profile"]:
        role = template["profile"].replace(":instance-profile/", ":role/")
        requests.append(("iam:PassRole", role, {**BASE, "iam:PassedToService": "ec2.amazonaws.com"}))
    return requests


def group_requests(call):
    action, params, group = call["action"], call["params"], call["group"]
    context = {**BASE, **on(group["tags"], "autoscaling:ResourceTag")}
    tags = tags_in(params, r"Tags.member.#")
    if tags:
        context |= {"aws:TagKeys": sorted(tags), **(on(tags, "aws:RequestTag") if action.endswith("CreateOrUpdateTags") else {})}
    if "MaxSize" in params:
        context["autoscaling:MaxSize"] = params["MaxSize"]
    if "MinSize" in params:
        context["autoscaling:MinSize"] = params["MinSize"]
    return [(action, group["arn"], context)]


def instance_requests(call):
    action, params = call["action"], call["params"]
    tags = tags_in(params, "Tag.#")
    requests = []
    for instance, carried in call["instances"].items():
        context = {**BASE, **on(carried)}
        if action in ("ec2:CreateTags", "ec2:DeleteTags"):
            context |= {"aws:TagKeys": sorted(tags), **(on(tags, "aws:RequestTag") if action == "ec2:CreateTags" else {})}
        requests.append((action, arn("instance", instance), context))
    return requests


def template_requests(call):
    tags = tag_specifications(call["params"])["launch-template"]
    return [
        ("ec2:CreateLaunchTemplate", arn("launch-template"), {**BASE, **asks_for(tags)}),
        ("ec2:CreateTags", arn("launch-template"), {**BASE, "ec2:CreateAction": "CreateLaunchTemplate", **asks_for(tags)}),
    ]


def requests_of(call):
    """What AWS asks IAM when this call comes in."""
    if call["action"] == "ec2:CreateFleet":
        return launch_requests(call)
    if call["action"] == "ec2:CreateLaunchTemplate":
        return template_requests(call)
    if call["action"].startswith("autoscaling:"):
        return group_requests(call)
    assert call["action"] in ("ec2:CreateTags", "ec2:DeleteTags", "ec2:TerminateInstances"), f"no requests known for {call['action']}"
    return instance_requests(call)


@pytest.fixture(scope="module")
def policy():
    return function_policy()


def changed(call, **tags):
    """The same call on a group or an instance that carries other tags: `group` and `instances` replace what was there."""
    other = copy.deepcopy(call)
    if "group" in tags and "group" in other:
        other["group"]["tags"] = tags["group"]
    if "instances" in tags and "instances" in other:
        other["instances"] = {instance: tags["instances"] for instance in other["instances"]}
    return other


def verdicts(policy, requests):
    return list(zip(requests, ask(policy, requests), strict=True))


def test_every_recorded_call_is_allowed(policy):
    requests = [request for call in RECORD["changes"] for request in requests_of(call)]
    requests += [(action, "*", BASE) for action in RECORD["reads"]]
    requests += [request for hand in BY_HAND.values() for request in hand]
    denied = [(request, found) for request, found in verdicts(policy, requests) if found != "Allowed"]
    assert denied == []
    assert len(requests) > 150


def test_the_record_and_the_role_name_the_same_actions(policy):
    """What the code calls and nobody has recorded, or what the role allows and nobody asks for."""
    requested = {action for call in RECORD["changes"] for action, _, _ in requests_of(call)}
    recorded = {call["action"] for call in RECORD["changes"]} | set(RECORD["reads"])
    called = calls_in_code()
    unseen = {action for action in called - recorded - set(BY_HAND) if not is_read(action)}
    assert unseen == set(), "record them: make permissions-record, or write them down in BY_HAND"
    assert recorded - called == set(), "nobody calls these any more: make permissions-record"
    allowed = {action for statement in policy["Statement"] if statement["Effect"] == "Allow" for action in actions(statement)}
    changing = {action for action in allowed if not is_read(action)}
    assert changing - requested - set(BY_HAND) == set(), "the role allows what no call needs"


OTHER_TAGS = {
    "not enabled": {"team": "shop"},
    "another value": {"spot-enabled": "yes"},
    "a value in capitals": {"spot-enabled": "True"},
    "another key in capitals": {"Spot-Enabled-Not": "true"},
    "settings, but not enabled": {"spotward:min-on-demand": "1", "spotward:backoff": "v1;t=1"},
    "a journal that is none": {"spotward:swap": "hello"},
}


@pytest.mark.parametrize("tags", OTHER_TAGS.values(), ids=OTHER_TAGS)
def test_no_call_changes_a_group_that_is_not_enabled(policy, tags):
    calls = [call for call in RECORD["changes"] if call["action"].startswith("autoscaling:")]
    assert len(calls) > 20
    requests = [request for call in calls for request in requests_of(changed(call, group=tags))]
    requests.append(("autoscaling:SetDesiredCapacity", GROUP, {**BASE, **on(tags, "autoscaling:ResourceTag")}))
    assert [request for request, found in verdicts(policy, requests) if found == "Allowed"] == []


OTHER_INSTANCES = {
    "somebody's": {"Name": "db"},
    "another deployment's": {"spotward:stack": "blue", "spotward:role": "replica"},
    "ours by name only": {"spotward:role": "replica"},
}


@pytest.mark.parametrize("tags", OTHER_INSTANCES.values(), ids=OTHER_INSTANCES)
def test_no_call_changes_an_instance_that_is_not_ours(policy, tags):
    calls = [call for call in RECORD["changes"] if call["action"] in ("ec2:TerminateInstances", "ec2:CreateTags", "ec2:DeleteTags")]
    requests = [request for call in calls for request in requests_of(changed(call, instances=tags))]
    assert len(requests) > 5
    assert [request for request, found in verdicts(policy, requests) if found == "Allowed"] == []


def test_nothing_in_another_region_or_account(policy):
    requests = [request for call in RECORD["changes"] for request in requests_of(call) if not request[0].startswith("iam:")]
    moved = []
    for action, resource, context in requests:
        if f":{REGION}:" in resource:
            moved.append((action, resource.replace(REGION, "eu-central-1"), {**context, "aws:RequestedRegion": "eu-central-1"}))
        if f":{ACCOUNT}:" in resource:
            moved.append((action, resource.replace(ACCOUNT, "210987654321"), context))
    moved += [(action, "*", {"aws:RequestedRegion": "eu-central-1"}) for action in RECORD["reads"] if action != "pricing:GetProducts"]
    assert [request for request, found in verdicts(policy, moved) if found == "Allowed"] == []


def test_a_launch_without_our_tag_is_denied(policy):
    launches = [call for call in RECORD["changes"] if call["action"] == "ec2:CreateFleet"]
    for missing in ("instance", "fleet"):
        for call in launches:
            other = copy.deepcopy(call)
            other["params"] = {key: ("another" if value == "spotward:stack" else value) for key, value in call["params"].items()}
            asked = [request for request in requests_of(other) if f":{missing}/" in request[1] and request[0] != "ec2:CreateTags"]
            assert asked and "Allowed" not in ask(policy, asked)


def test_only_own_keys_on_groups_and_instances(policy):
    """The function can never enable a group for itself, nor touch tags that are not its own."""
    enabled = {**BASE, "autoscaling:ResourceTag/spot-enabled": "true", "autoscaling:ResourceTag/spotward:swap": JOURNAL}
    ours = {**BASE, "aws:ResourceTag/spotward:stack": STACK, "aws:ResourceTag/spotward:role": "replica", "aws:ResourceTag/spot-enabled": "true"}
    requests = []
    for key in ("spot-enabled", "team", "spotward:min-on-demand", "Spotward:swap"):
        for keys in ([key], sorted([key, "spotward:swap"])):
            requests += [(f"autoscaling:{action}", GROUP, {**enabled, "aws:TagKeys": keys}) for action in ("CreateOrUpdateTags", "DeleteTags")]
            if not key.startswith("spotward:"):
                requests += [(f"ec2:{action}", arn("instance", "i-0a"), {**ours, "aws:TagKeys": keys}) for action in ("CreateTags", "DeleteTags")]
    assert [request for request, found in verdicts(policy, requests) if found == "Allowed"] == []


def test_max_size_and_nothing_else_of_a_group(policy):
    """Whether it is enabled, or in the middle of a swap, or both."""
    for tags in ({"spot-enabled": "true"}, {"spotward:swap": JOURNAL}, {"spot-enabled": "true", "spotward:swap": JOURNAL}):
        context = {**BASE, **on(tags, "autoscaling:ResourceTag")}
        fine = ("autoscaling:UpdateAutoScalingGroup", GROUP, {**context, "autoscaling:MaxSize": "3"})
        bad = [
            {"autoscaling:MinSize": "0"},
            {"autoscaling:LaunchConfigurationName": "evil"},
            {"autoscaling:LaunchTemplateVersionSpecified": "true"},
            {"autoscaling:VPCZoneIdentifiers": "subnet-0a"},
        ]
        requests = [fine, *[(fine[0], GROUP, {**context, "autoscaling:MaxSize": "3", **more}) for more in bad]]
        assert ask(policy, requests)[0] == "Allowed", tags
        assert [request for request, found in verdicts(policy, requests[1:]) if found == "Allowed"] == []


def test_after_the_owner_took_the_tag_away_a_swap_can_be_undone_and_nothing_begun(policy):
    context = {**BASE, "autoscaling:ResourceTag/spotward:swap": JOURNAL}
    undo = ["TerminateInstanceInAutoScalingGroup", "ResumeProcesses", "SetDesiredCapacity", "DeleteTags"]
    begin = ["AttachInstances", "DetachInstances", "SuspendProcesses", "CreateOrUpdateTags"]

    def asked(action):
        keys = {"aws:TagKeys": ["spotward:swap"]} if "Tags" in action else {}
        return (f"autoscaling:{action}", GROUP, {**context, **keys})

    assert set(ask(policy, [asked(action) for action in undo])) == {"Allowed"}
    assert "Allowed" not in ask(policy, [asked(action) for action in begin])


def test_an_instance_that_became_a_member_can_no_longer_be_terminated(policy):
    def terminate(role):
        return ("ec2:TerminateInstances", arn("instance", "i-0a"), {**BASE, "aws:ResourceTag/spotward:stack": STACK, "aws:ResourceTag/spotward:role": role})

    assert ask(policy, [terminate(role) for role in ("replica", "doomed")]) == ["Allowed", "Allowed"]
    assert "Allowed" not in ask(policy, [terminate(role) for role in ("member", "lt", "")])


def test_only_templates_that_we_derived_are_deleted(policy):
    def delete(**tags):
        return ("ec2:DeleteLaunchTemplate", arn("launch-template", "lt-0a"), {**BASE, **on({f"spotward:{key}": tags[key] for key in tags})})

    theirs = [delete(), delete(stack=STACK), delete(role="lt"), delete(stack="blue", role="lt"), delete(stack=STACK, role="replica")]
    assert "Allowed" not in ask(policy, theirs)


def test_roles_are_passed_to_ec2_only_and_only_those_that_were_named(policy):
    named, other = f"arn:aws:iam::{ACCOUNT}:role/web-role", f"arn:aws:iam::{ACCOUNT}:role/admin"
    passing = [
        ("iam:PassRole", named, {**BASE, "iam:PassedToService": "ec2.amazonaws.com"}),
        ("iam:PassRole", named, {**BASE, "iam:PassedToService": "lambda.amazonaws.com"}),
        ("iam:PassRole", other, {**BASE, "iam:PassedToService": "ec2.amazonaws.com"}),
        ("iam:CreateServiceLinkedRole", f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/x", {**BASE, "iam:AWSServiceName": "ecs.amazonaws.com"}),
    ]
    assert [found == "Allowed" for found in ask(policy, passing)] == [True, False, False, False]


def test_the_judge_can_say_no_and_knows_the_keys_of_each_action(policy):
    """Without the enabling condition a stranger's group is allowed: so it is the condition that denies above."""
    open_door = copy.deepcopy(policy)
    for statement in open_door["Statement"]:
        if statement["Sid"] == "SwapInEnabledGroups":
            del statement["Condition"]
    request = ("autoscaling:AttachInstances", GROUP, BASE)
    assert ask(open_door, [request]) == ["Allowed"] and ask(policy, [request]) != ["Allowed"]
    with pytest.raises(AssertionError, match="does not know the keys"):
        ask(policy, [("autoscaling:AttachInstances", GROUP, {**BASE, "ec2:ResourceTag/x": "y"})])


def test_recorded_with_the_deployment_of_this_test():
    """The fixture belongs to this account, region and stack; else every condition above would fail for the wrong reason."""
    text = (HERE / "calls.json").read_text()
    assert f"by={STACK}" in text and ACCOUNT in text and f'"spotward:stack": "{STACK}"' in text
