"""The keys and values that a state is published as."""

import json
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.core.annotations import KEYS, Layout, annotations
from sidecar.core.changes import Change
from sidecar.core.document import EMPTY, Document
from sidecar.core.egress import Observation, declared_networks
from sidecar.core.outcome import Reason, Status
from sidecar.core.parsing import parse_response
from sidecar.core.probes import Flow, parse_probe
from sidecar.core.state import State
from tests.core.examples import (
    FULL,
    addresses as any_addresses,
    at,
    documents,
    inbound,
    outbound,
    public,
    utc,
)

ASSETS = Path(__file__).parent.parent / "assets"
VECTORS = {vector["name"]: vector for vector in json.loads((ASSETS / "canonical.json").read_text())}
LAYOUT = Layout()

STAMPS = {
    "changed-at": "2026-01-02T03:05:05Z",
    "observed-at": "2026-01-02T04:04:05Z",
    "status": "ok",
}
"""What every state made by `published` says beside its document."""


def published(document: Document, *changes: Change) -> State:
    """A state whose document came a minute after the start and was last seen an hour after it."""
    return State(
        started=at(0), document=document, observed=at(3600), changed_at=utc(60), changes=tuple(changes)
    )


def printed(state: State, *, layout: Layout = LAYOUT, **judged: Any) -> dict[str, str]:
    """The annotations without their prefix."""
    status, reason = judged.get("status", Status.OK), judged.get("reason")
    values = annotations(state, status, reason, layout=layout)
    assert all(key.startswith(f"{layout.prefix}/") for key in values)
    return {key.removeprefix(f"{layout.prefix}/"): value for key, value in values.items()}


# The documents that others published

