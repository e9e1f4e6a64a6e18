"""One region being converted, from `sam deploy` to the last swap, on this machine alone.

Starts the stage (moto behind our strict proxy, MiniStack beside it), deploys the real template with the real binary, makes four
Auto Scaling groups, and lets the schedule and the queue drive the function. `--keep` leaves everything running afterwards for a
look around with `spotward` or the AWS CLI, until Ctrl-C.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import shlex
import shutil
import signal
import sys
import tempfile
import time

import cloud as clouds
import product
import servers

ACCOUNT = "123456789012"
HOURS_PER_MONTH = 730
SETTLE_SECONDS = 120
FIRST_TICK_SECONDS = 100

#: The function's retry window has to be short as well: in ninety seconds nothing else gets a second chance.
SETTINGS = {"retry_window": "30s"}

GROUPS = {
    "shop": "launch template, room to spare, keeps one member on-demand",
    "workers": "min = max = desired: MaxSize has to give way for each swap",
    "legacy": "made from a launch configuration",
    "billing": "not tagged: must stay untouched",
}


class Screen:
    """What the demo says: plain lines with the seconds since the start, colours on a terminal only."""

    def __init__(self):
        self.start = time.monotonic()
        self.colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def paint(self, text, code):
        return f"\033[{code}m{text}\033[0m" if self.colours else text

    def title(self, text):
        print(f"\n{self.paint(text, '1')}", flush=True)

    def step(self, text):
        print(f"{self.paint(f'{time.monotonic() - self.start:6.1f} s', '2')}  {text}", flush=True)

    def plain(self, text=""):
        print(text, flush=True)

    def verdict(self, good, text):
        mark = self.paint("ok", "32") if good else self.paint("WRONG", "31;1")
        print(f"  {mark:<5}  {text}", flush=True)
        return good


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


def stop(_signal, _frame):
    raise Stopped


def perform(name, play):
    """Runs a play with a screen, a directory and a list for its servers; ends them whatever happens. The exit status."""
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    screen = Screen()
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"spotward-{name}-"))
    running = []
    good = stopped = False
    try:
        good = play(screen, directory, running)
    except Stopped:
        stopped = True
        screen.plain("\nStopped.")
    except (servers.ServerFailed, TimeoutError) as failure:
        screen.plain(f"\n{failure}")
    finally:
        # A second Ctrl-C must not leave half of them alive.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in reversed(running):
            process.stop()
        if good or stopped:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            screen.plain(f"Logs are kept in {directory}")
    # A shell's own status for Ctrl-C.
    return 0 if good else 130 if stopped else 1


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--keep", action="store_true", help="leave everything running at the end, until Ctrl-C")
    arguments = options.parse_args()
    return perform("demo", lambda *stage: play(*stage, arguments.keep))


class Deployment:
    """`sam deploy` while the groups are being made."""

    def __init__(self, process, log_path):
        self.process, self.log_path = process, log_path

    def wait(self):
        if self.process.wait(120) != 0:
            raise servers.ServerFailed(f"sam deploy failed:\n{self.log_path.read_text()[-3000:]}")

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def play(screen, directory, running, keep):
    screen.title("The stage")
    moto = servers.start_moto(directory)
    running.append(moto)
    stage = servers.start_stage(moto, directory)
    running.append(stage)
    port = servers.free_port()
    environment = product.function_environment(stage.url, f"http://127.0.0.1:{port}")
    ministack = servers.start_ministack(directory, ACCOUNT, environment, port)
    running.append(ministack)
    screen.step(f"EC2, Auto Scaling, load balancers, prices  {stage.url}  (moto behind our strict proxy)")
    screen.step(f"Lambda, SQS, Scheduler, CloudFormation     {ministack.url}  (MiniStack)")

    log_path = directory / "sam-deploy.log"
    with open(log_path, "wb") as log:
        deploying = product.sam_deploy(ministack.url, directory / "sam", ACCOUNT, log=log, **SETTINGS)
    deployment = Deployment(deploying, log_path)
    running.append(deployment)
    screen.step("sam deploy of template.yaml with the release binary has begun")

    region = clouds.new_cloud(stage.url, account=ACCOUNT).network()
    make_groups(region)
    before = {name: look(region, name) for name in GROUPS}
    screen.step("four groups over three zones are up")
    screen.title("Before")
    prices = Prices(region)
    show_groups(screen, before, prices)
    screen.title("What spotward would do (spotward plan)")
    plan = product.spotward(region, "plan", expect=None, **SETTINGS)
    for line in plan.rstrip().splitlines():
        screen.plain(f"  {line}")
    mark = region.control.mark()

    screen.title("Deployment")
    deployment.wait()
    function = product.Function(ministack.url, ACCOUNT, region.region)
    outputs = function.outputs()
    screen.step(f"deployed: function {outputs['FunctionName']}, queue {outputs['QueueUrl'].rsplit('/', 1)[-1]}, a schedule of one minute")
    waits = ", ".join(f"{key}={value}" for key, value in {**product.FAST, **{k.replace('_', '-'): v for k, v in SETTINGS.items()}}.items())
    screen.step(f"set short for this demo: {waits}, a look every {product.parameters()['PauseMilliseconds']} ms")

    screen.title("Swaps (waiting for the schedule to fire for the first time, up to a minute)")
    settled = watch(screen, region, function, before, mark)

    after = {name: look(region, name) for name in GROUPS}
    screen.title("After")
    show_swaps(screen, region, before, after, prices)
    calls = region.control.calls(since=mark, agent=product.AGENT)
    screen.title("Calls made by the function")
    show_calls(screen, calls)
    screen.title("Promises")
    good = check(screen, region, before, after, calls, settled)
    page = report(screen, region, function)
    took = time.monotonic() - screen.start
    screen.plain(f"\n{'Everything held' if good else 'Something did not hold'}, after {took:.0f} s.")
    screen.plain(f"The report on what these minutes saved: {screen.paint(page.as_uri(), '1')}")
    if keep:
        invite(screen, region)
        signal.pause()
    return good


def make_groups(region):
    template = region.template()
    group_of = region.group
    group_of("shop", size=4, template=template, tags={"spotward:min-on-demand": ("1", False)})
    group_of("workers", size=2, template=region.template(instance_type="c5.xlarge"), MinSize=2, MaxSize=2)
    group_of("legacy", size=2, configuration=region.launch_configuration(instance_type="r5.large"))
    group_of("billing", size=2, template=template, enabled=False)


def look(region, name):
    """A group and its members, as the tables need them."""
    group = region.describe(name)
    instances = {instance["InstanceId"]: instance for instance in region.group_instances(name)}
    return {"group": group, "instances": instances}


class Prices:
    """Per hour, asked from the stage's price list and spot price history."""

    def __init__(self, region):
        self.region, self.on_demand, self.spot = region, {}, {}

    def of(self, instance):
        kind, zone = instance["InstanceType"], instance["Placement"]["AvailabilityZone"]
        return self.spot_price(kind, zone) if is_spot(instance) else self.on_demand_price(kind)

    def on_demand_price(self, kind):
        if kind not in self.on_demand:
            fields = {"instanceType": kind, "operation": "RunInstances", "tenancy": "Shared", "capacitystatus": "Used"}
            filters = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in {**fields, "regionCode": self.region.region}.items()]
            (item,) = self.region.client("pricing").get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]
            (term,) = json.loads(item)["terms"]["OnDemand"].values()
            (dimension,) = term["priceDimensions"].values()
            self.on_demand[kind] = float(dimension["pricePerUnit"]["USD"])
        return self.on_demand[kind]

    def spot_price(self, kind, zone):
        if (kind, zone) not in self.spot:
            now = datetime.datetime.now(datetime.UTC)
            found = self.region.ec2.describe_spot_price_history(
                InstanceTypes=[kind], AvailabilityZone=zone, ProductDescriptions=["Linux/UNIX"], StartTime=now
            )["SpotPriceHistory"]
            self.spot[kind, zone] = float(found[0]["SpotPrice"])
        return self.spot[kind, zone]


