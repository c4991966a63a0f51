"""What the API server may do, to an agent that runs as a process of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.document import Document
from sidecar.core.parsing import parse_response
from sidecar.kube import NoAnswerError, connect
from sidecar.metrics import Metrics
from tests.agent.support import PUBLIC_IP, has
from tests.faults.support import NODE, PREFIX, Surroundings
from tests.support.agent import AgentProcess
from tests.support.fake_apiserver import FakeApiServer, Reply, refusal
from tests.support.faults import Origin, also_shows, api_failure, fault
from tests.support.raw_server import raw_server, response
from tests.support.waiting import until

PUBLISHES = "azure_lb_metadata_publishes_total"

CHANGED = "several-nics"
CHANGED_IPS = "192.0.2.4,192.0.2.5,192.0.2.6"


async def until_changed_is_served(agent: AgentProcess) -> None:
    """Wait until the HTTP API has the changed document, whatever the API server does."""
    text = CHANGED_IPS.replace(",", "\n") + "\n"
    await until(lambda: agent.get("/v1/public-ips?format=text"), lambda reply: reply.text == text)


REFUSALS = {
    "401": [refusal(401, "Unauthorized")] * 3,
    "403": [refusal(403, "forbidden")] * 3,
    "409": [refusal(409, "conflict")],
    "413": [refusal(413, "too large")] * 3,
    "422": [refusal(422, "denied by policy")] * 3,
    "429": [refusal(429, "busy")] * 3,
    "429-retry-after": [refusal(429, "busy", headers={"Retry-After": "1"})],
    "500": [refusal(500, "etcdserver: leader changed")] * 3,
    "503": [refusal(503, "shutting down", headers={"Retry-After": "1"})],
    "error": [Reply(reset=True)] * 3,
}
"""What the API server may answer a few times, by code."""


@also_shows("The token is refused: 401, or was rotated", cases=("401",))
@also_shows("The agent's rights are gone: 403", cases=("403",))
@also_shows("The API server answers 409 though the Node is the same", cases=("409",))
@also_shows("The annotations are too much for the API server: 413", cases=("413",))
@also_shows("An admission policy refuses the write: 422", cases=("422",))
@also_shows("The API server answers 429, with or without Retry-After", cases=("429", "429-retry-after"))
@also_shows("The API server answers 5xx, with or without Retry-After", cases=("500", "503"))
@also_shows("The API server resets the connection during a write", cases=("error",))
@pytest.mark.parametrize("code", REFUSALS)
async def test_refusal(surroundings: Surroundings, code: str) -> None:
    """Whatever a write comes to, data are served and no annotation is lost; in the end it is written."""
    async with surroundings.annotating() as agent:
        before = await surroundings.until_annotated(has(status="ok"))
        surroundings.server.script.extend(REFUSALS[code])
        surroundings.service.simulator.set_document(CHANGED)
        await until_changed_is_served(agent)
        await until(lambda: agent.metric(PUBLISHES, publisher="node", result="failed"))
        assert (await agent.admin("/readyz")).status == 200
        assert before.keys() <= surroundings.annotations.keys()
        await surroundings.until_annotated(has(status="ok", public_ips=CHANGED_IPS))
        await agent.program.event("publish-recovered", publisher="node")
        assert agent.program.events("publish-failed")[0]["failures"] == 1
        assert await agent.requests(code=code.partition("-")[0]) >= 1


@fault(
    Origin.API_SERVER,
    "The API server answers after 30 s",
    api_failure("error").but(
        recovery="The request is given up after 10 s; the next one has a new connection."
    ),
)
async def test_slow(surroundings: Surroundings) -> None:
    """A request without an answer ends after 10 s and is repeated; polls and HTTP go on all the time."""
    server = surroundings.server
    async with surroundings.annotating() as agent:
        await surroundings.until_annotated(has(status="ok"))
        server.script.append(Reply(hold=True))
        surroundings.service.simulator.set_document(CHANGED)
        await until_changed_is_served(agent)
        await agent.more_attempts(20, "ok")
        failed = await agent.program.event("publish-failed", publisher="node")
        assert "10 s" in failed["error"]
        # The first request is still held: what is written now came over another connection.
        assert not server.go_on.is_set()
        await surroundings.until_annotated(has(status="ok", public_ips=CHANGED_IPS))


@fault(
    Origin.API_SERVER,
    "The kept connection to the API server is half-open",
    api_failure("error").but(
        logged="`publish-failed` once; the request that is lost counts.",
        recovery="With the next request, on a new connection.",
    ),
)
async def test_half_open(server: FakeApiServer, tmp_path: Path) -> None:
    """A connection that has gone dead costs one request and its time-out; the next request opens another."""
    node = response("200 OK", json.dumps(server.nodes[NODE].metadata_object()).encode())
    async with raw_server(lambda _: [] if len(raw.requests) > 2 and raw.connections == 1 else node) as raw:
        server.url = raw.url
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
        async with connect(metrics=Metrics(), kubeconfig=kubeconfig, timeout=0.3) as client:
            for _ in range(2):
                await client.get(NODE, cached=False)
            with pytest.raises(NoAnswerError):
                await client.get(NODE, cached=False)
            assert (await client.get(NODE, cached=False)).name == NODE
    assert raw.connections == 2


DOCUMENT: Document = parse_response(
    b'{"loadbalancer":{"publicIpAddresses":[{"frontendIpAddress":"20.9.9.9","privateIpAddress":"10.0.0.9"}]}}'
).document

SOUND = {
    "revision": DOCUMENT.revision,
    "loadbalancer": DOCUMENT.canonical.decode(),
    "changed-at": "2026-01-02T03:04:05Z",
    "observed-at": "2026-01-02T03:04:05Z",
    "status": "ok",
}
"""What an earlier run would have left."""


def leave_behind(surroundings: Surroundings, values: dict[str, Any]) -> None:
    """Annotate the Node as an earlier run would have, whatever is forged in it."""
    annotations = {f"{PREFIX}/{key}": value for key, value in values.items()}
    surroundings.server.nodes[NODE].apply(annotations, manager="azure-lb-metadata")


FORGERIES: dict[str, dict[str, Any]] = {
    "revision": {"revision": "0" * 16},
    "document": {"loadbalancer": SOUND["loadbalancer"].replace("20.9.9.9", "6.6.6.6")},
    "garbled": {"loadbalancer": "\x1b[31m{]", "revision": "?", "last-changes": "\x00;;-"},
    "huge": {"loadbalancer": "[" * 200_000},
    "times": {"observed-at": "yesterday"},
}


@also_shows("Annotations found at the start are forged or garbled")
@pytest.mark.parametrize("forgery", FORGERIES)
async def test_forged(surroundings: Surroundings, forgery: str) -> None:
    """Nothing forged is served or written again; with the first answer the Node is put right."""
    found = SOUND | FORGERIES[forgery]
    leave_behind(surroundings, found)
    surroundings.service.simulator.set_fault("unavailable")
    async with surroundings.annotating(resync_interval="200ms") as agent:
        await agent.until_requests(2, method="GET")
        assert ((await agent.document()).status, surroundings.writes()) == (503, 0)
        surroundings.service.simulator.clear_fault()
        after = await surroundings.until_annotated(has(status="ok", public_ip="192.0.2.4"))
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
        assert "6.6.6.6" not in json.dumps(after)
        assert all(value.isascii() and value.isprintable() for value in after.values())


async def test_sound(surroundings: Surroundings) -> None:
    """What is sound is served until there is an answer, so the forgeries fail for what is forged in them."""
    leave_behind(surroundings, SOUND)
    surroundings.service.simulator.set_fault("unavailable")
    async with surroundings.annotating() as agent:
        reply = await until(lambda: agent.get("/v1/public-ip"), lambda reply: reply.status == 200)
        assert (reply.text, reply.headers["Azure-LB-Metadata-Source"]) == ("20.9.9.9\n", "restored")
