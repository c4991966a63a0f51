"""Answers that unpack to a thousand times their size are never unpacked, whoever sends them."""

import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from sidecar import clock
from sidecar.core.outcome import Failure, Reason
from sidecar.kube import KubernetesError, connect
from sidecar.metrics import Metrics
from sidecar.sources.imds import IMDSSource
from sidecar.sources.upstream import UpstreamSource
from tests.security.hostile import BOMB
from tests.support.raw_server import RawServer, raw_server, response

PEAK = 32 * 1024 * 1024
"""Bytes: an eighth of the unpacked bomb; the most that an answer may be, several times over."""


async def peak(action: Callable[[], Awaitable[object]]) -> int:
    """The most bytes that were allocated at one time meanwhile."""
    tracemalloc.start()
    try:
        await action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def bomber(encoding: str, status: str = "200 OK") -> AsyncIterator[RawServer]:
    """A server that answers everything with the bomb."""
    answer = response(status, BOMB, f"Content-Encoding: {encoding}", "Content-Type: application/json")
    async with raw_server(lambda _: answer) as server:
        yield server


def test_bomb_is_one() -> None:
    """The bomb is small enough to be read and large enough to be noticed."""
    assert len(BOMB) < 1024 * 1024


@pytest.mark.parametrize("encoding", ["gzip", "GZip", "gzip, identity", "deflate"])
async def test_service(encoding: str) -> None:
    """A compressed answer of the metadata service is malformed, and its memory that of the packed bytes."""
    async with bomber(encoding) as server:
        source = IMDSSource(endpoint=server.url, api_version="2020-10-01", timeout=10, clock=clock.now)
        async with source:
            outcome = await source.fetch()
            assert isinstance(outcome, Failure)
            assert outcome.reason is Reason.MALFORMED
            assert await peak(source.fetch) < PEAK


async def test_node_agent() -> None:
    """The same holds of a sidecar's node agent."""
    async with bomber("gzip") as server:
        source = UpstreamSource(url=server.url, node_name=None, wait=0, timeout=10, clock=clock.now)
        async with source:
            outcome = await source.fetch()
            assert isinstance(outcome, Failure)
            assert outcome.reason is Reason.MALFORMED
            assert await peak(source.fetch) < PEAK


async def test_api_server(tmp_path: Path) -> None:
    """An API server's compressed answer is an error within the bound of its answers."""
    async with bomber("gzip") as server:
        config = {
            "clusters": [{"name": "a", "cluster": {"server": server.url}}],
            "users": [{"name": "a", "user": {"token": "a"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        }
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config))
        async with connect(metrics=Metrics(), kubeconfig=str(kubeconfig)) as nodes:

            async def read() -> None:
                with pytest.raises(KubernetesError):
                    await nodes.get("node-1", cached=False)

            assert await peak(read) < PEAK
