"""From the arrival of a notice in the function to its CreateFleet request, warm, on the stage: `make bench-notice`.

Every event is about another member of a group, and each of them brings one launch. What is measured is the function's own time
and that of the calls before, which are counted; most of it is moto's, which takes longer the larger the account is: hence a
new account for each group.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import time

import cloud as clouds
import product
import runtime
import servers
import witness

EVENTS = pathlib.Path(__file__).parents[1] / "events"
GOAL_MS, GOAL_CALLS = 500, 6
#: AttachInstances takes no more.
AT_ONCE = 20


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--members", type=int, default=10, help="size of each group; every member gets a notice")
    options.add_argument("--groups", type=int, default=10, help="how many groups, one after the other")
    options = options.parse_args()
    with servers.stage_of_its_own() as (stage, logs):
        measured = [measure(stage, logs, options.members) for _ in range(options.groups)]
        report(options.members, *(sum(parts, []) for parts in zip(*measured)))


def measure(stage, logs, members):
    """Milliseconds from notice to launch, and the calls before it, for each member."""
    cloud = clouds.new_cloud(stage.url).network()
    spot_members(cloud, members)
    poller = runtime.Poller(cloud)
    text = (EVENTS / "interruption-terminate.json").read_text()
    waits, calls = [], []
    with runtime.Sandbox(cloud, logs, poller.url) as function:
        # Whoever ticks has the prices at hand.
        function.tick()
        for instance in sorted(cloud.members("web")):
            cloud.control.interrupt(instance, in_seconds=900)
            mark = cloud.control.mark()
            function.invoke(json.loads(text.replace("i-0123456789abcdef0", instance)))
            made = cloud.control.calls(since=mark, agent=product.AGENT)
            names = [call["action"] for call in made]
            assert names.count("CreateFleet") == 1, (names, function.tail())
            launch = names.index("CreateFleet")
            waits.append((seconds(made[launch]) - function.handed_over) * 1000)
            calls.append(launch)
    return waits, calls


def spot_members(cloud, members):
    """A group of spot members as finished swaps leave them, put there by hand: swapping them one by one takes minutes."""
    cloud.group("web", size=0, zones=1, MaxSize=members + 1, tags={"spotward:pool-loss": ("100%", False)})
    tags = {"role": "member", "asg": "web", "victim": "i-0123456789abcdef0", "win": "1", "deadline": str(int(time.time())), "stack": runtime.STACK}
    ours = [{"ResourceType": "instance", "Tags": [{"Key": f"spotward:{key}", "Value": value} for key, value in tags.items()]}]
    spot = cloud.run(count=members, spot=True, TagSpecifications=ours)
    # moto boots an instance when it is described.
    cloud.instances(*spot)
    for first in range(0, members, AT_ONCE):
        cloud.asg.attach_instances(AutoScalingGroupName="web", InstanceIds=spot[first : first + AT_ONCE])
    assert witness.spot_count(cloud, "web") == members


def seconds(call):
    return datetime.datetime.fromisoformat(call["at"].replace("Z", "+00:00")).timestamp()


def report(members, waits, calls):
    ordered = sorted(waits)
    p99 = ordered[max(0, -(-len(ordered) * 99 // 100) - 1)]
    print(f"notices                   {len(ordered)} in groups of {members}, on {os.cpu_count()} cores at load {os.getloadavg()[0]:.1f}, {product.binary('bootstrap')}")
    print(f"notice to CreateFleet     p50 {statistics.median(ordered):.0f} ms, p99 {p99:.0f} ms, most {ordered[-1]:.0f} ms (goal: p99 {GOAL_MS} ms)")
    print(f"calls before CreateFleet  {min(calls)} to {max(calls)} (goal: at most {GOAL_CALLS})")


if __name__ == "__main__":
    main()
