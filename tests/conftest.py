"""Fixtures by noun, for every test."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sidecar.simulator import Serving, Simulator, parse_scenario, serve
from tests.support.apiserver import ApiServer, api_server_running
from tests.support.cluster import Cluster, Identity, cluster_of
from tests.support.fleet import Fleet
from tests.support.nodes import NodeMetadata
from tests.support.processes import ReservedPort
from tests.support.requirements import leave_out
from tools.binaries.programs import ENABLE_COMMAND, BinariesMissingError, locate

pytest_plugins = ["tests.support.preparation"]

# Without this, Python 3.11 makes a loop for pytest-asyncio that nobody closes, when the first test
# of a run is not a coroutine; the warning about it fails the next test.
asyncio.set_event_loop(None)

# How fast a busy machine runs or makes up examples says nothing about the code. Enough steps to meet every
# rule of the small state machines, and a few seconds in all.
settings.register_profile(
    "tests",
    deadline=None,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("tests")


def pytest_configure() -> None:
    """Keep every test off the real metadata service, and clean up after SIGTERM as after Ctrl-C."""
    # Port 9 (discard) refuses: a test that forgets to say where its metadata service is fails, and
    # never asks the real one of the machine it runs on.
    os.environ["AZURE_LB_METADATA_IMDS_ENDPOINT"] = "http://127.0.0.1:9"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What runs in the background of a script ignores it, and so would every program that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # In debug mode a loop logs each callback that took long, which on a busy machine is any of them.
    logging.getLogger("asyncio").addFilter(lambda record: record.msg != "Executing %s took %.3f seconds")


@pytest.fixture
async def service() -> AsyncIterator[Serving]:
    """A metadata service with a public IP, inbound and outbound rules, that can be asked at any rate."""
    async with serve(Simulator(parse_scenario("rateLimit: false"))) as serving:
        yield serving


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port of the loopback address that refuses connections."""
    port = ReservedPort()
    yield port.number
    port.release()


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """The session's Kubernetes API server; a test that disturbs it does so by its context managers."""
    try:
        for program in ("etcd", "kube-apiserver", "kubectl"):
            locate(program)
    except BinariesMissingError as error:
        leave_out(f"{error}; enable with: {ENABLE_COMMAND}")
    with api_server_running() as server:
        yield server


@pytest.fixture
async def cluster(api_server: ApiServer) -> AsyncIterator[Cluster]:
    """The admin's view of the session's API server."""
    async with cluster_of(api_server) as cluster:
        yield cluster


@pytest.fixture
async def node(cluster: Cluster) -> AsyncIterator[NodeMetadata]:
    """A realistic Node of the test's own, as it was when it was made."""
    node = await cluster.create_node()
    yield node
    await cluster.delete_node(node.name)


@pytest.fixture
async def fleet(cluster: Cluster) -> AsyncIterator[Fleet]:
    """Nodes, agents and Services of the test's own."""
    fleet = Fleet(cluster)
    await fleet.prepare()
    yield fleet
    await fleet.remove()


@pytest.fixture
async def identity(cluster: Cluster, node: NodeMetadata, tmp_path: Path) -> Identity:
    """The identity of an agent that runs on `node`."""
    return await cluster.create_identity(node.name, directory=tmp_path / "serviceaccount")
