"""How one more outcome changes what the agent knows: the first answer, and the history."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from sidecar.core.changes import HISTORY_LENGTH
from sidecar.core.document import EMPTY, LISTS, Document
from sidecar.core.outcome import NONE, Attempt, Outcome, Reason, Status, Success
from sidecar.core.state import DataOrigin, Found, State, observe, restore, turns_stale_at
from tests.core.examples import FULL, answer, at, document, failure, failures, few_documents, outbound, utc
from tests.core.observing import judged, state_after
from tests.support.states import POLICY

# The first answer


def test_before_anything_the_status_is_starting() -> None:
    """A new agent is starting, without a reason, and can never become stale."""
    state = State(started=at(0))
    assert judged(state, 1_000_000) == (Status.STARTING, None)
    assert turns_stale_at(state, POLICY) is None


def test_first_document_counts_at_once() -> None:
    """The first document is published as it is, and nothing is a change yet."""
    state = state_after((10, answer(FULL)))
    assert (state.document, state.source, state.observed) == (FULL, DataOrigin.IMDS, at(10))
    assert (state.changed_at, state.changes) == (utc(10), ())
    assert judged(state, 10) == (Status.OK, None)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NO_METADATA])
def test_failures_before_any_answer_give_the_reason(reason: Reason) -> None:
    """Without an answer the status stays starting, with the reason of the last failure."""
    state = state_after((0, failure(Reason.UNAVAILABLE)), (1, failure(reason)))
    assert judged(state, 1_000_000) == (Status.STARTING, reason)
    assert state.failures == 2


@pytest.mark.parametrize("none", [NONE, answer(EMPTY)], ids=["404", "empty document"])
def test_none_is_accepted_after_three_answers(none: Success) -> None:
    """Where nothing was published, "none" is believed at the third answer in a row, however quickly."""
    state = State(started=at(0))
    for seconds, status in ((0, Status.STARTING), (1, Status.STARTING), (2, Status.NO_METADATA)):
        state = state_after((seconds, none), state=state)
        assert judged(state, seconds) == (status, Reason.NO_METADATA)
    assert state.document == EMPTY
    assert (state.changed_at, state.changes) == (utc(2), ())


def test_failures_between_nones_neither_count_nor_reset() -> None:
    """Errors between the three answers do not matter, but the reason is that of the last attempt."""
    before = state_after((0, NONE), (1, failure()), (2, NONE), (3, failure(Reason.THROTTLED)))
    assert judged(before, 3) == (Status.STARTING, Reason.THROTTLED)
    assert judged(state_after((4, NONE), state=before), 4) == (Status.NO_METADATA, Reason.NO_METADATA)


def test_document_after_two_nones_counts_at_once() -> None:
    """Data that come before "none" is believed are the first document, and no change."""
    state = state_after((0, NONE), (1, NONE), (2, answer(FULL)))
    assert (state.document, state.changes, state.empty_answers) == (FULL, (), 0)
    assert judged(state, 2) == (Status.OK, None)


def test_document_after_accepted_none_is_a_change() -> None:
    """Data that come after "none" was published count at once and are a change."""
    state = state_after((0, NONE), (1, NONE), (2, NONE), (3, answer(FULL)))
    assert state.document == FULL
    assert [change.before for change in state.changes] == [EMPTY.revision]
    assert judged(state, 3) == (Status.OK, None)


# History


def test_same_document_again_keeps_history_and_values() -> None:
    """An answer that says the same refreshes the age and nothing else."""
    before = state_after((0, answer(FULL)))
    after = state_after(
        (10, answer(Document.of(**{name: getattr(FULL, name) for name in LISTS}))), state=before
    )
    assert after.document is before.document
    assert (after.changed_at, after.changes, after.observed) == (utc(0), (), at(10))


def test_history_keeps_the_last_fifty_changes() -> None:
    """Of 60 changes the newest 50 are kept, newest last, each following from the one before."""
    steps = [(float(n), answer(document(out=outbound(f"52.0.0.{n}")))) for n in range(61)]
    state = state_after(*steps)
    assert len(state.changes) == HISTORY_LENGTH == 50
    assert [change.at for change in state.changes] == [utc(n) for n in range(11, 61)]
    for before, after in pairwise(state.changes):
        assert before.after == after.before


@given(st.lists(st.tuples(st.integers(1, 400), few_documents.map(answer) | st.just(NONE) | failures)))
def test_observing_never_touches_the_state_it_was_given(steps: list[tuple[int, Outcome]]) -> None:
    """A state is a value: what comes after it does not change it."""
    states, copies, seconds = [State(started=at(0))], [State(started=at(0))], 0
    for pause, outcome in steps:
        seconds += pause
        states.append(observe(states[-1], outcome, at(seconds), POLICY))
        copies.append(replace(states[-1], absences=dict(states[-1].absences)))
    assert states == copies


def test_attempts_are_remembered() -> None:
    """The last 10 attempts are remembered with time, outcome and detail; a restore is none of them."""
    state = State(started=at(0))
    outcomes: list[Outcome] = [answer(FULL), NONE, *[failure(Reason.THROTTLED)] * 9]
    for second, outcome in enumerate(outcomes):
        state = observe(state, outcome, at(second), POLICY)
    assert [attempt.outcome for attempt in state.attempts] == ["no-metadata", *["throttled"] * 9]
    assert state.attempts[-1] == Attempt(at=utc(10), outcome="throttled", detail="as scripted")
    found = Found(revision=FULL.revision, changed_at=utc(-90), document=FULL, observed_at=utc(-60))
    assert restore(state, found, at(11), POLICY).attempts == state.attempts
