"""The catalogue of faults is what the tests say, and every mark in it is right."""

import asyncio
import re
import sys

import pytest

from tests.support.faults import CLIENTS_ONLY, Fault, Origin
from tools.pages.faults import CHECKOUT, DOCUMENT, CatalogueError, Shown, compile_entries, markdown

PROMISED = Fault(words="A cable is cut", origin=Origin.NODE, promise=CLIENTS_ONLY)


async def test_page_is_up_to_date() -> None:
    """The page is what the marks of the tests make; `python -m tools.pages.faults` writes it anew."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.pages.faults",
        "--print",
        cwd=CHECKOUT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    page, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert page.decode() == DOCUMENT.read_text()


def test_number_of_faults() -> None:
    """The catalogue has at least 40 faults."""
    headings = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("### ")]
    assert len(headings) >= 40


def test_words_of_the_log() -> None:
    """Every event and metric that the page names is one of the agent's."""
    source = "".join(path.read_text() for path in sorted((CHECKOUT / "sidecar").rglob("*.py")))
    page = "\n".join(line for line in DOCUMENT.read_text().splitlines() if "**Logged" in line)
    names = {*re.findall(r"`([a-z]+(?:-[a-z]+)*)`", page), *re.findall(r"`([a-z_]+)_total", page)}
    assert {"poll-failed", "attempts"} <= names
    assert [name for name in sorted(names) if f'"{name}"' not in source] == []


def test_tests_of_one_fault_stand_together() -> None:
    """All tests of a fault are named with it, a test without chosen cases as a whole."""
    cases = Fault(words=PROMISED.words, cases=("b",))
    [entry] = compile_entries(
        [
            Shown(cases, "test_x.py::test_two[a]", "a"),
            Shown(cases, "test_x.py::test_two[b]", "b"),
            Shown(PROMISED, "test_x.py::test_one[1]", "1"),
            Shown(PROMISED, "test_x.py::test_one[2]", "2"),
        ]
    )
    assert entry.tests == ["test_x.py::test_two[b]", "test_x.py::test_one"]
    assert "### 1. A cable is cut\n" in markdown([entry])


@pytest.mark.parametrize(
    ("shown", "error"),
    [
        ([Shown(Fault(words="Nobody's"), "test_x.py::test", None)], "never promised: Nobody's"),
        (
            [
                Shown(PROMISED, "test_x.py::test", None),
                Shown(Fault(words=PROMISED.words, origin=Origin.NODE, promise=CLIENTS_ONLY), "t.py::t", None),
            ],
            "promised twice: A cable is cut",
        ),
        (
            [
                Shown(PROMISED, "test_x.py::test", None),
                Shown(Fault(words=PROMISED.words, cases=("c",)), "test_x.py::test[a]", "a"),
            ],
            "there is no case c among a",
        ),
    ],
    ids=["never", "twice", "case"],
)
def test_wrong_marks(shown: list[Shown], error: str) -> None:
    """A fault without a promise or with two, and a case that there is not, are errors that name it."""
    with pytest.raises(CatalogueError, match=error):
        compile_entries(shown)
