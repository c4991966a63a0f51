"""What every loop of the agent works with; tests replace the clock and the randomness."""

import asyncio
import errno
import logging
import os
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sidecar import clock
from sidecar.clock import Clock
from sidecar.logs import log
from sidecar.metrics import Metrics

_logger = logging.getLogger(__name__)

_GRACE = 30.0
"""Seconds that a turn may come late: three times the longest single request."""

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""Why a connection cannot be accepted at the moment; the event loop tries again every second."""


class Liveness:
    """The due times of the agent's loops, by name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    def expect(self, loop: str, *, at: float | None) -> None:
        """Expect the next turn of a loop at a monotonic time; ``None``: it waits for an event."""
        if at is None:
            self._due.pop(loop, None)
        else:
            self._due[loop] = at

    def overdue(self) -> list[str]:
        """The loops whose next turn is more than 30 s late, by name."""
        now = self._clock().mono
        return sorted(loop for loop, due in self._due.items() if now > due + _GRACE)

    async def sleep_until(self, loop: str, at: float) -> None:
        """Let a loop sleep until its next turn."""
        self.expect(loop, at=at)
        await asyncio.sleep(max(0.0, at - self._clock().mono))


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Clock, randomness, metrics and liveness of one agent."""

    clock: Clock = clock.now
    random: Callable[[], float] = random.random
    """Gives random numbers from 0 to 1."""
    metrics: Metrics = field(default_factory=Metrics)
    liveness: Liveness = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "liveness", Liveness(self.clock))


class LoopErrors:
    """Logs unhandled errors: an exception handler of an event loop.

    Each kind of error is logged at most once in ``interval`` seconds, with how many were not meanwhile:
    a loop without file descriptors reports hundreds a second.
    """

    def __init__(self, clock: Clock = clock.now, *, interval: float = 60.0) -> None:
        self._clock = clock
        self._interval = interval
        self._logged: dict[str, float] = {}
        """By kind of error, when it was last logged."""
        self._suppressed: dict[str, int] = {}

    def __call__(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log one error; ``context`` is as of :meth:`asyncio.loop.call_exception_handler`."""
        error = context.get("exception")
        exhausted = None
        if "socket" in context and isinstance(error, OSError) and error.errno in _EXHAUSTED:
            exhausted = os.strerror(error.errno)
        kind = "accept-failed" if exhausted else type(error).__name__
        now = self._clock().mono
        if now - self._logged.get(kind, -self._interval) < self._interval:
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return
        self._logged[kind] = now
        suppressed = self._suppressed.pop(kind, None)
        if exhausted:
            log(_logger, logging.ERROR, "accept-failed", error=exhausted, suppressed=suppressed)
            return
        details = {
            "error": context.get("message"),
            "traceback": None if error is None else "".join(traceback.format_exception(error)),
        }
        log(_logger, logging.ERROR, "loop-failed", **details, suppressed=suppressed)
