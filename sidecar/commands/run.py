"""``run``: the agent."""

import asyncio
import logging
import os
import resource
import sys
from collections.abc import Sequence
from types import TracebackType

from sidecar.agent import Agent
from sidecar.commands.arguments import Parser
from sidecar.config import load, misspelt_variables, shown
from sidecar.errors import Error, ExitCode
from sidecar.logs import configure, log
from sidecar.runtime import LoopErrors, Runtime
from sidecar.settings import Settings
from sidecar.stopping import cancelled, run

_logger = logging.getLogger(__name__)

_RESERVED = 64 + 128 + 2 * 64
"""File descriptors for the agent's own files and connections, the admin listener, and refusals on both."""


def main(arguments: Sequence[str]) -> int:
    """Run the agent until SIGTERM or SIGINT; a second signal ends it at once.

    Raises:
        UsageError: a setting is wrong.
        ListenError: a port is taken.
        Error: with ``--once``: no answer, or it could not be published.
    """
    parser = Parser("run", description="Read the metadata service once for all pods of this node.")
    parser.add_argument("--once", action="store_true", help="query once, publish the result, and exit")
    parser.add_argument(
        "--print-settings", action="store_true", help="print each setting and its origin, and exit"
    )
    loaded = load(arguments, parser=parser)
    settings = loaded.settings
    if loaded.arguments.print_settings:
        rows = [(name.replace("_", "-"), shown(value) or "-") for name, value in settings]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        for (name, value), origin in zip(rows, loaded.origins.values(), strict=True):
            print(f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}")
        return ExitCode.DONE
    runtime = Runtime()
    configure(
        log_format=settings.log_format,
        level=settings.log_level,
        on_dropped=runtime.metrics.dropped_log_lines.inc,
    )
    sys.excepthook = _log_failure
    for name, nearest in misspelt_variables(os.environ).items():
        log(_logger, logging.WARNING, "unknown-variable", variable=name, nearest=nearest)
    limit = raise_limit()
    places = clients_within(limit, settings.max_clients)
    if places < settings.max_clients:
        log(
            _logger,
            logging.WARNING,
            "clients-limited",
            wanted=settings.max_clients,
            using=places,
            files=limit,
        )
        settings = settings.model_copy(update={"max_clients": places})
    run(_run(settings, runtime, once=loaded.arguments.once))
    return ExitCode.DONE


def _log_failure(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Log an unhandled exception as one line, in the format of the log."""
    _logger.critical("failed", exc_info=(kind, error, traceback))


async def _run(settings: Settings, runtime: Runtime, *, once: bool) -> None:
    asyncio.get_running_loop().set_exception_handler(LoopErrors())
    agent = Agent(settings, runtime=runtime)
    with agent.stopping.on_signals():
        if not once:
            await agent.run()
            return
        turn = asyncio.create_task(agent.run_once())
        stopping = asyncio.create_task(agent.stopping.requested.wait())
        await asyncio.wait((turn, stopping), return_when=asyncio.FIRST_COMPLETED)
        await cancelled((turn, stopping))
        if turn.cancelled():
            raise Error("stopped before it was done")
        turn.result()


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, as Go does, and return the limit in force.

    containerd 2 starts containers with a soft limit of 1,024 (containerd/containerd#8924).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # above the kernel's own bound, or refused by a filter of system calls
            return soft
    return hard


def clients_within(limit: int, wanted: int) -> int:
    """How many of the wanted clients can be connected within a limit of open files; at least 1."""
    if limit == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, limit - _RESERVED))
