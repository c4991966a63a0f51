"""Flows to probes over HTTPS, on loopback: what is believed of them, and which certificates are."""

import asyncio
import gzip
import random
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.blocking import Blocking
from sidecar.core.probes import FlowFailure, Transport
from sidecar.sources.probing import trusting
from tests.fuzz.mutation import mutated
from tests.sources.probes import (
    LOCAL,
    NAME,
    Certificates,
    ask,
    dripping,
    failed,
    of,
    pieces,
    silent,
    tcp_server,
)
from tests.support.raw_server import Ending, raw_server, response
from tests.support.stun import SEEN, message, xor_mapped

SEEN_ADDRESS = ip_address(SEEN)


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


async def test_mutated_answers(
    certificates: Certificates, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever bytes come back, there is a flow, and nothing is logged: who answers writes no log."""
    chance = random.Random("answers over HTTPS")
    seeds = [
        response("200 OK", SEEN.encode(), "Content-Type: text/plain", "Set-Cookie: a=b; Path=/"),
        response("200 OK", b"d\r\n 203.0.113.7\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        response("301 Moved", b"", "Location: https://other.test:99999/"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + response("200 OK", b'{"ip":"203.0.113.7"}'),
    ]
    server_tls = certificates.server()
    async with raw_server(lambda _: mutated(chance, seeds), Ending.CLOSE, tls=server_tls) as server:
        failures = [(await ask(of(server), tls=tls)).failure for _ in range(200)]
    assert 20 < failures.count(None) < 180
    assert set(failures) >= {FlowFailure.MALFORMED, FlowFailure.REJECTED}
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


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
