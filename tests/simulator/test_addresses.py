"""Documents and addresses of each caller."""

import ipaddress
from typing import Any

import aiohttp
import pytest

from sidecar.simulator import DOCUMENTS, Serving, Simulator, parse_scenario
from tests.simulator.client import LOADBALANCER, fetch

DOCUMENTATION = [
    ipaddress.ip_network(text)
    for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


def _public_ips(simulator: Simulator, caller: str) -> list[str]:
    document: Any = simulator.document(caller)
    return [entry["frontendIpAddress"] for entry in document["loadbalancer"]["publicIpAddresses"]]


@pytest.fixture
def own() -> Simulator:
    """A simulator that gives every caller addresses of its own."""
    return Simulator(parse_scenario("{document: dual-stack, addressing: per-caller}"))


async def test_document_of_an_address(serving: Serving) -> None:
    """A caller gets the document of its address, all others the common one."""
    serving.simulator.set_address("127.0.0.2", "none")
    statuses = []
    for source in ("127.0.0.1", "127.0.0.2"):
        connector = aiohttp.TCPConnector(local_addr=(source, 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            statuses.append((await fetch(session, serving.url + LOADBALANCER)).status)

    assert statuses == [200, 404]


async def test_listener_of_a_node(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A listener may stand for one node: all its requests count as that node's."""
    serving.simulator.set_address("10.224.0.7", "capture-535")
    url = await serving.listen(caller="10.224.0.7")

    response = await fetch(session, url + LOADBALANCER)

    assert b"100.100.100.100" in response.body
    assert serving.simulator.counters.by_caller == {"10.224.0.7": 1}


def test_the_narrowest_network_wins() -> None:
    """Of several networks that hold a caller the narrowest decides."""
    simulator = Simulator(
        parse_scenario("addresses: {10.0.0.0/8: none, 10.1.0.0/16: empty, 10.1.2.3: public-ip}")
    )

    names = [
        simulator.document_settings(caller).name for caller in ("10.9.9.9", "10.1.9.9", "10.1.2.3", "fd00::1")
    ]

    assert names == ["none", "empty", "public-ip", "all"]


def test_own_addresses_are_documentation_addresses(own: Simulator) -> None:
    """Every caller's public IPs are of the documentation ranges, in the form of the data set."""
    for caller in ("10.0.0.1", "255.255.255.255", "fd00::1", "2001:db8::7", "127.0.0.1"):
        v6, v4 = _public_ips(own, caller)

        assert v6.startswith("[")
        for address in (ipaddress.ip_address(v6.strip("[]")), ipaddress.ip_address(v4)):
            assert any(address in network for network in DOCUMENTATION if network.version == address.version)


def test_own_addresses_stay(own: Simulator) -> None:
    """The same caller gets the same addresses from every simulator."""
    again = Simulator(parse_scenario("{document: dual-stack, addressing: per-caller}"))

    assert _public_ips(own, "10.224.0.4") == _public_ips(again, "10.224.0.4")


@pytest.mark.parametrize("distance", [1, 2, 256, 128, 65536])
def test_own_addresses_differ(own: Simulator, distance: int) -> None:
    """743 callers at a regular distance, the most there is room for, share no IPv4 address."""
    first = int(ipaddress.ip_address("10.0.0.4"))
    callers = [str(ipaddress.ip_address(first + number * distance)) for number in range(743)]

    addresses = [_public_ips(own, caller) for caller in callers]

    assert len({v4 for _, v4 in addresses}) == 743
    assert len({v6 for v6, _ in addresses}) == 743


def test_own_private_address_is_the_callers(own: Simulator) -> None:
    """The private address is the one the caller calls from; frontends stay common to all."""
    bodies: list[Any] = [own.document(caller) for caller in ("10.0.0.4", "10.0.0.5")]
    documents = [body["loadbalancer"] for body in bodies]

    assert [document["outboundRules"][1]["privateIpAddress"] for document in documents] == [
        "10.0.0.4",
        "10.0.0.5",
    ]
    assert len({document["outboundRules"][1]["frontendIpAddress"] for document in documents}) == 1


@pytest.mark.parametrize("name", DOCUMENTS)
def test_own_addresses_keep_the_shape(name: str) -> None:
    """Whatever the data set, only addresses change: entries, keys and floating rules stay."""
    common = Simulator(parse_scenario(f"document: {name}")).document("10.0.0.4")
    own = Simulator(parse_scenario(f"{{document: {name}, addressing: per-caller}}")).document("10.0.0.4")

    assert _shape(own) == _shape(common)


def test_own_addresses_of_wrong_shapes() -> None:
    """A document that is none is left as it is."""
    for inline in ("[]", "text", "{loadbalancer: []}", "{loadbalancer: {publicIpAddresses: {}}}"):
        simulator = Simulator(parse_scenario(f"{{document: {{inline: {inline}}}, addressing: per-caller}}"))
        common = Simulator(parse_scenario(f"document: {{inline: {inline}}}"))

        assert simulator.document("10.0.0.4") == common.document("10.0.0.4")


def _shape(value: Any) -> Any:
    """The value with every address replaced by its version and whether it repeats its frontend."""
    if isinstance(value, list):
        return [_shape(entry) for entry in value]
    if isinstance(value, dict):
        same = value.get("frontendIpAddress") == value.get("privateIpAddress")
        return {name: _shape(entry) for name, entry in value.items()}, same
    if isinstance(value, str) and ("." in value or ":" in value):
        return f"address of {len(value.split('.'))}{value[0] == '['}"
    return value
