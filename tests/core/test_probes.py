"""How probes are written, and which addresses and bodies are believed of them."""

from ipaddress import ip_address

import pytest

from sidecar.core.probes import (
    Flow,
    MalformedAnswerError,
    Probe,
    Transport,
    address_in_body,
    is_possible,
    parse_probe,
)


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        ("stun:stun.example.org:3478", Probe(Transport.UDP, "stun.example.org", 3478)),
        ("stun+tcp:stun.example.org:443", Probe(Transport.TCP, "stun.example.org", 443)),
        ("stun:192.0.2.1:3479", Probe(Transport.UDP, "192.0.2.1", 3479)),
        ("stun:[2001:db8::1]:3478", Probe(Transport.UDP, "2001:db8::1", 3478)),
        ("stun:127.0.0.1:3478", Probe(Transport.UDP, "127.0.0.1", 3478)),
        ("stun:localhost:3478", Probe(Transport.UDP, "localhost", 3478)),
        ("stun:_stun.a-b.example.:3478", Probe(Transport.UDP, "_stun.a-b.example.", 3478)),
        ("https://ip.example.org/", Probe(Transport.HTTPS, "ip.example.org", 443, "/")),
        (
            "https://ip.example.org:8443/a/b?c=%20d",
            Probe(Transport.HTTPS, "ip.example.org", 8443, "/a/b?c=%20d"),
        ),
        ("https://192.0.2.1/ip", Probe(Transport.HTTPS, "192.0.2.1", 443, "/ip")),
        ("https://[2001:db8::1]:8443/", Probe(Transport.HTTPS, "2001:db8::1", 8443, "/")),
    ],
)
def test_probe(text: str, probe: Probe) -> None:
    """A probe is read, and printed as it was written."""
    assert parse_probe(text) == probe
    assert str(probe) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("stun:stun.example.org", "stun:stun.example.org:3478"),
        ("STUN:Stun.Example.Org", "stun:stun.example.org:3478"),
        ("stun+TCP:192.0.2.1", "stun+tcp:192.0.2.1:3478"),
        ("stun:[2001:DB8:0::1]", "stun:[2001:db8::1]:3478"),
        ("https://IP.example.org", "https://ip.example.org/"),
        ("https://ip.example.org:443/Path", "https://ip.example.org/Path"),
        ("https://ip.example.org?format=text", "https://ip.example.org/?format=text"),
    ],
)
def test_short_form(text: str, same: str) -> None:
    """Port and path may be left out, and case means nothing but in a path."""
    assert parse_probe(text) == parse_probe(same)
    assert str(parse_probe(text)) == same


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a probe"),
        ("stun.example.org", "is not a probe"),
        ("stuns:stun.example.org", "is not a probe"),
        ("turn:turn.example.org", "is not a probe"),
        ("http://ip.example.org/", "is not a probe"),
        ("https:ip.example.org", "is not a probe"),
        ("https://ip.example.org/#fragment", "is not a probe"),
        (f"https://ip.example.org/{'x' * 500}", "is not a probe"),
        ("https://name:secret@ip.example.org/", "must not hold credentials"),
        ("https://token@ip.example.org/", "must not hold credentials"),
        ("https://ip.example.org/a b", "printable ASCII"),
        ("https://ip.example.org/ä", "printable ASCII"),
        ("stun:", "neither an address nor a name"),
        ("https:///path", "neither an address nor a name"),
        ("stun://stun.example.org", "neither an address nor a name"),
        ("stun:ä.example", "neither an address nor a name"),
        ("stun:-a.example", "neither an address nor a name"),
        ("stun:a..example", "neither an address nor a name"),
        ("stun:a.example/path", "neither an address nor a name"),
        ("stun:1.2.3", "neither an address nor a name"),
        ("stun:1.2.3.256", "neither an address nor a name"),
        ("stun:0127.0.0.1", "neither an address nor a name"),
        ("stun:[stun.example.org]", "neither an address nor a name"),
        ("stun:[fe80::1%eth0]", "neither an address nor a name"),
        ("stun:[::ffff:192.0.2.1]", "neither an address nor a name"),
        (f"stun:{'a.' * 127}", "neither an address nor a name"),
        ("stun:2001:db8::1", r"brackets, \[2001:db8::1\]"),
        ("stun:[2001:db8::1", "no closing bracket"),
        ("stun:[2001:db8::1]3478", "is not"),
        ("stun:224.0.0.1", "not the address of a server"),
        ("stun:0.0.0.0", "not the address of a server"),
        ("stun:[::]", "not the address of a server"),
        ("stun:[ff02::1]", "not the address of a server"),
        ("stun:255.255.255.255", "not the address of a server"),
        ("stun:stun.example.org:", "is not a port"),
        ("stun:stun.example.org:0", "is not a port"),
        ("stun:stun.example.org:65536", "is not a port"),
        ("stun:stun.example.org:stun", "is not a port"),
        ("stun:stun.example.org:٣", "is not a port"),
        ("https://ip.example.org:/", "is not a port"),
    ],
)
def test_not_a_probe(text: str, words: str) -> None:
    """What is no probe is refused, with what to write instead."""
    with pytest.raises(ValueError, match=words):
        parse_probe(text)


