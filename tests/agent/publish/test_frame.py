"""The frame gives a publisher its turns, measures them, and backs off for it."""

import asyncio
import logging

import pytest

from sidecar.agent.publish_loop import PublishError, PublishResult
from sidecar.core.outcome import NONE
from tests.agent.publish.support import (
    Agent,
    ScriptedPublisher,
    answer,
    count,
    driven,
    failed,
    in_virtual_time,
    now,
    unavailable,
)
from tests.core.examples import FULL
from tests.support.records import logged
from tests.support.states import EPOCH

pytestmark = in_virtual_time

WROTE = PublishResult(wrote=True, next_at=None)
UNSETTLED = PublishResult(wrote=False, next_at=EPOCH.mono + 100, in_sync=False)
"""A write is to come, 100 seconds after the start."""


def due(seconds: float) -> PublishResult:
    """A turn that asks for another so many seconds after the start."""
    return PublishResult(wrote=False, next_at=EPOCH.mono + seconds)


# Turns


async def test_publisher_has_a_turn_at_once_and_then_at_every_change() -> None:
    """There is a turn at the start, and then none but when the state changes."""
    agent, publisher = Agent(), ScriptedPublisher()
    first = agent.latest.value
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(86_400)
        second = agent.see(NONE)
        await asyncio.sleep(100)
    assert publisher.turns == [(0, first), (86_400, second)]


async def test_turn_comes_when_the_publisher_asked_for_it() -> None:
    """Without a change the next turn is at the time asked for, with the same state."""
    agent, publisher = Agent(), ScriptedPublisher([due(10), due(90)])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(1000)
    assert publisher.times == [0, 10, 90]
    assert {id(snapshot) for _, snapshot in publisher.turns} == {id(agent.latest.value)}


async def test_change_comes_before_the_time_asked_for() -> None:
    """A change does not wait, and takes the place of the turn asked for."""
    agent, publisher = Agent(), ScriptedPublisher([due(100)])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(40)
        agent.see(NONE)
        await asyncio.sleep(1000)
    assert publisher.times == [0, 40]


async def test_time_in_the_past_is_at_once() -> None:
    """A publisher that asks for a time that has passed has its turn at once."""
    agent, publisher = Agent(), ScriptedPublisher([due(0), due(-5)])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(1)
    assert publisher.times == [0, 0, 0]


async def test_slow_publisher_sees_the_newest_state_only() -> None:
    """Changes during a turn are one more turn after it, with the last of them."""
    agent, publisher = Agent(), ScriptedPublisher(duration=20)
    async with driven(agent.loop(publisher)):
        for _ in range(3):
            await asyncio.sleep(5)
            agent.see(NONE)
        await asyncio.sleep(100)
    assert publisher.times == [0, 20]
    assert publisher.turns[1][1] is agent.latest.value


# Failures


@pytest.mark.parametrize(
    ("random", "times"),
    [
        (1.0, [0, 30, 90, 210, 450, 750, 1050, 1350]),
        (0.5, [0, 15, 45, 105, 225, 375, 525, 675]),
    ],
)
async def test_retries_are_spread_and_double_up_to_ten_times(random: float, times: list[float]) -> None:
    """Each retry waits a random part of the first interval, twice that, four times, … ten times."""
    agent = Agent(lambda: random)
    publisher = ScriptedPublisher([failed() for _ in range(100)])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(times[-1] + 1)
    assert publisher.times == times


async def test_success_ends_the_back_off() -> None:
    """After a success the next failure is the first again."""
    agent = Agent(lambda: 1.0)
    publisher = ScriptedPublisher([failed(), failed(), WROTE, failed(), WROTE])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(100)
        agent.see(NONE)
        await asyncio.sleep(100)
    assert publisher.times == [0, 30, 90, 100, 130]


async def test_time_that_the_other_side_asks_for_is_added() -> None:
    """A retry waits at least as long as the error says, and the random part besides."""
    agent = Agent(lambda: 0.5)
    publisher = ScriptedPublisher([failed(retry_after=100), failed(retry_after=0), WROTE])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(1000)
    assert publisher.times == [0, 115, 145]


async def test_change_does_not_cut_a_back_off_short() -> None:
    """During a back-off changes wait; the retry then has the newest state, and there is no turn more."""
    agent, publisher = Agent(lambda: 1.0), ScriptedPublisher([failed(), WROTE])
    async with driven(agent.loop(publisher)):
        for _ in range(5):
            await asyncio.sleep(1)
            agent.see(unavailable())
        await asyncio.sleep(100)
    assert publisher.times == [0, 30]
    assert publisher.turns[1][1] is agent.latest.value


async def test_same_failure_is_logged_at_rising_intervals(caplog: pytest.LogCaptureFixture) -> None:
    """A failure that stays is logged the first time, and then the second, fourth, eighth … time."""
    caplog.set_level(logging.INFO)
    agent, publisher = Agent(), ScriptedPublisher([*(failed("full") for _ in range(20)), WROTE])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(10_000)
        agent.see(NONE)
        await asyncio.sleep(1)
    assert [line["failures"] for line in logged(caplog, "publish-failed")] == [1, 2, 4, 8, 16]
    assert {str(line["error"]) for line in logged(caplog, "publish-failed")} == {"full"}
    assert logged(caplog, "publish-recovered") == [{"publisher": "scripted", "failures": 20}]


