"""The load balancer document: its values, its canonical bytes and its revision.

The canonical form is a contract: its bytes are an annotation of every node, and their hash is the
revision. ``tests/assets/canonical.json`` pins both.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sidecar.core.addresses import IPAddress, address_order

ALL_PROTOCOLS = "all"
"""As a rule's protocol: each of them."""

REVISION = re.compile("[0-9a-f]{16}")
"""What a revision looks like."""


@dataclass(frozen=True, slots=True)
class _AddressPair:
    frontend_ip: IPAddress
    private_ip: IPAddress

    @property
    def order(self) -> tuple[object, ...]:
        """Sort key of the canonical document."""
        return *address_order(self.frontend_ip), *address_order(self.private_ip)

    def wire(self) -> dict[str, Any]:
        """The entry under the metadata service's own key names."""
        return {"frontendIpAddress": str(self.frontend_ip), "privateIpAddress": str(self.private_ip)}


@dataclass(frozen=True, slots=True)
class PublicIPAddress(_AddressPair):
    """An instance-level public IP address and the private IP address of the NIC that it maps to."""


@dataclass(frozen=True, slots=True)
class OutboundRule(_AddressPair):
    """A frontend IP address that outbound flows of a private IP address may leave from."""


@dataclass(frozen=True, slots=True)
class InboundRule:
    """A load balancing rule or inbound NAT rule that reaches this node.

    Under floating IP ``private_ip`` repeats ``frontend_ip``
    (kubernetes-sigs/cloud-provider-azure issue 535), so it does not name a NIC.
    """

    frontend_ip: IPAddress
    protocol: str
    """Lower case: ``tcp``, ``udp``, ``all`` (HA ports, with ports 0) or any other word."""
    frontend_port: int
    backend_port: int
    private_ip: IPAddress

    @property
    def floating(self) -> bool:
        """Whether packets arrive under the frontend's own address and port (floating IP)."""
        return self.private_ip == self.frontend_ip

    @property
    def every_port(self) -> bool:
        """Whether it is for every port of every protocol (HA ports).

        That is protocol all with ports 0 (MicrosoftDocs/azure-docs:
        articles/load-balancer/load-balancer-ha-ports-overview.md).
        """
        return self.protocol == ALL_PROTOCOLS and self.frontend_port == self.backend_port == 0

    @property
    def order(self) -> tuple[object, ...]:
        """Sort key of the canonical document."""
        return (
            *address_order(self.frontend_ip),
            self.protocol,
            self.frontend_port,
            self.backend_port,
            *address_order(self.private_ip),
        )

    def wire(self) -> dict[str, Any]:
        """The entry under the metadata service's own key names."""
        return {
            "frontendIpAddress": str(self.frontend_ip),
            "protocol": self.protocol,
            "frontendPort": self.frontend_port,
            "backendPort": self.backend_port,
            "privateIpAddress": str(self.private_ip),
        }


@dataclass(frozen=True)
class Document:
    """The load balancer metadata of one virtual machine, without duplicates, in canonical order.

    Build it with :meth:`of`; the constructor takes the lists as they are.
    """

    public_ip_addresses: tuple[PublicIPAddress, ...] = ()
    inbound_rules: tuple[InboundRule, ...] = ()
    outbound_rules: tuple[OutboundRule, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        public_ip_addresses: Iterable[PublicIPAddress] = (),
        inbound_rules: Iterable[InboundRule] = (),
        outbound_rules: Iterable[OutboundRule] = (),
    ) -> "Document":
        """Build a document from entries in any order, with or without duplicates."""
        return cls(
            public_ip_addresses=tuple(sorted(set(public_ip_addresses), key=lambda entry: entry.order)),
            inbound_rules=tuple(sorted(set(inbound_rules), key=lambda entry: entry.order)),
            outbound_rules=tuple(sorted(set(outbound_rules), key=lambda entry: entry.order)),
        )

    @property
    def empty(self) -> bool:
        """Whether all three lists are empty."""
        return not (self.public_ip_addresses or self.inbound_rules or self.outbound_rules)

    @property
    def entries(self) -> int:
        """How many entries the three lists have together."""
        return len(self.public_ip_addresses) + len(self.inbound_rules) + len(self.outbound_rules)

    def wire(self) -> dict[str, Any]:
        """The document under the metadata service's own key names, without the outer key."""
        return {
            "publicIpAddresses": [entry.wire() for entry in self.public_ip_addresses],
            "inboundRules": [entry.wire() for entry in self.inbound_rules],
            "outboundRules": [entry.wire() for entry in self.outbound_rules],
        }

    @cached_property
    def canonical(self) -> bytes:
        """The canonical document: ASCII JSON without spaces, keys and entries in a fixed order."""
        return canonical_bytes(self.wire())

    @cached_property
    def revision(self) -> str:
        """The first 16 hex digits of the SHA-256 of :attr:`canonical`."""
        return hashlib.sha256(self.canonical).hexdigest()[:16]


LISTS = ("public_ip_addresses", "inbound_rules", "outbound_rules")
"""The fields of :class:`Document` that hold its lists."""

EMPTY = Document()
"""The document of a machine without load balancer metadata."""


def canonical_bytes(value: object) -> bytes:
    """JSON as every answer of ours is written: ASCII, no spaces."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")
