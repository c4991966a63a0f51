"""What parameters leave of an answer."""

from ipaddress import ip_address

import pytest

from sidecar.api.parameters import AddressScope, scope_of
from tests.api.snapshots import DUAL_STACK
from tests.api.support import api_running


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v1/public-ips?family=ipv6", ["2603:1020:10:5::34"]),
        ("/v1/public-ips?privateIp=10.240.0.5", ["20.10.5.4"]),
        ("/v1/public-ips?privateIp=%5Bfd00::10%5D", ["2603:1020:10:5::34"]),
        ("/v1/public-ips?privateIp=10.9.9.9", []),
        ("/v1/inbound-ips?scope=private", ["10.240.0.100"]),
        ("/v1/inbound-ips?scope=public&family=ipv4", ["20.20.20.20"]),
        ("/v1/inbound-ips?protocol=UDP", ["20.20.20.20"]),
        ("/v1/inbound-ips?backendPort=30443", ["20.20.20.20", "2603:1020::5"]),
        ("/v1/inbound-ips?frontendPort=443&family=ipv6", ["2603:1020::5"]),
        ("/v1/inbound-ips?frontendPort=0", ["10.240.0.100"]),
        ("/v1/egress-ips?family=ipv4", ["20.10.5.4", "20.10.5.34"]),
        ("/v1/outbound-ips?family=ipv6", []),
        ("/v1/outbound-ips?privateIp=10.240.0.4", ["52.1.1.1", "52.2.2.2"]),
    ],
)
async def test_filters(target: str, expected: list[str]) -> None:
    """Filters are ANDed, and those of addresses apply to the frontend."""
    async with api_running(DUAL_STACK) as api:
        reply = await api.get(target)

    assert reply.json == expected


async def test_filtered_rules() -> None:
    """Rules are filtered by protocol, port, scope and private address like lists of addresses."""
    async with api_running(DUAL_STACK) as api:
        reply = await api.get("/v1/inbound-rules?protocol=tcp&scope=public&privateIp=10.240.0.4&format=text")

    assert reply.text == "tcp 20.20.20.20:443 -> 10.240.0.4:30443\n"


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("10.0.0.1", AddressScope.PRIVATE),
        ("172.31.255.255", AddressScope.PRIVATE),
        ("172.32.0.0", AddressScope.PUBLIC),
        ("192.168.1.1", AddressScope.PRIVATE),
        ("100.64.0.1", AddressScope.PRIVATE),
        ("100.128.0.0", AddressScope.PUBLIC),
        ("127.0.0.1", AddressScope.PRIVATE),
        ("169.254.1.1", AddressScope.PRIVATE),
        ("203.0.113.1", AddressScope.PUBLIC),
        ("198.18.0.1", AddressScope.PUBLIC),
        ("fd00::1", AddressScope.PRIVATE),
        ("fe80::1", AddressScope.PRIVATE),
        ("::1", AddressScope.PRIVATE),
        ("2001:db8::1", AddressScope.PUBLIC),
    ],
)
def test_scope(address: str, scope: AddressScope) -> None:
    """Private are RFC 1918, shared, unique local, loopback and link-local; documentation ranges are not."""
    assert scope_of(ip_address(address)) is scope
