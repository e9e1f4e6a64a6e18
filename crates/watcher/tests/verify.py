"""Judges one Publish request per line of standard input, with implementations that are not ours.

In:  {"host", "region", "headers": {lower-case name: value}, "body", "secret", "schema": path}
Out: {"signature": bool, "message": the decoded message, "complaints": [text, ...]}
"""

import hashlib
import json
import sys
from urllib.parse import parse_qsl

import jsonschema
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def signature_is_right(request):
    headers = request["headers"]
    scheme, _, rest = headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key_id, day, region, service, end = parts["Credential"].split("/")
    signed = parts["SignedHeaders"].split(";")
    needed = {"content-type", "host", "x-amz-date", "x-amz-security-token"}
    if scheme != "AWS4-HMAC-SHA256" or end != "aws4_request" or service != "sns" or not needed <= set(signed):
        return False
    if region != request["region"] or day != headers["x-amz-date"][:8] or headers["host"] != request["host"]:
        return False
    theirs = AWSRequest(
        method="POST",
        url=f"https://{request['host']}/",
        data=request["body"].encode(),
        headers={name: headers[name] for name in signed},
    )
    theirs.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(key_id, request["secret"], headers["x-amz-security-token"]), "sns", region)
    to_sign = auth.string_to_sign(theirs, auth.canonical_request(theirs))
    return auth.signature(to_sign, theirs) == parts["Signature"]


def complaints_about(request, message, form):
    found = []
    with open(request["schema"], encoding="utf-8") as file:
        validator = jsonschema.Draft202012Validator(json.load(file))
    found += [error.message for error in validator.iter_errors(message)]
    if found:
        return found
    last = message.get("time") or message.get("boot") or ""
    text = "|".join([message["instance"], message["kind"], message.get("action", ""), last])
    if message["id"] != hashlib.sha256(text.encode()).hexdigest()[:32]:
        found.append("the id is not the one that the schema describes")
    attribute = {key.rsplit(".", 1)[1]: value for key, value in form.items() if key.startswith("MessageAttributes.entry.1.")}
    if attribute != {"Name": "kind", "DataType": "String", "StringValue": message["kind"]}:
        found.append(f"attribute {attribute}")
    if form.get("Action") != "Publish" or form.get("Version") != "2010-03-31":
        found.append("not Publish of 2010-03-31")
    return found


def main():
    for line in sys.stdin:
        request = json.loads(line)
        form = dict(parse_qsl(request["body"], strict_parsing=True))
        message = json.loads(form["Message"])
        answer = {
            "signature": signature_is_right(request),
            "message": message,
            "topic": form.get("TopicArn"),
            "complaints": complaints_about(request, message, form),
        }
        print(json.dumps(answer), flush=True)


main()
