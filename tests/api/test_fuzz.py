"""Everything a client can send, made up from the API's own description."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sidecar.api.description import describe
from sidecar.core.state import Snapshot
from tests.api.snapshots import DUAL_STACK
from tests.api.support import NODE, api_running
from tests.support import states
from tests.support.waiting import DEADLINE_S

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SNAPSHOTS = {"data": DUAL_STACK, "starting": states.snapshot_after(states.unreachable())}


def with_node_names(description: dict[str, Any]) -> dict[str, Any]:
    """A description whose requests name this node as often as another one: more of them have an answer."""
    description["components"]["parameters"]["node"]["schema"] = {"enum": [NODE, "other"]}
    return description


schema = schemathesis.openapi.from_dict(with_node_names(describe()))


@contextmanager
def api_in_thread(snapshot: Snapshot) -> Iterator[str]:
    """The URL of an API that runs in a thread of its own; nobody may wait there, so nothing takes long."""
    urls: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with api_running(snapshot, max_waiting=0) as api:
            urls.append("http://{}:{}".format(*api.address))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(timeout=DEADLINE_S)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module", params=SNAPSHOTS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An API with data, and one without."""
    with api_in_thread(SNAPSHOTS[request.param]) as running:
        yield running


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Connections that are kept."""
    with requests.Session() as kept:
        kept.trust_env = False
        yield kept


@schema.parametrize()
@settings(
    max_examples=6,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)
def test_fuzzed_requests(case: schemathesis.Case[Any], url: str, session: requests.Session) -> None:
    """Whatever is sent, the answer is one of those described, and never a 5xx but the documented 503."""
    response = case.call(base_url=url, session=session, timeout=10)
    assert response.status_code < 500 or response.status_code == 503
    case.validate_response(response, checks=CHECKS)
