"""What people ask of an account that lets them describe and nothing else: it answers, and nothing else is asked of it."""

import json
import re

from product import AGENT, spotward

#: What a policy of `Describe*` and `Get*` lets through.
READS = re.compile(r"Describe|Get")
DENIED = {"error": {"status": 403, "code": "UnauthorizedOperation", "message": "You are not authorized to perform this operation."}}


def test_looking_takes_no_more_than_the_right_to_describe(cloud, tmp_path):
    cloud.group("web", size=2)
    cloud.group("asleep", size=1, enabled=False)
    saved = tmp_path / "seen.json"
    cloud.control.rule(DENIED, mutating=True, times=1000)
    mark = cloud.control.mark()

    live = json.loads(spotward(cloud, "plan", "--all", "--json", "--save-snapshot", str(saved), expect=None))
    assert live["failed"] == [] and {group["group"] for group in live["groups"]} == {"web", "asleep"}
    assert json.loads(spotward(cloud, "status", "--json"))["groups"][0]["group"] == "web"
    told = json.loads(spotward(cloud, "explain", "web", "--json"))
    assert any(candidate["rank"] == 1 for candidate in told["members"][0]["candidates"])
    # The function's permission to change anything is not needed to be told about it.
    assert "web" in spotward(cloud, "plan", "--markdown", expect=None)

    calls = cloud.control.calls(mark, agent=AGENT)
    assert len(calls) > 10
    assert [call["action"] for call in calls if not READS.match(call["action"])] == []

    # What was saved plans the same, but for the moments at which things were seen.
    mark = cloud.control.mark()
    again = json.loads(spotward(cloud, "plan", "--all", "--json", "--snapshot", str(saved), expect=None))
    assert cloud.control.calls(mark, agent=AGENT) == [], "a saved look asks nobody"
    for group in live["groups"] + again["groups"]:
        group.pop("at")
    by_name = lambda answer: sorted(answer["groups"], key=lambda group: group["group"])  # noqa: E731
    assert by_name(live) == by_name(again)


def test_the_next_call_that_changes_something_is_one_that_was_planned(cloud):
    cloud.group("web", size=1)
    mark = cloud.control.mark()
    for _ in range(60):
        (group,) = json.loads(spotward(cloud, "plan", "web", "--json", expect=None))["groups"]
        planned = [call["name"] for call in group["calls"]]
        mark = cloud.control.mark()
        spotward(cloud, "run", "--once", "web", expect=None)
        done = [f"{call['service']}:{call['action']}" for call in cloud.control.calls(mark, mutating=True, agent=AGENT)]
        # A wait may have ended between the two looks: then the step is another one, and the next turn compares.
        if planned and done:
            assert done == planned
        if group["spot"] == 1 and group["swap"] == "idle":
            break
    assert group["spot"] == 1 and group["swap"] == "idle"
