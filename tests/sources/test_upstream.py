"""The client of a node agent, against the agent's own API."""

import asyncio

import pytest

from sidecar import clock
from sidecar.core.instant import Instant
from sidecar.core.outcome import Reason, Status
from sidecar.core.state import Snapshot, State
from tests.api.support import NODE, api_running
from tests.sources.asking_agents import CHANGED, DATA, FIRST, SECOND, held
from tests.sources.conftest import NewUpstream
from tests.sources.fetching import answered, failed
from tests.support.states import EPOCH, none_accepted, restored, snapshot_after, snapshot_of, unreachable


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
            said = answered(await new_upstream(api.url).fetch())

        assert (said.document, said.changed_at) == (snapshot.state.document, snapshot.state.changed_at)
        assert (said.status, said.reason, said.node) == (status, reason, NODE)

    async def test_age(self, new_upstream: NewUpstream) -> None:
        """The data are as old as the agent says, also when it says only that nothing has changed."""
        async with api_running(DATA) as api:
            source = new_upstream(api.url, wait=0)
            api.clock.advance(40)
            assert 40 <= seconds_ago(answered(await source.fetch()).observed) < 60
            api.clock.advance(60)
            assert 100 <= seconds_ago(answered(await source.fetch()).observed) < 120

    async def test_change_arrives_at_once(self, new_upstream: NewUpstream) -> None:
        """A request that is held ends with the change, and the next one can follow."""
        async with api_running(DATA) as api:
            source = new_upstream(api.url)
            assert answered(await source.fetch()).held
            request = await held(api, source.fetch())
            api.latest.set(CHANGED)
            said = answered(await request)

        assert said.document == SECOND.document
        assert said.held

    async def test_nothing_changes(self, new_upstream: NewUpstream) -> None:
        """A request that was held to the end is an answer as well: the same one, as new as it can be."""
        async with api_running(DATA) as api:
            source = new_upstream(api.url, wait=1)
            first = answered(await source.fetch())
            second = answered(await source.fetch())

        assert second.document is first.document
        assert second.held

    async def test_first_data_arrive_at_once(self, new_upstream: NewUpstream) -> None:
        """An agent without an answer holds the request until it has one."""
        async with api_running(snapshot_of(State(started=EPOCH))) as api:
            request = await held(api, new_upstream(api.url).fetch())
            api.latest.set(DATA)
            assert answered(await request).document == FIRST.document

    async def test_agent_without_an_answer(self, new_upstream: NewUpstream) -> None:
        """An agent that gets no answer itself is not ready, and says why."""
        starting = snapshot_after(unreachable())
        async with api_running(starting) as api:
            outcome = failed(await new_upstream(api.url, wait=0).fetch())

        assert (outcome.reason, outcome.status, outcome.retry_after) == (Reason.NOT_READY, 503, 1.0)
        assert "unreachable" in outcome.detail

    async def test_agent_that_stops(self, new_upstream: NewUpstream) -> None:
        """An agent that is about to stop sends its waiters away for a moment."""
        async with api_running(DATA) as api:
            source = new_upstream(api.url)
            await source.fetch()
            request = await held(api, source.fetch())
            api.application.stop()
            outcome = failed(await request)

        assert (outcome.reason, outcome.retry_after, outcome.held) == (Reason.UNAVAILABLE, 1.0, False)

    async def test_cancelled(self, new_upstream: NewUpstream) -> None:
        """A held request can be given up at any time."""
        async with api_running(DATA) as api:
            source = new_upstream(api.url)
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
            outcome = failed(await new_upstream(api.url).fetch())

        assert (outcome.reason, outcome.status) == (Reason.REJECTED, 421)
        assert "'other'" in outcome.detail
        assert NODE in outcome.detail

    async def test_agent_without_a_name(self, new_upstream: NewUpstream) -> None:
        """An agent that does not know its node could be any node's."""
        async with api_running(DATA, node_name=None) as api:
            assert failed(await new_upstream(api.url).fetch()).reason is Reason.REJECTED
            assert answered(await new_upstream(api.url, node_name=None).fetch()).node is None

    async def test_any_node(self, new_upstream: NewUpstream) -> None:
        """A sidecar that does not know its node takes over the agent's."""
        async with api_running(DATA) as api:
            assert answered(await new_upstream(api.url, node_name=None).fetch()).node == NODE
