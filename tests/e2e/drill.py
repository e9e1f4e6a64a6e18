"""How a notice travels, on this machine alone, with the time of each step.

A mock metadata service announces the end of a spot member; the real watcher on it publishes that to the stack's topic; the real
function, deployed from the real template, launches a replacement, waits until the watcher *there* says that it is ready
(`spotward:readiness=watcher`), attaches it, and takes the dying member out, all before its two minutes are over.

What is not real: EC2, Auto Scaling and SNS (the stage and MiniStack), so boots take no time and networks neither.
"""

import argparse
import datetime
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import cloud as clouds
import demo
import product
import servers

ACCOUNT = "123456789012"
GROUP = "web"
SIZE = 2
#: How long everything may take that comes before the notice.
PATIENCE_SECONDS = 90
ROLE = "web-role"


class Imds:
    """A metadata service, version 2 only, of one instance."""

    def __init__(self, instance_id, region, account):
        self.lock = threading.Lock()
        self.items = {
            "dynamic/instance-identity/document": json.dumps({"accountId": account, "instanceId": instance_id, "region": region}),
            "meta-data/instance-life-cycle": "spot",
            "meta-data/autoscaling/target-lifecycle-state": "InService",
            "meta-data/iam/security-credentials/": ROLE,
            f"meta-data/iam/security-credentials/{ROLE}": json.dumps(
                # MiniStack reads the account from the access key.
                {"Code": "Success", "AccessKeyId": account, "SecretAccessKey": "secret", "Token": "token", "Expiration": iso(time.time() + 6 * 3600)}
            ),
        }
        self.seen_at = None
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def announce(self, action, at):
        """Posts a notice."""
        with self.lock:
            self.items["meta-data/spot/instance-action"] = json.dumps({"action": action, "time": iso(at)})

    def handler(imds):
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, text=""):
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                if status == 200 and self.command == "PUT":
                    self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
                self.end_headers()
                self.wfile.write(body)

            def do_PUT(self):
                known = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
                self.answer(200, "TOKEN==") if known else self.answer(400)

            def do_GET(self):
                if self.headers.get("X-aws-ec2-metadata-token") != "TOKEN==":
                    return self.answer(401)
                path = self.path.removeprefix("/latest/")
                with imds.lock:
                    text = imds.items.get(path)
                    if text is not None and path.endswith("/instance-action") and imds.seen_at is None:
                        imds.seen_at = time.time()
                return self.answer(404) if text is None else self.answer(200, text)

            def log_message(self, *_):
                pass

        return Handler

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Watcher:
    """The real watcher with a metadata service of its own, as on one instance."""

    def __init__(self, instance_id, region, topic, sns_url, directory, screen):
        self.instance_id, self.screen, self.lines = instance_id, screen, []
        self.imds = Imds(instance_id, region, ACCOUNT)
        state = directory / instance_id
        state.mkdir()
        #: What an owner's drain would be: here it only takes its time.
        drain = state / "drain.sh"
        drain.write_text("#!/bin/sh\nsleep 2\n")
        drain.chmod(0o755)
        command = [
            watcher_binary(),
            *("--topic", topic),
            *("--sns-endpoint", sns_url),
            *("--imds-endpoint", self.imds.url),
            *("--state-dir", str(state / "run")),
            *("--hook", str(drain)),
            *("--other-every", "1"),
            *("--ready-uptime", "1"),
            *("--ready-times", "1"),
        ]
        environment = {"PATH": os.environ["PATH"]}
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stderr:
            text = line.strip()
            self.lines.append((time.time(), text))
            if any(word in text for word in ("published", "left", "drain", "ready")):
                self.screen.step(f"watcher  {self.instance_id}: {text}")

    def when(self, *words):
        """When it first said a line with all of these words; None if it has not."""
        return next((at for at, text in list(self.lines) if all(word in text for word in words)), None)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.imds.stop()


class Watchers:
    """One watcher on each instance that the function launches, as the user data of its template would start it."""

    def __init__(self, region, topic, sns_url, directory, screen):
        self.region, self.start, self.of, self.ended = region, (topic, sns_url, directory, screen), {}, False
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        while not self.ended:
            for instance in self.region.alive():
                name = instance["InstanceId"]
                if demo.is_spot(instance) and instance["State"]["Name"] == "running" and name not in self.of and not self.ended:
                    self.of[name] = Watcher(name, self.region.region, *self.start)
            time.sleep(0.2)

    def stop(self):
        self.ended = True
        self.thread.join(10)
        for watcher in self.of.values():
            watcher.stop()


def iso(at):
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def watcher_binary():
    path = servers.ROOT / os.environ.get("SPOTWARD_WATCHER_BIN", "target/watcher/spotward-watcher")
    if not path.exists():
        raise servers.ServerFailed(f"{path} is missing: run `make watcher` first")
    return str(path)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--notice", type=int, default=120, metavar="SECONDS", help="how long before its end the member is told (default 120)")
    arguments = options.parse_args()
    return demo.perform("drill", lambda *stage: play(*stage, arguments.notice))


