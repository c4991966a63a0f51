"""Output formats: a table, CSV, JSON, YAML."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

_GAP = "   "
NONE = "-"
"""Cell of an empty value."""
UNKNOWN = "?"
"""Cell of an unknown value."""


def as_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Aligned columns under their names; an empty cell is a dash."""
    cells = [tuple(header), *(tuple(cell or NONE for cell in line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = (
        _GAP.join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells
    )
    return "".join(f"{line.rstrip()}\n" for line in padded)


def as_csv(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """CSV of RFC 4180, but with LF as line end."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()


def as_json(value: object) -> str:
    """JSON, indented by two spaces, with a line end."""
    return json.dumps(value, indent=2) + "\n"


def as_form(value: object, form: str | None) -> str:
    """YAML in block style if the form is ``yaml``, else JSON as of `as_json`."""
    if form != "yaml":
        return as_json(value)
    from yaml import safe_dump  # noqa: PLC0415 - only this form needs it

    return str(safe_dump(value, sort_keys=False))


def shortened(items: Sequence[object] | None, *, most: int) -> str:
    """The first ``most`` items and the number of the others, as ``a,b,+3``; `UNKNOWN` for None."""
    if items is None:
        return UNKNOWN
    shown = ",".join(map(str, items[:most]))
    return f"{shown},+{len(items) - most}" if len(items) > most else shown


def counted(number: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def grouped(nodes: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One line for each cause, with its nodes, from pairs of cause and node."""
    groups: dict[str, list[str]] = {}
    for cause, node in nodes:
        groups.setdefault(cause, []).append(node)
    for cause, names in groups.items():
        yield f"{cause}: {', '.join(names)}"
