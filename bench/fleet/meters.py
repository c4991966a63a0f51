"""What a scenario cost: processor time, requests, and what other clients felt of it."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.fleet.agents import Call
from bench.fleet.fleet import Fleet
from bench.processes import cpu_seconds, environment
from tests.support.apiserver import ApiServer


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of times, in seconds."""

    count: int = 0
    median: float = 0.0
    p99: float = 0.0
    longest: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quantiles":
        """Those of these values."""
        if len(values) < 2:
            return cls()
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        return cls(len(values), cuts[49], cuts[98], max(values))


@dataclass(slots=True)
class Cost:
    """The figures of one scenario, as they are recorded. Durations are as measured, not as in a cluster."""

    scenario: str
    nodes: int
    pace: float
    """How much faster than in a cluster time ran."""
    seconds: float = 0.0
    reads: int = 0
    writes: int = 0
    failed: int = 0
    peak: int = 0
    """Most requests in one second."""
    bytes_written: int = 0
    """Of our annotations."""
    apiserver_cpu: float = 0.0
    """Seconds of processor time of the API server, everything that it did."""
    etcd_cpu: float = 0.0
    driver_cpu: float = 0.0
    """Of the process that holds all agents."""
    others: Quantiles = Quantiles()
    """Requests of other clients."""
    others_failed: int = 0
    kubelet_posts: int = 0
    watched: int = 0
    """Bytes to all watchers."""
    right: Quantiles = Quantiles()
    """Times from the event until a Node said what it should."""
    notes: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(slots=True)
class Meter:
    """Measures one scenario after another."""

    server: ApiServer
    fleet: Fleet
    outputs: Path
    """Where the processes beside write what they saw."""

    @asynccontextmanager
    async def measured(self, scenario: str, *, pace: float = 1.0) -> AsyncIterator[Cost]:
        """The cost of the block, complete when it has ended."""
        cost = Cost(scenario, len(self.fleet.identities), pace)
        calls, began = len(self.fleet.calls), time.monotonic()
        before = self._cpu()
        yield cost
        cost.seconds = time.monotonic() - began
        used = {name: seconds - before.get(name, 0.0) for name, seconds in self._cpu().items()}
        cost.apiserver_cpu = sum(seconds for name, seconds in used.items() if name.startswith("apiserver"))
        cost.etcd_cpu, cost.driver_cpu = used["etcd"], used["driver"]
        _count(cost, self.fleet.calls[calls:])
        await asyncio.to_thread(self._look, cost, began)

    def _cpu(self) -> dict[str, float]:
        """Processor seconds by process; an API server that was started anew has another name."""
        pid = self.server.pid
        return {
            "driver": time.process_time(),
            "etcd": cpu_seconds(_child("etcd")),
            **({f"apiserver-{pid}": cpu_seconds(pid)} if pid else {}),
        }

    def _look(self, cost: Cost, began: float) -> None:
        time.sleep(1)  # for what is under way and what is not written yet
        ended = began + cost.seconds
        clients = [line for line in self._lines("clients") if began <= line[0] <= ended]
        cost.others = Quantiles.of([seconds for _, seconds, status in clients if 200 <= status < 300])
        cost.others_failed = sum(not 200 <= status < 300 for *_, status in clients)
        posts = (line for line in self._lines("kubelets*") if began <= line[0] <= ended)
        cost.kubelet_posts = sum(200 <= status < 300 for *_, status in posts)
        watched = [total for at, total in self._lines("watchers") if began <= at <= ended]
        cost.watched = int(watched[-1] - watched[0]) if watched else 0

    def _lines(self, pattern: str) -> Iterator[list[float]]:
        for path in self.outputs.glob(pattern):
            for line in path.read_text().splitlines():
                yield json.loads(line)


def _count(cost: Cost, calls: Sequence[Call]) -> None:
    cost.reads = sum(call.method == "get" for call in calls)
    cost.writes = len(calls) - cost.reads
    cost.failed = sum(bool(call.failure) for call in calls)
    cost.peak = max(Counter(int(call.at) for call in calls).values(), default=0)
    cost.bytes_written = sum(call.bytes for call in calls if not call.failure)
    cost.notes["failures"] = dict(Counter(call.failure for call in calls if call.failure))


def _child(name: str) -> int:
    """The process id of the child of that name."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text().rpartition(") ")
        except OSError:
            continue  # it has ended meanwhile
        if head.endswith(f"({name}") and int(tail.split()[1]) == os.getpid():
            return int(path.parent.name)
    raise ProcessLookupError(name)


@contextmanager
def beside(  # noqa: PLR0913 - what such a process is told
    role: str, server: ApiServer, *, nodes: int, rate: float, outputs: Path, name: str = ""
) -> Iterator[None]:
    """A process of ``bench.fleet.others`` for the length of the block."""
    words = [role, server.url, str(server.ca_file), str(nodes), str(rate), str(outputs / (name or role))]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.fleet.others", *words],
        env=environment(),
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(server.admin_token.encode() + b"\n")
        process.stdin.close()
        yield
    finally:
        process.terminate()
        process.wait()
