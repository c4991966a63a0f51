"""The changelog is read strictly, and gives the text of a release's page."""

import datetime as dt

import pytest

from tools.release.changelog import ChangelogError, notes, read

TEXT = """\
# Changelog

What changed.

## [0.2.0] - Unreleased

### Added

- Two
  lines.

## [0.1.0] - 2026-01-31

The first version.

### Fixed

- One.
"""


def test_sections() -> None:
    """Each version has its date, or none, and its text."""
    newest, oldest = read(TEXT)
    assert (newest.name, newest.date) == ("0.2.0", None)
    assert (oldest.name, oldest.date) == ("0.1.0", dt.date(2026, 1, 31))
    assert "Two" in newest.text
    assert "The first version." in oldest.text


def test_notes() -> None:
    """The page of a release has its section without the heading, and nothing of others."""
    assert notes(TEXT, "0.2.0") == "### Added\n\n- Two\n  lines.\n"
    with pytest.raises(ChangelogError, match=r"nothing is said about 0\.3\.0"):
        notes(TEXT, "0.3.0")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# Changelog", "# Changes", "first line"),
        ("[0.2.0] - Unreleased", "[0.2.0]", "not of the form"),
        ("## [0.2.0] - Unreleased", "## [Unreleased]", "not of the form"),
        ("2026-01-31", "2026-02-31", "day"),
        ("2026-01-31", "31.1.2026", "not of the form"),
        ("2026-01-31", "Unreleased", r"0\.1\.0 is unreleased, but not the newest"),
        ("- Unreleased", "- 2025-12-31", "newest version does not come first"),
        ("[0.1.0]", "[0.2.0]", r"two sections 0\.2\.0"),
        ("### Fixed", "### Mended", "'Mended' is none of Added"),
    ],
)
def test_refused(old: str, new: str, said: str) -> None:
    """A changelog of another form is refused with the place and the reason."""
    assert old in TEXT
    with pytest.raises(ChangelogError, match=said):
        read(TEXT.replace(old, new, 1))
