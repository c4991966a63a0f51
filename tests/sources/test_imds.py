"""The client of the metadata service against the simulator: what is sent, and what answers come to."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

import sidecar
from sidecar.core.outcome import NONE, Answer, Failure, Reason
from sidecar.core.parsing import parse_response
from sidecar.simulator import DOCUMENTS, FAULTS, Serving
from sidecar.sources.imds import IMDSSource
from tests.sources.conftest import NewSource
from tests.support.faults import Origin, Promise, also_shows, fault, outage
from tests.support.raw_server import Ending, raw_server, response

EMPTY = b'{"loadbalancer":{"publicIpAddresses":[],"inboundRules":[],"outboundRules":[]}}'
DOCUMENT = EMPTY.replace(
    b'"publicIpAddresses":[]',
    b'"publicIpAddresses":[{"frontendIpAddress":"20.1.2.3","privateIpAddress":"10.240.0.4"}]',
)

REASONS = {
    "api-not-found": Reason.NOT_READY,
    "api-not-available": Reason.NOT_READY,
    "not-currently-available": Reason.NOT_READY,
    "not-found": Reason.NOT_READY,
    "gone": Reason.NOT_READY,
    "missing-parameter": Reason.REJECTED,
    "parameter-not-allowed": Reason.REJECTED,
    "unexpected-request": Reason.REJECTED,
    "long-body": Reason.REJECTED,
    "long-parameter-key": Reason.REJECTED,
    "long-parameter-value": Reason.REJECTED,
    "long-header-value": Reason.REJECTED,
    "no-metadata-header": Reason.REJECTED,
    "xml": Reason.REJECTED,
    "unauthorized": Reason.REJECTED,
    "forbidden": Reason.REJECTED,
    "method-not-allowed": Reason.REJECTED,
    "redirect": Reason.REJECTED,
    "request-timeout": Reason.UNAVAILABLE,
    "internal-error": Reason.UNAVAILABLE,
    "bad-gateway": Reason.UNAVAILABLE,
    "unavailable": Reason.UNAVAILABLE,
    "gateway-timeout": Reason.UNAVAILABLE,
    "throttled": Reason.THROTTLED,
    "throttled-seconds": Reason.THROTTLED,
    "throttled-date": Reason.THROTTLED,
    "html": Reason.MALFORMED,
    "empty": Reason.MALFORMED,
    "not-json": Reason.MALFORMED,
    "wrong-shape": Reason.MALFORMED,
    "truncated": Reason.MALFORMED,
    "huge": Reason.MALFORMED,
    "huge-chunked": Reason.MALFORMED,
    "slow": Reason.UNREACHABLE,
    "slow-drip": Reason.UNREACHABLE,
    "hang": Reason.UNREACHABLE,
    "reset": Reason.UNREACHABLE,
}
"""What each fault of the simulator comes to; `no-metadata` is an answer and has its own test."""

SLOW = {"slow", "slow-drip", "hang"}


async def fetch_failure(source: IMDSSource) -> Failure:
    """One attempt that is expected to fail."""
    outcome = await source.fetch()
    assert isinstance(outcome, Failure), outcome
    return outcome


async def fetch_answer(source: IMDSSource) -> Answer:
    """One attempt that is expected to succeed."""
    outcome = await source.fetch()
    assert isinstance(outcome, Answer), outcome
    return outcome


class TestOutcomes:
    """Every answer that the fact sheet knows has its outcome."""

    def test_every_fault_has_an_outcome(self) -> None:
        """No fault of the simulator is left out of the table above."""
        assert {*REASONS, "no-metadata"} == set(FAULTS)

    @pytest.mark.parametrize("fault", REASONS)
    async def test_reason_of_fault(self, service: Serving, new_source: NewSource, fault: str) -> None:
        """Each fault fails for the reason that the contract gives it, with one printable line of detail."""
        service.simulator.set_fault(fault)
        source = new_source(service.url, timeout=0.3 if fault in SLOW else 20.0)

        failure = await fetch_failure(source)

        assert failure.reason is REASONS[fault]
        assert failure.detail.isascii()
        assert failure.detail.isprintable()

    async def test_none_is_an_answer(self, service: Serving, source: IMDSSource) -> None:
        """The 404 that says so in words is the answer "there is none"."""
        service.simulator.set_document("none")

        assert await source.fetch() is NONE

    @pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "none"])
    async def test_document(self, service: Serving, source: IMDSSource, document: str) -> None:
        """Each data set arrives byte for byte and parsed."""
        service.simulator.set_document(document)

        answer = await fetch_answer(source)

        assert answer.body is not None
        assert answer.document == parse_response(answer.body).document
        assert bool(answer.dropped) is (document == "bad-entries")

    async def test_answer_after_failure(self, service: Serving, source: IMDSSource) -> None:
        """A failed attempt leaves nothing behind that spoils the next one."""
        for name in ("reset", "truncated", "huge", "unavailable"):
            service.simulator.set_fault(name)
            await fetch_failure(source)
            service.simulator.clear_fault()
            await fetch_answer(source)

    @fault(Origin.SERVICE, "Nothing listens where it should be", outage("unreachable"))
    async def test_refused_connection(self, new_source: NewSource) -> None:
        """A refused connection is unreachable, and says so in the system's words without noise."""
        async with raw_server(lambda _: b"") as server:
            url = server.url

        failure = await fetch_failure(new_source(url))

        assert failure == Failure(Reason.UNREACHABLE, detail="cannot connect: Connection refused")

    async def test_endpoint_that_is_no_host(self, new_source: NewSource) -> None:
        """An endpoint that cannot even be asked is unreachable, and the text names it."""
        failure = await fetch_failure(new_source("http://256.256.1.1"))

        assert failure.reason is Reason.UNREACHABLE
        assert "256.256.1.1" in failure.detail

    async def test_plain_server_behind_https(self, new_source: NewSource) -> None:
        """TLS with a server that speaks none is unreachable, in the words of TLS."""
        async with raw_server(lambda _: b"", Ending.CLOSE) as server:
            url = server.url.replace("http:", "https:")
            # The bytes of a TLS hello hold no end of an HTTP head, so the server says nothing.
            failure = await fetch_failure(new_source(url, timeout=0.3))

        assert failure.reason is Reason.UNREACHABLE

    async def test_ipv6_endpoint(self, new_source: NewSource) -> None:
        """An endpoint may be an IPv6 address in brackets, which also stands in Host."""
        async with raw_server(lambda _: response("200 OK", DOCUMENT), host="::1") as server:
            answer = await fetch_answer(new_source(server.url))

        assert answer.body == DOCUMENT
        assert b"\r\nHost: [::1]:" in server.requests[0]


