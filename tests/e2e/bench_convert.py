"""A mass conversion by the real function: what one swap costs in calls, processor time and memory: `make bench-convert`.

A tick queues every group; the messages are handed to one `bootstrap`, one after the other, as Lambda would. Instances boot at
once and nothing is waited for (docs/scale.md says what waiting adds), so the seconds of a swap are nearly all moto's: what
counts are the function's own processor time and its calls, which do not depend on who answers.
"""

import argparse
import collections
import os
import sys
import time

import cloud as clouds
import product
import runtime
import servers
import witness

sys.path.insert(0, str(servers.ROOT / "tests" / "scale"))

from usage import cpu_seconds, peak_mib  # noqa: E402


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--groups", type=int, default=20)
    options.add_argument("--members", type=int, default=5, help="size of each group; every member is replaced")
    options = options.parse_args()
    with servers.stage_of_its_own() as (stage, logs):
        convert(stage, logs, options.groups, options.members)


def convert(stage, logs, groups, members):
    cloud = clouds.new_cloud(stage.url).network()
    template = cloud.template()
    names = [f"group-{number:03}" for number in range(groups)]
    for name in names:
        cloud.group(name, size=members, template=template, tags={"spotward:pool-loss": ("100%", False)})
    poller = runtime.Poller(cloud)
    with runtime.Sandbox(cloud, logs, poller.url) as function:
        function.tick()
        idle = cpu_seconds(function.process)
        mark, started, rounds = cloud.control.mark(), time.monotonic(), 0
        while any(witness.spot_count(cloud, name) < members for name in names):
            rounds += 1
            if rounds > 40 * members:
                raise SystemExit(f"not converted after {rounds} ticks:\n{function.tail()}")
            poller.run(function)
            function.tick()
        poller.run(function)
        seconds, cpu = time.monotonic() - started, cpu_seconds(function.process) - idle
        calls = collections.Counter(call["action"] for call in cloud.control.calls(since=mark, agent=product.AGENT))
        outcomes = collections.Counter(line["outcome"] for line in function.lines() if line.get("kind") == "pass")
        peak = peak_mib(function.process)
    for name in names:
        desired = cloud.describe(name)["DesiredCapacity"]
        if desired != members:
            raise SystemExit(f"{name}: desired is {desired}, not {members}")
    report(groups * members, seconds, cpu, peak, calls, outcomes, rounds)


def report(swaps, seconds, cpu, peak, calls, outcomes, ticks):
    total = sum(calls.values())
    print(f"swaps        {swaps} in {seconds:.0f} s with {ticks} ticks, on {os.cpu_count()} cores at load {os.getloadavg()[0]:.1f}, {product.binary('bootstrap')}")
    print(f"calls        {total}, {total / swaps:.1f} a swap, ticks included; most: " + ", ".join(f"{name} {count}" for name, count in calls.most_common(6)))
    print("passes       " + ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common()))
    print(f"processor    {cpu:.2f} s, {cpu / swaps * 1000:.0f} ms a swap")
    print(f"peak memory  {peak:.1f} MiB")


if __name__ == "__main__":
    main()
