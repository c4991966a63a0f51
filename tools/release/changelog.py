"""``CHANGELOG.md``, as https://keepachangelog.com/en/1.1.0/ has it, read strictly.

The first section is that of the present version; until it is released, its date is the word
``Unreleased``.
"""

import datetime as dt
import re
from dataclasses import dataclass

UNRELEASED = "Unreleased"
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_HEADING = re.compile(rf"## \[(?P<name>[^\]]+)\] - (?P<date>\d{{4}}-\d\d-\d\d|{UNRELEASED})")


class ChangelogError(ValueError):
    """The text is not such a changelog; it says where."""


@dataclass(frozen=True)
class Section:
    """What changed in one version."""

    name: str
    """The version."""

    date: dt.date | None
    """When it was released, if it was."""

    text: str
    """All below the heading, in Markdown."""


def read(text: str) -> list[Section]:
    """The sections, newest first.

    Raises:
        ChangelogError: a heading has another form, a kind of change is unknown, a version occurs
            twice, or they are not in falling order of their dates.
    """
    first, *parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    if not first.startswith("# Changelog\n"):
        raise ChangelogError("the first line is not “# Changelog”")
    sections = [_section(part) for part in parts]
    names = [section.name for section in sections]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ChangelogError(f"there are two sections {min(twice)}")
    if unreleased := [section.name for section in sections[1:] if section.date is None]:
        raise ChangelogError(f"{unreleased[0]} is unreleased, but not the newest")
    dates = [section.date for section in sections if section.date is not None]
    if dates != sorted(dates, reverse=True):
        raise ChangelogError("the newest version does not come first")
    return sections


def notes(text: str, version: str) -> str:
    """What the changelog says about `version`, for the page of its release.

    Raises:
        ChangelogError: there is no such section, or nothing in it.
    """
    for section in read(text):
        if section.name == version and section.text.strip():
            return section.text.strip() + "\n"
    raise ChangelogError(f"nothing is said about {version}")


def _section(part: str) -> Section:
    heading, _, text = part.partition("\n")
    found = _HEADING.fullmatch(heading)
    if found is None:
        raise ChangelogError(f"{heading!r} is not of the form “## [1.2.3] - 2026-01-31”")
    for kind in re.findall(r"^### (.*)$", text, flags=re.MULTILINE):
        if kind not in KINDS:
            raise ChangelogError(f"{heading}: {kind!r} is none of {', '.join(KINDS)}")
    try:
        date = None if found["date"] == UNRELEASED else dt.date.fromisoformat(found["date"])
    except ValueError as error:
        raise ChangelogError(f"{heading}: {error}") from error
    return Section(found["name"], date, text)
