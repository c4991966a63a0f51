"""An API server that can be told to misbehave, beside the metadata service."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.faults.support import NODE, Surroundings
from tests.support.fake_apiserver import FakeApiServer, fake_api_server


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
