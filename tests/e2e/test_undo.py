"""The ways out on the stage: the sweep of the tick, `spotward revert`, `spotward uninstall`, `spotward migrate`."""

import json
import time

import product
import witness
from cloud import tags_of
from product import settle, spotward


def ours(cloud):
    """Every tag of ours in the account, as `resource key`, but for owners' settings."""
    kept = ("spotward:min-on-demand",)
    marks = [
        f"{group['AutoScalingGroupName']} {tag['Key']}"
        for group in cloud.asg.describe_auto_scaling_groups()["AutoScalingGroups"]
        for tag in group["Tags"]
        if tag["Key"].startswith("spotward:") and tag["Key"] not in kept
    ]
    for instance in cloud.alive():
        marks += [f"{instance['InstanceId']} {key}" for key in tags_of(instance) if key.startswith("spotward:")]
    templates = cloud.ec2.describe_launch_templates()["LaunchTemplates"]
    return marks + [made["LaunchTemplateName"] for made in templates if made["LaunchTemplateName"].startswith("spotward-")]


def retag(cloud, instance, **tags):
    """Somebody edits tags of ours; `None` takes one off."""
    for name, value in tags.items():
        tag = {"Key": f"spotward:{name}"}
        if value is None:
            cloud.ec2.delete_tags(Resources=[instance], Tags=[tag])
        else:
            cloud.ec2.create_tags(Resources=[instance], Tags=[{**tag, "Value": value}])


def test_the_tick_ends_orphans_and_deletes_templates_that_nothing_needs(ministack_for_stage, cloud):
    configuration = cloud.launch_configuration()
    cloud.group("legacy", size=1, configuration=configuration, zones=1)
    settle(cloud, retry_window="30s")
    past = str(int(time.time()) - 3600 - 60)
    tags = {"role": "replica", "asg": "gone", "victim": "i-0123", "stack": "spotward", "win": "1", "deadline": past}
    orphan, lost, unreadable, theirs = cloud.run(count=4)
    for instance in (orphan, lost, unreadable, theirs):
        retag(cloud, instance, **tags)
    retag(cloud, lost, asg=None)
    retag(cloud, unreadable, deadline="soon", asg="legacy")
    retag(cloud, theirs, stack="another")
    # A member with the tags of an orphan, as if somebody had copied them.
    (member,) = cloud.members("legacy")
    retag(cloud, member, **{**tags, "asg": "gone"})
    function = product.deploy(ministack_for_stage.url, cloud.account)
    mark = cloud.control.mark()
    function.tick()
    alive = {instance["InstanceId"] for instance in cloud.alive()}
    assert orphan not in alive and lost not in alive
    assert {member, unreadable, theirs} <= alive
    assert "DeleteLaunchTemplate" not in {call["action"] for call in witness.changes(cloud, mark)}, "its configuration is there"
    lines = [json.loads(line) for line in function.log() if '"kind":"sweep"' in line]
    assert lines[-1]["unaccountable"] == [unreadable]


def test_revert_brings_everything_back_and_keeps_it_so(cloud):
    cloud.group("web", size=2, MinSize=2, MaxSize=2, zones=1, tags={"spotward:min-on-demand": ("0", False)})
    cloud.group("other", size=1, zones=1)
    settle(cloud, retry_window="30s")
    assert witness.spot_count(cloud, "web") == 2
    before = witness.group_facts(cloud, "web")
    mark = cloud.control.mark()
    spotward(cloud, "revert", "web", "--dry-run", expect=2)
    spotward(cloud, "revert", "web", expect=1)
    assert witness.changes(cloud, mark) == [], "looking and not being answered changes nothing"
    out = spotward(cloud, "revert", "web", "--yes", "--here", "--pause", product.PAUSE_SECONDS, retry_window="30s")
    assert "no spot member of ours" in out and "0 now; to go back" in out
    assert witness.spot_count(cloud, "web") == 0 and len(cloud.members("web")) == 2
    after = witness.group_facts(cloud, "web")
    assert after["sizes"] == before["sizes"] and after["suspended"] == before["suspended"]
    assert [tag for tag in after["tags"] if tag not in before["tags"]] == [("spotward:min-on-demand", "100%", False)]
    assert witness.spot_count(cloud, "other") == 1, "only the group that was named"
    settle(cloud, retry_window="30s")
    assert witness.spot_count(cloud, "web") == 0, "and it stays so"
    witness.assert_nothing_left_behind(cloud, "web", "other")


