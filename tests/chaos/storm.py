"""The run: storms of faults from one seed, calms in which all must be well, and observers all the while."""

import asyncio
import json
import random
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp

from sidecar.simulator import serve
from tests.chaos.agents import Agents, Place
from tests.chaos.documents import Document, parsed
from tests.chaos.machine import Machine
from tests.chaos.relay import relaying
from tests.chaos.rules import Rules, Violation
from tests.chaos.worlds import FORGED_REVISION, Switch, Told, World

STORM_S = 6.0
CALM_S = 60.0
"""A calm ends as soon as all is well, which must be within this time."""

LOOK_EVERY_S = 0.03

DOCUMENTS: tuple[object, ...] = (
    "all",
    "public-ip",
    "inbound-only",
    "outbound-only",
    "outbound-several",
    "several-nics",
    "dual-stack",
    "floating-ip",
    "internal",
    "reordered",
    "duplicates",
    "unknown-keys",
    "none",
    "empty",
    {"name": "all", "omit": ["outboundRules"]},
    {"name": "all", "replace": {"publicIpAddresses": None}},
)
CALM_DOCUMENTS = ("all", "several-nics", "dual-stack", "outbound-several")

SERVICE_FAULTS = (
    "unavailable",
    "internal-error",
    "throttled",
    "gone",
    "api-not-found",
    "api-not-available",
    "not-currently-available",
    "unexpected-request",
    "xml",
    "forbidden",
    "redirect",
    "html",
    "empty",
    "not-json",
    "wrong-shape",
    "truncated",
    "huge-chunked",
    "slow",
    "slow-drip",
    "hang",
    "reset",
)


@dataclass
class Report:
    """What came of a run."""

    seed: int
    history: list[str] = field(default_factory=list)
    looks: int = 0
    """Answers of the HTTP API and sights of the Node that were judged."""
    faults: int = 0
    agents: int = 0
    calms: int = 0
    violation: str | None = None

    def text(self) -> str:
        """The report; with seed and history where the rules were broken."""
        summary = (
            f"seed {self.seed}: {self.faults} faults, {self.agents} agents, {self.calms} calms,"
            f" {self.looks} looks"
        )
        if self.violation is None:
            return f"{summary}, no violation"
        return "\n".join([*self.history, f"VIOLATION: {self.violation}", summary])


