"""A short run of the fuzzer, the kept corpus, and proof that the judges notice what they are for."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.core.document import EMPTY, Document
from sidecar.core.outcome import NONE, Failure, Reason, Success
from sidecar.core.parsing import DroppedEntry
from sidecar.core.reply import interpret
from sidecar.core.state import State
from tests.core.examples import FULL, answer, at
from tests.fuzz import probes, running
from tests.fuzz.__main__ import main
from tests.fuzz.cost import calls_counted, memory_measured
from tests.fuzz.errors import fuzz_agents, fuzz_errors, judge_error
from tests.fuzz.judging import History, judge_outcome
from tests.fuzz.probes import fuzz_probes, judge_body as judge_probe_body, judge_message
from tests.fuzz.running import BrokenPromiseError, Figures, fuzz, fuzz_run, judge_body
from tests.fuzz.seeds import CORPUS_FOLDER, ERRORS, LARGE, LARGE_ERRORS, SMALL

KEPT = sorted(path.name for path in CORPUS_FOLDER.iterdir())


@pytest.mark.parametrize("name", KEPT)
def test_corpus(name: str) -> None:
    """Every input that was kept, under the statuses that matter, breaks no promise."""
    body = (CORPUS_FOLDER / name).read_bytes()
    for status in (200, 400, 404, 503):
        judge_body(body, status)


@pytest.mark.parametrize("body", ERRORS)
def test_errors(body: bytes) -> None:
    """What errors are mutated from is itself in order, whatever status it comes with."""
    for status in (200, 400, 404, 429, 503):
        judge_body(body, status)


@pytest.mark.parametrize(("seeds", "answers"), [(SMALL, 2_000), (LARGE, 20)], ids=["small", "large"])
def test_mutated_answers(seeds: Sequence[bytes], answers: int) -> None:
    """Mutated answers cause no exception, no withdrawal too early and no cost beyond their length."""
    figures = list(fuzz(seeds, answers=answers, seed=0))[-1]
    assert figures.answers == answers
    assert figures.documents > answers / 10, "mutation leaves too few documents to say anything of them"
    assert figures.failures > answers / 10, "mutation breaks too few documents"


def test_runs_come_to_withdrawals() -> None:
    """The runs are such that lists are withdrawn in them, and "none" is said."""
    figures = list(fuzz(SMALL, answers=1_000, seed=0))[-1]
    assert figures.withdrawals > 10
    assert figures.nones > 0


def test_run_is_repeated_by_its_name() -> None:
    """The name of a run decides about every byte of it."""
    first, second = Figures(), Figures()
    fuzz_run(SMALL, first, name="7/3", length=50)
    fuzz_run(SMALL, second, name="7/3", length=50)
    assert replace(first, longest_seconds=0) == replace(second, longest_seconds=0)


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command says date, commit, seed and figures."""
    amounts = {"small": 30, "large": 1, "errors": 20, "agents": 20, "probes": 20, "seed": 5}
    assert main([f"--{name}={amount}" for name, amount in amounts.items()]) == 0
    output = capsys.readouterr().out
    assert "seed 5" in output
    assert "small: 30 answers" in output
    assert "large: 1 answers" in output
    assert "20 errors; no promise broken" in output
    assert "20 answers of node agents; no promise broken" in output
    assert "20 answers of probes; no promise broken" in output


