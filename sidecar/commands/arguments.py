"""Argument parsing that every command shares."""

import argparse
from collections.abc import Callable
from typing import NoReturn

from sidecar.core.annotations import parse_prefix
from sidecar.core.durations import parse_duration
from sidecar.core.names import NODE_NAME
from sidecar.errors import UsageError

__all__ = ["Parser", "annotation_prefix", "duration", "node_name", "whole_number"]


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


def node_name(text: str) -> str:
    """A name that a Node can have."""
    if NODE_NAME.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be the name of a Node")
    return text


def annotation_prefix(text: str) -> str:
    """The domain of annotation keys."""
    try:
        return parse_prefix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """The type of a number argument within bounds, which belong to it."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return number
