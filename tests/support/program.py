"""Our commands as processes of their own, as users run them, and what they write."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.waiting import DEADLINE_S, until

CHECKOUT = Path(__file__).resolve().parents[2]

NOWHERE = "http://127.0.0.1:9"
"""Refuses: a test that forgets to say where its metadata service is must not ask a real one."""

PYTHON = ("-m", "sidecar")
"""What the interpreter is told to run, where nothing has to be prepared."""

Settings = Mapping[str, str | bool | None]
"""By name as in Python: a value, ``True`` or ``False`` for a switch, ``None`` for the agent's own default."""


def flags(settings: Settings) -> list[str]:
    """Command line flags: ``True`` is a bare flag, ``False`` its ``--no-`` form, ``None`` left out."""
    arguments: list[str] = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        match value:
            case None:
                continue
            case True:
                arguments.append(f"--{flag}")
            case False:
                arguments.append(f"--no-{flag}")
            case str():
                arguments.append(f"--{flag}={value}")
    return arguments


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment that says nothing of clusters, proxies or settings, but for `extra`."""
    base = {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "AZURE_LB_METADATA_IMDS_ENDPOINT": NOWHERE,
        # As in the chart: no authorities of the public, whose loading makes every start slower.
        "SSL_CERT_FILE": os.devnull,
        # What `make coverage` sets.
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
    }
    return {**base, **(extra or {})}


class Program:
    """A command of ours that runs as a process. Made by `program_running`."""

    def __init__(self, process: asyncio.subprocess.Process, *, output: Path, log: Path) -> None:
        self._process = process
        self._output = output
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it wrote to standard output so far."""
        return self._output.read_text()

    @property
    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self._log.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log so far, which must be one JSON object per line; a line under way is left out."""
        whole, _, _ = self.log.rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        assert all(isinstance(line, dict) for line in lines), whole
        return lines

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event so far."""
        return [line for line in self.lines if line["event"] == event]

    async def event(self, event: str, *, number: int = 1, **fields: object) -> dict[str, Any]:
        """Wait for the n-th log line of an event with these fields, and give it."""

        async def lines() -> list[dict[str, Any]]:
            assert self.runs or self.events(event), f"ended with {self._process.returncode}\n{self.log}"
            return [line for line in self.events(event) if fields.items() <= line.items()]

        return (await until(lines, lambda lines: len(lines) >= number))[number - 1]

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def exit_code(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end, and give the exit code; of a signal's the negative number.

        Raises:
            AssertionError: it still runs after `deadline_s` seconds.
        """
        try:
            async with asyncio.timeout(deadline_s):
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"still runs after {deadline_s:g} s\n{self.log}") from None

    async def end(self) -> None:
        """End it at once, if it still runs: by a second signal, or by SIGKILL when that does not help."""
        for number in (signal.SIGTERM, signal.SIGINT):
            if self.runs:
                self.signal(number)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def program_running(
    *arguments: str,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    python: Sequence[str] = PYTHON,
    within: Sequence[str] = (),
) -> AsyncIterator[Program]:
    """A command, such as ``run`` with its flags, for the length of the block; it may end before.

    `directory` takes its output and log, which a failing test shows. Its environment is clean but for
    `environment`. `python` is what the interpreter is told to run. `within` is a command that becomes the
    one it is given, such as ``nsenter`` with its flags.
    """
    place = Path(tempfile.mkdtemp(dir=directory, prefix=f"{arguments[0]}-"))
    output, log = place / "output", place / "log"
    with output.open("wb") as output_file, log.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            *within,
            sys.executable,
            *python,
            *arguments,
            cwd=CHECKOUT,
            env=clean_environment(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output_file,
            stderr=log_file,
        )
    program = Program(process, output=output, log=log)
    try:
        yield program
    finally:
        await program.end()
        print(f"--- {arguments[0]} ended with {process.returncode} and logged:\n{program.log}")
