"""When a list that the answers lack goes, and what counts at once."""

from dataclasses import replace

import pytest

from sidecar.core.document import EMPTY, LISTS, Document
from sidecar.core.outcome import NONE, Reason, Status, Success
from sidecar.core.state import Found, State, restore
from tests.core.examples import FULL, answer, at, document, failure, inbound, outbound, public, utc
from tests.core.observing import judged, state_after
from tests.support.faults import Origin, Promise, also_shows, fault
from tests.support.states import POLICY


def without(name: str) -> Success:
    """The answer that has the full document but for one list."""
    return answer(replace(FULL, **{name: ()}))


@pytest.mark.parametrize("name", LISTS)
def test_missing_list_stays_until_the_rule_is_met(name: str) -> None:
    """A list that the answers lack stays published until three of them span absent-after."""
    gone = without(name)
    early = state_after((0, answer(FULL)), (10, gone), (20, gone), (30, gone), (309, gone))
    assert (early.document, early.changes) == (FULL, ())
    late = state_after((310, gone), state=early)
    assert late.document == gone.document
    assert late.changed_at == utc(310)
    assert late.absences == {}


def test_two_answers_are_too_few_however_late() -> None:
    """Time alone does not withdraw: the third answer does."""
    gone = without("outbound_rules")
    state = state_after((0, answer(FULL)), (10, gone), (10_000, gone))
    assert state.document == FULL
    assert state_after((10_001, gone), state=state).document == gone.document


def test_time_counts_from_the_first_answer_without_the_list() -> None:
    """The span begins with the first answer that lacked the list, not with the last that had it."""
    gone = without("inbound_rules")
    state = state_after((0, answer(FULL)), (250, gone), (300, gone), (400, gone), (549, gone))
    assert state.document == FULL
    assert state_after((550, gone), state=state).document == gone.document


def test_list_that_comes_back_starts_anew() -> None:
    """One answer with the list ends its absence; the next absence counts from its own beginning."""
    gone = without("public_ip_addresses")
    state = state_after(
        (0, answer(FULL)), (10, gone), (100, gone), (200, answer(FULL)), (320, gone), (330, gone)
    )
    assert state_after((340, gone), state=state).document == FULL
    assert state_after((340, gone), (620, gone), state=state).document == gone.document


def test_errors_neither_count_nor_reset() -> None:
    """Failures between the answers do not count as answers without the list and do not restart the span."""
    gone = without("outbound_rules")
    few = state_after((0, answer(FULL)), (10, gone), (20, failure()), (30, failure()), (500, gone))
    assert few.document == FULL
    enough = state_after((510, failure(Reason.MALFORMED)), (520, gone), state=few)
    assert enough.document == gone.document


def test_errors_alone_remove_nothing() -> None:
    """A million seconds of every kind of failure leave the document as it was."""
    steps = [(1000.0 * number, failure(reason)) for number, reason in enumerate(Reason, start=1)]
    state = state_after((0, answer(FULL)), *steps, (1_000_000, failure()))
    assert (state.document, state.observed, state.changes) == (FULL, at(0), ())


def test_lists_are_withdrawn_one_by_one() -> None:
    """Each list has its own absence: one is withdrawn while another, missing later, stays."""
    only_inbound = answer(document(inbound=inbound("20.20.20.20")))
    state = state_after(
        (0, answer(FULL)), (10, without("outbound_rules")), (200, only_inbound), (310, only_inbound)
    )
    assert state.document == replace(FULL, outbound_rules=())
    assert state_after((500, only_inbound), state=state).document == only_inbound.document


def test_none_withdraws_everything_by_the_same_rule() -> None:
    """The answer "there is none" lacks every list: it removes data as late as any answer."""
    state = state_after((0, answer(FULL)), (10, NONE), (20, NONE), (309, NONE))
    assert state.document == FULL
    assert judged(state, 309) == (Status.OK, None)
    state = state_after((310, NONE), state=state)
    assert state.document == EMPTY
    assert judged(state, 310) == (Status.NO_METADATA, Reason.NO_METADATA)


def test_flap_changes_nothing() -> None:
    """Data, a while of "none", and the same data again: no change, the same values, the same history."""
    before = state_after((0, answer(FULL)))
    after = state_after(*((10.0 * step, NONE) for step in range(1, 20)), (200, answer(FULL)), state=before)
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
    state = state_after((0, answer(FULL)), (10, answer(after)))
    assert (state.document, state.changed_at) == (after, utc(10))


TWO = replace(FULL, outbound_rules=(*FULL.outbound_rules, outbound("52.2.2.2")))
"""The full document and one more outbound rule."""


