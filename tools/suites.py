"""Run the test suites: ``make test``, or ``python -m tools.suites [NAME…]`` for some of them.

A suite whose needs are not met is left out, and the last lines say so, with the reason and the
command that enables it. With ``REQUIRE_ALL=1`` the runner gives that command itself, and a suite
still left out is a failure. The exit code is 0 only when no suite failed.
"""

import argparse
import enum
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.browser import chromium
from tests.e2e.harness import cluster
from tests.monitoring import prometheus
from tests.translation import servers
from tools.binaries.programs import CLUSTER_ENABLE_COMMAND, ENABLE_COMMAND, BinariesMissingError, locate_all

CHECKOUT = Path(__file__).resolve().parents[1]
PYTEST = (sys.executable, "-m", "pytest")

BUSY_PER_PROCESSOR = 4.0
"""Tried: with this many processes for each processor beside them the suites pass, if late."""


def spread(processes: int) -> tuple[str, ...]:
    """The arguments that spread a suite's tests: most of them wait for programs they have started."""
    return (f"--numprocesses={processes}", "--dist=worksteal")


def nothing_missing() -> str | None:
    """The need of a suite that needs nothing."""
    return None


def binaries_missing(suite: str) -> str | None:
    """Why the programs that `suite` runs are not usable, or None."""
    try:
        locate_all(suite)
    except BinariesMissingError as error:
        return str(error)
    return None


def go_missing() -> str | None:
    """Why no client in Go can be built, or None."""
    return None if shutil.which("go") and shutil.which("gofmt") else "go or gofmt is not on PATH"


def apiserver_missing() -> str | None:
    """Why no API server can be started, or None."""
    return binaries_missing("apiserver")


def chart_missing() -> str | None:
    """Why the chart cannot be rendered and given to an API server, or None."""
    return binaries_missing("chart")


def monitoring_missing() -> str | None:
    """Why no Prometheus can be given the chart's rules, or None."""
    return chart_missing() or prometheus.missing()


def cluster_missing() -> str | None:
    """Why there can be no cluster here, or None."""
    return cluster.missing() or binaries_missing("e2e")


def build_missing() -> str | None:
    """Why no wheel can be built, or None."""
    for module in ("build", "hatchling", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            return f"the Python module {module} is not installed"
    return None


@dataclass(frozen=True)
class Suite:
    """Tests that run, and are left out, together."""

    name: str
    command: tuple[str, ...]
    missing: Callable[[], str | None] = nothing_missing
    """Tells what is missing to run the suite, None when nothing is."""

    enable: str = ""
    """The shell command that provides what is missing, run in the checkout."""

    beside: bool = False
    """Whether it mostly waits for others, and so runs beside the other suites."""


SUITES = (
    Suite(
        name="unit",
        command=(
            *PYTEST,
            *spread(4),
            "-m",
            "not (apiserver or browser or chart or e2e or go or translation)",
        ),
    ),
    Suite(
        name="go",
        command=(*PYTEST, *spread(2), "-m", "go"),
        missing=go_missing,
        enable="apt-get install --yes --no-install-recommends golang-go",
    ),
    Suite(
        name="apiserver",
        command=(*PYTEST, *spread(2), "-m", "apiserver and not chart"),
        missing=apiserver_missing,
        enable=ENABLE_COMMAND,
    ),
    Suite(
        name="browser",
        command=(*PYTEST, *spread(2), "-m", "browser"),
        missing=chromium.missing,
        enable=chromium.ENABLE_COMMAND,
    ),
    Suite(
        name="chart",
        command=(*PYTEST, *spread(2), "-m", "chart and not prometheus"),
        missing=chart_missing,
        enable=CLUSTER_ENABLE_COMMAND,
    ),
    Suite(
        name="monitoring",
        command=(*PYTEST, *spread(2), "-m", "prometheus"),
        missing=monitoring_missing,
        enable=shlex.join(("sh", "-c", f"{prometheus.ENABLE_COMMAND} && {CLUSTER_ENABLE_COMMAND}")),
    ),
    Suite(
        name="translation",
        command=(*PYTEST, *spread(2), "-m", "translation"),
        missing=servers.missing,
        enable=servers.ENABLE_COMMAND,
    ),
    Suite(
        name="e2e",
        command=(*PYTEST, "-m", "e2e"),
        beside=True,
        missing=cluster_missing,
        enable=CLUSTER_ENABLE_COMMAND,
    ),
    Suite(
        name="wheel",
        command=(sys.executable, "-m", "tools.wheel"),
        missing=build_missing,
        enable="make venv-dev",
    ),
)


class Outcome(enum.Enum):
    """What became of a suite."""

    PASSED = "passed"
    FAILED = "failed"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Result:
    """A suite and what became of it; `reason` says more unless it passed, `seconds` is its run time."""

    suite: Suite
    outcome: Outcome
    reason: str = ""
    seconds: float = field(default=0.0, compare=False)


def run(suite: Suite, *, require_all: bool) -> Result:
    """Run one suite, if need be and `require_all` after its enabling command."""
    missing = provide(suite, require_all=require_all)
    return Result(suite, Outcome.LEFT_OUT, reason=missing) if missing else execute(suite)


def run_all(suites: Sequence[Suite], *, require_all: bool) -> list[Result]:
    """Run suites one after the other, and beside them the one that mostly waits.

    What they need is provided before any of them runs, so that nothing is built twice at once.
    """
    missing = {suite.name: provide(suite, require_all=require_all) for suite in suites}
    runnable = [suite for suite in suites if not missing[suite.name]]
    with ThreadPoolExecutor() as pool:
        beside = {
            suite.name: pool.submit(execute_apart, suite)
            for suite in runnable
            if suite.beside and len(runnable) > 1
        }
        done = {suite.name: execute(suite) for suite in runnable if suite.name not in beside}
        done |= {name: future.result() for name, future in beside.items()}
    return [done.get(suite.name) or left_out(suite, missing[suite.name]) for suite in suites]


def left_out(suite: Suite, missing: str | None) -> Result:
    """The result of a suite that cannot run."""
    return Result(suite, Outcome.LEFT_OUT, reason=missing or "")


def provide(suite: Suite, *, require_all: bool) -> str | None:
    """What the suite lacks, if `require_all` after an attempt to provide it."""
    missing = suite.missing()
    if missing and require_all and suite.enable:
        announce(f"{suite.name}: {missing}; running: {suite.enable}")
        subprocess.run(shlex.split(suite.enable), cwd=CHECKOUT, check=False)
        missing = suite.missing()
    return missing


def execute_apart(suite: Suite) -> Result:
    """Run a suite in silence, and print what it said when it has ended."""
    announce(f"{suite.name}: runs beside the others, and is printed when it has ended")
    with tempfile.TemporaryFile() as output:
        result = execute(suite, output)
        output.seek(0)
        announce(f"{suite.name}: has ended")
        print(output.read().decode(errors="replace"), flush=True)
    return result


def execute(suite: Suite, output: IO[bytes] | None = None) -> Result:
    """Run a suite whose needs are met."""
    if output is None:
        announce(f"{suite.name}: {shlex.join(suite.command)}")
    started = time.monotonic()
    code = wait_for(suite.command, output)
    seconds = time.monotonic() - started
    if code:
        return Result(suite, Outcome.FAILED, reason=f"exit code {code}", seconds=seconds)
    return Result(suite, Outcome.PASSED, seconds=seconds)


def wait_for(command: Sequence[str], output: IO[bytes] | None = None) -> int:
    """Run a suite's command in the checkout and give its exit code.

    What the suite needs is there, so it runs with ``REQUIRE_ALL=1``: a test that skips for want of
    it would hide a fault.
    """
    environment = {**os.environ, "REQUIRE_ALL": "1"}
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=output, stderr=output and subprocess.STDOUT
    ) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()  # the terminal has interrupted it as well: let it end its servers
            raise


