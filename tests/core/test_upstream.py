"""What a node agent answers, and what becomes of its word: copied, never judged again."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.core.backoff import HELD_PAUSE, next_poll_delay
from sidecar.core.document import EMPTY, Document
from sidecar.core.instant import rfc3339
from sidecar.core.outcome import Failure, Reason, Status, UpstreamAnswer
from sidecar.core.state import Found, Policy, Snapshot, Source, State, observe, take_up, turns_stale_at
from sidecar.core.upstream import Response, interpret, longest_wait, was_held
from tests.core.examples import FULL, at, document, documents, failure, inbound, outbound, public, utc

POLICY = Policy(stale_after=300, absent_after=300)
NODE = "aks-pool1-12345678-vmss000000"
OTHER = document(public=public("20.1.2.4"), inbound=inbound("20.20.20.20"), out=outbound("52.1.1.1"))


def body(document: Document = FULL, **members: Any) -> bytes:
    """The body of ``/v1/loadbalancer``, with these members set, or removed where `...`."""
    value = {
        "node": NODE,
        "status": "no-metadata" if document.empty else "ok",
        "reason": "no-metadata" if document.empty else None,
        "revision": document.revision,
        "changedAt": rfc3339(utc(-3600)),
        "loadbalancer": document.wire(),
        **members,
    }
    return json.dumps({name: member for name, member in value.items() if member is not ...}).encode()


def response(content: bytes | None = None, **attributes: Any) -> Response:
    """A response of a healthy agent whose data are 7 s old, but for these attributes."""
    given: Mapping[str, Any] = {"status": 200, "age": "7", "node": NODE, "agent_status": "ok"}
    return Response(body=body() if content is None else content, **{**given, **attributes})


def judged(content: bytes | None = None, **attributes: Any) -> UpstreamAnswer | Failure:
    """What a response comes to for a sidecar that knows its node."""
    return interpret(response(content, **attributes), node=NODE, last=None, now=at(100))


def said(
    document: Document = FULL,
    status: Status | None = None,
    reason: Reason | None = None,
    *,
    age: float = 0,
    now: float = 0,
) -> UpstreamAnswer:
    """A node agent's word `now` seconds after the start, on data that were `age` seconds old."""
    return UpstreamAnswer(
        document=document,
        body=document.canonical,
        status=status or (Status.NO_METADATA if document.empty else Status.OK),
        reason=reason,
        changed_at=utc(-3600),
        node=NODE,
        observed=at(now - age),
    )


def run(*steps: tuple[float, UpstreamAnswer | Failure], state: State | None = None) -> State:
    """The state after these outcomes, each with its time in seconds."""
    state = state or State(started=at(0))
    for seconds, outcome in steps:
        state = observe(state, outcome, at(seconds), POLICY)
    return state


def worth(state: State, seconds: float) -> tuple[Status, Reason | None]:
    """Status and reason at a time."""
    snapshot = Snapshot.of(state, at(seconds), POLICY)
    return snapshot.status, snapshot.reason


# What a response means


@pytest.mark.parametrize("document", [FULL, EMPTY], ids=["data", "none"])
def test_answer_is_copied(document: Document) -> None:
    """Document, status, reason, time of the change and node are the agent's, the age counts back from now."""
    answer = judged(body(document))
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
    answer = judged(body(document, status="stale", reason=str(reason)))
    assert isinstance(answer, UpstreamAnswer)
    assert (answer.status, answer.reason) == (Status.STALE, reason)


def test_members_of_a_newer_agent_are_passed_over() -> None:
    """A member that is not known changes nothing, nor does a reason that is not known."""
    answer = judged(body(weather="fine", status="stale", reason="tired"))
    assert isinstance(answer, UpstreamAnswer)
    assert (answer.document, answer.reason) == (FULL, None)
    assert worth(run((0, answer)), 0) == (Status.STALE, Reason.UNREACHABLE)


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


@pytest.mark.parametrize("reason", [7, ["throttled"], {}, True])
def test_reason_of_another_type_is_none(reason: object) -> None:
    """A reason that is no word counts as a word that is not known."""
    answer = judged(body(status="stale", reason=reason))
    assert isinstance(answer, UpstreamAnswer)
    assert answer.reason is None


@pytest.mark.parametrize("age", [None, "", "-1", "1.5", "old", "9" * 10, "٣"])
def test_answer_needs_an_age(age: str | None) -> None:
    """Data of which nobody says how old they are, are not data."""
    outcome = judged(age=age)
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.MALFORMED


def test_great_age_is_a_time() -> None:
    """The greatest age there is still has a date."""
    answer = judged(age="9" * 9)
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
        outcome = judged(body(node=member), node=header)
        assert isinstance(outcome, Failure)
        assert outcome.reason is Reason.REJECTED
        assert named in outcome.detail
        assert NODE in outcome.detail

    @pytest.mark.parametrize(("header", "member"), [(None, None), (NODE, None), (None, NODE)])
    def test_agent_without_a_name_is_refused(self, header: str | None, member: str | None) -> None:
        """An agent that does not say its node could be any node's."""
        outcome = judged(body(node=member), node=header)
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
        outcome = judged(b"", status=304)
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
    outcome = judged(PROBLEM, status=status, agent_status=agent_status, age=None, retry_after=1.0)
    assert outcome == Failure(reason, detail=f"HTTP {status}: Why it is so.", status=status, retry_after=1.0)


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "empty body"), (b"<h1>No</h1>", "<h1>No</h1>"), (b'{"detail":7}', '{"detail":7}')],
)
def test_failure_without_a_problem(content: bytes, text: str) -> None:
    """What is no problem document is shown as it is."""
    outcome = judged(content, status=502)
    assert isinstance(outcome, Failure)
    assert outcome.detail == f"HTTP 502: {text}"


