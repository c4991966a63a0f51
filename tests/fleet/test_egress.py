"""The list of networks to allow."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, strategies as st

from sidecar.core.addresses import IPNetwork
from sidecar.core.cluster import StaticGateway
from sidecar.core.document import Document
from sidecar.core.egress import EgressBasis, EgressState, egress
from sidecar.core.outcome import Reason, Status
from sidecar.fleet.egress import (
    ClusterGateway,
    Difference,
    FleetEgress,
    as_network,
    compare,
    outside,
    parse_networks,
    union,
)
from tests.core.examples import document, documents, inbound, outbound, public
from tests.fleet.support import LAYOUT, NOW, agents, annotated, judged, node, pod

OUT = document(out=outbound("52.1.1.1"))
NAT = "203.0.113.4/30"


def nets(*texts: str) -> tuple[IPNetwork, ...]:
    """Networks by their text."""
    return tuple(map(ip_network, texts))


def of(*annotations: dict[str, str]) -> FleetEgress:
    """The union over nodes that are annotated so, named by number."""
    return union([judged(node(str(number), each)) for number, each in enumerate(annotations)])


@given(st.lists(documents, max_size=4))
def test_every_node_is_in_the_list_or_a_gap(known: list[Document]) -> None:
    """Each node's addresses are in the list, or the node is named: never neither."""
    fleet = of(*map(annotated, known))
    gaps = {gap.node for gap in fleet.gaps}
    for number, each in enumerate(known):
        if str(number) not in gaps:
            assert set(map(as_network, egress(each).addresses)) <= set(fleet.networks)
        assert (str(number) in gaps) == (egress(each).basis is EgressBasis.UNKNOWN)
    everything = {address for each in known for address in egress(each).addresses}
    assert set(fleet.networks) <= set(map(as_network, everything))


def test_families_apart() -> None:
    """A node that leaves by an instance IP in one family and by a rule in the other has both in the list."""
    fleet = of(annotated(document(public=public("20.1.2.3"), out=outbound("2603::1"))))
    assert fleet.networks == nets("20.1.2.3/32", "2603::1/128")
    assert fleet.gaps == ()


def test_last_known() -> None:
    """The addresses of a node whose agent is down stay in the list, with their time."""
    row = judged(node(values=annotated(OUT, observed=60)), agents(pod(ready=False, since=NOW - 720)))
    (gap,) = (fleet := union([row])).gaps
    assert fleet.networks == nets("52.1.1.1/32")
    assert (gap.cause, gap.lasting, gap.last_known) == ("unknown (agent down)", "12m", "2026-01-02T03:05:05Z")


def test_nothing_to_leave_from() -> None:
    """A node without instance IP and outbound rule leaves in a way that is not known."""
    (gap,) = of(annotated(document(inbound=inbound("20.20.20.20")))).gaps
    assert "NAT gateway" in gap.cause
    assert gap.last_known == ""


def test_left_out() -> None:
    """A list that the budget left out is a gap, with what to raise."""
    values = annotated(OUT) | {LAYOUT.key("omitted"): "egress-ips=1,outbound-ips=1"}
    for name in ("egress-ips", "outbound-ips"):
        del values[LAYOUT.key(name)]
    (gap,) = (fleet := of(values)).gaps
    assert fleet.networks == ()
    assert "raise annotations.budget" in gap.cause


@pytest.mark.parametrize("value", [None, "unknown", "declared"])
def test_contradictions(value: str | None) -> None:
    """Annotations that contradict each other are a gap."""
    values = annotated(OUT)
    values.pop(LAYOUT.key("egress-ips"))
    if value is not None:
        values[LAYOUT.key("egress-basis")] = value
    assert of(values).gaps


def test_declared() -> None:
    """Declared networks are in the list once, with the addresses outside them, sorted and not nested."""
    both = annotated(document(out=outbound("52.1.1.1")), declared=["2603:1::/124"])
    fleet = of(annotated(OUT, declared=["203.0.113.4/31"]), both, annotated(OUT, declared=[NAT]))
    assert fleet.networks == nets("52.1.1.1/32", NAT, "2603:1::/124")
    assert (fleet.gaps, fleet.complete) == ((), True)
    assert fleet.assumed == (("", "1"),)


def test_wide_declared_network_has_no_addresses() -> None:
    """A node with a declared network that is too wide for single addresses is no gap."""
    values = annotated(OUT, declared=["203.0.113.0/24"])
    assert LAYOUT.key("egress-ips") not in values
    fleet = of(values)
    assert (fleet.networks, fleet.gaps, fleet.assumed) == (nets("203.0.113.0/24"), (), ())


def test_declared_where_the_service_has_nothing() -> None:
    """Behind a NAT gateway alone there is no metadata, and with a declared network that is no gap."""
    nothing = document()
    none = {"status": Status.NO_METADATA, "reason": Reason.NO_METADATA}
    assert of(annotated(nothing, declared=[NAT], **none)).gaps == ()  # type: ignore[arg-type]
    assert of(annotated(nothing, **none)).gaps  # type: ignore[arg-type]


