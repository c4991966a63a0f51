"""Time alone makes the status stale, and an answer makes it well."""

import asyncio
from dataclasses import replace

import pytest

from sidecar.core.document import EMPTY
from sidecar.core.outcome import NONE, Reason, Status
from tests.agent.poller.polling import OK, UNAVAILABLE, new_polling, running
from tests.support.fakes import Hang, virtual_now

pytestmark = pytest.mark.looptime(start=1000)


class TestStaleness:
    """The status changes with time alone."""

    async def test_at_the_very_second(self) -> None:
        """Data become stale stale-after after the last answer, between two attempts too."""
        polling = new_polling(OK, Hang(0.0), replace(UNAVAILABLE, retry_after=10_000.0))
        async with running(polling):
            await asyncio.sleep(299.9)
            assert polling.snapshot.status is Status.OK
            seen = polling.snapshot

            changed = await polling.latest.changed(seen)

        assert (changed.status, changed.reason) == (Status.STALE, Reason.UNAVAILABLE)
        assert virtual_now().mono == pytest.approx(1300.0)
        assert changed.state is seen.state

    async def test_while_an_attempt_hangs(self) -> None:
        """An attempt that never ends does not keep data fresh; no attempt has failed yet."""
        polling = new_polling(OK, Hang(100_000.0))
        async with running(polling):
            await asyncio.sleep(301)

            assert polling.judged() == (Status.STALE, Reason.UNREACHABLE)
            assert polling.state.document is OK.document

    async def test_recovery(self) -> None:
        """The next answer makes the status ok at once, and the timer begins anew."""
        polling = new_polling(OK, Hang(400.0), OK, Hang(100_000.0))
        async with running(polling):
            await asyncio.sleep(405)
            assert polling.judged()[0] is Status.STALE
            await asyncio.sleep(10)
            assert polling.judged()[0] is Status.OK
            recovered = polling.state.observed
            assert recovered is not None
            await asyncio.sleep(recovered.mono + 299.9 - virtual_now().mono)
            assert polling.judged()[0] is Status.OK
            await asyncio.sleep(0.2)
            assert polling.judged()[0] is Status.STALE

    async def test_fresh_data_never_flicker(self) -> None:
        """While the service answers, the status stays ok for hours."""
        polling = new_polling(OK)
        seen: set[Status] = set()
        async with running(polling):
            await asyncio.sleep(1)
            for _ in range(2 * 360):
                seen.add(polling.snapshot.status)
                await asyncio.sleep(10)

        assert seen == {Status.OK}

    async def test_no_metadata_gets_stale_too(self) -> None:
        """An outage after an accepted "none" is stale like any other, and keeps saying "none"."""
        polling = new_polling(NONE, NONE, NONE, Hang(5.0))
        async with running(polling):
            await asyncio.sleep(25)
            assert polling.judged()[0] is Status.NO_METADATA
            await asyncio.sleep(300)

            assert polling.judged()[0] is Status.STALE
            assert polling.state.document == EMPTY
