"""The schedule of reads and writes of a Node: few writes, spread over time, none without need.

A :class:`Schedule` decides what the annotations should be and what to do next about it;
``agent/publish_node.py`` carries that out.
"""

from collections.abc import Mapping, Set as AbstractSet
from dataclasses import dataclass, replace

from sidecar.core.annotations import Layout, addresses, annotations, differing, own, with_status
from sidecar.core.instant import Instant, parse_rfc3339
from sidecar.core.outcome import Status
from sidecar.core.state import DataOrigin, Policy, State

_SPREAD = 0.2
"""Part of the resync and heartbeat intervals by which they come earlier or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteState:
    """What is known of the Node's annotations, and when they were written. Times are monotonic."""

    live: Mapping[str, str] | None = None
    """Our keys as last seen on the Node; ``None``: read the Node before anything else."""
    stuck: frozenset[str] = frozenset()
    """Keys of ours that came back when they were removed; tried again after the next reading."""
    restored_at: float | None = None
    """When the Node was read for the first time."""
    wrote_at: float | None = None
    """The last write of this process."""
    status_wrote_at: float | None = None
    """The last write that changed nothing but status and reason."""
    due_at: float | None = None
    """When the change that waits now is to be written."""
    leaving: tuple[str, ...] = ()
    """Earlier prefixes that had keys at the first reading: these go before anything is written."""
    leave_at: float = 0.0
    resync_at: float = 0.0
    heartbeat_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Read:
    """Read the Node's metadata, then decide again."""


@dataclass(frozen=True, slots=True)
class Write:
    """Apply these annotations, then decide again."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove these keys even if other field managers own them, then decide again.

    An apply removes only what its field manager owns alone; keys that another one owns as well, or that have
    no owner since the managed fields were reset, would never be removed.
    """

    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Leave:
    """Remove everything under this earlier prefix, then decide again."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before this monotonic time, unless the state changes."""

    until: float
    behind: bool = False
    """Whether a change waits that is not put off on purpose, as one of the status alone is."""


