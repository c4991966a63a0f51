"""Waiting for what another process or task does: asked again and again, until a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

DEADLINE_S = 120.0
"""After so long a program is stuck and not slow, however busy the machine; shorter than a test's time-out."""

POLL_INTERVAL_S = 0.02

Value = TypeVar("Value")


async def until(
    probe: Callable[[], Awaitable[Value]],
    wanted: Callable[[Value], object] = bool,
    *,
    deadline_s: float = DEADLINE_S,
) -> Value:
    """Ask `probe` again and again until its answer is `wanted`, and give that answer.

    Raises:
        AssertionError: it was not within `deadline_s` seconds; the text has the last answer.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_s
    while not wanted(value := await probe()):
        assert loop.time() < deadline, f"not within {deadline_s:g} s; at last: {value!r}"
        await asyncio.sleep(POLL_INTERVAL_S)
    return value


async def until_holds(condition: Callable[[], object], *, deadline_s: float = DEADLINE_S) -> None:
    """The same for what this process knows by itself, without being told when it changes.

    Raises:
        AssertionError: the condition did not hold in time.
    """

    async def probe() -> object:
        return condition()

    await until(probe, deadline_s=deadline_s)
