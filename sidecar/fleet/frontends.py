"""Inbound rules over all nodes: which nodes have a frontend, which miss it and since when, and its Services.

The frontends come from a node's annotated document, else from ``inbound``, which has no backend ports.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sidecar.core.addresses import IPAddress, endpoint, is_port, parse_address
from sidecar.core.annotations import Layout, canonical_document
from sidecar.core.cluster import ClusterNode, LoadBalancerService
from sidecar.core.published import PublishedFrontend, parse_endpoint
from sidecar.fleet.row import NodeRow

_ALL_PROTOCOLS = "all"
_GAINED, _LOST = "+inbound ", "-inbound "

_Rule = tuple[PublishedFrontend, int]


class TimeBasis(StrEnum):
    """How the time is known since which a node misses a frontend."""

    REMOVED = "removed"
    """From the node's own last changes, which have the removal."""
    ADDED_ELSEWHERE = "added elsewhere"
    """The first of the other nodes got it then, and this one did not."""
    AT_LEAST = "at least"
    """The node's rules have not changed since; it may miss the frontend for longer."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A node without a frontend that others have."""

    node: str
    since: datetime | None
    basis: TimeBasis


@dataclass(frozen=True, slots=True)
class Owner:
    """A Service that has the frontend's address."""

    service: str
    exact: bool
    """Whether it has the port as well."""

    def __str__(self) -> str:
        return self.service if self.exact else f"{self.service} (not this port)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontend:
    """A frontend over all nodes."""

    endpoint: PublishedFrontend
    backend_ports: tuple[int, ...]
    """Empty when no node's annotations have them."""
    having: int
    """Nodes that have it, of all those in `of`."""
    of: int
    """Nodes whose frontends are known."""
    missing: tuple[Missing, ...]
    owners: tuple[Owner, ...] | None
    """``None``: Services could not be listed."""


@dataclass(frozen=True, slots=True)
class FrontendFilter:
    """``IP``, ``IP:PORT``, ``[IPv6]:PORT``."""

    address: IPAddress
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "FrontendFilter":
        """Parse one of these forms.

        Raises:
            ValueError: it has another form.
        """
        try:
            return cls(parse_address(text))
        except ValueError:
            host, _, port = text.rpartition(":")
        if not is_port(port):
            raise ValueError(f"{text!r} is not IP, IP:PORT or [IPv6]:PORT")
        address = parse_address(host)
        if address.version == 6 and not (host.startswith("[") and host.endswith("]")):
            # Without brackets the port could be a part of the address.
            raise ValueError(f"write {endpoint(address, int(port))}")
        return cls(address, int(port))

    def takes(self, frontend: PublishedFrontend) -> bool:
        """Whether a frontend matches; one of all ports matches every port."""
        if frontend.address != str(self.address):
            return False
        return self.port in {None, frontend.port} or frontend.protocol == _ALL_PROTOCOLS


@dataclass(frozen=True, slots=True)
class NodeRules:
    """The inbound rules of a node, with its row."""

    row: NodeRow
    endpoints: frozenset[PublishedFrontend] | None
    """``None``: they are not known at present."""
    rules: frozenset[_Rule] = frozenset()
    """With backend ports; empty when only the frontends are known."""
    complete: bool = True
    """Whether the node's document is annotated."""


