"""``exec``: wait, put the facts into the environment, and replace this process by another command."""

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence

from sidecar.commands.arguments import Parser
from sidecar.commands.clients import AgentClient
from sidecar.commands.wait import add_waiting_arguments, wait
from sidecar.core.representation import variables
from sidecar.errors import UsageError
from sidecar.sources import reading
from sidecar.stopping import run_until_terminated

_SEPARATOR = "--"

_CANNOT_RUN = 126
_NOT_FOUND = 127
"""Exit codes of a shell for a command that it cannot run, and for one that it does not find."""

_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, which a program inherits."""


def main(arguments: Sequence[str]) -> int:
    """Wait, then replace this process by the command; returns only if the command cannot be run.

    Raises:
        UsageError: no command is given.
        Error: the condition did not hold in time; see ``wait``.
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
    values = run_until_terminated(_variables(parsed))
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, {**os.environ, **values})  # noqa: S606 - what it is for
    except OSError as error:
        sys.stderr.write(f"azure-lb-metadata exec: {command[0]}: {error.strerror}\n")
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_RUN


async def _variables(parsed: Namespace) -> dict[str, str]:
    waited = await wait(parsed)
    settings, snapshot = waited.settings, waited.snapshot
    node = snapshot.state.node(settings.node_name)
    if waited.url is None or settings.node_address is not None:
        return variables(snapshot, node=node, node_address=settings.node_address)
    # The agent knows the node's address, by which it orders the public IPs; this command does not.
    async with reading.new_session(timeout=settings.imds_timeout) as session:
        agent = AgentClient(session, waited.url, waited.deadline)
        return await agent.variables_of(snapshot, node=node)
