"""The control listener, as curl uses it."""

import json

import aiohttp
import pytest

from sidecar.simulator import DOCUMENTS, FAULTS, Call, Counters, Serving
from tests.simulator.client import LOADBALANCER, fetch, put


async def test_list(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The root lists every path, document and fault with one line each."""
    listed = (await fetch(session, f"{serving.control_url}/")).value

    assert set(listed["documents"]) == set(DOCUMENTS)
    assert set(listed["faults"]) == {"none", *FAULTS}
    assert "PUT /fault" in listed["paths"]
    assert all(line and "\n" not in line for kind in listed.values() for line in kind.values())


async def test_listed_paths_exist(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Every call that the root lists is answered, and no other method of those paths."""
    listed = (await fetch(session, f"{serving.control_url}/")).value["paths"]
    statuses = {}
    for path in {call.split()[1] for call in listed}:
        for method in ("GET", "PUT", "DELETE", "POST"):
            response = await fetch(session, serving.control_url + path, method=method)
            statuses[f"{method} {path}"] = response.status

    assert {call for call, status in statuses.items() if status != 405} == set(listed)


async def test_fault_by_word(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A plain word puts a fault in force, DELETE takes it away."""
    statuses = []
    await put(session, f"{serving.control_url}/fault", "unavailable")
    statuses.append((await fetch(session, serving.url + LOADBALANCER)).status)
    await fetch(session, f"{serving.control_url}/fault", method="DELETE")
    statuses.append((await fetch(session, serving.url + LOADBALANCER)).status)

    assert statuses == [503, 200]


@pytest.mark.parametrize("body", ["none", "null", '"none"'])
async def test_no_fault_by_word(serving: Serving, session: aiohttp.ClientSession, body: str) -> None:
    """The word "none" is no fault."""
    serving.simulator.set_fault("unavailable")

    response = await put(session, f"{serving.control_url}/fault", body)

    assert (response.status, response.value) == (200, None)
    assert serving.simulator.conditions.fault is None


async def test_fault_as_json(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Settings of a fault may be JSON, and are shown as they were given."""
    settings = {"name": "throttled", "times": 2, "retryAfter": 7.0}

    await put(session, f"{serving.control_url}/fault", json.dumps(settings))

    assert (await fetch(session, f"{serving.control_url}/fault")).value == settings
    assert (await fetch(session, serving.url + LOADBALANCER)).headers["Retry-After"] == "7"


async def test_document(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A document may be a word or settings."""
    await put(session, f"{serving.control_url}/document", "none")
    absent = await fetch(session, serving.url + LOADBALANCER)
    await put(session, f"{serving.control_url}/document", '{"inline": {"loadbalancer": {}}}')
    inline = await fetch(session, serving.url + LOADBALANCER)

    assert absent.status == 404
    assert inline.value == {"loadbalancer": {}}


async def test_addresses(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Documents of callers can be changed at run time."""
    await put(session, f"{serving.control_url}/addresses", "127.0.0.0/8: capture-535")

    response = await fetch(session, serving.url + LOADBALANCER)

    assert b"100.100.100.100" in response.body


async def test_state_can_be_put_back(serving: Serving, session: aiohttp.ClientSession) -> None:
    """What GET /state shows can be put back as a whole."""
    serving.simulator.set_document({"name": "many-rules", "rules": 2})
    serving.simulator.set_fault({"name": "slow", "delay": 0.5})
    before = (await fetch(session, f"{serving.control_url}/state")).body
    await put(session, f"{serving.control_url}/state", "{document: none, fault: none, rateLimit: true}")

    after = await put(session, f"{serving.control_url}/state", before.decode())

    assert after.status == 200
    assert after.body == before


async def test_scenario(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Another scenario starts from its beginning."""
    response = await put(
        session, f"{serving.control_url}/scenario", "document: empty\nsteps: [{at: 30s, fault: gone}]"
    )

    assert response.value["document"] == {"name": "empty"}
    assert response.value["scenario"] == {"elapsed": 0, "nextStepIn": 30, "strikesLeft": None}


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("fault", "unavailble", "fault.name: there is no fault 'unavailble'; there are: none no-metadata"),
        ("document", "42", "document: 42 is not a mapping with keys of: name inline raw"),
        ("document", "", "document: None is not a mapping"),
        ("state", "[]", "give a mapping of conditions"),
        ("state", "rateLimt: true", "there is no key 'rateLimt' here; there are: document fault"),
        ("scenario", "steps: {", "line 1, column 9"),
        ("addresses", "{10.0.0.0.0: all}", "'10.0.0.0.0' is neither an address nor a network"),
    ],
)
async def test_wrong_bodies(
    serving: Serving, session: aiohttp.ClientSession, path: str, body: str, text: str
) -> None:
    """A wrong body is one line that says where and what is allowed; nothing changes."""
    before = serving.simulator.conditions

    response = await put(session, f"{serving.control_url}/{path}", body)

    assert response.status == 400
    assert text in response.error
    assert "\n" not in response.error
    assert serving.simulator.conditions == before


async def test_counters(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Requests are counted by path, caller and status; the last one is shown with all it sent."""
    await fetch(session, f"{serving.url}/metadata/versions")
    await fetch(session, serving.url + LOADBALANCER, headers={})
    await fetch(session, serving.url + LOADBALANCER, headers={"Metadata": "true", "X-Extra": "1"})

    counted = (await fetch(session, f"{serving.control_url}/counters")).value

    assert counted["requests"] == 3
    assert counted["byStatus"] == {"200": 2, "400": 1}
    assert counted["byPath"] == {"/metadata/versions": 1, "/metadata/loadbalancer": 2}
    assert counted["byCaller"] == {"127.0.0.1": 3}
    assert counted["lastRequest"]["method"] == "GET"
    assert counted["lastRequest"]["parameters"] == [["api-version", "2020-10-01"]]
    assert ["X-Extra", "1"] in counted["lastRequest"]["headers"]


async def test_counters_reset(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Counters begin anew on request."""
    await fetch(session, serving.url + LOADBALANCER)

    response = await fetch(session, f"{serving.control_url}/counters", method="DELETE")

    assert response.value == {
        "requests": 0,
        "byStatus": {},
        "byPath": {},
        "byCaller": {},
        "lastRequest": None,
    }


def test_counters_are_bounded() -> None:
    """Many different paths are counted together after the first 256."""
    counters = Counters()
    for number in range(260):
        counters.asked(Call(method="GET", path=f"/{number}", caller="127.0.0.1"))
    counters.asked(Call(method="GET", path="/0", caller="127.0.0.1"))

    assert len(counters.by_path) == 257
    assert counters.by_path["(other)"] == 4
    assert counters.by_path["/0"] == 2
