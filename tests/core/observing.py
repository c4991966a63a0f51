"""What the agent knows after some outcomes, and what that is worth at a time."""

from sidecar.core.outcome import Outcome, Reason, Status
from sidecar.core.state import Snapshot, State, observe
from tests.core.examples import at
from tests.support.states import POLICY


def state_after(*steps: tuple[float, Outcome], state: State | None = None) -> State:
    """The state after these outcomes, each with its time in seconds."""
    state = state or State(started=at(0))
    for seconds, outcome in steps:
        state = observe(state, outcome, at(seconds), POLICY)
    return state


def judged(state: State, seconds: float) -> tuple[Status, Reason | None]:
    """Status and reason at a time."""
    snapshot = Snapshot.of(state, at(seconds), POLICY)
    assert snapshot.state is state
    return snapshot.status, snapshot.reason