@given(documents)
def test_any_document_comes_through(document: Document) -> None:
    """Whatever document an agent can publish, its sidecar reads."""
    answer = judged(body(document))
    assert isinstance(answer, UpstreamAnswer)
    assert answer.document == document


@given(st.binary(), st.integers(min_value=100, max_value=599), st.none() | st.text())
def test_anything_is_an_outcome(content: bytes, status: int, header: str | None) -> None:
    """No response is an exception."""
    hostile = Response(status=status, body=content, age=header, node=header, agent_status=header)
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


# What becomes of it


def test_first_word_counts_at_once() -> None:
    """The first answer is published as it is: also "none", which the agent has waited for already."""
    for published, status in ((FULL, Status.OK), (EMPTY, Status.NO_METADATA)):
        state = run((10, said(published, age=5, now=10)))
        assert (state.document, state.source, state.observed) == (published, Source.UPSTREAM, at(5))
        assert (state.changed_at, state.changes, state.node(None)) == (utc(-3600), (), NODE)
        assert worth(state, 10)[0] is status


def test_withdrawal_counts_at_once() -> None:
    """What the agent has withdrawn is withdrawn: absent-after is not applied again."""
    state = run((0, said()), (1, said(EMPTY)))
    assert state.document == EMPTY
    assert worth(state, 1) == (Status.NO_METADATA, Reason.NO_METADATA)


def test_change_is_remembered() -> None:
    """A change goes into the history under the time that the agent says."""
    state = run((0, said()), (10, replace(said(OTHER), changed_at=utc(8))))
    assert state.changed_at == utc(8)
    assert [(change.at, change.items) for change in state.changes] == [
        (utc(8), ("-public 20.1.2.3", "+public 20.1.2.4"))
    ]


def test_same_document_stays_the_same_object() -> None:
    """An answer that brings nothing new makes no new document."""
    state = run((0, said()))
    assert run((10, said(replace(FULL))), state=state).document is state.document


@pytest.mark.parametrize("status", [Status.OK, Status.STALE])
def test_status_is_the_agents(status: Status) -> None:
    """Neither a small nor a great age is judged again while the agent answers."""
    reason = Reason.THROTTLED if status is Status.STALE else None
    for age in (0, 10_000):
        state = run((0, said(status=status, reason=reason, age=age)))
        assert worth(state, 299) == (status, reason)


def test_unreachable_agent_turns_stale() -> None:
    """Its last data stay, and are stale once they are older than stale-after."""
    state = run((0, said(age=100)), (10, failure(Reason.UNREACHABLE)))
    assert turns_stale_at(state, POLICY) == at(200).mono
    assert worth(state, 199) == (Status.OK, None)
    assert worth(state, 200) == (Status.STALE, Reason.UNREACHABLE)
    assert state.document == FULL


def test_agent_that_never_answers_again_turns_stale() -> None:
    """A request that hangs is no sign of life: stale-after counts from the last answer."""
    state = run((0, said(age=100)))
    assert turns_stale_at(state, POLICY) == at(300).mono
    assert worth(state, 300) == (Status.STALE, Reason.UNREACHABLE)


def test_failure_comes_before_the_agents_reason() -> None:
    """Why there is nothing newer is first of all that the agent is away."""
    state = run((0, said(status=Status.STALE, reason=Reason.THROTTLED)), (1, failure(Reason.UNREACHABLE)))
    assert worth(state, 2) == (Status.STALE, Reason.UNREACHABLE)


def test_recovered_agent_is_believed_again() -> None:
    """The first answer after an outage ends it."""
    state = run((0, said()), (10, failure()), (1000, said(now=1000)))
    assert worth(state, 1000) == (Status.OK, None)
    assert (state.failures, state.changes) == (0, ())


def test_own_name_comes_first() -> None:
    """The node is the one that was given, else the agent's word, else nobody's."""
    state = run((0, said()))
    assert (state.node("own"), state.node(None)) == ("own", NODE)
    assert State(started=at(0)).node(None) is None


@pytest.mark.parametrize("found_first", [True, False])
def test_file_of_an_earlier_run(*, found_first: bool) -> None:
    """What was taken up is served as stale until the agent answers, and its change is a change."""
    found = Found(revision=FULL.revision, changed_at=utc(-60), document=FULL, observed_at=utc(-30))
    state = State(started=at(0))
    if found_first:
        state = take_up(state, found, at(0), POLICY)
        assert worth(state, 0) == (Status.STALE, Reason.UNREACHABLE)
    state = run((1, said(OTHER)), state=state)
    if not found_first:
        state = take_up(state, found, at(2), POLICY)
    assert (state.document, state.source, state.observed) == (OTHER, Source.UPSTREAM, at(0))
    assert worth(state, 2) == (Status.OK, None)
    assert [change.before for change in state.changes] == [FULL.revision]


def test_known_revision_keeps_its_history() -> None:
    """Where only a revision was found, its history is kept if the agent still says that revision."""
    changes = run((0, said(OTHER)), (1, said())).changes
    found = Found(revision=FULL.revision, changed_at=utc(-60), changes=changes)
    state = take_up(State(started=at(0)), found, at(0), POLICY)
    assert run((1, said()), state=state).changes == changes
    assert run((1, said(OTHER)), state=state).changes == ()
