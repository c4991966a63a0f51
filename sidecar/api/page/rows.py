"""The rows of the drawing: one for each rule, or for rules that belong together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sidecar.core.document import InboundRule

MOST = 20
"""Maximum of rows in a drawing; the table has all rules."""

TEXT_LENGTH = 20
"""Maximum of characters in a row's text: what fits between two IPv6 addresses."""

_ANY = "any private IP (floating IP)"


@dataclass(frozen=True, slots=True)
class PageRow:
    """One line of the drawing: from a frontend through a rule, or some, to a private IP address."""

    frontend: str
    text: str
    target: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rows of a drawing, and what they leave out."""

    rows: Sequence[PageRow]
    note: str
    """A sentence; empty where every rule has a row of its own."""


def drawn(rules: Sequence[InboundRule]) -> Drawn:
    """One row for each rule; if they are too many, rules that are alike share one, and the largest stay."""
    if len(rules) <= MOST:
        return Drawn([PageRow(str(rule.frontend_ip), _ports(rule), _target(rule)) for rule in rules], "")
    # The rules of one frontend that have the same protocol and target share a row.
    together = _grouped(rules, key=lambda rule: (rule.frontend_ip, rule.protocol, _target(rule)))
    if len(together) > MOST:
        # Frontends with the same ports, as those of web sites, share a row.
        ports = {rule: group.ports for group in together for rule in group.rules}
        together = _grouped(ports, key=lambda rule: (ports[rule], rule.protocol, _target(rule)))
    largest = sorted(together, key=lambda group: -len(group.rules))[:MOST]
    shown = [group for group in together if group in largest]
    note = f"{len(rules)} rules are drawn together where they are alike; the table below has each."
    if left := len(rules) - sum(len(group.rules) for group in shown):
        note = f"{note} It also has {left} rules that are not drawn."
    return Drawn([group.row for group in shown], note)


@dataclass(frozen=True, slots=True)
class _Group:
    """Rules that share a protocol, a target and the frontend, or all ports of each of their frontends."""

    rules: Sequence[InboundRule]

    @property
    def ports(self) -> tuple[int, ...]:
        """Their frontend ports, sorted."""
        return tuple(sorted({rule.frontend_port for rule in self.rules}))

    @property
    def row(self) -> PageRow:
        """The row that shows them."""
        first, count = self.rules[0], len({rule.frontend_ip for rule in self.rules})
        frontend = str(first.frontend_ip) if count == 1 else f"{count} frontends"
        if len(self.rules) == 1 or self.ports == (0,):
            return PageRow(frontend, _ports(first), _target(first))
        ranges: list[list[int]] = []
        for port in self.ports:
            if ranges and ranges[-1][-1] == port - 1:
                ranges[-1][1:] = [port]
            else:
                ranges.append([port])
        ends = ("–".join(map(str, each)) for each in ranges)  # noqa: RUF001 - the dash of ranges is meant
        text = f"{first.protocol} {', '.join(ends)}"
        if len(text) > TEXT_LENGTH:
            text = f"{first.protocol} {len(self.ports)} ports"
        return PageRow(frontend, _fitting(text), _target(first))


def _grouped(rules: Iterable[InboundRule], *, key: Callable[[InboundRule], object]) -> list[_Group]:
    groups: dict[object, list[InboundRule]] = {}
    for rule in rules:
        groups.setdefault(key(rule), []).append(rule)
    return [_Group(group) for group in groups.values()]


def _ports(rule: InboundRule) -> str:
    """A rule without its addresses."""
    if rule.every_port:
        return "HA ports"
    to = "" if rule.floating else f" → {rule.backend_port}"
    return _fitting(f"{rule.protocol} {rule.frontend_port}{to}")


def _target(rule: InboundRule) -> str:
    return _ANY if rule.floating else str(rule.private_ip)


def _fitting(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH else f"{text[: TEXT_LENGTH - 1]}…"
