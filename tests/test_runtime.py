"""What nobody handles is logged, and does not flood the log."""

import asyncio
import errno
import logging
import os
from typing import Any

import pytest

from sidecar.runtime import LoopErrors
from tests.support.states import FakeClock

EXHAUSTED = {"message": "no", "exception": OSError(errno.EMFILE, "no"), "socket": "a socket"}
DEFECT = {"message": "Task exception was never retrieved", "exception": ValueError("a defect")}


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """The events so far with their fields, and forgets them."""
    events = [(record.getMessage(), vars(record)["fields"]) for record in caplog.records]
    assert {record.levelno for record in caplog.records} <= {logging.ERROR}
    caplog.clear()
    return events


async def test_no_descriptors(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Connections that cannot be accepted are one event a minute, which counts those in between."""
    loop, report = asyncio.get_running_loop(), LoopErrors(clock)
    for _ in range(128):
        report(loop, EXHAUSTED)
    words = os.strerror(errno.EMFILE)
    assert logged(caplog) == [("accept-failed", {"error": words})]

    clock.advance(59)
    report(loop, EXHAUSTED)
    assert logged(caplog) == []

    clock.advance(1)
    report(loop, EXHAUSTED)
    report(loop, EXHAUSTED)
    assert logged(caplog) == [("accept-failed", {"error": words, "suppressed": 128})]


async def test_kinds_apart(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A flood of one kind hides no error of another, and a defect is logged with its traceback."""
    loop, report = asyncio.get_running_loop(), LoopErrors(clock)
    for context in (EXHAUSTED, DEFECT, DEFECT, {"message": "Unclosed"}):
        report(loop, context)

    first, second, third = logged(caplog)
    assert first[0] == "accept-failed"
    assert (second[0], second[1]["error"]) == ("loop-failed", DEFECT["message"])
    assert "ValueError: a defect" in second[1]["traceback"]
    assert third == ("loop-failed", {"error": "Unclosed"})


async def test_installed(caplog: pytest.LogCaptureFixture) -> None:
    """As the handler of a loop it is told of callbacks that fail."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopErrors())
    loop.call_soon(int, "x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [event for event, _ in logged(caplog)] == ["loop-failed"]
