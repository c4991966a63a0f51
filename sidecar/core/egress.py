"""Where a node's connections leave from: as configured, as declared, as observed.

Configured comes from the document, declared from the operator, observed from probes. What is published
as egress addresses is declared or configured and never observed: an answer from a machine outside must
not write itself into allow-lists.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_network

from sidecar.core.addresses import IPAddress, IPNetwork, is_in, parse_address, sorted_addresses
from sidecar.core.document import Document, OutboundRule, PublicIPAddress
from sidecar.core.instant import Instant
from sidecar.core.probes import Flow, Probe
from sidecar.core.views import by_private_ip

LISTED_ADDRESSES = 16
"""A declared network of at most so many addresses is also listed address by address.

As many as a NAT gateway can have (MicrosoftDocs/azure-docs nat-gateway/nat-gateway-resource.md).
"""

_LONGEST_NETWORK = 50
"""Characters: the longest IPv6 address, a slash and a length."""

_SHORTEST_PREFIX = {4: 8, 6: 16}
"""What is larger is a mistake, and would call any address listed."""

_NOT_UNICAST: tuple[IPNetwork, ...] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/3",  # Multicast and reserved.
        "::/127",  # Unspecified and loopback.
        "::ffff:0:0/96",  # IPv4 in IPv6.
        "fe80::/10",
        "ff00::/8",
    )
)

MOST_NETWORKS = 1024
"""Networks that can be declared; of a node agent no longer list is read."""

_UNANSWERED_ROUNDS = 2

_SIGHTINGS = 32
"""Addresses that one probe can have seen; beyond, the one not seen for longest goes."""

_SPREAD = 0.2
"""Part of the interval by which a round comes earlier or later."""

_LEAST_INTERVAL = 60.0
"""Seconds from one round to the next, whatever the settings are."""

MOST_PROBES = 8
"""Probes of one agent."""


class EgressBasis(StrEnum):
    """What the published egress addresses rest on."""

    INSTANCE_IP = "instance-ip"
    OUTBOUND_RULE = "outbound-rule"
    MIXED = "mixed"
    """One of these in one address family or of one private IP address, another in another."""
    DECLARED = "declared"
    UNKNOWN = "unknown"


class EgressState(StrEnum):
    """How what was observed compares with what is published."""

    AGREES = "agrees"
    """All addresses that were seen are declared or configured."""
    UNLISTED = "unlisted"
    """One is not: who allows what is published will refuse it."""
    INSIDE = "inside"
    """Only own or private addresses came back: the probes are on this side of the translation."""
    UNANSWERED = "unanswered"
    """No probe answered in the last two rounds, or in any."""
    OFF = "off"
    """There is nothing to compare: no probe, none asked yet, or nothing known of what is published."""


@dataclass(frozen=True, slots=True)
class EgressPath:
    """The addresses that connections of one private IP address and one address family leave from."""

    private_ip: IPAddress | None
    """``None``: of every private IP address, as declared."""
    family: int
    """4 or 6: of the addresses, and of those that can be reached from them."""
    basis: EgressBasis
    """``instance-ip``, ``outbound-rule`` or ``declared``."""
    addresses: tuple[IPAddress, ...]
    """All of them; of what is declared, those of networks that are small enough to be listed."""


@dataclass(frozen=True, slots=True)
class Egress:
    """Where connections leave from, as declared or configured."""

    paths: tuple[EgressPath, ...]
    networks: tuple[IPNetwork, ...]
    """As declared: IPv4 before IPv6, in numeric order, none within another."""

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """All addresses of all paths: an allow-list may have too many, and must miss none."""
        return sorted_addresses(address for path in self.paths for address in path.addresses)

    @property
    def basis(self) -> EgressBasis:
        """What :attr:`addresses` and :attr:`networks` rest on."""
        bases = {path.basis for path in self.paths}
        if not bases:
            return EgressBasis.UNKNOWN
        return bases.pop() if len(bases) == 1 else EgressBasis.MIXED

    def lists(self, address: IPAddress) -> bool:
        """Whether an address is among what is declared or configured."""
        return any(address in path.addresses for path in self.paths) or is_in(address, self.networks)

    def compared(self, observed: Iterable[IPAddress]) -> EgressState:
        """``agrees`` if all addresses that were seen are among it, else ``unlisted``."""
        return EgressState.AGREES if all(map(self.lists, observed)) else EgressState.UNLISTED


def egress(document: Document, declared: Sequence[IPNetwork] = ()) -> Egress:
    """Where connections leave from; for the families that it names, what is declared replaces the document.

    Args:
        document: What is configured.
        declared: Networks of :func:`declared_networks`.
    """
    paths = []
    for family in sorted({network.version for network in declared}):
        networks = [network for network in declared if network.version == family]
        listed = (
            address
            for network in networks
            if network.num_addresses <= LISTED_ADDRESSES
            for address in network
        )
        paths.append(EgressPath(None, family, EgressBasis.DECLARED, sorted_addresses(listed)))
    families = {path.family for path in paths}
    paths += [path for path in configured_egress(document) if path.family not in families]
    return Egress(tuple(paths), tuple(declared))


def declared_networks(values: Iterable[object]) -> tuple[IPNetwork, ...]:
    """Read the networks of ``--egress-declared``: sorted, and without those that lie within another.

    Raises:
        ValueError: one is no network, has bits set beyond its length, or is none that connections can
            come from; the text is a sentence for the person who wrote the setting.
    """
    networks: list[IPNetwork] = []
    for value in values:
        if not isinstance(value, str) or len(value) > _LONGEST_NETWORK:
            raise ValueError("a network is a short text such as 20.1.2.0/30")
        network = ip_network(value)
        special = [
            word for word in _NOT_UNICAST if network.overlaps(word) and network.version == word.version
        ]
        if special or network.prefixlen < _SHORTEST_PREFIX[network.version]:
            raise ValueError(f"{value!r} holds addresses that nothing can connect from")
        networks.append(network)
    return distinct_networks(networks)


def distinct_networks(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """The networks, IPv4 before IPv6 in numeric order, without those that lie within another."""
    kept: list[IPNetwork] = []
    for network in sorted(set(networks), key=_network_order):
        # Networks never overlap in part, so only the last one can hold the next.
        if not kept or not within(network, kept[-1]):
            kept.append(network)
    return tuple(kept)


def _network_order(network: IPNetwork) -> tuple[int, int, int]:
    """IPv4 before IPv6, in numeric order, a network before those within it."""
    return network.version, int(network.network_address), network.prefixlen


def within(network: IPNetwork, other: IPNetwork) -> bool:
    """Whether all of a network is part of another, or the same."""
    return network.version == other.version and (
        network.prefixlen >= other.prefixlen and network.network_address in other
    )


def configured_egress(document: Document) -> tuple[EgressPath, ...]:
    """The addresses that outbound connections leave from, for each private IP and family, as configured.

    Azure's order is route table, NAT gateway, instance IP, outbound rule; the first two are
    invisible here (MicrosoftDocs/azure-docs load-balancer-outbound-connections.md). An instance IP takes
    the place of outbound rules only for its own private IP address, and only in its own family.
    """
    public, outbound = by_private_ip(document.public_ip_addresses), by_private_ip(document.outbound_rules)
    paths = []
    for private_ip in sorted_addresses({*public, *outbound}):
        for family in (4, 6):
            own = _of_family(public.get(private_ip, ()), family)
            shared = _of_family(outbound.get(private_ip, ()), family)
            if own or shared:
                basis = EgressBasis.INSTANCE_IP if own else EgressBasis.OUTBOUND_RULE
                paths.append(EgressPath(private_ip, family, basis, own or shared))
    return tuple(paths)


def _of_family(
    entries: Iterable[PublicIPAddress] | Iterable[OutboundRule], family: int
) -> tuple[IPAddress, ...]:
    frontends = (entry.frontend_ip for entry in entries)
    return sorted_addresses(address for address in frontends if address.version == family)


@dataclass(frozen=True, slots=True)
class Sighting:
    """An address that a probe saw connections of this node come from."""

    address: IPAddress
    probe: Probe | None
    """``None``: an earlier run of this agent knew it, which wrote down no more."""
    first: Instant
    last: Instant
    flows: int


@dataclass(frozen=True, slots=True)
class Observation:
    """All that the probes have said."""

    probes: tuple[Probe, ...] = ()
    """Those that are asked."""
    sightings: tuple[Sighting, ...] = ()
    """By address and probe, sorted as they are printed."""
    last_round: tuple[Flow, ...] = ()
    """Every flow of the last round that ended."""
    round_at: Instant | None = None
    """When that round ended; ``None`` before the first."""
    unanswered_rounds: int = 0
    """In a row, the last one included: no connection of theirs brought an address."""

    def last_flows(self, probe: Probe) -> Mapping[int, Flow]:
        """Of the last round, the last flow to a probe over each family."""
        return {flow.family: flow for flow in self.last_round if flow.probe == probe}

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Every address that is observed."""
        return sorted_addresses(sighting.address for sighting in self.sightings)

    def state(self, published: Egress | None) -> EgressState:
        """How this compares with what is published; ``None``: that is not known yet."""
        if not self.probes or (self.round_at is None and not self.sightings):
            return EgressState.OFF
        answered = [flow for flow in self.last_round if flow.address is not None]
        if answered and all(flow.inside for flow in answered):
            return EgressState.INSIDE
        # One round can be lost with a probe that restarts, which is no reason to write to every Node.
        if not self.sightings or self.unanswered_rounds >= _UNANSWERED_ROUNDS:
            return EgressState.UNANSWERED
        return EgressState.OFF if published is None else published.compared(self.addresses)

    def after_round(self, flows: Sequence[Flow], *, now: Instant, keep: float) -> "Observation":
        """What is known once a round has ended: nothing is lost by an answer that did not come.

        Args:
            flows: All flows of the round.
            now: When it ended.
            keep: Seconds that an address stays observed without being seen again.
        """
        seen: Mapping[tuple[IPAddress, Probe | None], Sighting]
        seen = {(one.address, one.probe): one for one in self.sightings if one.last.age(now) < keep}
        for flow in flows:
            if flow.address is None or flow.inside:
                continue
            before = seen.get((flow.address, flow.probe)) or Sighting(flow.address, flow.probe, now, now, 0)
            seen[flow.address, flow.probe] = Sighting(
                flow.address, flow.probe, before.first, now, before.flows + 1
            )
            # What a probe sees now takes the place of what an earlier run knew.
            seen.pop((flow.address, None), None)
        kept: list[Sighting] = []
        for probe in {one.probe for one in seen.values()}:
            of_probe = [one for one in seen.values() if one.probe == probe]
            kept += sorted(of_probe, key=lambda one: one.last.mono, reverse=True)[:_SIGHTINGS]
        unanswered = 0 if any(flow.address is not None for flow in flows) else self.unanswered_rounds + 1
        return Observation(self.probes, _ordered(kept), tuple(flows), now, unanswered)

    def restored(self, addresses: Iterable[IPAddress], *, at: Instant) -> "Observation":
        """With what an earlier run had observed, last at ``at``."""
        known = set(self.addresses)
        found = [Sighting(address, None, at, at, 0) for address in sorted_addresses(addresses)[:_SIGHTINGS]]
        new = [one for one in found if one.address not in known]
        return replace(self, sightings=_ordered((*self.sightings, *new)))


