"""Shutdown on SIGTERM or SIGINT: the first signal drains, the second exits at once."""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sidecar.blocking import EventLoop

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_TERMINATED = 128 + signal.SIGTERM
"""What a shell reports of a command that SIGTERM ended."""

_CANCEL_AGAIN_SECONDS = 0.5
"""More than the end of any task takes that has heard of its cancellation."""

_Value = TypeVar("_Value")


class Shutdown:
    """Whether the process should stop, for one event loop."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.at_once = asyncio.Event()

    def request(self) -> None:
        """Request shutdown; a second request ends everything at once."""
        (self.at_once if self.requested.is_set() else self.requested).set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Make SIGTERM and SIGINT request shutdown, within the block."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.request)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended; their results and errors are left to others.

    A library may take a cancellation away: aiohttp 3.14 does where one meets its own time-out, since it
    counts that twice (``TimerContext``). So what still runs after a while is cancelled again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)


def run(coroutine: Coroutine[Any, Any, _Value]) -> _Value:
    """Run a coroutine in an event loop of its own, whose end waits for no thread."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(coroutine)


def run_until_terminated(coroutine: Coroutine[Any, Any, _Value]) -> _Value:
    """Run a command to its end. As the first process of a container, nothing else would end it at SIGTERM.

    Raises:
        SystemExit: SIGTERM came, with the code that a shell gives it.
    """

    async def until_terminated() -> _Value:
        loop = asyncio.get_running_loop()
        task = loop.create_task(coroutine)
        ends: set[asyncio.Task[None]] = set()
        # Signals come to the main thread alone.
        if threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGTERM, lambda: ends.add(loop.create_task(cancelled((task,)))))
        return await task

    try:
        return run(until_terminated())
    except asyncio.CancelledError:
        raise SystemExit(_TERMINATED) from None
