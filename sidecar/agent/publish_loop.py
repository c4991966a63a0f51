"""The loop around each publisher: wake-up, metrics, logging and backoff."""

import logging
from dataclasses import dataclass
from typing import Protocol

from sidecar.core.document import Document
from sidecar.core.state import Snapshot
from sidecar.errors import Error
from sidecar.latest import Watch
from sidecar.logs import log, power_of_two
from sidecar.metrics import PUBLISH_RESULTS
from sidecar.runtime import Runtime

_logger = logging.getLogger(__name__)

_LONGEST_RETRY = 10.0
"""The longest retry delay, in units of the first."""


class PublishError(Error):
    """A publisher could not do its work now; the loop tries again."""

    def __init__(self, message: str, *, advice: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, advice=advice)
        self.retry_after = retry_after
        """Seconds to wait as the server requested."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The result of one turn of a publisher."""

    wrote: bool
    next_at: float | None
    """Monotonic time of the next turn if the state does not change before; ``None``: only then."""
    in_sync: bool = True
    """Whether the world matches the state now, apart from what is delayed on purpose."""


class Publisher(Protocol):
    """Something that makes a part of the world match the state."""

    @property
    def name(self) -> str:
        """In metrics and logs."""
        ...

    @property
    def retry_within(self) -> float:
        """Seconds over which the first retry after a failure is spread; it doubles up to ten times that."""
        ...

    async def turn(self, snapshot: Snapshot) -> PublishResult:
        """Make the world match.

        Raises:
            PublishError: it could not be done now.
        """
        ...


class PublishLoop:
    """Runs one publisher until cancelled."""

    def __init__(self, publisher: Publisher, latest: Watch[Snapshot], *, runtime: Runtime) -> None:
        self._publisher = publisher
        self._latest = latest
        self._runtime = runtime
        self._clock = runtime.clock
        self._metrics = runtime.metrics
        self._failures = 0
        self._reported = ""
        # Both are needed: a publisher is behind from the moment that another document comes, before the turn
        # that tries to publish it has ended; and it is behind also while it fails with the same one.
        self._matched: Document | None = None
        """The document that the world was last known to match; once there is one, there always is."""
        self._behind_since: float | None = None
        for result in PUBLISH_RESULTS:
            self._metrics.publishes.labels(publisher=publisher.name, result=result)
        self._metrics.publish_lag.labels(publisher=publisher.name).set_function(
            lambda: 0.0 if self._behind_since is None else max(0.0, self._clock().mono - self._behind_since)
        )
        latest.subscribe(self._note_state)

    @property
    def published(self) -> bool:
        """Whether the world has matched a document, if perhaps an older one than the newest."""
        return self._matched is not None

    async def run(self) -> None:
        """Run a turn whenever the state changes, and when the publisher requested the next one."""
        name, liveness = self._publisher.name, self._runtime.liveness
        while True:
            snapshot = self._latest.value
            # Also where no turn was due before: one that hangs would go unnoticed.
            liveness.expect(name, at=self._clock().mono)
            try:
                turn = await self.turn(snapshot)
            except PublishError as error:
                # Spread at random, so that all agents do not come back at once after an outage. 2^16 is
                # beyond the limit; larger powers only cost digits.
                doublings = min(self._failures - 1, 16)
                ceiling = self._publisher.retry_within * min(2.0**doublings, _LONGEST_RETRY)
                delay = (error.retry_after or 0.0) + self._runtime.random() * ceiling
                # A change of the state does not cut it short, or there would be no back-off.
                await liveness.sleep_until(name, self._clock().mono + delay)
            else:
                liveness.expect(name, at=turn.next_at)
                await self._latest.changed_or(snapshot, at=turn.next_at)

    async def turn(self, snapshot: Snapshot) -> PublishResult:
        """One measured and logged turn. A failure is logged when it is another one, then at rising intervals.

        Raises:
            PublishError: as the publisher raised it.
        """
        name = self._publisher.name
        started = self._clock()
        try:
            turn = await self._publisher.turn(snapshot)
        except PublishError as error:
            self._failures += 1
            self._falls_behind()
            self._metrics.publishes.labels(publisher=name, result="failed").inc()
            if str(error) != self._reported or power_of_two(self._failures):
                log(
                    _logger,
                    logging.WARNING,
                    "publish-failed",
                    publisher=name,
                    failures=self._failures,
                    error=error,
                )
            self._reported = str(error)
            raise
        finally:
            self._metrics.publish_seconds.labels(publisher=name).observe(started.age(self._clock()))
        self._metrics.publishes.labels(publisher=name, result="written" if turn.wrote else "skipped").inc()
        if turn.in_sync:
            self._matched, self._behind_since = snapshot.state.document, None
            self._note_state(self._latest.value)  # which may have changed during the turn
        else:
            self._falls_behind()
        if self._failures:
            log(_logger, logging.INFO, "publish-recovered", publisher=name, failures=self._failures)
        self._failures = 0
        return turn

    def _note_state(self, snapshot: Snapshot) -> None:
        if snapshot.state.document is not self._matched:
            self._falls_behind()

    def _falls_behind(self) -> None:
        if self._behind_since is None:
            self._behind_since = self._clock().mono
