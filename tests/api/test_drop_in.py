"""A client written for the real metadata service, asking the simulator and the drop-in path alike."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from sidecar.core.parsing import parse_response
from sidecar.core.state import Snapshot
from sidecar.simulator import Simulator, parse_scenario, serve
from tests.api.support import API, api_running
from tests.support import states
from tests.support.replies import Reply

VERSION = "api-version=2020-10-01"
PATH = "/metadata/loadbalancer"
METADATA = {"Metadata": "true"}


@dataclass(frozen=True)
class Both:
    """The two services, with the same data."""

    simulator: str
    api: API

    async def ask(self, target: str, headers: dict[str, str], method: str = "GET") -> tuple[Reply, Reply]:
        """The answers of both, the simulator's first."""
        async with self.api.session.request(method, self.simulator + target, headers=headers) as response:
            real = await Reply.of(response)
        return real, await self.api.get(target, method=method, **headers)


@asynccontextmanager
async def both(scenario: str) -> AsyncIterator[Both]:
    """A simulator, and an API that has read it."""
    simulator = Simulator(parse_scenario(f"{scenario}\nversionError: missing-parameter"))
    async with serve(simulator) as serving, api_running(states.none_accepted()) as api:
        two = Both(serving.url, api)
        real, _ = await two.ask(f"{PATH}?{VERSION}", METADATA)
        if real.status == 200:
            api.latest.set(snapshot(real.body))
        yield two


def snapshot(body: bytes) -> Snapshot:
    """The snapshot after this answer."""
    return states.snapshot_after(states.answer(body))


@pytest.mark.parametrize("document", ["public-ip", "dual-stack", "many-rules"])
@pytest.mark.parametrize("query", [VERSION, "api-version=2021-05-01&format=json", f"format=text&{VERSION}"])
async def test_documents(document: str, query: str) -> None:
    """The documents and the headers that clients depend on are the same."""
    async with both(f"document: {document}") as two:
        real, ours = await two.ask(f"{PATH}?{query}", {"Metadata": "True"})

    assert (ours.status, list(ours.json), list(ours.json["loadbalancer"])) == (
        real.status,
        list(real.json),
        list(real.json["loadbalancer"]),
    )
    assert parse_response(ours.body).document == parse_response(real.body).document
    assert ours.headers["Content-Type"] == real.headers["Content-Type"]


@pytest.mark.parametrize(
    ("target", "headers", "method"),
    [
        (f"{PATH}?{VERSION}", {}, "GET"),
        (f"{PATH}?{VERSION}", {"Metadata": "false"}, "GET"),
        (PATH, {}, "GET"),
        (PATH, METADATA, "GET"),
        (f"{PATH}?api-version=2019-06-01", METADATA, "GET"),
        (f"{PATH}?api-version=newest", METADATA, "GET"),
        (f"{PATH}?{VERSION}&{VERSION}", METADATA, "GET"),
        (f"{PATH}?{VERSION}&format=xml", METADATA, "GET"),
        (f"{PATH}/publicIpAddresses/0?{VERSION}", METADATA, "GET"),
        (f"{PATH}?{VERSION}", METADATA, "POST"),
        (f"{PATH}?{VERSION}", METADATA, "DELETE"),
    ],
)
async def test_refusals(target: str, headers: dict[str, str], method: str) -> None:
    """Wrong requests are refused with the same status, in the same shape and words."""
    async with both("document: public-ip") as two:
        real, ours = await two.ask(target, headers, method)

    assert (ours.status, ours.json["error"]) == (real.status, real.json["error"])
    assert ours.headers["Content-Type"] == real.headers["Content-Type"]
    assert set(ours.json) - {"newest-versions"} == set(real.json)


async def test_forwarded_requests() -> None:
    """Forwarded requests are refused alike, but ours says what to do about it."""
    async with both("document: public-ip") as two:
        real, ours = await two.ask(f"{PATH}?{VERSION}", {**METADATA, "X-Forwarded-For": "10.0.0.1"})

    assert (ours.status, list(ours.json)) == (real.status, list(real.json)) == (400, ["error"])


async def test_no_metadata() -> None:
    """An empty result has the same text, which clients look for."""
    async with both("document: none") as two:
        real, ours = await two.ask(f"{PATH}?{VERSION}", METADATA)

    assert (real.status, ours.status, list(ours.json)) == (404, 404, list(real.json))
    for reply in (real, ours):
        assert "no load balancer metadata" in reply.json["error"].lower()


async def test_versions() -> None:
    """The versions come in the same shape and order, without any header."""
    async with both("document: public-ip") as two:
        real, ours = await two.ask("/metadata/versions", {})

    assert (real.status, ours.status) == (200, 200)
    known = [version for version in ours.json["apiVersions"] if version in real.json["apiVersions"]]
    assert known == [version for version in real.json["apiVersions"] if version >= "2020-10-01"]
