"""Which Kubernetes Events to send, by comparing the last reported state with the current one.

An :class:`EventPolicy` compares what was last reported with what is true now. What came and went in between
is never reported, so a flapping address makes no more Events than one that changed once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sidecar.core import views
from sidecar.core.document import Document
from sidecar.core.egress import EgressState
from sidecar.core.instant import Instant, print_duration
from sidecar.core.state import State

_APART = 600.0
"""Seconds between two Events of one reason."""
_REPEATED = 1800.0
"""Seconds after which a fault that lasts is reported again: API servers forget Events after an hour."""
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
    EGRESS_STATE_CHANGED = "EgressStateChanged"
    """What probes observed compares otherwise with what is published."""


_WORDS = {"public": "public IPs", "inbound": "inbound rules", "outbound": "outbound IPs"}
"""What the lists of `Reported` are called."""
_CHANGED = {"public": EventReason.PUBLIC_IPS_CHANGED, "outbound": EventReason.OUTBOUND_IPS_CHANGED}
"""Those of them whose changes an Event reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What of a document Events are about."""

    public: tuple[str, ...] = ()
    outbound: tuple[str, ...] = ()
    inbound: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Document) -> "Reported":
        """The addresses and frontends of a document."""
        return cls(
            public=tuple(map(str, views.public_ips(document))),
            outbound=tuple(map(str, views.outbound_ips(document))),
            inbound=views.inbound(document),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventToSend:
    """An Event to send now."""

    reason: EventReason
    note: str
    warning: bool
    reported: Reported
    """What is known once it is sent."""
    since: float | None = None
    """Monotonic start of the fault that it reports."""
    egress: EgressState | None = None
    """The state that it reports; ``None``: it is about something else."""
    count: int = 1
    """More than 1: the Event called ``name`` is repeated."""
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
class EventState:
    """What was reported, and when."""

    reported: Reported | None = None
    """What counts as reported; ``None`` before there is a document."""
    egress: EgressState | None = None
    """The state that counts as reported; ``None`` before the first round of egress probes has ended."""
    restored: bool = False
    """Whether ``reported`` is what an earlier run published."""
    due: Mapping[EventReason, float] = field(default_factory=dict)
    """Monotonic time from which each Event that waits may be sent."""
    behind: bool = False
    """Whether an Event waits for another reason than the minimum interval between two of its reason."""
    sent: Mapping[EventReason, Sent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPolicy:
    """The rules. All durations are in seconds."""

    splay: float
    """An Event waits a random part of it, so that not all nodes send theirs at once."""
    fault_after: float
    """How long there must have been no answer before an Event reports it."""

    def decide(
        self, event_state: EventState, state: State, *, now: Instant, fraction: float
    ) -> tuple[EventState, EventToSend | Pause]:
        """What to send next, and the state to go on with; ``fraction`` is random, from 0 to 1."""
        # What an earlier run published counts as reported, else the first document; so do new inbound rules.
        found = None if state.found is None else state.found.document
        if found is not None and not event_state.restored and not event_state.sent:
            event_state = replace(event_state, reported=Reported.of(found), restored=True)
        elif state.document is not None:
            current = Reported.of(state.document)
            known = event_state.reported or current
            known = replace(known, inbound=current.inbound or known.inbound)
            event_state = replace(event_state, reported=known)
        if event_state.egress is None and state.shared_egress.state is not EgressState.OFF:
            # The first state is no change, but for an address that an earlier run had not seen.
            known_addresses = () if state.found is None else state.found.egress_observed
            egress = state.shared_egress.state
            if egress is EgressState.UNLISTED and not set(state.shared_egress.observed) <= set(
                known_addresses
            ):
                egress = EgressState.AGREES
            event_state = replace(event_state, egress=egress)
        reports = {report.reason: report for report in self._reports(event_state, state, now)}
        due = {reason: event_state.due.get(reason, now.mono + fraction * self.splay) for reason in reports}
        not_before = {}
        for reason, report in reports.items():
            last = event_state.sent.get(reason)
            apart = _REPEATED if report.count > 1 else _APART
            not_before[reason] = float("-inf") if last is None else last.at + apart
        event_state = replace(event_state, due=due, behind=any(at <= now.mono for at in not_before.values()))
        times = {reason: max(due[reason], not_before[reason]) for reason in reports}
        ready = [reports[reason] for reason, at in times.items() if at <= now.mono]
        if ready:
            return event_state, ready[0]
        # A fault that has begun is worth an Event later.
        since = state.failing_since
        fault_at = [] if since is None else [since.mono + self.fault_after]
        later = [*times.values(), *(at for at in fault_at if at > now.mono)]
        return event_state, Pause(min(later, default=None))

    def was_sent(
        self, event_state: EventState, report: EventToSend, *, name: str, now: Instant
    ) -> EventState:
        """The state after a report was sent as the Event of that name."""
        sent = Sent(at=now.mono, name=name, since=report.since, count=report.count)
        due = {reason: at for reason, at in event_state.due.items() if reason is not report.reason}
        return replace(
            event_state,
            reported=report.reported,
            egress=report.egress or event_state.egress,
            due=due,
            sent={**event_state.sent, report.reason: sent},
        )

    def _reports(self, event_state: EventState, state: State, now: Instant) -> Iterable[EventToSend]:
        """What is true now and not reported yet, whenever it may be sent."""
        reported = event_state.reported
        if state.document is not None and reported is not None:
            current = Reported.of(state.document)
            withdrawn = {
                name: getattr(reported, name)
                for name in _WORDS
                if getattr(reported, name) and not getattr(current, name)
            }
            if withdrawn:
                lists = "; ".join(
                    f"{_WORDS[name]} {_listed(items, 200)}" for name, items in withdrawn.items()
                )
                yield EventToSend(
                    reason=EventReason.WITHDRAWN,
                    note=f"the metadata service no longer has {lists}",
                    warning=True,
                    reported=replace(reported, **dict.fromkeys(withdrawn, ())),
                )
            for name, reason in _CHANGED.items():
                before, after = getattr(reported, name), getattr(current, name)
                if after and after != before:
                    yield EventToSend(
                        reason=reason,
                        note=f"{_WORDS[name]} changed from {_listed(before)} to {_listed(after)}",
                        warning=False,
                        reported=replace(reported, **{name: after}),
                    )
        egress, before_egress = state.shared_egress, event_state.egress
        if before_egress is not None and egress.state is not before_egress:
            published = (*map(str, state.egress.networks), *map(str, state.egress.addresses))
            yield EventToSend(
                reason=EventReason.EGRESS_STATE_CHANGED,
                note=f"egress probes: {egress.state} (was {before_egress}); observed "
                f"{_listed(tuple(map(str, egress.observed)))}; published {_listed(published)}",
                warning=egress.state is not EgressState.AGREES,
                reported=reported or Reported(),
                egress=egress.state,
            )
        since = state.failing_since
        if since is not None and state.failure is not None and now.mono >= since.mono + self.fault_after:
            last = event_state.sent.get(EventReason.UNAVAILABLE)
            if last is not None and last.since != since.mono:
                last = None  # it reported an earlier fault
            yield EventToSend(
                reason=EventReason.UNAVAILABLE,
                note=f"no answer of the metadata service for {print_duration(round(since.age(now)))}: "
                f"{state.failure.reason} ({state.failure.detail[:_LISTED_CHARACTERS]})",
                warning=True,
                reported=reported or Reported(),
                since=since.mono,
                count=1 if last is None else last.count + 1,
                name="" if last is None else last.name,
            )


def _listed(items: tuple[str, ...], limit: int = _LISTED_CHARACTERS) -> str:
    """Items joined by commas, cut with the number of those left out; ``none`` if there is none."""
    text = ", ".join(items)
    if len(text) <= limit:
        return text or "none"
    shown = text[:limit].rpartition(", ")[0]
    return f"{shown} and {len(items) - shown.count(', ') - 1} more"
