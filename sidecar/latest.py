"""A watched value: set, and wait for the next change.

Level, not edge: a reader that was busy sees the newest value only, never a queue of old ones.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Watch(Generic[Value]):
    """The newest value of something, for one event loop."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self._changed = asyncio.Event()
        self._subscribers: list[Callable[[Value], None]] = []

    @property
    def value(self) -> Value:
        """The newest value."""
        return self._value

    def set(self, value: Value) -> None:
        """Replace the value and wake everybody who waits for a change."""
        self._value = value
        self._changed.set()
        self._changed = asyncio.Event()
        for subscriber in self._subscribers:
            subscriber(value)

    def subscribe(self, subscriber: Callable[[Value], None]) -> None:
        """Call a function with every value that is set from now on, at once.

        For a reader that serves many others: one call per value, and no task. It must not fail.
        """
        self._subscribers.append(subscriber)

    async def changed(self, seen: Value) -> Value:
        """Wait until the value is another object than ``seen``, and return it."""
        while self._value is seen:
            await self._changed.wait()
        return self._value

    async def changed_or(self, seen: Value, *, at: float | None) -> None:
        """Wait until the value is another object than ``seen``, but not beyond a time of the event loop.

        ``None`` waits without a limit.
        """
        try:
            async with asyncio.timeout_at(at):
                await self.changed(seen)
        except TimeoutError:
            return
