"""`spotward plan` for a whole region from a snapshot: seconds and memory, as text and as JSON.

    python3 tests/scale/plan.py [groups] [members]       (default 1000 groups of 10 members, 1,400 types in six zones)

The goal is a second and 200 MB. The groups are copies of one of the transcripts' groups, spread over six zones.
"""

import copy
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
SPOTWARD = pathlib.Path(os.environ.get("SPOTWARD_BIN_DIR", ROOT / "target/release")) / "spotward"
ZONES = [f"us-east-1{letter}" for letter in "abcdef"]
COPIES = 100


def widen(market):
    """A hundred generations of every type, each in every zone."""
    specs, on_demand, spot = [], {}, {zone: {} for zone in ZONES}
    for generation in range(COPIES):
        for known in market["specs"]:
            family, size = known["instance_type"].split(".")
            name = f"{family}x{generation}.{size}" if generation else known["instance_type"]
            spec = {**copy.deepcopy(known), "instance_type": name}
            if generation > 20:
                for key in ("vcpus", "memory_mib", "cores"):
                    spec[key] *= 1 + generation % 8
            specs.append(spec)
            on_demand[name] = price = market["on_demand_micros_per_hour"][known["instance_type"]]
            for at, zone in enumerate(ZONES):
                spot[zone][name] = int(price * (0.3 + 0.05 * at + 0.002 * generation))
    names = [spec["instance_type"] for spec in specs]
    return {**market, "specs": specs, "on_demand_micros_per_hour": on_demand, "spot_micros_per_hour": spot, "offerings": {zone: names for zone in ZONES}}


def grown(seen, number, members):
    """One group like the other, with members in every zone."""
    seen = copy.deepcopy(seen)
    group = seen["group"]
    name = f"group-{number:05}"
    group.update(arn=group["arn"].replace(group["name"], name), name=name, desired=members, max_size=members + 5, zones=ZONES)
    group["subnets"] = [f"subnet-{zone[-1]}" for zone in ZONES]
    group["tags"].pop("spotward:min-on-demand", None)
    model, group["members"] = group["members"][0], []
    for at in range(members):
        member = copy.deepcopy(model)
        zone = ZONES[at % len(ZONES)]
        member.update(id=f"i-{number:05x}{at:012x}", zone=zone, instance_type=["m5.large", "m5.xlarge"][at % 2])
        member["ec2"]["subnet"] = f"subnet-{zone[-1]}"
        group["members"].append(member)
    return seen


def main():
    groups, members = (int(text) for text in (sys.argv[1:] + ["1000", "10"][len(sys.argv) - 1 :])[:2])
    region = json.loads((ROOT / "crates/cli/tests/snapshots/region.json").read_text())
    model = next(seen for seen in region["groups"] if seen["group"]["name"] == "api")
    region["groups"] = [grown(model, number, members) for number in range(groups)]
    region["markets"] = [widen(region["markets"][0])]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as snapshot:
        json.dump(region, snapshot)
        snapshot.flush()
        size = os.path.getsize(snapshot.name) / 1e6
        print(f"{groups} groups of {members} members, {len(region['markets'][0]['specs'])} types in {len(ZONES)} zones: {size:.1f} MB of snapshot")
        for flags in ([], ["--json"]):
            seconds, peak = [], 0
            for _ in range(5):
                before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
                subprocess.run([SPOTWARD, "plan", "--all", *flags, "--snapshot", snapshot.name], stdout=subprocess.DEVNULL, check=False)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                seconds.append((time.monotonic() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
                peak = after.ru_maxrss / 1024
            (wall, _), cpu = min(seconds), min(cpu for _, cpu in seconds)
            print(f"  {'as JSON' if flags else 'as text':8} fastest {wall:.2f} s, processor time {cpu:.2f} s, at most {peak:.0f} MiB")


if __name__ == "__main__":
    main()
