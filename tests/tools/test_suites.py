"""The runner of the suites says what it left out, and is honest in its exit code."""

import sys
from pathlib import Path

import pytest

from tools import suites
from tools.suites import Outcome, Result, Suite, exit_code, run, summary

PASSING = Suite(name="passing", command=(sys.executable, "-c", ""))
FAILING = Suite(name="failing", command=(sys.executable, "-c", "raise SystemExit(5)"))
NEEDY = Suite(name="needy", command=PASSING.command, missing=lambda: "it is not there", enable="make it")


def enabled_by_a_file(path: Path) -> Suite:
    """A suite that can run once the file `path` is there, which its enabling command writes."""
    return Suite(
        name="enabled",
        command=PASSING.command,
        missing=lambda: None if path.exists() else "the file is not there",
        enable=f"touch {path}",
    )


def test_passing_and_failing_suites_are_told_apart() -> None:
    """A suite passes with exit code 0 and fails with any other, 5 (no tests) among them."""
    assert run(PASSING, require_all=False) == Result(PASSING, Outcome.PASSED)
    assert run(FAILING, require_all=False) == Result(FAILING, Outcome.FAILED, reason="exit code 5")


def test_suite_without_its_needs_is_left_out() -> None:
    """A suite whose needs are not met is left out with the reason."""
    assert run(NEEDY, require_all=False) == Result(NEEDY, Outcome.LEFT_OUT, reason="it is not there")


def test_needs_are_provided_only_when_all_is_required(tmp_path: Path) -> None:
    """The enabling command runs under REQUIRE_ALL, and the suite then; otherwise nothing is touched."""
    suite = enabled_by_a_file(tmp_path / "file")
    assert run(suite, require_all=False).outcome is Outcome.LEFT_OUT
    assert run(suite, require_all=True).outcome is Outcome.PASSED


def test_suite_that_mostly_waits_runs_beside_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    """All suites are run, in whatever order they end; what one said meanwhile is printed in one piece."""
    waiting = Suite("waiting", (sys.executable, "-c", "print('all quiet')"), beside=True)
    results = suites.run_all([PASSING, waiting, NEEDY, FAILING], require_all=False)
    outcomes = [Outcome.PASSED, Outcome.PASSED, Outcome.LEFT_OUT, Outcome.FAILED]
    assert [result.outcome for result in results] == outcomes
    assert "=== waiting: has ended\nall quiet\n" in capfd.readouterr().out


def test_summary_names_reason_and_command_of_what_was_left_out() -> None:
    """The closing lines give for each suite left out the reason and the command, then the counts."""
    results = [
        Result(PASSING, Outcome.PASSED, seconds=3.2),
        Result(NEEDY, Outcome.LEFT_OUT, reason="it is not there"),
    ]
    assert summary(results, require_all=False) == [
        "passing      passed         3 s",
        "needy        left out       0 s  it is not there",
        "Left out: needy: it is not there; enable it with: make it",
        "Suites: 1 passed, 0 failed, 1 skipped",
    ]


def test_summary_says_that_nothing_may_be_left_out() -> None:
    """Under REQUIRE_ALL the line of a suite left out says that it is a failure."""
    line, *_ = summary([Result(NEEDY, Outcome.LEFT_OUT, reason="it is not there")], require_all=True)[1:]
    assert line == "Left out, and REQUIRE_ALL=1 forbids it: needy: it is not there; enable it with: make it"


@pytest.mark.parametrize(
    ("outcomes", "require_all", "code"),
    [
        ([Outcome.PASSED, Outcome.PASSED], False, 0),
        ([Outcome.PASSED, Outcome.FAILED], False, 1),
        ([Outcome.PASSED, Outcome.LEFT_OUT], False, 0),
        ([Outcome.PASSED, Outcome.LEFT_OUT], True, 1),
        ([Outcome.LEFT_OUT], False, 1),
        ([], False, 1),
    ],
)
def test_exit_code_is_honest(outcomes: list[Outcome], require_all: bool, code: int) -> None:  # noqa: FBT001 - parametrized
    """A failure fails; a suite left out fails when all are required; so does a run that ran nothing."""
    results = [Result(PASSING, outcome) for outcome in outcomes]
    assert exit_code(results, require_all=require_all) == code


def test_unknown_suite_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A suite that does not exist is an error that lists those that do."""
    with pytest.raises(SystemExit, match="2"):
        suites.main(["nonsense"])
    names = ", ".join(suite.name for suite in suites.SUITES)
    assert f"there is no suite nonsense; there are {names}" in capsys.readouterr().err


@pytest.mark.parametrize(("load", "warned"), [(0.0, False), (8.0, False), (8.1, True), (18.4, True)])
def test_busy_machine_is_warned_of(load: float, warned: bool) -> None:  # noqa: FBT001 - parametrized
    """A machine with far more to do than it can is named, with the figure."""
    warning = suites.busyness(load, 2)
    assert (warning is not None) == warned
    assert warning is None or f"{load} processes wanted its 2 processors" in warning
