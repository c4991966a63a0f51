"""``exec``: wait, put the facts into the environment, and become another command."""

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

from sidecar.commands.arguments import Parser
from sidecar.commands.clients import AgentClient
from sidecar.commands.wait import Waited, add_waiting_arguments, wait
from sidecar.core.representation import variables
from sidecar.errors import UsageError
from sidecar.sources import reading
from sidecar.stopping import run_until_terminated

_SEPARATOR = "--"

_CANNOT_RUN = 126
_NOT_FOUND = 127
"""What a shell reports of a command that it finds and cannot run, and of one that it does not find."""

_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, which a program inherits."""


def main(arguments: Sequence[str]) -> int:
    """Wait and become the command; returns only where that cannot be run.

    Raises:
        UsageError: there is no command.
        Error: what is waited for did not come; see ``wait``.
    """
    parser = Parser("exec", description="Wait, then run a command with AZURE_LB_* in its environment.")
    parser.usage = f"{parser.prog} [OPTION ...] {_SEPARATOR} COMMAND [ARGUMENT ...]"
    add_waiting_arguments(parser)
    given = list(arguments)
    end = given.index(_SEPARATOR) if _SEPARATOR in given else len(given)
    parsed = parser.parse_args(given[:end])
    command = given[end + 1 :]
    if not command:
        raise UsageError(f"there is no command after {_SEPARATOR}", advice=parser.format_usage().strip())
    return _become(command, run_until_terminated(_variables(parsed)))


async def _variables(parsed: Namespace) -> dict[str, str]:
    waited = await wait(parsed)
    settings, snapshot = waited.settings, waited.snapshot
    node = snapshot.state.node(settings.node_name)
    if waited.url is None or settings.node_address is not None:
        return variables(snapshot, node=node, node_address=settings.node_address)
    return await _agents_variables(waited, node)


async def _agents_variables(waited: Waited, node: str | None) -> dict[str, str]:
    """The variables in the agent's own words, which knows the node's address where we do not."""
    async with reading.new_session(timeout=waited.settings.imds_timeout) as session:
        agent = AgentClient(session, str(waited.url), waited.deadline)
        return await agent.variables_of(waited.snapshot, node=node)


def _become(command: list[str], values: Mapping[str, str]) -> int:
    """Replace this process."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, {**os.environ, **values})  # noqa: S606 - what it is for
    except OSError as error:
        sys.stderr.write(f"azure-lb-metadata exec: {command[0]}: {error.strerror}\n")
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_RUN
