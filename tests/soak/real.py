"""Thousands of polls in real time: a whole agent over real sockets, with faults and with clients."""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from sidecar.agent import Agent, Listening
from sidecar.config import load_variables
from sidecar.simulator import Serving, Simulator, parse_scenario, serve
from tests.soak.resources import UNDER_WAY, Resources, check_growth, held
from tests.support.fake_apiserver import FakeApiServer, Reply, fake_api_server
from tests.support.waiting import until

_NODE = "aks-nodepool1-12345678-vmss000000"
_DOCUMENTS = ("public-ip", "all", "none", "many-rules", "bad-entries", "reordered")
_FAULTS = (
    "unavailable",
    "throttled",
    "reset",
    "truncated",
    "empty",
    "html",
    "huge",
    "hang",
    "gone",
    "redirect",
)
_ROUND = 50
"""Polls between two changes of the document, two faults, and two crowds of clients."""


@dataclass(frozen=True)
class Served:
    """What was done, and what the process held after the warm-up and at the end."""

    polls: int
    requests: int
    warm: Resources
    end: Resources


@dataclass
class _World:
    """An agent, what it talks to, and who talks to it."""

    service: Serving
    kubernetes: FakeApiServer
    url: str
    chance: random.Random
    requests: int = 0

    async def round(self) -> None:
        """One fault or another document, then a crowd of clients, until so many polls have been."""
        simulator = self.service.simulator
        simulator.set_document(self.chance.choice(_DOCUMENTS))
        if self.chance.random() < 0.7:
            simulator.set_fault(self.chance.choice(_FAULTS))
        self.kubernetes.requests.clear()
        if self.chance.random() < 0.2:
            self.kubernetes.script.append(Reply(status=self.chance.choice((409, 429, 500, 503))))
        await self._crowd()
        simulator.clear_fault()
        await simulator.counters.reached(simulator.counters.requests + _ROUND)

    async def _crowd(self) -> None:
        like_no_other = f"/v1/inbound-rules?frontendPort={self.requests}"
        targets = ("/v1/loadbalancer", "/v1/public-ip", "/v1/nothing", "/", "/v1/events", like_no_other)
        waiting = {"Prefer": "wait=60", "If-None-Match": "*"}
        async with aiohttp.ClientSession(self.url) as session, asyncio.TaskGroup() as clients:
            for target in targets:
                clients.create_task(self._ask(session, target))
            clients.create_task(self._ask(session, "/v1/public-ips", **waiting))
            clients.create_task(self._hang_up())

    async def _ask(self, session: aiohttp.ClientSession, target: str, **headers: str) -> None:
        """Ask, and go away when the answer takes long, as it does of streams and waits."""
        self.requests += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1), session.get(target, headers=headers) as response:
                await response.read()

    async def _hang_up(self) -> None:
        """Connect, send half a request, and go away."""
        host, port = self.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v1/load")
        await writer.drain()
        writer.transport.abort()


def soak(polls: int, *, seed: int, directory: Path) -> Served:
    """Let an agent poll that often, and compare what is held after the warm-up and at the end.

    Raises:
        GrowthError: something grew.
    """
    with asyncio.Runner() as runner:
        served = runner.run(_soak(polls, random.Random(seed), directory))
    check_growth(served.warm, served.end)
    return served


async def _soak(polls: int, chance: random.Random, directory: Path) -> Served:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(serve(Simulator(parse_scenario("rateLimit: false"))))
        kubernetes = await stack.enter_async_context(fake_api_server())
        kubernetes.add_node(_NODE)
        agent = Agent(load_variables(**_settings(service, kubernetes, directory)))
        listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(agent.run(on_listening=listening.set_result))
        (address,) = (await listening).api
        assert isinstance(address, tuple)
        world = _World(service, kubernetes, "http://{}:{}".format(*address), chance)
        warm = await _after(polls // 2, world)
        end = await _after(polls, world)
        agent.stopping.request()
        agent.stopping.request()
        await running
    return Served(service.simulator.counters.requests, world.requests, warm, end)


def _settings(service: Serving, kubernetes: FakeApiServer, directory: Path) -> dict[str, object]:
    return {
        "imds_endpoint": service.url,
        "kubeconfig": kubernetes.kubeconfig(directory / "kubeconfig"),
        "node_name": _NODE,
        "file": str(directory / "loadbalancer.json"),
        "listen": "127.0.0.1:0",
        "admin_listen": "127.0.0.1:0",
        "poll_interval": "4ms",
        "imds_timeout": "50ms",
        "stale_after": "100ms",
        "absent_after": "50ms",
        "write_splay": "20ms",
        "resync_interval": "200ms",
        "heartbeat_interval": "0",
    }


async def _after(polls: int, world: _World) -> Resources:
    """What is held after so many polls, once its clients have gone; always of the same document."""
    counters = world.service.simulator.counters
    await counters.reached(_ROUND)
    idle = len(asyncio.all_tasks())
    while counters.requests < polls:
        await world.round()
    world.service.simulator.set_document("all")
    await counters.reached(counters.requests + _ROUND)
    await until(_tasks, lambda number: number <= idle + UNDER_WAY)
    return await held()


async def _tasks() -> int:
    return len(asyncio.all_tasks())
