"""``wait``: end when a condition holds."""

from collections.abc import Sequence

from sidecar.commands.arguments import Parser
from sidecar.commands.waiting import add_waiting_arguments, wait
from sidecar.errors import ExitCode
from sidecar.stopping import run_until_terminated

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Wait.

    Raises:
        NoneError: at the end of the time the answer is that there is none.
        IncompleteError: at the end of the time there is something else.
        UnreachableError: in all the time there was no answer.
    """
    parser = Parser(
        "wait",
        description="Wait until the agent, or else the metadata service, says what is waited for.",
    )
    add_waiting_arguments(parser)
    run_until_terminated(wait(parser.parse_args(arguments)))
    return ExitCode.DONE
