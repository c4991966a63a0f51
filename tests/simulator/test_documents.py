"""What the load balancer endpoint says for each data set."""

import json
from typing import Any

import aiohttp
import pytest
from pydantic import JsonValue

from sidecar.simulator import DOCUMENTS, DocumentSettings, ScenarioError, Serving
from sidecar.simulator.documents import BODIES, Amounts
from tests.simulator.client import LOADBALANCER, fetch

LISTS = ["publicIpAddresses", "inboundRules", "outboundRules"]
FULL = {
    "public-ip": [True, False, False],
    "inbound-only": [False, True, False],
    "outbound-only": [False, False, True],
    "outbound-several": [False, False, True],
    "all": [True, True, True],
    "dual-stack": [True, True, True],
    "dual-stack-plain": [True, True, True],
    "floating-ip": [True, True, False],
    "ha-ports": [False, True, False],
    "protocols": [False, True, False],
    "internal": [False, True, False],
    "several-nics": [True, True, True],
    "many-rules": [True, True, True],
    "unknown-keys": [True, True, True],
    "duplicates": [True, True, True],
    "reordered": [True, True, True],
    "empty": [False, False, False],
    "bad-entries": [True, True, True],
    "sample-howto": [True, True, True],
    "capture-talos": [True, True, False],
    "capture-535": [True, True, False],
    "capture-public-ip": [True, False, False],
}


async def _fetched(session: aiohttp.ClientSession, serving: Serving, document: Any) -> Any:
    serving.simulator.set_document(document)
    return (await fetch(session, serving.url + LOADBALANCER)).value["loadbalancer"]


def test_the_table_of_this_test_is_complete() -> None:
    """Every data set is covered here, but for "none", which is no document."""
    assert {*FULL, "none"} == set(DOCUMENTS)


def test_every_body_belongs_to_a_data_set() -> None:
    """Each file of a body is what a data set says, and each data set but "none" has its file."""
    files = {path.stem: json.loads(path.read_text()) for path in BODIES.iterdir()}
    assert files.keys() == {data_set.body for data_set in DOCUMENTS.values()} - {""}
    built = [data_set.build(Amounts()) for data_set in DOCUMENTS.values()]
    assert all(body in built for body in files.values())


@pytest.mark.parametrize("name", FULL)
async def test_filled_lists(serving: Serving, session: aiohttp.ClientSession, name: str) -> None:
    """A data set fills the lists it is named for; the others are there and empty."""
    lists = await _fetched(session, serving, name)

    assert [bool(lists[kind]) for kind in LISTS] == FULL[name]
    assert set(lists) - set(LISTS) <= {"tunnelInterfaces"}


