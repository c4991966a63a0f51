"""Write docs/faults.md from the `fault` marks of the tests, or print it (`--print`): `make faults`."""

import argparse
import contextlib
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.faults import Fault, Origin, Promise

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "faults.md"

INTRODUCTION = """\
# Faults

What the agent promises when something goes wrong, and the test that shows it. This page is made from the \
tests themselves by `python -m tools.pages.faults`; a test fails when it is out of date.

Durations are settings: stale-after (5 min), absent-after (5 min), splay (30 s), poll interval (10 s), \
resync interval (15 min). Metrics carry the prefix `azure_lb_metadata_`. Where nothing else is said, a test \
scales the durations down or lets virtual time pass; what it asks is the agent's own process or its parts, \
over real sockets.

`make chaos` lets these faults come at random, many at once, and compares at every moment what is served and \
annotated with a small model of the rules (`tests/chaos`); what came of long runs stands in \
[fuzzing.md](fuzzing.md). `make mutations` breaks promises on purpose and sees that their tests fail: \
[mutations.md](mutations.md).
"""


class CatalogueError(Exception):
    """The marks do not make a catalogue; the text says which one is wrong."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A collected test that carries a mark."""

    fault: Fault
    test: str
    """Its node id, ``tests/agent/test_outages.py::test_fault[hang]``."""
    case: str | None
    """The id of its parameters, if it has any."""


@dataclass(slots=True)
class Entry:
    """One fault of the catalogue."""

    words: str
    origin: Origin
    promise: Promise
    tests: list[str] = field(default_factory=list)


@dataclass
class _Collector:
    """A pytest plugin that takes note of the marks and runs nothing."""

    shown: list[Shown] = field(default_factory=list)

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Take note of every item that carries a mark."""
        for item in items:
            callspec = getattr(item, "callspec", None)
            case = None if callspec is None else str(callspec.id)
            for mark in item.iter_markers("fault"):
                self.shown.append(Shown(mark.args[0], item.nodeid, case))


def collect(checkout: Path = CHECKOUT) -> list[Shown]:
    """Every marked test; only the files that name the marks are read.

    Raises:
        CatalogueError: a file cannot be collected.
    """
    files = sorted(
        str(path)
        for path in (checkout / "tests").rglob("test_*.py")
        if "from tests.support.faults import" in path.read_text()
    )
    collector = _Collector()
    said = io.StringIO()
    arguments = ["--collect-only", "--quiet", "-p", "no:cacheprovider", f"--rootdir={checkout}", *files]
    with contextlib.redirect_stdout(said):
        code = pytest.main(arguments, plugins=[collector])
    if code != pytest.ExitCode.OK:
        raise CatalogueError(f"the tests cannot be collected\n{said.getvalue()}")
    return collector.shown


def compile_entries(shown: Iterable[Shown]) -> list[Entry]:
    """The catalogue, by origin and then in the order of the tests.

    Raises:
        CatalogueError: a fault is promised twice or never, or a mark names a case that there is not.
    """
    shown = list(shown)
    entries: dict[str, Entry] = {}
    for mark in _distinct(shown):
        if mark.origin is not None and mark.promise is not None:
            if mark.words in entries:
                raise CatalogueError(f"promised twice: {mark.words}")
            entries[mark.words] = Entry(mark.words, mark.origin, mark.promise)
    for mark in _distinct(shown):
        if mark.words not in entries:
            raise CatalogueError(f"shown but never promised: {mark.words}")
        entries[mark.words].tests += _tests(mark, [one for one in shown if one.fault is mark])
    origins = list(Origin)
    return sorted(entries.values(), key=lambda entry: origins.index(entry.origin))


def _distinct(shown: Sequence[Shown]) -> Iterator[Fault]:
    """Each mark once, however many cases of a test carry it."""
    return iter({id(one.fault): one.fault for one in shown}.values())


def _tests(mark: Fault, shown: Sequence[Shown]) -> list[str]:
    """The tests of one mark: the cases named, or the test as a whole."""
    if not mark.cases:
        return list(dict.fromkeys(one.test.partition("[")[0] for one in shown))
    by_case = {one.case: one.test for one in shown}
    unknown = [case for case in mark.cases if case not in by_case]
    if unknown:
        raise CatalogueError(
            f"{mark.words}: there is no case {unknown[0]} among {', '.join(map(str, by_case))}"
        )
    return [by_case[case] for case in mark.cases]


def markdown(entries: Sequence[Entry]) -> str:
    """The page."""
    tests = {test for entry in entries for test in entry.tests}
    parts = [INTRODUCTION, f"{len(entries)} faults, shown by {len(tests)} tests or cases of tests.\n"]
    number = 0
    for origin in Origin:
        parts.append(f"## {origin.value}\n")
        for entry in (entry for entry in entries if entry.origin is origin):
            number += 1
            parts.append(_section(number, entry))
    return "\n".join(parts)


def _section(number: int, entry: Entry) -> str:
    promise = entry.promise
    rows = [
        ("Served", promise.served),
        ("Annotated", promise.annotated),
        ("Logged and counted", promise.logged),
        ("Recovery", promise.recovery),
        ("Shown by", ", ".join(f"`{test}`" for test in entry.tests)),
    ]
    lines = [f"- **{name}**: {text}" for name, text in rows]
    return "\n".join([f"### {number}. {entry.words}", "", *lines, ""])


def main() -> None:
    """Collect, and write or print."""
    parser = argparse.ArgumentParser(prog="python -m tools.pages.faults", description=__doc__)
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    arguments = parser.parse_args()
    try:
        page = markdown(compile_entries(collect()))
    except CatalogueError as error:
        sys.exit(str(error))
    if arguments.print:
        sys.stdout.write(page)
    else:
        DOCUMENT.write_text(page)


if __name__ == "__main__":
    main()
