"""The product's real binaries on the stage: groups are converted, and nothing else changes."""

import collections
import json
import time

import pytest

import product
import witness
from cloud import tags_of
from product import settle, spotward


def careful_region(cloud):
    """Four groups as owners have them; returns their names."""
    profile, key = cloud.instance_profile(), cloud.key_pair()
    template = cloud.template(IamInstanceProfile={"Arn": profile}, KeyName=key)
    configuration = cloud.launch_configuration(IamInstanceProfile=profile, KeyName=key, instance_type="r5.large")
    cloud.group("roomy", size=4, template=template, tags={"spotward:min-on-demand": ("1", False)})
    cloud.group("full", size=2, template=cloud.template(instance_type="c5.xlarge"), MinSize=2, MaxSize=2)
    cloud.group("legacy", size=2, configuration=configuration)
    cloud.group("untagged", size=2, template=template, enabled=False)
    return ["roomy", "full", "legacy", "untagged"]


class Before:
    """A picture of the groups, to compare with afterwards."""

    def __init__(self, cloud, groups):
        self.groups = {name: witness.group_facts(cloud, name) for name in groups}
        self.instances = {name: cloud.group_instances(name) for name in groups}
        self.facts = {
            name: {instance["InstanceId"]: witness.instance_facts(cloud, instance) for instance in instances}
            for name, instances in self.instances.items()
        }
        self.mark = cloud.control.mark()


def assert_converted(cloud, before):
    """Everything that must hold after the four groups have settled."""
    floors = {"roomy": 1, "full": 0, "legacy": 0, "untagged": 2}
    for name, floor in floors.items():
        instances = cloud.group_instances(name)
        assert sum(not witness.is_spot(instance) for instance in instances) == floor, name
        assert witness.group_facts(cloud, name) == before.groups[name]
        left = dict(before.facts[name])
        for instance in instances:
            facts = witness.instance_facts(cloud, instance)
            if not witness.is_spot(instance):
                assert left.pop(instance["InstanceId"]) == facts
                continue
            victim = tags_of(instance)["spotward:victim"]
            assert facts == left.pop(victim), f"{instance['InstanceId']} is not what {victim} was"
        assert left == {}, "every member that went has one replica"
    witness.assert_nothing_left_behind(cloud, *floors, templates=1)
    witness.assert_untouched(cloud, "untagged", before.instances["untagged"], before.mark)
    assert len(witness.spot_launched(cloud)) == 3 + 2 + 2, "one replica per victim, no more"


def test_the_cli_converts_a_region(cloud):
    before = Before(cloud, careful_region(cloud))
    settle(cloud, retry_window="30s")
    assert_converted(cloud, before)


def test_the_function_converts_a_region(stage, ministack_for_stage, cloud):
    before = Before(cloud, careful_region(cloud))
    function = product.deploy(ministack_for_stage.url, cloud.account, retry_window="30s")
    try:
        function.tick()
        wait_for_settled(cloud, function, {"roomy": 3, "full": 2, "legacy": 2})
        assert_converted(cloud, before)
    except AssertionError as problem:
        raise AssertionError("\n".join([str(problem), *function.log()[-30:]])) from problem


def wait_for_settled(cloud, function, wanted, seconds=120):
    """Until the queue has driven every group to as many spot members; ticks again as the schedule would, only faster."""
    deadline = time.monotonic() + seconds
    next_tick = time.monotonic() + 20
    while time.monotonic() < deadline:
        counts = {name: witness.spot_count(cloud, name) for name in wanted}
        journals = [tag["Key"] for name in wanted for tag in cloud.describe(name)["Tags"] if tag["Key"] == "spotward:swap"]
        if counts == wanted and not journals:
            return
        if time.monotonic() > next_tick:
            function.tick()
            next_tick = time.monotonic() + 20
        time.sleep(0.5)
    raise AssertionError(f"not settled after {seconds} s: {counts} of {wanted}, journals {journals}")


def test_the_same_event_twice_changes_nothing_the_second_time(ministack_for_stage, cloud):
    cloud.group("web", size=1)
    function = product.deploy(ministack_for_stage.url, cloud.account, retry_window="30s")
    outputs = function.outputs()
    queue = function.client("sqs")
    body = json.dumps({"v": 1, "group": "web"})
    for number in range(2):
        # Two messages about one group, as two ticks would write them: the second may start only when the first is done.
        queue.send_message(
            QueueUrl=outputs["QueueUrl"].replace("localhost", "127.0.0.1"),
            MessageBody=body,
            MessageGroupId="web",
            MessageDeduplicationId=f"event-{number}",
        )
    wait_for_settled(cloud, function, {"web": 1})
    mark = cloud.control.mark()
    function.tick()
    function.tick()
    assert witness.changes(cloud, mark) == []
    assert len(witness.spot_launched(cloud)) == 1
    witness.assert_nothing_left_behind(cloud, "web")


