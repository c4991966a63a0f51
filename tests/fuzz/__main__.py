"""``make fuzz``: mutated answers in any number, in one process, with figures at the end.

A broken promise ends the run with exit code 1, the bytes, and the seed and number of the run, which
``--seed`` and ``--first-run`` repeat.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz.errors import fuzz_agents, fuzz_errors
from tests.fuzz.probes import fuzz_probes
from tests.fuzz.running import BrokenPromiseError, Figures, fuzz
from tests.fuzz.seeds import LARGE, SMALL

_FUZZED = ("sidecar/core", "sidecar/errors.py", "tests/fuzz")

_RESIDENT_GROWTH_MIB = 32
"""What the resident memory may grow by after the first tenth of a run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz as the command line says, and give the exit code."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="Fuzz the document parser and the state.")
    parser.add_argument("--small", type=int, default=20_000, help="answers made from small documents")
    parser.add_argument("--large", type=int, default=200, help="answers made from documents of 250 rules")
    parser.add_argument("--errors", type=int, default=5_000, help="errors of every status")
    parser.add_argument("--agents", type=int, default=5_000, help="answers of a sidecar's node agent")
    parser.add_argument("--probes", type=int, default=20_000, help="answers of egress probes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first-run", type=int, default=0, help="skip the runs before this one")
    given = parser.parse_args(arguments)
    print(f"{datetime.now(UTC):%Y-%m-%d}, commit {_commit()}, seed {given.seed}")
    try:
        for name, seeds, answers in (("small", SMALL, given.small), ("large", LARGE, given.large)):
            _fuzz(name, seeds, answers, seed=given.seed, first_run=given.first_run)
        for name, judged in (
            ("errors", fuzz_errors(given.errors, seed=given.seed)),
            ("answers of node agents", fuzz_agents(given.agents, seed=given.seed)),
            ("answers of probes", fuzz_probes(given.probes, seed=given.seed)),
        ):
            started = time.monotonic()
            count = sum(1 for _ in judged)
            print(f"{count} {name}; no promise broken; {time.monotonic() - started:.0f} s", flush=True)
    except BrokenPromiseError as error:
        print(f"{error}\n{error.__cause__!r}", file=sys.stderr)
        return 1
    return 0


def _fuzz(name: str, seeds: Sequence[bytes], answers: int, *, seed: int, first_run: int) -> None:
    started, figures, warm = time.monotonic(), Figures(), 0
    for figures in fuzz(seeds, answers=answers, seed=seed, first_run=first_run):
        if not warm and figures.answers >= answers / 10:
            warm = _resident_kib()
    growth = (_resident_kib() - warm) / 1024 if warm else 0.0
    print(
        f"{name}: {figures.answers} answers of {figures.bytes // max(1, figures.answers)} bytes on average: "
        f"{figures.documents} documents, {figures.nones} times none, {figures.failures} failures, "
        f"{figures.withdrawals} withdrawals; no promise broken\n"
        f"  at most {figures.calls_of_allowed:.0%} of the calls and {figures.memory_of_allowed:.0%} of the "
        f"memory allowed per answer; slowest {figures.longest_seconds * 1000:.0f} ms of processor time; "
        f"resident memory +{growth:.1f} MiB; {time.monotonic() - started:.0f} s",
        flush=True,
    )
    if growth > _RESIDENT_GROWTH_MIB:
        raise BrokenPromiseError(f"resident memory grew by {growth:.1f} MiB")


def _resident_kib() -> int:
    """The largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _commit() -> str:
    """The checked out commit, and whether what is fuzzed is as it was committed."""
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    return commit + (" with changes" if _git("status", "--porcelain", "--", *_FUZZED) else "")


def _git(*arguments: str) -> str:
    checkout = Path(__file__).resolve().parents[2]
    result = subprocess.run(("git", *arguments), cwd=checkout, capture_output=True, text=True, check=False)
    return result.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
