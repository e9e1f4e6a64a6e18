"""The real function under the role of template.yaml: what the role allows is enough, and what it does not allow is told."""

import json
import pathlib

import pytest

import product
import witness
from gate import Gate, allowed_actions
from runtime import Poller, Sandbox

EVENTS = pathlib.Path(__file__).parents[1] / "events"


def work(poller, function):
    """A tick, and everything that it queues."""
    function.tick()
    poller.run(function)


def test_a_conversion_and_an_interruption_need_no_more_than_the_role_allows(cloud, tmp_path):
    # The longest road: a template is derived, MaxSize gives way, AZRebalance is suspended.
    cloud.group("web", size=1, configuration=cloud.launch_configuration(), MinSize=1, MaxSize=1)
    poller = Poller(cloud)
    with Gate(cloud, allowed_actions()) as gate, Sandbox(cloud, tmp_path, poller.url, **gate.environment()) as function:
        work(poller, function)
        [member] = cloud.members("web")
        assert witness.spot_count(cloud, "web") == 1, function.tail()
        work(poller, function)
        cloud.control.interrupt(member, in_seconds=120)
        function.invoke(json.loads((EVENTS / "interruption-terminate.json").read_text().replace("i-0123456789abcdef0", member)))
        poller.run(function)
    assert cloud.members("web") != [member] and witness.spot_count(cloud, "web") == 1
    assert gate.refused == []
    called = [f"{call['service']}:{call['action']}" for call in cloud.control.calls(agent=product.AGENT)]
    assert sorted(called) == sorted(gate.passed), "no call went another way"
    assert {"autoscaling:ResumeProcesses", "autoscaling:UpdateAutoScalingGroup", "ec2:CreateLaunchTemplate"} < set(called)


@pytest.mark.parametrize("action", ["ec2:CreateFleet", "autoscaling:AttachInstances", "ec2:DescribeImages"])
def test_what_the_role_does_not_allow_is_told_with_its_name(cloud, tmp_path, action):
    """As docs/operations.md says under `denied`: counted for the alarm, with the call's name in the pass line."""
    cloud.group("web", size=1, zones=1)
    [member] = cloud.members("web")
    poller = Poller(cloud)
    with Gate(cloud, allowed_actions() - {action}) as gate, Sandbox(cloud, tmp_path, poller.url, **gate.environment()) as function:
        work(poller, function)
        [line] = [line for line in function.lines() if line.get("kind") == "pass" and line["outcome"] == "failed"]
    assert line["Denied"] == 1 and line["error"]["kind"] == "denied" and action in line["error"]["text"], line
    assert gate.refused == [action], "it is not tried again and again"
    assert cloud.members("web") == [member]
