"""Whoever answers sends without end: bounded in number and length, whatever the time-out allows."""

from collections.abc import Iterator

import pytest

from sidecar.core.outcome import Failure, FailureKind, Reason
from tests.sources.conftest import NewSource, NewUpstream
from tests.sources.fetching import DOCUMENT, fetch_answer, fetch_failure
from tests.support.faults import Origin, also_shows, fault, outage
from tests.support.raw_server import raw_server, response

MANY = 4_000
"""Pieces of 64 KiB and more that a flood is at most; the client should have gone long before."""

MOST_SENT = 64 * 1024 * 1024
"""What the loopback may hold in its buffers beyond what the client reads."""

INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = response("200 OK", b"", "Transfer-Encoding: chunked")


def errors_without_end(status: int) -> Iterator[bytes]:
    """An error of 256 MiB."""
    yield response(f"{status} Why", b"", f"Content-Length: {MANY * 65536}")
    yield from [b"[" * 65536] * MANY


@also_shows("Its error, of any status, is a body of hundreds of thousands of tiny values")
@pytest.mark.parametrize(
    "status", [201, 206, 300, 302, 400, 401, 403, 404, 405, 410, 418, 429, 500, 503, 599]
)
async def test_reading_of_an_error_stops(new_source: NewSource, status: int) -> None:
    """Reading an error stops at 64 KiB, whatever its status, which counts all the same."""
    async with raw_server(lambda _: [*errors_without_end(status)]) as server:
        outcome = await fetch_failure(new_source(server.url))
    assert (outcome.status, outcome.detail) == (status, f"HTTP {status}: {'[' * 200}")
    assert server.sent < MOST_SENT


@pytest.mark.parametrize("status", [400, 404, 421, 500, 503])
async def test_reading_of_an_agents_error_stops(new_upstream: NewUpstream, status: int) -> None:
    """The same holds of a sidecar's node agent."""
    async with raw_server(lambda _: [*errors_without_end(status)]) as server:
        outcome = await new_upstream(server.url).fetch()
    assert isinstance(outcome, Failure)
    assert outcome.status == status
    assert server.sent < MOST_SENT


@fault(
    Origin.SERVICE,
    "It sends interim answers (1xx) or one-byte chunks without end",
    outage("malformed").but(
        logged=(
            "`poll-failed` that says of what there is too much: at most 16 interim answers, 10,000 pieces of"
            ' a body, 8 MiB on the wire for one answer; `attempts_total{outcome="malformed"}`.'
        ),
    ),
)
@pytest.mark.parametrize("interim", [INTERIM, CONTINUE], ids=["103", "100"])
async def test_interim_answers(new_source: NewSource, interim: bytes) -> None:
    """After some interim answers the connection is closed, long before the time-out."""
    async with raw_server(lambda _: [interim * 2000] * MANY) as server:
        outcome = await fetch_failure(new_source(server.url))
    detail = "broken response: more than 16 interim answers"
    assert outcome == Failure(Reason.MALFORMED, detail=detail, kind=FailureKind.BROKEN)
    assert server.sent < MOST_SENT


async def test_a_few_interim_answers(new_source: NewSource) -> None:
    """A few interim answers before each document are passed over, on one connection."""
    async with raw_server(lambda _: INTERIM * 16 + response("200 OK", DOCUMENT)) as server:
        source = new_source(server.url)
        for _ in range(3):
            assert (await fetch_answer(source)).body == DOCUMENT
        assert server.connections == 1


@also_shows("It sends interim answers (1xx) or one-byte chunks without end")
@pytest.mark.parametrize("status", ["200 OK", "503 Busy"])
async def test_one_byte_chunks(new_source: NewSource, status: str) -> None:
    """A body in more pieces than any network makes is malformed."""
    head = CHUNKED.replace(b"200 OK", status.encode())
    async with raw_server(lambda _: [head, *[b"1\r\n{\r\n" * 10_000] * MANY]) as server:
        outcome = await fetch_failure(new_source(server.url))
    detail = "the body is in more than 10000 pieces"
    assert outcome == Failure(Reason.MALFORMED, detail=detail, kind=FailureKind.BROKEN)
    assert server.sent < MOST_SENT


async def test_a_document_in_many_chunks(new_source: NewSource) -> None:
    """A document byte by byte is a document."""
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in DOCUMENT) + b"0\r\n\r\n"
    async with raw_server(lambda _: CHUNKED + chunks) as server:
        assert (await fetch_answer(new_source(server.url))).body == DOCUMENT


@also_shows("It sends interim answers (1xx) or one-byte chunks without end")
async def test_chunk_extension(new_source: NewSource) -> None:
    """An extension of a chunk that has no end is broken off, though it is no part of the body."""
    async with raw_server(lambda _: [CHUNKED, b"1;a=", *[b"b" * 65536] * MANY]) as server:
        outcome = await fetch_failure(new_source(server.url))
    assert outcome.reason is Reason.MALFORMED
    assert server.sent < MOST_SENT


@also_shows("It sends interim answers (1xx) or one-byte chunks without end")
async def test_floods_of_an_agent(new_upstream: NewUpstream) -> None:
    """A sidecar's node agent has the same bounds."""
    async with raw_server(lambda _: [INTERIM * 2000] * MANY) as server:
        outcome = await new_upstream(server.url).fetch()
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.MALFORMED
    assert server.sent < MOST_SENT
