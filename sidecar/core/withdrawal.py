"""When a published list loses entries.

All of them: after several answers in a row lacked the list, over a time. Some of them: once two answers in a
row say the same, since the service is known to answer 200 with a part of the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.core.document import LISTS, Document
from sidecar.core.instant import Instant

__all__ = ["WITHDRAWAL_ANSWERS", "Absence", "unconfirmed", "withhold"]

WITHDRAWAL_ANSWERS = 3
"""How many answers in a row must lack a list before it is withdrawn."""


@dataclass(frozen=True, slots=True)
class Absence:
    """How long a published list has been missing from the answers."""

    since: float
    """Monotonic time of the first answer without it."""
    answers: int


def withhold(
    published: Document,
    answered: Document,
    *,
    absences: Mapping[str, Absence],
    now: Instant,
    absent_after: float,
) -> tuple[dict[str, Absence], dict[str, Any]]:
    """Decide list by list which published entries stay although the answer lacks the list.

    Args:
        published: What is published.
        answered: What the source said now.
        absences: The running absences before this answer, by field of ``Document``.
        now: When it said so.
        absent_after: Seconds that a list must have been missing.

    Returns:
        The running absences, and the lists to keep, both by field of ``Document``.
    """
    running: dict[str, Absence] = {}
    kept: dict[str, Any] = {}
    for name in LISTS:
        if getattr(answered, name) or not getattr(published, name):
            continue
        before = absences.get(name, Absence(since=now.mono, answers=0))
        absence = Absence(since=before.since, answers=before.answers + 1)
        if absence.answers < WITHDRAWAL_ANSWERS or now.mono - absence.since < absent_after:
            running[name] = absence
            kept[name] = getattr(published, name)
    return running, kept


def unconfirmed(published: Document, answered: Document, *, previous: Document | None) -> dict[str, Any]:
    """Decide list by list which published entries stay although the answer has only some of them.

    What is gained or replaced is none of this and counts at once.

    Args:
        published: What is published.
        answered: What the source said now.
        previous: What it said before that, however long ago; ``None`` if that was nothing.

    Returns:
        The lists to keep, by field of ``Document``: two answers in a row must say the same of a list.
    """
    kept: dict[str, Any] = {}
    for name in LISTS:
        had, said = getattr(published, name), getattr(answered, name)
        if said and set(said) < set(had) and (previous is None or getattr(previous, name) != said):
            kept[name] = had
    return kept
