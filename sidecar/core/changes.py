"""What changed from one document to the next, and its one-line text in the annotations."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sidecar.core import views
from sidecar.core.document import Document
from sidecar.core.instant import parse_rfc3339, rfc3339

HISTORY_LENGTH = 50
"""How many changes an agent remembers."""

_PRINTED_CHANGES = 5
_PRINTED_BYTES = 1024
OTHER = "~rules"
"""Stands for changes that are not spelled out."""
KINDS = ("public", "inbound", "outbound", "rules")
"""What can change: the words of the items; ``rules`` where nothing is spelled out."""
_ITEM = re.compile(r"[+-](public|outbound) [0-9a-f.:]+|[+-]inbound [a-z0-9]{1,16}/[0-9a-f.:\[\]]+|~rules")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the published document."""

    at: datetime
    items: tuple[str, ...]
    """Removals before additions: ``-outbound 52.1.1.1``, ``+inbound tcp/20.2.2.2:443``; else ``~rules``."""
    before: str | None = None
    """The revision before, or ``None`` where the change is known from the annotation alone."""
    after: str | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """Those of ``KINDS`` that changed."""
        return frozenset(item.lstrip("+-~").partition(" ")[0] for item in self.items)


def between(before: Document, after: Document, *, at: datetime) -> Change:
    """Describe the change from one document to a different one."""
    kinds: tuple[tuple[str, Callable[[Document], Sequence[object]]], ...] = (
        ("public", views.public_ips),
        ("inbound", views.inbound),
        ("outbound", views.outbound_ips),
    )
    items: list[str] = []
    for sign, having, lacking in (("-", before, after), ("+", after, before)):
        for kind, view in kinds:
            kept = set(view(lacking))
            items += [f"{sign}{kind} {item}" for item in view(having) if item not in kept]
    return Change(at=at, items=tuple(items) or (OTHER,), before=before.revision, after=after.revision)


def print_changes(changes: Iterable[Change]) -> str:
    """Print the last 5 changes, newest last, in at most 1 KiB.

    Older changes give way first; of a single change that is too long, the tail becomes ``~rules``.
    """
    printed: list[str] = []
    for change in list(changes)[-_PRINTED_CHANGES:]:
        line = rfc3339(change.at)
        for item in change.items:
            if len(line) + 1 + len(item) > _PRINTED_BYTES - len(OTHER) - 1:
                line += f" {OTHER}"
                break
            line += f" {item}"
        printed.append(line)
    while len(printed) > 1 and len("; ".join(printed)) > _PRINTED_BYTES:
        del printed[0]
    return "; ".join(printed)


def parse_changes(text: str) -> tuple[Change, ...]:
    """Read what :func:`print_changes` printed; anything else in the text is ignored.

    Of a text that holds more than an agent remembers, the last ``HISTORY_LENGTH`` changes count.
    """
    changes: list[Change] = []
    for part in text.split("; "):
        stamp, _, rest = part.partition(" ")
        at = parse_rfc3339(stamp)
        items = tuple(match.group() for match in _ITEM.finditer(rest))
        if at is not None and items and " ".join(items) == rest:
            changes.append(Change(at=at, items=items))
    return tuple(changes[-HISTORY_LENGTH:])
