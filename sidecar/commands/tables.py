"""The forms of an answer that has many lines: a table, CSV, JSON, YAML."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

_GAP = "   "
NONE = "-"
"""What a cell shows when there is nothing."""
UNKNOWN = "?"
"""What a cell shows when that is not known."""


def as_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Columns under their names, as wide as they need to be; an empty cell is a dash."""
    cells = [tuple(header), *(tuple(cell or NONE for cell in line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = (
        _GAP.join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells
    )
    return "".join(f"{line.rstrip()}\n" for line in padded)


def as_csv(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """RFC 4180, with line feeds alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()


def as_json(value: object) -> str:
    """Indented JSON."""
    return json.dumps(value, indent=2) + "\n"


def as_form(value: object, form: str | None) -> str:
    """A YAML document in block style if the form is ``yaml``, else as `as_json` has it."""
    if form != "yaml":
        return as_json(value)
    from yaml import safe_dump  # noqa: PLC0415 - only this form needs it

    return str(safe_dump(value, sort_keys=False))


def shortened(items: Sequence[object] | None, *, most: int) -> str:
    """The first few of a list, and how many more there are; a question mark when it is not known."""
    if items is None:
        return UNKNOWN
    shown = ",".join(map(str, items[:most]))
    return f"{shown},+{len(items) - most}" if len(items) > most else shown


def counted(number: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def grouped(nodes: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Pairs of a cause and a node, as a line for each cause that names its nodes."""
    groups: dict[str, list[str]] = {}
    for cause, node in nodes:
        groups.setdefault(cause, []).append(node)
    for cause, names in groups.items():
        yield f"{cause}: {', '.join(names)}"
