"""Servers for the whole session, an account of its own for every test."""

import pathlib
import sys

import pytest
import yaml

import cloud as clouds
import product
import servers

sys.path.insert(0, str(servers.ROOT / "tests" / "template"))

from test_template import Loader, actions  # noqa: E402


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    return pathlib.Path(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def moto(logs):
    server = servers.start_moto(logs)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def stage(moto, logs):
    server = servers.start_stage(moto, logs)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def permitted():
    """The actions that the function's role allows. The stage asks no policy, so what was called is compared afterwards."""
    template = yaml.load((servers.ROOT / "template.yaml").read_text(), Loader)
    [policy] = template["Resources"]["FunctionRole"]["Properties"]["Policies"]
    return {action for statement in policy["PolicyDocument"]["Statement"] if statement["Effect"] == "Allow" for action in actions(statement)}


@pytest.fixture
def account(stage):
    """An empty account with a network over three zones, for what people ask with credentials of their own."""
    made = clouds.new_cloud(stage.url).network()
    yield made
    # A test that failed half-way must not leave a call hanging for the next.
    made.control.clear_rules()
    made.control.release()


@pytest.fixture
def cloud(account, permitted):
    """The same, for whatever the function does as well: its role has to allow all that is called."""
    yield account
    assert product.called(account) - permitted == set(), "the function's role does not allow these"


@pytest.fixture(scope="session")
def ministack_for_stage(stage, logs):
    """MiniStack whose functions find EC2, Auto Scaling, the load balancers and prices on the stage."""
    port = servers.free_port()
    environment = product.function_environment(stage.url, f"http://127.0.0.1:{port}")
    server = servers.start_ministack(logs, env=environment, port=port)
    yield server
    server.stop()
