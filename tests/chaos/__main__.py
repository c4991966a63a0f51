"""Chaos from the command line: ``python -m tests.chaos --seed N --seconds S``; exit code 1 on a violation."""

import argparse
import asyncio
import contextlib
import io
import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.agents import DURATIONS, Place
from tests.chaos.rules import Rules
from tests.chaos.storm import Chaos, Report
from tests.chaos.worlds import fake_world, real_world
from tests.faults.disk import own_disk
from tests.support.program import PYTHON
from tests.support.removal import temporary_folder
from tools.binaries.programs import BinariesMissingError, locate

DEFAULT_S = 60.0


async def chaos(
    seed: int,
    seconds: float,
    *,
    real: bool,
    place: Place,
    python: Sequence[str] = PYTHON,
) -> Report:
    """One run in a folder of its own, on a real API server or a fake one."""
    place.disk.mkdir(exist_ok=True)
    rules = Rules(DURATIONS)
    async with (real_world if real else fake_world)(rules, place.directory) as world:
        return await Chaos(seed, rules, world, place=place, python=python).run(seconds)


def binaries_there() -> bool:
    """Whether a real API server can be started."""
    try:
        for program in ("etcd", "kube-apiserver", "kubectl"):
            locate(program)
    except BinariesMissingError:
        return False
    return True


def prepared(directory: Path, stack: contextlib.ExitStack) -> Place:
    """A place, until the stack ends with a disk of its own where that is allowed."""
    disk = Place(directory).disk
    disk.mkdir()
    try:
        stack.enter_context(own_disk(disk))
    except OSError:
        return Place(directory)
    return Place(directory, own_disk=True)


def main() -> None:
    """Run, print what came of it, and end with 1 when the rules were broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="default: a random one")
    parser.add_argument("--seconds", type=float, default=DEFAULT_S, help="default: %(default)g")
    parser.add_argument("--api", choices=("auto", "real", "fake"), default="auto", help="the API server")
    arguments = parser.parse_args()
    # Agents that are killed leave their questions; that is no error of the service they asked.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    real = arguments.api == "real" or (arguments.api == "auto" and binaries_there())
    with temporary_folder("azure-lb-metadata-chaos-") as folder, contextlib.ExitStack() as stack:
        place = prepared(folder, stack)
        print(
            f"seed {arguments.seed}, {'real' if real else 'fake'} API server,"
            f" {'with' if place.own_disk else 'without'} a disk that fills up",
            flush=True,
        )
        # What agents print at their end is for tests; of the last one the report has the log.
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        report = asyncio.run(chaos(arguments.seed, arguments.seconds, real=real, place=place))
    print(report.text())
    sys.exit(report.violation is not None)


if __name__ == "__main__":
    main()