def is_spot(instance):
    return instance.get("InstanceLifecycle") == "spot"


def by_zone(look_):
    return sorted(look_["instances"].values(), key=lambda found: (found["Placement"]["AvailabilityZone"], found["InstanceId"]))


def describe(instance, prices):
    market = "spot" if is_spot(instance) else "on-demand"
    return f"{instance['InstanceType']:<12} {market:<9} ${prices.of(instance):.4f}"


def show_groups(screen, looks, prices):
    for name, found in looks.items():
        group = found["group"]
        sizes = f"min {group['MinSize']}  desired {group['DesiredCapacity']}  max {group['MaxSize']}"
        screen.plain(f"  {screen.paint(name, '1')}  {sizes}  ({GROUPS[name]})")
        for instance in by_zone(found):
            screen.plain(f"    {instance['InstanceId']}  {instance['Placement']['AvailabilityZone']}  {describe(instance, prices)}")


def report(screen, region, function):
    """What was saved so far, from the function's own log lines and the region's price history; the page's path."""
    screen.title("Saved so far (spotward report)")
    # The tick after the last swap writes down who is left; a schedule would come within the minute.
    function.tick()
    page = servers.ROOT / "target" / "demo-report.html"
    lines = "\n".join(function.log())
    told = product.spotward(region, "report", "--from", "-", "--look", stdin=lines)
    for line in told.rstrip().splitlines():
        screen.plain(f"  {line}")
    page.parent.mkdir(parents=True, exist_ok=True)
    product.spotward(region, "report", "--from", "-", "--look", "--html", str(page), stdin=lines)
    return page


