"""Inbound rules over all nodes."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from sidecar.core.annotations import Layout
from sidecar.core.changes import Change
from sidecar.core.cluster import ClusterNode, LoadBalancerService
from sidecar.core.document import Document, InboundRule
from sidecar.fleet.frontends import (
    Frontend,
    FrontendFilter,
    Missing,
    NodeRules,
    Owner,
    RuleInterner,
    TimeBasis,
    frontends,
)
from tests.core.examples import inbound, utc
from tests.fleet.support import LAYOUT, agents, annotated, judged, node

WEB = inbound("20.20.20.20")
MAIL = inbound("20.20.20.20", port=25, backend=30025)
TCP_WEB = "tcp/20.20.20.20:443"


def rules(*given: InboundRule) -> Document:
    """A document with these rules."""
    return Document.of(inbound_rules=given)


def taken(*nodes: ClusterNode) -> list[NodeRules]:
    """The rules of nodes with ready agents."""
    sharing = RuleInterner(LAYOUT)
    return [sharing.take(each, judged(each)) for each in nodes]


def service(name: str, address: str, *ports: tuple[str, int]) -> LoadBalancerService:
    """A Service with an address."""
    return LoadBalancerService(
        namespace="shop", name=name, addresses=frozenset([ip_address(address)]), ports=frozenset(ports)
    )


def one(nodes: Sequence[NodeRules], services: Sequence[LoadBalancerService] | None = ()) -> Frontend:
    """The only frontend."""
    (found,) = frontends(nodes, services)
    return found


def test_on_all_nodes() -> None:
    """Rules that differ in the private address alone are one, with the backend ports that there are."""
    first, second = inbound("20.20.20.20", private="10.0.0.1"), inbound("20.20.20.20", private="10.0.0.2")
    found = one(taken(node("a", annotated(rules(first))), node("b", annotated(rules(second)))))
    assert (found.endpoint.text, found.backend_ports) == (TCP_WEB, (443,))
    assert (found.having, found.of, found.missing) == (2, 2, ())


def test_missing_with_times() -> None:
    """Since when a node misses a rule: its own loss, else the others' gain, else what its data are since."""
    lost = [Change(utc(50), (f"+inbound {TCP_WEB}",)), Change(utc(70), (f"-inbound {TCP_WEB}",))]
    having = annotated(rules(WEB, MAIL), changes=[Change(utc(30), (f"+inbound {TCP_WEB}",))])
    nodes = taken(
        node("c", annotated(rules(), changes=lost)),
        node("b", annotated(rules(), changed=9)),
        node("a", having),
    )
    mail, web = frontends(nodes, ())
    assert web.missing == (
        Missing("b", utc(30), TimeBasis.ADDED_ELSEWHERE),
        Missing("c", utc(70), TimeBasis.REMOVED),
    )
    assert mail.missing == (
        Missing("b", utc(9), TimeBasis.AT_LEAST),
        Missing("c", utc(0), TimeBasis.AT_LEAST),
    )


def test_first_of_the_others() -> None:
    """Of the others, the one that got the rule first says since when it is missed."""
    having = [
        node(name, annotated(rules(WEB), changes=[Change(utc(at), (f"+inbound {TCP_WEB}",))]))
        for name, at in (("a", 40), ("b", 20), ("c", 30))
    ]
    nodes = taken(*having, node("d", annotated(rules())))
    assert one(nodes).missing == (Missing("d", utc(20), TimeBasis.ADDED_ELSEWHERE),)


def test_lost_and_got_again() -> None:
    """A loss that was made good says nothing, nor does the node's own gain."""
    again = [Change(utc(10), (f"-inbound {TCP_WEB}",)), Change(utc(20), (f"+inbound {TCP_WEB}",))]
    lacking = annotated(rules(), changes=again, changed=30)
    nodes = taken(node("a", lacking), node("b", annotated(rules(WEB))))
    assert one(nodes).missing == (Missing("a", utc(30), TimeBasis.AT_LEAST),)


def test_unknown_nodes_do_not_count() -> None:
    """A node whose data are not believed neither has nor misses a rule."""
    down = node("down", annotated(rules()))
    nodes = [
        *taken(node("up", annotated(rules(WEB)))),
        RuleInterner(LAYOUT).take(down, judged(down, agents())),
    ]
    assert (one(nodes).having, one(nodes).of) == (1, 1)


