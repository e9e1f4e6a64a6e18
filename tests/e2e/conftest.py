"""Servers for the whole session, an account of its own for every test."""

import pathlib

import pytest

import cloud as clouds
import servers


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
def ministack(logs):
    server = servers.start_ministack(logs)
    yield server
    server.stop()


@pytest.fixture
def cloud(stage):
    """An empty account with a network over three zones."""
    made = clouds.new_cloud(stage.url).network()
    yield made
    # A test that failed half-way must not leave a call hanging for the next.
    made.control.clear_rules()