# ---- while it happens ------------------------------------------------------------------------------------------------------


def watch(screen, region, function, before, mark):
    """Prints what the function does, until every enabled group is as it should be; answers whether that came to pass."""
    seen, first = mark, None
    groups_of = {instance: name for name, found in before.items() for instance in found["instances"]}
    start = time.monotonic()
    while True:
        for call in region.control.calls(since=seen, agent=product.AGENT):
            if call["status"] is None:
                break
            seen = call["n"]
            if first is None:
                first = time.monotonic()
                screen.step("the schedule has fired: the function looks at all enabled groups")
            if sentence := told(call, groups_of):
                screen.step(sentence)
        if first is not None and is_settled(region):
            return True
        if first is None and time.monotonic() - start > FIRST_TICK_SECONDS:
            screen.step("the schedule has not fired")
            show_log(screen, function)
            return False
        if first is not None and time.monotonic() - first > SETTLE_SECONDS:
            screen.step(f"not settled {SETTLE_SECONDS} s after the first tick")
            show_log(screen, function)
            return False
        time.sleep(0.3)


def show_log(screen, function):
    for line in function.log()[-20:]:
        screen.plain(f"    {line[:400]}")


def told(call, groups_of):
    """One sentence for a call that changes something; none for a look."""
    if not call["mutating"]:
        return None
    params = call["params"]
    tags = {
        params[key]: params.get(key[: -len("Key")] + "Value", "") for key in params if key.endswith(".Key") and not key.startswith("Filter")
    }
    name = params.get("AutoScalingGroupName") or params.get("Tags.member.1.ResourceId") or tags.get("spotward:asg") or ""
    instance = params.get("InstanceId") or params.get("InstanceIds.member.1") or params.get("InstanceId.1") or params.get("ResourceId.1") or ""
    name = name or groups_of.get(instance, "")
    if call["action"] == "CreateFleet":
        types = {value for key, value in params.items() if key.endswith(".InstanceType")}
        text = f"asks for a spot replica of {tags.get('spotward:victim', '?')}, {len(types)} instance types to choose from"
    elif call["action"] == "UpdateAutoScalingGroup":
        text = f"MaxSize is now {params.get('MaxSize')}"
    else:
        text = {
            "CreateLaunchTemplate": "derives a template from the launch configuration",
            "AttachInstances": f"attaches {instance}",
            "TerminateInstanceInAutoScalingGroup": f"ends {instance} and lowers desired by one",
            "TerminateInstances": f"ends {instance}",
            "CreateOrUpdateTags": "writes the journal of the swap",
            "DeleteTags": "drops the journal of the swap" if call["service"] == "autoscaling" else "",
            "SuspendProcesses": "suspends AZRebalance",
            "ResumeProcesses": "resumes AZRebalance",
            "CreateTags": "",
        }.get(call["action"], call["action"])
        if not text:
            return None
    failed = f"  ({call['error']})" if call["error"] else ""
    return f"{name:<8} {text}{failed}"


def is_settled(region):
    """Whether every enabled group is down to its floor, with no swap in flight."""
    for name in GROUPS:
        group = region.describe(name)
        tags = {tag["Key"]: tag["Value"] for tag in group["Tags"]}
        if tags.get("spot-enabled") != "true":
            continue
        floor = int(tags.get("spotward:min-on-demand", "0"))
        on_demand = sum(not is_spot(instance) for instance in region.group_instances(name))
        in_flight = any(key.startswith("spotward:swap") for key in tags)
        if on_demand > floor or in_flight or len(group["Instances"]) != group["DesiredCapacity"]:
            return False
    return not strays(region)


