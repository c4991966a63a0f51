"""Entries of a document that are wrong or too many are left out, and the others stay."""

import json
from typing import Any

import pytest

from sidecar.core.parsing import MalformedError, parse_response
from tests.core.examples import wire_inbound, wire_public
from tests.core.parsing import FULL, LISTS, causes, parse
from tests.support.faults import Origin, Promise, fault

NO_ADDRESSES: list[Any] = [
    *("0.0.0.0", "127.0.0.1", "127.255.255.254", "224.0.0.1", "239.1.2.3", "255.255.255.255"),
    *("::", "[::]", "::1", "[::1]", "0:0:0:0:0:0:0:1", "ff02::1", "[ff0e::1]"),
]
"""Addresses that nothing can have."""

WRONG_ADDRESSES: list[Any] = [
    ...,
    *NO_ADDRESSES,
    " ",
    "20.1.2",
    "20.1.2.3/32",
    "[20.1.2.3]",
    "node.example",
    "::ffff:20.1.2.3",
    "[::ffff:20.1.2.3]",
    "fe80::1%eth0",
    "[fe80::1%1]",
    "\u0662\u0660.1.2.3",
    335610371,
    True,
    ["20.1.2.3"],
    {},
]

WRONG_PROTOCOLS: list[Any] = [
    ...,
    None,
    "",
    " tcp",
    "tcp\n",
    "tcp/udp",
    "*",
    "abcdefgh123456789",
    "ic\u212ap",
    "\u212a",
    "\u0130cmp",
    "\uff54\uff43\uff50",
    "tcp\u0000",
    6,
    True,
    ["tcp"],
]

WRONG_PORTS: list[Any] = [
    ...,
    None,
    -1,
    65536,
    10**4000,
    80.5,
    1e300,
    -80.0,
    True,
    False,
    "",
    " 80",
    "80\n",
    "+80",
    "-1",
    "80.0",
    "8_0",
    "0x50",
    "65536",
    "99999",
    "000080",
    "http",
    "\u0668\u0660",
    "\u00b2",
    [80],
    {"port": 80},
]


def _wrong_members() -> list[Any]:
    members = {
        "frontendIpAddress": WRONG_ADDRESSES,
        "privateIpAddress": WRONG_ADDRESSES,
        "protocol": WRONG_PROTOCOLS,
        "frontendPort": WRONG_PORTS,
        "backendPort": WRONG_PORTS,
    }
    return [
        pytest.param(member, value, id=f"{member}-{'missing' if value is ... else ascii(value)[:20]}")
        for member, values in members.items()
        for value in values
    ]


@fault(
    Origin.SERVICE,
    "Some entries of a document are wrong",
    Promise(
        served="All others.",
        annotated="All others.",
        logged="`entries-dropped` once per new document; `dropped_entries_total{list,cause}`.",
        recovery="With the first document in which the entry is right.",
    ),
)
@pytest.mark.parametrize(("member", "value"), _wrong_members())
def test_wrong_member_drops_the_rule_alone(member: str, value: object) -> None:
    """An inbound rule with a wrong member is left out under that member's name; its neighbours stay."""
    good = [wire_inbound(), wire_inbound(frontendPort=80)]
    parsed = parse(inboundRules=[good[0], wire_inbound(**{member: value}), good[1]])
    assert parsed.document == parse(inboundRules=good).document
    assert causes(parsed) == [("inboundRules", member)]


@pytest.mark.parametrize("name", ["publicIpAddresses", "outboundRules"])
@pytest.mark.parametrize("member", ["frontendIpAddress", "privateIpAddress"])
@pytest.mark.parametrize("value", WRONG_ADDRESSES, ids=ascii)
def test_wrong_address_drops_the_pair_alone(name: str, member: str, value: object) -> None:
    """The same holds for public IP addresses and outbound rules."""
    parsed = parse(**{name: [wire_public(**{member: value}), wire_public()]})
    assert parsed.document == parse(**{name: [wire_public()]}).document
    assert causes(parsed) == [(name, member)]


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("name", LISTS)
def test_private_address_is_needed(name: str, value: object) -> None:
    """An entry with a frontend, and nothing that it leads to, is wrong."""
    entry = wire_inbound if name == "inboundRules" else wire_public
    parsed = parse(**{name: [entry(privateIpAddress=value), entry()]})
    assert parsed.document == parse(**{name: [entry()]}).document
    assert causes(parsed) == [(name, "privateIpAddress")]


@fault(
    Origin.SERVICE,
    "An entry has an empty frontend, as where there is no address",
    Promise(
        served="All others, of all lists; a list of nothing else counts as empty.",
        annotated="The same.",
        logged="Nothing: it is absent, not wrong.",
        recovery="Nothing to recover from.",
    ),
)
@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("name", LISTS)
def test_empty_frontend_is_absent(name: str, value: object) -> None:
    """An entry whose frontend is null or empty is none at all, and spoils nothing."""
    entry = wire_inbound if name == "inboundRules" else wire_public
    absent = entry(frontendIpAddress=value)
    others = {other: FULL[other] for other in LISTS if other != name}
    for beside in ([], [entry()]):
        parsed = parse(**{name: [absent, *beside, absent], **others})
        assert parsed.document == parse(**{name: beside, **others}).document
        assert parsed.dropped == ()