class TestRequest:
    """What the metadata service is sent."""

    async def test_only_the_needed_headers(self, new_source: NewSource) -> None:
        """The request is a GET of the documented path with four headers and nothing else."""
        async with raw_server(lambda _: response("200 OK", DOCUMENT)) as server:
            await fetch_answer(new_source(server.url))

        request, *headers = server.requests[0].decode().removesuffix("\r\n\r\n").split("\r\n")
        assert request == "GET /metadata/loadbalancer?api-version=2020-10-01&format=json HTTP/1.1"
        assert sorted(headers) == [
            "Accept-Encoding: identity",
            f"Host: {server.url.removeprefix('http://')}",
            "Metadata: true",
            f"User-Agent: azure-lb-metadata/{sidecar.__version__}",
        ]

    async def test_no_proxy(
        self, service: Serving, new_source: NewSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Proxy variables are ignored, as the service's documentation asks."""
        async with raw_server(lambda _: response("200 OK", EMPTY)) as proxy:
            for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(variable, proxy.url)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)

            await fetch_answer(new_source(service.url))

        assert proxy.connections == 0

    async def test_no_redirect(self, new_source: NewSource) -> None:
        """A redirect is rejected and not followed, wherever it leads."""
        async with raw_server(lambda _: response("200 OK", DOCUMENT)) as other:
            location = f"Location: {other.url}/metadata/loadbalancer"
            async with raw_server(lambda _: response("307 Temporary Redirect", b"", location)) as server:
                failure = await fetch_failure(new_source(server.url))

        assert (failure.reason, failure.status) == (Reason.REJECTED, 307)
        assert len(server.requests) == 1
        assert other.connections == 0

    async def test_cookies_are_not_kept(self, new_source: NewSource) -> None:
        """A cookie of one answer is not sent with the next request."""
        async with raw_server(lambda _: response("200 OK", DOCUMENT, "Set-Cookie: a=b")) as server:
            # By name: cookies of bare addresses are not kept by any client.
            source = new_source(server.url.replace("127.0.0.1", "localhost"))
            await fetch_answer(source)
            await fetch_answer(source)

        assert server.requests[0] == server.requests[1]

    async def test_one_connection(self, new_source: NewSource) -> None:
        """Attempts share one kept connection, also when the service answers with errors."""
        answers = [response("200 OK", DOCUMENT), response("503 Unavailable", b"{}"), response("404 No", b"")]
        async with raw_server(lambda _: answers[len(server.requests) - 1]) as server:
            source = new_source(server.url)
            for _ in answers:
                await source.fetch()

        assert (len(server.requests), server.connections) == (3, 1)

    async def test_closing(self, new_source: NewSource) -> None:
        """Leaving the context closes the connection."""
        async with raw_server(lambda _: response("200 OK", DOCUMENT)) as server:
            async with new_source(server.url) as source:
                await fetch_answer(source)

            with pytest.raises(RuntimeError):
                await source.fetch()


