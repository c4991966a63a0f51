"""What the answers of the metadata service come to, by the simulator and by hand."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sidecar.core.outcome import NONE, Failure, FailureKind, Reason
from sidecar.core.parsing import parse_response
from sidecar.simulator import DOCUMENTS, FAULTS, Serving
from sidecar.sources.imds import IMDSSource
from tests.sources.conftest import NewSource
from tests.sources.fetching import DOCUMENT, fetch_answer, fetch_failure
from tests.support.faults import Origin, fault, outage
from tests.support.raw_server import Ending, dropped_connections, raw_server, response

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

        detail = "cannot connect: Connection refused"
        assert failure == Failure(Reason.UNREACHABLE, detail=detail, kind=FailureKind.REFUSED)

    async def test_dropped_connection(self, new_source: NewSource) -> None:
        """A connection that never comes about, as under AKS's restriction, is told from a missing answer."""
        with dropped_connections() as url:
            failure = await fetch_failure(new_source(url, timeout=0.5))

        detail = "no connection within the time-out"
        assert failure == Failure(Reason.UNREACHABLE, detail=detail, kind=FailureKind.NO_CONNECTION)

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
