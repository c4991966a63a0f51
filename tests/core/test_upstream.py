"""What a node agent's response means, and when it is asked again."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.core.backoff import HELD_PAUSE, next_poll_delay
from sidecar.core.document import EMPTY, Document
from sidecar.core.egress import EgressState, Observation, SharedEgress, declared_networks
from sidecar.core.outcome import Failure, Reason, Status, UpstreamAnswer
from sidecar.core.probes import parse_probe
from sidecar.core.upstream import UpstreamResponse, interpret, longest_wait, was_held
from tests.core.examples import FULL, at, documents, failure, utc
from tests.core.observing import judged, state_after
from tests.core.upstream import NODE, OTHER, body, response, said

TOLD = {"networks": ["20.5.5.0/24"], "observed": ["20.7.7.7", "2001:db8::7"], "state": "unlisted"}
"""What an agent says of egress beside the document."""


def interpreted(content: bytes | None = None, **attributes: Any) -> UpstreamAnswer | Failure:
    """What a response comes to for a sidecar that knows its node."""
    return interpret(response(content, **attributes), node=NODE, last=None, now=at(100))


@pytest.mark.parametrize("document", [FULL, EMPTY], ids=["data", "none"])
def test_answer_is_copied(document: Document) -> None:
    """Document, status, reason, time of the change and node are the agent's, the age counts back from now."""
    answer = interpreted(body(document))
    assert isinstance(answer, UpstreamAnswer)
    assert (answer.document, answer.node, answer.changed_at) == (document, NODE, utc(-3600))
    assert answer.status is (Status.NO_METADATA if document.empty else Status.OK)
    assert answer.reason is (Reason.NO_METADATA if document.empty else None)
    assert answer.observed == at(93)
    assert answer.body == (None if document.empty else body())


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NO_METADATA])
@pytest.mark.parametrize("document", [FULL, EMPTY], ids=["data", "none"])
def test_stale_agent_is_stale(document: Document, reason: Reason) -> None:
    """An agent whose data are stale is believed, with its reason."""
    answer = interpreted(body(document, status="stale", reason=str(reason)))
    assert isinstance(answer, UpstreamAnswer)
    assert (answer.status, answer.reason) == (Status.STALE, reason)


def test_members_of_a_newer_agent_are_passed_over() -> None:
    """A member that is not known changes nothing, nor does a reason that is not known."""
    answer = interpreted(body(weather="fine", status="stale", reason="tired"))
    assert isinstance(answer, UpstreamAnswer)
    assert (answer.document, answer.reason) == (FULL, None)
    assert judged(state_after((0, answer)), 0) == (Status.STALE, Reason.UNREACHABLE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        body(revision=OTHER.revision),
        body(revision=...),
        body(revision=None),
        body(loadbalancer=OTHER.wire()),
        body(loadbalancer=[]),
        body(loadbalancer=...),
        body(loadbalancer={"publicIpAddresses": {}}),
        body(loadbalancer={**FULL.wire(), "publicIpAddresses": [{}, *FULL.wire()["publicIpAddresses"]]}),
        body(status="starting"),
        body(status="no-metadata"),
        body(status="fine"),
        body(status=["ok"]),
        body(status=...),
        body(EMPTY, status="ok"),
        body(changedAt="yesterday"),
        body(changedAt=None),
        body(node=7),
        body(node="a\r\nSet-Cookie: b"),
        body(node=""),
    ],
    ids=lambda content: str(content[:12]),
)
def test_lies_are_malformed(content: bytes) -> None:
    """What is not JSON, not of that shape, or does not fit together is no answer."""
    outcome = interpret(response(content), node=None, last=None, now=at(0))
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.MALFORMED
    assert outcome.detail.isprintable()
    assert len(outcome.detail) <= 250


def test_egress_is_copied() -> None:
    """What the agent declares and observed is copied, and a sidecar without settings of its own says so."""
    answer = interpreted(body(egress=TOLD))
    assert isinstance(answer, UpstreamAnswer)
    told = SharedEgress(
        declared_networks(["20.5.5.0/24"]),
        (ip_address("20.7.7.7"), ip_address("2001:db8::7")),
        EgressState.UNLISTED,
    )
    assert answer.egress == told
    state = state_after((0, answer))
    assert state.shared_egress == told
    assert state.egress.networks == told.networks
    assert state.egress.basis == "declared"