@pytest.mark.parametrize(
    ("address", "possible"),
    [
        *((address, True) for address in ("1.0.0.1", "10.0.0.4", "100.64.0.1", "127.0.0.1", "169.254.1.1")),
        *(
            (address, True)
            for address in ("203.0.113.7", "223.255.255.255", "2001:db8::1", "fd00::1", "fe80::1")
        ),
        *((address, True) for address in ("::1", "64:ff9b::192.0.2.1", "2002::1")),
        *((address, False) for address in ("0.0.0.0", "0.255.255.255", "224.0.0.0", "239.255.255.255")),
        *(
            (address, False)
            for address in ("240.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:192.0.2.1")
        ),
    ],
)
def test_possible(address: str, possible: bool) -> None:  # noqa: FBT001 - a column of the table
    """A connection comes from a unicast address, also from a private one; never from any other."""
    assert is_possible(ip_address(address)) is possible


@pytest.mark.parametrize(
    ("seen", "own", "inside"),
    [
        ("203.0.113.7", "10.0.0.4", False),
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", None, False),
        ("10.0.0.5", "10.0.0.4", True),
        ("100.64.0.1", "10.0.0.4", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("fd00::1", "fd00::2", True),
        ("2001:db8::1", "fd00::2", False),
        ("2001:db8::1", "2001:db8::1", True),
        ("64:ff9b::a00:1", "fd00::2", False),
    ],
)
def test_inside(seen: str, own: str | None, inside: bool) -> None:  # noqa: FBT001 - a column of the table
    """A probe that sees a private address, or the connection's own, is on this side of the translation."""
    flow = Flow(
        probe=parse_probe("stun:192.0.2.1"),
        family=4,
        address=ip_address(seen),
        own=None if own is None else ip_address(own),
    )
    assert flow.inside is inside


@pytest.mark.parametrize(
    ("body", "address"),
    [
        (b"203.0.113.7", "203.0.113.7"),
        (b"203.0.113.7\n", "203.0.113.7"),
        (b" \t\r\n203.0.113.7\r\n\r\n", "203.0.113.7"),
        (b"2001:DB8:0::1\n", "2001:db8::1"),
        (b"10.0.0.5", "10.0.0.5"),
        (b'{"ip":"203.0.113.7"}', "203.0.113.7"),
        (
            b'\n{"ip": "2001:db8::1", "country": "\xc3\x85land", "more": [{"ip": "192.0.2.1"}]}\n',
            "2001:db8::1",
        ),
        (b'{"ip":"192.0.2.1","ip":"203.0.113.7"}', "203.0.113.7"),
    ],
)
def test_body(body: bytes, address: str) -> None:
    """An answer over HTTPS is an address as text, or a JSON object that has it as ip."""
    assert address_in_body(body) == ip_address(address)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" \n", b"203.0.113.7 198.51.100.1", b"203.0.113.7\n198.51.100.1\n", b"203.0.113.7:4711"),
        *(b"203.0.113.07", b"203.0.113.7/32", b"3405803783", b"203.0.113.7\0", b"\xef\xbb\xbf203.0.113.7"),
        *(b"\xb2.0.2.1", "٢٠٣.0.113.7".encode(), b"fe80::1%eth0", b"x" * 1024, b"1" * 1024),
        *(b"<html><body>203.0.113.7</body></html>", b"<!DOCTYPE html>", b"Your IP is 203.0.113.7"),
        *(b'"203.0.113.7"', b'["203.0.113.7"]', b'{"address":"203.0.113.7"}', b'{"ip":["203.0.113.7"]}'),
        *(
            b'{"ip":{"v4":"203.0.113.7"}}',
            b'{"ip":3405803783}',
            b'{"ip":null}',
            b'{"ip":" 203.0.113.7"}',
            b"{}",
        ),
        *(b'{"ip":"203.0.113.7"', b'{"ip":"203.0.113.7"}}', b'{"IP":"203.0.113.7"}', b'{"ip":"\xff"}'),
        *(b'{"a":' * 170 + b"0" + b"}" * 170, b'{"ip":' + b"[" * 1000, b'{"ip":' + b"9" * 1000 + b"}"),
        *(b"0.0.0.0", b"224.0.0.1", b"255.255.255.255", b"::", b"ff02::1", b"::ffff:203.0.113.7"),
        *(b'{"ip":"0.0.0.0"}', b'{"ip":"::ffff:203.0.113.7"}'),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_other_body(body: bytes) -> None:
    """Any other answer over HTTPS is malformed, and so is an address that nothing can come from."""
    with pytest.raises(MalformedAnswerError) as error:
        address_in_body(body)
    assert str(error.value).isascii()
    assert len(str(error.value)) < 200
