"""The watcher's job in Python and botocore, for the bench: one tick every 50 ms, three GETs each, no retries of its own, no drains."""

import hashlib
import json
import os
import time
import urllib.error
import urllib.request

import botocore.session

IMDS, TOPIC, INSTANCE = os.environ["IMDS"], os.environ["TOPIC"], os.environ["INSTANCE"]


def ask(method, path, headers):
    request = urllib.request.Request(f"{IMDS}/latest/{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=1) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        error.close()
        return None


token = ask("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"})


def get(path):
    return ask("GET", f"meta-data/{path}", {"X-aws-ec2-metadata-token": token})


role = json.loads(get("iam/security-credentials/" + get("iam/security-credentials/")))
session = botocore.session.get_session()
session.set_credentials(role["AccessKeyId"], role["SecretAccessKey"], role["Token"])
sns = session.create_client("sns", region_name="eu-central-1", endpoint_url=os.environ["SNS"], verify=os.environ["CA"])
last = None
while True:
    text = get("spot/instance-action")
    if text is not None and text != last:
        last = text
        notice = json.loads(text)
        known = f"{INSTANCE}|interruption|{notice['action']}|{notice['time']}"
        message = {
            "v": 1,
            "id": hashlib.sha256(known.encode()).hexdigest()[:32],
            "kind": "interruption",
            "instance": INSTANCE,
            "region": "eu-central-1",
            "account": "123456789012",
            **notice,
            "seen": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        attributes = {"kind": {"DataType": "String", "StringValue": "interruption"}}
        sns.publish(TopicArn=TOPIC, Message=json.dumps(message), MessageAttributes=attributes)
    get("events/recommendations/rebalance")
    get("autoscaling/target-lifecycle-state")
    time.sleep(0.05)
