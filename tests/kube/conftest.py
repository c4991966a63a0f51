"""A fake API server with one Node, a client of it, and fresh counters."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.kube import NodeClient, connect
from sidecar.metrics import Metrics
from tests.kube.asking import NODE
from tests.support.fake_apiserver import FakeApiServer, fake_api_server


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    """A fake API server with one Node."""
    async with fake_api_server() as server:
        server.add_node(NODE, {"other.example/key": "value"})
        yield server


@pytest.fixture
def metrics() -> Metrics:
    """Fresh counters."""
    return Metrics()


@pytest.fixture
async def client(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> AsyncIterator[NodeClient]:
    """A client of the fake API server."""
    kubeconfig = server.kubeconfig(tmp_path / "config")
    async with connect(metrics=metrics, kubeconfig=kubeconfig, timeout=60) as client:
        yield client