def _ordered(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    return tuple(sorted(sightings, key=lambda one: (one.address.version, int(one.address), str(one.probe))))


@dataclass(frozen=True, slots=True)
class SharedEgress:
    """What an agent says of its node's egress beside the document, so that who reads it says the same."""

    networks: tuple[IPNetwork, ...] = ()
    """As declared."""
    observed: tuple[IPAddress, ...] = ()
    state: EgressState = EgressState.OFF


def parse_shared_egress(value: object) -> SharedEgress:
    """Read the member ``egress`` of an agent's answer; nothing if there is none that is known here.

    A newer agent may have other words: that is no reason to do without the rest of its answer.
    """
    match value:
        case {"networks": list(networks), "observed": list(observed), "state": str(state)}:
            pass
        case _:
            return SharedEgress()
    if max(len(networks), len(observed)) > MOST_NETWORKS:
        return SharedEgress()
    try:
        addresses = sorted_addresses(map(parse_address, observed))
        return SharedEgress(declared_networks(networks), addresses, EgressState(state))
    except ValueError:
        return SharedEgress()


@dataclass(frozen=True, slots=True)
class RoundPolicy:
    """How many flows a probe gets in a round. All durations are in seconds."""

    interval: float
    """Between two rounds, by up to 20 % earlier or later."""
    flows: int
    """Most connections to a probe in a round, over each family."""
    keep: float
    """How long an address stays observed without being seen again."""

    def next_at(self, started: float, ended: float, *, fraction: float) -> float:
        """Monotonic time of the next round; ``fraction`` is random, from 0 to 1."""
        at = started + self.interval * (1 - _SPREAD + 2 * _SPREAD * fraction)
        return max(at, started + _LEAST_INTERVAL, ended)

    def enough(self, observation: Observation, flows: Sequence[Flow]) -> bool:
        """Whether a probe has had enough flows over one family in this round.

        One while all agree: as long as nothing but one address is known, and the first flow brings it,
        there is no sign of a second. A flow that failed was tried four times; one more is no use.

        Args:
            observation: What was known before the round.
            flows: Those to this probe over this family, in this round.
        """
        if not flows:
            return False
        if len(flows) >= self.flows or flows[-1].failure is not None:
            return True
        family = [address for address in observation.addresses if address.version == flows[0].family]
        return observation.round_at is not None and len(flows) == 1 and family == [flows[0].address]
