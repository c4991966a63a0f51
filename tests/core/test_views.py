"""What people ask of a document."""

from ipaddress import ip_address

import pytest
from hypothesis import given

from sidecar.core import views
from sidecar.core.addresses import endpoint
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


GROUPED = Document.of(
    public_ip_addresses=[public("20.1.2.3"), public("2001:db8::9", "fd00::4")],
    inbound_rules=[
        inbound("20.20.20.20", backend=30443),
        inbound("20.20.20.20", port=80, private="20.20.20.20"),
        inbound("20.20.20.21", backend=30443, private="10.240.0.6"),
    ],
    outbound_rules=[outbound("52.2.2.2"), outbound("52.1.1.1"), outbound("52.1.1.1", "10.240.0.5")],
)


def test_private_ips_are_those_of_the_network_interface() -> None:
    """Private IPs are known from all three lists, in order; a frontend repeated by floating IP is none."""
    addresses = [str(group.address) for group in views.private_ips(GROUPED)]
    assert addresses == ["10.240.0.4", "10.240.0.5", "10.240.0.6", "fd00::4"]


def test_facts_of_a_private_ip() -> None:
    """Each private IP has its own public IPs, outbound frontends and inbound rules without floating IP."""
    first, second, *_ = views.private_ips(GROUPED)
    assert [str(ip) for ip in first.public_ips] == ["20.1.2.3"]
    assert [str(ip) for ip in first.outbound_ips] == ["52.1.1.1", "52.2.2.2"]
    assert first.inbound_rules == (inbound("20.20.20.20", backend=30443),)
    assert (second.public_ips, second.inbound_rules) == ((), ())


def test_floating_rules_are_of_any_private_ip() -> None:
    """Rules with floating IP, and only those, stand apart from all private IPs."""
    assert views.any_private_ip(GROUPED) == (inbound("20.20.20.20", port=80, private="20.20.20.20"),)


@given(documents)
def test_grouping_loses_nothing(document: Document) -> None:
    """Every inbound rule stands under exactly one private IP, or under any."""
    grouped = [rule for group in views.private_ips(document) for rule in group.inbound_rules]
    assert {*grouped, *views.any_private_ip(document)} == {*document.inbound_rules}
    assert len(grouped) + len(views.any_private_ip(document)) == len(document.inbound_rules)


INSTANCE = [public("20.1.2.3")]
PLAIN = inbound("20.20.20.20", protocol="udp", port=5060, backend=41932)
FLOATING = inbound("20.20.20.20", protocol="udp", port=41932, backend=30001, private="20.20.20.20")
HA_PORTS = inbound("10.0.0.8", protocol="all", port=0, backend=0)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            Document.of(public_ip_addresses=INSTANCE), ["instance-ip 20.1.2.3:41932"], id="instance IP only"
        ),
        pytest.param(
            Document.of(inbound_rules=[PLAIN], outbound_rules=[outbound("52.1.1.1")]),
            ["inbound-rule 20.20.20.20:5060"],
            id="load balancer only, plain",
        ),
        pytest.param(
            Document.of(inbound_rules=[FLOATING], outbound_rules=[outbound("52.1.1.1")]),
            ["inbound-rule 20.20.20.20:41932"],
            id="load balancer only, floating",
        ),
        pytest.param(
            Document.of(public_ip_addresses=INSTANCE, inbound_rules=[PLAIN, FLOATING]),
            ["instance-ip 20.1.2.3:41932", "inbound-rule 20.20.20.20:5060", "inbound-rule 20.20.20.20:41932"],
            id="both",
        ),
        pytest.param(
            Document.of(inbound_rules=[PLAIN]), ["inbound-rule 20.20.20.20:5060"], id="inbound only"
        ),
        pytest.param(Document.of(outbound_rules=[outbound("52.1.1.1")]), [], id="outbound only"),
        pytest.param(EMPTY, [], id="none"),
        pytest.param(
            Document.of(inbound_rules=[HA_PORTS]), ["inbound-rule 10.0.0.8:41932"], id="HA ports, plain"
        ),
        pytest.param(
            Document.of(
                inbound_rules=[inbound("10.0.0.8", protocol="all", port=0, backend=0, private="10.0.0.8")]
            ),
            ["inbound-rule 10.0.0.8:41932"],
            id="HA ports, floating",
        ),
        pytest.param(
            Document.of(inbound_rules=[inbound("10.0.0.8", protocol="all", port=9, backend=41932)]),
            ["inbound-rule 10.0.0.8:9"],
            id="all protocols, one port",
        ),
        pytest.param(
            Document.of(
                inbound_rules=[
                    inbound("20.20.20.20", protocol="tcp", port=5060, backend=41932),
                    inbound("20.20.20.20", protocol="udp", port=41932, backend=30001),
                    inbound("20.20.20.20", protocol="udp", port=0, backend=0),
                    inbound("20.20.20.20", protocol="udp", port=5060, backend=41932, private="20.20.20.20"),
                ]
            ),
            [],
            id="another protocol; the frontend port of a plain rule; the backend port of a floating one",
        ),
        pytest.param(
            Document.of(
                public_ip_addresses=[*INSTANCE, public("2001:db8::9", "fd00::4")],
                inbound_rules=[
                    PLAIN,
                    inbound("2001:db8::1", protocol="udp", port=5060, backend=41932, private="fd00::4"),
                    inbound("2001:db8::1", protocol="udp", port=5060, backend=41932, private="fd00::5"),
                ],
            ),
            [
                "instance-ip 20.1.2.3:41932",
                "instance-ip [2001:db8::9]:41932",
                "inbound-rule 20.20.20.20:5060",
                "inbound-rule [2001:db8::1]:5060",
            ],
            id="dual stack",
        ),
    ],
)
def test_reachable(document: Document, expected: list[str]) -> None:
    """A port is reached at instance IPs as it is, and at the frontends of the rules that lead to it."""
    found = views.reachable(document, protocol="udp", port=41932)
    assert [f"{entry.via} {endpoint(entry.address, entry.port)}" for entry in found] == expected
