"""Which loops still turn: each says when its next turn is due, and a probe asks who is overdue."""

import asyncio

from sidecar.clock import Clock

__all__ = ["Liveness"]

_GRACE = 30.0
"""Seconds that a turn may come late: three times the longest single request."""


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
