"""Lines to a descriptor that nobody may read: written in a thread, and dropped rather than waited for."""

import os
import select
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["LineWriter"]

_MOST_BYTES = 1024 * 1024
"""Of the lines that wait to be written: some thousands."""


class LineWriter:
    """Writes lines in the order they come, in a daemon thread; for all threads.

    The descriptor is written to without Python's buffers: their lock would be held by a thread that hangs,
    and the end of the process wants it.
    """

    def __init__(
        self, descriptor: int, *, on_dropped: Callable[[], object], on_recovered: Callable[[int], object]
    ) -> None:
        """Write nothing yet.

        Args:
            descriptor: Where the lines go; stays open.
            on_dropped: Told of each line that is dropped.
            on_recovered: Told how many were dropped, once lines are written again.
        """
        self._descriptor = descriptor
        self._on_dropped = on_dropped
        self._on_recovered = on_recovered
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        """Of the lines that wait, and of that which is being written."""
        self._dropped = 0
        self._running = False

    def write(self, line: bytes) -> None:
        """Have a line written, or drop it when too much waits already; returns at once."""
        with self._changed:
            dropped = self._bytes + len(line) > _MOST_BYTES
            if dropped:
                self._dropped += 1
            else:
                self._waiting.append(line)
                self._bytes += len(line)
                self._changed.notify_all()
            self._start()
            if not self._running:
                self._write_without_waiting()
        if dropped:
            self._on_dropped()

    def flush(self, seconds: float) -> bool:
        """Wait until all lines are written, but not longer; returns whether they are."""
        with self._changed:
            self._start()
            if not self._running:
                self._write_without_waiting()
                return not self._bytes
            return self._changed.wait_for(lambda: not self._bytes, timeout=seconds)

    def _write_without_waiting(self) -> None:
        """Where no thread can be had, write as far as that is sure to take no time."""
        writable = select.poll()
        writable.register(self._descriptor, select.POLLOUT)
        while self._waiting and writable.poll(0):
            line = self._waiting.popleft()
            # A pipe that is writable has room for so much.
            try:
                written = os.write(self._descriptor, line[: select.PIPE_BUF])
            except OSError:
                written = len(line)  # Nobody can ever read it.
            self._bytes -= written
            if line[written:]:
                self._waiting.appendleft(line[written:])

    def _start(self) -> None:
        """Begin to write, if that has not been possible so far."""
        if self._running:
            return
        self._running = True
        try:
            threading.Thread(target=self._work, name="log", daemon=True).start()
        except RuntimeError:  # no new thread can be had: tried again with the next line
            self._running = False

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line = self._waiting.popleft()
            written = self._write_all(line)
            with self._changed:
                self._bytes -= len(line)
                if not written:
                    self._dropped += 1
                recovered = self._dropped if written and not self._waiting else 0
                self._dropped -= recovered
                self._changed.notify_all()
            if not written:
                self._on_dropped()
            elif recovered:
                self._on_recovered(recovered)

    def _write_all(self, line: bytes) -> bool:
        """Write a line, however long that takes; returns false if nobody can ever read it."""
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])  # somebody has made it non-blocking
            except OSError:
                return False  # the reader is gone, or the disk is full
        return True