async def test_another_failure_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """A failure in other words than the last is logged, and so is the same one after a success."""
    texts = ["full", "full", "full", "gone", "gone", "full"]
    script: list[PublishResult | Exception] = [failed(text) for text in texts]
    agent, publisher = Agent(), ScriptedPublisher([*script, WROTE, failed("full")])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(2000)
        agent.see(NONE)
        await asyncio.sleep(2000)
    lines = [(line["failures"], str(line["error"])) for line in logged(caplog, "publish-failed")]
    assert lines == [(1, "full"), (2, "full"), (4, "gone"), (6, "full"), (1, "full")]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


async def test_unforeseen_error_ends_the_frame() -> None:
    """What is no `PublishError` is a fault of the program, and is not retried."""
    agent, publisher = Agent(), ScriptedPublisher([RuntimeError("a fault")])
    with pytest.raises(RuntimeError, match="a fault"):
        await agent.loop(publisher).run()
    assert now() == 0


async def test_single_turn_hands_the_failure_on() -> None:
    """Who drives a frame turn by turn is told of failures, which are counted all the same."""
    agent, publisher = Agent(), ScriptedPublisher([failed("full"), WROTE])
    loop = agent.loop(publisher)
    with pytest.raises(PublishError, match="full"):
        await loop.turn(agent.latest.value)
    assert await loop.turn(agent.latest.value) == WROTE
    assert (count(agent, "scripted", "failed"), count(agent, "scripted", "written")) == (1, 1)


# Measuring


async def test_turns_are_counted_and_timed() -> None:
    """Metrics say how many turns wrote, had nothing to do and failed, and how long all of them took."""
    agent = Agent()
    publisher = ScriptedPublisher([failed(), due(100), due(200), WROTE], duration=2)
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(1000)
    counts = [count(agent, "scripted", result) for result in ("written", "skipped", "failed")]
    assert counts == [1, 2, 1]
    registry = agent.runtime.metrics.registry
    labels = {"publisher": "scripted"}
    assert registry.get_sample_value("azure_lb_metadata_publish_duration_seconds_sum", labels) == 8


def lag(agent: Agent) -> float | None:
    """How long the publisher has been behind, in whole seconds."""
    labels = {"publisher": "scripted"}
    value = agent.runtime.metrics.registry.get_sample_value("azure_lb_metadata_publish_lag_seconds", labels)
    return None if value is None else round(value)


async def test_results_are_there_from_the_start() -> None:
    """Every result is a sample of 0 before the first turn, so that a first one is an increase."""
    agent = Agent()
    agent.loop(ScriptedPublisher())
    samples = agent.runtime.metrics.publishes.collect()
    found = {sample.labels["result"]: sample.value for family in samples for sample in family.samples}
    assert found == {"written": 0, "skipped": 0, "failed": 0}


async def test_lag_lasts_while_something_waits_to_be_written() -> None:
    """The lag begins with the change, lasts while the publisher holds the write back, and ends with it."""
    agent = Agent()
    publisher = ScriptedPublisher([PublishResult(wrote=False, next_at=None), UNSETTLED, WROTE])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(10)
        before = lag(agent)
        agent.see(answer(FULL))
        await asyncio.sleep(20)
        during = lag(agent)
        await asyncio.sleep(80)
        assert (before, during, lag(agent)) == (0, 20, 0)


async def test_lag_lasts_while_the_publisher_fails() -> None:
    """A publisher that fails is behind from the first failure on, whatever it would have written."""
    agent = Agent()
    async with driven(agent.loop(ScriptedPublisher([failed(), failed(), failed(), WROTE]))):
        await asyncio.sleep(40)
        during = lag(agent)
        await asyncio.sleep(200)
        assert (during, lag(agent)) == (40, 0)


async def test_change_during_a_turn_is_lag() -> None:
    """A document that comes while a turn is under way is not yet published by it."""
    agent, publisher = Agent(), ScriptedPublisher([WROTE, UNSETTLED], duration=10)
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(5)
        agent.see(answer(FULL))
        await asyncio.sleep(25)
        assert lag(agent) == 20


async def test_liveness_expects_the_turn_asked_for() -> None:
    """A turn that hangs is overdue 30 s after its time; one that waits for a change never is."""
    agent, publisher = Agent(), ScriptedPublisher([due(100)])
    overdue = agent.runtime.liveness.overdue
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(99)
        publisher.duration = 1000
        await asyncio.sleep(30)
        assert overdue() == []
        await asyncio.sleep(2)
        assert overdue() == ["scripted"]
        await asyncio.sleep(10_000)
        assert overdue() == []


async def test_liveness_expects_the_retry() -> None:
    """A long back-off is no sign of a hanging loop."""
    agent, publisher = Agent(lambda: 1.0), ScriptedPublisher([failed(retry_after=300)])
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(329)
        assert agent.runtime.liveness.overdue() == []
    assert publisher.times == [0]


# Cancellation


@pytest.mark.parametrize(
    ("script", "duration"),
    [
        pytest.param([], 0.0, id="waiting for a change"),
        pytest.param([due(1000)], 0.0, id="waiting for its time"),
        pytest.param([failed()], 0.0, id="backing off"),
        pytest.param([WROTE], 1000.0, id="in a turn"),
    ],
)
async def test_cancellation_ends_the_frame_at_once(
    script: list[PublishResult | Exception], duration: float
) -> None:
    """A cancelled frame ends wherever it is, and what it was doing counts as neither done nor failed."""
    agent, publisher = Agent(), ScriptedPublisher(list(script), duration=duration)
    task = asyncio.create_task(agent.loop(publisher).run())
    await asyncio.sleep(1)
    before = {result: count(agent, "scripted", result) for result in ("written", "failed")}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 1
    assert {result: count(agent, "scripted", result) for result in ("written", "failed")} == before
