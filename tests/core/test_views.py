"""What people ask of a document."""

from ipaddress import ip_address

import pytest
from hypothesis import given

from sidecar.core import views
from sidecar.core.document import EMPTY, Document
from tests.core.examples import documents, inbound, outbound, public

DUAL_STACK = Document.of(
    public_ip_addresses=[
        public("20.1.2.9", "10.240.0.5"),
        public("20.1.2.3", "10.240.0.4"),
        public("100.1.2.3", "10.240.0.4"),
        public("2001:db8::9", "fd00::4"),
        public("2001:db8::1", "fd00::5"),
    ]
)


@pytest.mark.parametrize(
    ("node_address", "family", "expected"),
    [
        ("10.240.0.5", None, "20.1.2.9"),
        ("10.240.0.4", None, "20.1.2.3"),
        ("10.240.0.99", None, "20.1.2.3"),
        (None, None, "20.1.2.3"),
        ("fd00::4", None, "2001:db8::9"),
        ("10.240.0.5", 4, "20.1.2.9"),
        ("10.240.0.5", 6, "2001:db8::1"),
        ("fd00::4", 6, "2001:db8::9"),
        ("fd00::4", 4, "20.1.2.3"),
        (None, 6, "2001:db8::1"),
    ],
)
def test_public_ip_is_that_of_the_node_else_the_lowest(
    node_address: str | None, family: int | None, expected: str
) -> None:
    """The public IP mapped to the node's own address wins, within the family asked for; else the lowest."""
    own = None if node_address is None else ip_address(node_address)
    assert views.public_ip(DUAL_STACK, own, family=family) == ip_address(expected)


def test_public_ip_of_a_family_that_is_not_there_is_none() -> None:
    """A node with IPv4 alone has no public IPv6 address, and an empty document has none at all."""
    only_ipv4 = Document.of(public_ip_addresses=[public("20.1.2.3")])
    assert views.public_ip(only_ipv4, None, family=6) is None
    assert views.public_ip(EMPTY, ip_address("10.240.0.4")) is None


def test_rules_name_no_public_ip() -> None:
    """Frontends of rules are not the node's public IP addresses."""
    document = Document.of(inbound_rules=[inbound("20.20.20.20")], outbound_rules=[outbound("52.1.1.1")])
    assert views.public_ip(document, None) is None
    assert views.public_ips(document) == ()


def test_frontends_are_distinct_and_ordered() -> None:
    """Frontends are listed once each, IPv4 first, in numeric order."""
    document = Document.of(
        inbound_rules=[
            inbound("2001:db8::1"),
            inbound("100.0.0.1"),
            inbound("20.20.20.20", port=80),
            inbound("20.20.20.20"),
        ],
        outbound_rules=[outbound("52.2.2.2"), outbound("9.9.9.9"), outbound("9.9.9.9", "10.240.0.5")],
    )
    assert [str(ip) for ip in views.inbound_ips(document)] == ["20.20.20.20", "100.0.0.1", "2001:db8::1"]
    assert [str(ip) for ip in views.outbound_ips(document)] == ["9.9.9.9", "52.2.2.2"]


@pytest.mark.parametrize(
    ("document", "basis", "addresses"),
    [
        (
            Document.of(public_ip_addresses=[public("20.1.2.3")], outbound_rules=[outbound("52.1.1.1")]),
            "instance-ip",
            ["20.1.2.3"],
        ),
        (Document.of(outbound_rules=[outbound("52.1.1.1")]), "outbound-rule", ["52.1.1.1"]),
        (Document.of(inbound_rules=[inbound("20.20.20.20")]), "unknown", []),
        (EMPTY, "unknown", []),
    ],
)
def test_egress_is_instance_ip_then_outbound_rule(
    document: Document, basis: str, addresses: list[str]
) -> None:
    """A node leaves from its instance IPs if it has any, else from outbound frontends, else nobody knows."""
    assert views.egress_basis(document) == basis
    assert [str(ip) for ip in views.egress_ips(document)] == addresses


@given(documents)
def test_egress_basis_is_unknown_exactly_without_addresses(document: Document) -> None:
    """The basis is unknown exactly when there is no egress address to name."""
    unknown = views.egress_basis(document) is views.EgressBasis.UNKNOWN
    assert unknown == (not views.egress_ips(document))


def test_inbound_is_the_form_to_search_for() -> None:
    """Each frontend endpoint stands once, as proto/IP:port with IPv6 in brackets, sorted as text."""
    document = Document.of(
        inbound_rules=[
            inbound("20.20.20.20", port=443, backend=443),
            inbound("20.20.20.20", port=443, backend=8443),
            inbound("20.20.20.20", port=80),
            inbound("9.9.9.9", protocol="udp", port=53),
            inbound("2001:db8::1"),
            inbound("10.0.0.8", protocol="all", port=0, backend=0),
        ]
    )
    assert views.inbound(document) == (
        "all/10.0.0.8:0",
        "tcp/20.20.20.20:443",
        "tcp/20.20.20.20:80",
        "tcp/[2001:db8::1]:443",
        "udp/9.9.9.9:53",
    )
