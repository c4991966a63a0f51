"""A node agent that lies, or that nobody reaches."""

import pytest

from sidecar.core.outcome import Failure, FailureKind, Reason
from tests.sources.asking_agents import GOOD, good_body, header
from tests.sources.conftest import NewUpstream
from tests.sources.fetching import answered, failed
from tests.support.raw_server import Ending, RawServer, dropped_connections, raw_server, response


class TestLies:
    """Whatever an upstream does is an outcome, and the last good answer is still the last."""

    @pytest.mark.parametrize(
        ("lie", "ending", "reason"),
        [
            (response("200 OK", b"<html>", *GOOD), Ending.KEEP, Reason.MALFORMED),
            (response("200 OK", b"{}", *GOOD), Ending.KEEP, Reason.MALFORMED),
            (response("200 OK", b"{}", "Content-Encoding: gzip", *GOOD), Ending.KEEP, Reason.MALFORMED),
            (response("200 OK", b"x" * 5_000_000, *GOOD), Ending.KEEP, Reason.MALFORMED),
            (response("200 OK", b"{", "Content-Length: 10", *GOOD), Ending.CLOSE, Reason.MALFORMED),
            (response("304 Not Modified"), Ending.KEEP, Reason.MALFORMED),
            (response("302 Found", b"", "Location: http://127.0.0.1:9/"), Ending.KEEP, Reason.REJECTED),
            (response("403 Forbidden"), Ending.KEEP, Reason.REJECTED),
            (response("404 Not Found", b"nginx"), Ending.KEEP, Reason.NOT_READY),
            (response("500 Oops"), Ending.KEEP, Reason.UNAVAILABLE),
            (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Ending.CLOSE, Reason.MALFORMED),
            (b"", Ending.CLOSE, Reason.UNREACHABLE),
            (b"", Ending.RESET, Reason.UNREACHABLE),
            (response("200 OK", b"", "Content-Length: 9"), Ending.KEEP, Reason.UNREACHABLE),
        ],
        ids=[
            "not JSON",
            "another shape",
            "compressed",
            "huge",
            "cut short",
            "nothing known of",
            "redirect",
            "forbidden",
            "another server",
            "error",
            "not HTTP",
            "closed",
            "reset",
            "slow",
        ],
    )
    async def test_lie(self, new_upstream: NewUpstream, lie: bytes, ending: Ending, reason: Reason) -> None:
        """Each has its reason, and what was last said is what the next request names."""
        told = await good_body()
        good = response("200 OK", told, "Connection: close", *GOOD)
        truthful = True
        async with raw_server(lambda _: good if truthful else lie, ending) as server:
            source = new_upstream(server.url, timeout=0.5, wait=1)
            first = answered(await source.fetch())
            truthful = False
            assert failed(await source.fetch()).reason is reason
            truthful = True
            again = answered(await source.fetch())

        assert again.document == first.document
        assert header(server.requests[-1], "If-None-Match") == '"one"'

    async def test_same_again_at_once(self, new_upstream: NewUpstream) -> None:
        """One that does not wait, though it says so, is not asked without end."""
        told = await good_body()
        applied = (*GOOD, "Preference-Applied: wait=30")

        def respond(_: bytes) -> bytes:
            return response("200 OK", told, *applied)

        async with raw_server(respond) as server:
            source = new_upstream(server.url)
            assert [answered(await source.fetch()).held for _ in range(3)] == [True, False, False]

    @pytest.mark.parametrize("etag", ['ETag: W/"one"', "ETag: one", "X: y", 'ETag: "' + "a" * 200 + '"'])
    async def test_odd_etag(self, new_upstream: NewUpstream, etag: str) -> None:
        """What is no strong ETag of bounded length is not sent back."""
        told = await good_body()
        async with raw_server(lambda _: response("200 OK", told, etag, *GOOD[1:])) as server:
            source = new_upstream(server.url)
            for _ in range(2):
                answered(await source.fetch())
        assert [header(request, "If-None-Match") for request in server.requests] == [None, None]


class TestUnreachable:
    """Nobody there."""

    async def test_refused(self, new_upstream: NewUpstream) -> None:
        """A port where nobody listens is unreachable."""
        outcome = failed(await new_upstream("http://127.0.0.1:9").fetch())
        assert (outcome.reason, "refused" in outcome.detail.lower()) == (Reason.UNREACHABLE, True)

    async def test_no_connection(self, new_upstream: NewUpstream) -> None:
        """A connection that is not made in time ends the attempt, however long an answer may take."""
        with dropped_connections() as url:
            outcome = failed(await new_upstream(url, timeout=0.3, wait=600).fetch())

        detail = "no connection within the time-out"
        assert outcome == Failure(Reason.UNREACHABLE, detail=detail, kind=FailureKind.NO_CONNECTION)

    async def test_keeps_a_stopped_agent_waiting(self, new_upstream: NewUpstream) -> None:
        """An agent that holds a request and never answers is given up a little after the wait."""
        told = await good_body()

        def respond(_: bytes) -> bytes:
            return response("200 OK", told, *GOOD) if len(server.requests) == 1 else b""

        server: RawServer
        async with raw_server(respond) as server:
            source = new_upstream(server.url, wait=1, timeout=0.2)
            answered(await source.fetch())
            assert failed(await source.fetch()).reason is Reason.UNREACHABLE