Action = Read | Write | Remove | Leave | Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The rules of writing to one Node. All durations are in seconds.

    ``fraction`` in the methods is a random number from 0 to 1.
    """

    layout: Layout
    policy: Policy
    write_splay: float
    resync_interval: float
    heartbeat_interval: float
    """0 is off."""
    staleness_jitter: float
    """0 to 1: the random part of stale-after by which annotations turn stale later than the HTTP API,
    so that an outage of the service on all nodes is not one wave of writes."""

    def next(
        self, write_state: WriteState, state: State, *, now: Instant, fraction: float
    ) -> tuple[WriteState, Action]:
        """What to do now to make the annotations match ``state``, and what is known from then on."""
        if write_state.live is None:
            return write_state, Read()
        if write_state.leaving:
            if now.mono < write_state.leave_at:
                return write_state, Wait(write_state.leave_at, behind=True)
            return write_state, Leave(write_state.leaving[0])
        values = self.desired(state, write_state.live, now)
        write_state, action = self.towards(write_state, values, now=now.mono, fraction=fraction)
        stale_deadline = self.stale_deadline(state)
        if isinstance(action, Wait) and now.mono < stale_deadline:
            action = replace(action, until=min(action.until, stale_deadline))
        return write_state, action

    def desired(self, state: State, live: Mapping[str, str], now: Instant) -> dict[str, str] | None:
        """What our annotations should be, or ``None`` while what stands on the Node should stay.

        ``live`` are our keys as they stand there.
        """
        unanswered = state.document is None or state.source is DataOrigin.RESTORED
        if unanswered and now.mono < self.stale_deadline(state):
            return None
        if state.document is None:
            return with_status(live, Status.STARTING, state.reason(Status.STARTING), layout=self.layout)
        status = state.status(now, self._jittered_policy)
        return annotations(state, status, state.reason(status), layout=self.layout)

    def stale_deadline(self, state: State) -> float:
        """Monotonic time from which the lack of an answer shows: as ``starting`` or ``stale``.

        The one moment at which :meth:`desired` changes although the state does not.
        """
        if state.document is None or state.observed is None:
            return state.started.mono + self.policy.stale_after
        since = state.started if state.source is DataOrigin.RESTORED else state.observed
        return since.mono + self._jittered_policy.stale_after

    @property
    def _jittered_policy(self) -> Policy:
        return replace(self.policy, stale_after=self.policy.stale_after * (1 + self.staleness_jitter))

    def towards(
        self, write_state: WriteState, values: Mapping[str, str] | None, *, now: float, fraction: float
    ) -> tuple[WriteState, Action]:
        """The next action towards ``values`` (of :meth:`desired`), and what is known from then on."""
        if write_state.live is None or now >= write_state.resync_at:
            return write_state, Read()
        in_sync = replace(write_state, due_at=None)
        if values is None:
            return in_sync, Wait(write_state.resync_at)
        changed = _changed(write_state, values)
        # Changes of the status alone are damped.
        not_before = float("-inf")
        if self._status_only(changed) and write_state.status_wrote_at is not None:
            not_before = write_state.status_wrote_at + 2 * self.policy.stale_after
        behind = False
        if not changed - {self.layout.key("observed-at")}:
            if not changed or not self.heartbeat_interval:
                return in_sync, Wait(write_state.resync_at)
            write_state, due_at = in_sync, write_state.heartbeat_at
        else:
            due_at = self._due_at(write_state, values, now=now, fraction=fraction)
            behind = now >= not_before
            write_state = replace(write_state, due_at=due_at)
        if write_state.wrote_at is not None:
            not_before = max(not_before, write_state.wrote_at + self.write_splay)
        at = max(due_at, not_before)
        if now < at:
            return write_state, Wait(min(at, write_state.resync_at), behind=behind)
        surplus = changed - values.keys()
        # An apply goes first where it has anything to change: it removes what nobody else owns.
        if surplus and changed <= surplus | {self.layout.key("observed-at")}:
            return write_state, Remove(frozenset(surplus))
        return write_state, Write(values)

    def _due_at(
        self, write_state: WriteState, values: Mapping[str, str], *, now: float, fraction: float
    ) -> float:
        """The first write of a start and a new public IP are due at once, all else within the splay."""
        names = ("public-ip", "public-ips")
        had = addresses(write_state.live or {}, names, layout=self.layout)
        restored_at = write_state.restored_at
        # A first write long after a quiet start is that of a change.
        starts = write_state.wrote_at is None and (
            not write_state.live or restored_at is None or now < restored_at + self.write_splay
        )
        if starts or addresses(values, names, layout=self.layout) - had:
            return now
        return now + fraction * self.write_splay if write_state.due_at is None else write_state.due_at

    def _status_only(self, changed: set[str]) -> bool:
        """Whether nothing but status and reason changes, apart from ``observed-at``."""
        status = {self.layout.key("status"), self.layout.key("reason")}
        return bool(changed & status) and changed <= status | {self.layout.key("observed-at")}

    def was_read(
        self, write_state: WriteState, annotations: Mapping[str, str], *, now: Instant, fraction: float
    ) -> WriteState:
        """The state after the Node was read; the first time, the heartbeat follows ``observed-at``.

        Only then: a forged time in the future counts as now, and would put it off at every reading.
        """
        live = own(annotations, layout=self.layout)
        heartbeat_at = write_state.heartbeat_at
        if write_state.live is None:
            observed_at = parse_rfc3339(live.get(self.layout.key("observed-at"), ""))
            since = now if observed_at is None else Instant.in_the_past(observed_at, now=now)
            heartbeat_at = since.mono + _spread(self.heartbeat_interval, fraction)
        if write_state.restored_at is None:
            earlier = [
                prefix
                for prefix in self.layout.previous_prefixes
                if any(key.startswith(f"{prefix}/") for key in annotations)
            ]
            # A release that changes its prefix changes its admission policy with it, which the API servers
            # take some seconds to learn.
            write_state = replace(
                write_state,
                restored_at=now.mono,
                leaving=tuple(earlier),
                leave_at=now.mono + self.write_splay,
            )
        return replace(
            write_state,
            live=live,
            stuck=frozenset(),
            resync_at=now.mono + _spread(self.resync_interval, fraction),
            heartbeat_at=heartbeat_at,
        )

    def was_written(
        self,
        write_state: WriteState,
        values: Mapping[str, str],
        annotations: Mapping[str, str],
        *,
        now: float,
        fraction: float,
    ) -> WriteState:
        """The state after ``values`` were applied and the API server answered with ``annotations``.

        The values count as written even where the answer differs, since then an admission webhook
        changed them: the next reading shows it, and it is not fought faster than that.
        """
        surplus = own(annotations, layout=self.layout).keys() - values.keys()
        status_only = self._status_only(_changed(write_state, values))
        return WriteState(
            live={key: annotations[key] for key in surplus} | dict(values),
            stuck=write_state.stuck,
            restored_at=write_state.restored_at,
            wrote_at=now,
            status_wrote_at=now if status_only else write_state.status_wrote_at,
            resync_at=now + _spread(self.resync_interval, fraction),
            heartbeat_at=now + _spread(self.heartbeat_interval, fraction),
        )

    def was_left(self, write_state: WriteState, prefix: str) -> WriteState:
        """The state after everything under an earlier prefix was removed."""
        left = tuple(other for other in write_state.leaving if other != prefix)
        return replace(write_state, leaving=left)

    def was_removed(
        self, write_state: WriteState, keys: AbstractSet[str], annotations: Mapping[str, str], *, now: float
    ) -> WriteState:
        """The state after these keys were removed and the API server answered with ``annotations``.

        Keys that are there in spite of it are left alone until the next reading, so that another writer is
        not fought faster than that.
        """
        back = keys & annotations.keys()
        return replace(
            write_state,
            live={key: value for key, value in (write_state.live or {}).items() if key not in keys - back},
            stuck=write_state.stuck | back,
            wrote_at=now,
            status_wrote_at=now if self._status_only(set(keys)) else write_state.status_wrote_at,
            due_at=None,
        )

    def changed_by_others(self, write_state: WriteState, annotations: Mapping[str, str]) -> set[str]:
        """The keys that are not as this process last saw or wrote them, when the Node is read again.

        Empty at the first reading, and after the Node was made anew.
        """
        if write_state.live is None:
            return set()
        return differing(write_state.live, own(annotations, layout=self.layout))


def _changed(write_state: WriteState, values: Mapping[str, str]) -> set[str]:
    """The keys that a write or removal towards ``values`` could change, as far as is known."""
    return differing(values, write_state.live or {}) - (write_state.stuck - values.keys())


def _spread(interval: float, fraction: float) -> float:
    return interval * (1 + _SPREAD * (2 * fraction - 1))