def test_stopped_as_the_manual_says_nothing_runs_and_then_it_goes_on(ministack_for_stage, cloud):
    """docs/operations.md, "Stop everything": no way in is left, and nothing is forgotten."""
    cloud.group("web", size=1, zones=1)
    function = product.deploy(ministack_for_stage.url, cloud.account)
    name = function.outputs()["FunctionName"]
    function.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    queue_url = function.outputs()["QueueUrl"].replace("localhost", "127.0.0.1")
    body = json.dumps({"v": 1, "group": "web"})
    function.client("sqs").send_message(QueueUrl=queue_url, MessageBody=body, MessageGroupId="a", MessageDeduplicationId="a")
    with pytest.raises(function.client("lambda").exceptions.TooManyRequestsException):
        function.tick()
    time.sleep(1)
    assert cloud.control.calls(agent=product.AGENT) == []
    assert function.client("lambda").get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 0
    function.client("lambda").delete_function_concurrency(FunctionName=name)
    function.tick()
    wait_for_settled(cloud, function, {"web": 1})


def test_a_second_run_of_the_cli_finds_nothing_to_do(cloud):
    cloud.group("web", size=2)
    settle(cloud, retry_window="30s")
    mark = cloud.control.mark()
    settle(cloud, retry_window="30s")
    spotward(cloud, "plan")
    assert witness.changes(cloud, mark) == []


def test_plan_says_what_it_would_do_and_changes_nothing(cloud):
    cloud.group("web", size=1)
    mark = cloud.control.mark()
    for _ in range(15):
        out = spotward(cloud, "plan", "--json", expect=2)
        (group,) = json.loads(out)["groups"]
        # The first seconds of a launch window are closed.
        if not group["wait"]:
            break
        assert group["wait"]["code"] == "launch-window"
        time.sleep(1)
    assert group["group"] == "web" and group["action"]["name"] == "launch"
    assert witness.changes(cloud, mark) == []


@pytest.mark.parametrize(
    ("key", "value"), [("spotward:min-on-demand", "50%%"), ("spotward:min-on-demand", "-1"), ("spotward:min-ondemand", "1")]
)
def test_a_wrong_setting_stops_that_group_only_and_is_named(cloud, key, value):
    cloud.group("wrong", size=1, tags={key: (value, False)})
    cloud.group("right", size=1)
    instances = cloud.group_instances("wrong")
    mark = cloud.control.mark()
    settle(cloud, "right", retry_window="30s")
    assert witness.spot_count(cloud, "right") == 1
    said = spotward(cloud, "plan", "wrong", "--json", expect=None)
    assert key in said and json.dumps(value)[1:-1] in said
    spotward(cloud, "run", "--once", expect=None)
    witness.assert_untouched(cloud, "wrong", instances, mark)


# ---- when things go wrong ----------------------------------------------------------------------------------------------------


def test_a_full_group_is_restored_even_when_its_owner_scales_it_meanwhile(cloud):
    """Somebody else changes desired while our replica is attached: both stay, nothing is terminated by us, MaxSize comes back."""
    cloud.group("web", size=2, MinSize=1, MaxSize=2)
    cloud.control.rule("hold", action="TerminateInstanceInAutoScalingGroup", agent=product.AGENT)
    with product.running(cloud, "web", retry_window="30s"):
        assert cloud.control.wait_held(60), "the swap came to the decrement"
        cloud.asg.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=2)
    cloud.control.clear_rules()
    before = set(cloud.members("web"))
    assert cloud.describe("web")["DesiredCapacity"] == 2 and len(before) == 2
    settle(cloud, retry_window="30s")
    group = cloud.describe("web")
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (1, 2, 2)
    assert witness.spot_count(cloud, "web") == 2
    witness.assert_nothing_left_behind(cloud, "web")


def test_the_cheapest_pool_without_capacity_is_passed_over(cloud):
    cloud.group("web", size=1, zones=1)
    zone = cloud.zones[0]
    cloud.control.pool("m6i.large", zone, capacity=0, usd=0.001)
    cloud.control.pool("m7i.large", zone, usd=0.002)
    settle(cloud, retry_window="30s")
    (replica,) = cloud.group_instances("web")
    assert witness.is_spot(replica) and replica["InstanceType"] == "m7i.large"


