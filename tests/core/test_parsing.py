"""Bytes that cannot be trusted become a document, whatever is odd about them, or are malformed."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.core.document import EMPTY, Document
from sidecar.core.parsing import MalformedError, ParsedDocument, parse_canonical, parse_response
from tests.core.examples import documents, wire_inbound, wire_public
from tests.core.parsing import FULL, LISTS, parse


def inbound_rule(**members: Any) -> dict[str, Any]:
    """The canonical form of one inbound rule with these wire members, which must not be dropped."""
    parsed = parse(inboundRules=[wire_inbound(**members)])
    assert parsed.dropped == ()
    (rule,) = parsed.document.wire()["inboundRules"]
    return dict(rule)


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
        publicIpAddresses=[wire_public(frontendIpAddress=text) for text in ("[2::1]", "2::1", "2:0::1")],
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
