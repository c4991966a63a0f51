"""The egress addresses of all nodes: the list to allow, and the nodes that are not known."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from sidecar.core.addresses import IPAddress, IPNetwork, sorted_addresses
from sidecar.core.egress import EgressBasis
from sidecar.core.instant import rfc3339
from sidecar.fleet.row import NodeRow, NodeStatus

ASSUMPTION = (
    "assumed: no NAT gateway and no route table of the subnet takes the traffic elsewhere; "
    "the metadata service does not show them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownNode:
    """A node whose present egress addresses are not known."""

    cluster: str
    node: str
    cause: str
    lasting: str = ""
    """For how long, such as ``12m``; empty if that is not known."""
    last_known: str = ""
    """RFC 3339: the time of its last known addresses, if the list has them; else empty."""


@dataclass(frozen=True, slots=True)
class Egress:
    """The egress addresses of many nodes, and the nodes that are not known."""

    addresses: tuple[IPAddress, ...]
    """Distinct, IPv4 before IPv6, each in numeric order."""
    gaps: tuple[UnknownNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between a given list of networks and the addresses."""

    missing: tuple[IPAddress, ...]
    """Addresses that none of the networks covers."""
    needless: tuple[IPNetwork, ...]
    """Networks that cover none of the addresses."""


def union(rows: Iterable[NodeRow]) -> Egress:
    """All egress addresses of the nodes.

    The last known addresses of a node whose agent is down are among them, since dropping them would
    cut the node off when it comes back; the node is a gap all the same.
    """
    addresses: set[IPAddress] = set()
    gaps: list[UnknownNode] = []
    for row in rows:
        data = row.data
        known = (data.egress_ips or ()) if data is not None else ()
        addresses.update(known)
        if row.standing is not NodeStatus.OK or data is None:
            cause = row.kind
        elif data.egress_ips is None:
            cause = "egress-ips left out for the annotation budget: raise annotations.budget"
        elif data.egress_basis in {None, EgressBasis.UNKNOWN}:
            cause = (
                "neither an instance IP nor an outbound rule: a NAT gateway, a route table or default access"
            )
        elif not known:
            cause = "annotations contradict each other: no egress-ips"
        else:
            continue
        observed_at = data.observed_at if data is not None and known else None
        gaps.append(
            UnknownNode(
                cluster=row.cluster,
                node=row.node,
                cause=cause,
                lasting=row.lasting,
                last_known=rfc3339(observed_at) if observed_at else "",
            )
        )
    return Egress(sorted_addresses(addresses), tuple(gaps))


def cidr(address: IPAddress) -> str:
    """``20.1.2.3/32`` or ``2001:db8::1/128``."""
    return f"{address}/{address.max_prefixlen}"


def parse_networks(text: str) -> tuple[IPNetwork, ...]:
    """The networks of a file: one a line, addresses too; ``#`` begins a comment.

    Raises:
        ValueError: a line is something else; the text names it.
    """
    networks: list[IPNetwork] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if item := line.partition("#")[0].strip():
            try:
                networks.append(ip_network(item))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    return tuple(networks)


def outside(addresses: Iterable[IPAddress], networks: Sequence[IPNetwork]) -> tuple[IPAddress, ...]:
    """The addresses that none of the networks covers."""
    return tuple(address for address in addresses if not any(address in network for network in networks))


def compare(addresses: Sequence[IPAddress], networks: Sequence[IPNetwork]) -> Difference:
    """The difference between addresses and networks, each of which may cover several addresses."""
    needless = (net for net in dict.fromkeys(networks) if not any(address in net for address in addresses))
    return Difference(outside(addresses, networks), tuple(needless))