def summary(results: Sequence[Result], *, require_all: bool) -> list[str]:
    """The closing lines: a table of the suites, one line for each left out, and the counts."""
    lines = [table_line(result) for result in results]
    for result in with_outcome(results, Outcome.LEFT_OUT):
        head = "Left out, and REQUIRE_ALL=1 forbids it" if require_all else "Left out"
        enable = f"; enable it with: {result.suite.enable}" if result.suite.enable else ""
        lines.append(f"{head}: {result.suite.name}: {result.reason}{enable}")
    passed, failed, left_out = (len(with_outcome(results, outcome)) for outcome in Outcome)
    lines.append(f"Suites: {passed} passed, {failed} failed, {left_out} skipped")
    return lines


def table_line(result: Result) -> str:
    """One suite, what became of it, how long it took, and why it did not pass."""
    name, outcome = result.suite.name, result.outcome.value
    return f"{name:<12} {outcome:<9} {result.seconds:>6.0f} s  {result.reason}".rstrip()


def with_outcome(results: Iterable[Result], outcome: Outcome) -> list[Result]:
    """Those of `results` that ended so."""
    return [result for result in results if result.outcome is outcome]


def exit_code(results: Sequence[Result], *, require_all: bool) -> int:
    """0 when suites ran and none failed; with `require_all` only when all of them ran."""
    bad = {Outcome.FAILED, Outcome.LEFT_OUT} if require_all else {Outcome.FAILED}
    ran = any(result.outcome is not Outcome.LEFT_OUT for result in results)
    return int(not ran or any(result.outcome in bad for result in results))


def busyness(load: float, processors: int) -> str | None:
    """What to say of a machine that is busier than deadlines bear, or None.

    Args:
        load: processes that ran or wanted to, on average over the last minute; see proc(5), loadavg.
        processors: how many there are.
    """
    if load <= BUSY_PER_PROCESSOR * processors:
        return None
    return (
        f"WARNING: this machine is busy: over the last minute {load:.1f} processes wanted its"
        f" {processors} processors. The suites will take some {load / processors + 1:.0f} times as long, and"
        " what waits for a program may give up."
    )


def announce(text: str) -> None:
    """Head what follows."""
    print(f"\n=== {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites named, or all, and give the exit code."""
    parser = argparse.ArgumentParser(prog="tools.suites", description="Run the test suites.")
    names = [suite.name for suite in SUITES]
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(names)}; default: all")
    chosen = parser.parse_args(arguments).suites
    if unknown := set(chosen) - set(names):
        parser.error(f"there is no suite {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    require_all = os.environ.get("REQUIRE_ALL") == "1"
    if warning := busyness(os.getloadavg()[0], os.cpu_count() or 1):
        print(warning, file=sys.stderr, flush=True)
    suites = [suite for suite in SUITES if not chosen or suite.name in chosen]
    results = run_all(suites, require_all=require_all)
    announce("summary")
    print("\n".join(summary(results, require_all=require_all)), flush=True)
    return exit_code(results, require_all=require_all)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
