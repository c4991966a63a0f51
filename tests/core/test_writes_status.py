"""How the lack of answers is written: late, rarely, and without losing what stands on the Node."""

from dataclasses import replace
from itertools import pairwise

import pytest

from sidecar.core.annotations import Layout
from sidecar.core.document import EMPTY, Document
from sidecar.core.outcome import NONE, Reason
from sidecar.core.state import State, restore
from sidecar.core.writes import Read, Wait, Write, WriteState
from tests.core.examples import ELSEWHERE, FULL, MOVED, answer, at, failure
from tests.core.observing import state_after
from tests.core.writing import SCHEDULE, Writer, key
from tests.support.fake_node import FakeNode
from tests.support.states import POLICY


def left_by_an_earlier_run(document: Document = FULL, layout: Layout = SCHEDULE.layout) -> FakeNode:
    """A Node that a run wrote at 0, of an answer of that time."""
    writer = Writer(replace(SCHEDULE, layout=layout))
    writer.turn(state_after((0, answer(document))), 0)
    return writer.node


def restarted(node: FakeNode, seconds: float, layout: Layout = SCHEDULE.layout) -> tuple[Writer, State]:
    """A run that started `seconds` after the earlier one wrote, and took up what it found."""
    writer = Writer(replace(SCHEDULE, layout=layout), node=node)
    writer.turn(State(started=at(seconds)), seconds)
    found = writer.found()
    assert found is not None
    return writer, restore(State(started=at(seconds)), found, at(seconds), POLICY)


def status(writer: Writer) -> tuple[str | None, str | None]:
    """The status and the reason on the Node."""
    return writer.value("status"), writer.value("reason")


# Behind


def test_status_that_is_put_off_is_not_being_behind() -> None:
    """A status alone that waits for its time is not late; any other change that waits is."""
    live = {key("status"): "ok", key("public-ip"): "20.1.2.3"}
    write_state = WriteState(live=live, wrote_at=0, status_wrote_at=0, resync_at=10_000, heartbeat_at=10_000)
    stale = {**live, key("status"): "stale"}
    for now in (100, 599):
        write_state, action = SCHEDULE.towards(write_state, stale, now=now, fraction=0.5)
        assert action == Wait(600, behind=False)
    changed, action = SCHEDULE.towards(
        write_state, {**stale, key("inbound-ips"): "20.20.20.20"}, now=10, fraction=0.5
    )
    assert isinstance(action, Wait)
    assert action.behind
    _, action = SCHEDULE.towards(write_state, stale, now=600, fraction=0.5)
    assert action == Write(stale)
    _, action = SCHEDULE.towards(changed, live, now=20, fraction=0.5)
    assert isinstance(action, Wait)
    assert not action.behind


# Stale


@pytest.mark.parametrize(("staleness_jitter", "stale_at"), [(0, 300), (0.5, 450), (1, 600)])
def test_stale_is_written_after_stale_after_and_a_random_part(
    staleness_jitter: float, stale_at: float
) -> None:
    """Annotations turn stale between one and two stale-after, and then within the splay."""
    schedule = replace(SCHEDULE, staleness_jitter=staleness_jitter)
    state = state_after((0, answer(FULL)), (10, failure(Reason.THROTTLED)))
    writer = Writer(schedule)
    assert writer.turn(state, 20) == stale_at
    assert writer.turn(state, stale_at - 1) == stale_at
    assert status(writer) == ("ok", None)
    writer.run(state, stale_at, 700)
    assert writer.times == [20, stale_at + 15]
    assert writer.writes[1].changed == {"status", "reason"}
    assert status(writer) == ("stale", "throttled")


def test_short_outage_is_not_written() -> None:
    """An outage that ends before its time leaves the Node alone."""
    writer = Writer()
    writer.turn(state_after((0, answer(FULL))), 0)
    writer.run(state_after((0, answer(FULL)), (10, failure())), 10, 440)
    writer.turn(state_after((0, answer(FULL)), (440, answer(FULL))), 440)
    assert writer.times == [0]


