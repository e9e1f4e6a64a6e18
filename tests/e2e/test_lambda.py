"""How Lambda ends a function, and what its queue makes of it: killed in the middle of a swap, out of time, twice at a time, in vain."""

import time

import pytest

import product
import runtime
import witness
from cloud import tags_of
from runtime import Poller, Sandbox

#: The function starts no pass with less time left than this: `RESERVE` in crates/lambda/src/main.rs.
RESERVE_SECONDS = 20
RECEIVES = runtime.RESOURCES["Queue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]

CONTENTION = {"error": {"status": 400, "code": "ResourceContention", "message": "You already have a pending update"}}
DENIED = {"error": {"status": 403, "code": "AccessDenied", "message": "not authorized to perform: autoscaling:DescribeAutoScalingGroups"}}


@pytest.fixture
def poller(cloud):
    return Poller(cloud)


def queued(poller, sandbox):
    """Lets the function's own tick queue the group; the event that Lambda makes of the message."""
    sandbox.tick()
    event = poller.receive()
    assert event, sandbox.tail()
    return event


def changes(cloud, since=0):
    """What the function changed, but for its messages to itself."""
    return [call["action"] for call in witness.changes(cloud, since) if call["service"] != "sqs"]


def assert_at_rest(cloud, before):
    """A replica stands in for the member, and nothing else is left of it."""
    assert witness.group_facts(cloud, "web") == before
    assert witness.spot_count(cloud, "web") == len(cloud.members("web")) == 1
    witness.assert_nothing_left_behind(cloud, "web")


def assert_swapped(cloud, before):
    assert_at_rest(cloud, before)
    assert len(witness.spot_launched(cloud)) == 1, "nothing is paid for twice"


@pytest.mark.parametrize(
    ("moment", "action"),
    [("hold_reply", "CreateFleet"), ("hold_reply", "AttachInstances"), ("hold", "ResumeProcesses")],
    ids=["after-CreateFleet", "after-AttachInstances", "before-ResumeProcesses"],
)
def test_killed_by_the_time_out_in_the_middle_of_a_swap_the_message_comes_again(cloud, poller, tmp_path, moment, action):
    cloud.group("web", size=1, MinSize=1, MaxSize=1)
    before = witness.group_facts(cloud, "web")
    with Sandbox(cloud, tmp_path, poller.url) as first:
        event = queued(poller, first)
        cloud.control.rule(moment, action=action, agent=product.AGENT)
        first.hand(event)
        assert cloud.control.wait_held(60), first.tail()
        # Where it would be at the deadline, two minutes later, too: it waits for this answer.
        first.kill()
    cloud.control.wait_gone()
    cloud.control.clear_rules()
    with Sandbox(cloud, tmp_path, poller.url) as second:
        # A tick sees the swap and queues the group; but Lambda gets nothing of it as long as the first message is out.
        second.tick()
        assert poller.receive() is None, "the group is locked for the visibility time-out"
        poller.pass_visibility_timeout(event)
        again = poller.receive()
        assert again["Records"][0]["messageId"] == event["Records"][0]["messageId"]
        assert again["Records"][0]["attributes"]["ApproximateReceiveCount"] == "2"
        poller.take(again, second.invoke(again))
        assert_swapped(cloud, before)
        mark = cloud.control.mark()
        poller.run(second)
        assert poller.waiting() == 0 and changes(cloud, mark) == [], "what was queued meanwhile finds nothing to do"


def test_near_its_end_the_function_stops_by_itself_and_another_goes_on(cloud, poller, tmp_path):
    cloud.group("web", size=1)
    before = witness.group_facts(cloud, "web")
    # Passes by itself on AWS, and not here: there is always another pass to make.
    cloud.control.rule(CONTENTION, action="AttachInstances", agent=product.AGENT, times=1000)
    with Sandbox(cloud, tmp_path, poller.url) as function:
        event = queued(poller, function)
        # A closed one would be a reason to stop at once.
        product.wait_for_window()
        deadline = time.time() + RESERVE_SECONDS + 3
        answer = function.invoke(event, deadline - time.time())
        left = deadline - time.time()
        assert RESERVE_SECONDS - 5 < left <= RESERVE_SECONDS + 1, "neither at once nor at the last moment"
        # Its work is not lost: what is in flight is on AWS, and the next tick finds it there.
        assert answer == {"batchItemFailures": []}
        poller.take(event, answer)
        assert len(witness.spot_launched(cloud)) == 1 and witness.spot_count(cloud, "web") == 0
        cloud.control.clear_rules()
        mark = cloud.control.mark()
        time.sleep(1)
        assert cloud.control.calls(mark, agent=product.AGENT) == [], "it has stopped"
        event = queued(poller, function)
        poller.take(event, function.invoke(event))
    assert_swapped(cloud, before)


def test_throttled_to_its_end_the_function_leaves_the_group_to_the_next_tick(cloud, poller, tmp_path):
    """A message that is given back would lock the group for twelve minutes; the next tick comes in one."""
    cloud.group("web", size=1)
    with Sandbox(cloud, tmp_path, poller.url) as function:
        event = queued(poller, function)
        cloud.control.rule("throttle", action="DescribeAutoScalingGroups", agent=product.AGENT, times=1000)
        assert function.invoke(event, RESERVE_SECONDS + 1) == {"batchItemFailures": []}
        told = [line for line in function.lines() if line.get("level") == "WARN"]
        assert told and all(line["group"] == "web" and "Throttling" in line["error"] for line in told)


@pytest.mark.parametrize("action", ["CreateFleet", "AttachInstances", "TerminateInstanceInAutoScalingGroup"])
def test_two_at_a_time_never_make_two_swaps_nor_drop_capacity(cloud, poller, tmp_path, action):
    """What the queue never allows: one function stands still before a call, another does the whole work, then the call is made."""
    cloud.group("web", size=1)
    before = witness.group_facts(cloud, "web")
    with Sandbox(cloud, tmp_path, poller.url) as late, Sandbox(cloud, tmp_path, poller.url) as other:
        event = queued(poller, late)
        cloud.control.rule("hold", action=action, agent=product.AGENT)
        late.hand(event)
        assert cloud.control.wait_held(60), late.tail()
        other.hand(event)
        watch(cloud, other)
        cloud.control.release()
        watch(cloud, late)
    # A launch that was late by a window is another launch; its replica is ended, for its victim is gone.
    assert_at_rest(cloud, before)
    done = [call["action"] for call in witness.changes(cloud) if call["status"] == 200]
    assert done.count("AttachInstances") == done.count("TerminateInstanceInAutoScalingGroup") == 1, "what came too late was refused"


def watch(cloud, function):
    """Until the function answers: a member serves, and one replica at most is on its way."""
    while function.answers.empty():
        assert cloud.members("web")
        outside = [instance["InstanceId"] for instance in cloud.alive() if "aws:autoscaling:groupName" not in tags_of(instance)]
        assert len(outside) <= 1, outside
    assert function.answer() == {"batchItemFailures": []}


def test_a_message_that_cannot_succeed_ends_among_the_dead_letters_and_the_next_tick_works(cloud, poller, tmp_path):
    cloud.group("web", size=1)
    before = witness.group_facts(cloud, "web")
    with Sandbox(cloud, tmp_path, poller.url) as function:
        event = queued(poller, function)
        cloud.control.rule(DENIED, action="DescribeAutoScalingGroups", agent=product.AGENT, times=1000)
        for number in range(1, RECEIVES + 1):
            record = event["Records"][0]
            assert record["attributes"]["ApproximateReceiveCount"] == str(number)
            answer = function.invoke(event)
            assert answer == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
            poller.take(event, answer)
            assert poller.receive() is None and poller.dead_letters() == []
            poller.pass_visibility_timeout(event)
            event = poller.receive()
        assert event is None and poller.waiting() == 0
        assert poller.dead_letters() == [{"v": 1, "group": "web"}]
        errors = [line for line in function.lines() if line.get("message") == "gave up for now"]
        assert len(errors) == RECEIVES
        assert all(line["group"] == "web" and "DescribeAutoScalingGroups" in line["error"] for line in errors)
        assert changes(cloud) == []
        cloud.control.clear_rules()
        event = queued(poller, function)
        poller.take(event, function.invoke(event))
    assert_swapped(cloud, before)
