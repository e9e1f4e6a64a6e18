"""Lambda's side of the function, for what has to happen at a chosen moment: a sandbox that hands events to the real `bootstrap`
and kills it, and the poller of the queue. MiniStack runs the function everywhere else.
"""

import http.server
import json
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid

import yaml

import product
from servers import ROOT

sys.path.insert(0, str(ROOT / "tests" / "template"))

from test_template import Loader  # noqa: E402

RESOURCES = yaml.load((ROOT / "template.yaml").read_text(), Loader)["Resources"]
#: What Lambda gives one invocation.
TIMEOUT_SECONDS = RESOURCES["Function"]["Properties"]["Timeout"]
STACK = "spotward"


class FunctionFailed(Exception):
    """The function answered with an error, or ended without an answer."""


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html"""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        sandbox = self.server.sandbox
        sandbox.idle.set()
        event, request, deadline = sandbox.events.get()
        sandbox.handed_over = time.time()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:us-east-1:123456789012:function:{STACK}",
        }
        self.reply(200, json.dumps(event).encode(), headers)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply(202, b"", {})
        self.server.sandbox.answers.put((self.path.rsplit("/", 1)[-1], body.decode()))

    def reply(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Sandbox:
    """One execution environment: the real `bootstrap` in a process of its own, one event at a time."""

    def __init__(self, cloud, directory, queue_url="", **variables):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
        server.daemon_threads = True
        server.sandbox, self._server = self, server
        self.events, self.answers = queue.Queue(), queue.Queue()
        self.idle, self.handed_over = threading.Event(), 0.0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.log_path = pathlib.Path(directory) / f"function-{uuid.uuid4().hex[:8]}.log"
        self._log = open(self.log_path, "wb")
        environment = cloud.environment(
            **{
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
                "AWS_LAMBDA_FUNCTION_NAME": STACK,
                "AWS_LAMBDA_FUNCTION_VERSION": "1",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{STACK}",
                "AWS_LAMBDA_LOG_STREAM_NAME": "sandbox",
                "AWS_ENDPOINT_URL_SQS": cloud.stage_url,
                "SPOTWARD_QUEUE_URL": queue_url,
                "SPOTWARD_STACK": STACK,
                "SPOTWARD_PAUSE_MS": "100",
                "SPOTWARD_DEFAULTS": product.defaults(),
                **variables,
            }
        )
        self.process = subprocess.Popen([product.binary("bootstrap")], env=environment, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def hand(self, event, seconds=TIMEOUT_SECONDS):
        """Hands an event over as soon as the function asks for one, with so many seconds to answer it."""
        assert self.idle.wait(60), f"the function does not ask for work:\n{self.tail()}"
        self.idle.clear()
        self.events.put((event, str(uuid.uuid4()), time.time() + seconds))

    def answer(self, seconds=TIMEOUT_SECONDS):
        """The answer to the event that was handed over."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                kind, body = self.answers.get(timeout=0.2)
                break
            except queue.Empty:
                if self.process.poll() is not None:
                    raise FunctionFailed(f"ended with {self.process.returncode}:\n{self.tail()}") from None
                if time.monotonic() > deadline:
                    raise AssertionError(f"no answer after {seconds} s:\n{self.tail()}") from None
        if kind != "response":
            raise FunctionFailed(body)
        return json.loads(body)

    def invoke(self, event, seconds=TIMEOUT_SECONDS):
        self.hand(event, seconds)
        return self.answer(seconds)

    def tick(self):
        return self.invoke({"spotward": "tick"})

    def kill(self):
        """What Lambda does at the deadline: no signal that could be caught, no last words."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._log.close()
        self._server.shutdown()
        self._server.server_close()

    def lines(self):
        """The JSON lines that it has written."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]

    def tail(self):
        return self.log_path.read_text(errors="replace")[-3000:]


def _attributes(name, **references):
    """A queue's attributes as template.yaml says them."""
    properties = {key: value for key, value in RESOURCES[name]["Properties"].items() if key != "QueueName"}
    if "RedrivePolicy" in properties:
        policy = properties["RedrivePolicy"]
        arn = references[policy["deadLetterTargetArn"]["GetAtt"]]
        properties["RedrivePolicy"] = {**policy, "deadLetterTargetArn": arn}
    return {key: text if isinstance(text, str) else json.dumps(text) for key, text in properties.items()}


class Poller:
    """The deployment's FIFO queue and its dead letters, made as template.yaml says, and Lambda's poller in front of the function."""

    def __init__(self, cloud):
        self.sqs = cloud.client("sqs")
        dead = self.sqs.create_queue(QueueName=f"{STACK}-dead.fifo", Attributes=_attributes("QueueDeadLetters"))
        self.dead_url = dead["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        attributes = _attributes("Queue", **{"QueueDeadLetters.Arn": arn})
        self.url = self.sqs.create_queue(QueueName=f"{STACK}.fifo", Attributes=attributes)["QueueUrl"]

    def receive(self):
        """The event that Lambda would make of the next message; None if there is none, or its group is being worked on."""
        received = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=1, AttributeNames=["All"]).get("Messages", [])
        if not received:
            return None
        [message] = received
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{STACK}.fifo",
            "awsRegion": "us-east-1",
        }
        return {"Records": [record]}

    def take(self, event, answer):
        """What Lambda does with an answer: whatever is not named in it is deleted, the rest waits for its time-out."""
        again = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for record in event["Records"]:
            if record["messageId"] not in again:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=record["receiptHandle"])

    def pass_visibility_timeout(self, event):
        """As if the queue's visibility time-out, twelve minutes, had passed since the event was received."""
        for record in event["Records"]:
            self.sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0)

    def waiting(self):
        """How many messages are in the queue, in flight or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def dead_letters(self):
        """Bodies of what was given up."""
        found = self.sqs.receive_message(QueueUrl=self.dead_url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]

    def run(self, sandbox):
        """Hands everything that waits to the sandbox, one message at a time."""
        while event := self.receive():
            self.take(event, sandbox.invoke(event))
