"""Runs of mutated answers through parser and state, each of which can be repeated alone."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sidecar.core.instant import Instant
from sidecar.core.outcome import Outcome, Success
from sidecar.core.reply import fallback_version, interpret
from sidecar.core.state import Snapshot, State, observe
from tests.fuzz.cost import calls_allowed, calls_counted, memory_allowed, memory_measured
from tests.fuzz.judging import History, judge_annotations, judge_outcome
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import SERVICE_ERRORS
from tests.support.states import POLICY

RUN_LENGTH = 100
"""Answers in a row that one state sees."""

_START = Instant(mono=1000.0, utc=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
_STATUSES = (400, 403, 404, 404, 404, 410, 418, 429, 500, 503)
_PAUSES = (1, 10, 60, 149, 150, 300)
"""Seconds between answers."""

_REPEATED = 0.3
"""Part of the answers that come once more: what lasts is what can be withdrawn."""


class BrokenPromiseError(Exception):
    """A promise was broken; the text says by which run and which bytes."""


@dataclass
class Figures:
    """What the runs so far came to."""

    answers: int = 0
    documents: int = 0
    nones: int = 0
    failures: int = 0
    withdrawals: int = 0
    bytes: int = 0
    calls_of_allowed: float = 0.0
    """The largest part of the allowed calls that an answer took."""
    memory_of_allowed: float = 0.0
    """The same of memory, of the answers that it was measured for."""
    longest_seconds: float = 0.0
    """The processor time of the slowest answer; counted calls included, so slower than in an agent."""

    def count(self, outcome: Outcome, *, length: int) -> None:
        """Add an answer of so many bytes."""
        self.answers += 1
        self.bytes += length
        if isinstance(outcome, Success):
            self.documents += outcome.body is not None
            self.nones += outcome.body is None
        else:
            self.failures += 1


def fuzz(seeds: Sequence[bytes], *, answers: int, seed: int, first_run: int = 0) -> Iterator[Figures]:
    """Judge that many mutated answers; gives the figures after every run.

    Raises:
        BrokenPromiseError: a promise was broken.
    """
    figures = Figures()
    number = first_run
    while figures.answers < answers:
        length = min(RUN_LENGTH, answers - figures.answers)
        fuzz_run(seeds, figures, name=f"{seed}/{number}", length=length)
        number += 1
        yield figures


def fuzz_run(seeds: Sequence[bytes], figures: Figures, *, name: str, length: int) -> None:
    """One state, and a row of mutated answers that follow from the run's name alone.

    Raises:
        BrokenPromiseError: a promise was broken.
    """
    chance, run = random.Random(name), _Run(figures)
    status, body = 200, seeds[0]
    for number in range(length):
        if chance.random() >= _REPEATED:
            status, body = _next(chance, seeds)
        try:
            run.judge(status, body, pause=chance.choice(_PAUSES))
            if number == length - 1:
                run.judge_memory(status, body)
        except Exception as error:
            raise BrokenPromiseError(f"run {name}, answer {number}, HTTP {status}: {body!r}") from error


def _next(chance: random.Random, seeds: Sequence[bytes]) -> tuple[int, bytes]:
    if chance.random() < 0.1:
        return chance.choice(_STATUSES), mutated(chance, SERVICE_ERRORS)
    return 200, mutated(chance, seeds)


def judge_body(body: bytes, status: int = 200) -> None:
    """Everything that can be said of one answer alone: the corpus, and guided fuzzing."""
    fallback_version(body, refused=())
    run = _Run(Figures())
    for _ in range(3):
        run.judge(status, body, pause=150)
    run.judge_memory(status, body)


@dataclass
class _Run:
    """A state, and the judges of what becomes of it."""

    figures: Figures
    now: Instant = _START
    state: State = field(default_factory=lambda: State(started=_START))
    history: History = field(default_factory=History)

    def judge(self, status: int, body: bytes, *, pause: float) -> None:
        """Let one more answer come, so many seconds after the last one."""
        now = Instant(mono=self.now.mono + pause, utc=self.now.utc + timedelta(seconds=pause))
        before, figures = self.state, self.figures
        started = time.process_time()
        with calls_counted() as cost:
            outcome = interpret(status, body)
            after = observe(before, outcome, now, POLICY)
        figures.longest_seconds = max(figures.longest_seconds, time.process_time() - started)
        figures.calls_of_allowed = max(figures.calls_of_allowed, cost.amount / calls_allowed(len(body)))
        assert cost.amount <= calls_allowed(len(body)), f"{cost.amount} calls for {len(body)} bytes"
        judge_outcome(status, body, outcome)
        figures.withdrawals += self.history.judge(before, outcome, after, seconds=now.mono)
        if after.document is not before.document and after.document is not None:
            judge_annotations(Snapshot.of(after, now, POLICY))
        figures.count(outcome, length=len(body))
        self.now, self.state = now, after

    def judge_memory(self, status: int, body: bytes) -> None:
        """Read an answer once more, and measure what that allocates."""
        with memory_measured() as cost:
            interpret(status, body)
        allowed = memory_allowed(len(body))
        self.figures.memory_of_allowed = max(self.figures.memory_of_allowed, cost.amount / allowed)
        assert cost.amount <= allowed, f"{cost.amount} bytes of memory for {len(body)}"
