"""The drawing: frontends, their rules, and the private IP addresses that these lead to.

It is made twice, and the style shows one: from left to right where there is room, else from top
to bottom. Both are SVG, with one line for each row; lengths are in units of the view box, which
are about CSS pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from sidecar.api.page.rows import PageRow, drawn
from sidecar.core.document import Document

_HEIGHT = 26
"""Height of a box."""
_STEP = 34
"""From one row to the next."""
_ARROW = 7
"""Length of an arrow's head."""


@dataclass(frozen=True, slots=True)
class _Type:
    """A size of monospaced text (0.6 em a character, and a little more for wider fonts)."""

    width: float
    """Of a character."""

    def box(self, texts: Iterable[str]) -> float:
        """The width of boxes that hold any of the texts."""
        return max(len(text) for text in texts) * self.width + 20


_WIDE, _NARROW = _Type(width=7.9), _Type(width=7.3)
"""Of 13 and 12 pixels: see the style."""


def drawing(document: Document) -> str:
    """Two SVG elements and a note on what they leave out, or an empty text where there are no rules."""
    rules = document.inbound_rules
    if not rules:
        return ""
    found = drawn(rules)
    of_rules = "1 rule" if len(rules) == 1 else f"{len(rules)} rules"
    count = len({rule.frontend_ip for rule in rules})
    of_frontends = "1 frontend" if count == 1 else f"{count} frontends"
    label = f"Drawing: {of_rules} of {of_frontends}; the table lists them"
    note = f'<p class="note">{escape(found.note)}</p>' if found.note else ""
    return _across(found.rows, label) + _down(found.rows, label) + note


def _svg(kind: str, label: str, parts: Iterable[str], *, width: float, height: float) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


# From left to right.

_WIDTH = 900
_TOP = 34
"""Where the first row begins, below the titles."""


@dataclass(frozen=True, slots=True)
class _Column:
    """Boxes of one width."""

    x: float
    width: float

    @property
    def right(self) -> float:
        """Where lines leave its boxes."""
        return self.x + self.width


def _across(rows: Sequence[PageRow], label: str) -> str:
    """From left to right, with the same room on both sides of the column in the middle."""
    widths = [
        _WIDE.box(texts)
        for texts in zip(*((row.frontend, row.text, row.target) for row in rows), strict=True)
    ]
    left = _Column(1, widths[0])
    middle = _Column(1 + widths[0] + (_WIDTH - 2 - sum(widths)) / 2, widths[1])
    right = _Column(_WIDTH - 1 - widths[2], widths[2])

    # The height of each row, with a gap after each frontend that has several.
    heights: list[float] = []
    y: float = _TOP + _HEIGHT / 2
    for _, group in groupby(rows, key=lambda row: row.frontend):
        together = len(list(group))
        heights += [y + _STEP * number for number in range(together)]
        y += _STEP * together + (10 if together > 1 else 0)

    frontends = _places(rows, heights, of=lambda row: row.frontend)
    targets = _places(rows, heights, of=lambda row: row.target)
    lines, boxes = [], []
    for row, y in zip(rows, heights, strict=True):
        lines.append(_curve(left.right, frontends[row.frontend], to_x=middle.x, to_y=y))
        lines.append(_curve(middle.right, y, to_x=right.x - _ARROW, to_y=targets[row.target]))
        boxes.append(_box("rule", row.text, middle, y))
    boxes += [_box("frontend", text, left, y) for text, y in frontends.items()]
    for text, y in targets.items():
        boxes.append(_box("target", text, right, y))
        lines.append(_head(right.x, y, "l-7 -4v8z"))
    titles = [
        _text(column.x, 16, title, kind="title")
        for column, title in ((left, "Frontend"), (middle, "Rule"), (right, "Private IP"))
    ]
    height = max(*heights, *targets.values()) + _HEIGHT / 2 + 2
    return _svg("across", label, (*titles, *lines, *boxes), width=_WIDTH, height=height)


def _places(
    rows: Sequence[PageRow], heights: Sequence[float], *, of: Callable[[PageRow], str]
) -> dict[str, float]:
    """Heights of the boxes of a column: each centred on its rows, without overlaps."""
    found: dict[str, list[float]] = {}
    for row, y in zip(rows, heights, strict=True):
        found.setdefault(of(row), []).append(y)
    amid = sorted((sum(ys) / len(ys), text) for text, ys in found.items())
    places: dict[str, float] = {}
    lowest = 0.0
    for y, text in amid:
        places[text] = max(y, lowest)
        lowest = places[text] + _STEP
    return places


def _curve(x: float, y: float, *, to_x: float, to_y: float) -> str:
    between = (x + to_x) / 2
    return f'<path d="M{x:g} {y:g}C{between:g} {y:g} {between:g} {to_y:g} {to_x:g} {to_y:g}"/>'


# From top to bottom: the lines to one target join at the right.

_NARROW_WIDTH = 332
_TRUNK = 324
"""Where the line to the target is."""
_INDENT = 28
_BETWEEN = 24
"""Room between a target and the first frontend of the next one."""


def _down(rows: Sequence[PageRow], label: str) -> str:
    """From top to bottom, one target after the other."""
    parts: list[str] = []
    y = 1 + _HEIGHT / 2
    for target in dict.fromkeys(row.target for row in rows):
        boxes, joints = [], []
        leading = [row for row in rows if row.target == target]
        for frontend, group in groupby(leading, key=lambda row: row.frontend):
            boxes.append(_box("frontend", frontend, _Column(1, _NARROW.box([frontend])), y))
            for row in group:
                from_y, y = y, y + _STEP
                column = _Column(_INDENT, _NARROW.box([row.text]))
                parts.append(f'<path d="M14 {from_y:g}V{y:g}H{_INDENT}M{column.right:g} {y:g}H{_TRUNK}"/>')
                boxes.append(_box("rule", row.text, column, y))
                joints.append(y)
            y += _STEP + 4
        width = _NARROW.box([target])
        parts.append(f'<path d="M{_TRUNK} {joints[0]:g}V{y - _HEIGHT / 2 - _ARROW:g}"/>')
        parts.append(_head(_TRUNK, y - _HEIGHT / 2, "l-4 -7h8z"))
        parts += [*boxes, _box("target", target, _Column(_NARROW_WIDTH - 1 - width, width), y)]
        y += _HEIGHT + _BETWEEN
    return _svg("down", label, parts, width=_NARROW_WIDTH, height=y - _BETWEEN - _HEIGHT / 2 + 1)


# Parts of both.


def _head(x: float, y: float, shape: str) -> str:
    """The head of an arrow with its tip at this point."""
    return f'<path class="head" d="M{x:g} {y:g}{shape}"/>'


def _box(kind: str, text: str, column: _Column, middle: float) -> str:
    """A box with a text in a column; ``middle`` is its height."""
    outline = (
        f'<rect class="{kind}" x="{column.x:g}" y="{middle - _HEIGHT / 2:g}" '
        f'width="{column.width:g}" height="{_HEIGHT}" rx="{_HEIGHT / 2 if kind == "rule" else 5:g}"/>'
    )
    return outline + _text(column.x + 10, middle + 4.5, text)


def _text(x: float, y: float, text: str, *, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{attribute}>{escape(text)}</text>'
