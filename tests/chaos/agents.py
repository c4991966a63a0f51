"""The agent under chaos: one process after the other, killed, ended, stopped and started."""

import asyncio
import json
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.documents import Document, parsed
from tests.chaos.rules import Durations, Rules
from tests.chaos.worlds import World
from tests.support.program import Program, flags, program_running

DURATIONS = Durations(stale_after=2.0, absent_after=1.0, write_splay=0.8)

SETTINGS = {
    "listen": "127.0.0.1:0",
    "admin_listen": "none",
    "poll_interval": "50ms",
    "imds_timeout": "500ms",
    "stale_after": f"{DURATIONS.stale_after}s",
    "absent_after": f"{DURATIONS.absent_after}s",
    "write_splay": f"{DURATIONS.write_splay}s",
    "resync_interval": "1s",
    "heartbeat_interval": "1s",
    "log_format": "json",
}
"""Minutes in real life are parts of a second here."""

LOOK_S = 5.0
"""How long one answer of the HTTP API may take; a stopped process gives none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the agents of one run keep what they have."""

    directory: Path
    own_disk: bool = False
    """Whether `disk` is a small disk of its own."""

    @property
    def disk(self) -> Path:
        """The folder of their file."""
        return self.directory / "disk"


class Agents:
    """The process that runs now; `number` says the how manieth it is."""

    def __init__(
        self, rules: Rules, world: World, service_url: str, *, place: Place, python: Sequence[str]
    ) -> None:
        self.number = 0
        self._rules = rules
        self._world = world
        self._service_url = service_url
        self._directory = place.directory
        self._python = python
        self._file = place.disk / "document"
        self._stack = AsyncExitStack()
        self._program: Program | None = None
        self._url = ""

    async def start(self) -> None:
        """Start a process and wait until it listens."""
        arguments = flags(
            {
                **SETTINGS,
                "imds_endpoint": self._service_url,
                "node_name": self._world.node,
                "kubeconfig": str(self._world.kubeconfig),
                "file": str(self._file),
            }
        )
        node = await self._world.annotations()
        self._rules.started(
            time.monotonic(),
            file=self.in_file(),
            node=None if node is None else _document(node[1]),
            node_seen=node is not None,
        )
        self._program = await self._stack.enter_async_context(
            program_running("run", *arguments, directory=self._directory, python=self._python)
        )
        self.number += 1
        self._url = f"http://{(await self._program.event('started'))['listen']}/v1/loadbalancer"

    def in_file(self) -> Document | None:
        """What is in its file, where the next process will find it."""
        try:
            return parsed(json.loads(self._file.read_bytes())["loadbalancer"])
        except FileNotFoundError:
            return None

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the process: by SIGKILL in the middle of whatever it does, or in order."""
        self._url = ""
        if self._program is not None:
            if self._program.runs:
                self._program.signal(number)
            await self._stack.aclose()

    async def suspend(self, seconds: float) -> None:
        """Stop the process for so long."""
        assert self._program is not None
        # Told first: what is seen while it is stopped is judged by it.
        self._rules.suspended(seconds + 1)
        self._program.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._program.signal(signal.SIGCONT)

    @property
    def url(self) -> str:
        """Of the HTTP API of the process that runs now; empty when there is none."""
        return self._url.removesuffix("/v1/loadbalancer")

    def check_runs(self) -> None:
        """See that the process is alive where nobody ended it.

        Raises:
            AssertionError: it has ended; the text is its log.
        """
        assert self._program is not None
        assert not self._url or self._program.runs, self._program.log

    @property
    def log(self) -> str:
        """The last lines of its log."""
        return "" if self._program is None else "\n".join(self._program.log.splitlines()[-40:])

    async def look(self, session: aiohttp.ClientSession) -> tuple[int, str, Mapping[str, Any]] | None:
        """Status, body and headers of ``/v1/loadbalancer``; None when this process gave none."""
        number, url = self.number, self._url
        if not url:
            return None
        try:
            async with asyncio.timeout(LOOK_S), session.get(url) as response:
                body = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return None
        return (response.status, body, response.headers) if number == self.number and self._url else None


def _document(annotations: Mapping[str, str]) -> Document | None:
    """What a process will find in these annotations, if it is anything."""
    try:
        return parsed(json.loads(annotations["loadbalancer"]))
    except (KeyError, ValueError):
        return None
