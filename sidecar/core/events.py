"""When the agent tells of its Node in a Kubernetes Event, and what: pure, level and not edge.

An :class:`Herald` compares what was last told with what is true now. What came and went in between is
never told, so a flapping address makes no more Events than one that changed once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sidecar.core import views
from sidecar.core.document import Document
from sidecar.core.durations import print_duration
from sidecar.core.instant import Instant
from sidecar.core.state import State

__all__ = ["EventReason", "Herald", "Ledger", "Pause", "Report", "Told"]

_APART = 600.0
"""Seconds between two Events of one reason."""
_REPEATED = 1800.0
"""Seconds after which a fault that lasts is told again: API servers forget Events after an hour."""
_LISTED_CHARACTERS = 300
"""How much of a list a note shows; an API server takes 1024 bytes of a note."""


class EventReason(StrEnum):
    """The reasons of our Events."""

    PUBLIC_IPS_CHANGED = "PublicIPsChanged"
    OUTBOUND_IPS_CHANGED = "OutboundIPsChanged"
    WITHDRAWN = "LoadBalancerDataWithdrawn"
    """A list became empty that was not."""
    UNAVAILABLE = "LoadBalancerDataUnavailable"
    """The source has not answered for so long."""


_WORDS = {"public": "public IPs", "inbound": "inbound rules", "outbound": "outbound IPs"}
"""What the lists of `Told` are called."""
_CHANGED = {"public": EventReason.PUBLIC_IPS_CHANGED, "outbound": EventReason.OUTBOUND_IPS_CHANGED}
"""Those of them that an Event tells of when they are others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What of a document Events are about."""

    public: tuple[str, ...] = ()
    outbound: tuple[str, ...] = ()
    inbound: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Document) -> "Told":
        """The addresses and frontends of a document."""
        return cls(
            public=tuple(map(str, views.public_ips(document))),
            outbound=tuple(map(str, views.outbound_ips(document))),
            inbound=views.inbound(document),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An Event to send now."""

    reason: EventReason
    note: str
    warning: bool
    told: Told
    """What is known once it is sent."""
    since: float | None = None
    """Monotonic start of the fault that it tells of."""
    count: int = 1
    """More than 1: the Event of that ``name`` again."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to send before this monotonic time (``None``: ever), unless the state changes."""

    until: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The last Event of a reason."""

    at: float
    """Monotonic."""
    name: str
    since: float | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What was told, and when."""

    told: Told | None = None
    """What the cluster is taken to know; ``None`` before there is a document."""
    taken_up: bool = False
    """Whether ``told`` is what an earlier run published."""
    due: Mapping[EventReason, float] = field(default_factory=dict)
    """Monotonic time from which each Event that waits may be sent."""
    behind: bool = False
    """Whether an Event waits that is not put off on purpose, to keep it apart from the last of its reason."""
    sent: Mapping[EventReason, Sent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Herald:
    """The rules. All durations are in seconds."""

    splay: float
    """An Event waits a random part of it, so that not all nodes speak at once."""
    fault_after: float
    """How long there must have been no answer to be told of."""

    def decide(
        self, ledger: Ledger, state: State, *, now: Instant, fraction: float
    ) -> tuple[Ledger, Report | Pause]:
        """What to send next, and the ledger to go on with; ``fraction`` is random, from 0 to 1."""
        ledger = _followed(ledger, state)
        reports = {report.reason: report for report in self._reports(ledger, state, now)}
        due = {reason: ledger.due.get(reason, now.mono + fraction * self.splay) for reason in reports}
        not_before = {reason: _not_before(ledger, report) for reason, report in reports.items()}
        ledger = replace(ledger, due=due, behind=any(at <= now.mono for at in not_before.values()))
        times = {reason: max(due[reason], not_before[reason]) for reason in reports}
        ready = [reports[reason] for reason, at in times.items() if at <= now.mono]
        if ready:
            return ledger, ready[0]
        return ledger, Pause(min((*times.values(), *self._fault_told_at(state, now)), default=None))

    def was_sent(self, ledger: Ledger, report: Report, *, name: str, now: Instant) -> Ledger:
        """The ledger after a report was sent as the Event of that name."""
        sent = Sent(at=now.mono, name=name, since=report.since, count=report.count)
        due = {reason: at for reason, at in ledger.due.items() if reason is not report.reason}
        return replace(ledger, told=report.told, due=due, sent={**ledger.sent, report.reason: sent})

    def _reports(self, ledger: Ledger, state: State, now: Instant) -> Iterable[Report]:
        if state.document is not None and ledger.told is not None:
            yield from _changes(ledger.told, Told.of(state.document))
        since = state.failing_since
        if since is not None and state.failure is not None and now.mono >= since.mono + self.fault_after:
            last = ledger.sent.get(EventReason.UNAVAILABLE)
            if last is not None and last.since != since.mono:
                last = None  # it told of an earlier fault
            yield Report(
                reason=EventReason.UNAVAILABLE,
                note=f"no answer of the metadata service for {print_duration(round(since.age(now)))}: "
                f"{state.failure.reason} ({_cut(state.failure.detail)})",
                warning=True,
                told=ledger.told or Told(),
                since=since.mono,
                count=1 if last is None else last.count + 1,
                name="" if last is None else last.name,
            )

    def _fault_told_at(self, state: State, now: Instant) -> Iterable[float]:
        """When the fault that has begun is worth an Event."""
        since = state.failing_since
        at = None if since is None else since.mono + self.fault_after
        return [at] if at is not None and at > now.mono else []


def _followed(ledger: Ledger, state: State) -> Ledger:
    """The first document counts as told, better what an earlier run published; rules are never told of."""
    found = None if state.found is None else state.found.document
    if found is not None and not ledger.taken_up and not ledger.sent:
        return replace(ledger, told=Told.of(found), taken_up=True)
    if state.document is None:
        return ledger
    current = Told.of(state.document)
    if ledger.told is None:
        return replace(ledger, told=current)
    return replace(ledger, told=replace(ledger.told, inbound=current.inbound or ledger.told.inbound))


def _changes(told: Told, current: Told) -> Iterable[Report]:
    withdrawn = {
        name: getattr(told, name) for name in _WORDS if getattr(told, name) and not getattr(current, name)
    }
    if withdrawn:
        lists = "; ".join(f"{_WORDS[name]} {_listed(items, 200)}" for name, items in withdrawn.items())
        yield Report(
            reason=EventReason.WITHDRAWN,
            note=f"the metadata service no longer has {lists}",
            warning=True,
            told=replace(told, **dict.fromkeys(withdrawn, ())),
        )
    for name, reason in _CHANGED.items():
        before, after = getattr(told, name), getattr(current, name)
        if after and after != before:
            yield Report(
                reason=reason,
                note=f"{_WORDS[name]} changed from {_listed(before)} to {_listed(after)}",
                warning=False,
                told=replace(told, **{name: after}),
            )


def _not_before(ledger: Ledger, report: Report) -> float:
    last = ledger.sent.get(report.reason)
    if last is None:
        return float("-inf")
    return last.at + (_REPEATED if report.count > 1 else _APART)


def _listed(items: tuple[str, ...], limit: int = _LISTED_CHARACTERS) -> str:
    """Items joined by commas, cut with the number of those left out; ``none`` if there is none."""
    text = ", ".join(items)
    if len(text) <= limit:
        return text or "none"
    shown = text[:limit].rpartition(", ")[0]
    return f"{shown} and {len(items) - shown.count(', ') - 1} more"


def _cut(text: str) -> str:
    return text[:_LISTED_CHARACTERS]