async def test_none_is_404(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Without load balancer and public IP the answer is the captured 404."""
    serving.simulator.set_document("none")

    response = await fetch(session, serving.url + LOADBALANCER)

    assert response.status == 404
    assert response.error == (
        "No load balancer metadata is found. Please check if your VM is using any non-basic SKU "
        "load balancer and retry later."
    )


async def test_success_headers(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A success has the captured headers and a new request id each time."""
    first = await fetch(session, serving.url + LOADBALANCER)
    second = await fetch(session, serving.url + LOADBALANCER)

    assert first.status == 200
    assert first.headers["Content-Type"] == "application/json; charset=utf-8"
    assert first.headers["Server"].startswith("IMDS/")
    assert first.headers["x-ms-request-id"] != second.headers["x-ms-request-id"]


async def test_body_is_compact(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The JSON has no spaces: a shipped shell parser depends on that."""
    serving.simulator.set_document("capture-public-ip")

    response = await fetch(session, serving.url + LOADBALANCER)

    assert response.body == (
        b'{"loadbalancer":{"publicIpAddresses":[{"frontendIpAddress":"52.249.223.56",'
        b'"privateIpAddress":"10.0.0.4"}],"inboundRules":[],"outboundRules":[]}}'
    )


async def test_dual_stack_brackets(serving: Serving, session: aiohttp.ClientSession) -> None:
    """IPv6 stands in brackets or without, by data set."""
    bracketed = await _fetched(session, serving, "dual-stack")
    plain = await _fetched(session, serving, "dual-stack-plain")

    assert bracketed["publicIpAddresses"][0]["frontendIpAddress"] == "[2001:db8::4]"
    assert plain["publicIpAddresses"][0]["frontendIpAddress"] == "2001:db8::4"


async def test_floating_ip(serving: Serving, session: aiohttp.ClientSession) -> None:
    """With floating IP every rule's private address repeats its frontend."""
    lists = await _fetched(session, serving, "floating-ip")

    assert all(rule["privateIpAddress"] == rule["frontendIpAddress"] for rule in lists["inboundRules"])


async def test_ha_ports(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A rule for all ports is "All" with the numbers 0 and 0."""
    (rule,) = (await _fetched(session, serving, "ha-ports"))["inboundRules"]

    assert [rule["protocol"], rule["frontendPort"], rule["backendPort"]] == ["All", 0, 0]


@pytest.mark.parametrize(("settings", "count"), [({}, 250), ({"rules": 3}, 3), ({"rules": 0}, 0)])
async def test_number_of_rules(
    serving: Serving, session: aiohttp.ClientSession, settings: dict[str, int], count: int
) -> None:
    """The data set of many rules has as many as asked for, all different."""
    lists = await _fetched(session, serving, {"name": "many-rules", **settings})

    assert len({str(rule) for rule in lists["inboundRules"]}) == len(lists["inboundRules"]) == count


@pytest.mark.parametrize(("settings", "count"), [({}, 3), ({"outboundIps": 7}, 7), ({"outboundIps": 0}, 0)])
async def test_number_of_outbound_ips(
    serving: Serving, session: aiohttp.ClientSession, settings: dict[str, int], count: int
) -> None:
    """The data set of several outbound IPs has as many as asked for."""
    lists = await _fetched(session, serving, {"name": "outbound-several", **settings})

    assert len({rule["frontendIpAddress"] for rule in lists["outboundRules"]}) == count


async def test_reordered(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The order of entries differs between two answers, and only the order."""
    first = await _fetched(session, serving, "reordered")
    second = await _fetched(session, serving, "reordered")

    assert first != second
    assert sorted(map(str, first["inboundRules"])) == sorted(map(str, second["inboundRules"]))


async def test_duplicates(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Every entry is there twice."""
    lists = await _fetched(session, serving, "duplicates")

    assert all(lists[kind].count(entry) == 2 for kind in LISTS for entry in lists[kind])


@pytest.mark.parametrize("value", [None, {}, "text", 0, []])
async def test_replaced_list(serving: Serving, session: aiohttp.ClientSession, value: Any) -> None:
    """Anything may stand in place of a list."""
    lists = await _fetched(session, serving, {"name": "all", "replace": {"inboundRules": value}})

    assert lists["inboundRules"] == value
    assert lists["outboundRules"]


async def test_omitted_list(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A list may be missing."""
    lists = await _fetched(session, serving, {"name": "all", "omit": ["outboundRules"]})

    assert sorted(lists) == ["inboundRules", "publicIpAddresses"]


@pytest.mark.parametrize("value", [None, [], {"loadbalancer": {"x": [1]}}, {"other": None}, "text"])
async def test_inline(serving: Serving, session: aiohttp.ClientSession, value: Any) -> None:
    """A document of one's own is answered as it is, whatever its shape."""
    serving.simulator.set_document(DocumentSettings(inline=value))

    response = await fetch(session, serving.url + LOADBALANCER)

    assert response.status == 200
    assert response.value == value


async def test_raw(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A body of one's own is answered byte for byte."""
    serving.simulator.set_document({"raw": " {not json"})

    assert (await fetch(session, serving.url + LOADBALANCER)).body == b" {not json"


async def test_rotated_document_of_ones_own(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Any document may come in another order each time; what is no list stays."""
    value: JsonValue = {"loadbalancer": {"publicIpAddresses": [1, 2, 3], "other": "text", "none": []}}
    serving.simulator.set_document(DocumentSettings(inline=value, rotate=True))

    lists = [(await fetch(session, serving.url + LOADBALANCER)).value["loadbalancer"] for _ in range(3)]

    assert [entry["publicIpAddresses"] for entry in lists] == [[2, 3, 1], [3, 1, 2], [1, 2, 3]]
    assert {str((entry["other"], entry["none"])) for entry in lists} == {"('text', [])"}


async def test_unknown_document_changes_nothing(serving: Serving, session: aiohttp.ClientSession) -> None:
    """An unknown name is refused with the names there are, and the document stays."""
    serving.simulator.set_document("capture-535")

    with pytest.raises(ScenarioError, match=r"no document 'al'; there are: none public-ip .*capture-535"):
        serving.simulator.set_document("al")

    assert b"100.100.100.100" in (await fetch(session, serving.url + LOADBALANCER)).body
