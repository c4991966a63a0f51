"""The program itself, run to its end: as a process with a kubeconfig, or in this process."""

import asyncio
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from sidecar import cli
from tests.support.program import clean_environment


class Ended(NamedTuple):
    """A command that has ended."""

    code: int | None
    out: str
    err: str

    def line(self, text: str) -> str:
        """The first line of a table that holds this text."""
        return next(line for line in self.out.splitlines() if text in line)


async def run(command: str, *arguments: str, kubeconfig: Path) -> Ended:
    """Run a command of the program."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", command, f"--kubeconfig={kubeconfig}", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment({"HOME": str(kubeconfig.parent)}),
    )
    out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


async def run_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Run it in a thread: a command has an event loop of its own, and the test's servers have this one."""
    code = await asyncio.to_thread(cli.run, [*arguments])
    captured = capsys.readouterr()
    return Ended(code, captured.out, captured.err)
