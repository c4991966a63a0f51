"""The agent's state, and the pure transition for each poll outcome.

``observe(state, outcome, now, policy) -> State`` is the heart of the agent: errors never remove
anything, and data are withdrawn only when the source keeps saying so. ``restore`` does the same
for what an earlier run published.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sidecar.core import changes
from sidecar.core.addresses import IPAddress, IPNetwork
from sidecar.core.changes import HISTORY_LENGTH, Change
from sidecar.core.document import EMPTY, LISTS, Document
from sidecar.core.egress import Egress, EgressState, Observation, SharedEgress, egress
from sidecar.core.instant import Instant
from sidecar.core.outcome import Attempt, Failure, Outcome, Reason, Status, Success, UpstreamAnswer

WITHDRAWAL_ANSWERS = 3
"""How many answers in a row must lack a list before it is withdrawn."""

ATTEMPTS_LENGTH = 10
"""How many attempts an agent remembers."""


@dataclass(frozen=True, slots=True)
class Absence:
    """How long a published list has been missing from the answers."""

    since: float
    """Monotonic time of the first answer without it."""
    answers: int


class DataOrigin(StrEnum):
    """Where the published document came from."""

    IMDS = "imds"
    RESTORED = "restored"
    """From what an earlier run published."""
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The durations that decide, in seconds."""

    stale_after: float
    absent_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an earlier run published, already checked: see ``annotations.found``, ``agent/publish_file``."""

    revision: str
    changed_at: datetime
    changes: tuple[Change, ...] = ()
    document: Document | None = None
    """Only if it is the canonical document of ``revision``."""
    observed_at: datetime | None = None
    """When that document was last known to be true; without it the document is not served."""
    node: str | None = None
    """The node that the document is about, if that was written down."""
    egress_observed: tuple[IPAddress, ...] = ()
    """The addresses that probes had seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the agent knows. ``document`` is what is published: the last good data."""

    started: Instant
    document: Document | None = None
    source: DataOrigin = DataOrigin.IMDS
    observed: Instant | None = None
    """The last good answer."""
    changed_at: datetime | None = None
    """When this revision was first seen."""
    changes: tuple[Change, ...] = ()
    """Newest last, at most ``HISTORY_LENGTH``."""
    answer: Success | None = None
    """The last answer as it came, before withdrawal was held back."""
    answered: Instant | None = None
    """When ``answer`` came; ``observed`` is the same or, while "none" is not accepted yet, unset."""
    failure: Failure | None = None
    """Why the last attempt failed; ``None`` after an answer."""
    failures: int = 0
    """Failed attempts in a row."""
    absences: Mapping[str, Absence] = field(default_factory=dict)
    """By field of ``Document``: published lists that the last answers lack."""
    empty_answers: int = 0
    """Answers in a row with nothing, while nothing was ever published."""
    found: Found | None = None
    """What an earlier run published."""
    attempts: tuple[Attempt, ...] = ()
    """Newest last, at most ``ATTEMPTS_LENGTH``."""
    declared: tuple[IPNetwork, ...] = ()
    """Networks that the operator says this node's connections leave from."""
    told_egress: SharedEgress = SharedEgress()  # noqa: RUF009 - immutable
    """What the node agent says, or stands in the Node's annotations."""
    observation: Observation = Observation()  # noqa: RUF009 - immutable
    """What the probes of this process have seen."""

    def status(self, now: Instant, policy: Policy) -> Status:
        """What the published data are worth at ``now``."""
        if self.document is None or self.observed is None:
            return Status.STARTING
        # Compared with that sum: by rounding, the age at that moment can be a hair less than stale-after.
        stale_at = turns_stale_at(self, policy)
        if stale_at is None or now.mono >= stale_at:
            return Status.STALE
        if self.upstream is not None:
            return self.upstream.status
        return Status.NO_METADATA if self.document.empty else Status.OK

    def reason(self, status: Status) -> Reason | None:
        """Why there are no fresh data; ``None`` while ``ok`` and before the first attempt ended."""
        if status is Status.OK:
            return None
        if status is Status.NO_METADATA:
            return Reason.NO_METADATA
        if self.failure is not None:
            return self.failure.reason
        if self.upstream is not None and self.upstream.reason is not None:
            return self.upstream.reason
        if status is Status.STALE:
            return Reason.UNREACHABLE
        return Reason.NO_METADATA if self.empty_answers else None

    @property
    def upstream(self) -> UpstreamAnswer | None:
        """The last answer of the node agent that the data are from; ``None`` where they are not from one."""
        said = self.answer
        return said if self.source is DataOrigin.UPSTREAM and isinstance(said, UpstreamAnswer) else None

    @property
    def egress(self) -> Egress:
        """Where the node's connections leave from, as declared or configured."""
        return egress(self.document or EMPTY, self.declared or self.told_egress.networks)

    @property
    def published_egress(self) -> Egress | None:
        """The same, if anything is known of it: there is an answer, or a declaration."""
        published = self.egress
        return published if self.document is not None or published.networks else None

    @property
    def shared_egress(self) -> SharedEgress:
        """What is declared and observed: here, else as the node agent or the Node tells."""
        told = self.told_egress
        if self.observation.probes:
            state = self.observation.state(self.published_egress)
            return SharedEgress(self.declared or told.networks, self.observation.addresses, state)
        if not self.declared:
            return told
        state = told.state
        if state in {EgressState.AGREES, EgressState.UNLISTED}:
            # Who tells it compared with other networks than those declared here.
            state = self.egress.compared(told.observed)
        return SharedEgress(self.declared, told.observed, state)

    @property
    def failing_since(self) -> Instant | None:
        """Since when there has been no answer: the last one, or the start; ``None`` after an answer."""
        return None if self.failure is None else self.answered or self.started

    def node(self, own: str | None) -> str | None:
        """The name of the node that the data are about: the one given, else what came with them.

        The latter is the node agent's answer or, before there is one, what an earlier run wrote down.
        """
        if own is not None:
            return own
        if self.source is DataOrigin.RESTORED:
            return None if self.found is None else self.found.node
        return None if self.upstream is None else self.upstream.node


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state with its status at one moment; readers take it :meth:`at` theirs."""

    state: State
    status: Status
    reason: Reason | None
    outdated_at: float = math.inf
    """Monotonic time from which the status is another one, though the state is the same."""
    policy: Policy | None = None
    """The rules of the status; ``None``: the status was given and stays."""

    @classmethod
    def of(cls, state: State, now: Instant, policy: Policy) -> "Snapshot":
        """Judge a state at ``now``."""
        status = state.status(now, policy)
        stale_at = None if status is Status.STALE else turns_stale_at(state, policy)
        outdated_at = math.inf if stale_at is None else stale_at
        reason = state.reason(status)
        return cls(state=state, status=status, reason=reason, outdated_at=outdated_at, policy=policy)

    def at(self, now: Instant) -> "Snapshot":
        """The snapshot as of ``now``: this one, until its status changes with time alone."""
        if self.policy is None or now.mono < self.outdated_at:
            return self
        return Snapshot.of(self.state, now, self.policy)


def turns_stale_at(state: State, policy: Policy) -> float | None:
    """Monotonic time at which the status becomes stale without any new outcome, if it can."""
    if state.document is None or state.observed is None or state.source is DataOrigin.RESTORED:
        return None
    since = state.observed
    if state.upstream is not None and state.failure is None and state.answered is not None:
        # As long as it answers, the node agent itself decides how old its data may be.
        since = state.answered
    return since.mono + policy.stale_after


def observe(state: State, outcome: Outcome, now: Instant, policy: Policy) -> State:
    """The state after one more attempt to read the document."""
    attempts = (*state.attempts, Attempt.of(outcome, now))[-ATTEMPTS_LENGTH:]
    state = replace(state, attempts=attempts)
    if isinstance(outcome, Failure):
        return replace(state, failure=outcome, failures=state.failures + 1)
    previous = None if state.answer is None else state.answer.document
    state = replace(state, answer=outcome, answered=now, failure=None, failures=0)
    if isinstance(outcome, UpstreamAnswer):
        return _copied(state, outcome, now, policy)
    if state.document is None:
        # Nothing was published: data count at once, "none" after a few answers in a row.
        if outcome.document.empty and state.empty_answers + 1 < WITHDRAWAL_ANSWERS:
            return replace(state, empty_answers=state.empty_answers + 1)
        known = state.found
        if known is None or known.revision != outcome.document.revision:
            known = Found(revision=outcome.document.revision, changed_at=now.utc)
        return replace(
            state,
            document=outcome.document,
            source=DataOrigin.IMDS,
            observed=now,
            changed_at=known.changed_at,
            changes=known.changes,
            empty_answers=0,
        )
    absences, withheld = withhold(
        state.document,
        outcome.document,
        absences=state.absences,
        now=now,
        absent_after=policy.absent_after,
    )
    partial = unconfirmed(state.document, outcome.document, previous=previous)
    document = replace(outcome.document, **withheld, **partial)
    changed = _changed(state, document, at=now.utc)
    return replace(changed, source=DataOrigin.IMDS, observed=now, absences=absences)


def _copied(state: State, answer: UpstreamAnswer, now: Instant, policy: Policy) -> State:
    """The state after a node agent's answer, which counts at once: that agent decides on withdrawal.

    Two impossible claims are corrected: a change in the future, and data that are not called stale although
    they are older than stale-after.
    """
    changed_at, observed = min(answer.changed_at, now.utc), answer.observed
    if answer.status is not Status.STALE and observed.age(now) > policy.stale_after:
        age = policy.stale_after
        observed = Instant(mono=now.mono - age, utc=now.utc - timedelta(seconds=age))
    if state.document is None:
        known = state.found
        same = known is not None and known.revision == answer.document.revision
        state = replace(state, document=answer.document, changes=known.changes if known and same else ())
    else:
        state = _changed(state, answer.document, at=changed_at)
    return replace(
        state,
        source=DataOrigin.UPSTREAM,
        observed=observed,
        changed_at=changed_at,
        absences={},
        told_egress=answer.egress,
    )


def _changed(state: State, document: Document, *, at: datetime) -> State:
    """Publish a document, remembering the change if it is one."""
    if state.document is None or document == state.document:
        # The same values: keep the object, whose canonical bytes and revision are made already.
        return state
    change = changes.between(state.document, document, at=at)
    return replace(
        state,
        document=document,
        changed_at=at,
        changes=(*state.changes, change)[-HISTORY_LENGTH:],
    )


def withhold(
    published: Document,
    answered: Document,
    *,
    absences: Mapping[str, Absence],
    now: Instant,
    absent_after: float,
) -> tuple[dict[str, Absence], dict[str, Any]]:
    """Decide list by list which published entries stay although the answer lacks the list.

    Args:
        published: What is published.
        answered: What the source answered.
        absences: The running absences before this answer, by field of ``Document``.
        now: When it answered.
        absent_after: Seconds that a list must have been missing.

    Returns:
        The running absences, and the lists to keep, both by field of ``Document``.
    """
    running: dict[str, Absence] = {}
    kept: dict[str, Any] = {}
    for name in LISTS:
        if getattr(answered, name) or not getattr(published, name):
            continue
        before = absences.get(name, Absence(since=now.mono, answers=0))
        absence = Absence(since=before.since, answers=before.answers + 1)
        if absence.answers < WITHDRAWAL_ANSWERS or now.mono - absence.since < absent_after:
            running[name] = absence
            kept[name] = getattr(published, name)
    return running, kept


def unconfirmed(published: Document, answered: Document, *, previous: Document | None) -> dict[str, Any]:
    """Decide list by list which published entries stay although the answer has only some of them.

    A list that gains entries, or has others in their place, counts at once.

    Args:
        published: What is published.
        answered: What the source answered.
        previous: Its answer before that, however long ago; ``None`` if there was none.

    Returns:
        The lists to keep, by field of ``Document``: a list is shortened once two answers in a row agree.
    """
    kept: dict[str, Any] = {}
    for name in LISTS:
        had, said = getattr(published, name), getattr(answered, name)
        if said and set(said) < set(had) and (previous is None or getattr(previous, name) != said):
            kept[name] = had
    return kept


def restore(state: State, found: Found, now: Instant, policy: Policy) -> State:
    """The state once it is known what an earlier run published.

    Whether this comes before or after the first answer makes no difference: the last answer is
    observed again on top of what was found, so that nothing found is lost unguarded. Of several
    places where something is found (a file, the Node), the one that was true last counts.
    """
    if found.egress_observed and state.observation.probes:
        at = now if found.observed_at is None else Instant.in_the_past(found.observed_at, now=now)
        observation = state.observation.restored(found.egress_observed, at=at)
        state = replace(state, observation=observation)
    known = state.found
    if known is not None and (
        found.document is None
        or found.observed_at is None
        or (
            known.document is not None
            and known.observed_at is not None
            and found.observed_at <= known.observed_at
        )
    ):
        # It adds nothing to what was found before.
        return state
    earlier = () if known is None else known.changes
    own = tuple(change for change in state.changes if change not in earlier)
    if found.document is None or found.observed_at is None:
        # Only a revision was found: its history is restored if it is still the revision.
        state = replace(state, found=found)
        if state.document is None or state.changes or state.document.revision != found.revision:
            return state
        return replace(state, changed_at=found.changed_at, changes=found.changes)
    restored = replace(
        state,
        found=found,
        document=found.document,
        source=DataOrigin.RESTORED,
        observed=Instant.in_the_past(found.observed_at, now=now),
        changed_at=found.changed_at,
        changes=found.changes,
        absences={},
        empty_answers=0,
    )
    if state.answer is None or state.answered is None:
        return restored
    # One answer, which is no second one to itself.
    observed = observe(replace(restored, answer=None), state.answer, state.answered, policy)
    return replace(
        observed,
        attempts=state.attempts,
        failure=state.failure,
        failures=state.failures,
        changes=(*found.changes, *own)[-HISTORY_LENGTH:] if own else observed.changes,
    )
