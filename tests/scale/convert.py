"""The real function against a region in memory: what a mass conversion of many groups costs (docs/scale.md).

    python3 tests/scale/convert.py target/release/bootstrap [groups] [members] [swaps]

A tick queues every group, and the messages are handed to one function, one after the other, as Lambda would hand them to one
environment. The server keeps just enough state for swaps to be real: whoever is launched, attached and terminated is so at
once. Types, offerings and prices are all of those in tests/data. At the end every group has exactly `swaps` spot members and is
otherwise as it was, or the run fails.
"""

import csv
import gzip
import hashlib
import json
import pathlib
import sys
import time
import uuid

from load import ACCOUNT, ASG, EC2, GROUPS_PER_PAGE, REGION, ZONES, Region, served
from usage import cpu_seconds, peak_mib

DATA = pathlib.Path(__file__).parent.parent / "data"
PRICES = DATA / "us-east-1_linux_2026-07-20.csv"
WISHES = {"spotward:warmup": "0s", "spotward:settle": "0s", "spotward:retry-window": "30s", "spotward:swaps-per-hour": "60", "spotward:pool-loss": "100%"}
IMAGE = (
    "<item><imageId>ami-0123456789abcdef0</imageId><imageState>available</imageState><imageOwnerId>137112412989</imageOwnerId><isPublic>true</isPublic>"
    "<architecture>x86_64</architecture><imageType>machine</imageType><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName>"
    "<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeSize>8</volumeSize><deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping>"
    "<virtualizationType>hvm</virtualizationType><hypervisor>xen</hypervisor><enaSupport>true</enaSupport><bootMode>uefi-preferred</bootMode>"
    "<platformDetails>Linux/UNIX</platformDetails><usageOperation>RunInstances</usageOperation></item>"
)
TEMPLATE = (
    "<launchTemplateVersionSet><item><launchTemplateId>lt-0123456789abcdef0</launchTemplateId><launchTemplateName>web</launchTemplateName><versionNumber>1</versionNumber>"
    "<defaultVersion>true</defaultVersion><launchTemplateData><imageId>ami-0123456789abcdef0</imageId><instanceType>m5.large</instanceType></launchTemplateData></item></launchTemplateVersionSet>"
)


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


