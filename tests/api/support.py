"""An API of its own for each test, and plain sockets to talk to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import ClientSession, web

from sidecar.api.application import Application, Configuration
from sidecar.api.connections import Handler, Limits
from sidecar.api.sockets import bind, serving
from sidecar.core.listen import parse_listen
from sidecar.core.state import Snapshot
from sidecar.latest import Watch
from sidecar.metrics import Metrics
from tests.support.replies import Reply
from tests.support.states import FakeClock
from tests.support.waiting import DEADLINE_S

NODE = "aks-pool1-12345678-vmss000000"
REQUEST = b"GET /v1/public-ip HTTP/1.1\r\nHost: x\r\n\r\n"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class API:
    """A running API."""

    latest: Watch[Snapshot]
    clock: FakeClock
    metrics: Metrics
    application: Application
    address: tuple[str, int]
    session: ClientSession

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.address
        return f"http://{host}:{port}"

    @property
    def waiting(self) -> float | None:
        """How many requests it holds; nothing before the first."""
        return self.metrics.registry.get_sample_value("azure_lb_metadata_http_waiting_clients")

    async def get(self, target: str, *, method: str = "GET", **headers: str) -> Reply:
        """Ask; underscores in names of headers stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.url + target, headers=named) as response:
            return await Reply.of(response)

    async def metadata(self, target: str, **headers: str) -> Reply:
        """Ask as clients of the metadata service do."""
        return await self.get(target, Metadata="true", **headers)


@asynccontextmanager
async def api_running(
    snapshot: Snapshot, *, limits: Limits | None = None, listen: str = "127.0.0.1:0", **settings: Any
) -> AsyncIterator[API]:
    """An API over a snapshot, by default on a free port; settings as of its configuration."""
    latest, clock, metrics = Watch(snapshot), FakeClock(), Metrics()
    configured = {"node_name": NODE, **settings}
    application = Application(Configuration(latest=latest, clock=clock, metrics=metrics, **configured))
    sockets = socket_on(listen)
    async with (
        serving(application, sockets, limits=limits, metrics=metrics) as addresses,
        ClientSession(skip_auto_headers=("Accept", "User-Agent")) as session,
    ):
        assert isinstance(addresses[0], tuple)
        yield API(latest, clock, metrics, application, addresses[0], session)


def socket_on(listen: str) -> list[socket.socket]:
    """Bind what a setting says."""
    address = parse_listen(listen)
    assert address is not None
    return bind(address, setting="--listen")


def clients(api: API) -> float | None:
    """How many connections are counted."""
    return api.metrics.registry.get_sample_value("azure_lb_metadata_http_clients")


def refused(api: API, cause: str) -> float | None:
    """How many refusals are counted."""
    name = "azure_lb_metadata_http_refused_clients_total"
    return api.metrics.registry.get_sample_value(name, {"cause": cause})


async def answer_ok(_: web.BaseRequest) -> web.StreamResponse:
    """Answer every request."""
    return web.Response(text="ok")


class Get(Protocol):
    """Asks for a target; underscores in names of headers stand for hyphens."""

    async def __call__(self, target: str, *, method: str = "GET", **headers: str) -> Reply:
        """Ask."""


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Get]:
    """Any request handler, on a free port of the loopback address."""
    async with serving(handler, socket_on("127.0.0.1:0")) as addresses, ClientSession() as session:
        base = "http://{}:{}".format(*addresses[0])

        async def get(target: str, *, method: str = "GET", **headers: str) -> Reply:
            async with session.request(method, base + target, headers=headers) as response:
                return await Reply.of(response)

        yield get


async def exchange(address: tuple[str, int], request: bytes) -> bytes:
    """Send bytes on a connection of their own and read until the server closes it."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), timeout=DEADLINE_S)
    finally:
        writer.close()


@asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[Connection]:
    """A plain connection."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ask(connection: Connection, request: bytes = REQUEST) -> bytes:
    """Ask on an open connection, and read the head and the body of the answer."""
    reader, writer = connection
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=DEADLINE_S)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head + await asyncio.wait_for(reader.readexactly(length), timeout=DEADLINE_S)


async def ended(connection: Connection) -> bytes:
    """Read until the server closes."""
    try:
        return await asyncio.wait_for(connection[0].read(), timeout=DEADLINE_S)
    except ConnectionResetError:
        return b""
