"""How addresses are read, ordered and printed."""

from ipaddress import ip_address

import pytest
from hypothesis import given

from sidecar.core.addresses import IPAddress, endpoint, parse_address, sorted_addresses
from tests.core.examples import addresses


@given(addresses)
def test_printed_address_is_read_back(address: IPAddress) -> None:
    """Every address is read from its own text."""
    assert parse_address(str(address)) == address


@given(addresses.filter(lambda address: address.version == 6))
def test_ipv6_is_read_in_any_spelling(address: IPAddress) -> None:
    """IPv6 is read with and without brackets, short and long, in either case: it is one address."""
    for text in (str(address), address.exploded, str(address).upper()):
        assert parse_address(text) == parse_address(f"[{text}]") == address


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        16909060,
        True,
        b"\x01\x02\x03\x04",
        ["20.1.2.3"],
        {"address": "20.1.2.3"},
        "",
        " ",
        "20.1.2.3 ",
        "20.1.2.3\n",
        "20.1.2",
        "20.1.2.256",
        "020.1.2.3",
        "0x14.1.2.3",
        "335610371",
        "20.1.2.3/32",
        "20.1.2.3:443",
        "[20.1.2.3]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[[2001:db8::1]]",
        "[2001:db8::1]:443",
        "[]",
        "[",
        "2001:db8:::1",
        "2001:db8::1::",
        "2001:db8::12345",
        "fe80::1%eth0",
        "[fe80::1%eth0]",
        "fe80::1%",
        "::ffff:20.1.2.3",
        "::ffff:1401:203",
        "[::ffff:20.1.2.3]",
        "\u0662\u0660.1.2.3",
        "\uff12\uff10.1.2.3",
        "20\u30021.2.3",
        "\ud800",
        "node.example",
        pytest.param(":" * 1_048_576, id="1 MiB of colons"),
        pytest.param("1" * 1_048_576, id="1 MiB of digits"),
    ],
)
def test_anything_else_is_a_value_error(value: object) -> None:
    """Whatever is not the text of one usable address is a ValueError and nothing worse."""
    with pytest.raises(ValueError):
        parse_address(value)


def test_ipv6_with_an_embedded_ipv4_is_printed_in_hexadecimal() -> None:
    """A NAT64 address written with a dotted tail is an ordinary IPv6 address with one text."""
    assert str(parse_address("64:ff9b::20.1.2.3")) == "64:ff9b::1401:203"


def test_order_is_family_then_number() -> None:
    """IPv4 stands before IPv6, each by number rather than by text, and each address once."""
    texts = ["2001:db8::10", "100.0.0.1", "2001:db8::9", "20.0.0.1", "9.0.0.1", "20.0.0.1", "::1"]
    ordered = sorted_addresses(ip_address(text) for text in texts)
    assert [str(address) for address in ordered] == [
        "9.0.0.1",
        "20.0.0.1",
        "100.0.0.1",
        "::1",
        "2001:db8::9",
        "2001:db8::10",
    ]


@pytest.mark.parametrize(
    ("address", "text"), [("20.20.20.20", "20.20.20.20:443"), ("2001:DB8::1", "[2001:db8::1]:443")]
)
def test_endpoint_brackets_ipv6_only(address: str, text: str) -> None:
    """An endpoint is address, colon, port, with brackets where the address has colons itself."""
    assert endpoint(ip_address(address), 443) == text
