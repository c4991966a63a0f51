"""When a Node is read again, and what becomes of what others wrote there."""

from dataclasses import replace

import pytest

from sidecar.core.document import EMPTY
from sidecar.core.state import State
from sidecar.core.writes import Wait, Write
from tests.core.examples import MOVED, at
from tests.core.writing import BARE, SCHEDULE, Writer, answered, key, ok, said, written
from tests.support.faults import also_shows


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
    write_state = replace(writer.write_state, resync_at=1200)
    assert SCHEDULE.towards(write_state, None, now=1100, fraction=0) == (write_state, Wait(1200))


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


@pytest.mark.parametrize("name", ["public-ip", "public-ips", "omitted", "reason"])
def test_lie_where_there_is_no_value_is_removed(name: str) -> None:
    """A known key that is not due goes with one request after the next reading, whoever wrote it."""
    writer = written(BARE)
    writer.node.annotate(key(name), "6.6.6.6")
    answered(writer, BARE, start=5, end=3500)
    assert writer.times == [0, 915]
    assert writer.writes[1].changed == {name}
    assert writer.value(name) is None


@also_shows("Annotations found at the start are forged or garbled")
def test_lie_found_at_the_start_is_removed_after_the_first_write() -> None:
    """What the first write leaves, since somebody else owns it, is removed a splay later."""
    writer = Writer()
    for name in ("public-ip", "public-ips"):
        writer.node.annotate(key(name), "6.6.6.6")
    answered(writer, BARE, start=0, end=1000)
    assert writer.times == [0, 30]
    assert writer.writes[1].changed == {"public-ip", "public-ips"}
    assert writer.node.annotations == SCHEDULE.desired(ok(BARE), {}, at(0))


def test_lie_beside_a_change_is_removed_after_it() -> None:
    """Where there is something to say as well, the apply comes first, and the rest a splay after it."""
    writer = written(BARE)
    writer.node.annotate(key("public-ip"), "6.6.6.6")
    answered(writer, BARE, start=5, end=905)
    answered(writer, replace(MOVED, public_ip_addresses=()), start=905, end=1000)
    assert writer.times == [0, 915, 945]
    assert writer.writes[2].changed == {"public-ip"}


def test_withdrawn_addresses_go_after_a_reset_of_owners() -> None:
    """Where nobody owns our keys any more, as after a reset of managedFields, withdrawn ones still go."""
    writer = written()
    writer.node.owners = {name: {"before-first-apply"} for name in writer.node.annotations}
    answered(writer, EMPTY, start=5, end=500)
    gone = {"public-ip", "public-ips", "inbound", "inbound-ips", "outbound-ips", "egress-ips"}
    assert writer.times == [0, 30, 60]
    assert writer.writes[2].changed == gone
    assert not {key(name) for name in gone} & writer.node.annotations.keys()


def test_writer_who_never_rests_is_met_once_per_reading() -> None:
    """Somebody who writes a lie all the time is fought no faster than the Node is read."""
    writer = written(BARE)
    for seconds in range(5, 7200, 5):
        writer.node.annotate(key("public-ip"), "6.6.6.6")
        writer.turn(ok(BARE, seconds=seconds), seconds)
    assert len(writer.reads) <= 1 + 7200 / 720
    removed = [written for written in writer.writes if written.changed == {"public-ip"}]
    assert 6 < len(removed) <= len(writer.reads)


def test_webhook_that_puts_a_key_back_is_met_once_per_reading() -> None:
    """An admission webhook that adds one of our keys to whatever is written is met once per reading."""
    writer = Writer()
    writer.node.mutating[key("omitted")] = "forged=1"
    answered(writer, start=0, end=7200)
    assert len(writer.reads) <= 1 + 7200 / 720
    assert len(writer.times) <= 2 + len(writer.reads) + 7200 / 3600


@pytest.mark.parametrize("status", ["starting", "stale"])
def test_nothing_is_removed_without_an_answer(status: str) -> None:
    """An agent that has no answer removes nothing: it cannot know what is due."""
    writer = Writer()
    if status == "stale":
        writer.node.annotate(key("public-ip"), "6.6.6.6")
        writer.turn(State(started=at(0)), 0)
    writer.node.annotate(key("public-ip"), "6.6.6.6")
    writer.run(State(started=at(0)), 1, 5000)
    assert writer.value("public-ip") == "6.6.6.6"
    assert writer.value("status") == "starting"


def test_change_by_others_is_noticed() -> None:
    """A reading tells what is not as this process last saw or wrote it; the first one tells nothing."""
    writer = Writer()
    writer.node.annotate(key("public-ip"), "6.6.6.6")
    assert SCHEDULE.changed_by_others(writer.write_state, writer.node.annotations) == set()
    writer.turn(ok(), 0)
    assert SCHEDULE.changed_by_others(writer.write_state, writer.node.annotations) == set()
    writer.node.annotate(key("public-ip"), "6.6.6.6")
    writer.node.remove(key("status"))
    writer.node.annotate(key("omitted"), "forged=1")
    writer.node.annotate("example.com/theirs", "new")
    changed = SCHEDULE.changed_by_others(writer.write_state, writer.node.annotations)
    assert changed == {key("public-ip"), key("status"), key("omitted")}


def test_key_that_came_back_is_written_when_it_is_wanted() -> None:
    """A key that a webhook puts back is left alone until there is something to say under that name."""
    writer = Writer()
    writer.node.mutating[key("reason")] = "forged"
    answered(writer, start=0, end=700)
    assert writer.times == [0, 30]
    wanted = SCHEDULE.desired(ok(), {}, at(0)) or {}
    for values, action in ((wanted, Wait), (wanted | {key("reason"): "ours"}, Write)):
        assert isinstance(
            SCHEDULE.towards(writer.write_state, values, now=at(720).mono, fraction=0)[1], action
        )


def test_webhook_that_changes_what_is_written_is_not_fought_for_ever() -> None:
    """An admission webhook that undoes a value is met once per reading, not once per splay."""
    writer = Writer()
    writer.node.mutating[key("public-ip")] = "6.6.6.6"
    answered(writer, start=0, end=7200)
    assert len(writer.times) <= 1 + len(writer.reads)
    assert len(writer.reads) <= 1 + 7200 / 720
