"""The client of a node agent against the agent's own API, and against servers that lie."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack

import pytest

import sidecar
from sidecar import clock
from sidecar.core.instant import Instant
from sidecar.core.outcome import Failure, Outcome, Reason, Status, UpstreamAnswer
from sidecar.core.state import Snapshot, State
from sidecar.sources.upstream import UpstreamSource
from tests.api.support import API, NODE, api_running
from tests.support.agent import until
from tests.support.raw_server import Ending, RawServer, raw_server, response
from tests.support.states import (
    EPOCH,
    answer,
    body,
    none_accepted,
    pair,
    restored,
    snapshot_after,
    snapshot_of,
    unreachable,
)

FIRST, SECOND = answer(body(public=[pair("20.1.2.3")])), answer(body(public=[pair("20.1.2.4")]))
DATA = snapshot_after(FIRST)
CHANGED = snapshot_after(FIRST, SECOND)

NewUpstream = Callable[..., UpstreamSource]
"""Makes a client of an agent; its time-out is long unless told."""


@pytest.fixture
async def new_upstream() -> AsyncIterator[NewUpstream]:
    """Makes clients, which are closed after the test."""
    async with AsyncExitStack() as stack:

        def make(
            url: str, *, node_name: str | None = NODE, wait: int = 30, timeout: float = 20.0
        ) -> UpstreamSource:
            source = UpstreamSource(url=url, node_name=node_name, wait=wait, timeout=timeout, clock=clock.now)
            stack.push_async_callback(source.close)
            return source

        yield make


def url_of(api: API) -> str:
    """Where an API listens."""
    return "http://{}:{}".format(*api.address)


def answered(outcome: Outcome) -> UpstreamAnswer:
    """An outcome that must be an answer."""
    assert isinstance(outcome, UpstreamAnswer), outcome
    return outcome


def failed(outcome: Outcome) -> Failure:
    """An outcome that must be a failure."""
    assert isinstance(outcome, Failure), outcome
    return outcome


async def held(api: API, request: Awaitable[Outcome]) -> asyncio.Task[Outcome]:
    """A request once the agent holds it."""
    task = asyncio.ensure_future(request)

    async def waiting() -> float | None:
        assert not task.done(), task
        return api.metrics.registry.get_sample_value("azure_lb_metadata_http_waiting_clients")

    await until(waiting)
    return task


def seconds_ago(instant: Instant) -> float:
    """The age of a moment now."""
    return instant.age(clock.now())


class TestAgent:
    """An agent that is well."""

    @pytest.mark.parametrize(
        ("snapshot", "status", "reason"),
        [
            (DATA, Status.OK, None),
            (none_accepted(), Status.NO_METADATA, Reason.NO_METADATA),
            (snapshot_of(restored(FIRST.document, age=3600.0)), Status.STALE, Reason.UNREACHABLE),
        ],
        ids=["ok", "no-metadata", "restored"],
    )
    async def test_word(
        self, new_upstream: NewUpstream, snapshot: Snapshot, status: Status, reason: Reason | None
    ) -> None:
        """Document, status, reason, time of the change and node are what the agent says."""
        async with api_running(snapshot) as api:
            said = answered(await new_upstream(url_of(api)).fetch())

        assert (said.document, said.changed_at) == (snapshot.state.document, snapshot.state.changed_at)
        assert (said.status, said.reason, said.node) == (status, reason, NODE)

    async def test_age(self, new_upstream: NewUpstream) -> None:
        """The data are as old as the agent says, also when it says only that nothing has changed."""
        async with api_running(DATA) as api:
            source = new_upstream(url_of(api), wait=0)
            api.clock.advance(40)
            assert 40 <= seconds_ago(answered(await source.fetch()).observed) < 60
            api.clock.advance(60)
            assert 100 <= seconds_ago(answered(await source.fetch()).observed) < 120

    async def test_change_arrives_at_once(self, new_upstream: NewUpstream) -> None:
        """A request that is held ends with the change, and the next one can follow."""
        async with api_running(DATA) as api:
            source = new_upstream(url_of(api))
            assert answered(await source.fetch()).held
            request = await held(api, source.fetch())
            api.latest.set(CHANGED)
            said = answered(await request)

        assert said.document == SECOND.document
        assert said.held

    async def test_nothing_changes(self, new_upstream: NewUpstream) -> None:
        """A request that was held to the end is an answer as well: the same one, as new as it can be."""
        async with api_running(DATA) as api:
            source = new_upstream(url_of(api), wait=1)
            first = answered(await source.fetch())
            second = answered(await source.fetch())

        assert second.document is first.document
        assert second.held

    async def test_first_data_arrive_at_once(self, new_upstream: NewUpstream) -> None:
        """An agent without an answer holds the request until it has one."""
        async with api_running(snapshot_of(State(started=EPOCH))) as api:
            request = await held(api, new_upstream(url_of(api)).fetch())
            api.latest.set(DATA)
            assert answered(await request).document == FIRST.document

    async def test_agent_without_an_answer(self, new_upstream: NewUpstream) -> None:
        """An agent that gets no answer itself is not ready, and says why."""
        starting = snapshot_after(unreachable())
        async with api_running(starting) as api:
            outcome = failed(await new_upstream(url_of(api), wait=0).fetch())

        assert (outcome.reason, outcome.status, outcome.retry_after) == (Reason.NOT_READY, 503, 1.0)
        assert "unreachable" in outcome.detail

    async def test_agent_that_stops(self, new_upstream: NewUpstream) -> None:
        """An agent that is about to stop sends its waiters away for a moment."""
        async with api_running(DATA) as api:
            source = new_upstream(url_of(api))
            await source.fetch()
            request = await held(api, source.fetch())
            api.application.stop()
            outcome = failed(await request)

        assert (outcome.reason, outcome.retry_after, outcome.held) == (Reason.UNAVAILABLE, 1.0, False)

    async def test_cancelled(self, new_upstream: NewUpstream) -> None:
        """A held request can be given up at any time."""
        async with api_running(DATA) as api:
            source = new_upstream(url_of(api))
            await source.fetch()
            request = await held(api, source.fetch())
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request


class TestOtherNode:
    """Another node's data are no data."""

    async def test_refused_by_the_agent(self, new_upstream: NewUpstream) -> None:
        """The agent is told which node is meant, and another one's refuses; the detail names both."""
        async with api_running(DATA, node_name="other") as api:
            outcome = failed(await new_upstream(url_of(api)).fetch())

        assert (outcome.reason, outcome.status) == (Reason.REJECTED, 421)
        assert "'other'" in outcome.detail
        assert NODE in outcome.detail

    async def test_agent_without_a_name(self, new_upstream: NewUpstream) -> None:
        """An agent that does not know its node could be any node's."""
        async with api_running(DATA, node_name=None) as api:
            assert failed(await new_upstream(url_of(api)).fetch()).reason is Reason.REJECTED
            assert answered(await new_upstream(url_of(api), node_name=None).fetch()).node is None

    async def test_any_node(self, new_upstream: NewUpstream) -> None:
        """A sidecar that does not know its node takes over the agent's."""
        async with api_running(DATA) as api:
            assert answered(await new_upstream(url_of(api), node_name=None).fetch()).node == NODE


