"""A spot instance is taken back: the real function on the stage, from the event to the group's rest."""

import concurrent.futures
import datetime
import json
import pathlib
import time

import pytest

import product
import witness
from cloud import new_cloud

EVENTS = pathlib.Path(__file__).parents[1] / "events"


def event(name, instance_id):
    """A collected event, about another instance."""
    return json.loads((EVENTS / f"{name}.json").read_text().replace("i-0123456789abcdef0", instance_id))


@pytest.fixture(scope="module")
def scene(stage, ministack_for_stage):
    """A group of three spot members that the function has brought, and the function, warm. Every test leaves three behind."""
    cloud = new_cloud(stage.url).network()
    cloud.group("web", size=3, zones=1, tags={"spotward:pool-loss": ("100%", False)})
    function = product.deploy(ministack_for_stage.url, cloud.account)
    function.tick()
    wait(cloud, lambda: witness.spot_count(cloud, "web") == 3 and not tags(cloud))
    # Whoever ticks has the prices at hand.
    function.tick()
    return cloud, function


@pytest.fixture
def cloud(scene):
    # Here a member lives for a second, on EC2 for minutes. A journal counts whole seconds and allows for two of skew: the end
    # of a member that was replaced so shortly before, and whose replacement is gone as well, would be taken for somebody's.
    time.sleep(3.5)
    yield scene[0]
    scene[0].control.clear_rules()
    scene[0].control.release()


@pytest.fixture
def converted(scene):
    return scene[1]


def tags(cloud):
    return [tag["Key"] for tag in cloud.describe("web")["Tags"] if tag["Key"] in ("spotward:swap", "spotward:backoff")]


def wait(cloud, is_so, seconds=150):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, (cloud.describe("web"), [call["action"] for call in witness.changes(cloud)])
        time.sleep(0.2)


def victim(cloud):
    return min(instance["InstanceId"] for instance in cloud.group_instances("web"))


def is_replaced(cloud, dying):
    members = {instance["InstanceId"] for instance in cloud.group_instances("web")}
    journals = "spotward:swap" in tags(cloud)
    return dying not in members and len(members) == 3 and not journals


def assert_at_rest(cloud):
    group = cloud.describe("web")
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 3, 5)
    assert group["SuspendedProcesses"] == []
    assert all(member["LifecycleState"] == "InService" for member in group["Instances"])


def seconds(call):
    return datetime.datetime.fromisoformat(call["at"].replace("Z", "+00:00")).timestamp()


def test_a_recommendation_is_followed_to_a_better_pool(cloud, converted):
    at_risk = victim(cloud)
    mark = cloud.control.mark()
    # A recommendation is told once, and the first sixth of a launch window is closed: what comes then brings no launch.
    product.wait_for_window()
    converted.invoke(event("rebalance", at_risk))
    wait(cloud, lambda: is_replaced(cloud, at_risk))
    actions = [call["action"] for call in witness.changes(cloud, mark)]
    assert actions.index("AttachInstances") < actions.index("TerminateInstanceInAutoScalingGroup")
    assert witness.spot_count(cloud, "web") == 3
    assert_at_rest(cloud)


def test_the_replacement_is_asked_for_first_and_the_swap_follows(cloud, converted):
    dying = victim(cloud)
    cloud.control.interrupt(dying, in_seconds=120)
    mark, began = cloud.control.mark(), time.time()
    converted.invoke(event("interruption-terminate", dying))
    calls = cloud.control.calls(since=mark, agent=product.AGENT)
    names = [call["action"] for call in calls]
    before = names.index("CreateFleet")
    print(f"{before} calls before CreateFleet, {seconds(calls[before]) - began:.3f} s after the event: {', '.join(names[: before + 1])}")
    assert before <= 6, names
    wait(cloud, lambda: is_replaced(cloud, dying))
    print(f"replaced after {time.time() - began:.1f} s")
    assert time.time() - began < 90, "with half a minute to spare"
    assert witness.spot_count(cloud, "web") == 3
    actions = [call["action"] for call in witness.changes(cloud, mark)]
    assert actions.index("CreateFleet") < actions.index("AttachInstances") < actions.index("TerminateInstanceInAutoScalingGroup")
    assert actions.count("CreateFleet") == 1
    assert_at_rest(cloud)


