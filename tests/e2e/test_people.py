"""What people ask of an account that lets them describe and nothing else: it answers, and nothing else is asked of it."""

import json
import re
import subprocess

import pytest

import servers
from product import AGENT, binary, called, spotward

#: What a policy of `Describe*` and `Get*` lets through.
READS = re.compile(r"Describe|Get")
DENIED = {"error": {"status": 403, "code": "UnauthorizedOperation", "message": "You are not authorized to perform this operation."}}


@pytest.fixture(scope="module")
def for_looking():
    """The actions of the policy in docs/security.md, and who asks may always know who he is."""
    told = json.loads(re.search(r"```json\n(.*?)```", (servers.ROOT / "docs/security.md").read_text(), re.S)[1])
    listed = [statement["Action"] for statement in told["Statement"]]
    return {"sts:GetCallerIdentity"}.union(*([actions] if isinstance(actions, str) else actions for actions in listed))


def test_looking_takes_no_more_than_the_right_to_describe(account, tmp_path, for_looking):
    account.group("web", size=2)
    account.group("asleep", size=1, enabled=False)
    saved = tmp_path / "seen.json"
    account.control.rule(DENIED, mutating=True, times=1000)
    mark = account.control.mark()

    live = json.loads(spotward(account, "plan", "--all", "--json", "--save-snapshot", str(saved), expect=None))
    assert live["failed"] == [] and {group["group"] for group in live["groups"]} == {"web", "asleep"}
    assert json.loads(spotward(account, "status", "--json"))["groups"][0]["group"] == "web"
    told = json.loads(spotward(account, "explain", "web", "--json"))
    assert any(candidate["rank"] == 1 for candidate in told["members"][0]["candidates"])
    # The function's permission to change anything is not needed to be told about it.
    assert "web" in spotward(account, "plan", "--markdown", expect=None)

    calls = account.control.calls(mark, agent=AGENT)
    assert len(calls) > 10 and called(account, mark) <= for_looking
    assert [call["action"] for call in calls if not READS.match(call["action"])] == []

    # What was saved plans the same, but for the moments at which things were seen.
    mark = account.control.mark()
    again = json.loads(spotward(account, "plan", "--all", "--json", "--snapshot", str(saved), expect=None))
    assert account.control.calls(mark, agent=AGENT) == [], "a saved look asks nobody"
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


#: What `doctor` asks of EC2 as a dry run, and no other call of it changes anything.
TRIED = {"CreateFleet", "CreateTags", "DeleteTags", "TerminateInstances"}


def refused(account, *arguments, **wrong):
    """The CLI with a wrong environment, run to its end."""
    environment = account.environment(AWS_MAX_ATTEMPTS="1", **wrong)
    return subprocess.run([binary("spotward"), *arguments], env=environment, capture_output=True, text=True, timeout=60)


def test_the_doctor_says_what_is_good_what_is_wrong_and_what_it_does_not_know(account, for_looking):
    account.group("web", size=2)
    mark = account.control.mark()
    told = {check["check"]: check for check in json.loads(spotward(account, "doctor", "--json"))["checks"]}
    assert [told[name]["result"] for name in ("region", "credentials", "groups")] == ["good"] * 3
    assert account.account in told["credentials"]["text"]
    # moto has no quotas of EC2; what would run against them is counted all the same: two m5.large.
    assert told["spot quota"]["result"] == "unknown" and "0 do, and 4 more will" in told["spot quota"]["text"]
    assert not [check for check in told.values() if check["result"] == "wrong"]
    tried = account.control.calls(mark, mutating=True, agent=AGENT)
    assert {call["action"] for call in tried} == TRIED and all(call["params"]["DryRun"] == "true" for call in tried)
    assert called(account, mark) - {f"ec2:{action}" for action in TRIED} <= for_looking

    account.control.rule(DENIED, action="DescribeInstanceTypes", times=1000)
    told = {check["check"]: check for check in json.loads(spotward(account, "doctor", "--json", expect=3))["checks"]}
    assert told["reading"]["result"] == "wrong" and "ec2:DescribeInstanceTypes" in told["reading"]["fix"]

    for wrong in ({"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}):
        asked = refused(account, "doctor", **wrong)
        assert asked.returncode == 3 and "\nwrong   credentials" in asked.stdout, asked.stdout + asked.stderr
        assert "fix:" in asked.stdout and "groups" not in asked.stdout


def test_advice_and_prices_come_from_the_region_itself(account, for_looking):
    account.group("web", size=2)
    account.group("asleep", size=1, enabled=False)
    mark = account.control.mark()
    types = json.loads(spotward(account, "advise", "--vcpus", "2", "--memory", "8", "--limit", "3", "--json"))
    assert types["live"] and len(types["types"]) == 3 and types["found"] > 3
    for offer in types["types"]:
        assert offer["vcpus"] >= 2 and offer["memory_mib"] >= 8192
        assert any(zone["spot_per_hour"] < offer["on_demand_per_hour"] and zone["availability"] for zone in offer["zones"])
    groups = json.loads(spotward(account, "advise", "--all", "--json"))
    assert {group["group"]: group["enabled"] for group in groups["groups"]} == {"web": True, "asleep": False}
    assert 0 < groups["left"]["least_per_hour"] <= groups["left"]["most_per_hour"]

    prices = json.loads(spotward(account, "prices", "m5.large", "--days", "7", "--json"))
    [kind] = prices["types"]
    assert prices["live"] and kind["on_demand_per_hour"] > 0
    shown = account.ec2.describe_spot_price_history(InstanceTypes=["m5.large"], ProductDescriptions=["Linux/UNIX"], StartTime="2100-01-01")
    now = {row["AvailabilityZone"]: float(row["SpotPrice"]) for row in shown["SpotPriceHistory"]}
    assert now and {zone["zone"]: zone["last_per_hour"] for zone in kind["zones"]} == now
    assert "us-east-1a" in spotward(account, "prices", "m5.large")
    assert called(account, mark) <= for_looking and account.control.calls(mark, mutating=True, agent=AGENT) == []

    gone = refused(account, "prices", "m5.large", AWS_ENDPOINT_URL_EC2="http://127.0.0.1:1")
    assert gone.returncode == 3 and "hint:" in gone.stderr, gone.stdout + gone.stderr
