"""Where connections leave from: configured, declared, observed, and how these compare."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, strategies as st

from sidecar.core import views
from sidecar.core.addresses import IPAddress
from sidecar.core.document import EMPTY, Document
from sidecar.core.egress import (
    LISTED_ADDRESSES,
    EgressBasis,
    EgressState,
    Observation,
    RoundPolicy,
    configured_egress,
    declared_networks,
    egress,
)
from sidecar.core.probes import Flow, FlowFailure, Probe, parse_probe
from sidecar.core.state import State
from tests.core.examples import FULL, at, documents, inbound, outbound, public

# Configured

SIX = "fd00::4"
"""An IPv6 address of the network interface, whose IPv4 one is 10.240.0.4."""

EGRESS = {
    "an instance IP only": ([public("20.1.2.3")], [], "instance-ip", ["20.1.2.3"]),
    "outbound rules only": (
        [],
        [outbound("52.1.1.1"), outbound("52.1.1.2")],
        "outbound-rule",
        ["52.1.1.1", "52.1.1.2"],
    ),
    "both on one private IP": ([public("20.1.2.3")], [outbound("52.1.1.1")], "instance-ip", ["20.1.2.3"]),
    "IPv4 by an instance IP, IPv6 by a rule": (
        [public("20.1.2.3")],
        [outbound("52.1.1.1"), outbound("2603::1", SIX)],
        "mixed",
        ["20.1.2.3", "2603::1"],
    ),
    "IPv4 by a rule, IPv6 by an instance IP": (
        [public("2603::1", SIX)],
        [outbound("52.1.1.1"), outbound("2603::9", SIX)],
        "mixed",
        ["52.1.1.1", "2603::1"],
    ),
    "families apart on one private IP": (
        [public("20.1.2.3")],
        [outbound("52.1.1.1"), outbound("2603::1")],
        "mixed",
        ["20.1.2.3", "2603::1"],
    ),
    "an instance IP on another network interface": (
        [public("20.1.2.3", "10.240.0.99")],
        [outbound("52.1.1.1")],
        "mixed",
        ["20.1.2.3", "52.1.1.1"],
    ),
    "instance IPs on both": (
        [public("20.1.2.3"), public("20.9.9.9", "10.240.0.99")],
        [outbound("52.1.1.1"), outbound("52.1.1.1", "10.240.0.99")],
        "instance-ip",
        ["20.1.2.3", "20.9.9.9"],
    ),
    "a rule that names no network interface": (
        [public("20.1.2.3")],
        [outbound("52.1.1.1", "52.1.1.1")],
        "mixed",
        ["20.1.2.3", "52.1.1.1"],
    ),
    "inbound rules only": ([], [], "unknown", []),
}
"""By what there is: public IP addresses, outbound rules, what the answer rests on, and the answer."""


@pytest.mark.parametrize("case", EGRESS)
def test_configured(case: str) -> None:
    """An instance IP takes the place of outbound rules for its own private IP and in its own family only."""
    public_ip_addresses, outbound_rules, basis, addresses = EGRESS[case]
    document = Document.of(
        public_ip_addresses=public_ip_addresses,
        outbound_rules=outbound_rules,
        inbound_rules=[inbound("20.20.20.20")],
    )
    published = egress(document)
    assert [str(ip) for ip in published.addresses] == addresses
    assert published.basis == basis
    assert published.networks == ()


def test_egress_of_nothing() -> None:
    """Nobody knows what a node without metadata leaves from."""
    assert egress(EMPTY).basis == "unknown"
    assert configured_egress(EMPTY) == ()


@given(documents)
def test_no_way_out_is_lost(document: Document) -> None:
    """Each private IP and family that a public IP or an outbound rule names has its part in the answer."""
    entries = (*document.public_ip_addresses, *document.outbound_rules)
    named = {(entry.private_ip, entry.frontend_ip.version) for entry in entries}
    paths = configured_egress(document)
    assert {(path.private_ip, path.family) for path in paths} == named
    assert all(path.addresses for path in paths)
    assert set(views.public_ips(document)) <= set(egress(document).addresses)


@given(documents)
def test_egress_basis_is_unknown_exactly_without_addresses(document: Document) -> None:
    """The basis is unknown exactly when there is no egress address to name."""
    published = egress(document)
    assert (published.basis is EgressBasis.UNKNOWN) == (not published.addresses)


# Declared

DUAL_STACK = Document.of(
    public_ip_addresses=[public("20.1.2.3"), public("2603::1", SIX)], outbound_rules=[outbound("52.1.1.1")]
)


@pytest.mark.parametrize(
    ("networks", "basis", "addresses"),
    [
        ("20.9.9.0/30", "mixed", ["20.9.9.0", "20.9.9.1", "20.9.9.2", "20.9.9.3", "2603::1"]),
        ("20.9.9.9", "mixed", ["20.9.9.9", "2603::1"]),
        ("2603:9::1", "mixed", ["20.1.2.3", "2603:9::1"]),
        ("20.9.9.9,2603:9::1", "declared", ["20.9.9.9", "2603:9::1"]),
        ("20.9.9.0/24", "mixed", ["2603::1"]),
        ("20.9.9.0/24,20.8.8.8", "mixed", ["20.8.8.8", "2603::1"]),
        ("20.9.9.0/24,2603:9::/64", "declared", []),
    ],
)
def test_declared_takes_the_place_of_its_family(networks: str, basis: str, addresses: list[str]) -> None:
    """What is declared replaces what is configured, for the families that it names and for no other."""
    published = egress(DUAL_STACK, declared_networks(networks.split(",")))
    assert published.basis == basis
    assert [str(address) for address in published.addresses] == addresses
    assert ",".join(map(str, sorted(published.networks, key=str))) == ",".join(
        sorted(str(ip_network(network)) for network in networks.split(","))
    )


@pytest.mark.parametrize("prefix", [28, 27])
def test_small_networks_are_listed(prefix: int) -> None:
    """A network of at most 16 addresses is listed address by address, a larger one stands as it is."""
    published = egress(EMPTY, declared_networks([f"20.9.9.0/{prefix}"]))
    assert len(published.addresses) == (LISTED_ADDRESSES if prefix == 28 else 0)
    assert published.basis is EgressBasis.DECLARED


def test_declared_is_of_no_private_ip() -> None:
    """What is declared holds for every private IP address."""
    (path,) = egress(FULL, declared_networks(["20.9.9.9"])).paths
    assert (path.private_ip, path.family) == (None, 4)


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("20.9.9.0", True),
        ("20.9.9.255", True),
        ("20.9.8.255", False),
        ("20.1.2.3", False),
        ("2603::1", True),
        ("2603::2", False),
    ],
)
def test_listed(address: str, listed: bool) -> None:  # noqa: FBT001 - a table
    """Listed is what is declared, and what is configured in the other family."""
    assert egress(DUAL_STACK, declared_networks(["20.9.9.0/24"])).lists(ip_address(address)) is listed


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        (["20.9.9.9", "20.1.2.0/30"], ["20.1.2.0/30", "20.9.9.9/32"]),
        (["20.1.2.1", "20.1.2.0/30", "20.1.2.0/31", "20.1.2.0/30"], ["20.1.2.0/30"]),
        (["2603::/64", "100.0.0.1", "9.9.9.9"], ["9.9.9.9/32", "100.0.0.1/32", "2603::/64"]),
        (["10.0.0.0/8", "fd00::/16"], ["10.0.0.0/8", "fd00::/16"]),
    ],
)
def test_networks_are_sorted_and_none_is_within_another(values: list[str], expected: list[str]) -> None:
    """IPv4 stands before IPv6, in numeric order, and what another one holds is left out."""
    assert [str(network) for network in declared_networks(values)] == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        " 20.1.2.3",
        "20.1.2.3/24",
        "20.1.2",
        "gateway",
        "0.0.0.0/0",
        "::/0",
        "16.0.0.0/4",
        "2600::/12",
        "0.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.0/8",
        "255.255.255.255",
        "::1",
        "::",
        "::ffff:20.1.2.3",
        "::ffff:0:0/97",
        "fe80::1",
        "ff02::1",
        "2603::/" + "0" * 60 + "64",
        "fe80::1%eth0",
        7,
        None,
        ["20.1.2.3"],
    ],
    ids=str,
)
def test_what_is_no_unicast_network_is_refused(value: object) -> None:
    """A network that nothing can connect from, or that holds almost any address, is a mistake."""
    with pytest.raises(ValueError, match=r".+"):
        declared_networks(["20.1.2.3", value])


# Observed

STUN, TCP = parse_probe("stun:stun.example.org"), parse_probe("stun+tcp:stun.example.org")
KEEP = 86_400.0
LISTED = egress(EMPTY, declared_networks(["20.1.2.0/30", "2603::/64"]))


def seen(address: str, probe: Probe = STUN, own: str = "10.240.0.4") -> Flow:
    """A flow that came from an address."""
    found = ip_address(address)
    return Flow(probe=probe, family=found.version, address=found, own=ip_address(own))


def failed(probe: Probe = STUN, failure: FlowFailure = FlowFailure.NO_ANSWER) -> Flow:
    """A flow that brought nothing."""
    return Flow(probe=probe, family=4, failure=failure, detail="as scripted")


def after(*rounds: list[Flow], interval: float = 600.0, keep: float = KEEP) -> Observation:
    """What is known after these rounds, the first one at the start."""
    known = Observation((STUN, TCP))
    for number, flows in enumerate(rounds):
        known = known.after_round(flows, now=at(number * interval), keep=keep)
    return known


def addresses_of(known: Observation) -> list[str]:
    """All that is observed."""
    return [str(address) for address in known.addresses]


@pytest.mark.parametrize(
    ("rounds", "state"),
    [
        ([], EgressState.OFF),
        ([[seen("20.1.2.1")]], EgressState.AGREES),
        ([[seen("20.1.2.1"), seen("2603::9", own="fd00::4")]], EgressState.AGREES),
        ([[seen("20.1.2.1"), seen("20.1.2.9")]], EgressState.UNLISTED),
        ([[seen("20.1.2.9")], [seen("20.1.2.1")]], EgressState.UNLISTED),
        ([[seen("10.240.0.4")]], EgressState.INSIDE),
        ([[seen("20.1.2.1", own="20.1.2.1")]], EgressState.INSIDE),
        ([[seen("100.64.0.9")], [failed(), seen("10.9.9.9")]], EgressState.INSIDE),
        ([[seen("10.9.9.9"), seen("20.1.2.1", TCP)]], EgressState.AGREES),
        ([[failed()]], EgressState.UNANSWERED),
        ([[seen("20.1.2.1")], [failed()]], EgressState.AGREES),
        ([[seen("20.1.2.9")], [failed()]], EgressState.UNLISTED),
        ([[seen("20.1.2.1")], [failed()], [failed(), failed(TCP)]], EgressState.UNANSWERED),
        ([[seen("20.1.2.1")], [failed()], [seen("20.1.2.2")], [failed()]], EgressState.AGREES),
        ([[seen("20.1.2.1")], [failed()], []], EgressState.UNANSWERED),
    ],
)
def test_state(rounds: list[list[Flow]], state: EgressState) -> None:
    """The state compares all that is observed with what is published; one silent round changes nothing."""
    assert after(*rounds).state(LISTED) is state


def test_state_without_a_probe_is_off() -> None:
    """Who asks nobody has nothing to compare."""
    assert Observation().state(LISTED) is EgressState.OFF


def test_state_while_nothing_is_known_to_be_published() -> None:
    """Without an answer of the metadata service and a declaration there is nothing to compare with."""
    assert after([seen("20.1.2.1")]).state(None) is EgressState.OFF
    assert after([seen("10.240.0.4")]).state(None) is EgressState.INSIDE
    assert after([failed()]).state(None) is EgressState.UNANSWERED
    state = State(started=at(0), observation=after([seen("20.1.2.1")]))
    assert state.shared_egress.state is EgressState.OFF
    declaring = replace(state, declared=declared_networks(["20.1.2.0/24"]))
    assert declaring.shared_egress.state is EgressState.AGREES


def test_sightings_are_by_address_and_probe() -> None:
    """Each address has the probes that saw it, with first and last time and the number of flows."""
    known = after([seen("20.1.2.1"), seen("20.1.2.1"), seen("20.1.2.1", TCP)], [seen("20.1.2.1")])
    found = {(str(one.address), one.probe): one for one in known.sightings}
    udp, tcp = found["20.1.2.1", STUN], found["20.1.2.1", TCP]
    assert (udp.first, udp.last, udp.flows) == (at(0), at(600), 3)
    assert (tcp.first, tcp.last, tcp.flows) == (at(0), at(0), 1)
    assert known.round_at == at(600)
    assert known.last_round == (seen("20.1.2.1"),)


def test_nothing_is_lost_by_silence_or_an_answer_from_inside() -> None:
    """What was observed stays while probes fail, or see a private address, until it is too old."""
    known = after([seen("20.1.2.1")], [failed()], [seen("10.240.0.4")])
    assert addresses_of(known) == ["20.1.2.1"]


@pytest.mark.parametrize(("silent", "kept"), [(143, True), (144, False)])
def test_address_goes_when_not_seen_for_long(silent: int, kept: bool) -> None:  # noqa: FBT001 - a table
    """An address is kept for a day after it was last seen: 144 rounds of 10 minutes."""
    known = after([seen("20.1.2.1"), seen("20.1.2.2")], *[[seen("20.1.2.2")]] * silent)
    assert addresses_of(known) == (["20.1.2.1", "20.1.2.2"] if kept else ["20.1.2.2"])


def test_addresses_of_a_probe_are_bounded() -> None:
    """Of more than 32 addresses of one probe, those not seen for longest go; other probes keep theirs."""
    many = [[seen(f"20.1.3.{number}")] for number in range(40)]
    known = after([seen("20.9.9.9", TCP)], *many)
    assert addresses_of(known) == [*(f"20.1.3.{number}" for number in range(8, 40)), "20.9.9.9"]


def test_restored() -> None:
    """What an earlier run had observed is observed, at that time, until a probe sees it itself."""
    earlier = Observation((STUN,)).restored([ip_address("20.1.2.9"), ip_address("20.1.2.1")], at=at(-3600))
    assert [(one.probe, one.first, one.flows) for one in earlier.sightings] == [(None, at(-3600), 0)] * 2
    assert earlier.state(LISTED) is EgressState.UNLISTED

    known = earlier.after_round([seen("20.1.2.1")], now=at(0), keep=KEEP)
    assert [(str(one.address), one.probe) for one in known.sightings] == [
        ("20.1.2.1", STUN),
        ("20.1.2.9", None),
    ]
    assert addresses_of(known.after_round([], now=at(KEEP - 3600), keep=KEEP)) == ["20.1.2.1"]


def test_restored_adds_to_what_is_known() -> None:
    """What this run has seen already is not seen by nobody as well; too many are cut."""
    known = after([seen("20.1.2.1")])
    assert known.restored([ip_address("20.1.2.1")], at=at(-60)).sightings == known.sightings
    many = [ip_address(f"20.1.3.{number}") for number in range(100)]
    assert len(known.restored(many, at=at(-60)).sightings) == 33


_any_address = st.sampled_from(
    [ip_address(text) for text in ("20.1.2.1", "20.1.2.9", "10.240.0.4", "2603::1", "fd00::4")]
)
_flows = st.builds(
    lambda probe, address: Flow(
        probe=probe,
        family=4 if address is None else address.version,
        address=address,
        failure=FlowFailure.NO_ANSWER if address is None else None,
    ),
    st.sampled_from([STUN, TCP]),
    st.none() | _any_address,
)


@given(st.lists(st.lists(_flows, max_size=4), max_size=6))
def test_only_outside_addresses_are_observed(rounds: list[list[Flow]]) -> None:
    """Whatever probes answer, only addresses from outside are observed, each exactly if a flow brought it."""
    outside: set[IPAddress] = {
        flow.address
        for flows in rounds
        for flow in flows
        if flow.address is not None and not flow.address.is_private
    }
    assert set(after(*rounds).addresses) == outside


# Rounds

POLICY = RoundPolicy(interval=600.0, flows=5, keep=KEEP)


@pytest.mark.parametrize(
    ("fraction", "ended", "expected"),
    [(0.0, 1.0, 480.0), (0.5, 1.0, 600.0), (1.0, 1.0, 720.0), (0.5, 900.0, 900.0)],
)
def test_next_round(fraction: float, ended: float, expected: float) -> None:
    """A round starts an interval after the last one started, 20 % earlier or later, and not within it."""
    assert POLICY.next_at(0.0, ended, fraction=fraction) == pytest.approx(expected)


def test_at_most_one_round_a_minute() -> None:
    """Whatever the interval, two rounds are a minute apart."""
    assert RoundPolicy(interval=1.0, flows=5, keep=KEEP).next_at(0.0, 0.5, fraction=0.0) == 60.0


@pytest.mark.parametrize(
    ("before", "flows", "enough"),
    [
        ([], [], False),
        ([], ["20.1.2.1"], False),
        ([], ["20.1.2.1"] * 4, False),
        ([], ["20.1.2.1"] * 5, True),
        (["20.1.2.1"], [], False),
        (["20.1.2.1"], ["20.1.2.1"], True),
        (["20.1.2.1", "2603::1"], ["20.1.2.1"], True),
        (["20.1.2.1"], ["20.1.2.2"], False),
        (["20.1.2.1", "20.1.2.2"], ["20.1.2.1"], False),
        (["2603::1"], ["20.1.2.1"], False),
        (["20.1.2.1"], [None], True),
        ([], [None], True),
        (["20.1.2.1", "20.1.2.2"], ["20.1.2.1", None], True),
    ],
)
def test_enough(before: list[str], flows: list[str | None], enough: bool) -> None:  # noqa: FBT001 - a table
    """One flow while all agree, at most five, and none after one that failed."""
    known = after([seen(address) for address in before]) if before else Observation((STUN,))
    asked = [failed() if address is None else seen(address) for address in flows]
    assert POLICY.enough(known, asked) is enough


def test_restored_address_is_no_agreement() -> None:
    """What an earlier run knew does not stand for a first round of one's own."""
    known = Observation((STUN,)).restored([ip_address("20.1.2.1")], at=at(-60))
    assert not POLICY.enough(known, [seen("20.1.2.1")])
