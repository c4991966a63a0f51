"""Progress and messages on standard error, beside the results on standard output."""

import sys

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
