"""Argument parsing, shared by all commands."""

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
            description: What the command does; with an epilog its line breaks are kept.
            epilog: Text after the arguments, such as RBAC and exit codes; its line breaks are kept.
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
        """Raise :class:`UsageError`, with the command's ``--help`` as advice."""
        raise UsageError(message, advice=f"see {self.prog} --help")


def written_as(parse: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """An argument type from a function that raises ``ValueError`` with a text for people."""

    def value(text: str) -> _Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return value


duration = written_as(parse_duration)
"""Argument type: a duration, in seconds."""

REQUEST_TIMEOUT = 30.0
"""Seconds: a page of Nodes is some megabytes, and an operator may be far away."""

annotation_prefix = written_as(parse_prefix)
"""Argument type: the domain of annotation keys."""


def node_name(text: str) -> str:
    """Argument type: a name that a Node can have."""
    if not is_node_name(text):
        why = f"{text!r} cannot be the name of a Node"
        meant = f", did you mean {text.lower()}" if is_node_name(text.lower()) else ""
        raise argparse.ArgumentTypeError(f"{why}{meant}: kubectl get nodes lists them")
    return text


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Argument type: a number from ``least`` to ``most``, both included."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return number


def add_kubeconfig_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--kubeconfig``, for a command that runs in a cluster or on an operator's machine."""
    parser.add_argument(
        "--kubeconfig", metavar="PATH", help="else the pod's account, KUBECONFIG, ~/.kube/config"
    )


def add_api_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--kubeconfig`` and ``--request-timeout`` of a command that only requests the API server."""
    add_kubeconfig_argument(parser)
    parser.add_argument(
        "--request-timeout",
        type=duration,
        default=REQUEST_TIMEOUT,
        metavar="DURATION",
        help=f"for each request to the API server [{REQUEST_TIMEOUT:g}s]",
    )


def add_context_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--context``, for a command that reads one cluster."""
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig")


def add_prefix_argument(parser: argparse.ArgumentParser, *, purpose: str) -> None:
    """Add ``--annotation-prefix``, by default that of the agents; its help begins with ``purpose``."""
    parser.add_argument(
        "--annotation-prefix",
        type=annotation_prefix,
        metavar="DOMAIN",
        default=DEFAULT_PREFIX,
        help=f"{purpose} [{DEFAULT_PREFIX}]",
    )
