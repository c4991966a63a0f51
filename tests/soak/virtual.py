"""Days of polls in virtual time: poller, representations and both publishers, with faults everywhere."""

import asyncio
import random
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from looptime import new_event_loop

from sidecar.agent.poller import Poller
from sidecar.agent.publish_file import FilePublisher
from sidecar.agent.publish_loop import Publisher, PublishLoop
from sidecar.agent.publish_node import NodePublisher
from sidecar.api.endpoints import parse
from sidecar.api.problems import ProblemError
from sidecar.api.request import RawRequest
from sidecar.api.response import Responses
from sidecar.core.annotations import Layout
from sidecar.core.instant import Instant
from sidecar.core.outcome import NONE, Failure, Outcome, Reason
from sidecar.core.reply import interpret
from sidecar.core.state import Snapshot, State
from sidecar.core.writes import Schedule
from sidecar.kube import NodeMetadata
from sidecar.latest import Watch
from sidecar.runtime import Runtime
from tests.soak.resources import Resources, check_growth, held
from tests.support.fake_nodes import FakeNodes, rejected, throttled, unavailable
from tests.support.fakes import virtual_now
from tests.support.states import POLICY, body, inbound, pair
from tests.support.waiting import DEADLINE_S

NODE = "aks-nodepool1-12345678-vmss000000"
WARM_UP = 0.2
"""Part of the polls after which everything that is bounded is full: caches, history, allocators."""

_WAITERS = 8

_TARGETS = (
    *("/v1/loadbalancer", "/v1/public-ip", "/v1/inbound-rules?protocol=tcp", "/v1/history", "/v1/raw"),
    *("/metadata/loadbalancer?api-version=2020-10-01", "/v1/nothing", "/v1/private-ips/10.240.0.4"),
)


@dataclass
class Soaked:
    """What was done, and what the process held after the warm-up and at the end."""

    polls: int = 0
    failures: int = 0
    revisions: int = 0
    applies: int = 0
    answers: int = 0
    days: float = 0.0
    warm: Resources | None = None
    end: Resources | None = None

    def judge(self) -> None:
        """Compare both.

        Raises:
            GrowthError: something grew.
        """
        assert self.warm is not None
        assert self.end is not None
        check_growth(self.warm, self.end)


@dataclass
class _Source:
    """A metadata service that changes its mind, fails for a while, and says "none" now and then."""

    chance: random.Random
    soaked: Soaked
    longest_wait: float = 0.0
    _last: Outcome = NONE
    _fault: int = 0
    """Attempts that still fail."""

    async def fetch(self) -> Outcome:
        """The next outcome, after a moment."""
        await asyncio.sleep(0.01)
        self.soaked.polls += 1
        if self._fault == 0 and self.chance.random() < 0.01:
            self._fault = self.chance.choice((1, 1, 3, 40))
        if self._fault:
            self._fault -= 1
            self.soaked.failures += 1
            reason = self.chance.choice([reason for reason in Reason if reason is not Reason.NO_METADATA])
            return Failure(reason, detail=f"fault {self.chance.random()}", retry_after=None)
        if isinstance(self._last, Failure) or self.chance.random() < 0.1:
            self._last = self._next()
        return self._last

    def _next(self) -> Outcome:
        if self.chance.random() < 0.1:
            return NONE
        chance = self.chance
        wrong = [{"protocol": chance.random()}] if chance.random() < 0.2 else []
        ports = range(1, chance.randint(2, 12))
        return interpret(
            200,
            body(
                public=[pair(self._address())] if chance.random() < 0.7 else [],
                inbound_rules=[*wrong, *(inbound(self._address(), port, 30000 + port) for port in ports)],
                outbound=[pair(self._address()) for _ in range(chance.randint(0, 3))],
            ),
        )

    def _address(self) -> str:
        return f"20.{self.chance.randrange(256)}.{self.chance.randrange(256)}.{self.chance.randrange(256)}"

    async def close(self) -> None:
        """Nothing is open."""


class _Nodes(FakeNodes):
    """An API server in trouble, which remembers no calls: that would grow."""

    def __init__(self, chance: random.Random, soaked: Soaked) -> None:
        super().__init__()
        self._chance = chance
        self._soaked = soaked
        self.add(NODE)

    async def apply(
        self, name: str, *, uid: str, annotations: Mapping[str, str], field_manager: str
    ) -> NodeMetadata:
        """Apply, fail, or find another Node of the same name."""
        self.calls.clear()
        self._soaked.applies += 1
        if self._chance.random() < 0.1:
            self.failures.append(self._chance.choice((unavailable(), throttled(20), rejected())))
        if self._chance.random() < 0.02:
            self.add(name)
        return await super().apply(name, uid=uid, annotations=annotations, field_manager=field_manager)