@pytest.mark.parametrize(
    "egress",
    [
        [],
        "off",
        {},
        {**TOLD, "networks": None},
        {**TOLD, "networks": ["0.0.0.0/0"]},
        {**TOLD, "networks": ["20.5.5.1/24"]},
        {**TOLD, "networks": [7]},
        {**TOLD, "networks": ["20.5.5.1"] * 1025},
        {**TOLD, "observed": "20.7.7.7"},
        {**TOLD, "observed": [None]},
        {**TOLD, "observed": [[]]},
        {**TOLD, "observed": ["20.7.7.7\n"]},
        {**TOLD, "observed": ["::ffff:20.7.7.7"]},
        {**TOLD, "observed": ["20.7.7.7"] * 1025},
        {**TOLD, "state": "fine"},
        {**TOLD, "state": ["agrees"]},
        {**TOLD, "state": None},
        {**TOLD, "state": "x" * 1000},
        {**TOLD, "state": "\n\u2028"},
        {**TOLD, "observed": ["x" * 1000]},
        {**TOLD, "networks": ["x" * 1000]},
    ],
)
def test_egress_in_other_words(egress: object) -> None:
    """What is not known here of egress is left out, and the document counts all the same."""
    answer = interpreted(body(egress=egress))
    assert isinstance(answer, UpstreamAnswer)
    assert (answer.egress, answer.document) == (SharedEgress(), FULL)


def test_egress_of_an_agent_that_says_nothing_of_it() -> None:
    """An agent without probes and declared networks leaves the member out, and takes back what it said."""
    before = interpreted(body(egress=TOLD))
    after = interpreted(body())
    assert isinstance(before, UpstreamAnswer)
    assert isinstance(after, UpstreamAnswer)
    assert state_after((0, before), (10, after)).shared_egress == SharedEgress()


def test_own_settings_win() -> None:
    """A sidecar's own declared networks and probes take the place of its node agent's."""
    answer = interpreted(body(egress=TOLD))
    assert isinstance(answer, UpstreamAnswer)
    state = replace(state_after((0, answer)), declared=declared_networks(["20.9.9.9"]))
    assert list(map(str, state.shared_egress.networks)) == ["20.9.9.9/32"]
    assert state.shared_egress.state is EgressState.UNLISTED
    probing = replace(state, observation=Observation((parse_probe("stun:stun.example.org"),)))
    assert (probing.shared_egress.observed, probing.shared_egress.state) == ((), EgressState.OFF)
    agreeing = replace(state, declared=declared_networks(["20.7.7.0/24", "2001:db8::/64"]))
    assert agreeing.shared_egress.state is EgressState.AGREES


@pytest.mark.parametrize("reason", [7, ["throttled"], {}, True])
def test_reason_of_another_type_is_none(reason: object) -> None:
    """A reason that is no word counts as a word that is not known."""
    answer = interpreted(body(status="stale", reason=reason))
    assert isinstance(answer, UpstreamAnswer)
    assert answer.reason is None


@pytest.mark.parametrize("age", [None, "", "-1", "1.5", "old", "9" * 10, "٣"])
def test_answer_needs_an_age(age: str | None) -> None:
    """Data of which nobody says how old they are, are not data."""
    outcome = interpreted(age=age)
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.MALFORMED


def test_great_age_is_a_time() -> None:
    """The greatest age there is still has a date."""
    answer = interpreted(age="9" * 9)
    assert isinstance(answer, UpstreamAnswer)
    assert answer.observed.utc.year == 1994


class TestNode:
    """Whose data they are."""

    @pytest.mark.parametrize(
        ("header", "member", "named"),
        [("other", "other", "'other'"), (NODE, "other", "'other'"), ("other", NODE, "'other'")],
    )
    def test_other_node_is_refused(self, header: str, member: str, named: str) -> None:
        """Another node's answer is rejected, by header or by body, and the detail names both."""
        outcome = interpreted(body(node=member), node=header)
        assert isinstance(outcome, Failure)
        assert outcome.reason is Reason.REJECTED
        assert named in outcome.detail
        assert NODE in outcome.detail

    @pytest.mark.parametrize(("header", "member"), [(None, None), (NODE, None), (None, NODE)])
    def test_agent_without_a_name_is_refused(self, header: str | None, member: str | None) -> None:
        """An agent that does not say its node could be any node's."""
        outcome = interpreted(body(node=member), node=header)
        assert isinstance(outcome, Failure)
        assert (outcome.reason, "does not say its node" in outcome.detail) == (Reason.REJECTED, True)

    @pytest.mark.parametrize("name", [None, "other"])
    def test_any_node(self, name: str | None) -> None:
        """A sidecar that does not know its node believes the agent."""
        outcome = interpret(response(body(node=name), node=name), node=None, last=None, now=at(0))
        assert isinstance(outcome, UpstreamAnswer)
        assert outcome.node == name

    def test_other_node_may_not_confirm(self) -> None:
        """Another node's "not modified" confirms nothing."""
        confirmed = response(b"", status=304, node="other")
        outcome = interpret(confirmed, node=NODE, last=said(), now=at(0))
        assert isinstance(outcome, Failure)
        assert (outcome.reason, outcome.status) == (Reason.REJECTED, 304)


