"""Named pipes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def silent_pipe(path: Path) -> Iterator[None]:
    """A pipe that nobody writes to, so that who opens it waits; the end lets those go."""
    os.mkfifo(path)
    try:
        yield
    finally:
        # Threads that wait for it would keep the process of the tests from ending.
        os.close(os.open(path, os.O_RDWR))
