"""What an earlier run published is restored, before or after the first answer."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from sidecar.core.changes import Change, between
from sidecar.core.document import EMPTY, LISTS, Document
from sidecar.core.outcome import NONE, Failure, Outcome, Reason, Status, Success
from sidecar.core.state import DataOrigin, Found, State, observe, restore, turns_stale_at
from tests.core.examples import (
    FULL,
    MOVED,
    answer,
    at,
    document,
    failure,
    failures,
    few_documents,
    outbound,
    utc,
)
from tests.support.states import POLICY

OLD_CHANGES = (Change(at=utc(-7000), items=("~rules",)), Change(at=utc(-3600), items=("+public 20.1.2.3",)))


def found(published: Document = FULL, *, observed: float | None = -60, served: bool = True) -> Found:
    """What an earlier run published, `observed` seconds from the start; with its document if `served`."""
    return Found(
        revision=published.revision,
        changed_at=utc(-3600),
        changes=OLD_CHANGES,
        document=published if served else None,
        observed_at=None if observed is None else utc(observed),
    )


def take(state: State, found: Found, *, seconds: float) -> State:
    """Take up at a time."""
    return restore(state, found, at(seconds), POLICY)


def see(state: State, outcome: Outcome, *, seconds: float) -> State:
    """Observe at a time."""
    return observe(state, outcome, at(seconds), POLICY)


NEW = State(started=at(0))


def test_found_document_is_served_as_stale() -> None:
    """A document found is served as restored and stale, with its own age."""
    state = take(NEW, found(), seconds=5)
    assert (state.document, state.source, state.observed) == (FULL, DataOrigin.RESTORED, at(-60))
    assert (state.changed_at, state.changes) == (utc(-3600), OLD_CHANGES)
    assert state.status(at(5), POLICY) is Status.STALE
    assert state.reason(Status.STALE) is Reason.UNREACHABLE
    assert turns_stale_at(state, POLICY) is None


def test_failures_after_restoring_give_the_reason() -> None:
    """An outage at start leaves the restored document, with the reason of the last failure."""
    state = see(take(NEW, found(), seconds=5), failure(Reason.THROTTLED), seconds=6)
    assert (state.document, state.status(at(6), POLICY)) == (FULL, Status.STALE)
    assert state.reason(Status.STALE) is Reason.THROTTLED


def test_age_of_a_document_from_the_future_is_zero() -> None:
    """A document observed in the future, by a clock that was wrong, has age 0."""
    state = take(NEW, found(observed=10**8), seconds=5)
    assert state.observed == at(5)
    assert state.observed.age(at(5)) == 0


def test_age_of_a_document_from_long_ago_is_kept() -> None:
    """An age is taken once, however long, and then grows with the monotonic clock alone."""
    state = take(NEW, found(observed=-(10**9)), seconds=5)
    assert state.observed is not None
    assert state.observed.age(replace(at(15), utc=utc(-500))) == 10**9 + 15


def test_same_document_rewrites_nothing() -> None:
    """The first answer, if it says what was found, keeps the changed-at and history of the earlier run."""
    state = see(take(NEW, found(), seconds=5), answer(FULL), seconds=10)
    assert (state.source, state.observed) == (DataOrigin.IMDS, at(10))
    assert (state.changed_at, state.changes) == (utc(-3600), OLD_CHANGES)
    assert state.status(at(10), POLICY) is Status.OK


def test_other_document_is_a_change_from_what_was_found() -> None:
    """A first answer that differs from what was found is one more change in the found history."""
    state = see(take(NEW, found(), seconds=5), answer(MOVED), seconds=10)
    assert state.changed_at == utc(10)
    assert state.changes == (*OLD_CHANGES, between(FULL, MOVED, at=utc(10)))


def test_found_lists_are_withdrawn_by_the_rule() -> None:
    """An agent restarted while its metadata service says "none" removes nothing early."""
    state = take(NEW, found(), seconds=5)
    for seconds in (10, 20, 309):
        state = see(state, NONE, seconds=seconds)
        assert (state.document, state.status(at(seconds), POLICY)) == (FULL, Status.OK)
    state = see(state, NONE, seconds=310)
    assert (state.document, state.status(at(310), POLICY)) == (EMPTY, Status.NO_METADATA)


def test_late_restoring_guards_what_the_first_answer_lacked() -> None:
    """A list that the first answer lacked comes back with the restoring and is then withdrawn by the rule."""
    lacking = answer(replace(FULL, outbound_rules=()))
    state = take(see(NEW, lacking, seconds=10), found(), seconds=20)
    assert (state.document, state.changes) == (FULL, OLD_CHANGES)
    state = see(see(state, lacking, seconds=30), lacking, seconds=309)
    assert state.document == FULL
    assert see(state, lacking, seconds=310).document == lacking.document


def test_late_restoring_counts_a_first_none() -> None:
    """A "none" that came before the restoring is the first of the answers without the found lists."""
    state = take(see(NEW, NONE, seconds=10), found(), seconds=20)
    assert (state.document, state.source, state.observed) == (FULL, DataOrigin.IMDS, at(10))
    state = see(see(state, NONE, seconds=30), NONE, seconds=310)
    assert state.document == EMPTY


def test_late_restoring_keeps_the_failure() -> None:
    """A failure after the first answer is still the reason after a restore."""
    state = see(see(NEW, answer(FULL), seconds=1), failure(Reason.THROTTLED), seconds=2)
    state = take(state, found(), seconds=3)
    assert (state.failure, state.failures) == (failure(Reason.THROTTLED), 1)


def test_found_none_is_confirmed_by_one_answer() -> None:
    """An earlier run's accepted "none" needs no three answers again."""
    state = take(NEW, found(EMPTY), seconds=5)
    assert state.status(at(5), POLICY) is Status.STALE
    assert see(state, NONE, seconds=10).status(at(10), POLICY) is Status.NO_METADATA


