"""The servers of the end-to-end tests: moto, the stage in front of it, and MiniStack. All on 127.0.0.1, all killed at the end."""

import atexit
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
IMAGES = DATA / "images.json"
START_SECONDS = 60


class ServerFailed(Exception):
    """A server did not come up; the message holds the end of its log."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tool(venv, name):
    """A program of one of our virtual environments."""
    path = ROOT / venv / "bin" / name
    if not path.exists():
        raise ServerFailed(f"{path.relative_to(ROOT)} is missing: run `make venvs` first")
    return str(path)


class Server:
    """One child process with a log file, in a process group of its own so that all of it can be ended."""

    def __init__(self, name, command, log_dir, env=None):
        self.name = name
        log_dir.mkdir(parents=True, exist_ok=True)
        self.log_path = log_dir / f"{name}.log"
        self._log = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            command,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        atexit.register(self.stop)

    def log_tail(self):
        return self.log_path.read_text(errors="replace")[-2000:]

    def wait_until(self, is_up, what):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerFailed(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")
            if is_up():
                return
            time.sleep(0.1)
        raise ServerFailed(f"{self.name} is not up after {START_SECONDS} s ({what}):\n{self.log_tail()}")

    def stop(self):
        if self.process.poll() is None:
            for sign, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
                try:
                    os.killpg(self.process.pid, sign)
                    self.process.wait(patience)
                    break
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue
        self._log.close()
        atexit.unregister(self.stop)


def answers(url):
    """Whether anything speaks HTTP there."""
    try:
        urllib.request.urlopen(url, timeout=1).read()
        return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def start_moto(log_dir):
    port = free_port()
    env = {
        # Our own few images: moto's 1,300 would be loaded again for every account and region.
        "MOTO_AMIS_PATH": str(IMAGES),
        "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1",
        "MOTO_ENABLE_AMI_VALIDATION": "1",
        "MOTO_ENABLE_KEYPAIR_VALIDATION": "1",
    }
    server = Server("moto", [tool(".venv", "moto_server"), "-H", "127.0.0.1", "-p", str(port)], log_dir, env)
    server.url = f"http://127.0.0.1:{port}"
    server.wait_until(lambda: answers(f"{server.url}/moto-api/data.json"), "its API")
    return server


def stage_binary():
    """The proxy as built by `make stage`."""
    named = os.environ.get("STAGE_BINARY")
    path = pathlib.Path(named) if named else ROOT / "target" / "debug" / "stage"
    path = path if path.is_absolute() else ROOT / path
    if not path.exists():
        raise ServerFailed(f"{path} is missing: run `make stage` first")
    return str(path)


def start_stage(moto, log_dir):
    port = free_port()
    command = [stage_binary(), "--moto", moto.url, "--data", str(DATA), "--images", str(IMAGES), "--port", str(port)]
    server = Server("stage", command, log_dir)
    server.url = f"http://127.0.0.1:{port}"
    server.wait_until(lambda: answers(f"{server.url}/_stage/rules"), "its control interface")
    return server


@contextlib.contextmanager
def stage_of_its_own():
    """A stage for one measurement, with the directory of its logs; both are gone afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        logs = pathlib.Path(directory)
        moto = start_moto(logs)
        stage = start_stage(moto, logs)
        try:
            yield stage, logs
        finally:
            stage.stop()
            moto.stop()


def start_ministack(log_dir, account="123456789012", env=None, port=None):
    """MiniStack with its own HOME, since it keeps its state in files. The functions that it runs inherit `env`."""
    port = port or free_port()
    home = log_dir / "ministack-home"
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        # The default is to listen on every interface.
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": account,
        "HOME": str(home),
        "TMPDIR": str(home),
        **(env or {}),
    }
    server = Server("ministack", [tool(".venv-ministack", "ministack")], log_dir, settings)
    server.url = f"http://127.0.0.1:{port}"
    server.wait_until(lambda: answers(f"{server.url}/_ministack/health"), "its health page")
    return server


class Control:
    """The stage's own door, for one account and region."""

    def __init__(self, url, account, region):
        self.url, self.account, self.region = url, account, region

    def _ask(self, method, path, body=None, **query):
        query = {key: value for key, value in query.items() if value is not None}
        url = f"{self.url}/_stage/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from None

    def _wish(self, path, **wish):
        return self._ask("POST", path, {"account": self.account, "region": self.region, **wish})

    def calls(self, since=0, mutating=None, agent=None):
        """The recorded calls of this account, oldest first."""
        flag = None if mutating is None else str(mutating).lower()
        return self._ask("GET", "calls", account=self.account, since=since, mutating=flag, agent=agent)

    def mark(self):
        """The number of the last call, to ask for those after it."""
        return max((call["n"] for call in self.calls()), default=0)

    def settings(self, **settings):
        self._wish("settings", **settings)

    def pool(self, instance_type, zone, capacity=None, usd=None, error=None):
        """A capacity pool: how many instances it has left, its spot price, the error code with which its launches fail."""
        pool = {"instance_type": instance_type, "zone": zone, "capacity": capacity, "usd": usd, "error": error}
        self._wish("pools", pools=[pool])

    def interrupt(self, instance_id, in_seconds=0.0):
        self._wish("interrupt", instance_id=instance_id, in_seconds=in_seconds)

    def target(self, instance_id, state):
        """What load balancers say of an instance; None: the truth again."""
        self._wish("targets", instance_id=instance_id, state=state)

    def activity(self, group, status="InProgress", description="Launching a new EC2 instance", cause="test"):
        self._wish("activities", group=group, status=status, description=description, cause=cause)

    def rule(self, do, **matching):
        """Adds a fault: `do` is throttle, unavailable, drop, lose_reply, hold, hold_reply, {"stall": …} or {"error": …}."""
        self._ask("POST", "rules", [{"account": self.account, "do": do, **matching}])

    def clear_rules(self):
        self._ask("DELETE", "rules", account=self.account)

    def rules(self):
        return [rule for rule in self._ask("GET", "rules") if rule["account"] == self.account]

    def wait_held(self, seconds=30.0):
        """Waits until a call is held in the air; its numbers."""
        return self._ask("GET", "held", seconds=seconds, account=self.account)

    def release(self):
        """Lets the held calls go on."""
        self._ask("POST", "release", account=self.account)

    def wait_gone(self, seconds=10.0):
        """Waits until the stage has seen that the callers of all held calls are gone."""
        deadline = time.monotonic() + seconds
        while self.wait_held(seconds=0):
            if time.monotonic() > deadline:
                raise AssertionError("a call is still held")
            time.sleep(0.02)

    def reset(self):
        self._ask("POST", "reset", account=self.account)


def fail(message):
    """Ends a script with a message for people."""
    sys.stderr.write(f"{message}\n")
    raise SystemExit(1)
