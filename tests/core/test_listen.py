"""Where to listen, as settings write it."""

from ipaddress import ip_address

import pytest

from sidecar.core.listen import ListenAddress, parse_listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:16925", ListenAddress(host=ip_address("127.0.0.1"), port=16925)),
        (":16925", ListenAddress(host=None, port=16925)),
        ("0.0.0.0:80", ListenAddress(host=ip_address("0.0.0.0"), port=80)),
        ("[::1]:16925", ListenAddress(host=ip_address("::1"), port=16925)),
        ("[::]:0", ListenAddress(host=ip_address("::"), port=0)),
        ("host:16925", ListenAddress(host=None, port=16925, of_host=True)),
        ("unix:/run/agent.sock", ListenAddress(host=None, port=0, path="/run/agent.sock")),
    ],
)
def test_addresses(text: str, address: ListenAddress) -> None:
    """Addresses are read, and printed as they were written."""
    assert parse_listen(text) == address
    assert str(address) == text


@pytest.mark.parametrize("node_address", ["10.224.0.4", "fd00::4"])
def test_node_address(node_address: str) -> None:
    """`host` is the node's own address, of either family; other addresses stay what they are."""
    own = ip_address(node_address)
    of_host, other = parse_listen("host:16925"), parse_listen("[::1]:16925")
    assert of_host is not None
    assert of_host.at(own) == ListenAddress(host=own, port=16925)
    assert other is not None
    assert other.at(own) == other


def test_none() -> None:
    """Not listening is a choice."""
    assert parse_listen("none") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no port"),
        ("127.0.0.1", "has no port"),
        ("localhost:80", "is not an IP address"),
        ("::1:80", "in brackets: [::1]"),
        ("[127.0.0.1]:80", "is not an IP address"),
        ("[fe80::1%eth0]:80", "is not an IP address"),
        ("127.0.0.1:", "is not a port"),
        ("127.0.0.1:65536", "is not a port"),
        ("127.0.0.1:http", "is not a port"),
        (":-1", "is not a port"),
        (":٣", "is not a port"),
        (":" + "9" * 5000, "is not a port"),
        ("unix:", "starts with a slash"),
        ("unix:agent.sock", "starts with a slash"),
        ("unix:/" + "x" * 200, "at most 107 bytes"),
        ("None", "has no port"),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    """Anything else is refused in words for whoever wrote it."""
    with pytest.raises(ValueError) as raised:
        parse_listen(text)

    assert words in str(raised.value)
