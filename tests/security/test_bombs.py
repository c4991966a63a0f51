"""Answers that unpack to a thousand times their size are never unpacked, whoever sends them."""

import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from sidecar import clock
from sidecar.core.outcome import Failure, Outcome, Reason, Success
from sidecar.core.reply import interpret
from sidecar.kube import KubernetesError, connect
from sidecar.metrics import Metrics
from sidecar.sources.imds import IMDSSource
from sidecar.sources.upstream import UpstreamSource
from tests.fuzz.cost import calls_counted, memory_measured
from tests.security.hostile import BOMB
from tests.support.faults import Origin, also_shows, fault, outage
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


PACKED = Failure(Reason.MALFORMED, detail="the body is compressed", status=200)


@pytest.mark.parametrize("encoding", ["gzip", "GZip", "gzip, identity", "deflate"])
async def test_service(encoding: str) -> None:
    """A compressed answer of the metadata service is malformed, and its memory that of the packed bytes."""
    async with bomber(encoding) as server:
        source = IMDSSource(endpoint=server.url, api_version="2020-10-01", timeout=10, clock=clock.now)
        async with source:
            # Unpacked, it would be too large.
            assert await source.fetch() == PACKED
            assert await peak(source.fetch) < PEAK


async def test_node_agent() -> None:
    """The same holds of a sidecar's node agent."""
    async with bomber("gzip") as server:
        source = UpstreamSource(url=server.url, node_name=None, wait=0, timeout=10, clock=clock.now)
        async with source:
            # Unpacked, it would be too large.
            assert await source.fetch() == PACKED
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


TINY = {
    "numbers": b"0",
    "objects": b"{}",
    "lists": b"[]",
    "lists in lists": b"[[]]",
    "objects in objects": b'{"a":{}}',
    "members": b'{"":0}',
}

FIRST = b'{"frontendIpAddress":"20.1.2.3","privateIpAddress":"10.240.0.4"}'

LONGEST = 4 * 1024 * 1024
"""Bytes of a body that are read."""

MOST_VALUES = 250_000
"""Commas and opening brackets of a body that is parsed."""


def values(text: bytes) -> int:
    """The number of commas and opening brackets."""
    return sum(map(text.count, (b",", b"[", b"{")))


def of_many(entry: bytes, first: bytes, *, amount: int) -> bytes:
    """An answer of so many such entries, after the first one."""
    return b'{"loadbalancer":{"publicIpAddresses":[' + first + (b"," + entry) * amount + b"]}}"


def worst(entry: bytes, first: bytes) -> bytes:
    """The longest answer of nothing but such entries that is parsed."""
    return of_many(
        entry, first, amount=(MOST_VALUES - values(of_many(entry, first, amount=0))) // values(b"," + entry)
    )


@fault(
    Origin.SERVICE,
    "Hundreds of thousands of tiny wrong entries",
    outage("malformed").but(
        served=(
            "The last good data, if not one of the first 10,000 entries is right, else what is right among"
            " them; some 30 MiB of memory for as long as it is read."
        ),
        logged=(
            "`poll-failed`, or `entries-dropped` once with their number; those beyond 10,000 are not"
            ' looked at: `dropped_entries_total{cause="too-many"}`. A body of more than 250,000 values is'
            " malformed and not even parsed."
        ),
    ),
)
@pytest.mark.parametrize("entry", TINY.values(), ids=TINY)
@pytest.mark.parametrize("first", [b"0", FIRST], ids=["none-right", "one-right"])
def test_tiny_entries(entry: bytes, first: bytes) -> None:
    """An answer of hundreds of thousands of wrong entries costs no more memory than an agent has to spare."""
    body = worst(entry, first)
    outcomes: list[Outcome] = []
    with memory_measured() as memory:
        outcomes.append(interpret(200, body))
    with calls_counted() as calls:
        outcomes.append(interpret(200, body))

    for outcome in outcomes:
        if first == b"0":
            assert isinstance(outcome, Failure)
            assert outcome.reason is Reason.MALFORMED
        else:
            assert isinstance(outcome, Success)
            assert outcome.document.entries == 1
            assert sum(dropped.count for dropped in outcome.dropped) == body.count(b"," + entry)
    assert memory.amount < 40 * 1024 * 1024
    assert calls.amount < 600_000


@also_shows("Hundreds of thousands of tiny wrong entries")
@pytest.mark.parametrize("entry", TINY.values(), ids=TINY)
def test_too_many_values(entry: bytes) -> None:
    """A body of the longest length full of tiny values is refused before it costs anything."""
    empty = of_many(entry, FIRST, amount=0)
    body = of_many(entry, FIRST, amount=(LONGEST - len(empty)) // len(b"," + entry))
    outcomes: list[Outcome] = []
    with memory_measured() as memory:
        outcomes.append(interpret(200, body))

    assert outcomes == [
        Failure(Reason.MALFORMED, detail="the body has more than 250000 values", status=200),
    ]
    assert memory.amount < 1024 * 1024
