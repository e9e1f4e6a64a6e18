"""The product's real binaries: the CLI as a child process, the function in MiniStack."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import zipfile

import boto3
import botocore.config

from cloud import endpoints
from servers import ROOT, ServerFailed, tool

#: A launch window, of which the first sixth is closed.
WINDOW_SECONDS = 30
#: What the demo and the tests set short, and only here. A real deployment keeps the defaults.
FAST = {"quiet": "0s", "min-age": "0s", "warmup": "0s", "settle": "0s", "payback": "ignore", "swaps-per-hour": "60", "retry-window": f"{WINDOW_SECONDS}s"}
PAUSE_SECONDS = "0.1"

#: How the product's calls are told from boto3's.
AGENT = "aws-sdk-rust"


def wait_for_window(spare=5):
    """Until launches are allowed, for so many seconds at least."""
    into = time.time() % WINDOW_SECONDS
    opens = WINDOW_SECONDS / 6 + 1
    if into < opens or into > WINDOW_SECONDS - spare:
        time.sleep((opens - into) % WINDOW_SECONDS)


def called(cloud, since=0):
    """The actions that the product has called, as IAM names them."""
    return {f"{call['service']}:{call['action']}" for call in cloud.control.calls(since, agent=AGENT)}


def binary(name):
    """A release binary, as built by `make build`."""
    path = ROOT / os.environ.get("SPOTWARD_BIN_DIR", "target/release") / name
    if not path.exists():
        raise ServerFailed(f"{path} is missing: run `make build` first")
    return str(path)


def defaults(**settings):
    """Settings as the deployment's `Defaults` says them."""
    wanted = {**FAST, **{key.replace("_", "-"): value for key, value in settings.items()}}
    return ";".join(f"{key}={value}" for key, value in wanted.items())


def start(cloud, *arguments, reads=False, **settings):
    """Starts the CLI against a cloud of the stage."""
    environment = cloud.environment(SPOTWARD_DEFAULTS=defaults(**settings), SPOTWARD_STACK="spotward")
    return subprocess.Popen(
        [binary("spotward"), *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE if reads else subprocess.DEVNULL, text=True
    )


def spotward(cloud, *arguments, expect=0, seconds=180, stdin=None, **settings):
    """Runs the CLI to its end; its standard output."""
    process = start(cloud, *arguments, reads=stdin is not None, **settings)
    try:
        out, err = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"spotward {' '.join(arguments)} is not done after {seconds} s:\n{out[-3000:]}\n{err[-3000:]}") from None
    if expect is not None:
        assert process.returncode == expect, f"exit {process.returncode}\n{out[-3000:]}\n{err[-3000:]}"
    return out


def settle(cloud, *groups, seconds=180, **settings):
    """Lets the CLI work until nothing is left to do."""
    return spotward(
        cloud, "run", *groups, "--until-settled", "--pause", PAUSE_SECONDS, "--timeout", f"{seconds}s", seconds=seconds + 20, **settings
    )


@contextlib.contextmanager
def running(cloud, *groups, **settings):
    """The CLI at work, killed with SIGKILL at the end if it still lives; then no call of its is in the air any more."""
    process = start(cloud, "run", *groups, "--until-settled", "--pause", PAUSE_SECONDS, **settings)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        cloud.control.wait_gone()


# ---- the function ----------------------------------------------------------------------------------------------------------


class Function:
    """The deployed function, its queue and its log."""

    def __init__(self, ministack_url, account, region, stack="spotward"):
        self.url, self.account, self.region, self.stack = ministack_url, account, region, stack

    def client(self, service):
        config = botocore.config.Config(read_timeout=180, retries={"total_max_attempts": 1})
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=self.account,
            aws_secret_access_key="secret",
            config=config,
        )

    def outputs(self):
        stack = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def invoke(self, event):
        answer = self.client("lambda").invoke(FunctionName=self.outputs()["FunctionName"], Payload=json.dumps(event))
        payload = answer["Payload"].read().decode()
        assert "FunctionError" not in answer, payload
        return json.loads(payload or "null")

    def tick(self):
        return self.invoke({"spotward": "tick"})

    def log(self):
        """All lines that the function has written, oldest first."""
        logs = self.client("logs")
        lines = []
        for group in logs.describe_log_groups()["logGroups"]:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            lines += [(event["timestamp"], event["message"].rstrip()) for page in pages for event in page["events"]]
        return [message for _, message in sorted(lines, key=lambda line: line[0])]


def function_environment(stage_url, ministack_url):
    """Variables that MiniStack's process hands down to the functions that it runs: where they find AWS."""
    return {**endpoints(stage_url), "AWS_ENDPOINT_URL_SQS": ministack_url}


def parameters(**settings):
    """The template's parameters for the stage: this machine's architecture, no waiting."""
    # MiniStack has no provisioner for AWS::Logs::QueryDefinition; cfn-lint and tests/template know it.
    return {"SavedQueries": "false", "Architecture": "x86_64", "PauseMilliseconds": "100", "LogRetentionDays": "1", "Defaults": defaults(**settings)}


def sam_deploy(ministack_url, directory, account, region="us-east-1", stack="spotward", log=None, **settings):
    """Deploys the real template with the real binary by `sam deploy`; returns the process."""
    directory.mkdir(parents=True, exist_ok=True)
    # The template says `CodeUri: .`, so it is deployed from a directory that holds itself and the binary and nothing else.
    package = directory / "package"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir()
    shutil.copy(ROOT / "template.yaml", package)
    shutil.copy(binary("bootstrap"), package)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AWS_") or key == "AWS_CA_BUNDLE"},
        "AWS_ENDPOINT_URL": ministack_url,
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": region,
        "SAM_CLI_TELEMETRY": "0",
        "HOME": str(directory),
    }
    command = [
        tool(".venv-sam", "sam"),
        "deploy",
        *("--template-file", str(package / "template.yaml")),
        *("--stack-name", stack),
        *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        *("--resolve-s3", "--no-confirm-changeset", "--no-progressbar"),
        "--parameter-overrides",
        *(f'{key}="{value}"' for key, value in parameters(**settings).items()),
    ]
    return subprocess.Popen(
        command, env=environment, cwd=package, stdout=log or subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
    )


def deploy(ministack_url, account, region="us-east-1", stack="spotward", **settings):
    """The same deployment by one CloudFormation call, in two seconds instead of fifteen: the schedule is disabled, the test ticks."""
    function = Function(ministack_url, account, region, stack)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as package:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        package.writestr(entry, pathlib.Path(binary("bootstrap")).read_bytes())
    bucket = f"code-{account}"
    storage = function.client("s3")
    storage.create_bucket(Bucket=bucket)
    storage.put_object(Bucket=bucket, Key="bootstrap.zip", Body=archive.getvalue())
    template = (ROOT / "template.yaml").read_text()
    assert template.count("CodeUri: .\n") == 1
    template = template.replace("CodeUri: .\n", f"CodeUri: s3://{bucket}/bootstrap.zip\n")
    formation = function.client("cloudformation")
    formation.create_stack(
        StackName=stack,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in {**parameters(**settings), "TickRate": "rate(1 hour)"}.items()
        ],
    )
    deadline = time.monotonic() + 60
    while True:
        state = formation.describe_stacks(StackName=stack)["Stacks"][0]
        if not state["StackStatus"].endswith("IN_PROGRESS"):
            break
        assert time.monotonic() < deadline, "the stack is not done"
        time.sleep(0.2)
    assert state["StackStatus"] == "CREATE_COMPLETE", state
    return function
