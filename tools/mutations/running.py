"""Breaks promises in a copy of the checkout, and runs their tests there."""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree as ET

from tools.mutations.promises import Mutation

CHECKOUT = Path(__file__).resolve().parents[2]

_DEADLINE_S = 600


class MutationError(Exception):
    """A promise cannot be tried; the text says why."""


class Verdict(StrEnum):
    """What came of a broken promise."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    """No test failed."""
    NOT_TRIED = "NOT TRIED"
    """The code has changed, so that the promise cannot be broken as it says."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one promise."""

    mutation: Mutation
    verdict: Verdict
    failed: int = 0
    """How many tests noticed."""
    of: int = 0
    """How many were run."""
    why: str = ""

    @property
    def words(self) -> str:
        """In a few words."""
        if self.verdict is Verdict.CAUGHT:
            return f"caught by {self.failed} of {self.of} tests"
        return f"{self.verdict}: {self.why}" if self.why else f"{self.verdict} {self.of} tests"


def mutated(text: str, mutation: Mutation) -> str:
    """The text of the file with the promise broken.

    Raises:
        MutationError: what is to be replaced is not there exactly once.
    """
    count = text.count(mutation.old)
    if count != 1:
        raise MutationError(f"{mutation.file} has {count} times: {mutation.old!r}")
    return text.replace(mutation.old, mutation.new)


class Copy:
    """A copy of the checkout at one commit. Made by `copied`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def try_out(self, mutation: Mutation) -> Result:
        """Break a promise, run its tests, and mend it."""
        file = self._folder / mutation.file
        try:
            before = file.read_text()
            after = mutated(before, mutation)
        except (OSError, MutationError) as error:
            return Result(mutation, Verdict.NOT_TRIED, why=str(error))
        file.write_text(after)
        try:
            failed, number = self.run(mutation.tests)
        except MutationError as error:
            return Result(mutation, Verdict.NOT_TRIED, why=str(error))
        finally:
            file.write_text(before)
        return Result(mutation, Verdict.CAUGHT if failed else Verdict.SURVIVED, failed, number)

    def run(self, tests: Sequence[str]) -> tuple[int, int]:
        """Run tests: how many failed, of how many.

        Raises:
            MutationError: they could not be run.
        """
        report = self._folder / ".report.xml"
        report.unlink(missing_ok=True)
        options = ("-q", "--tb=no", "-p", "no:cacheprovider", f"--junitxml={report}")
        try:
            done = subprocess.run(
                (sys.executable, "-m", "pytest", *options, *tests),
                cwd=self._folder,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_DEADLINE_S,
            )
        except subprocess.TimeoutExpired as error:
            raise MutationError(f"the tests did not end within {_DEADLINE_S} s") from error
        # Without a report, 1 is the interpreter's own word.
        if done.returncode not in {0, 1} or not report.exists():
            raise MutationError(f"the tests could not be run: {done.stdout[-500:]}{done.stderr[-500:]}")
        [suite] = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - of our own making
        return int(suite.attrib["failures"]) + int(suite.attrib["errors"]), int(suite.attrib["tests"])


@contextmanager
def copied(revision: str) -> Iterator[Copy]:
    """A copy of the checkout as it was committed, for the length of the block."""
    command = ("git", "-C", str(CHECKOUT), "archive", "--format=tar", revision)
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        yield Copy(Path(folder))
