"""Answers of the metadata service that are too long, compressed, cut short or no HTTP."""

import pytest

from sidecar.core.outcome import Failure, FailureKind, Reason
from tests.sources.conftest import NewSource
from tests.sources.fetching import DOCUMENT, fetch_answer, fetch_failure
from tests.support.faults import Origin, Promise, also_shows, fault, outage
from tests.support.raw_server import Ending, raw_server, response


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

        detail = "the body is larger than 4194304 bytes"
        assert failure == Failure(Reason.MALFORMED, detail=detail, kind=FailureKind.BROKEN)
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

    @pytest.mark.parametrize("encoding", ["Identity", "", " ", "identity "])
    async def test_identity_is_no_compression(self, new_source: NewSource, encoding: str) -> None:
        """A body said to be encoded as what it is, or as nothing, is taken."""
        header = f"Content-Encoding: {encoding}"
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
        detail = "the connection was closed before an answer"
        assert set(failures[:body]) == {Failure(Reason.UNREACHABLE, detail=detail, kind=FailureKind.RESET)}
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
