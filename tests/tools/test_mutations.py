"""Broken promises: each can still be broken as it says, and what is not noticed is reported."""

import ast
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tools.mutations.page import DOCUMENT, markdown
from tools.mutations.promises import PROMISES, Mutation
from tools.mutations.running import CHECKOUT, Copy, MutationError, Result, Verdict, mutated

SOUND = Mutation(
    promise="Two is even",
    file="program.py",
    old="n % 2 == 0",
    new="n % 2 == 1",
    tests=("test_program.py",),
)

PROGRAM = """
def even(n):
    return n % 2 == 0
def odd(n):
    return n % 2 != 0
"""

TESTS = """
import importlib.util, pathlib
spec = importlib.util.spec_from_file_location("tried", pathlib.Path(__file__).with_name("program.py"))
tried = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tried)
def test_two(): assert tried.even(2)
def test_three(): assert not tried.even(3)
def test_odd(): assert tried.odd
"""


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A program with two promises, of which the tests know one."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "test_program.py").write_text(TESTS)
    return Copy(tmp_path)


@pytest.mark.parametrize("mutation", PROMISES, ids=lambda mutation: mutation.promise)
def test_promise_can_be_broken(mutation: Mutation) -> None:
    """The code still has what is replaced, once; what replaces it is Python; the tests are there."""
    after = mutated((CHECKOUT / mutation.file).read_text(), mutation)
    ast.parse(after)
    assert after != (CHECKOUT / mutation.file).read_text()
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (CHECKOUT / file).read_text()


def test_promises_differ() -> None:
    """There are twelve promises at least, and no two of one name."""
    assert len({mutation.promise for mutation in PROMISES}) == len(PROMISES) >= 12


def test_caught(copy: Copy, tmp_path: Path) -> None:
    """A broken promise is caught by as many tests as fail, and the file is mended."""
    result = copy.try_out(SOUND)
    assert (result.verdict, result.failed, result.of) == (Verdict.CAUGHT, 2, 3)
    assert result.words == "caught by 2 of 3 tests"
    assert (tmp_path / "program.py").read_text() == PROGRAM


def test_survived(copy: Copy) -> None:
    """What no test notices has survived."""
    other = Mutation(promise="", file="program.py", old="!= 0", new="!= 1", tests=SOUND.tests)
    assert copy.try_out(other).verdict is Verdict.SURVIVED


@pytest.mark.parametrize(
    ("file", "old", "tests"),
    [
        ("program.py", "n % 3", ("test_program.py",)),
        ("program.py", "n % 2", ("test_program.py",)),
        ("missing.py", "n % 2", ("test_program.py",)),
        ("program.py", "n % 2 == 0", ("test_missing.py",)),
        ("test_program.py", "import importlib", ("test_program.py",)),
    ],
    ids=["not there", "twice", "no file", "no tests", "not to be collected"],
)
def test_not_tried(copy: Copy, file: str, old: str, tests: tuple[str, ...]) -> None:
    """What cannot be broken as it says, or not be run, is not called caught."""
    result = copy.try_out(Mutation(promise="", file=file, old=old, new="import no_such", tests=tests))
    assert result.verdict is Verdict.NOT_TRIED
    assert result.words.startswith("NOT TRIED: ")


def test_mutated_text() -> None:
    """Only the one place changes."""
    assert mutated("a = n % 2 == 0\n", SOUND) == "a = n % 2 == 1\n"
    with pytest.raises(MutationError, match="0 times"):
        mutated("", SOUND)


def test_page() -> None:
    """The page has a row for each promise, with its result, and says of which commit."""
    page = markdown([Result(SOUND, Verdict.CAUGHT, 2, 3)], commit="abc1234", date=date(2026, 1, 2))
    assert "2026-01-02, commit abc1234" in page
    assert "| Two is even | `program.py` | caught by 2 of 3 tests | `test_program.py` |" in page


def test_page_is_of_all() -> None:
    """The page that stands in the documentation has every promise, all caught."""
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [one.promise for one in PROMISES]
    assert all(" | caught by " in row for row in rows)


def test_unknown_commit() -> None:
    """A commit that there is not ends the run with an error."""
    command = (sys.executable, "-m", "tools.mutations", "--revision", "no-such-commit")
    assert subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False).returncode == 1
