"""One flow to an egress probe: over UDP, TCP or HTTPS, from a port of its own.

Nothing that comes back is trusted: time, bytes and addresses are bounded, and whatever goes wrong is a
:class:`Flow` with its failure. What is sent says nothing about the node.
"""

import asyncio
import errno
import secrets
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from sidecar.blocking import Blocking, read_regular
from sidecar.core import stun
from sidecar.core.addresses import IPAddress, parse_address
from sidecar.core.probes import (
    Flow,
    FlowFailure,
    MalformedAnswerError,
    Probe,
    ProbeRejectedError,
    Transport,
    address_in_body,
    is_possible,
)
from sidecar.sources import reading

TIMEOUT = 3.0
"""Seconds of a whole flow, TLS included, and of resolving a name."""

_WAITS = (0.25, 0.5, 1.0, None)
"""Seconds after each of four requests over UDP, the last until the flow's time-out.

Doubled each time as in RFC 8489 section 6.2.1, and beginning with half of its 500 ms: so four fit.
"""

_LONGEST_BODY = 1024
"""Bytes of an answer over HTTPS that are read."""

_LONGEST_AUTHORITY = 1024 * 1024
"""Bytes of a file of certificates; the bundle of all public authorities has some 220 KiB."""

_HEADERS = {"Accept": "text/plain, application/json", "User-Agent": "azure-lb-metadata"}
"""The same of every node and every version."""

_NO_ROUTE = {
    *(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN),
    # No source address for the family, or none at all for it on this host; connect(2), socket(2).
    *(errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL),
}


class UnknownNameError(Exception):
    """A probe's name has no address, or no resolver answered; the text is printable and bounded."""