@dataclass
class _Readers:
    """Clients of the HTTP API: what requests and waiters do with every snapshot, without the network."""

    latest: Watch[Snapshot]
    runtime: Runtime
    soaked: Soaked
    responses: Responses = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        self.responses = Responses(node_name=NODE, node_address=None, snapshot=self.latest.value)
        self.latest.subscribe(self.follow)

    def follow(self, snapshot: Snapshot) -> None:
        """Answer some requests, of which one is like no other before."""
        before = self.responses.snapshot
        self.responses.refresh(snapshot)
        if snapshot.state.document is not before.state.document:
            self.soaked.revisions += 1
        self._number += 1
        for target in (*_TARGETS, f"/v1/reachable?protocol=tcp&port={self._number % 65536}"):
            raw = RawRequest("GET", target, "", metadata=True, forwarded=False)
            try:
                self.responses.prepare(raw, parse(raw, node_name=NODE))
            except ProblemError:
                continue
            self.soaked.answers += 1

    async def wait(self) -> None:
        """Wait for changes as a long poll does, and give up half of the time."""
        while True:
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await self.latest.changed(self.latest.value)
            except TimeoutError:
                continue


def soak(polls: int, *, seed: int) -> Soaked:
    """Let that many polls happen, and compare what is held after the warm-up and at the end.

    Raises:
        GrowthError: something grew.
    """
    # Not `asyncio.Runner`, whose time limit for the end of threads passes at once where time is virtual.
    with closing(new_event_loop(start=1000.0, noop_cycles=2)) as loop:
        soaked = loop.run_until_complete(_soak(polls, random.Random(seed)))
        loop.run_until_complete(loop.shutdown_default_executor())
    soaked.judge()
    return soaked


def _now() -> Instant:
    """The loop's time, a little ahead of its timers.

    Those may fire a nanosecond early, and who then waits again for the same moment would do so for ever
    in a time that passes only where nobody has anything to do.
    """
    now = virtual_now()
    return replace(now, mono=now.mono + 2e-6)


async def _soak(polls: int, chance: random.Random) -> Soaked:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    soaked = Soaked()
    runtime = Runtime(clock=_now, random=chance.random)
    started = _now()
    latest = Watch(Snapshot.of(State(started=started), started, POLICY))
    runtime.metrics.watch(latest, runtime.clock)
    readers = _Readers(latest, runtime, soaked)
    poller = Poller(_Source(chance, soaked), latest, policy=POLICY, poll_interval=10, runtime=runtime)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = _node_publisher(_Nodes(chance, soaked), poller, runtime)
        frames = [
            PublishLoop(publisher, latest, runtime=runtime) for publisher in (node, _file(directory, runtime))
        ]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        loops = [poller.run(), poller.watch_staleness(), *(frame.run() for frame in frames)]
        running = [tasks.create_task(loop) for loop in (*loops, *(readers.wait() for _ in range(_WAITERS)))]
        soaked.warm = await _after(soaked, int(polls * WARM_UP), runtime)
        soaked.end = await _after(soaked, polls, runtime)
        for task in running:
            task.cancel()
    soaked.days = started.age(_now()) / 86400
    return soaked


async def _after(soaked: Soaked, polls: int, runtime: Runtime) -> Resources:
    """What is held once so many polls have been; no loop may be overdue meanwhile."""
    while soaked.polls < polls:
        await asyncio.sleep(600)
        assert not runtime.liveness.overdue()
    return await held()


def _file(directory: Path, runtime: Runtime) -> Publisher:
    return FilePublisher(
        path=directory / "loadbalancer.json",
        node=NODE,
        node_address=None,
        stale_after=POLICY.stale_after,
        clock=runtime.clock,
    )


def _node_publisher(nodes: _Nodes, poller: Poller, runtime: Runtime) -> Publisher:
    schedule = Schedule(
        layout=Layout(budget=2048),
        policy=POLICY,
        write_splay=30,
        resync_interval=900,
        heartbeat_interval=3600,
        staleness_jitter=0.5,
    )
    return NodePublisher(nodes, NODE, schedule=schedule, on_found=poller.restore, runtime=runtime)
