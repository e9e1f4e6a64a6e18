"""SIGKILL before and after every changing call of one swap, and then another run: the end is always the same."""

import pytest

import product
import witness
from cloud import new_cloud

#: The longest road: MaxSize gives way, AZRebalance is suspended, a template is derived.
#: The reference run checks that this is the whole list.
ROAD = [
    "CreateLaunchTemplate",
    "CreateFleet",
    "CreateTags",
    "CreateOrUpdateTags",
    "SuspendProcesses",
    "UpdateAutoScalingGroup",
    "AttachInstances",
    "TerminateInstanceInAutoScalingGroup",
    "UpdateAutoScalingGroup",
    "ResumeProcesses",
    "CreateTags",
    "DeleteTags",
    "DeleteTags",
]


def full_group(cloud):
    cloud.group("web", size=1, configuration=cloud.launch_configuration(), MinSize=1, MaxSize=1)


def settle(cloud):
    # Within one window no second replica may be launched, so the second run must find the first one's.
    product.settle(cloud, retry_window="30s")


def end_state(cloud):
    """What is comparable between two accounts: ids are not, kinds and sizes are."""
    facts = witness.group_facts(cloud, "web")
    instances = cloud.group_instances("web")
    return {
        "sizes": facts["sizes"],
        "suspended": facts["suspended"],
        "tags": facts["tags"],
        "members": [(witness.is_spot(instance), instance["Placement"]["AvailabilityZone"]) for instance in instances],
    }


@pytest.fixture(scope="module")
def reference(stage):
    """One swap without disturbance: its changing calls and its end."""
    cloud = new_cloud(stage.url).network()
    full_group(cloud)
    settle(cloud)
    return {"road": [call["action"] for call in witness.changes(cloud)], "end": end_state(cloud)}


def test_the_road_is_what_is_killed_below(reference):
    assert reference["road"] == ROAD
    assert reference["end"]["sizes"] == (1, 1, 1)
    assert reference["end"]["suspended"] == []
    assert [is_spot for is_spot, _ in reference["end"]["members"]] == [True]


@pytest.mark.parametrize("moment", ["hold", "hold_reply"], ids=["before", "after"])
@pytest.mark.parametrize("number", range(len(ROAD)), ids=[f"{index + 1:02}-{action}" for index, action in enumerate(ROAD)])
def test_killed_at_a_call_and_started_again(cloud, reference, number, moment):
    full_group(cloud)
    cloud.control.rule(moment, mutating=True, agent=product.AGENT, skip=number)
    with product.running(cloud, "web", retry_window="30s"):
        assert cloud.control.wait_held(60), "the call was not made"
        assert [call["action"] for call in witness.changes(cloud)] == ROAD[: number + 1]
    # Leaving the block has killed it, with the call in the air.
    cloud.control.clear_rules()
    settle(cloud)
    assert end_state(cloud) == reference["end"]
    assert len(witness.spot_launched(cloud)) == 1, "nothing is paid for twice"
    witness.assert_nothing_left_behind(cloud, "web", templates=1)


def test_killed_everywhere_with_the_enabling_tag_gone(cloud, reference):
    """The worst moment for the owner to change their mind: attached, MaxSize raised, and the process dead."""
    full_group(cloud)
    number = ROAD.index("AttachInstances")
    cloud.control.rule("hold_reply", mutating=True, agent=product.AGENT, skip=number)
    with product.running(cloud, "web", retry_window="30s"):
        assert cloud.control.wait_held(60)
    cloud.control.clear_rules()
    cloud.asg.delete_tags(Tags=[{"Key": "spot-enabled", "ResourceId": "web", "ResourceType": "auto-scaling-group"}])
    settle(cloud)
    facts = witness.group_facts(cloud, "web")
    assert facts["sizes"] == (1, 1, 1) and facts["suspended"] == []
    witness.assert_nothing_left_behind(cloud, "web", templates=1)