class Chaos:
    """One run over a world."""

    def __init__(
        self,
        seed: int,
        rules: Rules,
        world: World,
        *,
        place: Place,
        python: Sequence[str],
    ) -> None:
        self.report = Report(seed)
        self._rules = rules
        self._world = world
        self._place = place
        self._python = python
        self._started = time.monotonic()
        self._served: Document | None = None
        """What is served, while that is called fresh."""
        self._annotated: Document | None = None
        """What is annotated, while that is called fresh."""

    async def run(self, seconds: float) -> Report:
        """Storm and calm by turns for so many seconds, or to the first violation."""
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(serve(Told(self._rules)))
            assert isinstance(service.simulator, Told)
            self._service = service.simulator
            relay = await stack.enter_async_context(relaying(service.url))
            agents = Agents(self._rules, self._world, relay.url, place=self._place, python=self._python)
            self._agents = agents
            disk = self._place.disk if self._place.own_disk else None
            self._machine = Machine(relay, url=lambda: agents.url, disk=disk)
            stack.push_async_callback(agents.end)
            try:
                await self._rage(self._started + seconds)
            except* (Violation, AssertionError) as group:
                self.report.violation = f"{_first(group)}\nthe agent's log:\n{agents.log}"
        self.report.agents = agents.number
        return self.report

    async def _rage(self, end: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            observers = [tasks.create_task(self._watch_http()), tasks.create_task(self._watch_node())]
            await self._agents.start()
            await self._calm(0)
            number = 0
            while time.monotonic() < end:
                number += 1
                await self._storm(number, min(STORM_S, max(1.0, end - time.monotonic())))
                await self._calm(number)
            for observer in observers:
                observer.cancel()

    def _note(self, text: str) -> None:
        self.report.history.append(f"{time.monotonic() - self._started:8.3f}  {text}")

    # --- Faults. Each track has randomness of its own, so that the others' timing does not change it.

    def _random(self, number: int, track: str) -> random.Random:
        return random.Random(f"{self.report.seed}/{number}/{track}")

    async def _storm(self, number: int, seconds: float) -> None:
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            for track in (self._disturb_service, self._disturb_agent):
                tasks.create_task(track(self._random(number, track.__name__), end))
            for name, faults in (("world", self._world.faults), ("machine", self._machine.faults)):
                tasks.create_task(self._disturb_with(faults, self._random(number, name), end))

    async def _disturb_service(self, rng: random.Random, end: float) -> None:
        while time.monotonic() < end:
            document = rng.choice(DOCUMENTS)
            fault = rng.choice(SERVICE_FAULTS) if rng.random() < 0.5 else None
            self._disturb(f"service: {document}, fault {fault}")
            self._service.change({"document": document, "fault": fault})
            await asyncio.sleep(rng.uniform(0.03, rng.choice((0.3, 3.0))))

    async def _disturb_with(self, faults: Mapping[str, Switch], rng: random.Random, end: float) -> None:
        while time.monotonic() < end:
            name, switch = rng.choice(list(faults.items()))
            self._disturb(name)
            async with switch():
                await asyncio.sleep(rng.uniform(0.1, 1.5))
            self._note(f"over: {name}")
            await asyncio.sleep(rng.uniform(0, 1))

    async def _disturb_agent(self, rng: random.Random, end: float) -> None:
        while time.monotonic() < end:
            await asyncio.sleep(rng.uniform(0.2, 3))
            match rng.choice(("kill", "kill", "end", "suspend", "suspend")):
                case "suspend":
                    seconds = rng.uniform(0.1, 3)
                    self._disturb(f"agent is stopped for {seconds:.2f} s")
                    await self._agents.suspend(seconds)
                case how:
                    self._disturb(f"agent: {how}")
                    await self._agents.end(signal.SIGKILL if how == "kill" else signal.SIGTERM)
                    await self._agents.start()
                    self._note("agent is started")

    def _disturb(self, text: str) -> None:
        self.report.faults += 1
        self._note(text)

    # --- Calm

    async def _calm(self, number: int) -> None:
        """Nothing is wrong any more: HTTP, Node and file must soon say what the service says."""
        document = self._random(number, "calm").choice(CALM_DOCUMENTS)
        self._note(f"calm: {document}")
        self._service.change({"document": document, "fault": None})
        await self._world.mend()
        wire = self._service.document("127.0.0.1")
        assert isinstance(wire, dict)
        wanted = parsed(cast("dict[str, Any]", wire["loadbalancer"]))
        deadline = time.monotonic() + CALM_S
        while not (wanted == self._served == self._annotated == self._agents.in_file()):
            if time.monotonic() > deadline:
                raise Violation(f"not well {CALM_S:g} s after the last fault: {document}")
            await asyncio.sleep(LOOK_EVERY_S)
        self._rules.put_right()
        self.report.calms += 1
        self._note("all is well")

    # --- Observers

    async def _watch_http(self) -> None:
        """Judge every answer of the agent that runs now."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector()) as session:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                seen = await self._agents.look(session)
                self._served = None if seen is None else self._judged(*seen)
                self._agents.check_runs()

    def _judged(self, status: int, body: str, headers: Mapping[str, str]) -> Document | None:
        """Judge an answer, and give its document if that is called fresh."""
        self.report.looks += 1
        if status == 503:
            self._rules.unavailable(headers["Azure-LB-Metadata-Status"])
            return None
        if status != 200:
            raise Violation(f"HTTP {status}: {body}")
        self._rules.served(time.monotonic(), body, headers)
        reply = json.loads(body)
        return parsed(reply["loadbalancer"]) if reply["status"] == "ok" else None

    async def _watch_node(self) -> None:
        """Judge every sight of the Node."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            asked = time.monotonic()
            seen = await self._world.annotations()
            self._annotated = None
            if seen is None:
                continue
            self.report.looks += 1
            uid, annotations = seen
            self._rules.annotated(time.monotonic(), uid, annotations, asked=asked)
            if annotations.get("status") == "ok" and annotations.get("revision") != FORGED_REVISION:
                self._annotated = parsed(json.loads(annotations["loadbalancer"]))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
