"""The real function against a server of canned answers: what ticks over many idle groups cost (docs/scale.md).

    python3 tests/scale/load.py target/release/bootstrap [groups] [members] [ticks]

One process stands in for Auto Scaling, EC2 and Lambda's Runtime API, with pages as large as AWS's and answers as long. It answers from
memory: what is measured is the function. Every group is enabled and keeps its members on-demand, so a tick reads everything
and changes nothing; a call that changes something ends the run.
"""

import collections
import contextlib
import http.server
import json
import pathlib
import queue
import subprocess
import sys
import threading
import time
import urllib.parse

from usage import cpu_seconds, peak_mib

REGION, ACCOUNT = "us-east-1", "123456789012"
ZONES = [f"{REGION}{letter}" for letter in "abc"]
ASG = '<{0}Response xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><{0}Result>{1}</{0}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{0}Response>'
EC2 = '<?xml version="1.0" encoding="UTF-8"?><{0}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>{1}</{0}Response>'
GROUPS_PER_PAGE = 100
#: Enabled, and with nothing to do.
IDLE = {"spot-enabled": "true", "spotward:min-on-demand": "100%", "team": "shop"}


class Region:
    """Groups and members as text, made once."""

    def __init__(self, groups, members):
        self.groups, self.instances = [], {}
        for number in range(groups):
            name = f"group-{number:05}"
            ids = [f"i-{number * members + index:017x}" for index in range(members)]
            self.groups.append(self.group(name, ids))
            self.instances.update({instance: self.instance(instance, name, index) for index, instance in enumerate(ids)})

    @staticmethod
    def group(name, ids, max_size=None, places=None, tags=IDLE):
        """`places`: the zone's number for each of `ids`; they go round without."""
        max_size, places = max_size or len(ids) + 2, places or range(len(ids))
        arn = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:00000000-0000-4000-8000-000000000000:autoScalingGroupName/{name}"
        template = "<LaunchTemplate><LaunchTemplateId>lt-0123456789abcdef0</LaunchTemplateId><LaunchTemplateName>web</LaunchTemplateName><Version>1</Version></LaunchTemplate>"
        members = "".join(
            f"<member><InstanceId>{instance}</InstanceId><InstanceType>m5.large</InstanceType><AvailabilityZone>{ZONES[place % 3]}</AvailabilityZone>"
            f"<LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn>{template}</member>"
            for place, instance in zip(places, ids)
        )
        tags = "".join(
            f"<member><ResourceId>{name}</ResourceId><ResourceType>auto-scaling-group</ResourceType><Key>{key}</Key><Value>{value}</Value><PropagateAtLaunch>false</PropagateAtLaunch></member>"
            for key, value in {**tags, "Name": name}.items()
        )
        zones = "".join(f"<member>{zone}</member>" for zone in ZONES)
        return (
            f"<member><AutoScalingGroupName>{name}</AutoScalingGroupName><AutoScalingGroupARN>{arn}</AutoScalingGroupARN>{template}<MinSize>0</MinSize>"
            f"<MaxSize>{max_size}</MaxSize><DesiredCapacity>{len(ids)}</DesiredCapacity><DefaultCooldown>300</DefaultCooldown><AvailabilityZones>{zones}</AvailabilityZones>"
            f"<LoadBalancerNames/><TargetGroupARNs/><HealthCheckType>EC2</HealthCheckType><HealthCheckGracePeriod>300</HealthCheckGracePeriod><Instances>{members}</Instances>"
            f"<CreatedTime>2026-01-01T00:00:00.000Z</CreatedTime><SuspendedProcesses/><VPCZoneIdentifier>subnet-0a,subnet-0b,subnet-0c</VPCZoneIdentifier><EnabledMetrics/>"
            f"<Tags>{tags}</Tags><TerminationPolicies><member>Default</member></TerminationPolicies><NewInstancesProtectedFromScaleIn>false</NewInstancesProtectedFromScaleIn>"
            f"<ServiceLinkedRoleARN>arn:aws:iam::{ACCOUNT}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling</ServiceLinkedRoleARN></member>"
        )

    @staticmethod
    def instance(instance, group, index, tags=None):
        tags = {"aws:autoscaling:groupName": group} if tags is None else tags
        tags = "".join(f"<item><key>{key}</key><value>{value}</value></item>" for key, value in {**tags, "team": "shop", "Name": group}.items())
        return (
            f"<item><reservationId>r-{instance[2:]}</reservationId><ownerId>{ACCOUNT}</ownerId><groupSet/><instancesSet><item><instanceId>{instance}</instanceId>"
            f"<imageId>ami-0123456789abcdef0</imageId><instanceState><code>16</code><name>running</name></instanceState><privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName><dnsName/>"
            f"<reason/><keyName>ops</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>m5.large</instanceType><launchTime>2026-01-01T00:00:00.000Z</launchTime>"
            f"<placement><availabilityZone>{ZONES[index % 3]}</availabilityZone><groupName/><tenancy>default</tenancy></placement><monitoring><state>enabled</state></monitoring>"
            f"<subnetId>subnet-0{'abc'[index % 3]}</subnetId><vpcId>vpc-0a</vpcId><privateIpAddress>10.0.0.1</privateIpAddress><sourceDestCheck>true</sourceDestCheck>"
            f"<groupSet><item><groupId>sg-0a</groupId><groupName>web</groupName></item></groupSet><architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName>"
            f"<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-0{instance[3:]}</volumeId><status>attached</status><attachTime>2026-01-01T00:00:01.000Z</attachTime><deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping>"
            f"<virtualizationType>hvm</virtualizationType><clientToken/><tagSet>{tags}</tagSet><hypervisor>xen</hypervisor>"
            f"<networkInterfaceSet><item><networkInterfaceId>eni-0{instance[3:]}</networkInterfaceId><subnetId>subnet-0a</subnetId><vpcId>vpc-0a</vpcId><status>in-use</status>"
            f"<attachment><attachmentId>eni-attach-0a</attachmentId><deviceIndex>0</deviceIndex><status>attached</status><attachTime>2026-01-01T00:00:00.000Z</attachTime><deleteOnTermination>true</deleteOnTermination></attachment>"
            f"<privateIpAddressesSet/></item></networkInterfaceSet><ebsOptimized>true</ebsOptimized><enaSupport>true</enaSupport><cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>"
            f"<metadataOptions><state>applied</state><httpTokens>required</httpTokens><httpPutResponseHopLimit>2</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint></metadataOptions>"
            f"<platformDetails>Linux/UNIX</platformDetails><usageOperation>RunInstances</usageOperation></item></instancesSet></item>"
        )

    def answer(self, ask):
        action = ask["Action"]
        if action == "DescribeAutoScalingGroups":
            by_tag = ask.get("Filters.member.1.Name") == "tag:spot-enabled"
            start = int(ask.get("NextToken", 0))
            page = self.groups[start : start + GROUPS_PER_PAGE] if by_tag else []
            more = f"<NextToken>{start + GROUPS_PER_PAGE}</NextToken>" if by_tag and start + GROUPS_PER_PAGE < len(self.groups) else ""
            return ASG.format(action, f"<AutoScalingGroups>{''.join(page)}</AutoScalingGroups>{more}")
        if action == "DescribeInstances":
            wanted = [value for key, value in ask.items() if key.startswith("InstanceId.")]
            return EC2.format(action, f"<reservationSet>{''.join(self.instances[instance] for instance in wanted)}</reservationSet>")
        if action == "DescribeSpotInstanceRequests":
            return EC2.format(action, "<spotInstanceRequestSet/>")
        if action == "DescribeLaunchTemplates":
            return EC2.format(action, "<launchTemplates/>")
        return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def reply(self, status, text, **headers):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        # The Runtime API: blocks until there is an event.
        event = self.server.events.get()
        if event is None:
            self.close_connection = True
            return
        self.server.given = time.monotonic()
        deadline = str(int(time.time() * 1000) + 120_000)
        self.reply(200, event, Lambda_Runtime_Aws_Request_Id="00000000-0000-4000-8000-000000000001", Lambda_Runtime_Deadline_Ms=deadline, Lambda_Runtime_Invoked_Function_Arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:spotward")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0) or 0)).decode()
        target = self.headers.get("X-Amz-Target")
        if self.path.startswith("/2018-06-01/runtime/"):
            self.server.answers.put((time.monotonic() - self.server.given, self.path.rsplit("/", 1)[-1], body))
            return self.reply(202, "")
        ask = json.loads(body) if target else {key: values[0] for key, values in urllib.parse.parse_qs(body, keep_blank_values=True).items()}
        self.server.calls[target or ask.get("Action", self.path)] += 1
        text = self.server.region.send(ask) if target == "AmazonSQS.SendMessage" else self.server.region.answer(ask)
        if text is None:
            self.server.answers.put((0.0, "error", f"unexpected call {ask}"))
            return self.reply(400, "<Response/>")
        return self.reply(200, text, Content_Type="application/x-amz-json-1.0" if target else "text/xml")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, _request, _address):
        """The function is killed with its connections open."""

    def invoke(self, event):
        """The function's answer to an event, and the seconds that it took."""
        self.events.put(json.dumps(event))
        wall, kind, body = self.answers.get(timeout=300)
        if kind != "response":
            raise SystemExit(f"{kind}: {body[:500]}")
        return json.loads(body), wall


