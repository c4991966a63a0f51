"""When a Node is read again, and what becomes of what others wrote there."""

from dataclasses import replace

import pytest

from sidecar.core.state import State
from sidecar.core.writes import Wait, Write
from tests.core.examples import at
from tests.core.writing import SCHEDULE, Writer, answered, key, ok, said, written


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
