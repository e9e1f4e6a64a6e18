#!/usr/bin/env python3
"""Makes the snapshots of the transcript tests: `python3 make.py`, in this directory.

Facts of instance types are DescribeInstanceTypes' own (tests/data, see its README), on-demand prices are the public list
there; spot prices are invented, in the usual range. Groups and members are invented.
"""
import csv
import gzip
import json
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE.parents[3] / "tests" / "data"
TYPES = ["m5.large", "m5a.large", "m5d.large", "m6a.large", "m6i.large", "m6g.large", "m7i.large", "m7i-flex.large",
         "m5.xlarge", "m6a.xlarge", "m6i.xlarge", "c6i.large", "r6i.large", "t3.large"]
ZONES = {"us-east-1a": "subnet-a", "us-east-1b": "subnet-b"}
# Percent of the on-demand price, by zone.
SPOT = {"us-east-1a": {"m5.large": 41, "m5a.large": 39, "m5d.large": 44, "m6a.large": 36, "m6i.large": 38, "m6g.large": 42,
                       "m7i.large": 46, "m7i-flex.large": 43, "m5.xlarge": 40, "m6a.xlarge": 37, "m6i.xlarge": 39,
                       "c6i.large": 40, "r6i.large": 35, "t3.large": 33},
        "us-east-1b": {"m5.large": 52, "m5a.large": 47, "m6a.large": 44, "m6i.large": 100, "m7i.large": 58, "m5.xlarge": 45,
                       "r6i.large": 48}}
NOW = "2026-03-02T10:05:30Z"
LONG_AGO = "2026-02-20T08:00:00Z"


def spec(t):
    net, cpu, ebs = t["NetworkInfo"], t["VCpuInfo"], t["EbsInfo"]
    optimized = ebs.get("EbsOptimizedInfo", {})
    disks = t.get("InstanceStorageInfo", {})
    made = {
        "instance_type": t["InstanceType"],
        "current_generation": t["CurrentGeneration"],
        "hypervisor": t.get("Hypervisor", ""),
        "virtualization": t["SupportedVirtualizationTypes"],
        "architectures": t["ProcessorInfo"]["SupportedArchitectures"],
        "cpu_manufacturer": t["ProcessorInfo"]["Manufacturer"],
        "boot_modes": t["SupportedBootModes"],
        "tpm": t["NitroTpmSupport"] == "supported",
        "root_devices": t["SupportedRootDeviceTypes"],
        "vcpus": cpu["DefaultVCpus"],
        "cores": cpu["DefaultCores"],
        "valid_cores": cpu.get("ValidCores", []),
        "valid_threads_per_core": cpu.get("ValidThreadsPerCore", []),
        "memory_mib": t["MemoryInfo"]["SizeInMiB"],
        "disks": [{"count": d["Count"], "size_gb": d["SizeInGB"], "kind": d["Type"]} for d in disks.get("Disks", [])],
        "nvme_disks": disks.get("NvmeSupport") in ("required", "supported"),
        "encrypted_disks": disks.get("EncryptionSupport") == "required",
        "ebs_baseline_mbps": optimized.get("BaselineBandwidthInMbps", 0),
        "ebs_baseline_iops": optimized.get("BaselineIops", 0),
        "ebs_attachments": ebs.get("MaximumEbsAttachments", 0),
        "ebs_attachments_shared": ebs.get("AttachmentLimitType") == "shared",
        "ena_required": net["EnaSupport"] == "required",
        "network_baseline_mbps": round(sum(c.get("BaselineBandwidthInGbps", 0) for c in net["NetworkCards"]) * 1000),
        "interfaces": net["MaximumNetworkInterfaces"],
        "network_cards": net["MaximumNetworkCards"],
        "ipv4_per_interface": net["Ipv4AddressesPerInterface"],
        "ipv6": net["Ipv6Supported"],
        "ipv6_per_interface": net["Ipv6AddressesPerInterface"],
        "encryption_in_transit": net["EncryptionInTransitSupported"],
        "burstable": t["BurstablePerformanceSupported"],
        "enclaves": t["NitroEnclavesSupport"] == "supported",
        "hibernation": t["HibernationSupported"],
        "placement_strategies": t["PlacementGroupInfo"]["SupportedStrategies"],
    }
    timeout = net.get("ConnectionTrackingConfiguration", {}).get("DefaultTcpEstablishedTimeout", 432000)
    if timeout != 432000:
        made["tcp_idle_timeout_seconds"] = timeout
    usual = {"current_generation": True}
    return {key: value for key, value in made.items() if value not in (False, 0, "", []) and usual.get(key) != value
            or (key in usual and value is False)}