def test_declared_survives_the_budget() -> None:
    """Addresses that the budget left out are no loss where the declared networks hold them."""
    values = annotated(OUT, declared=[NAT]) | {LAYOUT.key("omitted"): "egress-ips=4"}
    del values[LAYOUT.key("egress-ips")]
    assert of(values).gaps == ()


@pytest.mark.parametrize(
    ("state", "seen", "assumed"),
    [
        (EgressState.OFF, (), True),
        (EgressState.UNANSWERED, (), True),
        (EgressState.INSIDE, (), True),
        (EgressState.AGREES, ("52.1.1.1",), False),
        (EgressState.AGREES, ("2603::1",), True),
        (EgressState.UNLISTED, ("203.0.113.9",), False),
    ],
)
def test_assumed(state: EgressState, seen: tuple[str, ...], assumed: bool) -> None:  # noqa: FBT001 - a parameter
    """Of a node whose probes confirm it nothing is assumed; one family confirmed is not the other."""
    fleet = of(annotated(OUT, state=state, observed_from=seen))
    assert bool(fleet.assumed) is assumed


def test_agrees_without_the_addresses() -> None:
    """Where the budget left out what was observed, the state is believed."""
    values = annotated(OUT, state=EgressState.AGREES, observed_from=["52.1.1.1"])
    del values[LAYOUT.key("egress-observed")]
    assert of(values | {LAYOUT.key("omitted"): "egress-observed=1"}).assumed == ()


def test_unlisted() -> None:
    """What probes saw and nobody declared is no part of the list; the node is named with it."""
    seen = ["52.1.1.1", "203.0.113.9"]
    fleet = of(annotated(OUT, state=EgressState.UNLISTED, observed_from=seen), annotated(OUT))
    assert fleet.networks == nets("52.1.1.1/32")
    assert fleet.observed == nets("203.0.113.9/32")
    (named,) = fleet.unlisted
    assert (named.node, named.addresses) == ("0", (ip_address("203.0.113.9"),))
    assert not fleet.complete


def test_listed_by_another_node() -> None:
    """An address that another node has is in the list, and still not this node's."""
    fleet = of(
        annotated(OUT, state=EgressState.UNLISTED, observed_from=["203.0.113.5"]),
        annotated(OUT, declared=[NAT]),
    )
    assert fleet.observed == ()
    assert [each.node for each in fleet.unlisted] == ["0"]


def test_static_gateways() -> None:
    """Prefixes of static gateways are in the list; one without a prefix makes it incomplete."""
    assigned = ClusterGateway("", StaticGateway(namespace="a", name="one", networks=nets("198.51.100.0/31")))
    waiting = ClusterGateway("", StaticGateway(namespace="b", name="two"))
    row = judged(node(values=annotated(OUT)))
    fleet = union([row], [assigned])
    assert (fleet.networks, fleet.complete) == (nets("52.1.1.1/32", "198.51.100.0/31"), True)
    assert not union([row], [assigned, waiting]).complete
    unreadable = replace(waiting, gateway=replace(waiting.gateway, unreadable=True))
    assert not union([row], [unreadable]).complete


def test_notation() -> None:
    """Each address is a network of its own."""
    assert str(as_network(ip_address("20.1.2.3"))) == "20.1.2.3/32"
    assert str(as_network(ip_address("2603::1"))) == "2603::1/128"


def test_outside() -> None:
    """A network is outside when those of its family do not cover it whole, also by parts side by side."""
    of_list = nets("20.1.2.3/32", "52.1.1.0/31", "203.0.113.4/30", "2603::1/128")
    assert outside(of_list, nets("20.0.0.0/8", "2603::/16")) == of_list[1:3]
    halves = nets("203.0.113.4/31", "203.0.113.6/31", "52.1.1.0/32")
    assert outside(of_list, halves) == (of_list[0], of_list[1], of_list[3])


def test_compare() -> None:
    """A wider network covers; what covers nothing is needless, once; a part is neither."""
    listed = nets("20.1.2.3/32", "52.1.1.1/32", "203.0.113.4/30")
    allowed = nets("20.1.0.0/16", "9.9.9.9/32", "9.9.9.9/32", "203.0.113.4/32")
    assert compare(listed, allowed) == Difference(listed[1:], (allowed[1],))
    assert compare(listed, allowed, seen=nets("9.9.9.9/32")).needless == ()
    assert compare(listed, nets("20.1.2.3/32", "52.1.1.0/24", "203.0.113.0/24")) == Difference((), ())


def test_file() -> None:
    """A file has a network or an address a line, and comments."""
    text = "# ours\n20.1.2.3\n\n 52.0.0.0/8 # theirs\n203.0.113.9/32  # observed\n2603::1\n"
    assert list(map(str, parse_networks(text))) == [
        *("20.1.2.3/32", "52.0.0.0/8", "203.0.113.9/32", "2603::1/128")
    ]


@pytest.mark.parametrize("line", ["any", "10.0.0.1/24", "10.0.0.0/33", "20.1.2.3 52.1.1.1"])
def test_wrong_line(line: str) -> None:
    """A line that is no network is named by its number."""
    with pytest.raises(ValueError, match="line 2"):
        parse_networks(f"20.1.2.3\n{line}\n")
