"""What parts of a document a request asks for."""

from dataclasses import dataclass
from typing import Any

from sidecar.api.parameters import Scope
from sidecar.core.addresses import PRIVATE_NETWORKS, IPAddress
from sidecar.core.document import Document, InboundRule, OutboundRule, PublicIPAddress

__all__ = ["ADDRESS_FILTERS", "RULE_FILTERS", "Filter", "scope_of"]

ADDRESS_FILTERS = frozenset(("privateIp", "family", "scope"))
"""The filters of lists whose entries are pairs of addresses."""

RULE_FILTERS = ADDRESS_FILTERS | {"protocol", "frontendPort", "backendPort"}
"""The filters of lists made of inbound rules."""


def scope_of(address: IPAddress) -> Scope:
    """Where an address can be reached from.

    Not :attr:`ipaddress.IPv4Address.is_private`, which takes in documentation ranges and changed
    between Python versions.
    """
    return Scope.PRIVATE if any(address in network for network in PRIVATE_NETWORKS) else Scope.PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Conditions that an entry must all meet; ``None`` is no condition."""

    private_ip: IPAddress | None = None
    family: int | None = None
    """4 or 6, of the frontend."""
    scope: Scope | None = None
    """Of the frontend."""
    protocol: str | None = None
    frontend_port: int | None = None
    backend_port: int | None = None

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Filter":
        """Build a filter from parsed parameters by their names in the query."""
        return cls(
            private_ip=values.get("privateIp"),
            family=values.get("family"),
            scope=values.get("scope"),
            protocol=values.get("protocol"),
            frontend_port=values.get("frontendPort"),
            backend_port=values.get("backendPort"),
        )

    def apply(self, document: Document) -> Document:
        """The document with only those entries that meet the conditions, in their order.

        Entries that have no protocol and no ports meet every condition on them.
        """
        if self == _EVERYTHING:
            return document
        return Document(
            public_ip_addresses=tuple(filter(self._pair_meets, document.public_ip_addresses)),
            inbound_rules=tuple(filter(self._rule_meets, document.inbound_rules)),
            outbound_rules=tuple(filter(self._pair_meets, document.outbound_rules)),
        )

    def _rule_meets(self, rule: InboundRule) -> bool:
        return (
            self.protocol in (None, rule.protocol)
            and self.frontend_port in (None, rule.frontend_port)
            and self.backend_port in (None, rule.backend_port)
            and self._pair_meets(rule)
        )

    def _pair_meets(self, entry: PublicIPAddress | OutboundRule | InboundRule) -> bool:
        return (
            self.private_ip in (None, entry.private_ip)
            and self.family in (None, entry.frontend_ip.version)
            and (self.scope is None or self.scope is scope_of(entry.frontend_ip))
        )


_EVERYTHING = Filter()
