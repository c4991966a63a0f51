"""``run``: the agent."""

import asyncio
import logging
import os
from collections.abc import Sequence

from sidecar.agent import Agent
from sidecar.commands.arguments import Parser
from sidecar.config import Loaded, load, misspelt_variables, shown
from sidecar.errors import ExitCode
from sidecar.logs import configure, log

__all__ = ["main"]

_logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Run the agent until SIGTERM or SIGINT; a second signal ends it at once.

    Raises:
        UsageError: a setting is wrong.
        ListenError: a port is taken.
    """
    parser = Parser("run", description="Read the metadata service once for all pods of this node.")
    parser.add_argument("--once", action="store_true", help="ask once, publish what came, and end")
    parser.add_argument(
        "--print-settings", action="store_true", help="print each setting and where it came from, and end"
    )
    loaded = load(arguments, parser=parser)
    if loaded.arguments.print_settings:
        _print_settings(loaded)
        return ExitCode.DONE
    settings = loaded.settings
    configure(log_format=settings.log_format, level=settings.log_level)
    for name, nearest in misspelt_variables(os.environ).items():
        log(_logger, logging.WARNING, "unknown-variable", variable=name, nearest=nearest)
    asyncio.run(_run(loaded))
    return ExitCode.DONE


async def _run(loaded: Loaded) -> None:
    agent = Agent(loaded.settings)
    with agent.stopping.on_signals():
        if loaded.arguments.once:
            await agent.run_once()
        else:
            await agent.run()


def _print_settings(loaded: Loaded) -> None:
    rows = [(name.replace("_", "-"), shown(value) or "-") for name, value in loaded.settings]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for (name, value), origin in zip(rows, loaded.origins.values(), strict=True):
        print(f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}")
