"""``/v1/loadbalancer`` of 250 rules beside a bare aiohttp handler of the same bytes, in one run.

``make bench-http``. The two servers take turns, so that a machine whose speed drifts treats both alike.
"""

import asyncio
import statistics
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import answered, cpu_seconds, free_port, many_rules, running

_ROUNDS = 6
_REQUESTS = 2_000
_CONNECTIONS = 8
_PATH = "/v1/loadbalancer"


@dataclass
class Measured:
    """What the rounds of one server came to."""

    name: str
    port: int
    pid: int
    headers: str = ""
    """Further header lines of the requests, each one ended."""
    latencies: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Seconds per request."""

    async def round(self) -> None:
        """Send one round of requests over kept connections."""
        cpu, started = cpu_seconds(self.pid), time.perf_counter()
        share = _REQUESTS // _CONNECTIONS
        for latencies in await asyncio.gather(*(self._client(share) for _ in range(_CONNECTIONS))):
            self.latencies += latencies
        self.rates.append(_REQUESTS / (time.perf_counter() - started))
        self.cpu.append((cpu_seconds(self.pid) - cpu) / _REQUESTS)

    async def _client(self, requests: int) -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        latencies = []
        for _ in range(requests):
            started = time.perf_counter()
            writer.write(f"GET {_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self.headers}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_content_length(head))
            latencies.append(time.perf_counter() - started)
        writer.close()
        await writer.wait_closed()
        return latencies

    def row(self) -> str:
        """The figures as one line of a table."""
        ordered = sorted(self.latencies)
        p99 = ordered[int(len(ordered) * 0.99)]
        return (
            f"{self.name:<28}{statistics.median(self.rates):>12.0f}{statistics.median(ordered) * 1e3:>10.2f}"
            f"{p99 * 1e3:>10.2f}{statistics.median(self.cpu) * 1e6:>14.0f}"
        )


def _content_length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)


def _etag(url: str) -> str:
    with urllib.request.urlopen(url) as response:  # noqa: S310 - loopback
        return str(response.headers["ETag"])


async def _measure(servers: list[Measured]) -> None:
    for server in servers:
        await server.round()
        server.latencies, server.rates, server.cpu = [], [], []
    for _ in range(_ROUNDS):
        for server in servers:
            await server.round()


def main() -> None:
    """Start the servers, measure, print."""
    imds, control, api, bare = (free_port() for _ in range(4))
    simulate = many_rules(imds, control)
    agent = f"-m sidecar run --no-annotations --listen 127.0.0.1:{api} --admin-listen none".split()
    endpoint = f"http://127.0.0.1:{imds}"
    with (
        tempfile.TemporaryDirectory() as directory,
        running(simulate),
        running(agent, AZURE_LB_METADATA_IMDS_ENDPOINT=endpoint) as agent_process,
    ):
        path = Path(directory) / "body"
        path.write_bytes(answered(f"http://127.0.0.1:{api}{_PATH}"))
        with running(["-m", "bench.bare", str(bare), str(path)]) as bare_process:
            answered(f"http://127.0.0.1:{bare}{_PATH}")
            ours = Measured("agent /v1/loadbalancer", api, agent_process.pid)
            theirs = Measured("bare aiohttp handler", bare, bare_process.pid)
            etag = _etag(f"http://127.0.0.1:{api}{_PATH}")
            hits = Measured("agent, ETag hits", api, agent_process.pid, f"If-None-Match: {etag}\r\n")
            asyncio.run(_measure([ours, theirs, hits]))
        size = path.stat().st_size
    print(
        f"{size} bytes, {_CONNECTIONS} connections, {_ROUNDS} rounds of {_REQUESTS} requests each, in turns"
    )
    print(f"{'':<28}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'CPU us/request':>14}")
    print(ours.row())
    print(theirs.row())
    print(hits.row())
    for name, measured in (("agent", ours), ("ETag hits", hits)):
        ratios = sorted(a / b for a, b in zip(measured.cpu, theirs.cpu, strict=True))
        print(
            f"CPU per request, {name} / bare, round by round: median {statistics.median(ratios):.2f} "
            f"(from {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
