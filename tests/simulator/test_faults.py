"""Every fault as a client meets it: which answers it gives, how often, and on which paths."""

import json
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from sidecar.simulator import FAULTS, ScenarioError, Serving
from tests.simulator.client import LOADBALANCER, fetch

STATUSES = {
    "no-metadata": 404,
    "api-not-found": 404,
    "api-not-available": 404,
    "not-currently-available": 404,
    "not-found": 404,
    "missing-parameter": 400,
    "parameter-not-allowed": 400,
    "unexpected-request": 400,
    "long-body": 400,
    "long-parameter-key": 400,
    "long-parameter-value": 400,
    "long-header-value": 400,
    "no-metadata-header": 400,
    "xml": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "method-not-allowed": 405,
    "request-timeout": 408,
    "gone": 410,
    "throttled": 429,
    "throttled-seconds": 429,
    "throttled-date": 429,
    "internal-error": 500,
    "bad-gateway": 502,
    "unavailable": 503,
    "gateway-timeout": 504,
    "redirect": 302,
    "html": 200,
    "empty": 200,
    "not-json": 200,
    "wrong-shape": 200,
}
OTHERS = {"truncated", "huge", "huge-chunked", "slow", "slow-drip", "hang", "reset"}
NOT_JSON = {"xml", "redirect", "html", "empty", "not-json"}


def test_the_tables_of_this_test_are_complete() -> None:
    """Every fault is covered here."""
    assert {*STATUSES, *OTHERS} == set(FAULTS)


@pytest.mark.parametrize("name", STATUSES)
async def test_answered_faults(serving: Serving, session: aiohttp.ClientSession, name: str) -> None:
    """A fault that answers has its status; errors are JSON objects with a text unless named otherwise."""
    serving.simulator.set_fault(name)

    response = await fetch(session, serving.url + LOADBALANCER)

    assert response.status == STATUSES[name]
    if name not in NOT_JSON and response.status != 200:
        assert response.error
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no-metadata", "No load balancer metadata is found."),
        ("api-not-found", 'API is not found: Path = "/metadata/loadbalancer", Method = "GET"'),
        ("api-not-available", "Load Balancer metadata API is not available right now."),
        ("not-currently-available", "/metadata/loadbalancer is not currently available"),
        ("not-found", "Not found"),
        ("throttled", "Too many requests"),
        ("unavailable", "Internal service unavailable. Please retry later"),
    ],
)
async def test_documented_texts(
    serving: Serving, session: aiohttp.ClientSession, name: str, text: str
) -> None:
    """Documented texts stand as documented."""
    serving.simulator.set_fault(name)

    assert (await fetch(session, serving.url + LOADBALANCER)).error.startswith(text)


async def test_bodies_that_are_not_json(serving: Serving, session: aiohttp.ClientSession) -> None:
    """XML, HTML, nothing and half a document come as such."""
    bodies = {}
    for name in NOT_JSON:
        serving.simulator.set_fault(name)
        bodies[name] = await fetch(session, serving.url + LOADBALANCER)

    assert bodies["xml"].headers["Content-Type"].startswith("text/xml")
    assert len(bodies["xml"].body) == 323
    assert bodies["html"].headers["Content-Type"].startswith("text/html")
    assert bodies["empty"].body == b""
    assert bodies["redirect"].headers["Location"] == "/redirected"
    with pytest.raises(json.JSONDecodeError):
        json.loads(bodies["not-json"].body)


async def test_retry_after(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Retry-After is absent, a number of whole seconds, or a date by the injected wall clock."""
    seen = []
    faults = ({"name": name} for name in ("throttled", "throttled-seconds", "throttled-date"))
    for fault in (*faults, {"name": "unavailable", "retryAfter": "1500ms"}):
        serving.simulator.set_fault(fault)
        seen.append((await fetch(session, serving.url + LOADBALANCER)).headers.get("Retry-After"))

    assert seen[:2] == [None, "5"]
    assert parsedate_to_datetime(str(seen[2])).timestamp() == 1_700_000_005
    assert seen[3] == "2"


async def test_changed_answer(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Status, body, type and headers of an answer can be one's own."""
    serving.simulator.set_fault(
        {
            "name": "html",
            "status": 418,
            "body": "short",
            "contentType": "text/plain",
            "headers": {"X-Example": "1"},
        }
    )

    response = await fetch(session, serving.url + LOADBALANCER)

    assert (response.status, response.body) == (418, b"short")
    assert (response.headers["Content-Type"], response.headers["X-Example"]) == ("text/plain", "1")


async def test_times(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A fault for the next two requests is gone at the third."""
    serving.simulator.set_fault({"name": "unavailable", "times": 2})

    statuses = [(await fetch(session, serving.url + LOADBALANCER)).status for _ in range(4)]

    assert statuses == [503, 503, 200, 200]
    assert serving.simulator.conditions.fault is None


async def test_probability_repeats_with_a_seed(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A fault by chance strikes some requests, and with a seed always the same ones."""
    runs = []
    for _ in range(2):
        serving.simulator.load(
            serving.simulator.scenario.model_copy(update={"seed": 7}),
        )
        serving.simulator.set_fault({"name": "unavailable", "probability": 0.5})
        runs.append([(await fetch(session, serving.url + LOADBALANCER)).status for _ in range(12)])

    assert set(runs[0]) == {200, 503}
    assert runs[0] == runs[1]


async def test_scope(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A fault of the endpoint by default leaves other paths alone; an outage strikes them all."""
    statuses = []
    for fault in ({"name": "unavailable"}, {"name": "unavailable", "everywhere": True}, {"name": "gone"}):
        serving.simulator.set_fault(fault)
        statuses.append((await fetch(session, f"{serving.url}/metadata/versions")).status)

    assert statuses == [200, 503, 410]


async def test_clear(serving: Serving, session: aiohttp.ClientSession) -> None:
    """After a fault is cleared the right answer is back."""
    serving.simulator.set_fault("unavailable")
    serving.simulator.clear_fault()

    assert (await fetch(session, serving.url + LOADBALANCER)).status == 200


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("unavailble", "fault.name: there is no fault 'unavailble'; there are: none no-metadata"),
        ({"name": "hang", "status": 500}, "fault: status does not go with hang; it does with: no-metadata"),
        ({"name": "unavailable", "delay": "1s"}, "delay does not go with unavailable; it does with: slow"),
        ({"name": "slow", "delay": "1 day"}, "fault.delay: '1 day' is not a duration"),
        ({"name": "slow", "tims": 1}, "fault: there is no key 'tims' here; there are: name times"),
    ],
)
def test_wrong_settings(serving: Serving, settings: str | dict[str, object], text: str) -> None:
    """Settings that mean nothing are refused with what is allowed."""
    with pytest.raises(ScenarioError) as caught:
        serving.simulator.change({"fault": settings})

    assert text in str(caught.value)