def test_summary() -> None:
    """Without the document the frontends are known, without backend ports."""
    values = annotated(rules(WEB), layout=Layout(annotate="summary"))
    nodes = taken(node("a", values))
    assert not nodes[0].complete
    assert one(nodes).backend_ports == ()
    assert one([*nodes, *taken(node("b", annotated(rules(WEB))))]).backend_ports == (443,)


def test_forged_document() -> None:
    """A document that does not match its revision is not believed."""
    values = annotated(rules(WEB)) | {LAYOUT.key("loadbalancer"): rules(MAIL).canonical.decode()}
    nodes = taken(node("a", values))
    assert not nodes[0].complete
    assert one(nodes).endpoint.text == TCP_WEB


def test_kept_once() -> None:
    """Nodes with the same rules share them."""
    first, second = taken(
        node("a", annotated(rules(WEB))),
        node("b", annotated(rules(WEB, inbound("20.20.20.20", private="10.0.0.9")))),
    )
    assert first.endpoints is second.endpoints
    assert first.rules is second.rules


def test_owners() -> None:
    """A frontend belongs to the Service with its address and port, else to those with its address."""
    nodes = taken(node("a", annotated(rules(WEB, MAIL))))
    services = [
        service("web", "20.20.20.20", ("tcp", 443)),
        service("quic", "20.20.20.20", ("udp", 443)),
        service("other", "20.9.9.9", ("tcp", 25)),
    ]
    mail, web = frontends(nodes, services)
    assert web.owners == (Owner("shop/web", exact=True),)
    assert list(map(str, mail.owners or ())) == ["shop/quic (not this port)", "shop/web (not this port)"]
    assert one(taken(node("a", annotated(rules(WEB)))), None).owners is None


def test_all_ports() -> None:
    """A rule of all ports belongs to the Service of its address, whatever ports that has."""
    nodes = taken(node("a", annotated(rules(inbound("10.1.1.1", protocol="all", port=0, backend=0)))))
    assert one(nodes, [service("nva", "10.1.1.1", ("tcp", 80))]).owners == (Owner("shop/nva", exact=True),)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("20.1.2.3", "20.1.2.3", None),
        ("20.1.2.3:443", "20.1.2.3", 443),
        ("2603::1", "2603::1", None),
        ("[2603::1]", "2603::1", None),
        ("[2603::1]:443", "2603::1", 443),
        ("[2001:DB8::1]:443", "2001:db8::1", 443),
        ("[2001:0db8:0::1]:0443", "2001:db8::1", 443),
    ],
)
def test_filter(text: str, address: str, port: int | None) -> None:
    """A frontend is asked for by its address, with or without a port."""
    assert FrontendFilter.parse(text) == FrontendFilter(ip_address(address), port)


@pytest.mark.parametrize(
    "text",
    [
        *("", "web", "20.1.2.3:", "20.1.2.3:http", "20.1.2.3:65536", "20.1.2.3:0000650000"),
        *("[2603::1]:", "20.1.2.3/32", "2001:db8:1:2:3:4:5:6:443"),
    ],
)
def test_wrong_filter(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match=r"."):
        FrontendFilter.parse(text)


def test_only() -> None:
    """Only the frontends that were asked for are given."""
    nodes = taken(node("a", annotated(rules(WEB, MAIL, inbound("20.9.9.9")))))
    assert [
        each.endpoint.port for each in frontends(nodes, (), only=FrontendFilter.parse("20.20.20.20"))
    ] == [
        25,
        443,
    ]


def test_port_of_all_ports() -> None:
    """A rule of all ports (HA ports) has the port that is asked for; another address has not."""
    nodes = taken(node("a", annotated(rules(WEB, inbound("20.20.20.20", protocol="all", port=0, backend=0)))))
    asked = frontends(nodes, (), only=FrontendFilter.parse("20.20.20.20:25"))
    assert [(each.endpoint.protocol, each.endpoint.port) for each in asked] == [("all", 0)]
    assert frontends(nodes, (), only=FrontendFilter.parse("20.9.9.9:25")) == []
