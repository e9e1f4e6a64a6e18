"""template.yaml against the code and against the rules that every policy of ours keeps."""

import fnmatch
import json
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
        if path.name == "probe.rs":
            continue  # What only `spotward doctor` asks, with the credentials of whoever runs it.
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


def test_the_policy_for_looking_is_the_reading_part_of_the_role(statements):
    told = json.loads(re.search(r"```json\n(.*?)```", (ROOT / "docs/security.md").read_text(), re.S)[1])
    [look] = [statement for statement in told["Statement"] if statement["Sid"] == "Look"]
    reads = {action for action in allowed(statements) if is_read(action) and not action.startswith(("sqs:", "logs:"))}
    # `--region all` asks which there are.
    assert set(look["Action"]) == reads | {"ec2:DescribeRegions"}
    assert all(is_read(action) for statement in told["Statement"] for action in actions(statement) if action != "logs:FilterLogEvents")


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


def resources_of(template, kind):
    return {name: found["Properties"] for name, found in template["Resources"].items() if found["Type"] == kind}


def events(template, kind):
    found = template["Resources"]["Function"]["Properties"]["Events"]
    return {name: event["Properties"] for name, event in found.items() if event["Type"] == kind}


def test_nothing_that_wakes_the_function_is_lost_without_a_trace(template):
    """Each way has a limit of tries and a queue for what did not arrive."""
    dead_letters = {"GetAtt": "EventDeadLetters.Arn"}
    for name, event in {**events(template, "EventBridgeRule"), **events(template, "ScheduleV2")}.items():
        assert event["DeadLetterConfig"] == {"Arn": dead_letters}, name
        assert event["RetryPolicy"]["MaximumRetryAttempts"] <= 3, name
        assert 60 <= event["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 300, name
    [topic] = events(template, "SNS").values()
    assert topic["RedrivePolicy"] == {"deadLetterTargetArn": dead_letters}
    # The emulated AWS of the end-to-end tests leaves these two out, so their text is what there is to check.
    asynchronous = template["Resources"]["Function"]["Properties"]["EventInvokeConfig"]
    assert asynchronous["DestinationConfig"] == {"OnFailure": {"Type": "SQS", "Destination": dead_letters}}
    assert asynchronous["MaximumEventAgeInSeconds"] == 120 and asynchronous["MaximumRetryAttempts"] == 2
    reserved = template["Resources"]["Function"]["Properties"]["ReservedConcurrentExecutions"]
    assert reserved == {"If": ["HasReservation", {"Ref": "ReservedConcurrency"}, {"Ref": "AWS::NoValue"}]}
    assert template["Parameters"]["ReservedConcurrency"]["Default"] == -1


def test_the_dead_letters_take_from_this_stack_only(template):
    policy = template["Resources"]["EventDeadLettersPolicy"]["Properties"]["PolicyDocument"]
    for statement in policy["Statement"]:
        assert list(statement["Condition"]) in (["ArnLike"], ["ArnEquals"])
        assert "aws:SourceArn" in next(iter(statement["Condition"].values()))
    # SAM names the rules after the stack, which is what the condition says.
    [rules] = [s for s in policy["Statement"] if s["Principal"] == {"Service": "events.amazonaws.com"}]
    assert rules["Condition"]["ArnLike"]["aws:SourceArn"]["Sub"].endswith(":rule/${AWS::StackName}-*")


def test_only_this_account_publishes_to_the_topic(template):
    [policy] = resources_of(template, "AWS::SNS::TopicPolicy").values()
    statements = {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"]}
    ours = {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}
    allowing = [s for s in statements.values() if s["Effect"] == "Allow"]
    assert [s["Principal"] for s in allowing] == [{"AWS": {"Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}]
    assert allowing[0]["Condition"] == {"StringEquals": ours} and allowing[0]["Action"] == "sns:Publish"
    denying = statements["NobodyElsePublishes"]
    assert (denying["Effect"], denying["Principal"], denying["Condition"]) == ("Deny", "*", {"StringNotEquals": ours})


def matches(pattern, event):
    """EventBridge's rule for the plain patterns that we use: every key is there with one of the values."""
    return all(
        matches(wanted, event.get(key)) if isinstance(wanted, dict) else isinstance(event, dict) and event.get(key) in wanted
        for key, wanted in pattern.items()
    )


ROUTED = {
    "Interruption": "interruption-*",
    "Rebalance": "rebalance",
    "InstanceLeaves": "state-st*ing",
    "GroupScaled": "*-*successful",
}


def test_every_documented_event_is_routed_by_its_rule_and_no_other():
    """tests/events holds one document for each kind; those that no rule asks for are named here."""
    template = yaml.load((ROOT / "template.yaml").read_text(), Loader)
    rules = events(template, "EventBridgeRule")
    assert sorted(rules) == sorted(ROUTED)
    unrouted = []
    for path in sorted((ROOT / "tests/events").glob("*.json")):
        event = json.loads(path.read_text())
        if not isinstance(event, dict) or "detail-type" not in event or path.stem.startswith("hostile-"):
            continue
        found = [name for name, rule in rules.items() if matches(rule["Pattern"], event)]
        expected = [name for name, stem in ROUTED.items() if fnmatch.fnmatch(path.stem, stem)]
        if path.stem == "state-shutting-down":
            expected = ["InstanceLeaves"]
        assert found == expected, path.name
        if not found:
            unrouted.append(path.stem)
    never = ["state-pending", "state-running", "state-stopped", "state-terminated", "tick-rule", "unknown-lifecycle-action", "unknown-service"]
    assert unrouted == never


def test_what_looks_like_aws_but_is_not_reaches_no_rule(template):
    event = json.loads((ROOT / "tests/events/hostile-source.json").read_text())
    assert not any(matches(rule["Pattern"], event) for rule in events(template, "EventBridgeRule").values())


def metrics_in_code():
    """The names of the metrics that lines of ours declare: `metrics(millis, &["A", "B"], …)` and single ones."""
    code = (ROOT / "crates/engine/src/view.rs").read_text()
    lists = re.findall(r"metrics\(\s*millis,\s*&\[([^\]]*)\]", code)
    names = {name for found in lists for name in re.findall(r'"(\w+)"', found)}
    return names | set(re.findall(r'"Name": "(\w+)"', code))


def dashboard(template):
    [properties] = resources_of(template, "AWS::CloudWatch::Dashboard").values()
    return json.loads(re.sub(r"\$\{[^}]*\}", "x", properties["DashboardBody"]["Sub"]))["widgets"]


def test_alarms_and_dashboard_show_only_metrics_that_are_emitted(template):
    emitted = metrics_in_code()
    assert {"Swapped", "Denied", "OldestSwap"} <= emitted, "the pattern no longer finds the metrics"
    alarms = resources_of(template, "AWS::CloudWatch::Alarm")
    used = {alarm["MetricName"] for alarm in alarms.values() if alarm["Namespace"] == "spotward"}
    for widget in dashboard(template):
        for metric in widget["properties"].get("metrics", []):
            if metric[0] == "spotward":
                used.add(metric[1])
    assert used <= emitted, "nobody emits these"
    assert emitted <= used, "nobody looks at these"
    # What CloudWatch gives for nothing.
    assert len(alarms) <= 10 and len(emitted) <= 10


def test_the_dashboards_queries_ask_for_fields_of_our_lines(template):
    ledger = (ROOT / "crates/ledger/src/record.rs").read_text()
    assert "pub saves: Option<f64>" in ledger and '"spotward": "ledger"' in ledger and "Swap(Swapped)" in ledger
    code = (ROOT / "crates/engine/src/view.rs").read_text()
    queries = [w["properties"]["query"] for w in dashboard(template) if w["type"] == "log"]
    assert queries
    for query in queries:
        assert query.startswith("SOURCE 'x' |")
        for field in ("kind", "group", "outcome", "blockers", "refusal", "error", "action"):
            if re.search(rf"\b{field}\b", query):
                assert f'"{field}"' in code, field


def test_widgets_do_not_overlap(template):
    taken = set()
    for widget in dashboard(template):
        cells = {(x, y) for x in range(widget["x"], widget["x"] + widget["width"]) for y in range(widget["y"], widget["y"] + widget["height"])}
        assert not taken & cells and widget["x"] + widget["width"] <= 24, widget["properties"]["title"]
        taken |= cells


def test_the_watchers_user_data_is_that_of_its_package(template):
    """The output is packaging/user-data.sh with everything filled in."""
    filled = {
        "@TOPIC@": "${WatcherTopic}",
        "@BUCKET@": "${WatcherBucket}",
        "@REGION@": "${AWS::Region}",
        "@SUFFIX@": "${AWS::URLSuffix}",
        "@VERSION@": "${WatcherVersion}",
        "@SHA256_X86_64@": "${WatcherSumX86}",
        "@SHA256_AARCH64@": "${WatcherSumArm}",
    }
    script = (ROOT / "crates/watcher/packaging/user-data.sh").read_text()
    assert "${" not in script, "Fn::Sub would take it for one of ours"
    for placeholder, value in filled.items():
        assert placeholder in script
        script = script.replace(placeholder, value)
    assert template["Outputs"]["WatcherUserData"]["Value"]["Sub"] == script
    policy = json.loads(template["Outputs"]["WatcherPolicy"]["Value"]["Sub"])
    assert policy == json.loads((ROOT / "crates/watcher/packaging/iam-policy.json").read_text().replace("@TOPIC@", "${WatcherTopic}"))


def test_every_role_takes_the_boundary(template):
    boundary = {"If": ["HasBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]}
    roles = resources_of(template, "AWS::IAM::Role")
    assert len(roles) == 2 and all(role["PermissionsBoundary"] == boundary for role in roles.values())


def test_texts_have_constraints_and_say_them(template):
    for name, parameter in template["Parameters"].items():
        if "AllowedPattern" in parameter:
            assert parameter.get("ConstraintDescription"), name
            assert re.match(parameter["AllowedPattern"], str(parameter["Default"])), name


def test_the_queue_outlives_the_function_six_times(template):
    resources = template["Resources"]
    timeout = resources["Function"]["Properties"]["Timeout"]
    queue = resources["Queue"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * timeout
    assert queue["FifoQueue"] and queue["DeduplicationScope"] == "messageGroup"
    source = resources["Function"]["Properties"]["Events"]["Groups"]["Properties"]
    assert source["BatchSize"] == 1
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_message_that_cannot_succeed_lives_until_it_is_given_up(template):
    """SQS deletes what is older than the retention period wherever it is in its tries, and nobody is told. Half an hour more than
    the tries take, for the first of them may have to wait; longer waits have an alarm of their own."""
    resources = template["Resources"]
    queue = resources["Queue"]["Properties"]
    receives = queue["RedrivePolicy"]["maxReceiveCount"]
    # AWS asks for five at least: a throttled invocation counts as a try, too.
    assert receives >= 5
    waits = resources["OldestMessageAlarm"]["Properties"]["Threshold"]
    assert queue["MessageRetentionPeriod"] >= receives * queue["VisibilityTimeout"] + waits
    assert resources["QueueDeadLetters"]["Properties"]["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]
    # Two pollers at least, or AWS refuses the mapping; the reservation is the owner's choice.
    concurrency = template["Parameters"]["MaximumConcurrency"]
    assert (concurrency["Default"], concurrency["MinValue"]) == (10, 2)
    source = resources["Function"]["Properties"]["Events"]["Groups"]["Properties"]
    assert source["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "MaximumConcurrency"}}


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
