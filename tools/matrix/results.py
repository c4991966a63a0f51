"""What became of each part of the matrix: kept from run to run, since no run does all of it."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Counts:
    """How many tests a run of pytest says passed, failed (or broke) and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Result:
    """One part, and its last run."""

    version: str
    """The whole version of what was tried."""

    counts: Counts
    exit_code: int
    seconds: int
    date: str
    """The day, like ``2026-01-31``."""

    commit: str
    """The commit, with ``-dirty`` when the checkout had changes."""

    @property
    def passed(self) -> bool:
        """Whether tests ran, and all that did passed."""
        return self.exit_code == 0 and self.counts.passed > 0


def counted(output: str) -> Counts:
    """The counts in the last line that pytest prints; all 0 when there is none."""
    lines = [line for line in output.splitlines() if re.search(r"\b\d+ \w+.* in \d", line)]
    found = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", lines[-1])} if lines else {}
    broken = found.get("error", 0) + found.get("errors", 0)
    return Counts(found.get("passed", 0), found.get("failed", 0) + broken, found.get("skipped", 0))


def load(path: Path = FILE) -> dict[str, Result]:
    """The last result of each part, by its name."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text())
    return {name: Result(**{**each, "counts": Counts(**each["counts"])}) for name, each in kept.items()}


def save(results: Mapping[str, Result], path: Path = FILE) -> None:
    """Keep results."""
    path.write_text(json.dumps({name: asdict(each) for name, each in results.items()}, indent=2) + "\n")
