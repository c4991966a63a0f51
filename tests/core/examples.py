"""Values that the tests of the core speak of, and how hypothesis finds more of them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, TypeVar

from hypothesis import strategies as st

from sidecar.core.addresses import IPAddress, is_assignable
from sidecar.core.document import Document, InboundRule, OutboundRule, PublicIPAddress
from sidecar.core.instant import Instant
from sidecar.core.outcome import Failure, Reason, Success

_Entry = TypeVar("_Entry", PublicIPAddress, InboundRule, OutboundRule)

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def utc(seconds: float = 0) -> datetime:
    """The wall clock `seconds` after the start of the test."""
    return START + timedelta(seconds=seconds)


def at(seconds: float) -> Instant:
    """The moment `seconds` after the start of the test, on both clocks."""
    return Instant(mono=1000 + seconds, utc=utc(seconds))


def public(frontend: str, private: str = "10.240.0.4") -> PublicIPAddress:
    """An instance-level public IP address."""
    return PublicIPAddress(ip_address(frontend), ip_address(private))


def outbound(frontend: str, private: str = "10.240.0.4") -> OutboundRule:
    """An outbound rule."""
    return OutboundRule(ip_address(frontend), ip_address(private))


def inbound(
    frontend: str, *, protocol: str = "tcp", port: int = 443, backend: int = 443, private: str = "10.240.0.4"
) -> InboundRule:
    """An inbound rule."""
    return InboundRule(
        frontend_ip=ip_address(frontend),
        protocol=protocol,
        frontend_port=port,
        backend_port=backend,
        private_ip=ip_address(private),
    )


def document(
    *,
    public: PublicIPAddress | None = None,
    inbound: InboundRule | None = None,
    out: OutboundRule | None = None,
) -> Document:
    """A document with at most one entry in each list."""
    return Document.of(
        public_ip_addresses=[public] if public else [],
        inbound_rules=[inbound] if inbound else [],
        outbound_rules=[out] if out else [],
    )


FULL = document(public=public("20.1.2.3"), inbound=inbound("20.20.20.20"), out=outbound("52.1.1.1"))
"""One entry in each of the three lists."""

MOVED = replace(FULL, outbound_rules=(outbound("52.2.2.2"),))
"""`FULL`, but for the outbound address."""

ELSEWHERE = replace(FULL, public_ip_addresses=(public("20.9.9.9"),))
"""`FULL`, but for the public IP."""


def answer(document: Document) -> Success:
    """The answer that carries this document."""
    return Success(document=document, body=document.canonical)


def failure(reason: Reason = Reason.UNAVAILABLE) -> Failure:
    """An attempt that failed for this reason."""
    return Failure(reason=reason, detail="as scripted")


def wire_public(**members: Any) -> dict[str, Any]:
    """A well-formed entry of `publicIpAddresses`, with these members set, or removed where `...`."""
    return _with({"frontendIpAddress": "20.1.2.3", "privateIpAddress": "10.240.0.4"}, members)


def wire_inbound(**members: Any) -> dict[str, Any]:
    """A well-formed entry of `inboundRules`, with these members set, or removed where `...`."""
    entry = {
        "frontendIpAddress": "20.20.20.20",
        "protocol": "tcp",
        "frontendPort": 443,
        "backendPort": 8443,
        "privateIpAddress": "10.240.0.4",
    }
    return _with(entry, members)


def _with(entry: Mapping[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**entry, **members}.items() if value is not ...}


def _usable(address: IPAddress) -> bool:
    return is_assignable(address) and (address.version == 4 or address.ipv4_mapped is None)


def _few(one: _Entry, other: _Entry) -> st.SearchStrategy[list[_Entry]]:
    return st.sampled_from([[], [one], [other], [one, other]])


addresses: st.SearchStrategy[IPAddress] = st.one_of(
    st.sampled_from([ip_address(text) for text in ("20.1.2.3", "20.1.2.4", "9.9.9.9", "2001:db8::1")]),
    st.ip_addresses().filter(_usable),
)
"""Every address that a document may hold; a few often, so that entries repeat."""

ports = st.sampled_from([0, 80, 443, 65535]) | st.integers(min_value=0, max_value=65535)
protocols = st.sampled_from(["tcp", "udp", "all", "quic"]) | st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True)
public_ip_addresses = st.builds(PublicIPAddress, addresses, addresses)
outbound_rules = st.builds(OutboundRule, addresses, addresses)
inbound_rules = st.builds(
    InboundRule,
    frontend_ip=addresses,
    protocol=protocols,
    frontend_port=ports,
    backend_port=ports,
    private_ip=addresses,
)
documents = st.builds(
    Document.of,
    public_ip_addresses=st.lists(public_ip_addresses, max_size=6),
    inbound_rules=st.lists(inbound_rules, max_size=6),
    outbound_rules=st.lists(outbound_rules, max_size=6),
)
"""Documents of any values."""

few_documents = st.builds(
    Document.of,
    public_ip_addresses=_few(public("20.1.2.3"), public("20.1.2.4")),
    inbound_rules=_few(inbound("20.20.20.20"), inbound("20.20.20.20", port=80)),
    outbound_rules=_few(outbound("52.1.1.1"), outbound("52.2.2.2")),
)
"""A few documents, so that a random run often sees a list come, go, change, grow and shrink."""

failures = st.sampled_from(Reason).filter(lambda reason: reason is not Reason.NO_METADATA).map(failure)