class TestSameBytes:
    """A document is parsed once."""

    async def test_same_bytes_are_the_same_answer(self, source: IMDSSource) -> None:
        """The same bytes give the same object, so whoever compares identities does nothing."""
        assert await source.fetch() is await source.fetch()

    async def test_failure_in_between(self, service: Serving, source: IMDSSource) -> None:
        """A failed attempt in between does not make the same bytes new."""
        before = await source.fetch()
        service.simulator.set_fault("unavailable")
        await source.fetch()
        service.simulator.clear_fault()

        assert await source.fetch() is before

    async def test_other_bytes_are_another_answer(self, service: Serving, source: IMDSSource) -> None:
        """Other bytes are parsed again."""
        before = await fetch_answer(source)
        service.simulator.set_document("public-ip")

        assert (await fetch_answer(source)).document != before.document


class TestRetryAfter:
    """`Retry-After` reaches whoever decides when to ask again."""

    async def test_seconds(self, new_source: NewSource) -> None:
        """A number is seconds."""
        headers = "Retry-After: 7"
        async with raw_server(lambda _: response("429 Too Many Requests", b"", headers)) as server:
            failure = await fetch_failure(new_source(server.url))

        assert failure == Failure(
            Reason.THROTTLED, detail="HTTP 429: empty body", status=429, retry_after=7.0
        )

    async def test_date(self, new_source: NewSource) -> None:
        """A date is the time until then by the wall clock."""
        then = format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True)
        async with raw_server(lambda _: response("503 Busy", b"", f"Retry-After: {then}")) as server:
            failure = await fetch_failure(new_source(server.url))

        assert failure.retry_after is not None
        assert 100 < failure.retry_after <= 200

    async def test_nonsense(self, new_source: NewSource) -> None:
        """Anything else is as if it were not there."""
        async with raw_server(lambda _: response("503 Busy", b"", "Retry-After: \xff soon")) as server:
            failure = await fetch_failure(new_source(server.url))

        assert failure.retry_after is None


