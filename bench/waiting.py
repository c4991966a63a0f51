"""A thousand long polls, and a thousand streams: what they cost idle, and how fast a change is told.

``make bench-waiting`` (``CLIENTS=1000``, ``SECONDS=20``). One process holds all clients, so that the time to
the last one is that of this process too.
"""

import asyncio
import os
import statistics
import time
from dataclasses import dataclass, field

from bench.processes import answered, cpu_seconds, resident_mib
from bench.servers import Agent, Server, agent_of_many_rules, put_document, recorded, request_of

_WAITED = "/v1/loadbalancer"
_CHANGES = 3


@dataclass
class Clients:
    """Connections that wait for the same change."""

    server: Server
    headers: str = ""
    path: str = _WAITED
    end: bytes = b"}}"
    """What the news ends with."""
    connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def connect(self, count: int) -> None:
        """Open connections, and send on each what makes it wait."""
        self.connections = [
            await asyncio.open_connection("127.0.0.1", self.server.port) for _ in range(count)
        ]
        await self.ask()

    async def ask(self) -> None:
        """Send a request on each connection."""
        request = request_of(self.path, self.headers)
        for _, writer in self.connections:
            writer.write(request)
            await writer.drain()

    async def reported(self) -> list[float]:
        """When each of them has read the news."""
        return await asyncio.gather(*(self._told(reader) for reader, _ in self.connections))

    async def _told(self, reader: asyncio.StreamReader) -> float:
        await reader.readuntil(self.end)
        return time.perf_counter()

    async def close(self) -> None:
        """Close all."""
        for _, writer in self.connections:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in self.connections))


async def _settled(pid: int) -> None:
    """Wait until the process has nothing to do but what it does all the time."""
    used = cpu_seconds(pid)
    while True:
        await asyncio.sleep(1)
        before, used = used, cpu_seconds(pid)
        if used - before < 0.05:
            return


async def _idle(pid: int, seconds: float) -> float:
    """CPU time per second, in thousandths."""
    await _settled(pid)
    before = cpu_seconds(pid)
    await asyncio.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds * 1e3


@dataclass(frozen=True)
class Setup:
    """What is measured, and how."""

    agent: Agent
    count: int
    seconds: float

    async def measure(self, name: str, clients: Clients) -> None:
        """Let clients wait, change the data a few times, and print a row."""
        pid = self.agent.server.pid
        resident = resident_mib(pid)
        quiet = await _idle(pid, self.seconds)
        await clients.connect(self.count)
        if clients.path != _WAITED:
            await clients.reported()
        busy = await _idle(pid, self.seconds)
        grown = resident_mib(pid) - resident
        spreads = [await self._change(clients, 240 - number) for number in range(_CHANGES)]
        await clients.close()
        spread = statistics.median(spreads) * 1e3
        print(f"{name:<14}{quiet:>14.2f}{busy:>14.2f}{grown:>12.1f}{spread:>22.0f}", flush=True)

    async def _change(self, clients: Clients, rules: int) -> float:
        """Seconds from the first client that is told of a change to the last."""
        await asyncio.to_thread(put_document, self.agent.control, f"name: many-rules\nrules: {rules}")
        reported = await clients.reported()
        if clients.path == _WAITED:
            clients.headers = _waiting(clients.server)
            await clients.ask()
        await _settled(self.agent.server.pid)
        return max(reported) - min(reported)


def _waiting(server: Server) -> str:
    """The headers that make a request for what is known wait for a change."""
    return f"Prefer: wait=300\r\nIf-None-Match: {recorded(server, _WAITED).etag}\r\n"


async def _run(count: int, seconds: float) -> None:
    with agent_of_many_rules("--poll-interval", "1s", "--max-clients", str(count * 2)) as agent:
        server = agent.server
        await asyncio.to_thread(answered, server.url(_WAITED))
        print(f"{count} clients, 250 rules, one poll a second; idle for {seconds:g} s")
        print(f"{'':<14}{'CPU ms/s none':>14}{'with them':>14}{'MiB more':>12}{'first to last told ms':>22}")
        polling = Clients(server, headers=_waiting(server))
        streaming = Clients(server, path="/v1/events", end=b"}}\n\n")
        setup = Setup(agent, count, seconds)
        await setup.measure("long poll", polling)
        await setup.measure("events", streaming)


if __name__ == "__main__":
    asyncio.run(_run(int(os.environ.get("CLIENTS", "1000")), float(os.environ.get("SECONDS", "20"))))