@pytest.mark.parametrize("wrong", [0, {}, {"frontendIpAddress": "no"}])
def test_absent_and_wrong(wrong: object) -> None:
    """A list of absent and wrong entries has none that is usable."""
    with pytest.raises(MalformedError):
        parse(publicIpAddresses=[wire_public(frontendIpAddress=""), wrong])


@pytest.mark.parametrize("frontend", [0, None, "", ...])
@pytest.mark.parametrize("backend", [0, None, "", ...])
@pytest.mark.parametrize("protocol", ["All", "all", "ALL"])
def test_all_without_ports_is_all_ports(protocol: str, frontend: object, backend: object) -> None:
    """A rule for all protocols that names no port is the rule for every port, as with ports 0."""
    rule = wire_inbound(protocol=protocol, frontendPort=frontend, backendPort=backend)
    parsed = parse(inboundRules=[rule])
    assert parsed.dropped == ()
    assert [each.every_port for each in parsed.document.inbound_rules] == [True]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", [None, "20.1.2.3", 1, True, [], [wire_public()]])
def test_entry_that_is_no_object_is_dropped(name: str, value: object) -> None:
    """An entry of another JSON type is left out under the cause `entry`."""
    parsed = parse(**{name: [value, *FULL[name]]})
    assert parsed.document == parse(**{name: FULL[name]}).document
    assert causes(parsed) == [(name, "entry")]


def test_the_first_wrong_member_is_the_cause() -> None:
    """An entry that is wrong in many ways is dropped once."""
    parsed = parse(inboundRules=[{}, wire_inbound()], outboundRules=[{}, wire_public()])
    assert causes(parsed) == [("inboundRules", "frontendIpAddress"), ("outboundRules", "frontendIpAddress")]


@pytest.mark.parametrize("text", ["\x1b[31m\r\nforged", "\u202e", "\u00e9" * 500, "x" * 1_048_576])
def test_what_is_shown_of_a_dropped_entry_is_safe_to_print(text: str) -> None:
    """Of a dropped entry, at most 200 printable ASCII characters are kept."""
    (dropped,) = parse(publicIpAddresses=[wire_public(frontendIpAddress=text), wire_public()]).dropped
    assert dropped.shown.startswith("{'frontendIpAddress': '")
    assert dropped.shown.isascii()
    assert dropped.shown.isprintable()
    assert len(dropped.shown) <= 200


def test_number_of_most_digits_is_shown_without_an_error() -> None:
    """A number at the limit of what Python prints is dropped like any other wrong port."""
    for number in ("9" * 4300, "-" + "9" * 4300, "[" * 100 + "9" * 4300 + "]" * 100):
        entry = json.dumps(wire_inbound(frontendPort="?")).replace('"?"', number)
        body = '{"loadbalancer":{"inboundRules":[' + entry + "," + json.dumps(wire_inbound()) + "]}}"
        assert causes(parse_response(body.encode())) == [("inboundRules", "frontendPort")]


def test_infinite_port_is_dropped() -> None:
    """A number beyond every float is no whole number."""
    entry = json.dumps(wire_inbound(backendPort="?")).replace('"?"', "1e999")
    body = '{"loadbalancer":{"inboundRules":[' + entry + "," + json.dumps(wire_inbound()) + "]}}"
    assert causes(parse_response(body.encode())) == [("inboundRules", "backendPort")]


def test_megabyte_strings_do_no_harm() -> None:
    """Strings of 1 MiB in every place drop their entry or are ignored, and nothing else happens."""
    long = "1" * 1_048_576
    parsed = parse(
        inboundRules=[wire_inbound(**{name: long}) for name in wire_inbound()] + [wire_inbound(note=long)],
        publicIpAddresses=[wire_public(**{long: long})],
        **{long: long},
    )
    assert parsed.document == parse(inboundRules=[wire_inbound()], publicIpAddresses=[wire_public()]).document
    assert causes(parsed) == [("inboundRules", name) for name in wire_inbound()]


def test_deepest_json_that_is_read_can_be_dropped() -> None:
    """An entry as deep as JSON is read at all is dropped like any other."""
    deep = "[" * 195 + "]" * 195
    body = '{"loadbalancer":{"publicIpAddresses":[' + deep + "," + json.dumps(wire_public()) + "]}}"
    assert causes(parse_response(body.encode())) == [("publicIpAddresses", "entry")]


@pytest.mark.parametrize("name", LISTS)
def test_most_entries(name: str) -> None:
    """Of a list 10,000 entries are looked at; the others are one dropped entry with their number."""
    right = wire_inbound() if name == "inboundRules" else wire_public()
    wrong: list[object] = [0] * 9_999
    parsed = parse(**{name: [*wrong, right, right, right]})
    assert parsed.document.entries == 1
    assert causes(parsed) == [(name, "entry")] * 9_999 + [(name, "too-many")]
    rest = parsed.dropped[-1]
    assert (rest.count, rest.shown) == (2, ascii(right))
    assert causes(parse(**{name: [*wrong, right]})) == [(name, "entry")] * 9_999
    with pytest.raises(MalformedError, match="no entry"):
        parse(**{name: [*wrong, 0, right]})
