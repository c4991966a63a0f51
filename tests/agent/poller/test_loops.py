"""How the poller's loops end, and what is noticed when they hang."""

import asyncio
from collections.abc import Callable

import pytest

from sidecar.agent.poller import Poller
from sidecar.core.outcome import Outcome
from tests.agent.poller.polling import OK, UNAVAILABLE, new_polling, running
from tests.support.fakes import Hang, ScriptedSource
from tests.support.states import POLICY

pytestmark = pytest.mark.looptime(start=1000)


class TestLoops:
    """The loops end only from outside."""

    @pytest.mark.parametrize("seconds", [0.0, 1.0, 12.0], ids=["beginning", "sleeping", "asking"])
    async def test_cancellation(self, seconds: float) -> None:
        """A cancelled poller ends at once, wherever it is."""
        polling = new_polling(OK, Hang(100.0))
        task = asyncio.create_task(polling.poller.run())
        await asyncio.sleep(seconds)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task

    @pytest.mark.parametrize("outcome", [OK, UNAVAILABLE], ids=["timer", "event"])
    async def test_cancellation_of_the_timer(self, outcome: Outcome) -> None:
        """A cancelled staleness timer ends at once, whether it waits for a time or for a change."""
        polling = new_polling(outcome)
        await polling.poller.turn()
        task = asyncio.create_task(polling.poller.watch_staleness())
        await asyncio.sleep(1.0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_defect_of_the_source(self) -> None:
        """An exception of the source is a defect: it ends the loop instead of being hidden."""

        class Defective(ScriptedSource):
            async def fetch(self) -> Outcome:
                raise LookupError("a defect")

        polling = new_polling(OK)
        poller = Poller(
            Defective(OK), polling.latest, policy=POLICY, poll_interval=10.0, runtime=polling.runtime
        )

        with pytest.raises(LookupError):
            await poller.run()

    async def test_liveness(self) -> None:
        """The next turn is expected at its time, so that a poller that is gone is noticed."""
        polling = new_polling(OK)
        overdue: Callable[[], list[str]] = polling.runtime.liveness.overdue
        async with running(polling):
            await asyncio.sleep(1000)
            assert overdue() == []

        await asyncio.sleep(41)

        assert overdue() == ["poller"]

    async def test_liveness_of_a_held_attempt(self) -> None:
        """An attempt that the other side holds, because it was asked to, is not late before that time."""
        polling = new_polling(Hang(1000))
        polling.source.longest_wait = 60.0
        async with running(polling):
            await asyncio.sleep(89)
            assert polling.runtime.liveness.overdue() == []
            await asyncio.sleep(2)
            assert polling.runtime.liveness.overdue() == ["poller"]
