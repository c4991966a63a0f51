"""Servers that are asked over kept connections: an agent of 250 rules, and a bare handler beside it."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple

from bench.processes import answered, free_port, many_rules, running, until


class Server(NamedTuple):
    """A process that answers."""

    port: int
    pid: int

    def url(self, path: str) -> str:
        """Where a path of it is."""
        return f"http://127.0.0.1:{self.port}{path}"


class Agent(NamedTuple):
    """An agent, and what it reads from."""

    server: Server
    control: int
    """The port that the simulated service is told things on."""


@dataclass(frozen=True)
class Connection:
    """A connection that is kept."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> None:
        """Send a request and read its answer."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        await self.reader.readexactly(_content_length(head))


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Connection]:
    """A connection for the length of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


def _content_length(head: bytes) -> int:
    """Bytes of the body that follows these headers."""
    lines = head.lower().split(b"\r\n")
    return next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)


def request_of(path: str, headers: str = "") -> bytes:
    """A request on a kept connection."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode()


class Recorded(NamedTuple):
    """An answer, for others to give."""

    body: bytes
    etag: str
    headers: str
    """Those that it has of its own, as JSON: but for what every server adds."""


def recorded(server: Server, path: str) -> Recorded:
    """What a server answers."""
    with urllib.request.urlopen(server.url(path)) as response:  # noqa: S310 - loopback
        return Recorded(response.read(), str(response.headers["ETag"]), _headers_of(response))


def _headers_of(response: HTTPResponse) -> str:
    added = {"age", "connection", "content-length", "date", "server"}
    return json.dumps({name: text for name, text in response.getheaders() if name.lower() not in added})


@contextmanager
def bare_handler(path: str, answer: Recorded, *, file: Path) -> Iterator[Server]:
    """A bare aiohttp handler that gives the same answer.

    Args:
        path: Of the API; its query is not looked at.
        answer: What it gives.
        file: Where to put the body for it.
    """
    file.write_bytes(answer.body)
    port = free_port()
    plain = path.partition("?")[0]
    with running(["-m", "bench.bare", str(port), str(file), plain, answer.headers]) as process:
        server = Server(port, process.pid)
        answered(server.url(path))
        yield server


@contextmanager
def agent_of_many_rules(*arguments: str) -> Iterator[Agent]:
    """An agent that knows 250 rules and answers over HTTP alone, with these arguments besides."""
    imds, control, api = (free_port() for _ in range(3))
    common = f"-m sidecar run --no-annotations --listen 127.0.0.1:{api} --admin-listen none".split()
    endpoint = f"http://127.0.0.1:{imds}"
    with (
        running(many_rules(imds, control)),
        running([*common, *arguments], AZURE_LB_METADATA_IMDS_ENDPOINT=endpoint) as process,
    ):
        yield Agent(Server(api, process.pid), control)


@contextmanager
def agent_with_history() -> Iterator[Server]:
    """An agent that knows 250 rules and two changes."""
    with agent_of_many_rules("--poll-interval", "5s") as agent:
        for document in ("all", "many-rules"):
            revision = _revision(agent.server)
            put_document(agent.control, json.dumps(document))
            until(partial(_is_newer, agent.server, revision), "the agent does not see the change")
        yield agent.server


def put_document(control: int, document: str) -> None:
    """Give the simulated service another document: its name, or a mapping, as YAML."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{control}/document", data=document.encode(), method="PUT"
    )
    urllib.request.urlopen(request).close()  # noqa: S310 - loopback


def _is_newer(server: Server, revision: object) -> bool:
    return _revision(server) != revision


def _revision(server: Server) -> object:
    return json.loads(answered(server.url("/v1/loadbalancer")))["revision"]
