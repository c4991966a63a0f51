"""The one time that a command has for all its requests."""

import asyncio

import pytest

from sidecar.commands.clients import Deadline, RetryLaterError
from sidecar.errors import UnreachableError

pytestmark = pytest.mark.looptime


async def test_end_that_a_library_takes_for_its_own() -> None:
    """The time is up also where a request's own time-out takes away the cancellation that says so."""
    asked = []

    async def ask() -> str:
        asked.append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            raise RetryLaterError("a time-out of its own") from error
        return "never"

    with pytest.raises(UnreachableError, match="within 10 s"):
        await Deadline(10).until_answered(ask, whom="nobody")
    assert len(asked) == 1
