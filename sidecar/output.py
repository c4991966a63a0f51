"""Standard output and error of a command, where they cannot be written or are closed.

Data that cannot be written to standard output are a failure with one line. Messages that cannot be written
to standard error are lost. A closed descriptor is filled, or a socket could get its number.
"""

import io
import os
import sys
from collections.abc import Callable
from typing import Any

from sidecar.errors import Error

_FILLING = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)
"""How the null device is opened for 0, 1 and 2: writing to 1 is to fail as it does when it is closed."""


class OutputError(Error):
    """Standard output cannot be written."""


class _File(io.FileIO):
    """A descriptor that reports its first failure, and drops everything written after it."""

    def __init__(self, descriptor: int, failed: Callable[[OSError], None]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._failed = failed
        self._lost = False

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        """Write bytes; dropped are also the bytes that buffers would try once more when the process ends."""
        if not self._lost:
            try:
                return super().write(data) or 0
            except OSError as error:
                self._lost = True
                self._failed(error)
        return memoryview(data).nbytes


def open_output() -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` anew; once, before anything else is opened."""
    for descriptor, flags in enumerate(_FILLING):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number, since those below are taken.
            os.open(os.devnull, flags)
    sys.stdout = _text(1, _failed, sys.stdout)
    sys.stderr = _text(2, lambda _: None, sys.stderr)


def _failed(error: OSError) -> None:
    """A reader that has seen enough is known to `cli`; anything else is a failure."""
    if isinstance(error, BrokenPipeError):
        raise error
    raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def _text(descriptor: int, failed: Callable[[OSError], None], before: object) -> io.TextIOWrapper:
    """A stream with encoding and buffering of the one before, which is ``None`` if that was closed."""
    given = before if isinstance(before, io.TextIOWrapper) else None
    return io.TextIOWrapper(
        io.BufferedWriter(_File(descriptor, failed)),
        encoding=given.encoding if given else "utf-8",
        errors=given.errors if given else "backslashreplace",
        line_buffering=given is not None and (given.line_buffering or given.write_through),
    )
