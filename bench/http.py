"""Paths of the API beside bare aiohttp handlers of the same bytes, in one run.

``make bench-http``. An agent that knows of 250 rules and each bare handler take turns, round by round, so
that a machine whose speed drifts treats both alike.
"""

import asyncio
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple

from bench.processes import answered, cpu_seconds, free_port, many_rules, running

__all__ = ["Server", "agent_with_rules", "content_length", "headers_of", "request_of"]

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


class Server(NamedTuple):
    """A process that answers."""

    port: int
    pid: int


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
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        latencies = []
        for _ in range(requests):
            started = time.perf_counter()
            writer.write(self.request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(content_length(head))
            latencies.append(time.perf_counter() - started)
        writer.close()
        await writer.wait_closed()
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


def content_length(head: bytes) -> int:
    """Bytes of the body that follows these headers."""
    lines = head.lower().split(b"\r\n")
    return next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)


def request_of(path: str, headers: str = "") -> bytes:
    """A request on a kept connection."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode()


def headers_of(response: HTTPResponse) -> str:
    """The headers that an answer has of its own, as JSON: but for what every server adds."""
    added = {"age", "connection", "content-length", "date", "server"}
    return json.dumps({name: text for name, text in response.getheaders() if name.lower() not in added})


def _comparisons(agent: Server, directory: Path, stack: ExitStack) -> Iterator[Comparison]:
    """Every path, each with a bare handler of its own."""
    for number, path in enumerate(_PATHS):
        with urllib.request.urlopen(f"http://127.0.0.1:{agent.port}{path}") as response:
            body, etag = response.read(), response.headers["ETag"]
            headers = headers_of(response)
        file = directory / str(number)
        file.write_bytes(body)
        port = free_port()
        plain = path.partition("?")[0]
        process = stack.enter_context(running(["-m", "bench.bare", str(port), str(file), plain, headers]))
        answered(f"http://127.0.0.1:{port}{path}")
        bare = Server(port, process.pid)
        request = request_of(path)
        yield Comparison(path, len(body), Measured(agent, request), Measured(bare, request))
        if path in _HITS:
            hit = Measured(agent, request_of(path, f"If-None-Match: {etag}\r\n"))
            yield Comparison(f"{path}, ETag hit", len(body), hit, Measured(bare, request))


async def _measure(comparisons: list[Comparison]) -> None:
    for comparison in comparisons:
        await comparison.round()
        comparison.ours.forget()
        comparison.bare.forget()
    for _ in range(_ROUNDS):
        for comparison in comparisons:
            await comparison.round()


def _remember_changes(agent: Server, control: int) -> None:
    """Let the history have something to tell."""
    for document in ("all", "many-rules"):
        revision = _revision(agent)
        data = json.dumps(document).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{control}/document", data=data, method="PUT")
        urllib.request.urlopen(request).close()  # noqa: S310 - loopback
        deadline = time.monotonic() + 20
        while _revision(agent) == revision:
            if time.monotonic() > deadline:
                raise TimeoutError("the agent does not see the change")
            time.sleep(0.05)


def _revision(agent: Server) -> object:
    return json.loads(answered(f"http://127.0.0.1:{agent.port}/v1/loadbalancer"))["revision"]


@contextmanager
def agent_with_rules() -> Iterator[Server]:
    """An agent that knows 250 rules and two changes."""
    imds, control, api = (free_port() for _ in range(3))
    arguments = (
        f"-m sidecar run --no-annotations --poll-interval 5s --listen 127.0.0.1:{api} --admin-listen none"
    )
    endpoint = f"http://127.0.0.1:{imds}"
    with (
        running(many_rules(imds, control)),
        running(arguments.split(), AZURE_LB_METADATA_IMDS_ENDPOINT=endpoint) as process,
    ):
        agent = Server(api, process.pid)
        _remember_changes(agent, control)
        yield agent


def main() -> None:
    """Start the servers, measure, print."""
    with tempfile.TemporaryDirectory() as directory, agent_with_rules() as agent, ExitStack() as stack:
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