@contextlib.contextmanager
def served(region, binary, **settings):
    """The function's process, and the server that it takes for AWS."""
    server = Server(("127.0.0.1", 0), Handler)
    server.region, server.calls = region, collections.Counter()
    server.events, server.answers, server.given = queue.Queue(), queue.Queue(), 0.0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    environment = {
        "AWS_LAMBDA_RUNTIME_API": url.removeprefix("http://"),
        "AWS_LAMBDA_FUNCTION_NAME": "spotward",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/spotward",
        "AWS_LAMBDA_LOG_STREAM_NAME": "load",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "load",
        "AWS_SECRET_ACCESS_KEY": "load",
        "AWS_ENDPOINT_URL": url,
        "SPOTWARD_QUEUE_URL": f"{url}/queue",
        **settings,
    }
    process = subprocess.Popen([binary], env=environment, stdout=subprocess.DEVNULL)
    try:
        yield server, process
    finally:
        process.kill()
        server.events.put(None)
        server.shutdown()


def run(binary, groups, members, ticks):
    results = []
    with served(Region(groups, members), binary) as (server, process):
        for _ in range(ticks):
            server.calls.clear()
            before = cpu_seconds(process)
            answer, wall = server.invoke({"spotward": "tick"})
            if answer["groups"] != groups or answer["queued"] != 0:
                raise SystemExit(f"not an idle tick over {groups} groups: {answer}")
            results.append((sum(server.calls.values()), wall, cpu_seconds(process) - before))
        return results, peak_mib(process), dict(server.calls)


if __name__ == "__main__":
    binary = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/bootstrap").resolve()
    groups, members, ticks = (int(sys.argv[place]) if len(sys.argv) > place else value for place, value in ((2, 1000), (3, 10), (4, 5)))
    found, peak, calls = run(binary, groups, members, ticks)
    print(f"{groups} enabled idle groups of {members} members, {ticks} ticks; calls of the last: {calls}")
    for number, (count, wall, cpu) in enumerate(found, 1):
        print(f"tick {number}: {count} calls, {wall * 1000:.0f} ms, of these {cpu * 1000:.0f} ms on a CPU")
    print(f"peak memory {peak:.1f} MiB")
