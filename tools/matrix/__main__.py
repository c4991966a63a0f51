"""``make matrix``: run parts of the matrix and write docs/matrix.md."""

import argparse
import datetime as dt
import os
import subprocess
import time
from collections.abc import Mapping, Sequence

from tests.e2e.harness.system import CommandError, run
from tools.binaries.build import BuildError
from tools.binaries.programs import BinariesMissingError
from tools.ending import exit_with
from tools.matrix.page import DOCUMENT, markdown
from tools.matrix.parts import PARTS, NotHereError, Part
from tools.matrix.results import FILE, Result, counted, load, save
from tools.wheel import CHECKOUT

OWN = (DOCUMENT, FILE)
"""What a run writes: no change of what is tried."""


def execute(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run tests in the checkout, show what they say, and give it with their exit code."""
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={**os.environ, "REQUIRE_ALL": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # PIPE was asked for
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def commit() -> str:
    """The commit of the checkout, with ``-dirty`` when what is tried differs from it."""
    git = ("git", "-C", CHECKOUT)
    but_own = (f":(exclude){path.relative_to(CHECKOUT)}" for path in OWN)
    changed = run(*git, "status", "--porcelain", "--untracked-files=no", "--", ".", *but_own)
    return run(*git, "rev-parse", "--short=12", "HEAD").strip() + ("-dirty" if changed else "")


def attempt(part: Part, *, may_build: bool) -> Result | None:
    """Run one part; None when what it would try is not here."""
    print(f"\n=== {part.name}: {part.tests}", flush=True)
    started, tried = time.monotonic(), commit()
    try:
        trial = part.run(execute, may_build)
    except (BinariesMissingError, BuildError, CommandError, NotHereError) as error:
        print(f"not run: {error}", flush=True)
        return None
    return Result(
        version=trial.version,
        counts=counted(trial.output),
        exit_code=trial.exit_code,
        seconds=round(time.monotonic() - started),
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        commit=tried,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; the exit code is 1 when a part failed or none ran."""
    parser = argparse.ArgumentParser(prog="tools.matrix", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME,…", help="parts whose names begin so")
    parser.add_argument("--no-build", action="store_true", help="leave out what would have to be built")
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    given = parser.parse_args(arguments)
    wanted = tuple(given.only.split(","))
    ran: list[Result] = []
    for part in () if given.page else [part for part in PARTS if part.name.startswith(wanted)]:
        result = attempt(part, may_build=not given.no_build)
        if result is not None:
            ran.append(result)
            save({**load(), part.name: result})
            DOCUMENT.write_text(markdown(load()))  # the next part's tests hold the page against the results
            print(f"{part.name}: {'passed' if result.passed else 'FAILED'}", flush=True)
    if given.page:
        DOCUMENT.write_text(markdown(load()))
    passed = sum(result.passed for result in ran)
    print(f"matrix: {passed} passed, {len(ran) - passed} failed")
    return int(passed < len(ran) or not (ran or given.page))


if __name__ == "__main__":
    exit_with(main)