class RuleInterner:
    """Reads the rules of one node after the other, and keeps values that many nodes share only once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._endpoints: dict[frozenset[PublishedFrontend], frozenset[PublishedFrontend]] = {}
        self._rules: dict[frozenset[_Rule], frozenset[_Rule]] = {}

    def take(self, node: ClusterNode, row: NodeRow) -> NodeRules:
        """The annotated rules of a node, if its data can be compared with those of others."""
        if not row.comparable or row.data is None:
            return NodeRules(row, None)
        text = node.annotations.get(self._layout.key("loadbalancer"), "")
        document = canonical_document(text, revision=row.data.revision) if text else None
        if document is None:
            endpoints = None if row.data.inbound is None else frozenset(row.data.inbound)
            if endpoints is not None:
                endpoints = self._endpoints.setdefault(endpoints, endpoints)
            return NodeRules(row, endpoints, complete=False)
        rules = frozenset(
            (
                parse_endpoint(f"{rule.protocol}/{endpoint(rule.frontend_ip, rule.frontend_port)}"),
                rule.backend_port,
            )
            for rule in document.inbound_rules
        )
        found = frozenset(each for each, _ in rules)
        return NodeRules(row, self._endpoints.setdefault(found, found), self._rules.setdefault(rules, rules))


def frontends(
    nodes: Sequence[NodeRules],
    services: Sequence[LoadBalancerService] | None,
    *,
    only: FrontendFilter | None = None,
) -> list[Frontend]:
    """Every frontend that at least one node has, by address and port."""
    groups: dict[frozenset[PublishedFrontend], list[NodeRules]] = {}
    for node in nodes:
        if node.endpoints is not None:
            groups.setdefault(node.endpoints, []).append(node)
    known = sum(map(len, groups.values()))
    ports: dict[PublishedFrontend, set[int]] = {}
    for rules in {node.rules for node in nodes}:
        for each, port in rules:
            ports.setdefault(each, set()).add(port)
    times = _Times(node.row for node in nodes)
    by_address: dict[str, list[LoadBalancerService]] = {}
    for service in sorted(services or (), key=str):
        for address in service.addresses:
            by_address.setdefault(str(address), []).append(service)
    result = []
    for each in sorted(frozenset().union(*groups)):
        if only is not None and not only.takes(each):
            continue
        lacking = [node.row for group, members in groups.items() if each not in group for node in members]
        owners = None
        if services is not None:
            # A rule of all ports (HA ports) has the port 0, and matches each port of a Service.
            any_port, own = each.protocol == _ALL_PROTOCOLS, (each.protocol, each.port)
            sharing = by_address.get(each.address, ())
            owners = [Owner(str(service), any_port or own in service.ports) for service in sharing]
            # Those of its address count only if none has its port.
            owners = [owner for owner in owners if owner.exact] or owners
        result.append(
            Frontend(
                endpoint=each,
                backend_ports=tuple(sorted(ports.get(each, ()))),
                having=known - len(lacking),
                of=known,
                missing=tuple(times.missing(row, each) for row in sorted(lacking, key=lambda row: row.node)),
                owners=None if owners is None else tuple(owners),
            )
        )
    return result


class _Times:
    """When nodes gained and lost frontends, by their last changes."""

    def __init__(self, rows: Iterable[NodeRow]) -> None:
        self._gained: dict[str, dict[str, datetime]] = {}
        """By frontend and node."""
        self._lost: dict[tuple[str, str], datetime] = {}
        for row in rows:
            # Oldest first: a frontend that came back is no longer lost.
            for change in row.data.changes if row.data is not None else ():
                for item in change.items:
                    if item.startswith(_GAINED):
                        frontend = item.removeprefix(_GAINED)
                        self._gained.setdefault(frontend, {})[row.node] = change.at
                        self._lost.pop((row.node, frontend), None)
                    elif item.startswith(_LOST):
                        self._lost[row.node, item.removeprefix(_LOST)] = change.at

    def missing(self, row: NodeRow, frontend: PublishedFrontend) -> Missing:
        """Since when a node misses a frontend that it does not have."""
        if (row.node, frontend.text) in self._lost:
            return Missing(row.node, self._lost[row.node, frontend.text], TimeBasis.REMOVED)
        gained = self._gained.get(frontend.text, {})
        if elsewhere := [at for node, at in gained.items() if node != row.node]:
            return Missing(row.node, min(elsewhere), TimeBasis.ADDED_ELSEWHERE)
        return Missing(row.node, row.data.changed_at if row.data else None, TimeBasis.AT_LEAST)
