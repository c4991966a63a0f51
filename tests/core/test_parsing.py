"""Bytes that cannot be trusted become a document, or are malformed."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.core.document import EMPTY, Document
from sidecar.core.parsing import MalformedError, ParsedDocument, parse_canonical, parse_response
from sidecar.errors import Error
from tests.core.examples import documents, wire_inbound, wire_public
from tests.support.faults import Origin, Promise, fault, outage

LISTS = ("publicIpAddresses", "inboundRules", "outboundRules")
FULL: dict[str, Any] = {
    "publicIpAddresses": [wire_public()],
    "inboundRules": [wire_inbound()],
    "outboundRules": [wire_public()],
}


def parse(**lists: Any) -> ParsedDocument:
    """Parse an answer with these lists."""
    return parse_response(json.dumps({"loadbalancer": lists}).encode())


def inbound_rule(**members: Any) -> dict[str, Any]:
    """The canonical form of one inbound rule with these wire members, which must not be dropped."""
    parsed = parse(inboundRules=[wire_inbound(**members)])
    assert parsed.dropped == ()
    (rule,) = parsed.document.wire()["inboundRules"]
    return dict(rule)


def causes(parsed: ParsedDocument) -> list[tuple[str, str]]:
    """List and cause of every dropped entry."""
    return [(dropped.list_name, dropped.cause) for dropped in parsed.dropped]


# What is tolerated


@pytest.mark.parametrize("member", ["frontendIpAddress", "privateIpAddress"])
@pytest.mark.parametrize("text", ["[2001:db8::1]", "2001:db8::1", "[2001:DB8:0:0:0:0:0:1]"])
def test_brackets_and_spelling_of_ipv6_vanish(member: str, text: str) -> None:
    """IPv6 with or without brackets, long or short, on either side is the same address."""
    assert inbound_rule(**{member: text})[member] == "2001:db8::1"


@pytest.mark.parametrize("text", ["tcp", "Tcp", "TCP", "tCP"])
def test_case_of_the_protocol_vanishes(text: str) -> None:
    """Protocols are lower-cased."""
    assert inbound_rule(protocol=text)["protocol"] == "tcp"


@pytest.mark.parametrize("text", ["udp", "all", "quic", "0", "x", "abcdefgh12345678"])
def test_unknown_protocols_are_kept(text: str) -> None:
    """A protocol is any word of up to 16 letters and digits, known or not."""
    assert inbound_rule(protocol=text)["protocol"] == text


@pytest.mark.parametrize("member", ["frontendPort", "backendPort"])
@pytest.mark.parametrize(
    ("value", "port"),
    [
        (0, 0),
        (80, 80),
        (65535, 65535),
        (80.0, 80),
        (6.5535e4, 65535),
        (-0.0, 0),
        ("80", 80),
        ("0", 0),
        ("00080", 80),
        ("65535", 65535),
    ],
)
def test_ports_are_whole_numbers_in_any_notation(member: str, value: object, port: int) -> None:
    """A port is a number, a whole float or its digits as text, from 0 (high availability ports) on."""
    read = inbound_rule(**{member: value})[member]
    assert (read, type(read)) == (port, int)


def test_floating_ip_is_kept() -> None:
    """A rule whose private address repeats its frontend is an ordinary rule."""
    rule = inbound_rule(frontendIpAddress="20.20.20.20", privateIpAddress="20.20.20.20")
    assert rule["frontendIpAddress"] == rule["privateIpAddress"] == "20.20.20.20"


def test_unknown_keys_are_ignored() -> None:
    """Keys nobody documents are ignored at every level."""
    known = parse(**FULL).document
    entry = {**wire_inbound(), "name": "rule", "enableFloatingIp": True}
    body = {"loadbalancer": {**FULL, "inboundRules": [entry], "tunnelInterfaces": "?"}, "compute": {}}
    parsed = parse_response(json.dumps(body).encode())
    assert parsed.document == known
    assert parsed.dropped == ()


def test_duplicates_are_one() -> None:
    """Entries that say the same in different words are one entry, and none counts as dropped."""
    parsed = parse(
        inboundRules=[wire_inbound(), wire_inbound(protocol="TCP", frontendPort="443"), wire_inbound()],
        publicIpAddresses=[wire_public(frontendIpAddress=text) for text in ("[::1]", "::1", "0::1")],
    )
    assert (len(parsed.document.inbound_rules), len(parsed.document.public_ip_addresses)) == (1, 1)
    assert parsed.dropped == ()


def test_the_last_of_equal_keys_counts() -> None:
    """Of a key that stands twice in one object, the last value counts."""
    body = b'{"loadbalancer":{},"loadbalancer":' + json.dumps(FULL).encode() + b"}"
    assert parse_response(body) == parse(**FULL)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b" \r\n\t", b"\xef\xbb\xbf\n"])
def test_byte_order_mark_and_white_space_are_skipped(mark: bytes) -> None:
    """A UTF-8 byte order mark and white space around the document are no content."""
    assert parse_response(mark + json.dumps({"loadbalancer": FULL}).encode() + b"\n") == parse(**FULL)


# What is empty


@pytest.mark.parametrize("absent", [..., None, []])
@pytest.mark.parametrize("name", LISTS)
def test_missing_null_and_empty_lists_are_empty(name: str, absent: object) -> None:
    """A list that is missing, null or empty has no entries, and the others keep theirs."""
    lists = {key: value for key, value in {**FULL, name: absent}.items() if value is not ...}
    parsed = parse(**lists)
    assert {key: bool(entries) for key, entries in parsed.document.wire().items()} == {
        key: key != name for key in LISTS
    }
    assert parsed.dropped == ()


def test_empty_object_is_an_empty_document() -> None:
    """An empty `loadbalancer` is a document without entries: a positive answer, not an error."""
    assert parse_response(b'{"loadbalancer":{}}') == ParsedDocument(EMPTY)
    assert parse_canonical(b"{}") == ParsedDocument(EMPTY)


# What is dropped

WRONG_ADDRESSES: list[Any] = [
    ...,
    None,
    "",
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


# What is malformed

NOT_JSON = {
    "nothing": b"",
    "white space": b" \r\n",
    "byte order mark alone": b"\xef\xbb\xbf",
    "cut short": json.dumps({"loadbalancer": FULL}).encode()[:-1],
    "trailing garbage": b'{"loadbalancer":{}} x',
    "two documents": b'{"loadbalancer":{}}{"loadbalancer":{}}',
    "trailing comma": b'{"loadbalancer":{},}',
    "single quotes": b"{'loadbalancer':{}}",
    "HTML": b"<!DOCTYPE html><html></html>",
    "XML": b'<?xml version="1.0" encoding="utf-8"?><Error><Code>400</Code></Error>',
    "plain text": b"Too many requests",
    "NaN": b'{"loadbalancer":{},"x":NaN}',
    "Infinity": b'{"loadbalancer":{},"x":Infinity}',
    "minus Infinity": b'{"loadbalancer":{},"x":-Infinity}',
    "too many digits": b'{"loadbalancer":{},"x":' + b"9" * 4301 + b"}",
    "a million digits": b'{"loadbalancer":{},"x":' + b"9" * 1_000_000 + b"}",
    "depth of 100000": b'{"loadbalancer":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects 100000 deep": b'{"loadbalancer":' * 100_000 + b"{}" + b"}" * 100_000,
    "open brackets": b"[" * 100_000,
    "not UTF-8": b'{"loadbalancer":{},"x":"\xff"}',
    "Latin-1": '{"loadbalancer":{},"x":"\u00e9"}'.encode("latin-1"),
    "UTF-16": '{"loadbalancer":{}}'.encode("utf-16"),
    "UTF-8 surrogate": b'{"loadbalancer":{},"x":"\xed\xa0\x80"}',
    "lone surrogate": b'{"loadbalancer":{},"x":"\\ud800"}',
    "surrogates in wrong order": b'{"loadbalancer":{},"x":"\\udc00\\ud800"}',
    "NUL": b"\x00",
    "NUL in a string": b'{"loadbalancer":{},"x":"\x00"}',
}


@fault(Origin.SERVICE, "JSON of hostile depth or numbers of hostile length", outage("malformed"))
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in NOT_JSON.items()])
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    """Bytes that are not one JSON text in UTF-8 are malformed, however large or deep."""
    for parse_bytes in (parse_response, parse_canonical):
        with pytest.raises(MalformedError, match=r"^the body is (empty|not JSON)") as caught:
            parse_bytes(body)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", ["null", "true", "1", '"x"', "[]", '[{"loadbalancer":{}}]'])
def test_root_that_is_no_object_is_malformed(value: str) -> None:
    """An answer that is JSON of another type is malformed, not empty."""
    for parse_bytes in (parse_response, parse_canonical):
        with pytest.raises(MalformedError, match=r"not an? (JSON )?object"):
            parse_bytes(value.encode())


@pytest.mark.parametrize(
    "body", ["{}", '{"error":"No load balancer metadata is found."}', '{"LoadBalancer":{}}']
)
def test_object_without_the_outer_key_is_malformed(body: str) -> None:
    """An answer without `loadbalancer` is malformed: nothing in it says that there is none."""
    with pytest.raises(MalformedError, match="'loadbalancer' is not an object"):
        parse_response(body.encode())


@pytest.mark.parametrize("value", ["null", "true", "0", '""', "[]"])
def test_outer_key_of_another_type_is_malformed(value: str) -> None:
    """A `loadbalancer` that is not an object is malformed."""
    with pytest.raises(MalformedError, match="'loadbalancer' is not an object"):
        parse_response(b'{"loadbalancer":' + value.encode() + b"}")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", [{}, "", "x", 0, 1.5, False, {"0": wire_inbound()}])
def test_list_of_another_type_is_malformed(name: str, value: object) -> None:
    """A list that is an object, text, a number or a boolean makes the answer malformed, not empty."""
    with pytest.raises(MalformedError, match=f"'{name}' is not a list"):
        parse(**{**FULL, name: value})


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("entries", [[{}], [None], [[], "x", 1], [wire_inbound(frontendIpAddress="?")]])
def test_list_without_a_usable_entry_is_malformed(name: str, entries: list[object]) -> None:
    """A list sent with entries of which none is usable is malformed: it is not known to be empty."""
    with pytest.raises(MalformedError, match=f"no entry of '{name}' is usable, for example"):
        parse(**{**FULL, name: entries})


def test_malformed_text_is_one_printable_line() -> None:
    """The error of a hostile document is one short line of ASCII that a log can take."""
    with pytest.raises(MalformedError) as caught:
        parse(publicIpAddresses=["\x1b[2J\n\u202e" * 1000])
    assert isinstance(caught.value, Error)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


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


# For any input

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "frontendIpAddress": st.sampled_from(["20.1.2.3", "[::1]", "::ffff:1.2.3.4"]) | json_values,
        "privateIpAddress": st.sampled_from(["10.0.0.4", "fd00::4"]) | json_values,
        "protocol": st.sampled_from(["Tcp", "ALL"]) | json_values,
        "frontendPort": st.integers(min_value=-1, max_value=65536) | json_values,
        "backendPort": st.integers(min_value=-1, max_value=65536) | json_values,
    },
)
lists = st.lists(entries | json_values, max_size=4) | json_values
bodies = st.fixed_dictionaries({}, optional=dict.fromkeys(LISTS, lists))


@given(bodies)
def test_any_json_is_a_document_or_malformed(lists: dict[str, Any]) -> None:
    """Any JSON gives a document that survives its own canonical form, or is malformed; nothing else."""
    try:
        parsed = parse(**lists)
    except MalformedError:
        return
    assert parse_canonical(parsed.document.canonical) == ParsedDocument(parsed.document)
    sent = sum(len(entries) for entries in lists.values() if entries is not None)
    assert parsed.document.entries + len(parsed.dropped) <= sent


@given(st.binary())
def test_any_bytes_are_a_document_or_malformed(body: bytes) -> None:
    """Any bytes whatever give a document or are malformed; nothing else."""
    try:
        parse_response(body)
    except MalformedError:
        return


@given(documents, entries)
def test_wrong_entry_never_spoils_the_rest(document: Document, entry: dict[str, Any]) -> None:
    """A random entry added to a list is read or dropped; what else the document holds stays."""
    wire = document.wire()
    added = {**wire, "inboundRules": [entry, wire_inbound(), *wire["inboundRules"]]}
    parsed = parse(**added)
    assert set(document.inbound_rules) <= set(parsed.document.inbound_rules)
    assert parsed.document.public_ip_addresses == document.public_ip_addresses
    assert parsed.document.outbound_rules == document.outbound_rules
