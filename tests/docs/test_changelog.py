"""CHANGELOG.md is of the form of Keep a Changelog; tests/tools/release checks its newest version."""

import re

from tests.docs.pages import CHECKOUT
from tools.release.changelog import KINDS, read

TEXT = (CHECKOUT / "CHANGELOG.md").read_text()
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def test_headings() -> None:
    """Each heading is a version and a day, the newest first; only the first may be unreleased."""
    sections = read(TEXT)
    found = [VERSION.fullmatch(section.name) for section in sections]
    versions = [tuple(map(int, match.groups())) for match in found if match]
    assert len(versions) == len(sections) > 0
    assert versions == sorted(versions, reverse=True)
    assert None not in [section.date for section in sections[1:]]


def test_kinds_of_change() -> None:
    """Entries are grouped by the kinds of change, and none is empty."""
    groups = re.findall(r"^### (.*)\n\n(- )?", TEXT, re.MULTILINE)
    assert groups
    assert {kind for kind, _ in groups} <= set(KINDS)
    assert all(entry for _, entry in groups)
