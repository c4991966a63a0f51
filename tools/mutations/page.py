"""The results in words: docs/mutations.md."""

from collections.abc import Sequence
from datetime import date

from tools.mutations.running import CHECKOUT, Result

DOCUMENT = CHECKOUT / "docs" / "mutations.md"

_INTRODUCTION = """\
# Mutation tests

A test that cannot fail shows nothing. `make mutations` breaks the promises below in a copy of the checkout, \
one at a time, by changing a line or two of the code, and runs the tests that should notice; it ends with 1 \
when none of them does. All of them pass while nothing is broken, which is tried first. The last run of all \
promises wrote this page; the changes themselves are in `tools/mutations/promises.py`.
"""


def markdown(results: Sequence[Result], *, commit: str, date: date) -> str:
    """The page of one run."""
    rows = [
        f"| {result.mutation.promise} | `{result.mutation.file}` | {result.words} | {_tests(result)} |"
        for result in results
    ]
    head = ["| promise | broken in | result | tests |", "|---|---|---|---|"]
    last = f"{date.isoformat()}, commit {commit}:\n"
    return "\n".join([_INTRODUCTION, last, *head, *rows, ""])


def _tests(result: Result) -> str:
    return ", ".join(f"`{test.removeprefix('tests/')}`" for test in result.mutation.tests)