GOOD = (
    'ETag: "one"',
    "Age: 3",
    f"Azure-LB-Metadata-Node: {NODE}",
    "Azure-LB-Metadata-Status: ok",
)


async def good_body() -> bytes:
    """What an agent answers."""
    async with api_running(DATA) as api:
        return (await api.get("/v1/loadbalancer")).body


def header(request: bytes, name: str) -> str | None:
    """A header of a request."""
    lines = request.decode().split("\r\n")[1:]
    values = [line.partition(": ")[2] for line in lines if line.lower().startswith(f"{name.lower()}: ")]
    return values[0] if values else None


class TestRequest:
    """What is sent."""

    async def test_first_and_next(self, new_upstream: NewUpstream) -> None:
        """One connection; the first request waits a little, the next ones long, for anything but the last."""
        told = await good_body()
        answers = [response("200 OK", told, *GOOD), response("304 Not Modified", b"", *GOOD)]
        async with raw_server(lambda _: answers[min(len(server.requests), 2) - 1]) as server:
            source = new_upstream(server.url, wait=60)
            for _ in range(2):
                answered(await source.fetch())

        first, second = server.requests
        assert first.startswith(f"GET /v1/loadbalancer?node={NODE} HTTP/1.1\r\n".encode())
        assert (header(first, "Prefer"), header(second, "Prefer")) == ("wait=5", "wait=60")
        assert (header(first, "If-None-Match"), header(second, "If-None-Match")) == (None, '"one"')
        assert header(first, "User-Agent") == f"azure-lb-metadata/{sidecar.__version__}"
        assert header(first, "Accept") == "application/json"
        assert {header(first, name) for name in ("Authorization", "Cookie", "Metadata")} == {None}
        assert server.connections == 1

    async def test_without_wait(self, new_upstream: NewUpstream) -> None:
        """A client that is not to wait, and does not know its node, says nothing of either."""
        told = await good_body()
        async with raw_server(lambda _: response("200 OK", told, *GOOD)) as server:
            source = new_upstream(server.url, wait=0, node_name=None)
            assert not answered(await source.fetch()).held

        assert server.requests[0].startswith(b"GET /v1/loadbalancer HTTP/1.1\r\n")
        assert header(server.requests[0], "Prefer") is None

    async def test_after_a_failure(self, new_upstream: NewUpstream) -> None:
        """After a failure the agent is asked for an answer at once, and held requests follow."""
        told = await good_body()
        answers = [
            response("200 OK", told, *GOOD),
            response("502 Bad Gateway"),
            response("304 Not Modified", b"", *GOOD),
            response("304 Not Modified", b"", *GOOD),
        ]
        async with raw_server(lambda _: answers[len(server.requests) - 1]) as server:
            source = new_upstream(server.url)
            outcomes = [await source.fetch() for _ in range(4)]

        assert [header(request, "Prefer") for request in server.requests] == [
            "wait=5",
            "wait=30",
            None,
            "wait=30",
        ]
        assert [outcome.held for outcome in map(answered, outcomes[2:])] == [True, False]

    async def test_environment_names_no_proxy(
        self, new_upstream: NewUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A proxy of the environment is not used."""
        async with api_running(DATA) as api, raw_server(lambda _: b"") as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            answered(await new_upstream(url_of(api)).fetch())
        assert proxy.connections == 0


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
        with ExitStack() as stack:
            # Nobody accepts, and once the queue is full the kernel answers no more.
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.settimeout(0)
                waiting.connect_ex(listener.getsockname())
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            outcome = failed(await new_upstream(url, timeout=0.3, wait=600).fetch())

        assert outcome == Failure(Reason.UNREACHABLE, detail="no connection within the time-out")

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
