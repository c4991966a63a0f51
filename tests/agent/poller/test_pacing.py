"""When the poller asks: at its interval, and after failures at growing pauses."""

import asyncio
from dataclasses import replace

import pytest

from sidecar.core.outcome import NONE, Failure, Success
from tests.agent.poller.polling import (
    EMPTY_LISTS,
    GONE,
    OK,
    THROTTLED,
    UNAVAILABLE,
    new_polling,
    pauses_of,
    running,
)
from tests.support.fakes import Hang, virtual_now
from tests.support.faults import Origin, fault, outage

pytestmark = pytest.mark.looptime(start=1000)


class TestInterval:
    """When the service is asked while it answers."""

    @pytest.mark.parametrize(("fraction", "pause"), [(0.0, 9.0), (0.5, 10.0), (1.0, 11.0)])
    async def test_jitter(self, fraction: float, pause: float) -> None:
        """Polls come every poll interval, up to 10 % earlier or later."""
        assert await pauses_of(new_polling(OK, fraction=fraction), 35) == [pause] * 3

    @pytest.mark.parametrize("outcome", [NONE, EMPTY_LISTS], ids=["none", "empty"])
    async def test_none_is_asked_at_the_interval(self, outcome: Success) -> None:
        """The answer "there is none" is an answer: no backoff."""
        assert await pauses_of(new_polling(outcome), 45) == [10.0] * 4

    async def test_first_attempt_is_at_once(self) -> None:
        """The first attempt waits for nothing."""
        polling = new_polling(OK)
        begun = virtual_now().mono
        async with running(polling):
            await asyncio.sleep(1)

        assert polling.source.attempts == [begun]

    async def test_a_slow_answer_delays_the_next_attempt(self) -> None:
        """The interval begins when an attempt has ended, so attempts never overlap."""
        polling = new_polling(Hang(5.0), OK)

        assert await pauses_of(polling, 30) == [5.5, 10.0, 10.0]


class TestBackoff:
    """When the service is asked again after a failure."""

    async def test_ceilings(self) -> None:
        """The longest delays double from 1 s to 60 s."""
        polling = new_polling(UNAVAILABLE, fraction=1.0)

        assert await pauses_of(polling, 250) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]

    async def test_full_jitter(self) -> None:
        """A delay is a random part of its ceiling."""
        assert await pauses_of(new_polling(UNAVAILABLE, fraction=0.25), 10) == [0.25, 0.5, 1.0, 2.0, 4.0]

    async def test_throttled_starts_a_step_later(self) -> None:
        """429 begins with the second ceiling."""
        assert await pauses_of(new_polling(THROTTLED, fraction=1.0), 130) == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0]

    async def test_gone_is_asked_every_interval(self) -> None:
        """410 lasts minutes and is asked every poll interval, jittered like any poll."""
        assert await pauses_of(new_polling(GONE, fraction=1.0), 50) == [11.0] * 4

    async def test_short_interval_scales(self) -> None:
        """With a poll interval under 1 s first delay and longest delay follow from it."""
        polling = new_polling(UNAVAILABLE, fraction=1.0, poll_interval=0.2)

        assert await pauses_of(polling, 4.5) == [0.2, 0.4, 0.8, 1.2, 1.2]

    @fault(
        Origin.SERVICE,
        "It answers 429, 503 or 410 with Retry-After",
        outage("throttled").but(
            recovery="Asked again after the time it names, at most 5 min; `ok` with the first answer."
        ),
    )
    @pytest.mark.parametrize("failure", [THROTTLED, UNAVAILABLE, GONE], ids=["429", "503", "410"])
    async def test_retry_after(self, failure: Failure) -> None:
        """What the service asks to wait is waited, whatever the status."""
        polling = new_polling(replace(failure, retry_after=40.0), fraction=0.1)

        assert await pauses_of(polling, 100) == [40.0, 40.0]

    async def test_short_retry_after(self) -> None:
        """A shorter Retry-After than our own delay does not hasten anything."""
        polling = new_polling(replace(UNAVAILABLE, retry_after=0.5), fraction=1.0)

        assert await pauses_of(polling, 8) == [1.0, 2.0, 4.0]

    async def test_an_answer_ends_it(self) -> None:
        """After an answer the backoff begins anew."""
        polling = new_polling(UNAVAILABLE, UNAVAILABLE, OK, UNAVAILABLE, fraction=1.0)

        assert await pauses_of(polling, 16) == [1.0, 2.0, 11.0, 1.0]
