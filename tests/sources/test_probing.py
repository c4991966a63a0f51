"""Flows to probes on loopback: what is believed of them, and what every misbehaviour is called."""

import asyncio
import errno
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from sidecar.blocking import Blocking
from sidecar.core.probes import FlowFailure, Probe, Transport
from sidecar.sources import probing
from sidecar.sources.probing import UnknownNameError, flow, resolve, trusting
from tests.sources.probes import (
    LOCAL,
    NAME,
    Certificates,
    answer,
    ask,
    failed,
    open_sockets,
    refusing_socket,
    tcp_server,
    udp_server,
)
from tests.support.raw_server import Ending, RawServer, dropped_connections, raw_server, response
from tests.support.stun import COOKIE, SEEN, attribute, error_code, mapped, message, xor_mapped
from tests.support.waiting import DEADLINE_S, until_holds

SEEN_ADDRESS = ip_address(SEEN)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority for all tests."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def tls(certificates: Certificates) -> ssl.SSLContext:
    """Trust in that authority alone."""
    return await trusting(certificates.file, blocking=Blocking())


def of(server: RawServer, path: str = "/ip", name: str = NAME) -> Probe:
    """The probe that a raw server is."""
    return Probe(Transport.HTTPS, name, int(server.url.rpartition(":")[2]), path)


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


# Over HTTPS.


