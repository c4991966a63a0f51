"""Probes on loopback whose every byte a test decides, and certificates to trust or not."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import trustme

from sidecar.core.probes import Flow, FlowFailure, Probe, Transport
from sidecar.sources import probing
from tests.support.raw_server import RawServer
from tests.support.stun import message, xor_mapped
from tests.support.waiting import DEADLINE_S

NAME = "probe.test"
LOCAL = ip_address("127.0.0.1")

Answers = Callable[[bytes], Iterable[bytes]]
"""What a request over UDP is answered with: datagrams."""


def answer(request: bytes, *attributes: bytes, kind: int = 0x0101) -> bytes:
    """The response to a Binding request, with the usual address unless there are ``attributes``."""
    transaction_id = request[8:20]
    of_request = attributes or (xor_mapped(transaction_id=transaction_id),)
    return message(*of_request, kind=kind, transaction_id=transaction_id)


@dataclass
class UDPServer(asyncio.DatagramProtocol):
    """A server that answers each datagram with any number of them, and remembers all."""

    answers: Answers
    requests: list[bytes] = field(default_factory=list)
    sources: list[tuple[str, int]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """In seconds of the loop's clock."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # Its class says so only from Python 3.12 on.
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer."""
        self.requests.append(data)
        self.sources.append(addr)
        self.times.append(asyncio.get_running_loop().time())
        for datagram in self.answers(data):
            self.transport.sendto(datagram, addr)

    @property
    def probe(self) -> Probe:
        """The probe that this server is."""
        return Probe(Transport.UDP, NAME, self.port)


@asynccontextmanager
async def udp_server(answers: Answers, *, host: str = "127.0.0.1") -> AsyncIterator[UDPServer]:
    """A STUN server over UDP."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: UDPServer(answers), local_addr=(host, 0)
    )
    try:
        yield server
    finally:
        transport.abort()


@asynccontextmanager
async def tcp_server(
    respond: Callable[[bytes], AsyncIterator[bytes]], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Probe]:
    """A STUN server over TCP; ``respond`` gives the pieces that answer a request, and after them it hangs up.

    With ``tls`` it is one over HTTPS, whose request is the head.
    """
    conversations: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            request = await (reader.readexactly(20) if tls is None else reader.readuntil(b"\r\n\r\n"))
            async for piece in respond(request):
                writer.write(piece)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # The client has gone.
        finally:
            writer.transport.abort() if tls else writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Probe(Transport.TCP, NAME, port) if tls is None else Probe(Transport.HTTPS, NAME, port, "/ip")
        for task in conversations:
            task.cancel()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*conversations, return_exceptions=True)


def of(server: RawServer, path: str = "/ip", name: str = NAME) -> Probe:
    """The probe that a raw server is."""
    return Probe(Transport.HTTPS, name, int(server.url.rpartition(":")[2]), path)


def pieces(*made: Callable[[bytes], bytes]) -> Callable[[bytes], AsyncIterator[bytes]]:
    """Answer with these, one after the other."""

    async def respond(request: bytes) -> AsyncIterator[bytes]:
        for make in made:
            yield make(request)

    return respond


def dripping(make: Callable[[bytes], bytes]) -> Callable[[bytes], AsyncIterator[bytes]]:
    """Answer with one byte each half second."""

    async def respond(request: bytes) -> AsyncIterator[bytes]:
        for byte in make(request):
            yield bytes([byte])
            await asyncio.sleep(0.5)

    return respond


async def silent(_: bytes) -> AsyncIterator[bytes]:
    """Answer with nothing, for ever."""
    await asyncio.Event().wait()
    yield b""


async def ask(probe: Probe, *, tls: ssl.SSLContext | None = None) -> Flow:
    """One flow to a probe on loopback; without time-out of its own it would be stuck."""
    async with asyncio.timeout(DEADLINE_S):
        return await probing.flow(probe, LOCAL, tls=tls)


def failed(flow: Flow) -> tuple[FlowFailure, str]:
    """Why a flow failed: the word and its detail, which is printable and short, and no address."""
    assert flow.failure is not None, flow
    assert flow.address is None
    assert flow.detail.isprintable()
    assert flow.detail.isascii()
    assert 0 < len(flow.detail) <= 200
    return flow.failure, flow.detail


class Certificates:
    """An authority, and servers with certificates of it."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def server(self, name: str = NAME, *, outdated: bool = False) -> ssl.SSLContext:
        """What a server of that name is made with."""
        until = datetime.now(UTC) - timedelta(days=1) if outdated else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(name, not_after=until).configure_cert(context)
        return context


def open_sockets() -> set[str]:
    """The sockets that this process has open, by what the system calls them."""
    names = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            name = str(entry.readlink())
        except FileNotFoundError:
            continue
        if name.startswith("socket:"):
            names.add(name)
    return names


def refusing_socket() -> socket.socket:
    """A bound port of TCP that refuses connections as long as the socket lives."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder
