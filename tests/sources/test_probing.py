"""Flows to probes over UDP and TCP, on loopback: what is believed of them, and what failures are called."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from ipaddress import ip_address
from typing import Any

import pytest

from sidecar.core.probes import FlowFailure, Probe, Transport
from sidecar.sources import probing
from sidecar.sources.probing import UnknownNameError, flow, resolve
from tests.sources.probes import (
    LOCAL,
    NAME,
    Certificates,
    answer,
    ask,
    dripping,
    failed,
    of,
    open_sockets,
    pieces,
    refusing_socket,
    silent,
    tcp_server,
    udp_server,
)
from tests.support.raw_server import dropped_connections, raw_server, response
from tests.support.stun import COOKIE, SEEN, attribute, error_code, mapped, message, xor_mapped
from tests.support.waiting import DEADLINE_S, until_holds

SEEN_ADDRESS = ip_address(SEEN)


# Over UDP.


async def test_udp() -> None:
    """A flow over UDP brings the address that the probe saw, and its own."""
    async with udp_server(lambda request: [answer(request)]) as server:
        flow = await ask(server.probe)
    assert (flow.address, flow.own, flow.family, flow.failure) == (SEEN_ADDRESS, LOCAL, 4, None)
    assert len(server.requests) == 1
    assert server.requests[0][:8] == b"\0\1\0\0" + COOKIE
    assert len(server.requests[0]) == 20


async def test_udp_over_ipv6() -> None:
    """Over IPv6 as well, where an address of IPv4 may come back: behind NAT64 it does."""
    async with udp_server(lambda request: [answer(request)], host="::1") as server:
        flow = await probing.flow(server.probe, ip_address("::1"))
    assert (flow.address, flow.own, flow.family) == (SEEN_ADDRESS, ip_address("::1"), 6)


async def test_each_flow_is_new() -> None:
    """Every flow has a port and a transaction ID of its own."""
    async with udp_server(lambda request: [answer(request)]) as server:
        flows = await asyncio.gather(*(ask(server.probe) for _ in range(20)))
    assert all(flow.address == SEEN_ADDRESS for flow in flows)
    assert len({port for _, port in server.sources}) == 20
    assert len({request[8:] for request in server.requests}) == 20


@pytest.mark.looptime
async def test_silence_over_udp() -> None:
    """Four requests from one port, at 0, 0.25, 0.75 and 1.75 s, and after 3 s there is no answer."""
    loop = asyncio.get_running_loop()
    async with udp_server(lambda _: []) as server:
        began = loop.time()
        flow = await ask(server.probe)
        assert loop.time() - began == pytest.approx(3.0, abs=0.01)
    assert failed(flow) == (FlowFailure.NO_ANSWER, "no complete answer within 3 s")
    assert flow.own == LOCAL
    assert [time - began for time in server.times] == pytest.approx([0, 0.25, 0.75, 1.75], abs=0.01)
    assert len(set(server.requests)) == len(set(server.sources)) == 1


@pytest.mark.looptime
@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_loss_over_udp(lost: int) -> None:
    """An answer to any of the four requests is the answer."""
    seen: list[bytes] = []

    def answers(request: bytes) -> list[bytes]:
        seen.append(request)
        return [answer(request)] if len(seen) > lost else []

    async with udp_server(answers) as server:
        flow = await ask(server.probe)
    assert flow.address == SEEN_ADDRESS
    assert len(seen) == lost + 1


def private(request: bytes, address: str) -> bytes:
    """The answer with another address."""
    return answer(request, xor_mapped(address, transaction_id=request[8:20]))


@pytest.mark.parametrize("address", ["10.1.2.3", "100.64.0.9", "127.0.0.1", "fd00::1", "192.168.1.1"])
async def test_private_address(address: str) -> None:
    """A private address is believed for what it is: the probe is inside."""
    async with udp_server(lambda request: [private(request, address)]) as server:
        flow = await ask(server.probe)
    assert flow.address == ip_address(address)
    assert flow.inside


JUNK: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda _: b"Go away",
    "the request itself": lambda request: request,
    "another cookie": lambda request: message(xor_mapped(), cookie=b"\0\0\0\0", transaction_id=request[8:20]),
    "another transaction ID": lambda _: message(xor_mapped()),
    "too short": lambda request: answer(request)[:-4],
    "too long": lambda request: answer(request) + bytes(4),
    "cut off": lambda request: answer(request, b"\x00\x20\x00\x08"),
    "64 KiB": lambda request: answer(request) + bytes(65_000),
    "600 bytes": lambda request: answer(
        request, xor_mapped(transaction_id=request[8:20]), attribute(0x8022, bytes(600))
    ),
    "MAPPED-ADDRESS only": lambda request: answer(request, mapped()),
    "unknown, to be understood": lambda request: answer(
        request, xor_mapped(transaction_id=request[8:20]), attribute(0x7000, b"")
    ),
    "multicast": lambda request: private(request, "224.0.0.1"),
    "unspecified": lambda request: private(request, "0.0.0.0"),
    "IPv4-mapped": lambda request: private(request, "::ffff:203.0.113.7"),
    "an error of another request": lambda _: message(error_code(400), kind=0x0111),
}


@pytest.mark.looptime
@pytest.mark.parametrize("name", JUNK)
async def test_junk_over_udp(name: str) -> None:
    """What is no answer ends nothing; if nothing else comes in time, the answer was malformed."""
    async with udp_server(lambda request: [JUNK[name](request)] * 3) as server:
        flow = await ask(server.probe)
    assert failed(flow)[0] is FlowFailure.MALFORMED
    assert flow.own == LOCAL
    assert len(server.requests) == 4


@pytest.mark.looptime
async def test_answer_after_junk() -> None:
    """The right answer is believed, whatever came before it, and what comes after it is not."""
    seen: list[bytes] = []

    def answers(request: bytes) -> list[bytes]:
        seen.append(request)
        junk = [make(request) for make in JUNK.values()]
        return [*junk, answer(request), private(request, "192.0.2.1")] if len(seen) == 3 else junk

    async with udp_server(answers) as server:
        flow = await ask(server.probe)
    assert (flow.address, flow.failure, flow.detail) == (SEEN_ADDRESS, None, "")


@pytest.mark.looptime
async def test_another_sender() -> None:
    """Only the probe itself is listened to: the right answer from another port is not even junk."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))

        def answers(request: bytes) -> list[bytes]:
            stranger.sendto(answer(request), server.sources[-1])
            return []

        async with udp_server(answers) as server:
            flow = await ask(server.probe)
    assert failed(flow)[0] is FlowFailure.NO_ANSWER


