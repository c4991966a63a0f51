"""Addresses that a simulation may show: documentation ranges, and addresses of each caller's own.

RFC 5737 (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24) and RFC 3849 (2001:db8::/32).
"""

import copy
import hashlib
import ipaddress
from collections.abc import Iterator

from pydantic import JsonValue

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FRONTENDS_V4 = tuple(f"203.0.113.{number}" for number in range(240, 255))
"""Frontends of the made-up load balancer; no caller gets one of these as its own."""


_OWN_V4 = tuple(
    str(address)
    for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
    for address in ipaddress.IPv4Network(network).hosts()
    if str(address) not in FRONTENDS_V4
)
# The greatest prime that fits: callers at any regular distance from each other (nodes of one subnet,
# or of one subnet each) then collide only after 743 of them.
_OWN_V4_USED = 743


def own_public_ip(caller: Address, version: int, index: int, count: int) -> str:
    """The ``index``-th of ``count`` public addresses of a caller, in the given IP version."""
    if version == 4:
        return _OWN_V4[(int(caller) * count + index) % _OWN_V4_USED]
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("2001:db8::")) | _tail(caller, index)))


def own_private_ip(caller: Address, version: int, index: int) -> str:
    """The ``index``-th private address of a caller: its own address where that fits."""
    if version == caller.version and index == 0:
        return str(caller)
    if version == 4:
        return str(ipaddress.IPv4Address((10 << 24) | ((240 + index) % 256 << 16) | int(caller) & 0xFFFF))
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("fd00::")) | _tail(caller, index)))


def _tail(caller: Address, index: int) -> int:
    """80 bits: the caller's IPv4 address as it is, of a longer one the digest; above them the index."""
    if caller.version == 4:
        return index << 80 | int(caller)
    return index << 80 | int.from_bytes(hashlib.sha256(caller.packed).digest()[:10])


def personalise(document: JsonValue, caller: Address) -> JsonValue:
    """The document with the caller's own instance public IPs and private addresses.

    Frontends of rules stay: one load balancer serves every node. A private address that repeats its
    frontend (floating IP) stays with it. Values that are no address stay as they are.
    """
    publics: dict[str, str] = {}
    privates: dict[str, str] = {}
    found = dict.fromkeys(
        _parse(entry.get("frontendIpAddress"))
        for name, entry in _entries(document)
        if name == "publicIpAddresses"
    )
    for version in (4, 6):
        frontends = [address for address, kind in found if kind == version]
        for index, address in enumerate(frontends):
            publics[address] = own_public_ip(caller, version, index, len(frontends))
        behind = [address for address in private_addresses(document) if _parse(address)[1] == version]
        for index, address in enumerate(behind):
            privates[address] = own_private_ip(caller, version, index)
    own = copy.deepcopy(document)
    for name, entry in _entries(own):
        frontend, private = entry.get("frontendIpAddress"), entry.get("privateIpAddress")
        if name == "publicIpAddresses" and "frontendIpAddress" in entry:
            entry["frontendIpAddress"] = _swap(frontend, publics)
        if "privateIpAddress" in entry and _parse(frontend)[0] != _parse(private)[0]:
            entry["privateIpAddress"] = _swap(private, privates)
    return own


def _swap(value: JsonValue, swaps: dict[str, str]) -> JsonValue:
    address, version = _parse(value)
    if not version or address not in swaps:
        return value
    # Captures of this endpoint show IPv6 addresses in brackets.
    return f"[{swaps[address]}]" if isinstance(value, str) and value.startswith("[") else swaps[address]


def _parse(value: JsonValue) -> tuple[str, int]:
    """The address without brackets and its version; an empty text and 0 for any other value."""
    if not isinstance(value, str):
        return "", 0
    try:
        address = ipaddress.ip_address(value.removeprefix("[").removesuffix("]"))
    except ValueError:
        return "", 0
    return str(address), address.version


def _entries(document: JsonValue) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Every entry of every list, with the name of its list."""
    inner = document.get("loadbalancer") if isinstance(document, dict) else None
    for name, value in inner.items() if isinstance(inner, dict) else ():
        for entry in value if isinstance(value, list) else ():
            if isinstance(entry, dict):
                yield name, entry


def private_addresses(document: JsonValue) -> list[str]:
    """The distinct private addresses of a document, without brackets, floating ones left out."""
    pairs = [
        (_parse(entry.get("privateIpAddress"))[0], _parse(entry.get("frontendIpAddress"))[0])
        for _, entry in _entries(document)
    ]
    return list(dict.fromkeys(private for private, frontend in pairs if private and private != frontend))
