"""A metadata service, and an API server that can be told to misbehave."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.simulator import Serving, Simulator, parse_scenario, serve
from tests.faults.support import NODE, Surroundings
from tests.support.fake_apiserver import FakeApiServer, fake_api_server


@pytest.fixture
async def service() -> AsyncIterator[Serving]:
    """A metadata service with a public IP, inbound and outbound rules, that can be asked at any rate."""
    async with serve(Simulator(parse_scenario("rateLimit: false"))) as serving:
        yield serving


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    """A fake API server with the agent's Node."""
    async with fake_api_server() as server:
        server.add_node(NODE, {"other.example/key": "value"})
        yield server


@pytest.fixture
def surroundings(service: Serving, server: FakeApiServer, tmp_path: Path) -> Surroundings:
    """All an agent under test needs."""
    return Surroundings(service, server, tmp_path)