def market():
    with gzip.open(DATA / "describe_instance_types_2026-10.json.gz") as file:
        types = json.load(file)
    types = types["InstanceTypes"] if isinstance(types, dict) else types
    with open(DATA / "us-east-1_linux_2026-07-20.csv") as file:
        listed = {row["instance_type"]: float(row["usd_per_hour"]) for row in csv.DictReader(file)}
    on_demand = {name: round(listed[name] * 1e6) for name in TYPES}
    return {
        "platform": "Linux/UNIX",
        "specs": sorted((spec(t) for t in types if t["InstanceType"] in TYPES), key=lambda s: s["instance_type"]),
        "offerings": {zone: sorted(SPOT[zone]) for zone in ZONES},
        "on_demand_micros_per_hour": on_demand,
        "spot_micros_per_hour": {zone: {name: on_demand[name] * percent // 100 for name, percent in pools.items()}
                                 for zone, pools in SPOT.items()},
    }


def member(number, zone, kind="m5.large", purchase="on-demand", launched=LONG_AGO, ours=None, **more):
    made = {"id": f"i-{number:02}", "zone": zone, "instance_type": kind, "purchase": purchase, "lifecycle": "InService",
            "ec2": {"state": "running", "launched_at": launched, "subnet": ZONES[zone], "image": "ami-1",
                    "termination_protected": False}}
    if purchase == "on-demand":
        made["template_version"] = 3
    if ours:
        made["ours"] = ours
    return {**made, **more}


def ours(group, victim, role="member", **more):
    return {"role": role, "group": group, "victim": f"i-{victim:02}", "deadline": "2026-03-02T10:31:00Z",
            "stack": "spotward", **more}


def group(name, members, desired=None, tags=None, replicas=(), **more):
    details = {"activities": [], "launch": {"facts": {
        "version": 3, "instance_type": "m5.large", "volumes": 1, "interfaces": 1,
        "image": {"id": "ami-1", "architecture": "x86_64", "virtualization": "hvm", "ena": True, "root_device": "ebs",
                  "usage_operation": "RunInstances"}}}}
    details.update(more.pop("details", {}))
    made = {"name": name, "desired": len(members) if desired is None else desired, "min_size": 1, "max_size": 6,
            "arn": f"arn:aws:autoscaling:us-east-1:111122223333:autoScalingGroup:0-0:autoScalingGroupName/{name}",
            "subnets": list(ZONES.values()), "zones": list(ZONES), "source": {"template": {"id": "lt-1", "version": "$Latest"}},
            "tags": {"spot-enabled": "true"} if tags is None else tags, "members": members, "details": details, **more}
    if replicas:
        made["replicas"] = list(replicas)
    return {"seen_at": NOW, "group": made}


def snapshot(*groups):
    return {"v": 1, "kind": "spotward-snapshot", "region": "us-east-1", "groups": list(groups), "markets": [market()]}


ENABLED = {"spot-enabled": "true"}
API = group("api", [member(1, "us-east-1a"), member(2, "us-east-1b"), member(3, "us-east-1a", protected=True),
                    member(4, "us-east-1a", launched="2026-03-02T10:03:00Z")],
            tags={**ENABLED, "spotward:min-on-demand": "1"})
BATCH = group("batch", [member(11, "us-east-1a", "m6a.large", "spot", ours=ours("batch", 91)),
                        member(12, "us-east-1b", "m5a.large", "spot", ours=ours("batch", 92))])
JOURNAL = "v1;id=0a1b2c3d;in=i-23;out=i-21;d=2;az=1;t=1772445600;by=spotward"
CHECKOUT = group("checkout", [member(21, "us-east-1a"), member(22, "us-east-1b"),
                              member(23, "us-east-1a", "m6a.large", "spot", "2026-03-02T09:58:00Z",
                                     ours("checkout", 21, "replica", journal=JOURNAL))],
                 tags={**ENABLED, "spotward:swap": JOURNAL}, suspended=["AZRebalance"], max_size=3)
LEGACY = group("legacy", [member(31, "us-east-1a"), member(32, "us-east-1b")],
               tags={**ENABLED, "spotward:min-on-demand": "50%%", "spotward:min-ondemand": "1"})
SEARCH = group("search", [member(41, "us-east-1a"), member(42, "us-east-1b")], suspended=["ReplaceUnhealthy"],
               details={"launch_hooks": ["register-in-consul"]})
WEB = group("web", [member(51, "us-east-1a"), member(52, "us-east-1b")], tags={})
WARMING = group("worker", [member(61, "us-east-1a"), member(62, "us-east-1b")], grace_seconds=300, replicas=[
    {"id": "i-69", "zone": "us-east-1a", "instance_type": "m6i.large", "purchase": "spot", "state": "running",
     "checks_ok": True, "launched_at": "2026-03-02T10:01:00Z", "ours": ours("worker", 61, "replica")}])
BULK = {"seen_at": NOW, "group": {key: value for key, value in WEB["group"].items() if key != "details"}}



def tagged(name, **tags):
    """A group as a look in bulk shows it, of which only the tags matter."""
    made = group(name, [], desired=2, tags={key.replace("__", "-"): value for key, value in tags.items()})["group"]
    return {"seen_at": NOW, "group": {key: value for key, value in made.items() if key != "details"}}


OLD = [
    tagged("shop", spot__enabled="true", autospotting_min_on_demand_number="1", autospotting_min_on_demand_percentage="12.5",
           autospotting_allowed_instance_types="m5.*, c5.*", autospotting_bidding_policy="normal",
           autospotting_cron_schedule="9-18 1-5", autospotting_cron_timezone="Europe/Berlin"),
    tagged("typo", spot__enabled="yes", autospotting_spot_allocation_strategy="lowestPrice", autospotting_on_demand="1"),
    tagged("plain", team="shop"),
]

# What AWS says of two types, and what this account lived through in two pools.
RISKY = snapshot(WEB)
RISKY["markets"][0]["risk"] = {
    "advisor_bucket": {"m5.large": 0, "m7i.large": 4},
    "own": {"us-east-1a": {"m6i.large": {"seconds": 7200, "losses": 1, "last_loss": "2026-03-02T09:50:00Z"},
                           "m7i.large": {"seconds": 14400, "losses": 0}}},
}

FILES = {
    "old-tags.json": {**snapshot(*OLD), "markets": []},
    "region.json": snapshot(API, BATCH, CHECKOUT, LEGACY, SEARCH, WEB),
    "settled.json": snapshot(BATCH),
    "risky.json": RISKY,
    "warming.json": snapshot(WARMING),
    "in-bulk.json": snapshot(BULK),
    "version-2.json": {"v": 2, "kind": "spotward-snapshot"},
    "a-plan.json": {"v": 1, "kind": "plan", "region": "us-east-1", "groups": [], "failed": []},
}

for name, content in FILES.items():
    text = json.dumps(content, indent=1) + "\n"
    (HERE / name).write_text(text)
(HERE / "half-written.json").write_text(json.dumps(FILES["settled.json"], indent=1)[:2000])
