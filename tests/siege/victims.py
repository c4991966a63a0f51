"""What is attacked: agents in control groups of their own, and what becomes of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from tests.faults.support import prepared
from tests.siege.cgroup import MemoryGroup, memory_group
from tests.siege.crowd import Address
from tests.support.agent import AgentProcess, agent_with
from tests.support.program import Settings

LIMIT_BYTES = 160 * 2**20
"""The chart's memory limit."""

OPEN_FILES = 1024
"""The soft limit that containerd 2 gives a container; the hard one stays as it is here."""

PROBE_S = 5.0
"""How long the kubelet waits for `/livez`."""

UNSEEN_S = 20.0
"""An agent that does not answer for so long is as good as gone: the kubelet kills it after 40 s."""

_BETWEEN_PROBES_S = 0.25


class Victim:
    """One agent, or sidecar, under attack. Made by `victim`."""

    def __init__(self, name: str, agent: AgentProcess, group: MemoryGroup) -> None:
        self.name = name
        self.program = agent.program
        self.api = _address(agent.url)
        self.admin = _address(agent.admin_url)
        self.until_ready = agent.until_ready
        self.longest_unseen_s = 0.0
        """The longest that it did not answer `/livez`, probed every moment."""
        self._group = group
        self._livez = f"{agent.admin_url}/livez"

    async def watch(self) -> None:
        """Probe it as the kubelet does, but more often, until it has died."""
        seen = time.monotonic()
        while self.alive:
            answered = await self._probe()
            self.longest_unseen_s = max(self.longest_unseen_s, time.monotonic() - seen)
            if answered:
                seen = time.monotonic()
            await asyncio.sleep(_BETWEEN_PROBES_S)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.program.runs and not self._group.kills

    async def fault(self) -> str:
        """What is wrong with it now, in words; empty if nothing is."""
        answered = await self._probe()
        # Looked at afterwards: who dies is refused connections before the kernel counts it.
        if self._group.kills:
            return f"{self.name} was killed: it had no memory left"
        if not self.program.runs:
            return f"{self.name} ended with {await self.program.exit_code()}"
        if not answered:
            return f"{self.name} does not answer /livez within {PROBE_S:g} s"
        if self.longest_unseen_s > UNSEEN_S:
            return f"{self.name} did not answer /livez for {self.longest_unseen_s:.0f} s"
        return ""

    @property
    def peak(self) -> str:
        """The most memory it ever had resident, in words."""
        if not self.alive:
            return f"over {self._group.peak_mib:.0f} MiB"
        status = Path(f"/proc/{self.program.pid}/status").read_text()
        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        return f"{kib / 1024:.0f} MiB"

    async def _probe(self) -> bool:
        """Whether `/livez` says in time that all is well, on a connection of its own."""
        timeout = aiohttp.ClientTimeout(total=PROBE_S)
        try:
            async with aiohttp.request("GET", self._livez, timeout=timeout) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


@asynccontextmanager
async def victim(name: str, settings: Settings, directory: Path) -> AsyncIterator[Victim]:
    """An agent that listens, in a control group of its own, with a low soft limit of open files.

    Raises:
        NoMemoryGroupError: no such group can be made.
    """
    with memory_group(name.replace(" ", "-"), LIMIT_BYTES) as group:
        limited = (
            f"import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
            f"resource.setrlimit(resource.RLIMIT_NOFILE, (min({OPEN_FILES}, hard), hard))\n{group.joining}"
        )
        unhurried: Settings = {"poll_interval": "1s", "imds_timeout": "5s"}
        async with agent_with(directory, {**unhurried, **settings}, python=prepared(limited)) as agent:
            yield Victim(name, agent, group)


def _address(url: str) -> Address:
    parts = URL(url)
    assert parts.host is not None
    assert parts.port is not None
    return parts.host, parts.port
