"""template.yaml against the code and against the rules that every policy of ours keeps."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, kept as {tag: value}."""


def short_tag(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix: value}


Loader.add_multi_constructor("!", short_tag)


@pytest.fixture(scope="session")
def template():
    return yaml.load((ROOT / "template.yaml").read_text(), Loader)


@pytest.fixture(scope="session")
def statements(template):
    [policy] = template["Resources"]["FunctionRole"]["Properties"]["Policies"]
    return policy["PolicyDocument"]["Statement"]


def actions(statement):
    action = statement["Action"]
    return [action] if isinstance(action, str) else action


def is_read(action):
    return re.match(r"(Describe|Get(?!.*Policy))", action.split(":")[1]) is not None


def allowed(statements):
    return {action for s in statements if s["Effect"] == "Allow" for action in actions(s)}


# What AWS checks besides the call itself, and what Lambda's own queue poller and logging need.
DEPENDENT = {
    "ec2:RunInstances",
    "iam:PassRole",
    "iam:CreateServiceLinkedRole",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
}
# Rust module of the client in crates/aws -> IAM prefix.
SERVICE_OF = {
    "autoscaling": "autoscaling",
    "ec2": "ec2",
    "load_balancing": "elasticloadbalancing",
    "load_balancing_v2": "elasticloadbalancing",
    "pricing": "pricing",
    "sqs": "sqs",
}


def calls_in_code():
    """(service, Action) of each SDK operation that crates/aws names: `self.ec2.create_fleet()`."""
    # A client field, then the operation with no arguments, possibly on the next line.
    pattern = re.compile(r"\b(autoscaling|ec2|load_balancing_v2|load_balancing|pricing|sqs)\s*\.\s*([a-z_]+)\(\)")
    found = set()
    for path in (ROOT / "crates/aws/src").glob("*.rs"):
        for client, operation in pattern.findall(path.read_text()):
            if operation in ("build", "clone", "config"):
                continue
            camel = "".join(part.capitalize() for part in operation.split("_"))
            found.add(f"{SERVICE_OF[client]}:{camel}")
    return found


def test_the_role_allows_what_the_code_calls_and_nothing_else(statements):
    called = calls_in_code()
    assert len(called) > 15, f"the pattern no longer finds the calls: {sorted(called)}"
    assert called - allowed(statements) == set(), "the code calls what the role does not allow"
    assert allowed(statements) - called - DEPENDENT == set(), "the role allows what no code calls"


def test_no_wildcards_in_actions(statements):
    assert [a for a in allowed(statements) if "*" in a] == []


def test_changes_name_resources(statements):
    for statement in statements:
        if statement["Effect"] == "Allow" and not all(is_read(a) for a in actions(statement)):
            assert statement["Resource"] != "*", statement["Sid"]


def test_changes_of_groups_and_instances_have_conditions(statements):
    for statement in statements:
        changes = [
            a for a in actions(statement) if a.startswith(("autoscaling:", "ec2:", "iam:")) and not is_read(a)
        ]
        if statement["Effect"] == "Allow" and changes and statement["Sid"] != "LaunchFrom":
            assert "Condition" in statement, statement["Sid"]


def test_launched_instances_have_to_be_tagged(statements):
    [inputs] = [s for s in statements if s["Sid"] == "LaunchFrom"]
    assert not any("instance/*" in str(r) or "fleet/*" in str(r) for r in inputs["Resource"])
    [outputs] = [s for s in statements if s["Sid"] == "LaunchTagged"]
    assert "aws:RequestTag/spotward:stack" in outputs["Condition"]["StringEquals"]


def test_never_what_could_do_harm(statements):
    for action in ("ec2:DeleteFleets", "ec2:ModifyFleet", "autoscaling:DeleteAutoScalingGroup", "ec2:StopInstances"):
        assert action not in allowed(statements)


def test_a_swap_can_be_finished_after_the_owner_disabled_the_group(statements):
    [finish] = [s for s in statements if s["Sid"] == "FinishAfterDisable"]
    assert finish["Condition"] == {"StringLike": {"autoscaling:ResourceTag/spotward:swap": "v1;*"}}
    assert "autoscaling:AttachInstances" not in actions(finish)


def test_only_instance_roles_are_passed_to_ec2_only(statements):
    [passing] = [s for s in statements if "iam:PassRole" in actions(s)]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


def test_the_queue_outlives_the_function_six_times(template):
    resources = template["Resources"]
    timeout = resources["Function"]["Properties"]["Timeout"]
    queue = resources["Queue"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * timeout
    assert queue["FifoQueue"] and queue["DeduplicationScope"] == "messageGroup"
    source = resources["Function"]["Properties"]["Events"]["Groups"]["Properties"]
    assert source["BatchSize"] == 1
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_every_parameter_is_described_and_grouped(template):
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in interface for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])
    assert all(parameter.get("Description") for parameter in template["Parameters"].values())


def test_the_manual_names_the_functions_variables(template):
    variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    manual = (ROOT / "docs/configuration.md").read_text()
    read = (ROOT / "crates/lambda/src/main.rs").read_text()
    for name in variables:
        assert f"`{name}`" in manual, f"docs/configuration.md does not mention {name}"
        assert name in read, f"the function does not read {name}"
