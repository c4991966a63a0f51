"""The wish to stop, as signals express it: once is a request, twice is an order."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Stopping"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Whether the process should stop, for one event loop."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.at_once = asyncio.Event()

    def request(self) -> None:
        """Ask to stop; asked again, everything ends at once."""
        (self.at_once if self.requested.is_set() else self.requested).set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT ask."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.request)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
