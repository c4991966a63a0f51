"""What becomes of a node agent's word: copied, never judged again."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sidecar.core.document import EMPTY, Document
from sidecar.core.outcome import Reason, Status
from sidecar.core.state import DataOrigin, Found, State, restore, turns_stale_at
from tests.core.examples import FULL, at, failure, utc
from tests.core.observing import judged, state_after
from tests.core.upstream import NODE, OTHER, said
from tests.support.faults import Origin, Promise, fault
from tests.support.states import POLICY


def test_first_word_counts_at_once() -> None:
    """The first answer is published as it is: also "none", which the agent has waited for already."""
    for published, status in ((FULL, Status.OK), (EMPTY, Status.NO_METADATA)):
        state = state_after((10, said(published, age=5, now=10)))
        assert (state.document, state.source, state.observed) == (published, DataOrigin.UPSTREAM, at(5))
        assert (state.changed_at, state.changes, state.node(None)) == (utc(-3600), (), NODE)
        assert judged(state, 10)[0] is status


def test_withdrawal_counts_at_once() -> None:
    """What the agent has withdrawn is withdrawn: absent-after is not applied again."""
    state = state_after((0, said()), (1, said(EMPTY)))
    assert state.document == EMPTY
    assert judged(state, 1) == (Status.NO_METADATA, Reason.NO_METADATA)


def test_change_is_remembered() -> None:
    """A change goes into the history under the time that the agent says."""
    state = state_after((0, said()), (10, replace(said(OTHER), changed_at=utc(8))))
    assert state.changed_at == utc(8)
    assert [(change.at, change.items) for change in state.changes] == [
        (utc(8), ("-public 20.1.2.3", "+public 20.1.2.4"))
    ]


def test_same_document_stays_the_same_object() -> None:
    """An answer that brings nothing new makes no new document."""
    state = state_after((0, said()))
    assert state_after((10, said(replace(FULL))), state=state).document is state.document


@pytest.mark.parametrize("status", [Status.OK, Status.STALE])
def test_status_is_the_agents(status: Status) -> None:
    """Neither a small nor a great age is judged again while the agent answers."""
    reason = Reason.THROTTLED if status is Status.STALE else None
    for age in (0, 10_000):
        state = state_after((0, said(status=status, reason=reason, age=age)))
        assert judged(state, 299) == (status, reason)


@fault(
    Origin.SERVICE,
    "A sidecar's node agent says that data are decades old and good, or have changed in the future",
    Promise(
        served="Its data and status; an age of at most stale-after, and a change of this moment.",
        annotated="Not affected: a sidecar annotates nothing.",
        logged="Nothing.",
        recovery="With the first answer that tells a time that can be.",
    ),
)
@pytest.mark.parametrize("document", [FULL, EMPTY], ids=["data", "none"])
def test_impossible_times_are_bounded(document: Document) -> None:
    """Good data are at most stale-after old, and no change is yet to come, in the history neither."""
    lie = replace(said(document, age=999_999_999), changed_at=datetime(9999, 12, 31, tzinfo=UTC))
    for before in ((), ((-10, said(OTHER)),)):
        state = state_after(*before, (0, lie))
        assert state.observed == at(-POLICY.stale_after)
        assert state.changed_at == utc(0)
        assert [change.at for change in state.changes] == [utc(0)] * len(before)
        assert judged(state, 0)[0] is lie.status


def test_stale_data_may_be_of_any_age() -> None:
    """Of data that are stale by the agent's own word, the age is what it says."""
    state = state_after((0, said(status=Status.STALE, age=999_999_999)))
    assert state.observed == at(-999_999_999)


def test_unreachable_agent_turns_stale() -> None:
    """Its last data stay, and are stale once they are older than stale-after."""
    state = state_after((0, said(age=100)), (10, failure(Reason.UNREACHABLE)))
    assert turns_stale_at(state, POLICY) == at(200).mono
    assert judged(state, 199) == (Status.OK, None)
    assert judged(state, 200) == (Status.STALE, Reason.UNREACHABLE)
    assert state.document == FULL


def test_agent_that_never_answers_again_turns_stale() -> None:
    """A request that hangs is no sign of life: stale-after counts from the last answer."""
    state = state_after((0, said(age=100)))
    assert turns_stale_at(state, POLICY) == at(300).mono
    assert judged(state, 300) == (Status.STALE, Reason.UNREACHABLE)


def test_failure_comes_before_the_agents_reason() -> None:
    """Why there is nothing newer is first of all that the agent is away."""
    state = state_after(
        (0, said(status=Status.STALE, reason=Reason.THROTTLED)), (1, failure(Reason.UNREACHABLE))
    )
    assert judged(state, 2) == (Status.STALE, Reason.UNREACHABLE)


def test_recovered_agent_is_believed_again() -> None:
    """The first answer after an outage ends it."""
    state = state_after((0, said()), (10, failure()), (1000, said(now=1000)))
    assert judged(state, 1000) == (Status.OK, None)
    assert (state.failures, state.changes) == (0, ())


def test_own_name_comes_first() -> None:
    """The node is the one that was given, else the agent's word, else nobody's."""
    state = state_after((0, said()))
    assert (state.node("own"), state.node(None)) == ("own", NODE)
    assert State(started=at(0)).node(None) is None


def test_name_that_was_found_goes_with_what_was_found() -> None:
    """What an earlier run published is that run's node's, until there is an answer that counts instead."""
    found = Found(
        revision=FULL.revision, changed_at=utc(-60), document=FULL, observed_at=utc(-30), node="found"
    )
    state = restore(State(started=at(0)), found, at(0), POLICY)
    assert (state.node("own"), state.node(None)) == ("own", "found")
    assert state_after((1, failure(Reason.UNREACHABLE)), state=state).node(None) == "found"
    assert state_after((1, said(OTHER)), state=state).node(None) == NODE


@pytest.mark.parametrize("found_first", [True, False])
def test_file_of_an_earlier_run(*, found_first: bool) -> None:
    """What was restored is served as stale until the agent answers, and its change is a change."""
    found = Found(revision=FULL.revision, changed_at=utc(-60), document=FULL, observed_at=utc(-30))
    state = State(started=at(0))
    if found_first:
        state = restore(state, found, at(0), POLICY)
        assert judged(state, 0) == (Status.STALE, Reason.UNREACHABLE)
    state = state_after((1, said(OTHER)), state=state)
    if not found_first:
        state = restore(state, found, at(2), POLICY)
    assert (state.document, state.source, state.observed) == (OTHER, DataOrigin.UPSTREAM, at(0))
    assert judged(state, 2) == (Status.OK, None)
    assert [change.before for change in state.changes] == [FULL.revision]


def test_known_revision_keeps_its_history() -> None:
    """Where only a revision was found, its history is kept if the agent still says that revision."""
    changes = state_after((0, said(OTHER)), (1, said())).changes
    found = Found(revision=FULL.revision, changed_at=utc(-60), changes=changes)
    state = restore(State(started=at(0)), found, at(0), POLICY)
    assert state_after((1, said()), state=state).changes == changes
    assert state_after((1, said(OTHER)), state=state).changes == ()
