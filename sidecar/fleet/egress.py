"""The egress addresses of all nodes: the list to allow, and what is unknown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from sidecar.core.addresses import IPAddress, IPNetwork, sorted_addresses
from sidecar.core.instant import rfc3339
from sidecar.core.views import EgressBasis
from sidecar.fleet.row import NodeRow, NodeStatus

ASSUMPTION = (
    "assumed: no NAT gateway and no route table of the subnet takes the traffic elsewhere; "
    "the metadata service does not show them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownNode:
    """A node of which it is not known what it leaves from now."""

    cluster: str
    node: str
    cause: str
    lasting: str = ""
    """For how long that has been so, if that is known."""
    last_known: str = ""
    """The time as of which its addresses are in the list nevertheless; empty when they are not."""


@dataclass(frozen=True, slots=True)
class Egress:
    """What is known, and what is not."""

    addresses: tuple[IPAddress, ...]
    """Distinct, IPv4 before IPv6, each in numeric order."""
    gaps: tuple[UnknownNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """How a given list of networks and the addresses differ."""

    missing: tuple[IPAddress, ...]
    """Addresses that none of the networks covers."""
    needless: tuple[IPNetwork, ...]
    """Networks that cover none of the addresses."""


def union(rows: Iterable[NodeRow]) -> Egress:
    """All addresses that the nodes leave from.

    The last known addresses of a node whose agent is down are among them, since dropping them would
    cut the node off when it comes back; the node is a gap all the same.
    """
    addresses: set[IPAddress] = set()
    gaps: list[UnknownNode] = []
    for row in rows:
        known = (row.data.egress_ips or ()) if row.data is not None else ()
        addresses.update(known)
        if cause := _cause(row):
            last_known = rfc3339(row.data.observed_at) if known and row.data and row.data.observed_at else ""
            gaps.append(
                UnknownNode(
                    cluster=row.cluster,
                    node=row.node,
                    cause=cause,
                    lasting=row.lasting,
                    last_known=last_known,
                )
            )
    return Egress(sorted_addresses(addresses), tuple(gaps))


def _cause(row: NodeRow) -> str:
    """Why it is not known what the node leaves from; empty when it is known."""
    if row.standing is not NodeStatus.OK or row.data is None:
        return row.kind
    if row.data.egress_ips is None:
        return "egress-ips left out for the annotation budget: raise annotations.budget"
    if row.data.egress_basis in {None, EgressBasis.UNKNOWN}:
        return "neither an instance IP nor an outbound rule: a NAT gateway, a route table or default access"
    return "" if row.data.egress_ips else "annotations contradict each other: no egress-ips"


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
    """How they differ: a network may cover several addresses."""
    needless = (net for net in dict.fromkeys(networks) if not any(address in net for address in addresses))
    return Difference(outside(addresses, networks), tuple(needless))