def test_a_notice_that_comes_before_ec2_says_so_does_not_swallow_the_true_one(cloud, converted):
    dying = victim(cloud)
    converted.invoke(event("watcher-interruption", dying))
    cloud.control.interrupt(dying, in_seconds=120)
    began = time.time()
    converted.invoke(event("interruption-terminate", dying))
    wait(cloud, lambda: is_replaced(cloud, dying))
    assert time.time() - began < 90
    assert_at_rest(cloud)


def test_heard_twice_at_once_it_is_launched_once(cloud, converted):
    dying = victim(cloud)
    cloud.control.interrupt(dying, in_seconds=120)
    mark = cloud.control.mark()
    both = [event("interruption-terminate", dying), event("watcher-interruption", dying)] * 2
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(converted.invoke, both))
    wait(cloud, lambda: is_replaced(cloud, dying))
    born = {i for call in cloud.instances(**{"tag:spotward:victim": dying}) for i in [call["InstanceId"]]}
    assert len(born) == 1, born
    attached = [call for call in witness.changes(cloud, mark) if call["action"] == "AttachInstances"]
    assert len(attached) == 1
    assert_at_rest(cloud)


UNCONFIRMED = [
    ("watcher-interruption", "healthy"),
    ("interruption-terminate", "healthy"),
    ("watcher-interruption", "unknown"),
    ("watcher-rebalance", "not enabled"),
    ("watcher-ready", "healthy"),
    ("watcher-drained", "healthy"),
    ("state-stopping", "not enabled"),
    ("hostile-watcher-text", "healthy"),
    ("unknown-service", "healthy"),
]


def test_what_aws_does_not_confirm_touches_nothing(cloud, converted):
    cloud.group("foreign", size=1, zones=1, enabled=False)
    whom = {
        "healthy": victim(cloud),
        "unknown": "i-0fedcba9876543210",
        "not enabled": cloud.group_instances("foreign")[0]["InstanceId"],
    }
    mark = cloud.control.mark()
    for name, about in UNCONFIRMED:
        converted.invoke(event(name, whom[about]))
    time.sleep(2.0)
    assert [call["action"] for call in witness.changes(cloud, mark)] == []


FAULTS = {
    "throttled": "throttle",
    "unavailable": "unavailable",
    "reply lost": "lose_reply",
    "connection lost": "drop",
    "stalled": {"stall": {"seconds": 3.0}},
}
ROAD = ["CreateFleet", "CreateTags", "CreateOrUpdateTags", "AttachInstances", "TerminateInstanceInAutoScalingGroup", "DeleteTags"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_call_of_the_road_changes_nothing_of_the_end(cloud, converted, fault):
    dying = victim(cloud)
    cloud.control.interrupt(dying, in_seconds=120)
    for action in ROAD:
        cloud.control.rule(FAULTS[fault], action=action, agent=product.AGENT)
    converted.invoke(event("interruption-terminate", dying))
    wait(cloud, lambda: is_replaced(cloud, dying))
    assert all(rule["seen"] for rule in cloud.control.rules()), "every fault was met"
    born = cloud.instances(**{"tag:spotward:victim": dying})
    assert len(born) == 1, [instance["InstanceId"] for instance in born]
    assert_at_rest(cloud)


def test_without_spot_capacity_it_is_on_demand_in_the_same_breath(cloud, converted):
    dying = victim(cloud)
    cloud.control.interrupt(dying, in_seconds=120)
    cloud.control.rule({"error": {"status": 400, "code": "InsufficientInstanceCapacity", "message": "no capacity"}}, action="CreateFleet")
    mark = cloud.control.mark()
    converted.invoke(event("interruption-terminate", dying))
    actions = [call["action"] for call in witness.changes(cloud, mark)]
    assert actions.count("CreateFleet") == 2, actions
    wait(cloud, lambda: is_replaced(cloud, dying))
    assert witness.spot_count(cloud, "web") == 2
    assert_at_rest(cloud)
