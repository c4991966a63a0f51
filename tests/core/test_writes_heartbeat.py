"""When `observed-at` is refreshed although nothing has changed."""

from dataclasses import replace

import pytest

from sidecar.core.writes import WriteState
from tests.core.examples import MOVED, at
from tests.core.writing import SCHEDULE, Writer, answered, key, ok, written


@pytest.mark.parametrize(("fraction", "interval"), [(0, 2880), (0.5, 3600), (1, 4320)])
def test_observed_at_is_refreshed_after_the_heartbeat_interval(fraction: float, interval: float) -> None:
    """Where nothing else is written, `observed-at` is, 20 % sooner or later, and nothing before."""
    writer = written(fraction=fraction)
    answered(writer, start=5, end=4500)
    assert writer.times == [0, interval]
    assert writer.writes[1].changed == {"observed-at"}


def test_heartbeat_counts_from_the_last_write() -> None:
    """Any other write puts the heartbeat off."""
    writer = written()
    answered(writer, start=5, end=2000)
    answered(writer, MOVED, start=2000, end=6000)
    assert writer.times == [0, 2015, 5615]


def test_heartbeat_can_be_off() -> None:
    """With an interval of 0, `observed-at` alone is never written."""
    writer = Writer(replace(SCHEDULE, heartbeat_interval=0))
    answered(writer, start=0, end=20_000, step=100)
    assert writer.times == [0]


def test_no_heart_beats_without_answers() -> None:
    """Where `observed-at` has not moved there is nothing to refresh."""
    writer = written()
    writer.run(ok(), 0, 20_000)
    assert [sorted(change.changed) for change in writer.writes[1:]] == [["reason", "status"]]


def test_second_process_goes_on_with_the_heartbeat_of_the_first() -> None:
    """After a restart the heartbeat follows `observed-at` as found: due when the first would have written."""
    writer = Writer(node=written().node)
    answered(writer, start=1000, end=4000)
    assert writer.times == [3600]


def test_node_without_observed_at_has_its_heartbeat_after_an_interval() -> None:
    """Where the time is missing or garbled, the interval begins now."""
    for text in ("", "long ago"):
        write_state = SCHEDULE.was_read(WriteState(), {key("observed-at"): text}, now=at(500), fraction=0.5)
        assert write_state.heartbeat_at == at(500 + 3600).mono


def test_forged_future_is_put_right_by_the_heartbeat() -> None:
    """An `observed-at` of the far future is replaced when the heartbeat is due, however often it is read."""
    node = written().node
    node.annotate(key("observed-at"), "9999-12-31T23:59:59Z")
    writer = Writer(node=node)
    answered(writer, start=1000, end=6000)
    assert writer.times == [4600]
    assert str(writer.value("observed-at")).startswith("2026-01-02T")


def test_heartbeat_never_comes_within_the_splay() -> None:
    """A heartbeat interval shorter than the splay does not write more often than the splay allows."""
    writer = Writer(replace(SCHEDULE, heartbeat_interval=5))
    answered(writer, start=0, end=100)
    assert writer.times == [0, 30, 60, 90]
