"""The program itself, run to its end with a kubeconfig."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "run"]


@dataclass(frozen=True)
class Ended:
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
        env={"PATH": os.defpath, "HOME": str(kubeconfig.parent)},
    )
    out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())
