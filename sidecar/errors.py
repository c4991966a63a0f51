"""The errors that reach a person: one class per situation, each with its exit code and advice."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses, with the same meaning for every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    """Bad usage or settings."""
    NONE = 3
    """The query succeeded, and the result is empty."""
    UNREACHABLE = 4
    """Nothing could be reached in time."""
    INCOMPLETE = 5
    """The answer is incomplete, or differs from what was given."""


class Error(Exception):
    """Base of all errors of this package.

    The text says what happened; ``advice`` says what to do about it, or is empty.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}: {self.advice}" if self.advice else message


class UsageError(Error):
    """A flag, a variable, an argument or a combination of them is wrong."""

    exit_code = ExitCode.USAGE


class ListenError(Error):
    """An address to listen on cannot be had."""


class NoDataError(Error):
    """The source was queried, and gave no usable answer."""

    exit_code = ExitCode.UNREACHABLE


class EmptyError(Error):
    """The query succeeded, and the result is empty."""

    exit_code = ExitCode.NONE


class UnreachableError(Error):
    """Nothing that could answer was reached in time."""

    exit_code = ExitCode.UNREACHABLE
