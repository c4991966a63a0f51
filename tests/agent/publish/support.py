"""An agent's state, a publisher and its frame, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from sidecar.agent.publish_loop import Publisher, PublishError, PublishLoop, PublishResult
from sidecar.core.document import Document
from sidecar.core.instant import Instant
from sidecar.core.outcome import Failure, Outcome, Reason, Success
from sidecar.core.state import Found, Snapshot, State, observe, restore
from sidecar.latest import Watch
from sidecar.runtime import Runtime
from tests.support.states import EPOCH, POLICY, later

_RESOLUTION = 1e-6
"""Seconds to which the virtual time of a loop is rounded."""

in_virtual_time = pytest.mark.looptime(start=EPOCH.mono)
"""The test begins at `EPOCH`, and hours of it pass at once."""


def now() -> float:
    """Seconds since `EPOCH`."""
    return asyncio.get_running_loop().time() - EPOCH.mono


def loop_clock() -> Instant:
    """The loop's time, and a wall clock that goes with it.

    A little later than the loop says, by what that rounds to: a timer is due when it fires, as it is where
    time goes on by itself.
    """
    return later(now() + _RESOLUTION)


def answer(document: Document) -> Success:
    """The answer that carries this document."""
    return Success(document=document, body=document.canonical)


def unavailable() -> Failure:
    """An attempt that failed."""
    return Failure(reason=Reason.UNAVAILABLE, detail="as scripted")


@dataclass
class Agent:
    """The state of an agent, and what its loops share."""

    random: Callable[[], float] = lambda: 0.5
    runtime: Runtime = field(init=False)
    latest: Watch[Snapshot] = field(init=False)
    found: list[Found] = field(default_factory=list)
    """What was restored."""

    def __post_init__(self) -> None:
        """Start with nothing known."""
        self.runtime = Runtime(clock=loop_clock, random=self.random)
        started = loop_clock()
        self.latest = Watch(Snapshot.of(State(started=started), started, POLICY))

    def see(self, outcome: Outcome) -> Snapshot:
        """The source was asked."""
        return self._set(observe(self.latest.value.state, outcome, loop_clock(), POLICY))

    def restore(self, found: Found) -> None:
        """An earlier run's data were found."""
        self.found.append(found)
        self._set(restore(self.latest.value.state, found, loop_clock(), POLICY))

    def _set(self, state: State) -> Snapshot:
        snapshot = Snapshot.of(state, loop_clock(), POLICY)
        self.latest.set(snapshot)
        return snapshot

    def loop(self, publisher: Publisher) -> PublishLoop:
        """The frame that drives a publisher."""
        return PublishLoop(publisher, self.latest, runtime=self.runtime)


@dataclass
class ScriptedPublisher:
    """A publisher that does as told, and remembers when it was asked to do what."""

    script: list[PublishResult | Exception] = field(default_factory=list)
    """Used up one per turn; then there is nothing to do."""
    duration: float = 0.0
    """Seconds that a turn takes."""
    turns: list[tuple[float, Snapshot]] = field(default_factory=list)
    name: str = "scripted"
    retry_within: float = 30.0

    async def turn(self, snapshot: Snapshot) -> PublishResult:
        """Do the next thing in the script."""
        self.turns.append((now(), snapshot))
        await asyncio.sleep(self.duration)
        outcome = self.script.pop(0) if self.script else PublishResult(wrote=False, next_at=None)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def times(self) -> list[float]:
        """When it was asked, in seconds since `EPOCH`."""
        return [round(at, 3) for at, _ in self.turns]


@asynccontextmanager
async def driven(loop: PublishLoop) -> AsyncIterator[asyncio.Task[None]]:
    """Let a frame run for the length of the block; it must not end by itself."""
    task = asyncio.create_task(loop.run())
    try:
        yield task
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


def count(agent: Agent, publisher: str, result: str) -> float:
    """How many turns of a publisher came to this."""
    labels = {"publisher": publisher, "result": result}
    return agent.runtime.metrics.registry.get_sample_value("azure_lb_metadata_publishes_total", labels) or 0


def failed(text: str = "no space left", *, retry_after: float | None = None) -> PublishError:
    """A failure for a script."""
    return PublishError(text, retry_after=retry_after)