class TestNotModified:
    """304: what was said is true still."""

    def test_age_is_refreshed(self) -> None:
        """The last answer is given again, with the new age."""
        last = said(age=60, now=0)
        answer = interpret(response(b"", status=304, age="3", held=True), node=NODE, last=last, now=at(100))
        assert answer == replace(last, observed=at(97), held=True)

    def test_of_nothing(self) -> None:
        """An answer to a condition that was not made is malformed."""
        outcome = interpreted(b"", status=304)
        assert isinstance(outcome, Failure)
        assert outcome.reason is Reason.MALFORMED


PROBLEM = b'{"title":"X","status":500,"detail":"Why it\\nis so."}'


@pytest.mark.parametrize(
    ("status", "agent_status", "reason"),
    [
        (503, "starting", Reason.NOT_READY),
        (503, "ok", Reason.UNAVAILABLE),
        (503, None, Reason.UNAVAILABLE),
        (500, "starting", Reason.UNAVAILABLE),
        (502, None, Reason.UNAVAILABLE),
        (421, "ok", Reason.REJECTED),
        (400, "ok", Reason.REJECTED),
        (403, "ok", Reason.REJECTED),
        (302, None, Reason.REJECTED),
        (404, None, Reason.NOT_READY),
        (429, None, Reason.THROTTLED),
        (204, None, Reason.MALFORMED),
    ],
)
def test_other_statuses(status: int, agent_status: str | None, reason: Reason) -> None:
    """Each status has its reason, and a problem's detail is passed on in one line."""
    outcome = interpreted(PROBLEM, status=status, agent_status=agent_status, age=None, retry_after=1.0)
    assert outcome == Failure(reason, detail=f"HTTP {status}: Why it is so.", status=status, retry_after=1.0)


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "empty body"), (b"<h1>No</h1>", "<h1>No</h1>"), (b'{"detail":7}', '{"detail":7}')],
)
def test_failure_without_a_problem(content: bytes, text: str) -> None:
    """What is no problem document is shown as it is."""
    outcome = interpreted(content, status=502)
    assert isinstance(outcome, Failure)
    assert outcome.detail == f"HTTP 502: {text}"


@given(documents)
def test_any_document_comes_through(document: Document) -> None:
    """Whatever document an agent can publish, its sidecar reads."""
    answer = interpreted(body(document))
    assert isinstance(answer, UpstreamAnswer)
    assert answer.document == document


@given(st.binary(), st.integers(min_value=100, max_value=599), st.none() | st.text())
def test_anything_is_an_outcome(content: bytes, status: int, header: str | None) -> None:
    """No response is an exception."""
    hostile = UpstreamResponse(status=status, body=content, age=header, node=header, agent_status=header)
    assert isinstance(interpret(hostile, node=NODE, last=None, now=at(0)), Failure)


# Waiting


@pytest.mark.parametrize(("stale_after", "seconds"), [(300, 60), (3600, 300), (12, 2), (4.9, 0), (0.4, 0)])
def test_longest_wait(stale_after: float, seconds: int) -> None:
    """A fifth of stale-after, at most what an agent grants; whole seconds, since the header has no others."""
    assert longest_wait(stale_after) == seconds


@pytest.mark.parametrize(
    ("applied", "elapsed", "news", "held"),
    [
        ("wait=60", 60.0, False, True),
        ("wait=60", 59.7, False, True),
        ("wait=60", 0.01, True, True),
        ("wait=60", 0.01, False, False),
        ("wait=0", 0.01, True, False),
        (None, 60.0, True, False),
        ("respond-async", 60.0, True, False),
        ('respond-async, wait="5"', 5.0, False, True),
    ],
)
def test_was_held(applied: str | None, elapsed: float, *, news: bool, held: bool) -> None:
    """Held is what says so, and has either news or taken its time."""
    assert was_held(applied, elapsed=elapsed, news=news) is held


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_held_request_is_followed_by_the_next(fraction: float) -> None:
    """After a held request the next one follows almost at once, whatever came of it."""
    starting = replace(failure(Reason.NOT_READY), held=True)
    for outcome in (replace(said(), held=True), starting):
        delay = next_poll_delay(outcome, failures=9, poll_interval=10.0, fraction=fraction)
        assert delay == HELD_PAUSE
    slow = replace(starting, retry_after=1.0)
    assert next_poll_delay(slow, failures=9, poll_interval=10.0, fraction=fraction) == 1.0


def test_other_requests_come_at_the_poll_interval() -> None:
    """An agent that does not hold requests is asked at the poll interval."""
    assert next_poll_delay(said(), failures=0, poll_interval=10.0, fraction=0.5) == 10.0
