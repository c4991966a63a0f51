"""The wish to stop."""

import asyncio
import os
import signal
from contextlib import suppress

import pytest

from sidecar.stopping import Shutdown, cancelled
from tests.support.waiting import DEADLINE_S


async def test_once_is_a_request() -> None:
    """Asked once, it is requested and not at once."""
    stopping = Shutdown()
    assert not stopping.requested.is_set()

    stopping.request()

    assert stopping.requested.is_set()
    assert not stopping.at_once.is_set()


async def test_twice_is_an_order() -> None:
    """Asked again, it is at once; any more changes nothing."""
    stopping = Shutdown()
    for _ in range(3):
        stopping.request()

    assert stopping.requested.is_set()
    assert stopping.at_once.is_set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_ask(number: signal.Signals) -> None:
    """SIGTERM and SIGINT ask, and the second one of either is the order."""
    stopping = Shutdown()
    async with asyncio.timeout(DEADLINE_S):
        with stopping.on_signals():
            os.kill(os.getpid(), number)
            await stopping.requested.wait()
            assert not stopping.at_once.is_set()

            os.kill(os.getpid(), signal.SIGINT)
            await stopping.at_once.wait()


async def test_handlers_are_removed() -> None:
    """Afterwards signals do what Python has them do, also after an error."""
    stopping = Shutdown()
    with pytest.raises(LookupError), stopping.on_signals():
        raise LookupError

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert not stopping.requested.is_set()


async def test_swallowed_cancellation() -> None:
    """A task whose library takes its first cancellations away is cancelled again, until it ends."""
    heard = []

    async def deaf() -> None:
        for number in range(3):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            heard.append(number)

    async def hears() -> None:
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(hears())]
    await asyncio.sleep(0)
    await cancelled(tasks)
    assert heard == [0, 1, 2]
    assert [task.done() for task in tasks] == [True, True]
    assert tasks[1].cancelled()
