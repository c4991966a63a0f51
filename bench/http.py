"""Paths of the API beside bare aiohttp handlers of the same bytes, in one run.

``make bench-http``. An agent that knows of 250 rules and each bare handler take turns, round by round, so
that a machine whose speed drifts treats both alike.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import cpu_seconds
from bench.servers import Server, agent_with_history, bare_handler, connected, recorded, request_of

_ROUNDS = 11
_REQUESTS = 1_000
_CONNECTIONS = 8

_PATHS = (
    "/v1/loadbalancer",
    "/v1/public-ip",
    "/v1/public-ip?format=json",
    "/v1/public-ips?family=ipv4&format=text",
    "/v1/inbound-rules",
    "/v1/inbound-rules?protocol=tcp&scope=public",
    "/v1/egress-ips",
    "/v1/private-ips",
    "/v1/reachable?protocol=tcp&port=80",
    "/v1/history",
)

_HITS = ("/v1/loadbalancer", "/v1/public-ip")
"""Paths that are also asked for by the ETag of what there is."""


@dataclass
class Measured:
    """What the rounds of one server came to, for one path."""

    server: Server
    request: bytes
    latencies: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Seconds per request, by round."""

    async def round(self) -> None:
        """Send one round of requests over kept connections."""
        share = _REQUESTS // _CONNECTIONS
        cpu = cpu_seconds(self.server.pid)
        for latencies in await asyncio.gather(*(self._client(share) for _ in range(_CONNECTIONS))):
            self.latencies += latencies
        self.cpu.append((cpu_seconds(self.server.pid) - cpu) / _REQUESTS)

    async def _client(self, requests: int) -> list[float]:
        latencies = []
        async with connected(self.server) as connection:
            for _ in range(requests):
                started = time.perf_counter()
                await connection.ask(self.request)
                latencies.append(time.perf_counter() - started)
        return latencies

    def forget(self) -> None:
        """Begin anew."""
        self.latencies, self.cpu = [], []


@dataclass
class Comparison:
    """The agent and a bare handler, asked for the same."""

    name: str
    size: int
    """Bytes of the body."""
    ours: Measured
    bare: Measured

    async def round(self) -> None:
        """One round of each, the one first that was last the time before."""
        pair = (self.ours, self.bare) if len(self.ours.cpu) % 2 else (self.bare, self.ours)
        for measured in pair:
            await measured.round()

    def row(self) -> str:
        """The figures as one line of a table."""
        ratios = sorted(a / b for a, b in zip(self.ours.cpu, self.bare.cpu, strict=True))
        figures = (
            f"{statistics.median(server.cpu) * 1e6:>10.0f}{statistics.median(server.latencies) * 1e3:>8.2f}"
            for server in (self.ours, self.bare)
        )
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        return f"{self.name:<45}{self.size:>7}{''.join(figures)}{statistics.median(ratios):>8.2f}  {spread}"


_HEADINGS = (
    f"{'':<45}{'':>7}{'agent':>18}{'bare handler':>18}\n"
    f"{'path':<45}{'bytes':>7}{'CPU us':>10}{'p50 ms':>8}{'CPU us':>10}{'p50 ms':>8}{'ratio':>8}  from to"
)


def _comparisons(agent: Server, directory: Path, stack: ExitStack) -> Iterator[Comparison]:
    """Every path, each with a bare handler of its own."""
    for number, path in enumerate(_PATHS):
        answer = recorded(agent, path)
        bare = stack.enter_context(bare_handler(path, answer, file=directory / str(number)))
        request, size = request_of(path), len(answer.body)
        yield Comparison(path, size, Measured(agent, request), Measured(bare, request))
        if path in _HITS:
            hit = Measured(agent, request_of(path, f"If-None-Match: {answer.etag}\r\n"))
            yield Comparison(f"{path}, ETag hit", size, hit, Measured(bare, request))


async def _measure(comparisons: list[Comparison]) -> None:
    for comparison in comparisons:
        await comparison.round()
        comparison.ours.forget()
        comparison.bare.forget()
    for _ in range(_ROUNDS):
        for comparison in comparisons:
            await comparison.round()


def main() -> None:
    """Start the servers, measure, print."""
    with tempfile.TemporaryDirectory() as directory, agent_with_history() as agent, ExitStack() as stack:
        comparisons = list(_comparisons(agent, Path(directory), stack))
        asyncio.run(_measure(comparisons))
    print(
        f"{_ROUNDS} rounds of {_REQUESTS} requests each over {_CONNECTIONS} connections, in turns. Medians; "
        "ratio of CPU time per request, round by round.\n"
    )
    print(_HEADINGS)
    for comparison in comparisons:
        print(comparison.row())


if __name__ == "__main__":
    main()
