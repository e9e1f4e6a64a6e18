"""IAM in front of the stage: moto's own check of signature and action, for a role with the function's policy.

moto's server can enforce policies by itself, but here most calls never reach it: the stage answers for it, and asks it on its own
account. So its check (`moto.iam.access_control`) is made in this process, before a call goes on to the stage. It knows neither
resources nor conditions, and would take a conditional Deny for a Deny: the policy that it gets has the template's allowed actions
and nothing else. Resources, tags and Denies are judged in tests/permissions.
"""

import http.client
import http.server
import json
import pathlib
import sys
import threading
import urllib.parse

from moto.iam.access_control import IAMRequest
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends
from werkzeug.exceptions import HTTPException

from cloud import REGION, endpoints
from servers import ROOT

sys.path.insert(0, str(ROOT / "tests" / "permissions"))

from policy import function_policy  # noqa: E402
from test_template import actions  # noqa: E402

#: Where the role lives.
ACCOUNT = "123456789012"


def allowed_actions():
    """What the function's role in template.yaml allows, resources and conditions aside."""
    return {action for statement in function_policy()["Statement"] if statement["Effect"] == "Allow" for action in actions(statement)}


class Gate:
    """A role that may do certain actions, and a door to one account of the stage for whoever has its credentials."""

    def __init__(self, cloud, allowed):
        self.account, self.stage = cloud.account, urllib.parse.urlsplit(cloud.stage_url)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": sorted(allowed), "Resource": "*"}]}
        name = f"role-{id(self):x}"
        role = iam_backends[ACCOUNT]["aws"].create_role(name, "{}", "/", None, "", [], 3600)
        iam_backends[ACCOUNT]["aws"].put_role_policy(name, "spotward", json.dumps(policy))
        self.session = sts_backends[ACCOUNT]["aws"].assume_role(REGION, name, role.arn, None, 3600, None)
        self.passed, self.refused = [], []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        self._server.gate = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def environment(self):
        """Variables for a process that works as this role."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {
            "AWS_ACCESS_KEY_ID": self.session.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.session.secret_access_key,
            "AWS_SESSION_TOKEN": self.session.session_token,
            "AWS_ENDPOINT_URL_SQS": url,
            **endpoints(url),
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        gate = self.server.gate
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.title(): value for name, value in self.headers.items()}
        target = headers.get("X-Amz-Target")
        action = target.rsplit(".", 1)[-1] if target else urllib.parse.parse_qs(body.decode())["Action"][0]
        service = headers["Authorization"].split("/")[3]
        try:
            asked = IAMRequest(account_id=ACCOUNT, method="POST", path=self.path, data={}, body=body, headers=headers, action=action)
            asked.check_signature()
            asked.check_action_permitted("*")
        except HTTPException as error:
            gate.refused.append(f"{service}:{action}")
            return self.reply(403, *refusal(service, error))
        gate.passed.append(f"{service}:{action}")
        # An access key of twelve digits is an account of the stage, which asks no signature.
        headers["Authorization"] = headers["Authorization"].replace(gate.session.access_key_id, gate.account)
        onward = http.client.HTTPConnection(gate.stage.hostname, gate.stage.port, timeout=120)
        try:
            onward.request("POST", self.path, body, headers)
            answer = onward.getresponse()
            self.reply(answer.status, answer.read(), answer.headers["Content-Type"])
        finally:
            onward.close()

    def reply(self, status, body, content_type):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def refusal(service, error):
    """moto's refusal in the words of the service: EC2 has its own, https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html."""
    text = error.message
    if service == "ec2":
        body = f"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>{text}</Message></Error></Errors><RequestID>0</RequestID></Response>"
        return body.encode(), "text/xml;charset=UTF-8"
    if service in ("sqs", "pricing"):
        return json.dumps({"__type": "AccessDeniedException", "message": text}).encode(), "application/x-amz-json-1.0"
    body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.error_type}</Code><Message>{text}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
    return body.encode(), "text/xml"
