"""Views of a document: its public IP, the frontends that reach it, its private IPs."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from sidecar.core.addresses import IPAddress, address_order, endpoint, sorted_addresses
from sidecar.core.document import ALL_PROTOCOLS, Document, InboundRule, OutboundRule, PublicIPAddress

_Entry = TypeVar("_Entry", PublicIPAddress, OutboundRule, InboundRule)


def public_ips(document: Document) -> tuple[IPAddress, ...]:
    """All instance-level public IP addresses."""
    return sorted_addresses(entry.frontend_ip for entry in document.public_ip_addresses)


def public_ip(
    document: Document, node_address: IPAddress | None, *, family: int | None = None
) -> IPAddress | None:
    """The public IP mapped to the node's own address if there is one, else the lowest.

    ``family`` (4 or 6) leaves only addresses of that family to choose from.
    """
    entries = [
        entry
        for entry in document.public_ip_addresses
        if family is None or entry.frontend_ip.version == family
    ]
    own = [entry for entry in entries if entry.private_ip == node_address]
    return next(iter(sorted_addresses(entry.frontend_ip for entry in own or entries)), None)


def inbound_ips(document: Document) -> tuple[IPAddress, ...]:
    """Distinct frontend IP addresses of the inbound rules."""
    return sorted_addresses(rule.frontend_ip for rule in document.inbound_rules)


def outbound_ips(document: Document) -> tuple[IPAddress, ...]:
    """Distinct frontend IP addresses of the outbound rules, as the metadata service lists them."""
    return sorted_addresses(rule.frontend_ip for rule in document.outbound_rules)


def inbound(document: Document) -> tuple[str, ...]:
    """``proto/frontendIP:port`` of every inbound rule, distinct, sorted as text."""
    return tuple(
        sorted(
            {
                f"{rule.protocol}/{endpoint(rule.frontend_ip, rule.frontend_port)}"
                for rule in document.inbound_rules
            }
        )
    )


@dataclass(frozen=True, slots=True)
class PrivateIP:
    """What is known of one private IP address of the network interface."""

    address: IPAddress
    public_ips: tuple[IPAddress, ...]
    outbound_ips: tuple[IPAddress, ...]
    inbound_rules: tuple[InboundRule, ...]


def private_ips(document: Document) -> tuple[PrivateIP, ...]:
    """The facts grouped by private IP address.

    Addresses of the network interface are known from public IP addresses, outbound rules, and
    inbound rules without floating IP: see :func:`any_private_ip` for the others.
    """
    public = by_private_ip(document.public_ip_addresses)
    outbound = by_private_ip(document.outbound_rules)
    rules = by_private_ip(rule for rule in document.inbound_rules if not rule.floating)
    return tuple(
        PrivateIP(
            address=address,
            public_ips=sorted_addresses(entry.frontend_ip for entry in public.get(address, ())),
            outbound_ips=sorted_addresses(entry.frontend_ip for entry in outbound.get(address, ())),
            inbound_rules=tuple(rules.get(address, ())),
        )
        for address in sorted_addresses((*public, *outbound, *rules))
    )


def by_private_ip(entries: Iterable[_Entry]) -> dict[IPAddress, list[_Entry]]:
    """The entries of each private IP address, in their order."""
    groups: dict[IPAddress, list[_Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.private_ip, []).append(entry)
    return groups


def any_private_ip(document: Document) -> tuple[InboundRule, ...]:
    """The inbound rules with floating IP, which do not show which private IP address they reach."""
    return tuple(rule for rule in document.inbound_rules if rule.floating)


class Via(StrEnum):
    """What leads to a port of the node."""

    INSTANCE_IP = "instance-ip"
    INBOUND_RULE = "inbound-rule"


@dataclass(frozen=True, slots=True)
class Reachable:
    """An endpoint that clients elsewhere connect to."""

    address: IPAddress
    port: int
    via: Via


def reachable(document: Document, *, protocol: str, port: int) -> tuple[Reachable, ...]:
    """Where a port of the node is reached from elsewhere; a security group can still block it.

    ``port`` is a host port, a NodePort or the port of a Service. Instance IP addresses come first,
    then frontends of the load balancer, each IPv4 before IPv6 in numeric order.
    """
    direct = [Reachable(address, port, Via.INSTANCE_IP) for address in public_ips(document)]
    frontends = {
        (rule.frontend_ip, rule.frontend_port or port)
        for rule in document.inbound_rules
        if rule.protocol in (protocol, ALL_PROTOCOLS)
        and (rule.every_port or port == (rule.frontend_port if rule.floating else rule.backend_port))
    }
    ordered = sorted(frontends, key=lambda frontend: (*address_order(frontend[0]), frontend[1]))
    return (*direct, *(Reachable(address, number, Via.INBOUND_RULE) for address, number in ordered))
