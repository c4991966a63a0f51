"""How one more outcome changes what the agent knows."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from sidecar.core.changes import HISTORY_LENGTH
from sidecar.core.document import EMPTY, LISTS, Document
from sidecar.core.outcome import NONE, Answer, Outcome, Reason, Status
from sidecar.core.state import (
    Attempt,
    Found,
    Policy,
    Snapshot,
    Source,
    State,
    observe,
    take_up,
    turns_stale_at,
)
from tests.core.examples import (
    FULL,
    answer,
    at,
    document,
    failure,
    failures,
    few_documents,
    inbound,
    outbound,
    public,
    utc,
)
from tests.support.faults import Origin, Promise, fault

POLICY = Policy(stale_after=300, absent_after=300)


def run(*steps: tuple[float, Outcome], state: State | None = None) -> State:
    """The state after these outcomes, each with its time in seconds."""
    state = state or State(started=at(0))
    for seconds, outcome in steps:
        state = observe(state, outcome, at(seconds), POLICY)
    return state


def without(name: str) -> Answer:
    """The answer that has the full document but for one list."""
    return answer(replace(FULL, **{name: ()}))


def judged(state: State, seconds: float) -> tuple[Status, Reason | None]:
    """Status and reason at a time."""
    snapshot = Snapshot.of(state, at(seconds), POLICY)
    assert snapshot.state is state
    return snapshot.status, snapshot.reason


# The first answer


def test_before_anything_the_status_is_starting() -> None:
    """A new agent is starting, without a reason, and can never become stale."""
    state = State(started=at(0))
    assert judged(state, 1_000_000) == (Status.STARTING, None)
    assert turns_stale_at(state, POLICY) is None


def test_first_document_counts_at_once() -> None:
    """The first document is published as it is, and nothing is a change yet."""
    state = run((10, answer(FULL)))
    assert (state.document, state.source, state.observed) == (FULL, Source.IMDS, at(10))
    assert (state.changed_at, state.changes) == (utc(10), ())
    assert judged(state, 10) == (Status.OK, None)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NO_METADATA])
def test_failures_before_any_answer_give_the_reason(reason: Reason) -> None:
    """Without an answer the status stays starting, with the reason of the last failure."""
    state = run((0, failure(Reason.UNAVAILABLE)), (1, failure(reason)))
    assert judged(state, 1_000_000) == (Status.STARTING, reason)
    assert state.failures == 2


@pytest.mark.parametrize("none", [NONE, answer(EMPTY)], ids=["404", "empty document"])
def test_none_is_accepted_after_three_answers(none: Answer) -> None:
    """Where nothing was published, "none" is believed at the third answer in a row, however quickly."""
    state = State(started=at(0))
    for seconds, status in ((0, Status.STARTING), (1, Status.STARTING), (2, Status.NO_METADATA)):
        state = run((seconds, none), state=state)
        assert judged(state, seconds) == (status, Reason.NO_METADATA)
    assert state.document == EMPTY
    assert (state.changed_at, state.changes) == (utc(2), ())


def test_failures_between_nones_neither_count_nor_reset() -> None:
    """Errors between the three answers do not matter, but the reason is that of the last attempt."""
    before = run((0, NONE), (1, failure()), (2, NONE), (3, failure(Reason.THROTTLED)))
    assert judged(before, 3) == (Status.STARTING, Reason.THROTTLED)
    assert judged(run((4, NONE), state=before), 4) == (Status.NO_METADATA, Reason.NO_METADATA)


def test_document_after_two_nones_counts_at_once() -> None:
    """Data that come before "none" is believed are the first document, and no change."""
    state = run((0, NONE), (1, NONE), (2, answer(FULL)))
    assert (state.document, state.changes, state.empty_answers) == (FULL, (), 0)
    assert judged(state, 2) == (Status.OK, None)


def test_document_after_accepted_none_is_a_change() -> None:
    """Data that come after "none" was published count at once and are a change."""
    state = run((0, NONE), (1, NONE), (2, NONE), (3, answer(FULL)))
    assert state.document == FULL
    assert [change.before for change in state.changes] == [EMPTY.revision]
    assert judged(state, 3) == (Status.OK, None)


# Withdrawal


@pytest.mark.parametrize("name", LISTS)
def test_missing_list_stays_until_the_rule_is_met(name: str) -> None:
    """A list that the answers lack stays published until three of them span absent-after."""
    gone = without(name)
    early = run((0, answer(FULL)), (10, gone), (20, gone), (30, gone), (309, gone))
    assert (early.document, early.changes) == (FULL, ())
    late = run((310, gone), state=early)
    assert late.document == gone.document
    assert late.changed_at == utc(310)
    assert late.absences == {}


def test_two_answers_are_too_few_however_late() -> None:
    """Time alone does not withdraw: the third answer does."""
    gone = without("outbound_rules")
    state = run((0, answer(FULL)), (10, gone), (10_000, gone))
    assert state.document == FULL
    assert run((10_001, gone), state=state).document == gone.document


def test_time_counts_from_the_first_answer_without_the_list() -> None:
    """The span begins with the first answer that lacked the list, not with the last that had it."""
    gone = without("inbound_rules")
    state = run((0, answer(FULL)), (250, gone), (300, gone), (400, gone), (549, gone))
    assert state.document == FULL
    assert run((550, gone), state=state).document == gone.document


def test_list_that_comes_back_starts_anew() -> None:
    """One answer with the list ends its absence; the next absence counts from its own beginning."""
    gone = without("public_ip_addresses")
    state = run((0, answer(FULL)), (10, gone), (100, gone), (200, answer(FULL)), (320, gone), (330, gone))
    assert run((340, gone), state=state).document == FULL
    assert run((340, gone), (620, gone), state=state).document == gone.document


def test_errors_neither_count_nor_reset() -> None:
    """Failures between the answers do not count as answers without the list and do not restart the span."""
    gone = without("outbound_rules")
    few = run((0, answer(FULL)), (10, gone), (20, failure()), (30, failure()), (500, gone))
    assert few.document == FULL
    enough = run((510, failure(Reason.MALFORMED)), (520, gone), state=few)
    assert enough.document == gone.document


def test_errors_alone_remove_nothing() -> None:
    """A million seconds of every kind of failure leave the document as it was."""
    steps = [(1000.0 * number, failure(reason)) for number, reason in enumerate(Reason, start=1)]
    state = run((0, answer(FULL)), *steps, (1_000_000, failure()))
    assert (state.document, state.observed, state.changes) == (FULL, at(0), ())


def test_lists_are_withdrawn_one_by_one() -> None:
    """Each list has its own absence: one is withdrawn while another, missing later, stays."""
    only_inbound = answer(document(inbound=inbound("20.20.20.20")))
    state = run((0, answer(FULL)), (10, without("outbound_rules")), (200, only_inbound), (310, only_inbound))
    assert state.document == replace(FULL, outbound_rules=())
    assert run((500, only_inbound), state=state).document == only_inbound.document


def test_none_withdraws_everything_by_the_same_rule() -> None:
    """The answer "there is none" lacks every list: it removes data as late as any answer."""
    state = run((0, answer(FULL)), (10, NONE), (20, NONE), (309, NONE))
    assert state.document == FULL
    assert judged(state, 309) == (Status.OK, None)
    state = run((310, NONE), state=state)
    assert state.document == EMPTY
    assert judged(state, 310) == (Status.NO_METADATA, Reason.NO_METADATA)


def test_flap_changes_nothing() -> None:
    """Data, a while of "none", and the same data again: no change, the same values, the same history."""
    before = run((0, answer(FULL)))
    after = run(*((10.0 * step, NONE) for step in range(1, 20)), (200, answer(FULL)), state=before)
    assert replace(after, attempts=before.attempts) == replace(
        before, answer=after.answer, answered=at(200), observed=at(200)
    )
    assert after.document is before.document


@pytest.mark.parametrize(
    "after",
    [
        replace(FULL, outbound_rules=(*FULL.outbound_rules, outbound("52.2.2.2"))),
        replace(FULL, outbound_rules=(outbound("52.2.2.2"),)),
        replace(FULL, public_ip_addresses=(public("20.1.2.4"),)),
        replace(FULL, inbound_rules=(inbound("20.20.20.20", port=80),)),
    ],
)
def test_gained_and_replaced_entries_count_at_once(after: Document) -> None:
    """A list that grew or was replaced is published with the very answer that says so."""
    state = run((0, answer(FULL)), (10, answer(after)))
    assert (state.document, state.changed_at) == (after, utc(10))


@fault(
    Origin.SERVICE,
    "A list shrinks but keeps entries",
    Promise(
        served="The shorter list with that very answer.",
        annotated="Within the splay; `last-changes` tells what went.",
        logged="`document-changed` with what went; `revision_changes_total`.",
        recovery="Nothing to recover from: it is believed.",
    ),
)
def test_shrunk_list_counts_at_once() -> None:
    """A list that lost entries but kept one is believed at once."""
    two = replace(FULL, outbound_rules=(*FULL.outbound_rules, outbound("52.2.2.2")))
    assert run((0, answer(two)), (10, answer(FULL))).document == FULL


def test_list_that_was_never_there_is_not_absent() -> None:
    """Only published lists can be missing: one that never had entries has no absence."""
    only_outbound = answer(document(out=outbound("52.1.1.1")))
    assert run((0, only_outbound), (10, only_outbound)).absences == {}


def test_withheld_list_and_changed_list_go_together() -> None:
    """An answer that replaces one list and lacks another changes the one and keeps the other."""
    moved = document(public=public("20.1.2.4"), inbound=inbound("20.20.20.20"))
    state = run((0, answer(FULL)), (10, answer(moved)))
    assert state.document == replace(FULL, public_ip_addresses=moved.public_ip_addresses)
    assert state.answer == answer(moved)
    assert [change.items for change in state.changes] == [("-public 20.1.2.3", "+public 20.1.2.4")]


# Time


def test_document_turns_stale_by_time() -> None:
    """After stale-after without an answer the status is stale, with the reason of the last failure."""
    state = run((0, answer(FULL)), (200, failure(Reason.THROTTLED)))
    assert turns_stale_at(state, POLICY) == at(300).mono
    assert judged(state, 299) == (Status.OK, None)
    assert judged(state, 300) == (Status.STALE, Reason.THROTTLED)


def test_stale_before_any_failure_is_unreachable() -> None:
    """Stale while the first attempt since the last answer still hangs is `unreachable`."""
    assert judged(run((0, answer(FULL))), 300) == (Status.STALE, Reason.UNREACHABLE)


def test_outage_after_none_is_stale() -> None:
    """An outage after "none" was accepted is stale like any other."""
    state = run((0, NONE), (1, NONE), (2, NONE), (3, failure(Reason.UNAVAILABLE)))
    assert judged(state, 301) == (Status.NO_METADATA, Reason.NO_METADATA)
    assert judged(state, 302) == (Status.STALE, Reason.UNAVAILABLE)


def test_answer_ends_staleness() -> None:
    """The first answer after an outage makes the status ok, and forgets the failures."""
    state = run((0, answer(FULL)), (400, failure()), (500, answer(FULL)))
    assert judged(state, 500) == (Status.OK, None)
    assert (state.failure, state.failures) == (None, 0)
    assert turns_stale_at(state, POLICY) == at(800).mono


def test_withheld_data_do_not_age() -> None:
    """While "none" is answered and data are held back, the data are as fresh as the last answer."""
    state = run((0, answer(FULL)), (250, NONE), (290, NONE))
    assert judged(state, 589) == (Status.OK, None)
    assert judged(state, 590) == (Status.STALE, Reason.UNREACHABLE)


@fault(
    Origin.CLOCK,
    "Floats round the moment of turning stale",
    Promise(
        served="`stale` at exactly that moment.",
        annotated="Not affected.",
        logged="Nothing: no timer spins.",
        recovery="Nothing to recover from.",
    ),
)
@given(
    st.floats(min_value=0, max_value=1e6), st.floats(min_value=0.001, max_value=1e5).map(lambda s: s * 1.1)
)
def test_timer_of_staleness_is_exact(observed: float, stale_after: float) -> None:
    """At the moment the timer names, the status is stale, whatever floats round to; so no timer spins."""
    policy = Policy(stale_after=stale_after, absent_after=300)
    state = observe(State(started=at(0)), answer(FULL), replace(at(0), mono=observed), policy)
    due = turns_stale_at(state, policy)
    assert due is not None
    assert state.status(replace(at(0), mono=due), policy) is Status.STALE


@fault(
    Origin.CLOCK,
    "The wall clock steps by a day, back or forward",
    Promise(
        served="As without the step: status, age and polls go by the monotonic clock.",
        annotated="No write and no reading is moved; `observed-at` and `changed-at` are of the new time.",
        logged="Nothing but the new times.",
        recovery="Nothing to recover from.",
    ),
)
def test_stepped_wall_clock_changes_nothing() -> None:
    """Status is decided on the monotonic clock: a wall clock that jumps by years does not matter."""
    state = run((0, answer(FULL)))
    assert state.status(replace(at(299), utc=utc(10**8)), POLICY) is Status.OK
    assert state.status(replace(at(300), utc=utc(-(10**8))), POLICY) is Status.STALE


# History


def test_same_document_again_keeps_history_and_values() -> None:
    """An answer that says the same refreshes the age and nothing else."""
    before = run((0, answer(FULL)))
    after = run((10, answer(Document.of(**{name: getattr(FULL, name) for name in LISTS}))), state=before)
    assert after.document is before.document
    assert (after.changed_at, after.changes, after.observed) == (utc(0), (), at(10))


def test_history_keeps_the_last_fifty_changes() -> None:
    """Of 60 changes the newest 50 are kept, newest last, each following from the one before."""
    steps = [(float(n), answer(document(out=outbound(f"52.0.0.{n}")))) for n in range(61)]
    state = run(*steps)
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
    """The last 10 attempts are remembered with time, outcome and detail; a take-up is none of them."""
    state = State(started=at(0))
    outcomes: list[Outcome] = [answer(FULL), NONE, *[failure(Reason.THROTTLED)] * 9]
    for second, outcome in enumerate(outcomes):
        state = observe(state, outcome, at(second), POLICY)
    assert [attempt.outcome for attempt in state.attempts] == ["no-metadata", *["throttled"] * 9]
    assert state.attempts[-1] == Attempt(at=utc(10), outcome="throttled", detail="as scripted")
    found = Found(revision=FULL.revision, changed_at=utc(-90), document=FULL, observed_at=utc(-60))
    assert take_up(state, found, at(11), POLICY).attempts == state.attempts
