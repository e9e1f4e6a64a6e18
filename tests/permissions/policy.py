"""The function's policy as AWS would see it: extracted from template.yaml, with every reference filled in."""

import atexit
import functools
import json
import pathlib
import subprocess
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "template"))

from test_template import Loader  # noqa: E402

ACCOUNT, REGION, STACK = "123456789012", "us-east-1", "spotward"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{STACK}.fifo"
DEAD_LETTERS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{STACK}-events-dead"
REFERENCES = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
    "EnableTagValue": "true",
    "InstanceRoleArns": [f"arn:aws:iam::{ACCOUNT}:role/web-*"],
}
ATTRIBUTES = {"Queue.Arn": QUEUE, "EventDeadLetters.Arn": DEAD_LETTERS}
#: Conditions of the template that the parameters above make false.
FALSE = {"AnyInstanceRole"}


def filled(value):
    """A value of the template without intrinsic functions. An unknown one is a mistake of this test, so it fails."""
    if isinstance(value, list):
        return [filled(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(name, argument)] = value.items()
        if name == "Ref":
            return REFERENCES[argument]
        if name == "GetAtt":
            return ATTRIBUTES[argument]
        if name == "Sub":
            for reference, text in REFERENCES.items():
                if isinstance(text, str):
                    argument = argument.replace(f"${{{reference}}}", text)
            assert "${" not in argument, argument
            return argument
        if name == "If":
            condition, yes, no = argument
            return filled(no if condition in FALSE else yes)
    return {key: filled(item) for key, item in value.items()}


def function_policy():
    template = yaml.load((ROOT / "template.yaml").read_text(), Loader)
    [policy] = template["Resources"]["FunctionRole"]["Properties"]["Policies"]
    return filled(policy["PolicyDocument"])


@functools.cache
def judge():
    """One process for all questions: loading what is known about AWS's actions takes longer than the answers."""
    process = subprocess.Popen(["node", HERE / "simulate.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)
    atexit.register(process.kill)
    return process


def ask(policy, requests):
    """What an independent evaluation of IAM policies says to each (action, resource, context): `Allowed` or a kind of denial.

    A context key that AWS does not send with that action is an error: a condition on it would silently never match.
    """
    asked = [{"action": action, "resource": resource, "context": context} for action, resource, context in requests]
    # Many calls ask the same.
    distinct = {json.dumps(request, sort_keys=True): request for request in asked}
    judge().stdin.write(json.dumps({"policy": policy, "requests": list(distinct.values())}) + "\n")
    judge().stdin.flush()
    answer = judge().stdout.readline()
    assert answer, "the judge has ended: run `make permissions-tools`"
    results = {}
    for (text, request), found in zip(distinct.items(), json.loads(answer), strict=True):
        assert not found["errors"], (request, found["errors"])
        assert not found["ignored"], f"{request['action']} on {request['resource']}: AWS does not know the keys {found['ignored']}"
        results[text] = found["result"]
    return [results[json.dumps(request, sort_keys=True)] for request in asked]