def test_revert_lets_the_deployed_function_do_it(ministack_for_stage, cloud):
    cloud.group("web", size=1, zones=1)
    settle(cloud, retry_window="30s")
    assert witness.spot_count(cloud, "web") == 1
    function = product.deploy(ministack_for_stage.url, cloud.account, retry_window="30s")
    process = product.start(cloud, "revert", "--all", "--yes", "--pause", "0.5", "--timeout", "2m", retry_window="30s")
    try:
        while process.poll() is None:
            function.tick()
            time.sleep(2)
    finally:
        process.kill()
        out, err = process.communicate()
    assert process.returncode == 0, f"{out}\n{err}"
    assert witness.spot_count(cloud, "web") == 0
    witness.assert_nothing_left_behind(cloud, "web")


def test_uninstall_takes_a_swap_back_and_leaves_nothing_of_ours(cloud):
    profile = cloud.instance_profile()
    configuration = cloud.launch_configuration(IamInstanceProfile=profile)
    cloud.group("legacy", size=1, configuration=configuration, zones=1)
    cloud.group("web", size=2, MinSize=2, MaxSize=2, zones=1, tags={"spotward:min-on-demand": ("1", False)})
    settle(cloud, "legacy", retry_window="30s")
    before = witness.group_facts(cloud, "web")
    # A swap in the middle: journal written, MaxSize raised, replica attached.
    cloud.control.rule("hold", action="TerminateInstanceInAutoScalingGroup", agent=product.AGENT)
    with product.running(cloud, "web", retry_window="30s"):
        assert cloud.control.wait_held(60)
    cloud.control.clear_rules()
    assert witness.group_facts(cloud, "web") != before
    mark = cloud.control.mark()
    listed = spotward(cloud, "uninstall", "--dry-run", expect=2)
    assert "finish or take back the swap of web" in listed
    spotward(cloud, "uninstall", expect=1)
    assert witness.changes(cloud, mark) == []
    out = spotward(cloud, "uninstall", "--yes", "--pause", product.PAUSE_SECONDS)
    assert "Left of the deployment spotward in us-east-1: nothing." in out, out
    assert ours(cloud) == []
    assert witness.group_facts(cloud, "web") == before, "sizes, processes, the owner's setting and the enabling tag"
    assert len(cloud.members("web")) == 2 and len(cloud.members("legacy")) == 1
    assert all("aws:autoscaling:groupName" in tags_of(instance) for instance in cloud.alive())
    mark = cloud.control.mark()
    spotward(cloud, "uninstall", "--yes")
    assert witness.changes(cloud, mark) == [], "asked again, there is nothing to do"
    spotward(cloud, "uninstall", "--yes", "--settings", "--pause", product.PAUSE_SECONDS)
    keys = {tag["Key"] for name in ("web", "legacy") for tag in cloud.describe(name)["Tags"]}
    assert keys == {"team"}


def test_migrate_reads_the_tags_of_a_live_group(cloud):
    tags = {"autospotting_min_on_demand_number": ("1", False), "autospotting_bidding_policy": ("normal", False)}
    cloud.group("web", size=1, zones=1, enabled=False, tags=tags)
    mark = cloud.control.mark()
    (group,) = json.loads(spotward(cloud, "migrate", "--json"))["groups"]
    becomes = {line["tag"]: line["becomes"] for line in group["tags"]}
    assert becomes["autospotting_min_on_demand_number"] == {"key": "spotward:min-on-demand", "value": "1"}
    assert becomes["autospotting_bidding_policy"] is None
    assert witness.changes(cloud, mark) == []