def strays(region):
    """Instances of ours that are in no group."""
    return [
        instance["InstanceId"]
        for instance in region.alive()
        if clouds.tags_of(instance).get("spotward:role") in ("replica", "doomed") or "aws:autoscaling:groupName" not in clouds.tags_of(instance)
    ]


# ---- afterwards ------------------------------------------------------------------------------------------------------------


def show_swaps(screen, region, before, after, prices):
    total = 0.0
    for name in GROUPS:
        old, new = before[name]["instances"], after[name]["instances"]
        came = {clouds.tags_of(instance).get("spotward:victim"): instance for key, instance in new.items() if key not in old}
        saved = 0.0
        screen.plain(f"  {screen.paint(name, '1')}")
        for instance in by_zone(before[name]):
            zone, key = instance["Placement"]["AvailabilityZone"], instance["InstanceId"]
            left = f"    {zone}  {key}  {describe(instance, prices)}"
            if key in new:
                screen.plain(f"{left}   stays")
            elif key in came:
                replica = came[key]
                saved += prices.of(instance) - prices.of(replica)
                screen.plain(f"{left}   ->  {replica['InstanceId']}  {describe(replica, prices)}")
            else:
                screen.plain(f"{left}   ->  gone")
        total += saved
        screen.plain(f"    saves ${saved * HOURS_PER_MONTH:,.2f} per month")
    cost = sum(prices.of(instance) for found in before.values() for instance in found["instances"].values())
    share = total / cost if cost else 0
    screen.plain(f"  {screen.paint(f'All groups: ${total * HOURS_PER_MONTH:,.2f} of ${cost * HOURS_PER_MONTH:,.2f} per month saved ({share:.0%})', '1')}")
    return total


def show_calls(screen, calls):
    for mutating, label in ((True, "changing"), (False, "looking")):
        count = collections.Counter(call["action"] for call in calls if call["mutating"] == mutating)
        listed = ", ".join(f"{action} {number}" for action, number in count.most_common())
        screen.plain(f"  {label:<9}{sum(count.values()):>4}  {listed}")


def facts(group):
    """What of a group must be afterwards as it was before."""
    tags = sorted((tag["Key"], tag["Value"], tag["PropagateAtLaunch"]) for tag in group["Tags"])
    suspended = sorted(process["ProcessName"] for process in group["SuspendedProcesses"])
    sizes = (group["MinSize"], group["DesiredCapacity"], group["MaxSize"])
    return {"sizes": sizes, "suspended processes": suspended, "tags": tags}


def check(screen, region, before, after, calls, settled):
    verdicts = [screen.verdict(settled, "every enabled group is on spot, down to the members that it keeps on-demand")]
    for name in GROUPS:
        old, new = facts(before[name]["group"]), facts(after[name]["group"])
        changed = [f"{what}: {old[what]} -> {new[what]}" for what in old if old[what] != new[what]]
        text = f"{name}: desired, min, max, suspended processes and tags are as before"
        verdicts.append(screen.verdict(not changed, text if not changed else f"{name}: {'; '.join(changed)}"))
    untouched = {"billing", *before["billing"]["instances"]}
    touching = [call["action"] for call in calls if call["mutating"] and untouched & set(call["params"].values())]
    verdicts.append(screen.verdict(not touching, f"billing saw {len(touching)} changing calls"))
    same = set(before["billing"]["instances"]) == set(after["billing"]["instances"])
    verdicts.append(screen.verdict(same, "billing has the members that it had"))
    left = strays(region)
    verdicts.append(screen.verdict(not left, f"{len(left)} instances are left outside their groups"))
    derived = [
        found["LaunchTemplateName"]
        for found in region.ec2.describe_launch_templates()["LaunchTemplates"]
        if found["LaunchTemplateName"].startswith("spotward")
    ]
    verdicts.append(screen.verdict(len(derived) == 1, f"{len(derived)} derived template, for the one launch configuration"))
    return all(verdicts)


def invite(screen, region):
    """How to go on looking by hand."""
    screen.title("Everything is still running. In another shell:")
    wanted = {key: value for key, value in region.environment(SPOTWARD_DEFAULTS=product.defaults(**SETTINGS)).items() if key.startswith(("AWS_", "SPOTWARD_"))}
    for key, value in sorted(wanted.items()):
        screen.plain(f"  export {key}={shlex.quote(value)}")
    screen.plain(f"  {product.binary('spotward')} plan --all")
    screen.plain("Ctrl-C stops it.")


if __name__ == "__main__":
    sys.exit(main())
