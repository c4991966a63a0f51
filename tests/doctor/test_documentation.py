"""docs/doctor.md says what the program says, and every cause has a test that reproduces it."""

import re
from pathlib import Path

import pytest

from sidecar.doctor.causes import CAUSES, Confidence
from sidecar.doctor.replies import VENDOR_ERRORS
from tools.pages.doctor import PAGE, page

REPRODUCED = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*_causes*.py"))


def test_page() -> None:
    """The page is the one that the causes make."""
    assert PAGE.read_text() == page(), "make doctor-docs writes it"


@pytest.mark.parametrize("name", CAUSES)
def test_section(name: str) -> None:
    """Each cause has one section, under the anchor that reports link to."""
    assert CAUSES[name].link == f"docs/doctor.md#{name}"
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert PAGE.read_text().count(f"\n### {name}\n") == 1


@pytest.mark.parametrize("name", CAUSES)
def test_reproduced(name: str) -> None:
    """Each cause is named in a test that reproduces it over sockets or on a real API server."""
    assert f'"{name}"' in REPRODUCED


@pytest.mark.parametrize("name", CAUSES)
def test_complete(name: str) -> None:
    """No row of the table leaves anything out, but the source of what this project itself defines."""
    cause = CAUSES[name]
    assert all((cause.name == name, cause.summary, cause.seen, cause.remedy))
    assert cause.confidence in set(Confidence)
    assert cause.source == "" or re.match(r"[\w-]+/[\w-]+ [\w-]+/", cause.source)


@pytest.mark.parametrize("name", CAUSES)
def test_sentences(name: str) -> None:
    """Each cause says in whole sentences what it is, what shows it and what to do."""
    cause = CAUSES[name]
    for text in (cause.summary, cause.seen, cause.remedy):
        assert text.endswith(".")
        assert "  " not in text


def test_errors_of_the_vendor() -> None:
    """Every row of the vendor's page leads to a cause that there is."""
    assert {row.cause for row in VENDOR_ERRORS} <= CAUSES.keys()