def test_throttling_and_lost_replies_do_no_harm(cloud):
    cloud.group("web", size=2, MinSize=2, MaxSize=2)
    before = witness.group_facts(cloud, "web")
    control, agent = cloud.control, product.AGENT
    control.rule("throttle", service="autoscaling", agent=agent, skip=3, times=2)
    control.rule("throttle", service="ec2", agent=agent, skip=10, times=2)
    control.rule("unavailable", agent=agent, skip=30, times=2)
    for action in ("CreateFleet", "AttachInstances", "TerminateInstanceInAutoScalingGroup", "UpdateAutoScalingGroup"):
        control.rule("lose_reply", action=action, agent=agent, times=1)
    settle(cloud, retry_window="30s")
    assert witness.spot_count(cloud, "web") == 2
    assert len(witness.spot_launched(cloud)) == 2
    assert witness.group_facts(cloud, "web") == before
    witness.assert_nothing_left_behind(cloud, "web")


def test_a_replica_that_is_taken_back_before_it_is_attached_is_replaced(cloud):
    cloud.group("web", size=1)
    cloud.control.rule("hold", action="AttachInstances", agent=product.AGENT)
    with product.running(cloud, "web", retry_window="30s"):
        assert cloud.control.wait_held(60)
        (replica,) = witness.spot_launched(cloud)
        cloud.control.interrupt(replica)
    cloud.control.clear_rules()
    settle(cloud, retry_window="30s")
    assert witness.spot_count(cloud, "web") == 1
    witness.assert_nothing_left_behind(cloud, "web")


def test_taking_the_tag_away_in_the_middle_of_a_swap_undoes_it(cloud):
    cloud.group("web", size=1, MinSize=1, MaxSize=1)
    before = witness.group_facts(cloud, "web")
    (member,) = cloud.members("web")
    cloud.control.rule("hold", action="TerminateInstanceInAutoScalingGroup", agent=product.AGENT)
    with product.running(cloud, "web", retry_window="30s"):
        assert cloud.control.wait_held(60)
    cloud.control.clear_rules()
    tag = {"Key": "spot-enabled", "ResourceId": "web", "ResourceType": "auto-scaling-group"}
    cloud.asg.delete_tags(Tags=[tag])
    settle(cloud, retry_window="30s")
    after = witness.group_facts(cloud, "web")
    assert after["sizes"] == before["sizes"] and after["suspended"] == before["suspended"]
    assert cloud.members("web") == [member] or witness.spot_count(cloud, "web") == 1
    witness.assert_nothing_left_behind(cloud, "web")


def test_a_replica_that_never_becomes_healthy_leaves_and_the_victim_stays(cloud):
    arn = cloud.elbv2.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=cloud.vpc, TargetType="instance")
    arn = arn["TargetGroups"][0]["TargetGroupArn"]
    cloud.group("web", size=1, TargetGroupARNs=[arn])
    (victim,) = cloud.members("web")
    cloud.control.rule("hold_reply", action="AttachInstances", agent=product.AGENT)
    with product.running(cloud, "web", retry_window="30s"):
        assert cloud.control.wait_held(60)
        (replica,) = witness.spot_launched(cloud)
        cloud.control.target(replica, "unhealthy")
        cloud.control.release()
        mark = cloud.control.mark()
        wait_for_looks(cloud, mark, "DescribeTargetHealth", 5)
        assert victim in cloud.members("web"), "the victim stays as long as its replica does not serve"
        cloud.control.target(replica, None)
        wait_for_spot(cloud, "web", 1)
    settle(cloud, retry_window="30s")
    assert cloud.members("web") == [replica]


def wait_for_looks(cloud, mark, action, count, seconds=30):
    deadline = time.monotonic() + seconds
    while sum(call["action"] == action for call in cloud.control.calls(since=mark, agent=product.AGENT)) < count:
        assert time.monotonic() < deadline, f"{action} was not called {count} times"
        time.sleep(0.2)


def wait_for_spot(cloud, name, count, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        instances = cloud.group_instances(name)
        if len(instances) == count and all(map(witness.is_spot, instances)):
            return
        assert time.monotonic() < deadline, f"{name} has {collections.Counter(map(witness.is_spot, instances))}"
        time.sleep(0.2)
