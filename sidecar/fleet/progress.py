"""Progress and messages on standard error, beside the results on standard output."""

import sys
from collections.abc import Callable

from sidecar.errors import Error

_ERASE_LINE = "\r\x1b[K"


def show(text: str) -> None:
    """Show the progress in the terminal's current line; nothing when standard error is no terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{_ERASE_LINE}{text}")
        sys.stderr.flush()


def erase() -> None:
    """Clear the line of the progress."""
    show("")


def message(text: str) -> None:
    """Print a line that stays."""
    erase()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def retries() -> Callable[[Error], None]:
    """What prints why requests are repeated, each reason once: a command that is silent looks stuck."""
    printed: set[str] = set()

    def retry(error: Error) -> None:
        text = str(error.args[0])
        if text not in printed:
            printed.add(text)
            message(f"{text}; trying again")

    return retry