EXPECTED: dict[str, dict[str, str]] = {
    "dual-stack-sample": {
        "public-ip": "51.0.0.1",
        "public-ips": "51.0.0.1",
        "inbound-ips": "50.0.0.1,2603:10e1:100:2::1:1",
        "outbound-ips": "50.0.0.1,2603:10e1:100:2::1:1",
        "egress-ips": "51.0.0.1,2603:10e1:100:2::1:1",
        "egress-basis": "mixed",
        "inbound": "tcp/50.0.0.1:80,tcp/[2603:10e1:100:2::1:1]:80",
    },
    "bracketed-dual-stack": {
        "public-ip": "20.10.5.34",
        "public-ipv6": "2603:1020:10:5::34",
        "public-ips": "20.10.5.34,2603:1020:10:5::34",
        "inbound-ips": "172.16.136.5,fd60:172:16:88::5",
        "egress-ips": "20.10.5.34,2603:1020:10:5::34",
        "egress-basis": "instance-ip",
        "inbound": "tcp/172.16.136.5:6443,tcp/[fd60:172:16:88::5]:6443",
    },
    "floating-ip-node": {
        "public-ip": "100.100.100.100",
        "public-ips": "100.100.100.100",
        "inbound-ips": "11.11.11.11,20.20.20.20",
        "egress-ips": "100.100.100.100",
        "egress-basis": "instance-ip",
        "inbound": "tcp/11.11.11.11:80,tcp/20.20.20.20:99",
    },
    "public-ip-only": {
        "public-ip": "52.249.223.56",
        "public-ips": "52.249.223.56",
        "egress-ips": "52.249.223.56",
        "egress-basis": "instance-ip",
    },
    "empty": {"egress-basis": "unknown"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_document_of_others_becomes_these_keys_and_values(name: str) -> None:
    """Every key and value of the published documents is as the contract has it, and there is no other."""
    vector = VECTORS[name]
    document = parse_response(json.dumps(vector["input"]).encode()).document
    whole = {"loadbalancer": vector["canonical"], "revision": vector["revision"]}
    assert printed(published(document)) == EXPECTED[name] | whole | STAMPS


# Lists and single values


def test_lists_are_sorted_by_family_then_number() -> None:
    """IPv4 stands before IPv6, and 9.9.9.9 before 20.0.0.1, which a sort of the text would not do."""
    frontends = ("2001:db8::10", "20.0.0.1", "2001:db8::9", "9.9.9.9")
    ordered = "9.9.9.9,20.0.0.1,2001:db8::9,2001:db8::10"
    values = printed(
        published(
            Document.of(
                public_ip_addresses=[public(frontend) for frontend in frontends],
                inbound_rules=[inbound(frontend) for frontend in frontends],
                outbound_rules=[outbound(frontend) for frontend in frontends],
            )
        )
    )
    assert [values[key] for key in ("public-ips", "inbound-ips", "outbound-ips", "egress-ips")] == [
        ordered
    ] * 4


def test_repeated_frontends_are_listed_once() -> None:
    """A frontend of many rules, ports and private addresses is one item of each list."""
    document = Document.of(
        inbound_rules=[
            inbound("20.20.20.20", private=private, backend=backend)
            for private in ("10.240.0.4", "10.240.0.5")
            for backend in (443, 8443)
        ],
        outbound_rules=[outbound("52.1.1.1", private) for private in ("10.240.0.4", "10.240.0.5")],
    )
    values = printed(published(document))
    assert (values["inbound-ips"], values["inbound"]) == ("20.20.20.20", "tcp/20.20.20.20:443")
    assert values["outbound-ips"] == "52.1.1.1"


def test_inbound_is_sorted_as_text() -> None:
    """The items of `inbound` are in the order of their characters, as a search expects."""
    rules = [
        inbound("9.9.9.9", port=80),
        inbound("20.20.20.20", port=443),
        inbound("20.20.20.20", port=80),
        inbound("20.20.20.20", port=0, protocol="all"),
        inbound("2001:db8::1", port=53, protocol="udp"),
    ]
    assert printed(published(Document.of(inbound_rules=rules)))["inbound"] == (
        "all/20.20.20.20:0,tcp/20.20.20.20:443,tcp/20.20.20.20:80,tcp/9.9.9.9:80,udp/[2001:db8::1]:53"
    )


@pytest.mark.parametrize(
    ("node_address", "first"),
    [
        (None, "9.9.9.9"),
        ("10.240.0.4", "20.1.2.3"),
        ("10.240.0.9", "9.9.9.9"),
        ("fd00::10", "2001:db8::1"),
    ],
)
def test_public_ip_is_that_of_the_node_address(node_address: str | None, first: str) -> None:
    """`public-ip` is the one mapped to the node's own address, else the lowest; `public-ips` has all."""
    document = Document.of(
        public_ip_addresses=[
            public("9.9.9.9", "10.240.0.5"),
            public("20.1.2.3", "10.240.0.4"),
            public("20.9.9.9", "10.240.0.4"),
            public("2001:db8::1", "fd00::10"),
        ]
    )
    layout = Layout(node_address=None if node_address is None else ip_address(node_address))
    values = printed(published(document), layout=layout)
    assert values["public-ip"] == first
    assert values["public-ips"] == "9.9.9.9,20.1.2.3,20.9.9.9,2001:db8::1"


@pytest.mark.parametrize(
    ("document", "basis", "egress"),
    [
        (FULL, "instance-ip", "20.1.2.3"),
        (
            replace(FULL, public_ip_addresses=(*FULL.public_ip_addresses, public("2603::1", "fd00::4"))),
            "instance-ip",
            "20.1.2.3,2603::1",
        ),
        (
            replace(FULL, public_ip_addresses=(public("2603::1", "fd00::4"),)),
            "mixed",
            "52.1.1.1,2603::1",
        ),
        (replace(FULL, public_ip_addresses=()), "outbound-rule", "52.1.1.1"),
        (replace(FULL, public_ip_addresses=(), outbound_rules=()), "unknown", None),
    ],
)
def test_egress_says_what_it_rests_on(document: Document, basis: str, egress: str | None) -> None:
    """Egress is by instance IPs, outbound rules, both or neither; `outbound-ips` stays as listed."""
    values = printed(published(document))
    assert (values["egress-basis"], values.get("egress-ips")) == (basis, egress)
    assert values.get("outbound-ips") == ("52.1.1.1" if document.outbound_rules else None)


PROBE = parse_probe("stun:stun.example.org")


def observing(document: Document, *seen: str, networks: str = "") -> State:
    """A state whose probe saw these addresses, and whose operator declared these networks."""
    flows = [
        Flow(probe=PROBE, family=ip_address(address).version, address=ip_address(address)) for address in seen
    ]
    observation = Observation((PROBE,)).after_round(flows, now=at(90), keep=86_400.0)
    declared = declared_networks(networks.split(",")) if networks else ()
    return replace(published(document), declared=declared, observation=observation)


EGRESS_KEYS = ("egress-ips", "egress-networks", "egress-observed", "egress-state", "egress-basis")


@pytest.mark.parametrize(
    ("state", "values"),
    [
        (published(FULL), ("20.1.2.3", None, None, None, "instance-ip")),
        (
            replace(published(FULL), declared=declared_networks(["20.5.5.0/31"])),
            ("20.5.5.0,20.5.5.1", "20.5.5.0/31", None, None, "declared"),
        ),
        (
            replace(published(FULL), declared=declared_networks(["20.5.0.0/16", "2603::/64"])),
            (None, "20.5.0.0/16,2603::/64", None, None, "declared"),
        ),
        (observing(FULL, "20.1.2.3"), ("20.1.2.3", None, "20.1.2.3", "agrees", "instance-ip")),
        (
            observing(FULL, "2603::7", "20.9.9.9", "20.1.2.3", networks="20.9.9.9"),
            ("20.9.9.9", "20.9.9.9/32", "20.1.2.3,20.9.9.9,2603::7", "unlisted", "declared"),
        ),
        (observing(FULL), ("20.1.2.3", None, None, "unanswered", "instance-ip")),
        (observing(FULL, "10.0.0.4"), ("20.1.2.3", None, None, "inside", "instance-ip")),
        (observing(EMPTY, "20.9.9.9"), (None, None, "20.9.9.9", "unlisted", "unknown")),
    ],
    ids=["configured", "small", "large", "agrees", "all three", "unanswered", "inside", "nothing known"],
)
def test_declared_and_observed_egress(state: State, values: tuple[str | None, ...]) -> None:
    """What is declared takes the place of what is configured; what is observed has keys of its own."""
    annotated = printed(state)
    assert tuple(annotated.get(key) for key in EGRESS_KEYS) == values


def test_no_metadata_has_a_revision_and_an_empty_document() -> None:
    """Under `no-metadata` the empty document and its revision are written, and no list."""
    values = printed(published(EMPTY), status=Status.NO_METADATA, reason=Reason.NO_METADATA)
    assert values == STAMPS | {
        "egress-basis": "unknown",
        "loadbalancer": '{"publicIpAddresses":[],"inboundRules":[],"outboundRules":[]}',
        "revision": EMPTY.revision,
        "status": "no-metadata",
        "reason": "no-metadata",
    }


@pytest.mark.parametrize("reason", Reason)
def test_reason_stands_beside_every_status_but_ok(reason: Reason) -> None:
    """`stale` carries the reason in the words used everywhere; `ok` has none, whatever is passed."""
    values = printed(published(FULL), status=Status.STALE, reason=reason)
    assert (values["status"], values["reason"]) == ("stale", str(reason))
    assert "reason" not in printed(published(FULL), status=Status.OK, reason=reason)


def test_last_changes_are_the_newest_five() -> None:
    """`last-changes` holds five changes, newest last, in one line."""
    changes = [Change(at=utc(60 * number), items=(f"+public 20.0.0.{number}",)) for number in range(1, 8)]
    assert printed(published(FULL, *changes))["last-changes"] == (
        "2026-01-02T03:07:05Z +public 20.0.0.3; 2026-01-02T03:08:05Z +public 20.0.0.4; "
        "2026-01-02T03:09:05Z +public 20.0.0.5; 2026-01-02T03:10:05Z +public 20.0.0.6; "
        "2026-01-02T03:11:05Z +public 20.0.0.7"
    )


def test_summary_is_all_but_the_document() -> None:
    """`summary` leaves out `loadbalancer` alone, and that is not called omitted."""
    full, summary = printed(published(FULL)), printed(published(FULL), layout=Layout(annotate="summary"))
    assert full.keys() - summary.keys() == {"loadbalancer"}
    assert summary.items() <= full.items()


@pytest.mark.parametrize(
    "state",
    [
        State(started=at(0)),
        replace(published(FULL), document=None),
        replace(published(FULL), observed=None),
        replace(published(FULL), changed_at=None),
    ],
)
def test_state_without_document_has_no_annotations(state: State) -> None:
    """Asking for the annotations of a state that lacks a document or its times is an error of the caller."""
    with pytest.raises(ValueError, match="without a document"):
        annotations(state, Status.STARTING, None, layout=LAYOUT)


@given(
    document=documents,
    node_address=st.none() | any_addresses,
    status=st.sampled_from(Status),
    reason=st.none() | st.sampled_from(Reason),
    age=st.integers(0, 10**8),
)
def test_every_value_is_printable_text(
    document: Document, node_address: Any, status: Status, reason: Reason | None, age: int
) -> None:
    """Every value of any document is printable ASCII and not empty, under a key of the contract."""
    state = replace(published(document), changed_at=utc(0) - timedelta(seconds=age))
    values = printed(state, layout=Layout(node_address=node_address), status=status, reason=reason)
    assert values.keys() <= set(KEYS)
    assert all(value and value.isascii() and value.isprintable() for value in values.values())
