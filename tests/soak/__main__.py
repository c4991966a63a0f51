"""``make soak``: polls in any number, first in virtual and then in real time, with figures.

Exit code 1 when something grew.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sidecar.logs import configure
from tests.soak import real, virtual
from tests.soak.resources import GrowthError


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak as the command line says, and give the exit code."""
    parser = argparse.ArgumentParser(prog="tests.soak", description="Let an agent run for very long.")
    parser.add_argument("--polls", type=int, default=100_000, help="polls in virtual time")
    parser.add_argument("--real-polls", type=int, default=10_000, help="polls in real time, over sockets")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with Path(os.devnull).open("w", encoding="ascii") as log, tempfile.TemporaryDirectory() as directory:
        configure(log_format="json", level="info", stream=log)
        try:
            if given.polls:
                _virtual(given.polls, given.seed)
            if given.real_polls:
                _real(given.real_polls, given.seed, Path(directory))
        except GrowthError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _virtual(polls: int, seed: int) -> None:
    started = time.monotonic()
    soaked = virtual.soak(polls, seed=seed)
    print(
        f"virtual time: {soaked.polls} polls in {soaked.days:.1f} days, {soaked.failures} failed, "
        f"{soaked.revisions} revisions, {soaked.applies} applies, {soaked.answers} answers to clients; "
        f"{time.monotonic() - started:.0f} s\n  after warm-up {soaked.warm}\n  at the end    {soaked.end}",
        flush=True,
    )


def _real(polls: int, seed: int, directory: Path) -> None:
    started = time.monotonic()
    served = real.soak(polls, seed=seed, directory=directory)
    print(
        f"real time: {served.polls} polls, {served.requests} requests of clients; "
        f"{time.monotonic() - started:.0f} s\n  after warm-up {served.warm}\n  at the end    {served.end}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
