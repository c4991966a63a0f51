"""The node publisher gets over whatever happens to its Node and whatever the API server says."""

import asyncio

import pytest

from sidecar.kube import KubernetesError, NodeReplacedError
from tests.agent.publish.publishing import LAYOUT, NODE, Publishing, left_by_an_earlier_run
from tests.agent.publish.support import answer, count, driven, in_virtual_time, now
from tests.core.examples import ELSEWHERE, FULL, MOVED
from tests.support.fake_nodes import forbidden, rejected, throttled, unavailable as trouble
from tests.support.faults import Origin, also_shows, api_failure, fault
from tests.support.records import logged

pytestmark = in_virtual_time

# A Node that is not there, or not the same


async def test_node_that_is_missing_at_first_is_written_when_it_appears() -> None:
    """An agent that starts before its Node is registered waits for it, and then writes at once."""
    publishing = Publishing(random=lambda: 1.0)
    publishing.agent.see(answer(FULL))
    async with driven(publishing.loop):
        await publishing.wait(100)
        assert publishing.times("get") == [0, 30, 90]
        publishing.nodes.add(NODE)
        await publishing.wait(300)
    assert (publishing.times("get"), publishing.times("apply")) == ([0, 30, 90, 210], [210])
    assert count(publishing.agent, "node", "failed") == 3


async def test_node_that_appears_with_annotations_is_restored() -> None:
    """Restoring waits for the Node, too."""
    publishing = Publishing()
    async with driven(publishing.loop):
        await publishing.wait(10)
        publishing.nodes.add(NODE, left_by_an_earlier_run())
        await publishing.wait(100)
    assert [found.document for found in publishing.agent.found] == [FULL]


async def test_node_made_anew_is_read_past_the_cache_and_written_in_full() -> None:
    """A Node of the same name and another uid is read from the store, and gets everything."""
    publishing = Publishing()
    publishing.nodes.add(NODE, left_by_an_earlier_run(ELSEWHERE))
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=100)
        publishing.nodes.freeze_cache(NODE)
        renewed = publishing.nodes.add(NODE, left_by_an_earlier_run())
        await publishing.answered(MOVED, until=200)
    assert [call.cached for call in publishing.nodes.calls if call.method == "get"] == [True, False]
    assert publishing.times("apply") == [0, 115, 130]
    assert publishing.nodes.applied[-1].uid == renewed.uid
    assert renewed.annotations[LAYOUT.key("revision")] == MOVED.revision
    assert len(publishing.agent.found) == 1, "restoring is for the start"


@also_shows("The Node is deleted")
async def test_node_that_is_gone_is_written_when_it_is_back() -> None:
    """A deleted Node is looked for, and written once it is registered again."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=100)
        del publishing.nodes.nodes[NODE]
        await publishing.answered(MOVED, until=200)
        assert publishing.times("apply") == [0, 115]
        renewed = publishing.nodes.add(NODE)
        await publishing.answered(MOVED, until=1000)
    assert [call.cached for call in publishing.nodes.calls if call.method == "get"][1:] == [False] * (
        len(publishing.times("get")) - 1
    )
    assert publishing.nodes.applied[-1].uid == renewed.uid
    assert renewed.annotations[LAYOUT.key("revision")] == MOVED.revision
    assert LAYOUT.key("loadbalancer") in renewed.annotations


async def test_node_made_anew_between_two_readings_is_noticed() -> None:
    """A Node that lost its annotations by being made anew has them back after the next reading."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=100)
        renewed = publishing.nodes.add(NODE)
        await publishing.answered(FULL, until=1000)
    assert publishing.times("apply") == [0, 900]
    assert renewed.annotations[LAYOUT.key("public-ip")] == "20.1.2.3"


