"""Build the programs the tests run against: ``make binaries``, ``make binaries-cluster``.

A program that is there in the wanted version is left alone; each one built is moved into place in
one step, so that an interrupted build goes on where it ended (Go keeps the packages it has
compiled). Standard library only: run it with any Python as ``python3 -m tools.binaries.build SUITE…``.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tools.binaries.programs import (
    PROGRAMS,
    BinariesMissingError,
    Program,
    cached_path,
    locate,
    of_suite,
    reported_version,
    wanted_version,
)

OLDEST_GO = (1, 21)
"""The first Go that fetches by itself the newer toolchain a go.mod asks for."""

REPORT_INTERVAL_S = 15.0
TAIL_LINES = 40


class BuildError(Exception):
    """A program could not be built; the text says why and what to do."""


def check_go() -> None:
    """Make sure that a usable Go is on PATH.

    Raises:
        BuildError: there is none, or it is too old.
    """
    advice = "install Go 1.24 or newer, or set KUBEBUILDER_ASSETS to a folder of built programs"
    if shutil.which("go") is None:
        raise BuildError(f"no Go on PATH: {advice}")
    version = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\bgo(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GO:
        raise BuildError(f"{version.strip()!r} is too old: {advice}")


class Progress:
    """Counts the packages Go names as it compiles them and says now and then how far it is.

    Go names only what it compiles anew, so the count ends below the total when some were cached.
    """

    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._compiled = 0
        self._downloaded = 0
        self._started = time.monotonic()
        self._terminal = sys.stdout.isatty()
        self._finished = threading.Event()
        self._reporter = threading.Thread(target=self._report, daemon=True)

    def __enter__(self) -> Self:
        """Begin to report, whether lines arrive or not: linking is long and silent."""
        self._reporter.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Say the last word and end the reporter."""
        self._finished.set()
        self._reporter.join()
        print(f"{self._clear()}{self}", flush=True)

    def __str__(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        downloads = f", {self._downloaded} modules fetched" if self._downloaded else ""
        return (
            f"  {self._name}: {self._compiled} of at most {self._total} packages compiled"
            f"{downloads}, {minutes} min {seconds:02d} s"
        )

    def take(self, line: str) -> bool:
        """Count one line of Go's output; False when it is neither a package nor a download."""
        if line.startswith("go: downloading "):
            self._downloaded += 1
        elif re.fullmatch(r"[\w.~/-]+", line):
            self._compiled += 1
        else:
            return False
        return True

    def _clear(self) -> str:
        return "\r\033[K" if self._terminal else ""

    def _report(self) -> None:
        while not self._finished.wait(1.0 if self._terminal else REPORT_INTERVAL_S):
            print(f"{self._clear()}{self}", end="" if self._terminal else "\n", flush=True)


def count_packages(program: Program, environment: dict[str, str]) -> int:
    """How many packages the program is made of, fetching the modules that are not there yet.

    Raises:
        BuildError: Go could not list them.
    """
    print(f"  {program.name}: listing its packages", flush=True)
    listing = subprocess.run(
        ["go", "list", "-deps", program.package],
        cwd=program.directory,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if listing.returncode:
        raise BuildError(f"{program.name}: go list ended with {listing.returncode}")
    return len(listing.stdout.splitlines())


def compile_program(program: Program, output: Path) -> None:
    """Compile the program into the file `output`.

    Raises:
        BuildError: Go failed; the text ends with its last lines.
    """
    environment = {**os.environ, "CGO_ENABLED": "1" if program.cgo else "0"}
    flags = program.linker_flags(wanted_version(program))
    command = ["go", "build", "-v", "-trimpath", "-ldflags", flags, "-o", str(output), program.package]
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with (
        Progress(program.name, count_packages(program, environment)) as progress,
        subprocess.Popen(
            command, cwd=program.directory, env=environment, stderr=subprocess.PIPE, text=True
        ) as compiler,
    ):
        assert compiler.stderr is not None  # PIPE was asked for
        for line in compiler.stderr:
            if not progress.take(line.rstrip()):
                tail.append(line)
    if compiler.returncode:
        raise BuildError(f"{program.name}: go build ended with {compiler.returncode}\n{''.join(tail)}")


def provide(program: Program) -> None:
    """Put the program into the cache unless it is there in the wanted version.

    Raises:
        BuildError: it could not be built, or tells another version than wanted.
    """
    path, wanted = cached_path(program), wanted_version(program)
    if path.exists() and reported_version(program, path) == wanted:
        print(f"{program.name} {wanted}: already in {path.parent}", flush=True)
        return
    print(f"{program.name} {wanted}: building", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        output = Path(folder) / program.name
        compile_program(program, output)
        if (version := reported_version(program, output)) != wanted:
            raise BuildError(f"{program.name}: the program built says version {version}, wanted is {wanted}")
        output.replace(path)
    print(f"{program.name} {wanted}: in {path.parent}", flush=True)


def obtain(program: Program) -> None:
    """Build the program, or name the ready one that ``KUBEBUILDER_ASSETS`` holds.

    Raises:
        BuildError: it could not be built.
        BinariesMissingError: ``KUBEBUILDER_ASSETS`` should hold it and does not.
    """
    if os.environ.get("KUBEBUILDER_ASSETS") and "apiserver" in program.suites:
        path = locate(program.name)
        print(f"{program.name} {reported_version(program, path)}: {path} (KUBEBUILDER_ASSETS)")
        return
    check_go()
    provide(program)


def main(arguments: Sequence[str] | None = None) -> int:
    """Obtain the programs of the suites named; the exit code is 1 when one could not be had."""
    parser = argparse.ArgumentParser(
        prog="tools.binaries.build", description="Build the programs that tests run against."
    )
    suites = sorted(set().union(*(program.suites for program in PROGRAMS)))
    parser.add_argument("suites", nargs="+", choices=suites, metavar="SUITE", help=f"of {', '.join(suites)}")
    try:
        for program in of_suite(*parser.parse_args(arguments).suites):
            obtain(program)
    except (BuildError, BinariesMissingError) as error:
        print(f"binaries: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
