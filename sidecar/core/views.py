"""What people ask of a document: its public IP, the frontends that reach it, where it leaves from."""

from enum import StrEnum

from sidecar.core.addresses import IPAddress, endpoint, sorted_addresses
from sidecar.core.document import Document

__all__ = [
    "EgressBasis",
    "egress_basis",
    "egress_ips",
    "inbound",
    "inbound_ips",
    "outbound_ips",
    "public_ip",
    "public_ips",
]


class EgressBasis(StrEnum):
    """What :func:`egress_ips` rests on."""

    INSTANCE_IP = "instance-ip"
    OUTBOUND_RULE = "outbound-rule"
    UNKNOWN = "unknown"


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


def egress_ips(document: Document) -> tuple[IPAddress, ...]:
    """What the node leaves from, as far as the metadata service can tell.

    Azure's order is route table, NAT gateway, instance IP, outbound rule; the first two are
    invisible here (MicrosoftDocs/azure-docs load-balancer-outbound-connections.md).
    """
    return public_ips(document) or outbound_ips(document)


def egress_basis(document: Document) -> EgressBasis:
    """What :func:`egress_ips` rests on."""
    if document.public_ip_addresses:
        return EgressBasis.INSTANCE_IP
    return EgressBasis.OUTBOUND_RULE if document.outbound_rules else EgressBasis.UNKNOWN


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