def play(screen, directory, running, notice):
    screen.title("The stage")
    moto = servers.start_moto(directory)
    running.append(moto)
    stage = servers.start_stage(moto, directory)
    running.append(stage)
    port = servers.free_port()
    environment = product.function_environment(stage.url, f"http://127.0.0.1:{port}")
    ministack = servers.start_ministack(directory, ACCOUNT, environment, port)
    running.append(ministack)
    screen.step("EC2, Auto Scaling, prices (moto behind our strict proxy); Lambda, SNS, SQS (MiniStack)")
    region = clouds.new_cloud(stage.url, account=ACCOUNT).network()
    tags = {"spotward:pool-loss": ("100%", False), "spotward:readiness": ("watcher", False)}
    region.group(GROUP, size=SIZE, zones=1, tags=tags)
    function = product.deploy(ministack.url, ACCOUNT, region.region)
    topic = function.outputs()["WatcherTopicArn"]
    screen.step(f"template.yaml is deployed; a group of {SIZE} on-demand members waits for the watchers of its replicas; topic {topic.rsplit(':', 1)[-1]}")
    watchers = Watchers(region, topic, ministack.url, directory, screen)
    running.append(watchers)

    screen.title("Before: the group is converted, each replica joins when its watcher says ready")
    function.tick()
    wait(lambda: is_at_rest(region) and all(demo.is_spot(member) for member in region.group_instances(GROUP)), "the group is on spot")
    # Whoever ticks has the prices at hand.
    function.tick()
    before = region.describe(GROUP)
    members = [member["InstanceId"] for member in region.group_instances(GROUP)]
    screen.step(f"on spot: {', '.join(members)}")

    dying = members[0]
    screen.title(f"The notice: {dying} ends in {notice} s")
    mark = region.control.mark()
    posted = time.time()
    region.control.interrupt(dying, in_seconds=float(notice))
    watchers.of[dying].imds.announce("terminate", posted + notice)
    screen.step("the metadata service of the instance announces its end")
    lowest = follow(screen, region, mark, dying, posted + notice)
    # The drain may still be at its end.
    wait(lambda: watchers.of[dying].when("drained: published"), "the drain is reported")
    return tell(screen, region, function, watchers, before, dying, mark, posted, notice, lowest)


def wait(is_so, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.1)


def is_at_rest(region):
    group = region.describe(GROUP)
    in_service = [member for member in group["Instances"] if member["LifecycleState"] == "InService"]
    in_flight = any(tag["Key"] == "spotward:swap" for tag in group["Tags"])
    return not in_flight and len(in_service) == len(group["Instances"]) == group["DesiredCapacity"] == SIZE


def follow(screen, region, mark, dying, end):
    """Says what the function does until the dying member is out and the group at rest, or its time is up; the fewest members in service meanwhile."""
    seen, lowest = mark, SIZE
    while time.time() < end:
        for call in region.control.calls(since=seen, agent=product.AGENT):
            if call["status"] is None:
                break
            seen = call["n"]
            if sentence := said(call):
                screen.step(f"function {sentence}")
        group = region.describe(GROUP)
        in_service = [member["InstanceId"] for member in group["Instances"] if member["LifecycleState"] == "InService"]
        lowest = min(lowest, len(in_service))
        if dying not in in_service and is_at_rest(region):
            break
        time.sleep(0.1)
    return lowest


def said(call):
    marks_ready = call["action"] == "CreateTags" and "spotward:ready" in call["params"].values()
    if marks_ready:
        return f"{GROUP:<8} writes down that {call['params'].get('ResourceId.1')} is ready"
    return demo.told(call, {})


def facts(group):
    """What must be as before. That the pool of the dying member cools for a while is written down on the group."""
    found = demo.facts(group)
    return {**found, "tags": [tag for tag in found["tags"] if tag[0] != "spotward:backoff"]}


def tell(screen, region, function, watchers, before, dying, mark, posted, notice, lowest):
    """The steps with their times, and what must hold."""
    calls = [call for call in region.control.calls(since=mark, agent=product.AGENT) if call["mutating"] and not call["error"]]
    born = [found["InstanceId"] for found in region.instances(**{"tag:spotward:victim": dying})]
    replacement = watchers.of[born[0]] if born else None

    def called(action, word=None):
        found = (call for call in calls if call["action"] == action and (word is None or word in call["params"].values()))
        return next((datetime.datetime.fromisoformat(call["at"].replace("Z", "+00:00")).timestamp() for call in found), None)

    one = watchers.of[dying]
    steps = [
        ("the metadata service announces the end", posted),
        ("the watcher asks for it (every 2 s)", one.imds.seen_at),
        ("SNS has accepted its message", one.when("interruption: published")),
        ("the function asks EC2 for a replacement", called("CreateFleet")),
        ("the watcher on the replacement says ready, SNS accepts", replacement and replacement.when("ready: published")),
        ("the function writes that down", called("CreateTags", "spotward:ready")),
        ("the replacement is attached", called("AttachInstances")),
        ("the dying member is taken out, desired as before", called("TerminateInstanceInAutoScalingGroup")),
        ("its own drain (2 s) has ended and is reported", one.when("drained: published")),
    ]
    screen.title("How the notice travelled")
    for what, at in steps:
        screen.plain(f"  {'never' if at is None else f'{at - posted:6.2f} s':>9}  {what}")
    screen.plain(f"  {float(notice):6.2f} s  EC2 would have ended the instance")
    screen.title("Promises")
    after = region.describe(GROUP)
    order = [at for _, at in steps[:-1]]
    verdicts = [
        screen.verdict(None not in order and order == sorted(order), "every step was taken, in this order"),
        screen.verdict(is_at_rest(region) and dying not in region.members(GROUP), f"the group is at rest without {dying}"),
        screen.verdict(lowest >= SIZE, f"never fewer than {SIZE} members in service (lowest {lowest})"),
        screen.verdict(len(born) == 1, f"{len(born)} replacement launched"),
        screen.verdict(facts(before) == facts(after), "sizes, suspended processes and tags of the group are as before"),
        screen.verdict(sum("interruption: published" in text for _, text in one.lines) == 1, "the notice was published once"),
    ]
    if not all(verdicts):
        demo.show_log(screen, function)
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(main())
