"""One agent of the fleet: its state, the product's publisher and frame, and a connection of its own."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from bench.fleet.pace import Pace
from bench.fleet.population import Identity
from sidecar import clock
from sidecar.agent.publish_loop import PublishLoop
from sidecar.agent.publish_node import NodePublisher
from sidecar.core.instant import Instant
from sidecar.core.outcome import Outcome
from sidecar.core.state import Found, Snapshot, State, observe, restore
from sidecar.kube import KubernetesError, NodeClient, NodeMetadata, connect
from sidecar.latest import Watch
from sidecar.metrics import Metrics
from sidecar.runtime import Runtime

_FIRST_DRAWS = 4
"""Random numbers that an agent draws until its first reading and its first write are noted."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of an agent."""

    at: float
    """Time of the event loop at which it ended."""
    method: Literal["get", "apply", "remove"]
    failure: str
    """The kind of error, empty for a success."""
    bytes: int
    """Of our annotations as they were sent."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What our annotations say that does not change with time."""

    revision: str
    status: str

    @classmethod
    def of(cls, annotations: Mapping[str, str]) -> "Settled":
        """As it stands on a Node."""
        key = "azure-lb-metadata.io/"
        return cls(annotations.get(f"{key}revision", ""), annotations.get(f"{key}status", ""))


@dataclass(slots=True)
class _Counting:
    """The calls of the API server, counted, with what the Node was last seen to say."""

    client: NodeClient
    calls: list[Call]
    seen: Settled = Settled("", "")
    seen_at: float = 0.0

    async def get(self, name: str, *, cached: bool) -> NodeMetadata:
        """Read a Node's metadata."""
        with self._counted("get"):
            node = await self.client.get(name, cached=cached)
        self._saw(node.annotations)
        return node

    async def apply(
        self, name: str, *, uid: str, annotations: Mapping[str, str], field_manager: str
    ) -> NodeMetadata:
        """Apply annotations."""
        size = sum(map(len, (*annotations, *annotations.values())))
        with self._counted("apply", size):
            node = await self.client.apply(
                name, uid=uid, annotations=annotations, field_manager=field_manager
            )
        self._saw(node.annotations)
        return node

    async def remove(self, name: str, *, uid: str, keys: Iterable[str], field_manager: str) -> NodeMetadata:
        """Remove annotations."""
        with self._counted("remove"):
            node = await self.client.remove(name, uid=uid, keys=keys, field_manager=field_manager)
        self._saw(node.annotations)
        return node

    @contextmanager
    def _counted(self, method: Literal["get", "apply", "remove"], size: int = 0) -> Iterator[None]:
        failure = ""
        try:
            yield
        except KubernetesError as error:
            failure = type(error).__name__
            raise
        finally:
            self.calls.append(Call(_time(), method, failure, size))

    def _saw(self, annotations: Mapping[str, str]) -> None:
        seen = Settled.of(annotations)
        if seen != self.seen:
            self.seen, self.seen_at = seen, _time()


@dataclass(slots=True)
class Agent:
    """An agent without a poller: it is told what the metadata service said."""

    identity: Identity
    pace: Pace
    calls: list[Call]
    """Where its requests are counted, with those of all others."""
    metrics: Metrics
    """Shared by all, since nobody reads them."""
    annotate: Literal["full", "summary"] = "full"
    aged: bool = False
    """Whether it is somewhere within its intervals, as one that started long ago."""
    phase: float = field(default_factory=random.random)
    """Where in each poll interval it polls, from 0 to 1."""
    _latest: Watch[Snapshot] = field(init=False)
    _nodes: _Counting | None = None
    _resources: AsyncExitStack = field(default_factory=AsyncExitStack)
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and begin to publish."""
        runtime = Runtime(random=_aged_draws() if self.aged else random.random, metrics=self.metrics)
        now = runtime.clock()
        self._latest = Watch(Snapshot.of(State(started=now), now, self.pace.policy))
        client = await self._resources.enter_async_context(
            connect(metrics=self.metrics, service_account=self.identity.directory)
        )
        self._nodes = _Counting(client, self.calls)
        schedule = self.pace.schedule(staleness_jitter=random.random(), annotate=self.annotate)  # noqa: S311 - no secret
        publisher = NodePublisher(
            self._nodes, self.identity.node, schedule=schedule, on_found=self._restore, runtime=runtime
        )
        self._task = asyncio.create_task(PublishLoop(publisher, self._latest, runtime=runtime).run())

    async def stop(self) -> None:
        """End as a pod does: without a word to the API server."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, KubernetesError):
                await self._task
        await self._resources.aclose()

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._task is not None and not self._task.done()

    @property
    def seen(self) -> Settled:
        """What its Node says, as far as it knows."""
        return self._nodes.seen if self._nodes is not None else Settled("", "")

    @property
    def seen_at(self) -> float:
        """Since when."""
        return self._nodes.seen_at if self._nodes is not None else 0.0

    async def next_poll(self, interval: float) -> None:
        """Wait until it asks the metadata service again, which it does once in each interval."""
        await asyncio.sleep((self.phase * interval - _time()) % interval)

    def see(self, outcome: Outcome) -> None:
        """The metadata service was asked."""
        now = clock.now()
        self._set(observe(self._latest.value.state, outcome, now, self.pace.policy), now)

    def _restore(self, found: Found) -> None:
        now = clock.now()
        self._set(restore(self._latest.value.state, found, now, self.pace.policy), now)

    def _set(self, state: State, now: Instant) -> None:
        self._latest.set(Snapshot.of(state, now, self.pace.policy))


def _aged_draws() -> Callable[[], float]:
    """Random numbers, the first of which put an agent at a random point of its intervals.

    An interval is drawn as 0.8 to 1.2 of itself by a number from 0 to 1; for 0 to 1 of itself that
    number has to lie from -2 to 0.5.
    """
    first = iter([random.uniform(-2, 0.5)] * _FIRST_DRAWS)  # noqa: S311 - no secret
    return lambda: next(first, None) or random.random()  # noqa: S311 - no secret


def _time() -> float:
    return asyncio.get_running_loop().time()
