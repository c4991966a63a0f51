"""Errors of every status, mutated: to everybody who reads them, with promises stated a second time.

The readers are the agent, a sidecar, the client of the API server, and ``doctor``. What comes first is judged
apart from the code that keeps it: a byte order mark changes nothing, no body costs more than some megabytes,
and who names itself in the text is named.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sidecar.core.instant import Instant
from sidecar.core.outcome import Failure, Outcome, Reason, Status, Success, UpstreamAnswer
from sidecar.core.reply import fallback_version, interpret, listed_version
from sidecar.core.state import State, observe
from sidecar.core.upstream import UpstreamResponse, interpret as interpret_agent
from sidecar.doctor.causes import Confidence
from sidecar.doctor.evidence import Environment, ServiceAttempt
from sidecar.doctor.replies import judge
from sidecar.kube.errors import error_from_answer
from tests.core.upstream import body as agent_body
from tests.fuzz.cost import calls_counted, memory_measured
from tests.fuzz.judging import judge_outcome
from tests.fuzz.mutation import mutated
from tests.fuzz.running import BrokenPromiseError
from tests.fuzz.seeds import ERRORS, LARGE_ERRORS
from tests.support.states import POLICY

MOST_MEMORY = 16 * 1024 * 1024
MOST_CALLS = 20_000
"""Whatever the length of an error: more than 64 KiB of it are of no use."""

_MARK = b"\xef\xbb\xbf"
_NOW = Instant(mono=1000.0, utc=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
_SURROUNDINGS = Environment(endpoint="http://169.254.169.254", default_endpoint=True, timeout=5.0)
_OWN_WORDS = ("internal server error", "internal service unavailable")
_PROGRAMS = ("aad pod identity", "pod list is empty", "no healthy upstream", "upstream connect error")


def fuzz_errors(errors: int, *, seed: int) -> Iterator[int]:
    """Judge that many mutated errors; gives the number so far.

    Raises:
        BrokenPromiseError: a promise was broken.
    """
    chance = random.Random(f"errors {seed}")
    for number in range(errors):
        seeds = LARGE_ERRORS if chance.random() < 0.02 else ERRORS
        # Half of them with a status whose text is looked at.
        status = chance.choice((400, 404, 500, 503) if chance.random() < 0.5 else range(201, 600))
        body = mutated(chance, seeds)
        try:
            judge_error(status, body)
        except Exception as error:
            told = body if len(body) < 4096 else body[:4096] + b"..."
            raise BrokenPromiseError(f"error {seed}/{number}, HTTP {status}: {told!r}") from error
        yield number + 1


def judge_error(status: int, body: bytes) -> None:
    """Give an error to all who read it, and hold them to what is promised."""
    with memory_measured() as memory:
        _read_by_all(status, body)
    assert memory.amount <= MOST_MEMORY, f"{memory.amount} bytes of memory for {len(body)}"
    with calls_counted() as calls:
        outcome = interpret(status, body)
    assert calls.amount <= MOST_CALLS, f"{calls.amount} calls for {len(body)} bytes"
    judge_outcome(status, body, outcome)
    if not body.startswith(_MARK):
        _judge_mark(status, body, outcome)
    told = _told(body)
    if isinstance(outcome, Failure):
        if status == 404 and "invalid version" in str(told.get("error")).lower()[:200]:
            assert outcome.reason is Reason.REJECTED, outcome
        described = told.get("error_description")
        if isinstance(described, str) and described.isascii() and described.isalnum() and "error" not in told:
            assert outcome.detail == f"HTTP {status}: {described[:200]}", outcome
        _judge_verdict(status, body, outcome)


def _read_by_all(status: int, body: bytes) -> None:
    interpret(status, body)
    fallback_version(body, refused=())
    listed_version(body, refused=())
    interpret_agent(UpstreamResponse(status=status, body=body, age="0"), node=None, last=None, now=_NOW)
    error_from_answer(status, headers={}, body=body, now=_NOW.utc)


def _judge_mark(status: int, body: bytes, outcome: Outcome) -> None:
    """A byte order mark before an error changes nothing of what it means."""
    marked = interpret(status, _MARK + body)
    assert marked == outcome or len(body) > 60_000, (marked, outcome)
    assert fallback_version(_MARK + body, refused=()) == fallback_version(body, refused=())


def _told(body: bytes) -> dict[str, Any]:
    """The object that an error of the longest useful length is, by the standard library.

    Half a surrogate pair (RFC 8259, section 8.2) is no text: such a body is no JSON to the readers.
    """
    try:
        value = json.loads(body.removeprefix(_MARK).decode()) if len(body) <= 64 * 1024 else None
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _judge_verdict(status: int, body: bytes, outcome: Failure) -> None:
    """Who names itself comes before the status, and nothing is certain of a stranger's 5xx."""
    failed = ServiceAttempt(
        at=_NOW.utc, seconds=0.0, status=status, body=body[: 64 * 1024], detail=outcome.detail
    )
    verdict = judge(replace(failed, reason=outcome.reason), _SURROUNDINGS)
    text = outcome.detail.lower()
    if any(program in text for program in _PROGRAMS):
        assert verdict.cause == "proxy-in-the-way", verdict
    if status >= 500 and verdict.cause == "metadata-service-unavailable":
        assert verdict.confidence is not Confidence.CERTAIN or any(words in text for words in _OWN_WORDS), (
            verdict
        )


@dataclass
class _Agent:
    """A sidecar's state beside what its node agent says."""

    state: State
    now: Instant


def fuzz_agents(answers: int, *, seed: int) -> Iterator[int]:
    """Judge that many mutated answers of a node agent, a hundred to a sidecar; gives the number so far.

    Raises:
        BrokenPromiseError: a promise was broken.
    """
    chance = random.Random(f"agents {seed}")
    seeds = (agent_body(), agent_body(status="stale", reason="throttled"))
    sidecar = _Agent(State(started=_NOW), _NOW)
    for number in range(answers):
        if number % 100 == 0:
            sidecar = _Agent(State(started=_NOW), _NOW)
        year = chance.choice((b"2026", b"2025", b"9999", b"0001", b"2027"))
        body = mutated(chance, seeds) if chance.random() < 0.5 else chance.choice(seeds)
        body = body.replace(b'"changedAt": "2026', b'"changedAt": "' + year)
        age = str(10 ** chance.randrange(10) - 1)
        try:
            _judge_agent(sidecar, body, age)
        except Exception as error:
            raise BrokenPromiseError(f"agent {seed}/{number}, age {age}: {body!r}") from error
        yield number + 1


def _judge_agent(sidecar: _Agent, body: bytes, age: str) -> None:
    """No good data are older than stale-after, and no change is yet to come."""
    seconds = 10
    sidecar.now = Instant(mono=sidecar.now.mono + seconds, utc=sidecar.now.utc + timedelta(seconds=seconds))
    outcome = interpret_agent(
        UpstreamResponse(status=200, body=body, age=age), node=None, last=None, now=sidecar.now
    )
    assert isinstance(outcome, Success | Failure)
    sidecar.state = observe(sidecar.state, outcome, sidecar.now, POLICY)
    if isinstance(outcome, Failure):
        judge_outcome(200, body, outcome)
        return
    assert isinstance(outcome, UpstreamAnswer)
    state = sidecar.state
    assert state.observed is not None
    assert state.changed_at is not None
    assert state.changed_at <= sidecar.now.utc, "a change that is yet to come"
    if state.status(sidecar.now, POLICY) is not Status.STALE:
        assert state.observed.age(sidecar.now) <= POLICY.stale_after, "good data that are too old"