@fault(
    Origin.SERVICE,
    "A list loses entries and gains none, as where it answers 200 with part of the data",
    Promise(
        served="The longer list until two answers in a row say the same; then the shorter one.",
        annotated=(
            "The same, within the splay; `last-changes` tells what went. A part that comes once is never"
            " written."
        ),
        logged="`document-changed` with what went, once it counts; `revision_changes_total`.",
        recovery="With the next whole answer: what was left out was never away.",
    ),
)
@pytest.mark.parametrize("name", LISTS)
def test_shrunk_list_counts_when_said_twice(name: str) -> None:
    """A list that lost entries but kept one is believed with the second answer in a row that says so."""
    more = {
        "public_ip_addresses": public("20.9.9.9"),
        "inbound_rules": inbound("20.20.20.21"),
        "outbound_rules": outbound("52.2.2.2"),
    }
    long = answer(replace(FULL, **{name: (*getattr(FULL, name), more[name])}))
    once = state_after((0, long), (10, answer(FULL)))
    assert (once.document, once.changes, once.changed_at) == (long.document, (), utc(0))
    assert (once.observed, judged(once, 10)) == (at(10), (Status.OK, None))
    twice = state_after((20, answer(FULL)), state=once)
    assert (twice.document, twice.changed_at, len(twice.changes)) == (FULL, utc(20), 1)


@also_shows("A list loses entries and gains none, as where it answers 200 with part of the data")
def test_parts_by_turns_change_nothing() -> None:
    """Answers with part of the data between whole ones change nothing, however many, and at any pace."""
    parts = [replace(TWO, outbound_rules=(rule,)) for rule in TWO.outbound_rules]
    before = state_after((0, answer(TWO)))
    for cycle in ([TWO, parts[0]], [parts[0], parts[1]], [parts[0], TWO, TWO, parts[1]]):
        steps = [(10.0 * step, answer(cycle[step % len(cycle)])) for step in range(1, 50)]
        after = state_after(*steps, state=before)
        assert after.document is before.document
        assert after.changes == ()


def test_errors_between_equal_answers() -> None:
    """Failures neither confirm a shorter list nor keep it from being confirmed."""
    state = state_after((0, answer(TWO)), (10, answer(FULL)), (20, failure()), (30, failure()))
    assert state.document == TWO
    assert state_after((40, answer(FULL)), state=state).document == FULL


def test_none_between_equal_answers() -> None:
    """An answer without the list stands between: two in a row are two in a row."""
    state = state_after((0, answer(TWO)), (10, answer(FULL)), (20, NONE), (30, answer(FULL)))
    assert state.document == TWO
    assert state_after((40, answer(FULL)), state=state).document == FULL


def test_lists_shrink_one_by_one() -> None:
    """Each list is confirmed by itself: what is gained or replaced in another changes nothing of that."""
    moved = replace(FULL, public_ip_addresses=(public("20.1.2.4"),))
    state = state_after((0, answer(TWO)), (10, answer(FULL)))
    state = state_after((20, answer(moved)), state=state)
    assert state.document == moved


def test_first_answer_does_not_shrink_what_was_found() -> None:
    """What an earlier run published loses entries by the same rule, whichever comes first."""
    found = Found(revision=TWO.revision, changed_at=utc(-60), document=TWO, observed_at=utc(-30))
    fresh = State(started=at(0))
    found_first = state_after((1, answer(FULL)), state=restore(fresh, found, at(0), POLICY))
    answer_first = restore(state_after((1, answer(FULL)), state=fresh), found, at(2), POLICY)
    for state in (found_first, answer_first):
        assert state.document == TWO
        assert state_after((3, answer(FULL)), state=state).document == FULL


def test_list_that_was_never_there_is_not_absent() -> None:
    """Only published lists can be missing: one that never had entries has no absence."""
    only_outbound = answer(document(out=outbound("52.1.1.1")))
    assert state_after((0, only_outbound), (10, only_outbound)).absences == {}


def test_withheld_list_and_changed_list_go_together() -> None:
    """An answer that replaces one list and lacks another changes the one and keeps the other."""
    moved = document(public=public("20.1.2.4"), inbound=inbound("20.20.20.20"))
    state = state_after((0, answer(FULL)), (10, answer(moved)))
    assert state.document == replace(FULL, public_ip_addresses=moved.public_ip_addresses)
    assert state.answer == answer(moved)
    assert [change.items for change in state.changes] == [("-public 20.1.2.3", "+public 20.1.2.4")]
