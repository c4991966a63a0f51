"""What tests of examples share: facts to serve, programs of other languages, and where examples are."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.program import CHECKOUT
from tests.support.requirements import leave_out
from tests.support.states import body, pair
from tests.support.waiting import DEADLINE_S, until

EXAMPLES = CHECKOUT / "examples"
NODE = "aks-pool1-12345678-vmss000000"


def document(
    *public: str, inbound_rules: Sequence[dict[str, Any]] = (), outbound: Sequence[str] = ()
) -> dict[str, str]:
    """A document for the simulator, with these addresses."""
    pairs = [pair(address) for address in public]
    raw = body(public=pairs, inbound_rules=inbound_rules, outbound=[pair(address) for address in outbound])
    return {"raw": raw.decode()}


def program_or_skip(name: str) -> str:
    """The path of a program that not every machine has; with ``REQUIRE_ALL=1`` it must be there."""
    path = shutil.which(name)
    if path is None:
        leave_out(f"there is no {name} on PATH")
    return path


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a container has: no proxies, no settings; and where Go keeps what it has compiled."""
    kept = {name: os.environ[name] for name in ("HOME", "GOCACHE") if name in os.environ}
    return {
        "PATH": os.environ["PATH"],
        "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local",
        **kept,
        **(extra or {}),
    }


class Running:
    """A program that runs, in a process group of its own, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process, place: Path) -> None:
        self.process = process
        self._place = place

    @property
    def output(self) -> str:
        """What it wrote to standard output so far."""
        return (self._place / "output").read_text()

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far."""
        return (self._place / "errors").read_text()

    async def until_said(self, *lines: str) -> None:
        """Wait until these lines, and no others, are what it wrote to standard output."""

        async def said() -> list[str]:
            assert self.process.returncode is None, self.errors
            return self.output.splitlines()

        await until(said, lambda said: said == list(lines))

    async def until_mentioned(self, text: str) -> None:
        """Wait until it has written this to standard output."""

        async def output() -> str:
            assert self.process.returncode is None, self.errors
            return self.output

        await until(output, lambda output: text in output)

    async def end(self) -> None:
        """End it and all that it started."""
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def running(
    *command: str, directory: Path, extra: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """A program for the length of the block; it may end before."""
    place = Path(tempfile.mkdtemp(dir=directory, prefix="program-"))
    with (place / "output").open("wb") as output, (place / "errors").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=place,
            env=environment(extra),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
    program = Running(process, place)
    try:
        yield program
    finally:
        await program.end()
        print(f"--- {' '.join(command)}\n{program.output}--- errors:\n{program.errors}")


async def said_by(
    *command: str,
    directory: Path,
    extra: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> tuple[int | None, str, str]:
    """Run a program to its end, which comes within `deadline_s` seconds: its exit code, output and errors."""
    async with running(*command, directory=directory, extra=extra) as program:
        async with asyncio.timeout(deadline_s):
            await program.process.wait()
        return program.process.returncode, program.output, program.errors
