"""The list of addresses to allow."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, strategies as st

from sidecar.core.document import Document
from sidecar.core.views import EgressBasis, egress_basis, egress_ips
from sidecar.fleet.egress import Difference, cidr, compare, outside, parse_networks, union
from tests.core.examples import document, documents, inbound, outbound, public
from tests.fleet.support import LAYOUT, NOW, agents, annotated, judged, node, pod

OUT = document(out=outbound("52.1.1.1"))


@given(st.lists(documents, max_size=4))
def test_every_node_is_in_the_list_or_a_gap(known: list[Document]) -> None:
    """Each node's addresses are in the list, or the node is named: never neither."""
    rows = [judged(node(str(number), annotated(each))) for number, each in enumerate(known)]
    egress = union(rows)
    gaps = {gap.node for gap in egress.gaps}
    for number, each in enumerate(known):
        if str(number) not in gaps:
            assert set(egress_ips(each)) <= set(egress.addresses)
        assert (str(number) in gaps) == (egress_basis(each) is EgressBasis.UNKNOWN)
    assert set(egress.addresses) <= {address for each in known for address in egress_ips(each)}


def test_families_apart() -> None:
    """A node that leaves by an instance IP in one family and by a rule in the other has both in the list."""
    mixed = document(public=public("20.1.2.3"), out=outbound("2603::1"))
    egress = union([judged(node(values=annotated(mixed)))])
    assert egress.addresses == (ip_address("20.1.2.3"), ip_address("2603::1"))
    assert egress.gaps == ()


def test_last_known() -> None:
    """The addresses of a node whose agent is down stay in the list, with their time."""
    row = judged(node(values=annotated(OUT, observed=60)), agents(pod(ready=False, since=NOW - 720)))
    (gap,) = (egress := union([row])).gaps
    assert egress.addresses == (ip_address("52.1.1.1"),)
    assert (gap.cause, gap.lasting, gap.last_known) == ("unknown (agent down)", "12m", "2026-01-02T03:05:05Z")


def test_nothing_to_leave_from() -> None:
    """A node without instance IP and outbound rule leaves in a way that is not known."""
    (gap,) = union([judged(node(values=annotated(document(inbound=inbound("20.20.20.20")))))]).gaps
    assert "NAT gateway" in gap.cause
    assert gap.last_known == ""


def test_left_out() -> None:
    """A list that the budget left out is a gap, with what to raise."""
    values = annotated(OUT) | {LAYOUT.key("omitted"): "egress-ips=1,outbound-ips=1"}
    for name in ("egress-ips", "outbound-ips"):
        del values[LAYOUT.key(name)]
    (gap,) = (egress := union([judged(node(values=values))])).gaps
    assert egress.addresses == ()
    assert "raise annotations.budget" in gap.cause


@pytest.mark.parametrize("value", [None, "unknown"])
def test_contradictions(value: str | None) -> None:
    """Annotations that contradict each other are a gap."""
    values = annotated(OUT)
    values.pop(LAYOUT.key("egress-ips"))
    if value is not None:
        values[LAYOUT.key("egress-basis")] = value
    assert union([judged(node(values=values))]).gaps


def test_notation() -> None:
    """Each address is a network of its own."""
    assert cidr(ip_address("20.1.2.3")) == "20.1.2.3/32"
    assert cidr(ip_address("2603::1")) == "2603::1/128"


def test_outside() -> None:
    """An address is outside when no network of its family covers it."""
    given = [ip_address(each) for each in ("20.1.2.3", "52.1.1.1", "2603::1")]
    assert outside(given, [ip_network("20.0.0.0/8"), ip_network("2603::/16")]) == (given[1],)


def test_compare() -> None:
    """A wider network covers; what covers nothing is needless, once."""
    nets = [ip_network(each) for each in ("20.1.0.0/16", "9.9.9.9/32", "9.9.9.9/32")]
    given = [ip_address("20.1.2.3"), ip_address("52.1.1.1")]
    assert compare(given, nets) == Difference((given[1],), (nets[1],))


def test_file() -> None:
    """A file has a network or an address a line, and comments."""
    text = "# ours\n20.1.2.3\n\n 52.0.0.0/8 # theirs\n2603::1\n"
    assert list(map(str, parse_networks(text))) == ["20.1.2.3/32", "52.0.0.0/8", "2603::1/128"]


@pytest.mark.parametrize("line", ["any", "10.0.0.1/24", "10.0.0.0/33", "20.1.2.3 52.1.1.1"])
def test_wrong_line(line: str) -> None:
    """A line that is no network is named by its number."""
    with pytest.raises(ValueError, match="line 2"):
        parse_networks(f"20.1.2.3\n{line}\n")
