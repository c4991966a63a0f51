"""When a Node is written: at once, later, or not at all."""

from dataclasses import replace

import pytest

from sidecar.core.document import EMPTY, Document
from sidecar.core.instant import Instant
from sidecar.core.writes import Read, Wait, Write, WriteState
from tests.core.examples import ELSEWHERE, FULL, MOVED, at, public, utc
from tests.core.writing import BARE, BOTH, GROWN, SCHEDULE, Writer, ok, written
from tests.support.faults import also_shows

# The first write


def test_unread_node_is_read_before_anything() -> None:
    """Nothing is written before the Node has been read, whatever is wanted."""
    wanted = SCHEDULE.desired(ok(), {}, at(0))
    for values in (None, wanted):
        assert SCHEDULE.towards(WriteState(), values, now=1000, fraction=0) == (WriteState(), Read())


@pytest.mark.parametrize("fraction", [0, 0.5, 1])
def test_first_write_is_at_once(fraction: float) -> None:
    """The first write of a process does not wait, whatever the chance."""
    writer = Writer(fraction=lambda: fraction)
    writer.turn(ok(), 7)
    assert (writer.reads, writer.times) == ([7], [7])
    assert writer.node.annotations == SCHEDULE.desired(ok(), {}, at(7))


def test_node_that_says_so_already_is_left_alone() -> None:
    """A second process that finds what it wants, older only by its `observed-at`, writes nothing."""
    node = written().node
    again = Writer(node=node)
    again.run(ok(seconds=1000, started=1000), 1000, 1200)
    assert (again.reads, again.writes, node.version) == ([1000], [], 2)


def test_change_soon_after_a_quiet_start_is_written_at_once() -> None:
    """A process that finds other data than it has writes them with its start."""
    again = Writer(node=written().node)
    again.turn(ok(seconds=1000, started=1000), 1000)
    again.run(ok(MOVED, seconds=1010, started=1000), 1010, 1011)
    assert again.times == [1010]


def test_change_long_after_a_quiet_start_waits_like_any_other() -> None:
    """All agents that were restarted quietly must not write a change of everybody's at the same moment."""
    again = Writer(node=written().node)
    again.turn(ok(seconds=1000, started=1000), 1000)
    again.run(ok(MOVED, seconds=1100, started=1000), 1100, 1200)
    assert again.times == [1115]


# Later writes


@pytest.mark.parametrize("fraction", [0.25, 1])
def test_other_changes_wait_a_random_part_of_the_splay(fraction: float) -> None:
    """A change that brings no public IP is written within the splay, as chance has it."""
    writer = written(fraction=fraction)
    due = 100 + 30 * fraction
    assert writer.turn(ok(MOVED), 100) == due
    assert writer.turn(ok(MOVED), due - 0.001) == due
    assert writer.times == [0]
    writer.turn(ok(MOVED), due)
    assert writer.times == [0, due]
    assert writer.value("outbound-ips") == "52.2.2.2"


def test_further_changes_do_not_put_a_write_off() -> None:
    """What is due is due: newer changes go with it, and draw no other time."""
    writer = written(fraction=1)
    assert writer.turn(ok(MOVED), 100) == 130
    writer.fraction = lambda: 0.9
    assert writer.turn(ok(GROWN), 120) == 130
    writer.run(ok(GROWN), 125, 140)
    assert writer.times == [0, 130]
    assert writer.value("revision") == GROWN.revision


def test_change_undone_before_its_time_is_not_written() -> None:
    """What is as it was needs no write, and the next change has a time of its own."""
    writer = written()
    assert writer.turn(ok(MOVED), 100) == 115
    writer.run(ok(), 110, 200)
    assert writer.times == [0]
    assert writer.turn(ok(MOVED), 200) == 215
    assert writer.turn(ok(seconds=210), 210) == 660
    assert writer.turn(ok(MOVED), 300) == 315


@pytest.mark.parametrize("document", [ELSEWHERE, BOTH])
def test_new_public_ip_is_written_at_once(document: Document) -> None:
    """A public IP gained or replaced does not wait, not even for a change that is waiting."""
    writer = written(fraction=1)
    writer.turn(ok(MOVED), 100)
    writer.turn(ok(document), 101)
    assert writer.times == [0, 101]


def test_first_public_ip_is_written_at_once() -> None:
    """So it is where there was none."""
    writer = written(BARE)
    writer.turn(ok(), 100)
    assert writer.times == [0, 100]


@pytest.mark.parametrize(("before", "after"), [(FULL, BARE), (BOTH, FULL), (FULL, EMPTY)])
def test_lost_public_ip_waits(before: Document, after: Document) -> None:
    """A public IP that is gone waits as any change."""
    writer = written(before)
    assert writer.turn(ok(after), 100) == 115


def test_public_ip_that_was_known_already_waits() -> None:
    """Where another of the known public IPs comes first now, none was gained."""
    document = replace(
        FULL,
        public_ip_addresses=(public("20.1.2.3", "10.240.0.4"), public("20.9.9.9", "10.240.0.5")),
    )
    writer = written(document)
    swapped = replace(
        FULL,
        public_ip_addresses=(public("20.9.9.9", "10.240.0.4"), public("20.1.2.3", "10.240.0.5")),
    )
    assert writer.turn(ok(swapped), 100) == 115


def test_second_write_never_comes_within_the_splay() -> None:
    """Even a public IP waits until the splay since the last write is over."""
    writer = written()
    assert writer.turn(ok(ELSEWHERE), 1) == 30
    assert writer.turn(ok(ELSEWHERE), 29.999) == 30
    writer.turn(ok(ELSEWHERE), 30)
    assert writer.times == [0, 30]
    assert writer.turn(ok(MOVED), 31) == 60


def test_another_node_of_the_name_is_written_in_full_without_delay() -> None:
    """After the state forgot what stands there, the Node is read, and written when the splay is over."""
    writer = written()
    writer.node = type(writer.node)()
    writer.write_state = replace(writer.write_state, live=None)
    assert writer.turn(ok(), 10) == 30
    writer.turn(ok(), 30)
    assert (writer.reads, writer.times) == ([0, 10], [0, 30])
    assert writer.node.annotations == SCHEDULE.desired(ok(), {}, at(30))


def test_write_carries_all_that_is_wanted() -> None:
    """A write has every key, not only those that differ: an apply without them would remove them."""
    write_state = replace(written().write_state, wrote_at=None)
    values = SCHEDULE.desired(ok(MOVED), {}, at(100))
    assert values is not None
    assert SCHEDULE.towards(write_state, values, now=at(100).mono, fraction=0)[1] == Write(values)


@also_shows("The wall clock steps by a day, back or forward")
def test_times_are_those_of_the_monotonic_clock() -> None:
    """A wall clock set back by a day moves no write and no reading."""
    writer = written()
    back = Instant(mono=at(100).mono, utc=utc(-86_400))
    wanted = SCHEDULE.desired(ok(MOVED), {}, back)
    assert SCHEDULE.towards(writer.write_state, wanted, now=back.mono, fraction=0.5)[1] == Wait(
        at(115).mono, behind=True
    )
