"""A line on the terminal that tells how far a command is, and lines that stay."""

import sys

__all__ = ["erase", "say", "show"]

_ERASE_LINE = "\r\x1b[K"


def show(text: str) -> None:
    """Put this in place of the line before; nothing when standard error is no terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{_ERASE_LINE}{text}")
        sys.stderr.flush()


def erase() -> None:
    """Leave the terminal's line to whatever comes next."""
    show("")


def say(text: str) -> None:
    """A line that stays, on standard error."""
    erase()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
