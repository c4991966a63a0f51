"""CHANGELOG.md is of the form of Keep a Changelog; tests/release sees that it has the present version."""

import re
from datetime import date

from tests.docs.pages import CHECKOUT

TEXT = (CHECKOUT / "CHANGELOG.md").read_text()
HEADINGS = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
RELEASED = re.compile(r"\[(\d+)\.(\d+)\.(\d+)\] - (Unreleased|\d{4}-\d\d-\d\d)")


def test_headings() -> None:
    """Each heading is a version and a day, the newest first; only the first may be unreleased."""
    found = [RELEASED.fullmatch(heading) for heading in HEADINGS]
    versions = [tuple(map(int, match.groups()[:3])) for match in found if match]
    assert len(versions) == len(HEADINGS) > 0
    assert versions == sorted(versions, reverse=True)
    days = [match[4] for match in found if match]
    assert "Unreleased" not in days[1:]
    assert all(date.fromisoformat(day) for day in days if day != "Unreleased")


def test_kinds_of_change() -> None:
    """Entries are grouped by the kinds of change, and none is empty."""
    groups = re.findall(r"^### (.*)\n\n(- )?", TEXT, re.MULTILINE)
    assert groups
    assert {kind for kind, _ in groups} <= KINDS
    assert all(entry for _, entry in groups)
