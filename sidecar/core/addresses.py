"""IP addresses as the metadata service writes them and as this project prints them."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

PRIVATE_NETWORKS: tuple[IPNetwork, ...] = tuple(
    ip_network(network)
    for network in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # RFC 6598, shared
        "127.0.0.0/8",
        "169.254.0.0/16",
        "fc00::/7",  # RFC 4193, unique local
        "::1/128",
        "fe80::/10",
    )
)
"""What is not reached from the internet; unlike ``is_private`` without the documentation ranges."""

_BROADCAST = IPv4Address("255.255.255.255")

_LONGEST_ADDRESS = 64
"""Characters: an IPv6 address has up to 45, and brackets."""


def parse_address(value: object) -> IPAddress:
    """Read an address; IPv6 may stand in square brackets.

    The metadata service brackets IPv6 on this endpoint (siderolabs/talos testdata/loadbalancer.json),
    while the vendor's own sample does not (MicrosoftDocs howto-load-balancer-imds.md).

    Raises:
        ValueError: not text, longer than any address, not an address, an IPv6 zone, or an IPv4-mapped
            IPv6 address, whose text differs between Python versions and would make the revision differ.
    """
    if not isinstance(value, str) or len(value) > _LONGEST_ADDRESS:
        # Text of any length would be split, and shown in the error, a hundred times over.
        raise ValueError("an address is a short text")
    bracketed = value.startswith("[") and value.endswith("]")
    address = ip_address(value[1:-1] if bracketed else value)
    if isinstance(address, IPv4Address):
        if bracketed:
            raise ValueError("brackets are for IPv6")
        return address
    if address.scope_id is not None or address.ipv4_mapped is not None:
        raise ValueError("neither zones nor IPv4-mapped addresses")
    return address


def is_assignable(address: IPAddress) -> bool:
    """Whether it can be the address of anything: not unspecified, loopback, multicast or broadcast."""
    no_address = address.is_unspecified or address.is_loopback or address.is_multicast
    return not no_address and address != _BROADCAST


def is_in(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    """Whether an address is in one of the networks; none of the other family has it."""
    return any(address in network for network in networks)


def address_order(address: IPAddress) -> tuple[int, int]:
    """Sort key: IPv4 before IPv6, each in numeric order."""
    return address.version, int(address)


def sorted_addresses(addresses: Iterable[IPAddress]) -> tuple[IPAddress, ...]:
    """Distinct addresses, IPv4 before IPv6, each in numeric order."""
    return tuple(sorted(set(addresses), key=address_order))


def endpoint(address: IPAddress, port: int) -> str:
    """``20.20.20.20:443`` or ``[2001:db8::1]:443``."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def is_port(text: str) -> bool:
    """Whether it is a number from 0 to 65535, in one to five ASCII digits."""
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
