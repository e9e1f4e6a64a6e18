"""From the arrival of a notice in the function to its CreateFleet request: p50 and p99, warm, on the stage.

    STAGE_BINARY=target/debug/stage .venv/bin/python tests/e2e/bench_notice.py [members]

Stands in for the Runtime API; every event is about another member of one group, and each of them brings one launch.
"""

import datetime
import http.server
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import cloud as clouds
import product
import servers
import witness

members = int(sys.argv[1]) if len(sys.argv) > 1 else 40
EVENTS = pathlib.Path(__file__).parents[1] / "events"


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class RuntimeApi(Quiet):
    """Hands out one event at a time and notes when."""

    def do_GET(self):
        self.server.idle.set()
        event = self.server.events.get()
        self.server.sent = time.time()
        deadline = str(int(time.time() * 1000) + 120_000)
        arn = "arn:aws:lambda:us-east-1:123456789012:function:spotward"
        headers = {"Lambda-Runtime-Aws-Request-Id": "00000000-0000-4000-8000-000000000001", "Lambda-Runtime-Deadline-Ms": deadline}
        self.answer(200, event, **headers, **{"Lambda-Runtime-Invoked-Function-Arn": arn})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(202, b"")


class Queue(Quiet):
    """Takes every message and forgets it: nobody works on the group."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, b'{"MessageId":"m"}', Content_Type="application/x-amz-json-1.0")


def serve(handler):
    import queue

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.events, server.idle, server.sent = queue.Queue(), threading.Event(), 0.0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def invoke(api, event):
    """One event, and its end."""
    assert api.idle.wait(60), "the function does not ask for work"
    api.idle.clear()
    api.events.put(json.dumps(event).encode())
    assert api.idle.wait(60), "the function did not answer"


def main():
    logs = pathlib.Path(tempfile.mkdtemp())
    moto = servers.start_moto(logs)
    stage = servers.start_stage(moto, logs)
    api, queue = serve(RuntimeApi), serve(Queue)
    process = None
    try:
        cloud = clouds.new_cloud(stage.url).network()
        cloud.group("web", size=members, zones=1, tags={"spotward:pool-loss": ("100%", False)})
        product.settle(cloud, seconds=900)
        assert witness.spot_count(cloud, "web") == members
        environment = cloud.environment(
            AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{api.server_port}",
            AWS_LAMBDA_FUNCTION_NAME="spotward",
            AWS_LAMBDA_FUNCTION_VERSION="1",
            AWS_LAMBDA_FUNCTION_MEMORY_SIZE="256",
            AWS_LAMBDA_LOG_GROUP_NAME="/aws/lambda/spotward",
            AWS_LAMBDA_LOG_STREAM_NAME="bench",
            AWS_ENDPOINT_URL_SQS=f"http://127.0.0.1:{queue.server_port}",
            SPOTWARD_QUEUE_URL=f"http://127.0.0.1:{queue.server_port}/123456789012/groups.fifo",
            SPOTWARD_STACK="spotward",
            SPOTWARD_DEFAULTS=product.defaults(),
        )
        log = open(logs / "function.log", "w")
        process = subprocess.Popen([product.binary("bootstrap")], env=environment, stdout=log, stderr=log)
        invoke(api, {"spotward": "tick"})
        text = (EVENTS / "interruption-terminate.json").read_text()
        waits, calls = [], []
        for instance in sorted(found["InstanceId"] for found in cloud.group_instances("web")):
            cloud.control.interrupt(instance, in_seconds=900)
            mark = cloud.control.mark()
            invoke(api, json.loads(text.replace("i-0123456789abcdef0", instance)))
            made = cloud.control.calls(since=mark, agent=product.AGENT)
            launch = next(place for place, call in enumerate(made) if call["action"] == "CreateFleet")
            at = datetime.datetime.fromisoformat(made[launch]["at"].replace("Z", "+00:00")).timestamp()
            waits.append((at - api.sent) * 1000)
            calls.append(launch)
        # The first one reads the image.
        waits.sort()
        p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))]
        print(f"notices                       {len(waits)}")
        print(f"notice to CreateFleet         p50 {statistics.median(waits):.0f} ms, p99 {p99:.0f} ms, most {waits[-1]:.0f} ms")
        print(f"calls before CreateFleet      {min(calls)} to {max(calls)}")
        print(f"load average                  {os.getloadavg()[0]:.1f}")
    finally:
        if process:
            process.kill()
        stage.stop()
        moto.stop()


main()
