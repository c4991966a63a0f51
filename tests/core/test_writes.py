"""When a Node is written: at once, later, or not at all."""

from dataclasses import replace

import pytest

from sidecar.core.changes import Change
from sidecar.core.document import EMPTY, Document
from sidecar.core.instant import Instant
from sidecar.core.state import State
from sidecar.core.writes import Ledger, Read, Wait, Write
from tests.core.examples import FULL, at, inbound, outbound, public, utc
from tests.core.writing import SCHEDULE, Writer, key
from tests.support.faults import also_shows

MOVED = replace(FULL, outbound_rules=(outbound("52.2.2.2"),))
GROWN = replace(FULL, inbound_rules=(*FULL.inbound_rules, inbound("20.20.20.20", port=80)))
ELSEWHERE = replace(FULL, public_ip_addresses=(public("20.9.9.9"),))
BOTH = replace(FULL, public_ip_addresses=(public("20.1.2.3"), public("20.9.9.9")))
BARE = replace(FULL, public_ip_addresses=())


def ok(document: Document = FULL, *, seconds: float = 0, started: float = 0) -> State:
    """A state with an answer of `seconds` after the start of the test."""
    return State(
        started=at(started), document=document, observed=at(seconds), changed_at=utc(0), changes=(CHANGE,)
    )


CHANGE = Change(at=utc(-60), items=("~rules",))


def written(document: Document = FULL, **fractions: float) -> Writer:
    """A writer that has read and written at 0."""
    writer = Writer(fraction=lambda: fractions.get("fraction", 0.5))
    writer.turn(ok(document), 0)
    assert writer.times == [0]
    return writer


def answered(writer: Writer, document: Document = FULL, *, start: int, end: int, step: int = 5) -> None:
    """Let the service give the same answer every few seconds."""
    for seconds in range(start, end, step):
        writer.turn(ok(document, seconds=seconds), seconds)


def said(writer: Writer) -> dict[str, str]:
    """What stands on the Node, but for `observed-at`."""
    return {name: value for name, value in writer.node.annotations.items() if name != key("observed-at")}


# The first write


def test_unread_node_is_read_before_anything() -> None:
    """Nothing is written before the Node has been read, whatever is wanted."""
    wanted = SCHEDULE.desired(ok(), {}, at(0))
    for values in (None, wanted):
        assert SCHEDULE.decide(Ledger(), values, now=1000, fraction=0) == (Ledger(), Read())


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


# Reading again


@pytest.mark.parametrize(("fraction", "interval"), [(0, 720), (0.5, 900), (1, 1080)])
def test_node_is_read_again_after_the_resync_interval(fraction: float, interval: float) -> None:
    """The Node is read again 20 % sooner or later, and nothing is written where nothing differs."""
    writer = written(fraction=fraction)
    assert writer.turn(ok(), 10) == 450
    assert writer.turn(ok(seconds=440), 440) == min(interval, 890)
    writer.turn(ok(seconds=interval), interval)
    assert (writer.reads, writer.times) == ([0, interval], [0])


def test_reading_goes_on_while_nothing_is_wanted() -> None:
    """Also an agent that has no answer yet reads again in time."""
    writer = Writer()
    writer.run(State(started=at(0)), 0, 290)
    assert (writer.reads, writer.writes) == ([0], [])
    ledger = replace(writer.ledger, resync_at=1200)
    assert SCHEDULE.decide(ledger, None, now=1100, fraction=0) == (ledger, Wait(1200))


@pytest.mark.parametrize("name", ["loadbalancer", "outbound-ips", "status", "revision"])
def test_removed_annotation_is_put_back(name: str) -> None:
    """What somebody removed is there again after the next reading and the splay."""
    writer = written()
    before = said(writer)
    writer.node.remove(key(name))
    answered(writer, start=5, end=1000)
    assert (writer.reads, writer.times) == ([0, 900], [0, 915])
    assert said(writer) == before