class TestVersions:
    """The api-version gives way once the service refuses it."""

    @fault(
        Origin.SERVICE,
        "It no longer knows the API version asked for",
        Promise(
            served="Data of the newest version it lists that the agent knows, else of the oldest listed.",
            annotated="The same.",
            logged="`api-version-refused` once.",
            recovery="In the same attempt, for the life of the process.",
        ),
    )
    async def test_newest_known(
        self, service: Serving, source: IMDSSource, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The newest listed version that is known is used at once, and for the life of the process."""
        service.simulator.change({"versions": ["2021-02-01", "2023-07-01", "2099-01-01"]})

        answers = [await fetch_answer(source) for _ in range(3)]

        assert answers[0] is answers[2]
        assert service.simulator.counters.by_status == {"400": 1, "200": 3}
        last = service.simulator.counters.last_request
        assert last is not None
        assert dict(last.parameters)["api-version"] == "2023-07-01"
        assert [record.message for record in caplog.records] == ["api-version-refused"]

    async def test_oldest_of_unknown(self, service: Serving, source: IMDSSource) -> None:
        """Of versions that are all unknown the oldest is the safest."""
        service.simulator.change({"versions": ["2098-01-01", "2099-01-01", "2097-01-01"]})

        await fetch_answer(source)

        last = service.simulator.counters.last_request
        assert last is not None
        assert dict(last.parameters)["api-version"] == "2097-01-01"

    async def test_no_list(self, service: Serving, source: IMDSSource) -> None:
        """A 400 that lists no versions is rejected, after one request."""
        service.simulator.change({"versions": ["2023-07-01"], "versionError": "missing-parameter"})

        assert (await fetch_failure(source)).reason is Reason.REJECTED
        assert service.simulator.counters.requests == 1

    async def test_all_refused(self, new_source: NewSource, caplog: pytest.LogCaptureFixture) -> None:
        """A service that refuses whatever it lists is asked with each version once, then with the last."""
        body = b'{"error":"Bad request.","newest-versions":["2023-07-01","2021-02-01","2020-10-01"]}'
        async with raw_server(lambda _: response("400 Bad Request", body)) as server:
            source = new_source(server.url)
            reasons = {(await fetch_failure(source)).reason for _ in range(4)}

        assert reasons == {Reason.REJECTED}
        asked = [request.split(b"api-version=")[1][:10].decode() for request in server.requests]
        assert asked == ["2020-10-01", "2023-07-01", "2023-07-01", "2021-02-01", "2021-02-01", "2021-02-01"]
        assert [record.message for record in caplog.records] == ["api-version-refused"] * 2

    async def test_list_outside_of_a_400(self, new_source: NewSource) -> None:
        """Only a 400 changes the version."""
        body = b'{"error":"Busy.","newest-versions":["2023-07-01"]}'
        async with raw_server(lambda _: response("503 Busy", body)) as server:
            await fetch_failure(new_source(server.url))

        assert len(server.requests) == 1


class TestBody:
    """Bodies that are too long, cut short or compressed."""

    @fault(
        Origin.SERVICE,
        "A body of 64 MiB",
        outage("malformed").but(
            logged=(
                "`poll-failed` with the limit of 4 MiB, at which reading stops;"
                ' `attempts_total{outcome="malformed"}`.'
            )
        ),
    )
    @pytest.mark.parametrize("length", ["Content-Length: 67108864", "Transfer-Encoding: chunked"])
    async def test_reading_stops_at_the_limit(self, new_source: NewSource, length: str) -> None:
        """A body over 4 MiB is malformed and not read on, whether its length was announced or not."""
        piece = b"x" * 65536
        chunk = b"10000\r\n" + piece + b"\r\n" if "chunked" in length else piece
        pieces = [response("200 OK", b"", length), *[chunk] * 1024]
        async with raw_server(lambda _: pieces) as server:
            failure = await fetch_failure(new_source(server.url))

        assert failure == Failure(Reason.MALFORMED, detail="the body is larger than 4194304 bytes")
        # What the client did not read stayed in the buffers of the loopback.
        assert server.sent < 32 * 1024 * 1024

    async def test_body_at_the_limit(self, new_source: NewSource) -> None:
        """A body of exactly 4 MiB is read."""
        body = DOCUMENT + b" " * (4 * 1024 * 1024 - len(DOCUMENT))
        async with raw_server(lambda _: response("200 OK", body)) as server:
            assert (await fetch_answer(new_source(server.url))).body == body

    @fault(
        Origin.SERVICE,
        "A compressed body, be it a bomb",
        outage("malformed").but(
            logged='`poll-failed`; it is never unpacked; `attempts_total{outcome="malformed"}`.'
        ),
    )
    @pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
    async def test_compressed_document(self, new_source: NewSource, encoding: str) -> None:
        """A compressed document, which was not asked for, is malformed and never unpacked."""
        header = f"Content-Encoding: {encoding}"
        async with raw_server(lambda _: response("200 OK", DOCUMENT, header)) as server:
            failure = await fetch_failure(new_source(server.url))

        assert failure == Failure(Reason.MALFORMED, detail="the body is compressed", status=200)

    async def test_compressed_error(self, new_source: NewSource) -> None:
        """Of a compressed error the status and Retry-After still count."""
        headers = ("Content-Encoding: gzip", "Retry-After: 3")
        async with raw_server(lambda _: response("429 Slow Down", b"\x1f\x8b", *headers)) as server:
            failure = await fetch_failure(new_source(server.url))

        assert failure == Failure(
            Reason.THROTTLED, detail="HTTP 429: (compressed)", status=429, retry_after=3.0
        )

    async def test_identity_is_no_compression(self, new_source: NewSource) -> None:
        """A body said to be encoded as what it is, is taken."""
        header = "Content-Encoding: Identity"
        async with raw_server(lambda _: response("200 OK", DOCUMENT, header)) as server:
            assert (await fetch_answer(new_source(server.url))).body == DOCUMENT

    async def test_reset_in_a_body_of_unknown_length(self, new_source: NewSource) -> None:
        """A body that ends with its connection is judged as it came: cut JSON is malformed."""
        cut = b"HTTP/1.1 200 OK\r\n\r\n" + DOCUMENT[:-1]
        async with raw_server(lambda _: cut, Ending.RESET) as server:
            assert (await fetch_failure(new_source(server.url))).reason is Reason.MALFORMED


SMALL = response("200 OK", DOCUMENT, "Content-Type: application/json; charset=utf-8")
SMALL_CHUNKED = response("200 OK", b"", "Transfer-Encoding: chunked") + b"".join(
    b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (DOCUMENT[:20], DOCUMENT[20:], b"")
)


@pytest.mark.parametrize("whole", [SMALL, SMALL_CHUNKED], ids=["length", "chunked"])
class TestBrokenConnection:
    """The connection ends at every byte of a small answer."""

    async def failures(self, new_source: NewSource, whole: bytes, ending: Ending) -> list[Failure]:
        """The outcome of an answer cut after 0, 1, 2, … bytes; whole, it is the document."""
        failures: list[Failure] = []
        async with raw_server(lambda _: whole[: len(failures)], ending) as server:
            source = new_source(server.url)
            while len(failures) < len(whole):
                failures.append(await fetch_failure(source))
            assert (await fetch_answer(source)).body == DOCUMENT
        return failures

    @fault(
        Origin.SERVICE,
        "The connection breaks at any byte of the answer",
        outage("unreachable").but(recovery="With the next attempt, on a new connection."),
    )
    async def test_reset(self, new_source: NewSource, whole: bytes) -> None:
        """A reset is unreachable, wherever in the answer it comes."""
        failures = await self.failures(new_source, whole, Ending.RESET)

        assert {failure.reason for failure in failures} == {Reason.UNREACHABLE}
        assert {failure.detail for failure in failures} == {"Connection reset by peer"}

    @also_shows("The connection breaks at any byte of the answer")
    async def test_close(self, new_source: NewSource, whole: bytes) -> None:
        """An early end is unreachable before the body has begun, and a body cut short after that."""
        failures = await self.failures(new_source, whole, Ending.CLOSE)

        body = whole.index(b"\r\n\r\n") + 4
        assert set(failures[:body]) == {
            Failure(Reason.UNREACHABLE, detail="the connection was closed before an answer")
        }
        assert {failure.reason for failure in failures[body:]} == {Reason.MALFORMED}


@fault(Origin.SERVICE, "What answers does not speak HTTP", outage("malformed"))
@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
    ids=["ssh", "status", "header", "long-header", "two-lengths", "negative-length", "chunk", "binary"],
)
async def test_garbage_is_malformed(new_source: NewSource, garbage: bytes) -> None:
    """What is not HTTP is malformed, and the detail is short, printable and free of our own URL."""
    async with raw_server(lambda _: garbage, Ending.CLOSE) as server:
        failure = await fetch_failure(new_source(server.url))

    assert failure.reason is Reason.MALFORMED
    assert failure.detail.startswith("broken response: ")
    assert failure.detail.isprintable()
    assert len(failure.detail) < 250
    assert server.url not in failure.detail


@fault(
    Origin.SERVICE,
    "It closes the kept connection between two polls",
    Promise(
        served="Fresh data.",
        annotated="Nothing is written.",
        logged="Nothing: no attempt is lost.",
        recovery="In the same attempt, on a new connection.",
    ),
)
async def test_stale_connection_is_replaced(new_source: NewSource) -> None:
    """A kept connection that the service has closed meanwhile costs no attempt."""
    async with raw_server(lambda _: response("200 OK", DOCUMENT), Ending.CLOSE) as server:
        source = new_source(server.url)
        before = await fetch_answer(source)

        assert await source.fetch() is before
