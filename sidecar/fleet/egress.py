"""The egress networks of all nodes: the list to allow, what it rests on, and who is not known."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from sidecar.core.addresses import IPAddress, IPNetwork
from sidecar.core.cluster import StaticGateway
from sidecar.core.egress import EgressBasis, EgressState, distinct_networks, within
from sidecar.core.instant import rfc3339
from sidecar.core.published import Published
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
class UnlistedNode:
    """A node whose probes saw addresses that are neither declared nor configured."""

    cluster: str
    node: str
    addresses: tuple[IPAddress, ...]
    """Empty where the annotations do not tell them."""


@dataclass(frozen=True, slots=True)
class ClusterGateway:
    """A static egress gateway and its cluster."""

    cluster: str
    gateway: StaticGateway

    @property
    def namespace(self) -> str:
        """Its namespace, with the cluster before it where there are several."""
        return f"{self.cluster}/{self.gateway.namespace}" if self.cluster else self.gateway.namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEgress:
    """The egress networks of many nodes, what they rest on, and the nodes that are not known."""

    networks: tuple[IPNetwork, ...]
    """Declared or configured, and those of static gateways: IPv4 before IPv6, in numeric order, none within
    another. A single address is a network of one."""
    observed: tuple[IPNetwork, ...] = ()
    """What probes saw and `networks` does not cover, in the same order."""
    assumed: tuple[tuple[str, str], ...] = ()
    """Cluster and name of the nodes of which nobody says that they do leave from these addresses."""
    listed: int = 0
    """How many nodes have anything in `networks`."""
    unlisted: tuple[UnlistedNode, ...] = ()
    gaps: tuple[UnknownNode, ...] = ()
    gateways: tuple[ClusterGateway, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing."""
        unassigned = any(not each.gateway.networks for each in self.gateways)
        return not (self.gaps or self.unlisted or unassigned)


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between a given list of networks and the egress networks."""

    missing: tuple[IPNetwork, ...]
    """Egress networks that the given ones do not cover, or not whole."""
    needless: tuple[IPNetwork, ...]
    """Given networks that cover no egress address, and none that probes saw."""


def union(rows: Iterable[NodeRow], gateways: Iterable[ClusterGateway] = ()) -> FleetEgress:
    """All egress networks of the nodes and of static gateways.

    The last known addresses of a node whose agent is down are among them, since dropping them would
    cut the node off when it comes back; the node is a gap all the same.
    """
    found = tuple(gateways)
    networks = {network for each in found for network in each.gateway.networks}
    seen: set[IPNetwork] = set()
    assumed: list[tuple[str, str]] = []
    unlisted: list[UnlistedNode] = []
    gaps: list[UnknownNode] = []
    listed = 0
    for row in rows:
        data = row.data or Published()
        own = {*(data.egress_networks or ()), *map(as_network, data.egress_ips or ())}
        networks |= own
        seen.update(map(as_network, data.egress_observed or ()))
        listed += bool(own)
        if data.egress_state is EgressState.UNLISTED:
            unlisted.append(UnlistedNode(row.cluster, row.node, row.unlisted))
        elif _is_assumed(data):
            assumed.append((row.cluster, row.node))
        if cause := _why_unknown(row):
            observed_at = data.observed_at if own else None
            gaps.append(
                UnknownNode(
                    cluster=row.cluster,
                    node=row.node,
                    cause=cause,
                    lasting=row.lasting,
                    last_known=rfc3339(observed_at) if observed_at else "",
                )
            )
    all_networks = distinct_networks(networks)
    return FleetEgress(
        networks=all_networks,
        observed=outside(distinct_networks(seen), all_networks),
        assumed=tuple(assumed),
        listed=listed,
        unlisted=tuple(unlisted),
        gaps=tuple(gaps),
        gateways=found,
    )


def _why_unknown(row: NodeRow) -> str:
    """Why it is not known what a node leaves from; empty if it is."""
    data = row.data
    declared = data is not None and data.egress_basis is EgressBasis.DECLARED and bool(data.egress_networks)
    # Behind a NAT gateway alone the metadata service has nothing, and what is declared holds.
    known = {NodeStatus.OK, NodeStatus.NO_METADATA} if declared else {NodeStatus.OK}
    if row.standing not in known or data is None:
        return row.kind
    if declared:
        return ""
    if data.egress_ips is None:
        return "egress-ips left out for the annotation budget: raise annotations.budget"
    if data.egress_basis in {None, EgressBasis.UNKNOWN}:
        return "neither an instance IP nor an outbound rule: a NAT gateway, a route table or default access"
    return "" if data.egress_ips else "annotations contradict each other: no egress-ips"


def _is_assumed(data: Published) -> bool:
    """Whether a node has addresses that are only configured, in a family in which no probe confirms them."""
    families: set[int] = set()
    if data.egress_state is EgressState.AGREES:
        # Left out for the budget: the state is all there is.
        observed = data.egress_observed
        families = {4, 6} if observed is None else {address.version for address in observed}
    declared = {network.version for network in data.egress_networks or ()}
    return any(address.version not in families | declared for address in data.egress_ips or ())


def as_network(address: IPAddress) -> IPNetwork:
    """``20.1.2.3/32`` or ``2001:db8::1/128``."""
    return ip_network(address)


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


def outside(networks: Iterable[IPNetwork], covering: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """The networks that the covering ones, all together, do not cover whole."""
    given = list(covering)
    # Two halves that stand side by side cover what they make up.
    whole: list[IPNetwork] = [
        *collapse_addresses(each for each in given if isinstance(each, IPv4Network)),
        *collapse_addresses(each for each in given if isinstance(each, IPv6Network)),
    ]
    exact = set(whole)
    return tuple(
        network
        for network in networks
        if network not in exact and not any(within(network, other) for other in whole)
    )


def compare(
    networks: Sequence[IPNetwork], given: Sequence[IPNetwork], *, seen: Sequence[IPNetwork] = ()
) -> Difference:
    """The difference between egress networks and given ones, each of which may cover several.

    Args:
        networks: That are to be covered.
        given: That are to cover them.
        seen: In use, whether they are to be covered or not: what covers them is not needless.
    """
    used = {*networks, *seen}
    needless = (
        each
        for each in dict.fromkeys(given)
        if each not in used and not any(within(each, network) or within(network, each) for network in used)
    )
    return Difference(outside(networks, given), tuple(needless))