@fault(
    Origin.API_SERVER,
    "The API server answers 409 though the Node is the same",
    api_failure("409").but(
        recovery="The Node is read past the cache, and written only where something differs."
    ),
)
async def test_conflict_without_another_node_is_no_reason_to_write() -> None:
    """A Node that was called replaced but is the same is read, and left alone where nothing differs."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    publishing.nodes.failures.extend([None, None, NodeReplacedError("conflict", retry_after=5)])
    publishing.agent.see(answer(FULL))
    async with driven(publishing.loop):
        await publishing.wait(470)
        assert publishing.times("apply") == [0, 465]
        await publishing.answered(FULL, until=3000)
    assert publishing.times("get")[:2] == [0, 485]
    assert publishing.times("apply") == [0, 465]


# Refusals and failures


@also_shows("The API server is down")
@also_shows("The agent's rights are gone: 403")
@also_shows("An admission policy refuses the write: 422")
@pytest.mark.parametrize("error", [forbidden(), rejected(), trouble()])
async def test_refused_write_is_tried_for_ever_at_rising_intervals(
    error: KubernetesError, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing role, a policy and an outage may be put right any time: the agent goes on trying."""
    publishing = Publishing(random=lambda: 1.0)
    publishing.nodes.add(NODE)
    publishing.nodes.failures.append(None)
    publishing.nodes.failures.extend([error] * 7)
    publishing.agent.see(answer(FULL))
    async with driven(publishing.loop):
        await publishing.wait(440)
        publishing.agent.see(answer(MOVED))
        await publishing.wait(1400)
    assert publishing.times("apply") == [0, 30, 90, 210, 450, 750, 1050, 1350]
    assert publishing.node.annotations[LAYOUT.key("revision")] == MOVED.revision
    assert count(publishing.agent, "node", "failed") == 7
    assert count(publishing.agent, "node", "written") == 1
    lines = logged(caplog, "publish-failed")
    assert [line["failures"] for line in lines] == [1, 2, 4]
    assert {str(line["error"]) for line in lines} == {str(error)}


@fault(
    Origin.API_SERVER,
    "The API server answers 429, with or without Retry-After",
    api_failure("429").but(
        recovery="After the time the server names, and a random part of the splay besides."
    ),
)
async def test_retry_after_is_added_to_the_wait() -> None:
    """A throttled agent comes back after the time it was told, and a random part of the splay."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    publishing.nodes.failures.extend([throttled(40), None, throttled(7)])
    publishing.agent.see(answer(FULL))
    async with driven(publishing.loop):
        await publishing.wait(200)
    assert publishing.times("get") == [0, 55]
    assert publishing.times("apply") == [55, 92]


async def test_failed_reading_does_not_write_from_memory() -> None:
    """When the Node cannot be read again in time, nothing is written until it can."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=890)
        publishing.nodes.outage = trouble()
        await publishing.answered(MOVED, until=2000)
        assert publishing.times("apply") == [0]
        publishing.nodes.outage = None
        await publishing.answered(MOVED, until=3000)
    assert publishing.node.annotations[LAYOUT.key("revision")] == MOVED.revision


async def test_failed_write_does_not_count_as_one() -> None:
    """After a failed write the next one waits for the back-off alone, not for the splay besides."""
    publishing = Publishing(random=lambda: 0.1)
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=100)
        publishing.nodes.outage = trouble()
        publishing.agent.see(answer(ELSEWHERE))
        await publishing.wait(101)
        publishing.nodes.outage = None
        await publishing.wait(200)
    assert publishing.times("apply") == [0, 100, 103]


# Cancellation


@pytest.mark.parametrize("latency", [0.0, 5.0])
async def test_cancellation_ends_the_publisher_wherever_it_is(latency: float) -> None:
    """Cancelled during a call or between calls, the publisher ends at once and makes no further call."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    publishing.nodes.latency = latency
    publishing.agent.see(answer(FULL))
    task = asyncio.create_task(publishing.loop.run())
    await publishing.wait(7)
    calls = len(publishing.nodes.calls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 7
    assert len(publishing.nodes.calls) == calls
    assert calls == 2