def test_overwritten_annotation_is_put_right() -> None:
    """What somebody overwrote is ours again; a public IP at once."""
    writer = written()
    before = said(writer)
    writer.node.annotate(key("inbound"), "tcp/6.6.6.6:443")
    answered(writer, start=5, end=1000)
    assert writer.times == [0, 915]
    writer.node.annotate(key("public-ip"), "6.6.6.6")
    writer.node.annotate(key("public-ips"), "6.6.6.6")
    answered(writer, start=1000, end=2000)
    assert writer.times == [0, 915, 1815]
    assert said(writer) == before


def test_annotations_of_others_are_left_alone() -> None:
    """Only keys of the contract under our prefix are looked at and written."""
    writer = written()
    theirs = {"example.com/owner": "me", key("note"): "mine", "azure-lb-metadata.io": "?"}
    for name, value in theirs.items():
        writer.node.annotate(name, value)
    answered(writer, start=5, end=2000)
    assert writer.times == [0]
    assert writer.node.annotations.items() >= theirs.items()


def test_key_that_somebody_else_owns_is_not_fought_for() -> None:
    """An annotation under our name that we do not want and cannot remove costs one write, not more."""
    writer = written()
    writer.node.annotate(key("omitted"), "forged=1")
    answered(writer, start=5, end=4000)
    assert writer.times == [0, 915]
    assert writer.value("omitted") == "forged=1"


def test_foreign_key_is_taken_over_when_it_is_wanted() -> None:
    """Once there is something to say under that name, it is ours again."""
    writer = written()
    writer.node.annotate(key("reason"), "forged")
    answered(writer, start=5, end=1000)
    assert writer.times == [0, 915]
    wanted = SCHEDULE.desired(ok(seconds=995), {}, at(1000)) or {}
    for values, action in ((wanted, Wait), (wanted | {key("reason"): "ours"}, Write)):
        assert isinstance(SCHEDULE.decide(writer.ledger, values, now=at(1600).mono, fraction=0)[1], action)
    writer.run(ok(seconds=995), 1000, 2000)
    assert (writer.value("status"), writer.value("reason")) == ("stale", "unreachable")
    writer.run(ok(seconds=2000), 2000, 2300)
    assert (writer.value("status"), writer.value("reason")) == ("ok", None)


def test_webhook_that_changes_what_is_written_is_not_fought_for_ever() -> None:
    """An admission webhook that undoes a value is met once per reading, not once per splay."""
    writer = Writer()
    writer.node.mutating[key("public-ip")] = "6.6.6.6"
    answered(writer, start=0, end=7200)
    assert len(writer.times) <= 1 + len(writer.reads)
    assert len(writer.reads) <= 1 + 7200 / 720


# Heartbeat


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
        ledger = SCHEDULE.was_read(Ledger(), {key("observed-at"): text}, now=at(500), fraction=0.5)
        assert ledger.heartbeat_at == at(500 + 3600).mono


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


def test_another_node_of_the_name_is_written_in_full_without_delay() -> None:
    """After the ledger forgot what stands there, the Node is read, and written when the splay is over."""
    writer = written()
    writer.node = type(writer.node)()
    writer.ledger = replace(writer.ledger, live=None)
    assert writer.turn(ok(), 10) == 30
    writer.turn(ok(), 30)
    assert (writer.reads, writer.times) == ([0, 10], [0, 30])
    assert writer.node.annotations == SCHEDULE.desired(ok(), {}, at(30))


def test_write_carries_all_that_is_wanted() -> None:
    """A write has every key, not only those that differ: an apply without them would remove them."""
    ledger = replace(written().ledger, wrote_at=None)
    values = SCHEDULE.desired(ok(MOVED), {}, at(100))
    assert values is not None
    assert SCHEDULE.decide(ledger, values, now=at(100).mono, fraction=0)[1] == Write(values)


@also_shows("The wall clock steps by a day, back or forward")
def test_times_are_those_of_the_monotonic_clock() -> None:
    """A wall clock set back by a day moves no write and no reading."""
    writer = written()
    back = Instant(mono=at(100).mono, utc=utc(-86_400))
    wanted = SCHEDULE.desired(ok(MOVED), {}, back)
    assert SCHEDULE.decide(writer.ledger, wanted, now=back.mono, fraction=0.5)[1] == Wait(at(115).mono)