@pytest.mark.parametrize("status", [201, 302, 400, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("body", [*ERRORS, *LARGE_ERRORS], ids=lambda body: f"{len(body)} {body[:12]!r}")
def test_every_error(status: int, body: bytes) -> None:
    """What errors are mutated from keeps every promise itself, to whoever reads it."""
    judge_error(status, body)


def test_mutated_errors() -> None:
    """Mutated errors of every status keep the promises of all who read them."""
    assert list(fuzz_errors(300, seed=0))[-1] == 300


def test_mutated_agents() -> None:
    """A sidecar believes nothing impossible of a node agent."""
    assert list(fuzz_agents(500, seed=0))[-1] == 500


def test_mutated_probes() -> None:
    """Of mutated answers of probes nothing is believed that should not be, and enough is to say so."""
    believed = list(fuzz_probes(4_000, seed=0))
    assert len(believed) == 4_000
    assert 400 < sum(believed) < 3_600


@pytest.mark.parametrize("judge", [judge_message, judge_probe_body])
def test_belief_without_reason_is_noticed(
    monkeypatch: pytest.MonkeyPatch, judge: Callable[[bytes], bool]
) -> None:
    """A codec that believes anything breaks the promise, and so does one that fails in another way."""
    believed = ip_address("203.0.113.7")
    monkeypatch.setattr(probes, "mapped_address", lambda *_, **__: believed)
    monkeypatch.setattr(probes, "address_in_body", lambda _: believed)
    with pytest.raises(AssertionError):
        judge(b"<html>")

    def failing(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(probes, "mapped_address", failing)
    monkeypatch.setattr(probes, "address_in_body", failing)
    with pytest.raises(RecursionError):
        judge(b"<html>")


def test_broken_promise_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A parser that fails ends the command with exit code 1, and names the run and the bytes."""

    def failing(*_: object) -> Success:
        raise RecursionError

    monkeypatch.setattr(running, "interpret", failing)
    assert main(["--small", "10", "--large", "0"]) == 1
    assert "run 1/0, answer 0, HTTP" in capsys.readouterr().err


def test_withdrawal_too_early_is_noticed() -> None:
    """A state that believes the first answer without a list breaks the promise."""
    before = State(started=at(0), document=FULL)
    with pytest.raises(AssertionError, match="too early"):
        History().judge(before, NONE, replace(before, document=EMPTY), seconds=0)


def test_kept_too_long_is_noticed() -> None:
    """A state that never withdraws breaks the promise as well."""
    history, state = History(), State(started=at(0), document=FULL)
    for seconds in (0, 150):
        history.judge(state, NONE, state, seconds=seconds)
    with pytest.raises(AssertionError, match="too long"):
        history.judge(state, NONE, state, seconds=300)


def test_change_by_a_failure_is_noticed() -> None:
    """A failure that takes the document away breaks the promise."""
    before = State(started=at(0), document=FULL)
    failure = Failure(Reason.UNAVAILABLE, detail="")
    with pytest.raises(AssertionError):
        History().judge(before, failure, replace(before, document=None), seconds=0)


def _half_read(document: Document) -> Success:
    return replace(answer(document), body=b'{"loadbalancer":{"publicIpAddresses":[0],"inboundRules":[]}}')


@pytest.mark.parametrize(
    "wrong",
    [
        _half_read(EMPTY),
        Failure(Reason.NO_METADATA, detail="", status=200),
        Failure(Reason.MALFORMED, detail="\x1b[2J", status=200),
        Failure(Reason.MALFORMED, detail="x" * 1000, status=200),
    ],
    ids=["a list is lost", "a failure says none", "an escape", "a long detail"],
)
def test_wrong_outcome_is_noticed(wrong: Success | Failure) -> None:
    """An outcome that the bytes do not support, or that is not safe to print, breaks the promise."""
    body = wrong.body if isinstance(wrong, Success) and wrong.body else b""
    with pytest.raises(AssertionError):
        judge_outcome(200, body, wrong)


def test_unsafe_dropped_entry_is_noticed() -> None:
    """An entry that would bring an escape into the log breaks the promise."""
    body = LARGE[0]
    outcome = interpret(200, body)
    assert isinstance(outcome, Success)
    dropped = DroppedEntry(list_name="none", cause="entry", shown="\x1b")
    with pytest.raises(AssertionError):
        judge_outcome(200, body, replace(outcome, dropped=(dropped,)))


def test_cost_is_counted() -> None:
    """Twice the work is twice the calls, and what was allocated counts though it is free again."""
    amounts = []
    for times in (100, 200):
        with calls_counted() as cost:
            for number in range(times):
                divmod(number, 3)
        amounts.append(cost.amount)
    assert 200 <= amounts[0] < amounts[1] <= 2 * amounts[0]
    with memory_measured() as cost:
        bytes(1_000_000)
    assert cost.amount >= 1_000_000


def test_quadratic_work_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer whose cost grows with the square of its length is noticed."""

    def quadratic(status: int, body: bytes) -> Success | Failure:
        for _ in range(len(body) ** 2 // 200):
            len(body)
        return interpret(status, body)

    monkeypatch.setattr(running, "interpret", quadratic)
    with pytest.raises(BrokenPromiseError) as broken:
        list(fuzz(LARGE, answers=5, seed=0))
    assert "calls for" in str(broken.value.__cause__)


def test_corpus_is_small() -> None:
    """The kept inputs stay few and short, so that every test run takes them all."""
    sizes = [Path(CORPUS_FOLDER / name).stat().st_size for name in KEPT]
    assert len(sizes) <= 200
    assert max(sizes) <= 8192
