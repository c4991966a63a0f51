"""All agents: started, stopped, and told what the metadata service says."""

import asyncio
import functools
import os
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from bench.fleet.agents import Agent, Call, Settled
from bench.fleet.pace import Pace
from bench.fleet.population import Identity
from bench.nodes import each
from sidecar.core.document import Document
from sidecar.core.outcome import Failure, Outcome, Reason, Success
from sidecar.metrics import Metrics
from tests.support.fleet import document

_POLL_INTERVAL = 10.0
"""Seconds within which every agent notices a change: the default of ``--poll-interval``."""

REFRESH = 60.0
"""Seconds between two answers without news: polls in between would cost the API server nothing."""


@dataclass(frozen=True, slots=True)
class World:
    """What the metadata service says; the same to all nodes, so that it is worked out once."""

    services: int = 10
    """Each has its own frontend, and rules for ports 80 and 443."""
    egress: str = "52.1.1.1"
    reachable: bool = True

    @property
    def another_egress(self) -> str:
        """An outbound address that it does not tell of."""
        return "52.2.2.2" if self.egress != "52.2.2.2" else "52.1.1.1"

    def outcome(self) -> Outcome:
        """What each node is told."""
        if not self.reachable:
            return Failure(reason=Reason.UNREACHABLE, detail="connection refused")
        reported = _document(self)
        return Success(document=reported, body=reported.canonical)

    def in_sync(self, *, stale: bool = False) -> Settled:
        """What each Node should say then."""
        return Settled(_document(self).revision, "stale" if stale else "ok")


@functools.cache
def _document(world: World) -> Document:
    frontends = [f"20.20.{each}.20" for each in range(world.services)]
    inbound = [(frontend, port) for frontend in frontends for port in (80, 443)]
    return document(inbound=inbound, outbound=[world.egress])


@dataclass(slots=True)
class Fleet:
    """The agents of all Nodes."""

    identities: Sequence[Identity]
    background: asyncio.TaskGroup
    """Where agents are told what the metadata service says."""
    world: World = World()
    pace: Pace = field(default_factory=Pace)
    calls: list[Call] = field(default_factory=list)
    """Every request of all agents."""
    agents: list[Agent] = field(default_factory=list)
    _metrics: Metrics = field(default_factory=Metrics)
    _telling: set[asyncio.Task[None]] = field(default_factory=set)
    _unaware: set[int] = field(default_factory=set)
    """Numbers of those that have not polled since the last change."""

    async def start(
        self, pace: Pace, *, over: float, annotate: Literal["full", "summary"] = "full", aged: bool = False
    ) -> None:
        """Start all agents, evenly over so many seconds; each has its first answer at once."""
        self.pace = pace
        began = asyncio.get_running_loop().time()
        for index, identity in enumerate(self.identities):
            await self._until(began + over * index / len(self.identities))
            agent = Agent(identity, pace, self.calls, self._metrics, annotate=annotate, aged=aged)
            await agent.start()
            agent.see(self.world.outcome())
            self.agents.append(agent)
            self._in_background(self._refresh(agent))

    async def stop(self) -> None:
        """End all agents."""
        for task in self._telling:
            task.cancel()
        self._telling.clear()
        self._unaware.clear()

        async def stop(index: int) -> None:
            await self.agents[index].stop()

        await each(range(len(self.agents)), stop)
        self.agents.clear()

    async def restart(self, *, over: float) -> None:
        """End and start agent after agent, evenly over so many seconds."""
        began = asyncio.get_running_loop().time()
        for index, old in enumerate(self.agents):
            await self._until(began + over * index / len(self.agents))
            await old.stop()
            new = Agent(old.identity, self.pace, self.calls, self._metrics)
            await new.start()
            new.see(self.world.outcome())
            self.agents[index] = new
            self._in_background(self._refresh(new))

    def change(self, **news: object) -> None:
        """The metadata service says something else; every agent notices at its next poll."""
        before, self.world = self.world, replace(self.world, **news)  # type: ignore[arg-type]
        for agent in self.agents:
            if agent.identity.number not in self._unaware:
                self._unaware.add(agent.identity.number)
                self._in_background(self._notice(agent, before))

    async def right(self, *, within: float, stale: bool = False) -> list[float]:
        """Wait until every Node says what it should, or so many seconds at most.

        Returns:
            When each of those that do began to, in order.
        """
        deadline = asyncio.get_running_loop().time() + within
        wanted = self.world.in_sync(stale=stale)

        def done(agent: Agent) -> bool:
            return agent.seen == wanted

        while not all(map(done, self.agents)) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - thousands of them
            await asyncio.sleep(0.2)
        return sorted(agent.seen_at for agent in self.agents if done(agent))

    async def _notice(self, agent: Agent, before: World) -> None:
        await agent.next_poll(self.pace.seconds(_POLL_INTERVAL))
        self._unaware.discard(agent.identity.number)
        if before.reachable and not self.world.reachable:
            # The answers without news that were left out: its data are as old as its last poll.
            agent.see(before.outcome())
        agent.see(self.world.outcome())

    async def _refresh(self, agent: Agent) -> None:
        """Go on telling it the same, so that its data do not grow stale."""
        await asyncio.sleep(random.random() * self.pace.seconds(REFRESH))  # noqa: S311 - no secret
        while agent.running:
            if self.world.reachable and agent.identity.number not in self._unaware:
                agent.see(self.world.outcome())
            await asyncio.sleep(self.pace.seconds(REFRESH))

    async def _until(self, at: float) -> None:
        delay = at - asyncio.get_running_loop().time()
        if delay > 0:
            await asyncio.sleep(delay)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = self.background.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


def point_to(url: str) -> None:
    """Let the agents of this process find the API server as pods do."""
    address = urlsplit(url)
    os.environ["KUBERNETES_SERVICE_HOST"] = str(address.hostname)
    os.environ["KUBERNETES_SERVICE_PORT"] = str(address.port)
