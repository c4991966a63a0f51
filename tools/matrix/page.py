"""The results in words: docs/matrix.md."""

from collections.abc import Mapping

from tools.matrix.parts import PARTS
from tools.matrix.results import Result
from tools.wheel import CHECKOUT

DOCUMENT = CHECKOUT / "docs" / "matrix.md"

_INTRODUCTION = """\
# Matrix

`make matrix` runs the suites below with each Python, Kubernetes API server and Helm that is here, and \
writes this page. No run needs to do all of it (`make matrix ONLY="Python 3.12,Helm"`), so each row has the \
day and the commit of its own last run; `-dirty` stands for changes that were not committed. `make test` \
runs the same suites with one version of each, on every change.

API servers are built from the Go modules pinned under `tools/binaries/`. A Python is used if it is \
installed, with the hashed requirements in an environment of its own; none is downloaded. What else was run \
before a release, and what never was: [releasing.md](releasing.md#what-was-run-and-what-never-was).
"""
_HEAD = [
    "| version | tests | result | passed | failed | skipped | minutes | day | commit |",
    "|" + "---|" * 9,
]


def markdown(results: Mapping[str, Result]) -> str:
    """The page."""
    rows = [_row(part.name, part.tests, results.get(part.name)) for part in PARTS]
    return "\n".join([_INTRODUCTION, *_HEAD, *rows, ""])


def _row(name: str, tests: str, result: Result | None) -> str:
    if result is None:
        return f"| {name} | {tests} | **not run** | | | | | | |"
    counts = result.counts
    cells = (
        f"{name.partition(' ')[0]} {result.version}",
        tests,
        "passed" if result.passed else "**failed**",
        counts.passed,
        counts.failed,
        counts.skipped,
        f"{result.seconds / 60:.1f}",
        result.date,
        f"`{result.commit}`",
    )
    return f"| {' | '.join(map(str, cells))} |"
