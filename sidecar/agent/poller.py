"""The poll loop: one turn is fetch → observe → set the watched value."""

import logging
import math

from sidecar.core import changes
from sidecar.core.backoff import next_poll_delay
from sidecar.core.outcome import Failure, Status, label
from sidecar.core.state import Found, Policy, Snapshot, State, observe, restore
from sidecar.latest import Watch
from sidecar.logs import log
from sidecar.runtime import Runtime
from sidecar.sources import Source

_logger = logging.getLogger(__name__)

_LOGGED_CHANGES = 20
"""How many items of a change a log line names."""


class Poller:
    """Keeps ``latest`` true: by polling, by restoring earlier data, and by the passing of time."""

    def __init__(
        self,
        source: Source,
        latest: Watch[Snapshot],
        *,
        policy: Policy,
        poll_interval: float,
        runtime: Runtime,
    ) -> None:
        self._source = source
        self._latest = latest
        self._policy = policy
        self._poll_interval = poll_interval
        self._runtime = runtime
        self._clock = runtime.clock
        self._metrics = runtime.metrics
        self._reminders = 0
        """How often the fault that lasts has been logged again."""

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            delay = await self.turn()
            await self._runtime.liveness.sleep_until("poller", self._clock().mono + delay)

    async def turn(self) -> float:
        """Make one attempt, and return the seconds to wait before the next one."""
        started = self._clock()
        self._runtime.liveness.expect("poller", at=started.mono + self._source.longest_wait)
        outcome = await self._source.fetch()
        self._metrics.attempt_seconds.observe(started.age(self._clock()))
        self._metrics.attempts.labels(outcome=label(outcome)).inc()
        before = self._latest.value.state
        state = observe(before, outcome, self._clock(), self._policy)
        self._set(state)
        if isinstance(outcome, Failure):
            if before.failure is None or before.failure.reason is not outcome.reason:
                log(_logger, logging.WARNING, "poll-failed", reason=outcome.reason, detail=outcome.detail)
        else:
            if before.failure is not None:
                log(
                    _logger,
                    logging.INFO,
                    "poll-recovered",
                    failures=before.failures,
                    was=before.failure.reason,
                )
            known = frozenset(() if before.answer is None else before.answer.dropped)
            dropped = [entry for entry in outcome.dropped if entry not in known]
            for entry in dropped:
                self._metrics.dropped_entries.labels(list=entry.list_name, cause=entry.cause).inc(entry.count)
            if dropped:
                first = dropped[0]
                log(
                    _logger,
                    logging.WARNING,
                    "entries-dropped",
                    count=sum(entry.count for entry in dropped),
                    list=first.list_name,
                    cause=first.cause,
                    entry=first.shown,
                )
        self._remind(state)
        # They are still published: a list is withdrawn only after absent-after.
        if missing := state.absences.keys() - before.absences.keys():
            lists, held_for = ",".join(sorted(missing)), self._policy.absent_after
            log(_logger, logging.WARNING, "lists-missing", lists=lists, withdrawn_after_seconds=held_for)
        return next_poll_delay(
            outcome,
            failures=state.failures,
            poll_interval=self._poll_interval,
            fraction=self._runtime.random(),
        )

    def restore(self, found: Found) -> None:
        """Add what an earlier run published; see :func:`sidecar.core.state.restore`."""
        before = self._latest.value
        self._set(restore(before.state, found, self._clock(), self._policy))
        log(
            _logger,
            logging.INFO,
            "taken-up",
            revision=found.revision,
            document=found.document is not None,
            observed_at=found.observed_at,
        )

    async def watch_staleness(self) -> None:
        """Change the status when the data become stale, also while an attempt is under way."""
        while True:
            seen = self._latest.value
            if self._clock().mono >= seen.outdated_at:
                self._set(seen.state)
            else:
                at = None if math.isinf(seen.outdated_at) else seen.outdated_at
                await self._latest.changed_or(seen, at=at)

    def _set(self, state: State) -> None:
        before = self._latest.value
        after = Snapshot.of(state, self._clock(), self._policy)
        self._latest.set(after)
        if before.status is not after.status:
            log(
                _logger,
                logging.INFO if after.status is Status.OK else logging.WARNING,
                "status-changed",
                before=before.status,
                status=after.status,
                reason=after.reason,
            )
        known = before.state
        if state.document is not None and state.document != known.document:
            items: tuple[str, ...] = ()
            if known.document is not None:
                items = changes.between(known.document, state.document, at=self._clock().utc).items
            log(
                _logger,
                logging.INFO,
                "document-changed",
                revision=state.document.revision,
                entries=state.document.entries,
                source=state.source,
                changes=" ".join(items[:_LOGGED_CHANGES]) or None,
            )
        # Changes are counted where they are remembered: it makes no difference what was known first.
        if state.changes is not known.changes:
            counted = {*known.changes, *(() if state.found is None else state.found.changes)}
            for change in state.changes:
                if change not in counted:
                    self._metrics.revision_changes.inc()
                    for kind in change.kinds:
                        self._metrics.changes.labels(kind=kind).inc()

    def _remind(self, state: State) -> None:
        """Log a fault again at rising intervals: when it is 2, 4, 8 and so on times stale-after old."""
        since = state.failing_since
        age = 0.0 if since is None else since.age(self._clock())
        reminders = max(0, math.floor(math.log2(max(1.0, age / self._policy.stale_after))))
        if state.failure is not None and reminders > self._reminders:
            log(
                _logger,
                logging.WARNING,
                "poll-still-failing",
                reason=state.failure.reason,
                detail=state.failure.detail,
                failures=state.failures,
                seconds=round(age),
            )
        self._reminders = reminders