def xml(value):
    """AWS's JSON as EC2 writes it in XML."""
    if isinstance(value, dict):
        return "".join(f"<{key[0].lower()}{key[1:]}>{xml(inner)}</{key[0].lower()}{key[1:]}>" for key, inner in value.items())
    if isinstance(value, list):
        return "".join(f"<item>{xml(inner)}</item>" for inner in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def listed(ask, prefix):
    """`Prefix.1`, `Prefix.2`, … of a query."""
    return [value for key, value in ask.items() if key.startswith(prefix) and key[len(prefix) :].isdigit()]


class Living(Region):
    """Groups that change."""

    def __init__(self, groups, members, swaps):
        super().__init__(0, 0)
        self.state, self.queued, self.ours, self.launched = {}, [], {}, 0
        wishes = {**WISHES, "spot-enabled": "true", "spotward:min-on-demand": str(members - swaps), "team": "shop"}
        for number in range(groups):
            name = f"group-{number:05}"
            seats = {f"i-{number * members + index:017x}": index for index in range(members)}
            self.state[name] = {"max": members + 2, "seats": seats, "tags": dict(wishes), "suspended": set(), "activities": []}
            self.instances.update({instance: {"group": name, "index": index, "type": "m5.large", "spot": False, "tags": {}, "alive": True} for instance, index in seats.items()})
        types = json.loads(gzip.decompress((DATA / "describe_instance_types_2026-10.json.gz").read_bytes()))
        pages = [types[start : start + 100] for start in range(0, len(types), 100)]
        self.types = ["".join(f"<item>{xml(info)}</item>" for info in page) for page in pages]
        with PRICES.open() as file:
            prices = {row["instance_type"]: float(row["usd_per_hour"]) for row in csv.DictReader(file)}
        rows = gzip.decompress((DATA / "offerings_by_az.csv.gz").read_bytes()).decode().splitlines()
        offered = {row["instance_type"]: set(row["azs"].split()) & set(ZONES) for row in csv.DictReader(rows) if row["region"] == REGION}
        self.offerings = "".join(f"<item><instanceType>{name}</instanceType><locationType>availability-zone</locationType><location>{zone}</location></item>" for name, zones in offered.items() for zone in sorted(zones))
        self.spot = "".join(
            f"<item><instanceType>{name}</instanceType><productDescription>Linux/UNIX</productDescription><spotPrice>{prices[name] * 0.35:.6f}</spotPrice><timestamp>2026-01-01T00:00:00.000Z</timestamp><availabilityZone>{zone}</availabilityZone></item>"
            for name, zones in offered.items()
            for zone in sorted(zones)
            if name in prices
        )

    def text_of_group(self, name):
        state = self.state[name]
        text = self.group(name, list(state["seats"]), state["max"], [self.instances[seat]["index"] for seat in state["seats"]], state["tags"])
        suspended = "".join(f"<member><ProcessName>{process}</ProcessName><SuspensionReason>User suspended</SuspensionReason></member>" for process in state["suspended"])
        return text.replace("<SuspendedProcesses/>", f"<SuspendedProcesses>{suspended}</SuspendedProcesses>")

    def text_of_instance(self, instance):
        known = self.instances[instance]
        tags = dict(known["tags"])
        if instance in self.state[known["group"]]["seats"]:
            tags["aws:autoscaling:groupName"] = known["group"]
        text = self.instance(instance, known["group"], known["index"], tags=tags).replace("m5.large", known["type"])
        if known["spot"]:
            text = text.replace("<hypervisor>", "<instanceLifecycle>spot</instanceLifecycle><hypervisor>", 1)
        if "at" in known:
            text = text.replace("<launchTime>2026-01-01T00:00:00.000Z", f"<launchTime>{known['at']}", 1)
        if not known["alive"]:
            text = text.replace("<code>16</code><name>running</name>", "<code>48</code><name>terminated</name>", 1)
        return text

    def answer(self, ask):
        action = ask["Action"]
        group = self.state.get(ask.get("AutoScalingGroupName"))
        handler = getattr(self, f"on_{action}", None)
        if handler is not None:
            return handler(ask, group)
        empty = {"DescribeSpotInstanceRequests": "spotInstanceRequestSet", "DescribeLaunchTemplates": "launchTemplates"}
        if action in empty:
            return EC2.format(action, f"<{empty[action]}/>")
        empty = {"DescribeLifecycleHooks": "LifecycleHooks", "DescribeInstanceRefreshes": "InstanceRefreshes", "DescribeScheduledActions": "ScheduledUpdateGroupActions"}
        return ASG.format(action, f"<{empty[action]}/>") if action in empty else None

    def on_DescribeAutoScalingGroups(self, ask, _):
        names, more = listed(ask, "AutoScalingGroupNames.member."), ""
        if key := ask.get("Filters.member.1.Name"):
            every = [name for name, state in self.state.items() if key.removeprefix("tag:") in state["tags"]] if key.startswith("tag:") else []
            start = int(ask.get("NextToken", 0))
            names = every[start : start + GROUPS_PER_PAGE]
            more = f"<NextToken>{start + GROUPS_PER_PAGE}</NextToken>" if start + GROUPS_PER_PAGE < len(every) else ""
        return ASG.format(ask["Action"], f"<AutoScalingGroups>{''.join(self.text_of_group(name) for name in names if name in self.state)}</AutoScalingGroups>{more}")

    def on_DescribeInstances(self, ask, _):
        wanted = listed(ask, "InstanceId.")
        if not wanted:
            filters = {ask[key]: listed(ask, key.replace("Name", "Value.")) for key in ask if key.startswith("Filter.") and key.endswith(".Name")}
            wanted = [instance for instance in self.ours if all(self.value(instance, name) in values for name, values in filters.items())]
        return EC2.format(ask["Action"], f"<reservationSet>{''.join(map(self.text_of_instance, wanted))}</reservationSet>")

    def value(self, instance, name):
        """What a filter asks for."""
        known = self.instances[instance]
        if name == "instance-state-name":
            return "running" if known["alive"] else "terminated"
        return known["tags"].get(name.removeprefix("tag:"))

    def on_DescribeInstanceTypes(self, ask, _):
        page = int(ask.get("NextToken", 0))
        more = f"<nextToken>{page + 1}</nextToken>" if page + 1 < len(self.types) else ""
        return EC2.format(ask["Action"], f"<instanceTypeSet>{self.types[page]}</instanceTypeSet>{more}")

    def on_DescribeInstanceTypeOfferings(self, ask, _):
        return EC2.format(ask["Action"], f"<instanceTypeOfferingSet>{self.offerings}</instanceTypeOfferingSet>")

    def on_DescribeSpotPriceHistory(self, ask, _):
        return EC2.format(ask["Action"], f"<spotPriceHistorySet>{self.spot}</spotPriceHistorySet>")

    def on_DescribeLaunchTemplateVersions(self, ask, _):
        return EC2.format(ask["Action"], TEMPLATE)

    def on_DescribeImages(self, ask, _):
        return EC2.format(ask["Action"], f"<imagesSet>{IMAGE}</imagesSet>")

    def on_DescribeScalingActivities(self, ask, group):
        return ASG.format(ask["Action"], f"<Activities>{''.join(group['activities'])}</Activities>")

    def on_DescribeInstanceStatus(self, ask, _):
        passed = "".join(
            f"<item><instanceId>{instance}</instanceId><instanceState><code>16</code><name>running</name></instanceState><systemStatus><status>ok</status></systemStatus><instanceStatus><status>ok</status></instanceStatus></item>"
            for instance in listed(ask, "InstanceId.")
        )
        return EC2.format(ask["Action"], f"<instanceStatusSet>{passed}</instanceStatusSet>")

    def on_DescribeInstanceAttribute(self, ask, _):
        return EC2.format(ask["Action"], f"<instanceId>{ask['InstanceId']}</instanceId><disableApiTermination><value>false</value></disableApiTermination>")

    def on_CreateFleet(self, ask, _):
        prefix = next(f"TagSpecification.{number}.Tag." for number in (1, 2) if ask[f"TagSpecification.{number}.ResourceType"] == "instance")
        tags = {value: ask[key.replace(".Key", ".Value")] for key, value in ask.items() if key.startswith(prefix) and key.endswith(".Key")}
        over = "LaunchTemplateConfigs.1.Overrides.1."
        subnet, chosen = ask[f"{over}SubnetId"], ask[f"{over}InstanceType"]
        self.launched += 1
        instance = f"i-f{self.launched:016x}"
        self.instances[instance] = {"group": tags["spotward:asg"], "index": "abc".index(subnet[-1]), "type": chosen, "spot": True, "tags": tags, "alive": True, "at": now()}
        self.ours[instance] = None
        return EC2.format(
            ask["Action"],
            f"<fleetId>fleet-{uuid.uuid4()}</fleetId><fleetInstanceSet><item><launchTemplateAndOverrides><overrides><instanceType>{chosen}</instanceType><subnetId>{subnet}</subnetId></overrides></launchTemplateAndOverrides>"
            f"<lifecycle>spot</lifecycle><instanceIds><item>{instance}</item></instanceIds><instanceType>{chosen}</instanceType></item></fleetInstanceSet><errorSet/>",
        )

    def on_CreateTags(self, ask, _):
        keys = {number: ask[f"Tag.{number}.Key"] for number in range(1, 10) if f"Tag.{number}.Key" in ask}
        tags = self.instances[ask["ResourceId.1"]]["tags"]
        tags.update({key: ask.get(f"Tag.{number}.Value", "") for number, key in keys.items()})
        if tags.get("spotward:role") not in ("replica", "doomed"):
            self.ours.pop(ask["ResourceId.1"], None)
        return EC2.format(ask["Action"], "<return>true</return>")

    def on_DeleteTags(self, ask, _):
        if ask["Version"] == "2011-01-01":
            self.state[ask["Tags.member.1.ResourceId"]]["tags"].pop(ask["Tags.member.1.Key"], None)
            return ASG.format(ask["Action"], "")
        for number in range(1, 10):
            self.instances[ask["ResourceId.1"]]["tags"].pop(ask.get(f"Tag.{number}.Key"), None)
        return EC2.format(ask["Action"], "<return>true</return>")

    def on_CreateOrUpdateTags(self, ask, _):
        self.state[ask["Tags.member.1.ResourceId"]]["tags"][ask["Tags.member.1.Key"]] = ask["Tags.member.1.Value"]
        return ASG.format(ask["Action"], "")

    def on_SuspendProcesses(self, ask, group):
        group["suspended"].update(listed(ask, "ScalingProcesses.member."))
        return ASG.format(ask["Action"], "")

    def on_ResumeProcesses(self, ask, group):
        group["suspended"].difference_update(listed(ask, "ScalingProcesses.member."))
        return ASG.format(ask["Action"], "")

    def activity(self, group, words, cause):
        text = (
            f"<member><ActivityId>{uuid.uuid4()}</ActivityId><AutoScalingGroupName>web</AutoScalingGroupName><Description>{words}</Description><Cause>At {now()} {cause}</Cause>"
            f"<StartTime>{now()}</StartTime><EndTime>{now()}</EndTime><StatusCode>Successful</StatusCode><Progress>100</Progress></member>"
        )
        group["activities"].insert(0, text)
        return text

    def on_AttachInstances(self, ask, group):
        instance = ask["InstanceIds.member.1"]
        size = len(group["seats"])
        if size >= group["max"]:
            return None
        group["seats"][instance] = None
        self.activity(group, f"Attaching an existing EC2 instance: {instance}", f"an instance was attached in response to a user request, increasing the capacity from {size} to {size + 1}.")
        return ASG.format(ask["Action"], "")

    def on_TerminateInstanceInAutoScalingGroup(self, ask, _):
        known = self.instances[ask["InstanceId"]]
        group = self.state[known["group"]]
        size = len(group["seats"])
        del group["seats"][ask["InstanceId"]]
        known["alive"] = False
        text = self.activity(group, f"Terminating EC2 instance: {ask['InstanceId']}", f"instance {ask['InstanceId']} was taken out of service in response to a user request, shrinking the capacity from {size} to {size - 1}.")
        return ASG.format(ask["Action"], text.replace("<member>", "<Activity>", 1).replace("</member>", "</Activity>"))

    def send(self, message):
        """`SendMessage`, in JSON."""
        self.queued.append(message)
        return json.dumps({"MessageId": str(uuid.uuid4()), "MD5OfMessageBody": hashlib.md5(message["MessageBody"].encode()).hexdigest(), "SequenceNumber": "1"})

    def check(self, members, swaps):
        for name, state in self.state.items():
            spot = sum(self.instances[seat]["spot"] for seat in state["seats"])
            rest = {key for key in state["tags"] if key.startswith("spotward:") and key not in WISHES and key != "spotward:min-on-demand"}
            if (spot, len(state["seats"]), state["max"], state["suspended"], rest) != (swaps, members, members + 2, set(), set()):
                raise SystemExit(f"{name} is not as it should be: {state}")


def event(number, message):
    body = message["MessageBody"]
    attributes = {"MessageGroupId": message["MessageGroupId"], "MessageDeduplicationId": message["MessageDeduplicationId"], "ApproximateReceiveCount": "1", "SentTimestamp": "1", "SequenceNumber": "1", "SenderId": "load", "ApproximateFirstReceiveTimestamp": "1"}
    record = {"messageId": f"{number:036}", "receiptHandle": "load", "body": body, "attributes": attributes, "messageAttributes": {}, "md5OfBody": hashlib.md5(body.encode()).hexdigest(), "eventSource": "aws:sqs", "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:spotward.fifo", "awsRegion": REGION}
    return {"Records": [record]}


def run(binary, groups, members, swaps):
    region = Living(groups, members, swaps)
    # On-demand prices from the owner's own file: one protocol less to speak.
    with served(region, binary, SPOTWARD_PRICES=str(PRICES), SPOTWARD_PAUSE_MS="0") as (server, process):
        rows = []
        for number in range(1, 40 * swaps):
            cpu, calls = cpu_seconds(process), sum(server.calls.values())
            answer, wall = server.invoke({"spotward": "tick"})
            rows.append((f"tick {number}, {answer['queued']} of {answer['groups']} groups queued", sum(server.calls.values()) - calls, wall, cpu_seconds(process) - cpu))
            if not answer["queued"]:
                break
            cpu, calls, before, wall = cpu_seconds(process), sum(server.calls.values()), region.launched, 0.0
            messages, region.queued = region.queued, []
            for place, message in enumerate(messages):
                answer, seconds = server.invoke(event(place, message))
                wall += seconds
                if answer["batchItemFailures"]:
                    raise SystemExit(f"message {place} failed")
            rows.append((f"{len(messages)} messages, {region.launched - before} launches", sum(server.calls.values()) - calls, wall, cpu_seconds(process) - cpu))
        region.check(members, swaps)
        return rows, peak_mib(process), server.calls


if __name__ == "__main__":
    binary = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/bootstrap").resolve()
    groups, members, swaps = (int(sys.argv[place]) if len(sys.argv) > place else value for place, value in ((2, 1000), (3, 10), (4, 1)))
    rows, peak, calls = run(binary, groups, members, swaps)
    print(f"{groups} groups of {members} members, {swaps} of each replaced")
    for what, count, wall, cpu in rows:
        print(f"{what}: {count} calls, {wall:.1f} s, of these {cpu:.2f} s on a CPU")
    total = groups * swaps
    print(f"a swap: {sum(row[1] for row in rows) / total:.1f} calls, {sum(row[3] for row in rows) / total * 1000:.1f} ms on a CPU; most: " + ", ".join(f"{name} {count}" for name, count in calls.most_common(8)))
    print(f"peak memory {peak:.1f} MiB")