async def resolve(probe: Probe) -> dict[int, tuple[IPAddress, ...]]:
    """The addresses of a probe by family, 4 before 6, in the resolver's order; a family may be missing.

    Whether this host has addresses of the family is not asked: that is found by trying.

    Raises:
        UnknownNameError: the name has no address, or no resolver answered within 3 s.
    """
    if probe.address is not None:
        return {probe.address.version: (probe.address,)}
    try:
        async with asyncio.timeout(TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(
                probe.host, probe.port, type=socket.SOCK_STREAM
            )
    except (OSError, UnicodeError) as error:
        # The encoding of names has an error of its own, for a label of more than 63 characters.
        late = isinstance(error, TimeoutError) and error.errno is None
        why = f"no resolver answered within {TIMEOUT:g} s" if late else reading.described(error)
        raise UnknownNameError(f"cannot resolve {probe.host[:80]}: {why}") from error
    addresses: dict[int, tuple[IPAddress, ...]] = {4: (), 6: ()}
    for *_, (host, *_) in found:
        with suppress(ValueError):  # A zone, or an IPv4-mapped address.
            address = parse_address(host)
            if is_possible(address) and address not in addresses[address.version]:
                addresses[address.version] += (address,)
    if not any(addresses.values()):
        raise UnknownNameError(f"{probe.host[:80]} has no address that a server can have")
    return {family: each for family, each in addresses.items() if each}


async def trusting(authority: Path, *, blocking: Blocking) -> ssl.SSLContext:
    """What :func:`flow` takes as ``tls`` to trust the certificates of a PEM file instead of the system's.

    Args:
        authority: The file; it is read each time.
        blocking: Reads it, off the event loop and with a time-out.

    Raises:
        OSError: it cannot be read now, is longer than 1 MiB, or holds no certificate.
    """
    return await blocking.call(_trusting, authority)


def _trusting(authority: Path) -> ssl.SSLContext:
    content = read_regular(authority, limit=_LONGEST_AUTHORITY)
    if len(content) > _LONGEST_AUTHORITY:
        raise OSError(errno.EFBIG, f"more than {_LONGEST_AUTHORITY} bytes", str(authority))
    # Not create_default_context(), which trusts the system's authorities where a file is empty.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Bundles have names in their comments, in any encoding.
        context.load_verify_locations(cadata=content.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise OSError(errno.EINVAL, "No certificate in PEM", str(authority)) from error
    return context


async def flow(probe: Probe, address: IPAddress, *, tls: ssl.SSLContext | None = None) -> Flow:
    """Ask a probe once, at one of its addresses and over a new connection, for 3 s at most.

    It raises nothing but its own cancellation, which leaves no socket behind.

    Args:
        probe: Who is asked.
        address: Where: of :func:`resolve`.
        tls: For HTTPS, of :func:`trusting`; ``None``: the system's authorities are trusted.
    """
    line = _Line(probe, address)
    try:
        async with asyncio.timeout(TIMEOUT):
            if probe.transport is Transport.UDP:
                seen = await _ask_over_udp(line)
            elif probe.transport is Transport.TCP:
                seen = await _ask_over_tcp(line)
            else:
                seen = await _ask_over_https(line, tls)
    except (ProbeRejectedError, MalformedAnswerError, OSError, aiohttp.ClientError) as error:
        failure, detail = _failure(error, line)
        return Flow(probe=probe, family=address.version, own=line.own, failure=failure, detail=detail[:200])
    return Flow(probe=probe, family=address.version, own=line.own, address=seen)


@dataclass
class _Line:
    """What a flow goes between, and what is known of it while it lasts."""

    probe: Probe
    address: IPAddress
    own: IPAddress | None = None
    """Once there is a connection."""
    ignored: str = ""
    """Over UDP: why the last datagram was no answer."""

    def connected(self, transport: asyncio.BaseTransport) -> None:
        """Note this end of a new connection."""
        if (name := transport.get_extra_info("sockname")) is not None:
            self.own = ip_address(name[0].partition("%")[0])


class _Binding(asyncio.DatagramProtocol):
    """Waits for the response to one Binding request; the socket is connected, so only the server's come."""

    def __init__(self, line: _Line, transaction_id: bytes) -> None:
        self._line = line
        self._transaction_id = transaction_id
        self.ended = asyncio.Event()
        self.outcome: IPAddress | Exception = TimeoutError()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line.connected(transport)

    def datagram_received(self, data: bytes, _sender: tuple[str | Any, int]) -> None:
        """Take the answer; anybody may send what is none, so that ends nothing."""
        try:
            self._end(stun.mapped_address(data, transaction_id=self._transaction_id))
        except ProbeRejectedError as error:
            self._end(error)
        except MalformedAnswerError as error:
            self._line.ignored = str(error)

    def error_received(self, exc: Exception) -> None:
        """End: ICMP said that nothing listens there, or that there is no way, or this host does."""
        self._end(exc)

    def _end(self, outcome: IPAddress | Exception) -> None:
        if not self.ended.is_set():
            self.outcome = outcome
            self.ended.set()


async def _ask_over_udp(line: _Line) -> IPAddress:
    transaction_id = secrets.token_bytes(stun.TRANSACTION_ID_LENGTH)
    transport, binding = await asyncio.get_running_loop().create_datagram_endpoint(
        partial(_Binding, line, transaction_id), remote_addr=(str(line.address), line.probe.port)
    )
    try:
        for wait in _WAITS:
            transport.sendto(stun.binding_request(transaction_id))
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await binding.ended.wait()
                    break
    finally:
        transport.abort()
    if isinstance(binding.outcome, Exception):
        raise binding.outcome
    return binding.outcome


async def _ask_over_tcp(line: _Line) -> IPAddress:
    transaction_id = secrets.token_bytes(stun.TRANSACTION_ID_LENGTH)
    reader, writer = await asyncio.open_connection(
        str(line.address), line.probe.port, limit=stun.LONGEST_MESSAGE
    )
    header = b""
    try:
        line.connected(writer.transport)
        writer.write(stun.binding_request(transaction_id))
        header = await reader.readexactly(stun.HEADER_LENGTH)
        length = stun.response_length(header, transaction_id=transaction_id)
        rest = await reader.readexactly(length - stun.HEADER_LENGTH)
        return stun.mapped_address(header + rest, transaction_id=transaction_id)
    except asyncio.IncompleteReadError as error:
        if header or error.partial:
            raise MalformedAnswerError("the connection was closed within an answer") from error
        raise _closed() from error
    finally:
        writer.transport.abort()


async def _ask_over_https(line: _Line, tls: ssl.SSLContext | None) -> IPAddress:
    connector = reading.Connector(
        partial(_Protocol, line), force_close=True, resolver=_Pinned(line.address), ssl=tls or True
    )
    # No time-out of aiohttp's: it takes a cancellation away that meets it.
    async with (
        reading.new_session(connector=connector) as session,
        session.get(
            URL(str(line.probe), encoded=True), headers=_HEADERS, allow_redirects=False, middlewares=(_once,)
        ) as response,
    ):
        if response.status != 200:
            raise ProbeRejectedError(f"HTTP {response.status}")
        if reading.compressed(response):
            raise MalformedAnswerError("the body is compressed")
        try:
            await response.content.readexactly(_LONGEST_BODY + 1)
        except asyncio.IncompleteReadError as error:
            return address_in_body(error.partial)
        raise MalformedAnswerError(f"the body is longer than {_LONGEST_BODY} bytes")


class _Protocol(reading.Protocol):
    """A connection over which hardly anything may come."""

    most_received = 64 * 1024

    def __init__(self, line: _Line, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._line = line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._line.connected(transport)


class _Pinned(AbstractResolver):
    """Knows one address, whatever the name: the name stays in certificate and ``Host``."""

    def __init__(self, address: IPAddress) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The address, without looking anywhere."""
        family = socket.AF_INET if self._address.version == 4 else socket.AF_INET6
        flags = socket.AI_NUMERICHOST
        result = ResolveResult(
            hostname=host, host=str(self._address), port=port, family=family, proto=0, flags=flags
        )
        return [result]

    async def close(self) -> None:
        """Nothing is held."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Make one connection: aiohttp would make a second one, from another port, where the first is closed."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _closed() from error


def _closed() -> ConnectionAbortedError:
    return ConnectionAbortedError("the connection was closed before an answer")


def _failure(error: Exception, line: _Line) -> tuple[FlowFailure, str]:
    """What a flow failed by, and in words."""
    match error:
        case ProbeRejectedError():
            return FlowFailure.REJECTED, str(error)
        case MalformedAnswerError():
            return FlowFailure.MALFORMED, str(error)
        case aiohttp.ClientConnectorCertificateError():
            return FlowFailure.CERTIFICATE, reading.described(error)
        case aiohttp.ClientSSLError() | aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return FlowFailure.MALFORMED, reading.described(error)
        case TimeoutError(errno=None) if line.ignored:
            return FlowFailure.MALFORMED, line.ignored
        case TimeoutError(errno=None):
            what = "connection" if line.own is None else "complete answer"
            return FlowFailure.NO_ANSWER, f"no {what} within {TIMEOUT:g} s"
        case OSError(errno=errno.ETIMEDOUT):
            return FlowFailure.NO_ANSWER, reading.described(error)
        case OSError(errno=number) if number in _NO_ROUTE:
            return FlowFailure.NO_ROUTE, reading.described(error)
        case _:
            # A firewall of this host refuses with EPERM, one on the way with a reset or an early end.
            return FlowFailure.REFUSED, reading.described(error)


class Prober:
    """Asks probes as the settings of an agent say."""

    def __init__(self, *, ca: Path | None) -> None:
        """``ca``: the file of ``--egress-probe-ca``, read anew for each flow, as it may change."""
        self._ca = ca
        self._blocking = Blocking(TIMEOUT)

    async def resolve(self, probe: Probe) -> Sequence[IPAddress] | Flow:
        """An address to ask in each family of a probe's host; or a flow that failed by its name."""
        try:
            return [addresses[0] for addresses in (await resolve(probe)).values()]
        except UnknownNameError as error:
            return Flow(probe=probe, family=4, failure=FlowFailure.UNKNOWN_NAME, detail=str(error)[:200])

    async def ask(self, probe: Probe, address: IPAddress) -> Flow:
        """One flow, as of :func:`flow`."""
        tls = None
        if probe.transport is Transport.HTTPS and self._ca is not None:
            try:
                tls = await trusting(self._ca, blocking=self._blocking)
            except OSError as error:
                detail = f"cannot read {self._ca}: {reading.described(error)}"[:200]
                return Flow(
                    probe=probe, family=address.version, failure=FlowFailure.CERTIFICATE, detail=detail
                )
        return await flow(probe, address, tls=tls)
