"""A Node's annotations read back."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from sidecar.core import views
from sidecar.core.annotations import KEYS, Layout, annotations
from sidecar.core.document import Document
from sidecar.core.egress import EgressBasis, egress
from sidecar.core.outcome import Reason, Status
from sidecar.core.published import Published, parse_endpoint, read
from sidecar.core.state import State
from tests.core.examples import FULL, at, documents, utc

LAYOUT = Layout()
STATE = State(started=at(0), document=FULL, observed=at(90), changed_at=utc(60))


def taken(annotated: dict[str, str], *, layout: Layout = LAYOUT) -> Published:
    """What is read, where something must be."""
    published = read(annotated, layout=layout)
    assert published is not None
    return published


def edited(**values: str) -> Published:
    """What is read of an agent's annotations with these values in place (`_` for `-`)."""
    live = annotations(STATE, Status.OK, None, layout=LAYOUT)
    edits = {LAYOUT.key(name.replace("_", "-")): value for name, value in values.items()}
    return taken(live | edits)


@given(
    document=documents,
    status=st.sampled_from(Status),
    reason=st.sampled_from(Reason),
    layout=st.builds(Layout, budget=st.sampled_from([2048, 8192]), prefix=st.sampled_from(["a.io", "b.io"])),
)
def test_round_trip(document: Document, status: Status, reason: Reason, layout: Layout) -> None:
    """Whatever an agent writes is read back as it was, or told to be left out."""
    state = replace(STATE, document=document)
    published = taken(annotations(state, status, reason, layout=layout), layout=layout)
    assert published.unreadable == ()
    assert published.known
    assert (published.status, published.revision) == (status, document.revision)
    assert (published.observed_at, published.changed_at) == (utc(90), utc(60))
    for name in ("public_ips", "inbound_ips", "outbound_ips"):
        omitted = name.replace("_", "-") in published.omitted
        assert getattr(published, name) == (None if omitted else getattr(views, name)(document))
    if "inbound" in published.omitted:
        assert published.inbound is None
    else:
        assert [each.text for each in published.inbound or ()] == list(views.inbound(document))
    assert published.egress_ips in {None, egress(document).addresses}
    assert published.egress_basis is egress(document).basis


def test_egress_left_out() -> None:
    """Left out for the budget, the egress addresses are those of the list that they repeat."""
    annotated = annotations(STATE, Status.OK, None, layout=LAYOUT)
    del annotated[LAYOUT.key("egress-ips")]
    annotated[LAYOUT.key("omitted")] = "egress-ips=1"
    assert taken(annotated).egress_ips == egress(FULL).addresses
    del annotated[LAYOUT.key("public-ips")]
    annotated[LAYOUT.key("omitted")] = "egress-ips=1,outbound-ips=1,public-ips=1"
    assert taken(annotated).egress_ips is None


@given(st.dictionaries(st.sampled_from(KEYS), st.text(min_size=1, max_size=40), min_size=1))
def test_hostile(values: dict[str, str]) -> None:
    """Whatever anybody writes there, nothing is raised, and no text of it comes out unchecked."""
    published = taken({LAYOUT.key(name): value for name, value in values.items()})
    shown = [*(each.text for each in published.inbound or ()), published.revision, *published.omitted]
    assert all(text.isascii() and text.isprintable() for text in shown)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("public_ips", "20.1.2.3,"),
        ("public_ips", "20.1.2.3, 20.1.2.4"),
        ("egress_ips", "any"),
        ("inbound", "tcp/20.20.20.20:443,\x1b[2J"),
        ("inbound", "tcp/20.20.20.20:99999"),
        ("inbound", "tcp/[20.20.20.20]:443"),
        ("status", "fine"),
        ("observed_at", "yesterday"),
        ("revision", "0" * 15),
        ("egress_basis", "nat"),
    ],
)
def test_unreadable(key: str, value: str) -> None:
    """A value that no agent writes is named, and is not taken for an empty one."""
    published = edited(**{key: value})
    assert published.unreadable == (key.replace("_", "-"),)
    assert not getattr(published, key)


def test_nothing() -> None:
    """Without a key under the prefix nothing is published, whatever else there is."""
    assert read({"azure-lb-metadata.io.example/status": "ok"}, layout=LAYOUT) is None


def test_starting() -> None:
    """An agent without an answer has published a status and no data."""
    published = taken({LAYOUT.key("status"): "starting", LAYOUT.key("reason"): "unreachable"})
    assert (published.status, published.reason, published.known) == (
        Status.STARTING,
        Reason.UNREACHABLE,
        False,
    )


def test_basis() -> None:
    """The basis says whether the addresses are the node's own."""
    assert edited().egress_basis is EgressBasis.INSTANCE_IP


def test_order_of_endpoints() -> None:
    """Frontends are in the order of their addresses and ports, not of their texts."""
    texts = ["tcp/[2603::1]:80", "udp/20.3.1.1:53", "tcp/100.1.1.1:80", "tcp/20.3.1.1:443", "tcp/20.3.1.1:53"]
    assert [each.text for each in sorted(map(parse_endpoint, texts))] == [
        "tcp/20.3.1.1:53",
        "udp/20.3.1.1:53",
        "tcp/20.3.1.1:443",
        "tcp/100.1.1.1:80",
        "tcp/[2603::1]:80",
    ]