def test_stale_and_its_end_are_a_write_each_at_long_intervals() -> None:
    """Writes that change the status alone are two stale-after apart; other writes do not wait for that."""
    writer = Writer()
    writer.run(state_after((0, answer(FULL))), 0, 500)
    assert writer.times == [0, 465]
    back = state_after((0, answer(FULL)), (500, answer(FULL)))
    assert writer.turn(back, 500) == 950
    assert writer.turn(replace(back, observed=at(990)), 990) == 1065
    writer.turn(replace(back, observed=at(1065)), 1065)
    assert writer.times == [0, 465, 1065]
    assert writer.turn(state_after((0, answer(FULL)), (1080, answer(MOVED))), 1080) == 1095


def test_change_takes_the_status_along() -> None:
    """A change of the document that comes while the status waits is written in its own time, with it."""
    writer = Writer()
    writer.run(state_after((0, answer(FULL))), 0, 500)
    assert status(writer) == ("stale", "unreachable")
    writer.turn(state_after((0, answer(FULL)), (500, answer(ELSEWHERE))), 500)
    assert writer.times == [0, 465, 500]
    assert status(writer) == ("ok", None)
    writer.run(state_after((0, answer(FULL)), (500, answer(ELSEWHERE))), 501, 2000)
    assert writer.times == [0, 465, 500, 1065], "which is two stale-after since the status alone was written"


def test_changing_reasons_are_damped() -> None:
    """An outage whose reason changes all the time costs one write per two stale-after."""
    writer = Writer()
    reasons = [Reason.THROTTLED, Reason.UNAVAILABLE, Reason.UNREACHABLE]
    for index, seconds in enumerate(range(0, 7200, 100)):
        state = state_after((0, answer(FULL)), (10, failure(reasons[index % 3])))
        writer.run(state, seconds, seconds + 100)
    gaps = [later - sooner for sooner, later in pairwise(writer.times[1:])]
    assert len(gaps) > 5
    assert min(gaps) >= 600


def test_foreign_key_does_not_undo_the_damping() -> None:
    """That somebody puts one of our keys back each time makes writes of the status no more frequent."""
    writer = Writer()
    writer.node.mutating[key("omitted")] = "forged=1"
    reasons = [Reason.THROTTLED, Reason.UNAVAILABLE]
    for index, seconds in enumerate(range(0, 7200, 100)):
        state = state_after((0, answer(FULL)), (10, failure(reasons[index % 2])))
        writer.run(state, seconds, seconds + 100)
    status_only = [written for written in writer.writes if "omitted" not in written.changed]
    assert 5 < len(status_only) <= 1 + 7200 / 600


# Restored


def test_restart_during_an_outage_rewrites_nothing_at_first() -> None:
    """What was found stays untouched until stale-after and its random part have passed since the start."""
    node = left_by_an_earlier_run()
    writer, state = restarted(node, 100)
    assert SCHEDULE.desired(state, writer.write_state.live or {}, at(549)) is None
    writer.run(state_after((110, failure(Reason.UNAVAILABLE)), state=state), 110, 549)
    assert (writer.writes, node.version, status(writer)) == ([], 2, ("ok", None))
    writer.run(state_after((110, failure(Reason.UNAVAILABLE)), state=state), 549, 600)
    assert writer.times == [565], "and a part of the splay: this is no write of a start any more"
    assert writer.writes[0].changed == {"status", "reason"}
    assert status(writer) == ("stale", "unavailable")


def test_restart_that_gets_the_same_answer_writes_nothing() -> None:
    """The first answer of the same revision leaves the Node as it is, times and history included."""
    node = left_by_an_earlier_run()
    writer, state = restarted(node, 100)
    writer.run(state_after((101, answer(FULL)), state=state), 101, 500)
    assert (writer.writes, node.version) == ([], 2)


def test_restart_that_gets_another_answer_writes_it_at_once() -> None:
    """The first answer of another revision is this process's first write, and tells what changed."""
    writer, state = restarted(left_by_an_earlier_run(), 100)
    writer.turn(state_after((101, answer(MOVED)), state=state), 101)
    assert writer.times == [101]
    assert writer.value("last-changes") == "2026-01-02T03:05:46Z -outbound 52.1.1.1 +outbound 52.2.2.2"