def error(request: bytes) -> bytes:
    """An error response."""
    return answer(request, error_code(401, b"Who are you?\x1b[2J"), kind=0x0111)


async def test_error_over_udp() -> None:
    """An error response ends the flow, with its code and reason."""
    async with udp_server(lambda request: [error(request)]) as server:
        assert failed(await ask(server.probe)) == (FlowFailure.REJECTED, "STUN error 401 Who are you??[2J")
    assert len(server.requests) == 1


async def test_refused_over_udp() -> None:
    """A port where nobody listens refuses, which ends the flow."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    flow = await ask(Probe(Transport.UDP, NAME, port))
    assert failed(flow) == (FlowFailure.REFUSED, "Connection refused")


# Over TCP.


async def test_tcp() -> None:
    """A flow over TCP brings the address that the probe saw, and its own; a response may come in parts."""
    for respond in (
        pieces(answer),
        pieces(lambda request: answer(request)[:7], lambda request: answer(request)[7:]),
        pieces(lambda request: answer(request) + b"more"),
    ):
        async with tcp_server(respond) as probe:
            flow = await ask(probe)
        assert (flow.address, flow.own, flow.family, flow.failure) == (SEEN_ADDRESS, LOCAL, 4, None)


@pytest.mark.parametrize("name", sorted(JUNK.keys() - {"text", "too long", "too short", "64 KiB"}))
async def test_junk_over_tcp(name: str) -> None:
    """What is no answer ends a flow over TCP at once: nothing right can follow."""
    async with tcp_server(pieces(JUNK[name], answer)) as probe:
        flow = await ask(probe)
    assert failed(flow)[0] is FlowFailure.MALFORMED
    assert flow.own == LOCAL


@pytest.mark.parametrize(
    ("respond", "failure"),
    [
        (pieces(error), FlowFailure.REJECTED),
        (pieces(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"), FlowFailure.MALFORMED),
        (pieces(lambda request: answer(request)[:19]), FlowFailure.MALFORMED),
        (pieces(lambda request: answer(request)[:20]), FlowFailure.MALFORMED),
        (pieces(lambda request: answer(request)[:-1]), FlowFailure.MALFORMED),
        (pieces(), FlowFailure.REFUSED),
    ],
    ids=["error", "HTTP", "part of a header", "a header", "closed early", "closed at once"],
)
async def test_misbehaviour_over_tcp(
    respond: Callable[[bytes], AsyncIterator[bytes]], failure: FlowFailure
) -> None:
    """Errors, early ends and other protocols are told apart."""
    async with tcp_server(respond) as probe:
        assert failed(await ask(probe))[0] is failure


@pytest.mark.looptime
@pytest.mark.parametrize("respond", [silent, dripping(answer)], ids=["silent", "drip"])
async def test_slow_over_tcp(respond: Callable[[bytes], AsyncIterator[bytes]]) -> None:
    """All of an answer comes within 3 s, or none came."""
    loop = asyncio.get_running_loop()
    async with tcp_server(respond) as probe:
        began = loop.time()
        flow = await ask(probe)
        assert loop.time() - began == pytest.approx(3.0, abs=0.01)
    assert failed(flow) == (FlowFailure.NO_ANSWER, "no complete answer within 3 s")


@pytest.mark.looptime
@pytest.mark.parametrize("transport", [Transport.TCP, Transport.HTTPS])
async def test_dropped(transport: Transport) -> None:
    """A firewall that drops packets is no answer, and no connection."""
    with dropped_connections() as url:
        flow = await ask(Probe(transport, NAME, int(url.rpartition(":")[2]), "/"))
    assert failed(flow) == (FlowFailure.NO_ANSWER, "no connection within 3 s")
    assert flow.own is None


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.HTTPS])
async def test_refused(transport: Transport) -> None:
    """A port where nobody listens refuses, and there was no connection."""
    with refusing_socket() as holder:
        flow = await ask(Probe(transport, NAME, holder.getsockname()[1], "/"))
    assert failed(flow) == (
        FlowFailure.REFUSED,
        "cannot connect: Connection refused" if transport is Transport.HTTPS else "Connection refused",
    )
    assert flow.own is None


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.ENETUNREACH, FlowFailure.NO_ROUTE),
        (errno.EHOSTUNREACH, FlowFailure.NO_ROUTE),
        (errno.EADDRNOTAVAIL, FlowFailure.NO_ROUTE),
        (errno.EPERM, FlowFailure.REFUSED),
        (errno.ETIMEDOUT, FlowFailure.NO_ANSWER),
    ],
    ids=errno.errorcode.get,
)
async def test_no_connection(
    monkeypatch: pytest.MonkeyPatch, transport: Transport, number: int, failure: FlowFailure
) -> None:
    """Why the system makes no connection is told by its error number."""

    async def unable(*_: object) -> None:
        raise OSError(number, "its text is not looked at")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", unable)
    assert failed(await ask(Probe(transport, NAME, 9, "/")))[0] is failure


# Resolving.


def found(*hosts: str) -> list[tuple[Any, ...]]:
    """What a resolver gives."""
    return [
        (
            socket.AF_INET6 if ":" in host else socket.AF_INET,
            socket.SOCK_STREAM,
            6,
            "",
            (host, 3478, 0, 0) if ":" in host else (host, 3478),
        )
        for host in hosts
    ]


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        (["192.0.2.2", "192.0.2.1", "192.0.2.2"], {4: ["192.0.2.2", "192.0.2.1"]}),
        (["2001:db8::1"], {6: ["2001:db8::1"]}),
        (["2001:db8::1", "192.0.2.1"], {4: ["192.0.2.1"], 6: ["2001:db8::1"]}),
        (["::ffff:192.0.2.1", "192.0.2.1", "fe80::1%eth0", "0.0.0.0", "ff02::1"], {4: ["192.0.2.1"]}),
        (["127.0.0.1"], {4: ["127.0.0.1"]}),
    ],
)
async def test_resolved(
    monkeypatch: pytest.MonkeyPatch, hosts: list[str], addresses: dict[int, list[str]]
) -> None:
    """A name has the addresses that a server can have, by family and in the resolver's order."""

    async def getaddrinfo(host: str, port: int, **options: object) -> list[tuple[Any, ...]]:
        assert (host, port, options) == (NAME, 3478, {"type": socket.SOCK_STREAM})
        return found(*hosts)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    wanted = {family: tuple(map(ip_address, each)) for family, each in addresses.items()}
    assert await resolve(Probe(Transport.UDP, NAME, 3478)) == wanted


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
async def test_literal_address(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """An address is not resolved, and has its own family only."""
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", None)
    address = ip_address(host)
    assert await resolve(Probe(Transport.UDP, host, 3478)) == {address.version: (address,)}


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "Temporary failure"),
        (OSError(errno.EAGAIN, "no new thread can be had"), "Resource temporarily unavailable"),
        (found("::ffff:192.0.2.1", "0.0.0.0"), "has no address that a server can have"),
        ([], "has no address that a server can have"),
        (None, "no resolver answered within 3 s"),
    ],
    ids=["unknown", "no resolver", "no thread", "none of a server", "none", "silence"],
)
async def test_unresolved(
    monkeypatch: pytest.MonkeyPatch, outcome: OSError | list[tuple[Any, ...]] | None, words: str
) -> None:
    """A name without an address is unknown, and so is one that no resolver knows in time."""

    async def getaddrinfo(*_: object, **__: object) -> list[tuple[Any, ...]]:
        if outcome is None:
            await asyncio.Event().wait()
        if isinstance(outcome, OSError):
            raise outcome
        return outcome or []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(UnknownNameError, match=words):
        await resolve(Probe(Transport.UDP, NAME, 3478))


