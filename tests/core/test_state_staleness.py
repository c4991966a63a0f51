"""Time alone makes the state stale, by the monotonic clock."""

from dataclasses import replace

from hypothesis import given, strategies as st

from sidecar.core.outcome import NONE, Reason, Status
from sidecar.core.state import Policy, State, observe, turns_stale_at
from tests.core.examples import FULL, answer, at, failure, utc
from tests.core.observing import judged, state_after
from tests.support.faults import Origin, Promise, fault
from tests.support.states import POLICY


def test_document_turns_stale_by_time() -> None:
    """After stale-after without an answer the status is stale, with the reason of the last failure."""
    state = state_after((0, answer(FULL)), (200, failure(Reason.THROTTLED)))
    assert turns_stale_at(state, POLICY) == at(300).mono
    assert judged(state, 299) == (Status.OK, None)
    assert judged(state, 300) == (Status.STALE, Reason.THROTTLED)


def test_stale_before_any_failure_is_unreachable() -> None:
    """Stale while the first attempt since the last answer still hangs is `unreachable`."""
    assert judged(state_after((0, answer(FULL))), 300) == (Status.STALE, Reason.UNREACHABLE)


def test_outage_after_none_is_stale() -> None:
    """An outage after "none" was accepted is stale like any other."""
    state = state_after((0, NONE), (1, NONE), (2, NONE), (3, failure(Reason.UNAVAILABLE)))
    assert judged(state, 301) == (Status.NO_METADATA, Reason.NO_METADATA)
    assert judged(state, 302) == (Status.STALE, Reason.UNAVAILABLE)


def test_answer_ends_staleness() -> None:
    """The first answer after an outage makes the status ok, and forgets the failures."""
    state = state_after((0, answer(FULL)), (400, failure()), (500, answer(FULL)))
    assert judged(state, 500) == (Status.OK, None)
    assert (state.failure, state.failures) == (None, 0)
    assert turns_stale_at(state, POLICY) == at(800).mono


def test_withheld_data_do_not_age() -> None:
    """While "none" is answered and data are held back, the data are as fresh as the last answer."""
    state = state_after((0, answer(FULL)), (250, NONE), (290, NONE))
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
    state = state_after((0, answer(FULL)))
    assert state.status(replace(at(299), utc=utc(10**8)), POLICY) is Status.OK
    assert state.status(replace(at(300), utc=utc(-(10**8))), POLICY) is Status.STALE