def test_restart_after_stale_was_written_writes_ok_at_once() -> None:
    """A process that finds `stale` and has an answer says so with its first write."""
    earlier = Writer()
    earlier.run(state_after((0, answer(FULL))), 0, 500)
    writer, state = restarted(earlier.node, 510)
    writer.turn(state_after((511, answer(FULL)), state=state), 511)
    assert writer.times == [511]
    assert status(writer) == ("ok", None)


def test_summary_found_is_not_rewritten() -> None:
    """Where the document is not among the annotations, the same revision still rewrites nothing."""
    layout = Layout(annotate="summary")
    node = left_by_an_earlier_run(layout=layout)
    writer, state = restarted(node, 100, layout)
    assert state.document is None
    writer.run(state_after((101, answer(FULL)), state=state), 101, 500)
    assert (writer.writes, node.version) == ([], 2)


# Starting


def test_new_node_without_answers_is_called_starting() -> None:
    """A Node that nothing is known of says why after stale-after, and nothing else."""
    writer = Writer()
    state = state_after((10, failure(Reason.REJECTED)))
    assert writer.turn(state, 10) == 300
    writer.run(state, 10, 1000)
    assert writer.times == [300]
    assert writer.node.annotations == {key("status"): "starting", key("reason"): "rejected"}


def test_starting_keeps_all_that_was_found() -> None:
    """What cannot be served is written again with `starting`, since an apply without it would remove it."""
    node = left_by_an_earlier_run()
    node.annotate(key("changed-at"), "garbled")
    before = dict(node.annotations)
    writer = Writer(node=node)
    state = State(started=at(100), failure=failure(Reason.NOT_READY))
    writer.run(state, 100, 399)
    assert node.annotations == before
    writer.run(state, 399, 1000)
    assert writer.times == [415]
    assert node.annotations == before | {key("status"): "starting", key("reason"): "not-ready"}


def test_starting_before_any_attempt_ended_has_no_reason() -> None:
    """Where not even one attempt has come to an end there is no reason to give."""
    writer = Writer()
    writer.run(State(started=at(0)), 0, 400)
    assert writer.node.annotations == {key("status"): "starting"}


def test_first_document_after_starting_waits_its_turn() -> None:
    """The document that ends `starting` is a second write: a public IP at once, all else in the splay."""
    for document, when in ((FULL, 400), (replace(FULL, public_ip_addresses=()), 415)):
        writer = Writer()
        writer.run(state_after((10, failure())), 10, 400)
        state = state_after((400, answer(document)))
        writer.run(state, 400, 500)
        assert writer.times == [300, when]
        assert writer.node.annotations == SCHEDULE.desired(state, {}, at(400))


# No metadata


def test_no_metadata_is_written_with_its_empty_document() -> None:
    """After three answers "none" on a new Node the first write says so."""
    writer = Writer()
    for count, seconds in enumerate((0, 10, 20), start=1):
        state = state_after(*[(10 * index, NONE) for index in range(count)])
        writer.turn(state, seconds)
        assert len(writer.writes) == (count == 3)
    assert status(writer) == ("no-metadata", "no-metadata")
    assert (writer.value("revision"), writer.value("egress-basis")) == (EMPTY.revision, "unknown")


def test_outage_after_no_metadata_is_stale() -> None:
    """Where "none" was the last answer, an outage turns the annotations stale like any other."""
    writer = Writer()
    state = state_after((0, NONE), (10, NONE), (20, NONE), (30, failure(Reason.UNAVAILABLE)))
    writer.run(state, 30, 1000)
    assert writer.times == [30, 485]
    assert status(writer) == ("stale", "unavailable")


def test_decisions_do_not_touch_the_ledger_they_are_given() -> None:
    """A decision is a function: asked twice it answers the same, and what it was given stays as it was."""
    writer = Writer()
    writer.turn(state_after((0, answer(FULL))), 0)
    write_state, wanted = writer.write_state, SCHEDULE.desired(state_after((0, answer(MOVED))), {}, at(100))
    for now in (at(100).mono, at(950).mono):
        first = SCHEDULE.towards(write_state, wanted, now=now, fraction=0.5)
        assert SCHEDULE.towards(write_state, wanted, now=now, fraction=0.5) == first
        assert isinstance(first[1], Read | Wait | Write)
    assert write_state == writer.write_state
