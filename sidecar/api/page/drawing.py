"""The drawing: frontends, their rules, and the private IP addresses that these lead to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from sidecar.core.document import Document, InboundRule

__all__ = ["drawing"]

_ROWS = 24
"""Rules that are drawn one by one."""
_GROUPS = 12
"""Pairs of frontend and target that are drawn at most."""

_BOX = 330
"""Width of a box: the longest IPv6 address fits."""
_LEFT, _MIDDLE, _RIGHT = 0, 375, 590
"""Where the columns begin."""
_WIDTH = _RIGHT + _BOX
_ROW = 26
_GAP = 12
_ANY = "any private IP (floating IP)"


@dataclass(frozen=True, slots=True)
class _Group:
    """The rules from one frontend to one target."""

    frontend: str
    target: str
    rules: Sequence[InboundRule]

    def rows(self, most: int) -> list[str]:
        """One line per rule, and how many more there are."""
        if len(self.rules) <= most:
            return [_line(rule) for rule in self.rules]
        shown = [_line(rule) for rule in self.rules[: most - 1]]
        return [*shown, f"and {len(self.rules) - len(shown)} more"]


def drawing(document: Document) -> str:
    """An SVG element, or an empty text where there is nothing to draw."""
    groups = _groups(document.inbound_rules)
    if not groups:
        return ""
    drawn = groups[:_GROUPS]
    most = max(2, _ROWS // len(drawn))
    parts, top = [], 0
    for group in drawn:
        lines = group.rows(most if len(document.inbound_rules) > _ROWS else len(group.rules))
        parts.append(_group(group, lines, top))
        top += len(lines) * _ROW + _GAP
    if len(groups) > len(drawn):
        more = sum(len(group.rules) for group in groups[_GROUPS:])
        parts.append(_text(_LEFT, top + 18, f"and {more} more rules of other frontends", kind="note"))
        top += _ROW
    label = f"{len(document.inbound_rules)} rules from frontends to private IP addresses"
    return (
        f'<svg viewBox="-1 -1 {_WIDTH + 2} {top + 2}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _groups(rules: Iterable[InboundRule]) -> list[_Group]:
    groups: dict[tuple[str, str], list[InboundRule]] = {}
    for rule in rules:
        target = _ANY if rule.floating else str(rule.private_ip)
        groups.setdefault((str(rule.frontend_ip), target), []).append(rule)
    return [_Group(frontend, target, rules) for (frontend, target), rules in groups.items()]


def _group(group: _Group, lines: Sequence[str], top: int) -> str:
    """Two boxes, and between them a line for each rule."""
    middle = top + len(lines) * _ROW / 2
    rows = [_row(line, top + (index + 0.5) * _ROW, middle) for index, line in enumerate(lines)]
    return "".join((*rows, _box(_LEFT, middle, group.frontend), _box(_RIGHT, middle, group.target)))


def _row(line: str, y: float, middle: float) -> str:
    """A rule: curves from the left box to its text, and on to the right box."""
    curves = _curve(_BOX, middle, _MIDDLE - 5, y) + _curve(_RIGHT - 45, y, _RIGHT, middle)
    return curves + _text(_MIDDLE, y + 4, line)


def _curve(x: int, y: float, to_x: int, to_y: float) -> str:
    between = (x + to_x) / 2
    return f'<path d="M{x} {y:g}C{between:g} {y:g} {between:g} {to_y:g} {to_x} {to_y:g}"/>'


def _box(x: int, middle: float, text: str) -> str:
    outline = f'<rect x="{x}" y="{middle - 12:g}" width="{_BOX}" height="24" rx="5"/>'
    return outline + _text(x + 8, middle + 4, text)


def _text(x: int, y: float, text: str, *, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y:g}"{attribute}>{escape(text)}</text>'


def _line(rule: InboundRule) -> str:
    if rule.frontend_port == rule.backend_port == 0:
        return f"{rule.protocol} every port"
    to = "" if rule.floating else f" → {rule.backend_port}"
    return f"{rule.protocol} {rule.frontend_port}{to}"