@pytest.mark.parametrize(
    "made",
    [
        response("200 OK", f"{SEEN}\n".encode(), "Content-Type: text/plain"),
        response(
            "200 OK", f'{{"ip": "{SEEN}"}}'.encode(), "Content-Type: text/html", "Content-Encoding: identity"
        ),
        response("200 OK", b"d\r\n 203.0.113.7\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        response("200 OK", SEEN.encode() + b" " * (1024 - len(SEEN))),
    ],
    ids=["text", "JSON", "chunks", "1 KiB"],
)
async def test_https(certificates: Certificates, tls: ssl.SSLContext, made: bytes) -> None:
    """A flow over HTTPS brings the address in the body, and its own."""
    async with raw_server(lambda _: made, tls=certificates.server()) as server:
        flow = await ask(of(server), tls=tls)
    assert (flow.address, flow.own, flow.family, flow.failure) == (SEEN_ADDRESS, LOCAL, 4, None)
    assert server.connections == 1


async def test_nothing_of_the_node_is_sent(
    certificates: Certificates, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is the same from everywhere, in spite of proxies and credentials in the environment."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    made = response("200 OK", SEEN.encode(), "Set-Cookie: session=1")
    async with raw_server(lambda _: made, tls=certificates.server()) as server:
        for _ in range(2):
            flow = await ask(of(server, "/a%2Fb/?c=d%20e&f"), tls=tls)
            assert flow.address == SEEN_ADDRESS
    port = server.url.rpartition(":")[2]
    expected = [
        "GET /a%2Fb/?c=d%20e&f HTTP/1.1",
        "Accept-Encoding: identity",
        "Accept: text/plain, application/json",
        "Connection: close",
        f"Host: {NAME}:{port}",
        "User-Agent: azure-lb-metadata",
    ]
    for request in server.requests:
        first, *headers = request.decode().strip().split("\r\n")
        assert [first, *sorted(headers)] == expected
    assert server.connections == 2


MALFORMED_HTTP = {
    "HTML": response("200 OK", b"<html>203.0.113.7</html>", "Content-Type: text/html"),
    "nothing": response("200 OK"),
    "a list": response("200 OK", b'["203.0.113.7"]'),
    "another key": response("200 OK", b'{"origin": "203.0.113.7"}'),
    "multicast": response("200 OK", b"224.0.0.1"),
    "IPv4-mapped": response("200 OK", b'{"ip": "::ffff:203.0.113.7"}'),
    "compressed": response("200 OK", gzip.compress(SEEN.encode()), "Content-Encoding: gzip"),
    "called compressed": response("200 OK", SEEN.encode(), "Content-Encoding: br"),
    "1 KiB and a byte": response("200 OK", SEEN.encode() + b" " * (1025 - len(SEEN))),
    "64 MiB": response("200 OK", b" " * 100_000, f"Content-Length: {64 * 1024 * 1024}"),
    "no HTTP": b"203.0.113.7\r\n\r\n",
    "STUN": message(xor_mapped()) + b"\r\n\r\n",
    "a long header": response("200 OK", SEEN.encode(), f"X: {'x' * 20_000}"),
    "long headers": response("200 OK", SEEN.encode(), *(f"X-{number}: {'x' * 8000}" for number in range(20))),
    "many headers": response("200 OK", SEEN.encode(), *(f"X-{number}: x" for number in range(2000))),
    "interim answers": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100,
    "no chunks": response("200 OK", b"zzz\r\n203.0.113.7", "Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("name", MALFORMED_HTTP)
async def test_malformed_over_https(certificates: Certificates, tls: ssl.SSLContext, name: str) -> None:
    """An answer that is too long, no HTTP, or without an address to believe is malformed."""
    async with raw_server(lambda _: MALFORMED_HTTP[name], Ending.CLOSE, tls=certificates.server()) as server:
        assert failed(await ask(of(server), tls=tls))[0] is FlowFailure.MALFORMED
    assert server.connections == 1


@pytest.mark.parametrize(
    "status", [201, 204, 206, 301, 302, 307, 308, 304, 400, 401, 403, 404, 429, 500, 503]
)
async def test_other_status(certificates: Certificates, tls: ssl.SSLContext, status: int) -> None:
    """Any status but 200 rejects, and a redirect is not followed."""
    made = response(f"{status} Why", b"" if status in {204, 304} else SEEN.encode(), "Location: /other")
    async with raw_server(lambda _: made, Ending.CLOSE, tls=certificates.server()) as server:
        assert failed(await ask(of(server), tls=tls)) == (FlowFailure.REJECTED, f"HTTP {status}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET])
async def test_closed_over_https(certificates: Certificates, tls: ssl.SSLContext, ending: Ending) -> None:
    """A connection that ends before an answer refuses, and no second one is made."""
    async with raw_server(lambda _: b"", ending, tls=certificates.server()) as server:
        assert failed(await ask(of(server), tls=tls)) == (
            FlowFailure.REFUSED,
            "the connection was closed before an answer",
        )
    assert server.connections == 1


async def test_closed_within_a_body(certificates: Certificates, tls: ssl.SSLContext) -> None:
    """What is cut short is malformed, even if it looks like an address."""
    made = response("200 OK", SEEN.encode(), "Content-Length: 12")
    async with raw_server(lambda _: made, Ending.CLOSE, tls=certificates.server()) as server:
        assert failed(await ask(of(server), tls=tls))[0] is FlowFailure.MALFORMED


def dripped(_: bytes) -> bytes:
    """An answer whose first bytes come soon and whose last ones late."""
    return response("200 OK", SEEN.encode())


@pytest.mark.looptime
@pytest.mark.parametrize("respond", [silent, dripping(dripped)], ids=["silent", "drip"])
async def test_slow_over_https(
    certificates: Certificates,
    tls: ssl.SSLContext,
    respond: Callable[[bytes], AsyncIterator[bytes]],
) -> None:
    """All of an answer comes within 3 s, or none came."""
    loop = asyncio.get_running_loop()
    async with tcp_server(respond, tls=certificates.server()) as probe:
        began = loop.time()
        flow = await ask(probe, tls=tls)
        assert loop.time() - began == pytest.approx(3.0, abs=0.01)
    assert failed(flow) == (FlowFailure.NO_ANSWER, "no complete answer within 3 s")


@pytest.mark.looptime
async def test_silence_within_a_handshake(tls: ssl.SSLContext) -> None:
    """The time-out includes TLS."""
    async with raw_server(lambda _: b"") as server:
        assert failed(await ask(of(server), tls=tls))[0] is FlowFailure.NO_ANSWER


@pytest.mark.parametrize(
    ("name", "outdated", "trusted"),
    [("other.test", False, True), (NAME, True, True), (NAME, False, False)],
    ids=["another host", "outdated", "a stranger"],
)
async def test_wrong_certificate(
    certificates: Certificates,
    tls: ssl.SSLContext,
    name: str,
    outdated: bool,  # noqa: FBT001 - a column of the table
    trusted: bool,  # noqa: FBT001 - the same
) -> None:
    """A certificate of another host, an outdated one and one of a stranger are refused before the request."""
    context = certificates.server(name, outdated=outdated)
    async with raw_server(lambda _: response("200 OK", SEEN.encode()), tls=context) as server:
        flow = await ask(of(server), tls=tls if trusted else None)
        assert failed(flow)[0] is FlowFailure.CERTIFICATE
    assert server.requests == []


async def test_certificate_of_an_address(certificates: Certificates, tls: ssl.SSLContext) -> None:
    """Where the probe is an address, the certificate must be that address's."""
    made = response("200 OK", SEEN.encode())
    async with raw_server(lambda _: made, tls=certificates.server("127.0.0.1")) as server:
        flow = await ask(of(server, name="127.0.0.1"), tls=tls)
        assert flow.address == SEEN_ADDRESS
        assert failed(await ask(of(server), tls=tls))[0] is FlowFailure.CERTIFICATE


async def test_no_tls() -> None:
    """A server that does not speak TLS is malformed."""
    async with tcp_server(pieces(lambda _: b"SSH-2.0-server\r\n")) as probe:
        flow = await ask(replace(probe, transport=Transport.HTTPS, path="/"))
    assert failed(flow)[0] is FlowFailure.MALFORMED


async def test_unusable_authority(tmp_path: Path) -> None:
    """An authority that cannot be read, holds no certificate or is too long is no trust in anybody else."""
    path = tmp_path / "authority.pem"
    with pytest.raises(FileNotFoundError):
        await trusting(path, blocking=Blocking())
    begin = b"-----BEGIN CERTIFICATE-----\n"
    for content in (
        b"",
        b"\n",
        b"nobody",
        begin,
        begin + b"AAAA\n-----END CERTIFICATE-----\n",
        b" " * 1_048_577,
    ):
        path.write_bytes(content)
        with pytest.raises(OSError):
            await trusting(path, blocking=Blocking())


async def test_authority_with_comments(certificates: Certificates, tmp_path: Path) -> None:
    """A bundle may have names in any encoding between its certificates."""
    path = tmp_path / "authority.pem"
    path.write_bytes("# Főtanúsítvány\n".encode() + b"# \xff\n" + certificates.file.read_bytes())
    context = await trusting(path, blocking=Blocking())
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


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
