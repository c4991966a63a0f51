"""Argument parsing that every command shares."""

import argparse
from typing import NoReturn

from sidecar.core.durations import parse_duration
from sidecar.errors import UsageError

__all__ = ["Parser", "duration"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are :class:`UsageError`, and that takes no abbreviations."""

    def __init__(self, command: str, *, description: str) -> None:
        super().__init__(prog=f"azure-lb-metadata {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Report what is wrong with the arguments."""
        raise UsageError(message, advice=f"see {self.prog} --help")


def duration(text: str) -> float:
    """Seconds of a duration argument."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
