"""``make siege``: an agent and a sidecar under each attack, in control groups of 160 MiB; as root.

Exit code 1 when one of them died, was killed for its memory, or did not answer its probe at the end.
"""

import argparse
import asyncio
import contextlib
import io
import logging
import sys
from collections.abc import Sequence

from tests.siege.attacks import ATTACKS
from tests.siege.sieges import besiege, obstacle
from tests.support.removal import temporary_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack as the command line says, and give the exit code."""
    parser = argparse.ArgumentParser(prog="tests.siege", description="Attack an agent and a sidecar.")
    parser.add_argument("--seconds", type=float, default=75, help="of each attack (default: %(default)g)")
    parser.add_argument(
        "--only", choices=(*ATTACKS, "all"), help="one attack, or all at once, instead of each and then all"
    )
    given = parser.parse_args(arguments)
    if why := obstacle():
        print(f"no siege: {why}", file=sys.stderr)
        return 1
    # Agents that are killed leave their questions; that is no error of the service they asked.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    fallen = False
    sieges = {**{attack: (attack,) for attack in ATTACKS}, "all": tuple(ATTACKS)}
    for attacks in (sieges[given.only],) if given.only else sieges.values():
        # What agents print at their end is for tests.
        with (
            temporary_folder("azure-lb-metadata-siege-") as folder,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            report = asyncio.run(besiege(attacks, given.seconds, folder))
        print(report, flush=True)
        fallen = fallen or bool(report.faults)
    return int(fallen)


if __name__ == "__main__":
    sys.exit(main())
