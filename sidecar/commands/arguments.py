"""Argument parsing that every command shares."""

import argparse
from collections.abc import Callable
from typing import NoReturn, TypeVar

from sidecar.core.annotations import DEFAULT_PREFIX, is_node_name, parse_prefix
from sidecar.core.instant import parse_duration
from sidecar.errors import UsageError

_Value = TypeVar("_Value")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are :class:`UsageError`, and that takes no abbreviations."""

    def __init__(self, command: str, *, description: str, epilog: str | None = None) -> None:
        """Make a parser without arguments.

        Args:
            command: Its name.
            description: What the command does; with an epilog its lines stay as they are.
            epilog: What comes after the arguments, such as rights and exit codes; its lines stay as well.
        """
        super().__init__(
            prog=f"azure-lb-metadata {command}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.HelpFormatter
            if epilog is None
            else argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Report what is wrong with the arguments."""
        raise UsageError(message, advice=f"see {self.prog} --help")


def written_as(parse: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """The type of an argument that is read by a function whose ``ValueError`` says what is wrong."""

    def value(text: str) -> _Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return value


duration = written_as(parse_duration)
"""Seconds of a duration argument."""

_REQUEST_TIMEOUT = 30.0
"""Seconds: a page of Nodes is some megabytes, and an operator may be far away."""

annotation_prefix = written_as(parse_prefix)
"""The domain of annotation keys."""


def node_name(text: str) -> str:
    """A name that a Node can have."""
    if not is_node_name(text):
        why = f"{text!r} cannot be the name of a Node"
        meant = f", did you mean {text.lower()}" if is_node_name(text.lower()) else ""
        raise argparse.ArgumentTypeError(f"{why}{meant}: kubectl get nodes lists them")
    return text


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """The type of a number argument within bounds, which belong to it."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return number


def add_kubeconfig_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--kubeconfig`` of a command that runs in a cluster or on an operator's machine."""
    parser.add_argument(
        "--kubeconfig", metavar="PATH", help="else the pod's account, KUBECONFIG, ~/.kube/config"
    )


def add_api_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--kubeconfig`` and ``--request-timeout`` of a command that only requests the API server."""
    add_kubeconfig_argument(parser)
    parser.add_argument(
        "--request-timeout",
        type=duration,
        default=_REQUEST_TIMEOUT,
        metavar="DURATION",
        help=f"for each request to the API server [{_REQUEST_TIMEOUT:g}s]",
    )


def add_context_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--context`` of a command that looks at one cluster."""
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig")


def add_prefix_argument(parser: argparse.ArgumentParser, *, purpose: str) -> None:
    """Add ``--annotation-prefix``, the agents' own if not given; its help says what it is for."""
    parser.add_argument(
        "--annotation-prefix",
        type=annotation_prefix,
        metavar="DOMAIN",
        default=DEFAULT_PREFIX,
        help=f"{purpose} [{DEFAULT_PREFIX}]",
    )