def test_late_restoring_follows_changes_of_this_run() -> None:
    """Changes seen before a late restoring stand after those of the earlier run, 50 in all."""
    state = see(see(see(NEW, answer(FULL), seconds=1), answer(MOVED), seconds=2), answer(FULL), seconds=3)
    state = take(state, found(), seconds=4)
    assert state.document == FULL
    assert state.changes == (
        *OLD_CHANGES,
        between(FULL, MOVED, at=utc(2)),
        between(MOVED, FULL, at=utc(3)),
    )


@pytest.mark.parametrize(
    "known",
    [found(served=False), found(observed=None)],
    ids=["no document", "no observed-at"],
)
def test_revision_alone_serves_nothing(known: Found) -> None:
    """Without a document, or without knowing when it was true, nothing is served from restoring."""
    state = take(NEW, known, seconds=5)
    assert (state.document, state.status(at(5), POLICY)) == (None, Status.STARTING)
    assert state.found is known


@pytest.mark.parametrize("late", [False, True])
def test_revision_alone_keeps_changed_at_and_history(late: bool) -> None:  # noqa: FBT001 - both orders
    """If the first answer has the found revision, changed-at and history go on."""
    known = found(served=False)
    if late:
        state = take(see(NEW, answer(FULL), seconds=1), known, seconds=5)
    else:
        state = see(take(NEW, known, seconds=1), answer(FULL), seconds=5)
    assert (state.changed_at, state.changes) == (utc(-3600), OLD_CHANGES)
    assert state.status(at(5), POLICY) is Status.OK


@pytest.mark.parametrize("late", [False, True])
def test_revision_alone_of_another_document_is_forgotten(late: bool) -> None:  # noqa: FBT001 - both orders
    """If the first answer has another revision, its changed-at is its own and there is no history."""
    known = found(served=False)
    if late:
        state = take(see(NEW, answer(MOVED), seconds=5), known, seconds=6)
    else:
        state = see(take(NEW, known, seconds=1), answer(MOVED), seconds=5)
    assert (state.changed_at, state.changes) == (utc(5), ())


def test_revision_alone_after_a_change_is_too_late() -> None:
    """Once this run has seen a change, a revision found is no longer where it began."""
    state = see(see(NEW, answer(MOVED), seconds=1), answer(FULL), seconds=2)
    taken = take(state, found(served=False), seconds=3)
    assert (taken.changed_at, taken.changes) == (state.changed_at, state.changes)