async def test_impossible_label() -> None:
    """A label of more than 63 characters, which no resolver is given, is an unknown name."""
    with pytest.raises(UnknownNameError, match="cannot resolve xxx"):
        await resolve(Probe(Transport.UDP, "x" * 64 + ".test", 3478))


# Cancellation.


async def cancelled_after(turns: int, probe: Probe, tls: ssl.SSLContext) -> bool:
    """Whether a flow that is cancelled after so many turns of the loop had not ended before."""
    task = asyncio.create_task(flow(probe, LOCAL, tls=tls))
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.done():
        assert task.result().address == SEEN_ADDRESS
        return False
    task.cancel()
    async with asyncio.timeout(DEADLINE_S):
        with suppress(asyncio.CancelledError):
            await task
    assert task.cancelled(), "the cancellation was swallowed"
    return True


@pytest.mark.parametrize("transport", Transport)
async def test_cancelled(certificates: Certificates, tls: ssl.SSLContext, transport: Transport) -> None:
    """A flow that is cancelled at any moment ends as cancelled, and leaves no socket."""
    made = response("200 OK", SEEN.encode())
    async with AsyncExitStack() as stack:
        if transport is Transport.UDP:
            probe = (await stack.enter_async_context(udp_server(lambda request: [answer(request)]))).probe
        elif transport is Transport.TCP:
            probe = await stack.enter_async_context(tcp_server(pieces(answer)))
        else:
            tls_server = raw_server(lambda _: made, tls=certificates.server())
            probe = of(await stack.enter_async_context(tls_server))
        ours = open_sockets()
        turns, cancelled, ended = 0, 0, 0
        # A machine that is busy lets more turns pass, so an end must be seen several times.
        while ended < 3:
            if await cancelled_after(turns, probe, tls):
                cancelled += 1
            else:
                ended += 1
            turns += 1
        assert cancelled >= 3
    await until_holds(lambda: not open_sockets() - ours)
