"""Enough of the instance category for other clients."""

from typing import Any

import aiohttp
import pytest

from sidecar.simulator import Serving
from tests.simulator.client import QUERY, fetch

RESTRICTION = "aks-managed-enable-imds-restriction"


async def _instance(session: aiohttp.ClientSession, serving: Serving, path: str = "") -> Any:
    return (await fetch(session, f"{serving.url}/metadata/instance{path}?{QUERY}")).value


async def test_standard_public_ips_are_blank(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The public IP that the load balancer endpoint knows is an empty text here."""
    network = await _instance(session, serving, "/network")

    assert network["interface"][0]["ipv4"]["ipAddress"] == [
        {"privateIpAddress": "10.224.0.4", "publicIpAddress": ""}
    ]


async def test_basic_public_ip(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A Basic SKU public IP is shown."""
    serving.simulator.change({"document": "none", "instance": {"publicIp": "192.0.2.77"}})

    address = (await _instance(session, serving))["network"]["interface"][0]["ipv4"]["ipAddress"][0]

    assert address == {"privateIpAddress": "127.0.0.1", "publicIpAddress": "192.0.2.77"}


async def test_addresses_agree_with_the_document(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The private addresses are those of the load balancer document, IPv6 without brackets."""
    serving.simulator.set_document("dual-stack")
    dual = (await _instance(session, serving, "/network"))["interface"]
    serving.simulator.set_document("several-nics")
    several = (await _instance(session, serving, "/network"))["interface"]

    assert dual[0]["ipv6"]["ipAddress"] == [{"privateIpAddress": "fd00:224::4"}]
    assert [nic["ipv4"]["ipAddress"][0]["privateIpAddress"] for nic in several] == [
        "10.224.0.4",
        "10.225.0.4",
        "10.224.0.5",
    ]


async def test_compute(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The machine has a name, a scale set, a resource id and the tag of the restriction."""
    compute = await _instance(session, serving, "/compute")

    assert compute["name"].startswith("aks-nodepool1-12345678-vmss")
    assert compute["vmScaleSetName"] == "aks-nodepool1-12345678-vmss"
    assert "/virtualMachineScaleSets/aks-nodepool1-12345678-vmss/" in compute["resourceId"]
    assert compute["tags"] == f"{RESTRICTION}:false"
    assert compute["tagsList"] == [{"name": RESTRICTION, "value": "false"}]


@pytest.mark.parametrize(
    ("settings", "tags"),
    [
        ({"imdsRestriction": True, "tags": {"team": "a"}}, f"team:a;{RESTRICTION}:true"),
        ({"imdsRestriction": None}, ""),
    ],
)
async def test_tags(
    serving: Serving, session: aiohttp.ClientSession, settings: dict[str, object], tags: str
) -> None:
    """Tags can be set, the one of the restriction too."""
    serving.simulator.change({"instance": settings})

    assert (await _instance(session, serving, "/compute"))["tags"] == tags


async def test_machine_of_its_own(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A machine outside a scale set has a resource id by name."""
    serving.simulator.change({"instance": {"name": "node-1", "scaleSet": ""}})

    compute = await _instance(session, serving, "/compute")

    assert compute["vmScaleSetName"] == ""
    assert compute["resourceId"].endswith("/virtualMachines/node-1")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/network/interface/0/ipv4/ipAddress/0/privateIpAddress", "10.224.0.4"),
        ("/network/interface/0/ipv4/ipAddress/0/publicIpAddress", ""),
        ("/compute/location", "westeurope"),
        ("/network/interface", "0/"),
        ("/", "compute/\nnetwork/"),
        ("/compute/tagsList/0", "name\nvalue"),
    ],
)
async def test_leaf_as_text(serving: Serving, session: aiohttp.ClientSession, path: str, text: str) -> None:
    """A leaf as text is its value, everything else a list of what is below."""
    response = await fetch(session, f"{serving.url}/metadata/instance{path}?{QUERY}&format=text")

    assert (response.status, response.body.decode()) == (200, text)
    assert response.headers["Content-Type"].startswith("text/plain")


async def test_leaf_needs_text(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A leaf asked for as JSON is a 400."""
    response = await fetch(session, f"{serving.url}/metadata/instance/compute/location?{QUERY}")

    assert response.status == 400


@pytest.mark.parametrize("path", ["/compute/nothing", "/network/interface/7", "/network/interface/x"])
async def test_missing_element(serving: Serving, session: aiohttp.ClientSession, path: str) -> None:
    """What is not there is a 404."""
    response = await fetch(session, f"{serving.url}/metadata/instance{path}?{QUERY}")

    assert response.status == 404


async def test_older_versions(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The instance category is older than the load balancer's."""
    response = await fetch(session, f"{serving.url}/metadata/instance?api-version=2019-03-11&format=json")

    assert response.status == 200