found_things = st.builds(
    found, few_documents, observed=st.sampled_from([-60, -100_000, None]), served=st.booleans()
)
errors = st.lists(failures, max_size=3)


@given(found_things, errors, few_documents.map(answer) | st.just(NONE), errors, st.data())
def test_restoring_before_or_after_the_first_answer_is_the_same(
    known: Found, before: list[Failure], first: Success, after: list[Failure], data: st.DataObject
) -> None:
    """Whenever the restoring comes, as long as one answer has come at most, the state is the same."""
    outcomes: list[Outcome] = [*before, first, *after]
    moment = data.draw(st.integers(min_value=0, max_value=len(outcomes)))
    assert _restored_at(0, known, outcomes) == _restored_at(moment, known, outcomes)


def _restored_at(moment: int, known: Found, outcomes: list[Outcome]) -> State:
    """The state after outcomes ten seconds apart, with the restoring five seconds before one of them."""
    state = NEW
    for number, outcome in enumerate(outcomes):
        if number == moment:
            state = take(state, known, seconds=10 * number + 5)
        state = see(state, outcome, seconds=10 * number + 10)
    return take(state, known, seconds=10 * moment + 5) if moment == len(outcomes) else state


served_documents = st.builds(found, few_documents, observed=st.sampled_from([-60, -100_000]))


@given(served_documents, st.lists(few_documents.map(answer) | st.just(NONE) | failures, max_size=8))
def test_late_restoring_loses_nothing(known: Found, outcomes: list[Outcome]) -> None:
    """However many answers came first, each list is as last answered or, if that lacked entries, as found."""
    state = NEW
    for number, outcome in enumerate(outcomes):
        state = see(state, outcome, seconds=100 * number)
    taken = take(state, known, seconds=1000)
    answered = state.answer.document if state.answer else EMPTY
    for name in LISTS:
        said, had = getattr(answered, name), getattr(known.document, name)
        assert getattr(taken.document, name) == (had if not said or set(said) < set(had) else said)


def test_history_of_found_and_own_changes_is_bounded() -> None:
    """Fifty found changes and one of our own are fifty, the newest kept."""
    many = tuple(Change(at=utc(-n), items=("~rules",)) for n in range(150, 100, -1))
    known = replace(found(), changes=many)
    early = see(take(NEW, known, seconds=1), answer(MOVED), seconds=5)
    late = take(see(see(NEW, answer(FULL), seconds=4), answer(MOVED), seconds=5), known, seconds=6)
    for state in (early, late):
        assert state.changes == (*many[1:], between(FULL, MOVED, at=utc(5)))


def test_document_of_another_list_is_merged() -> None:
    """What was found and what the first answer adds stand together until the rule withdraws one."""
    only_outbound = document(out=outbound("52.1.1.1"))
    only_rest = replace(FULL, outbound_rules=())
    state = take(see(NEW, answer(only_rest), seconds=10), found(only_outbound), seconds=20)
    assert state.document == FULL


@pytest.mark.parametrize("late", [False, True])
def test_of_two_places_the_one_that_was_true_last_counts(late: bool) -> None:  # noqa: FBT001 - both orders
    """Whatever the order of file and Node, the newer one is restored, and its history only once."""
    older, newer = found(observed=-60), found(MOVED, observed=-30)
    first, second = (older, newer) if late else (newer, older)
    state = see(take(take(NEW, first, seconds=1), second, seconds=2), answer(MOVED), seconds=3)
    assert state.document == MOVED
    assert state.changes == newer.changes


def test_second_place_after_the_first_answer_repeats_no_history() -> None:
    """A restoring of the same facts from another place, after a change, adds nothing twice."""
    state = see(take(NEW, found(observed=-60), seconds=1), answer(MOVED), seconds=2)
    again = take(state, found(observed=-30), seconds=3)
    assert again.changes == state.changes
    assert again.changes == (*OLD_CHANGES, between(FULL, MOVED, at=utc(2)))
