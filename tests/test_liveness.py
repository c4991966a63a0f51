"""Which loops still turn."""

import pytest

from sidecar.runtime import Liveness
from tests.support.fakes import virtual_now
from tests.support.states import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def liveness(clock: FakeClock) -> Liveness:
    """The due times of no loop."""
    return Liveness(clock)


def test_nothing_expected(clock: FakeClock, liveness: Liveness) -> None:
    """Where no loop has announced itself none is missed."""
    clock.advance(1e6)

    assert liveness.overdue() == []


def test_overdue(clock: FakeClock, liveness: Liveness) -> None:
    """A loop is overdue once its turn is more than 30 s late."""
    liveness.expect("poller", at=clock.now.mono + 10)

    clock.advance(40)
    assert liveness.overdue() == []

    clock.advance(0.1)
    assert liveness.overdue() == ["poller"]


def test_a_turn_that_comes_after_all(clock: FakeClock, liveness: Liveness) -> None:
    """A loop that announces its next turn is alive again."""
    liveness.expect("poller", at=clock.now.mono)
    clock.advance(100)
    liveness.expect("poller", at=clock.now.mono + 10)

    assert liveness.overdue() == []


def test_waiting_for_an_event(clock: FakeClock, liveness: Liveness) -> None:
    """A loop that waits for an event may wait for ever, also one that announced nothing before."""
    liveness.expect("node", at=clock.now.mono)
    liveness.expect("node", at=None)
    liveness.expect("file", at=None)
    clock.advance(1e6)

    assert liveness.overdue() == []


def test_several(clock: FakeClock, liveness: Liveness) -> None:
    """Each loop has its own time; those overdue are named in order."""
    for loop, seconds in (("poller", 0), ("file", 10), ("node", 1000)):
        liveness.expect(loop, at=clock.now.mono + seconds)
    clock.advance(100)

    assert liveness.overdue() == ["file", "poller"]


@pytest.mark.looptime
@pytest.mark.parametrize(("seconds", "slept"), [(25.0, 25.0), (0.0, 0.0), (-5.0, 0.0)])
async def test_sleeping_until_a_turn(seconds: float, slept: float) -> None:
    """A loop sleeps until its turn, not at all if that has passed, and is expected then."""
    liveness = Liveness(virtual_now)
    begun = virtual_now().mono

    await liveness.sleep_until("poller", begun + seconds)

    assert virtual_now().mono == pytest.approx(begun + slept)
    assert liveness.overdue() == []
