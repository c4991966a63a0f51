"""A poller and all it works with, for its tests, and the outcomes that they script."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from sidecar.agent.poller import Poller
from sidecar.core.changes import Change
from sidecar.core.document import EMPTY
from sidecar.core.outcome import Failure, Outcome, Reason, Status
from sidecar.core.state import Found, Policy, Snapshot, State
from sidecar.latest import Watch
from sidecar.metrics import Metrics
from sidecar.runtime import Runtime
from tests.core.examples import FULL, answer
from tests.support.fakes import Hang, ScriptedSource, virtual_now
from tests.support.states import EPOCH, POLICY

OK = answer(FULL)
EMPTY_LISTS = answer(EMPTY)

UNAVAILABLE = Failure(Reason.UNAVAILABLE, detail="HTTP 503: busy", status=503)
THROTTLED = Failure(Reason.THROTTLED, detail="HTTP 429: slow down", status=429)
GONE = Failure(Reason.NOT_READY, detail="HTTP 410: gone", status=410)
NOT_READY = Failure(Reason.NOT_READY, detail="HTTP 404: not available right now", status=404)
REJECTED = Failure(Reason.REJECTED, detail="HTTP 400: <Error/>", status=400)
MALFORMED = Failure(Reason.MALFORMED, detail="the body is not JSON", status=200)


@dataclass
class Polling:
    """A poller and what it works with; without a started loop, its turns are taken by hand."""

    source: ScriptedSource
    poller: Poller
    latest: Watch[Snapshot]
    metrics: Metrics
    runtime: Runtime

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot."""
        return self.latest.value

    def judged(self) -> tuple[Status, Reason | None]:
        """Status and reason of the newest snapshot."""
        return self.snapshot.status, self.snapshot.reason

    @property
    def state(self) -> State:
        """The newest state."""
        return self.latest.value.state

    def count(self, name: str, **labels: str) -> float | None:
        """A sample of the metrics, without the prefix of its name."""
        return self.metrics.registry.get_sample_value(f"azure_lb_metadata_{name}", labels)


def new_polling(
    *script: Outcome | Hang, fraction: float = 0.5, poll_interval: float = 10.0, policy: Policy = POLICY
) -> Polling:
    """A poller whose randomness always gives `fraction`."""
    runtime = Runtime(clock=virtual_now, random=lambda: fraction)
    now = virtual_now()
    latest = Watch(Snapshot.of(State(started=now), now, policy))
    source = ScriptedSource(*script)
    poller = Poller(source, latest, policy=policy, poll_interval=poll_interval, runtime=runtime)
    return Polling(source, poller, latest, runtime.metrics, runtime)


@asynccontextmanager
async def running(polling: Polling) -> AsyncIterator[None]:
    """Both loops of a poller, until the end of the block."""
    async with asyncio.TaskGroup() as tasks:
        loops = [
            tasks.create_task(polling.poller.run()),
            tasks.create_task(polling.poller.watch_staleness()),
        ]
        yield
        for loop in loops:
            loop.cancel()


async def pauses_of(polling: Polling, seconds: float) -> list[float]:
    """The pauses between the attempts of the first `seconds`."""
    async with running(polling):
        await asyncio.sleep(seconds)
    return polling.source.pauses()


def found(*, revision: str = FULL.revision, age: float | None = None) -> Found:
    """What an earlier run published: `FULL` if it was last seen `age` seconds before the epoch."""
    return Found(
        revision=revision,
        changed_at=EPOCH.utc - timedelta(days=1),
        changes=(Change(at=EPOCH.utc - timedelta(days=1), items=("+public 20.1.2.3",)),),
        document=None if age is None else replace(FULL),  # equal, and another object as in real life
        observed_at=None if age is None else EPOCH.utc - timedelta(seconds=age),
    )
