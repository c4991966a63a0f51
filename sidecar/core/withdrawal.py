"""When a published list disappears: after several answers in a row lacked it, over a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.core.document import LISTS, Document
from sidecar.core.instant import Instant

__all__ = ["WITHDRAWAL_ANSWERS", "Absence", "withhold"]

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
