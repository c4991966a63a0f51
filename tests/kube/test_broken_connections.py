"""Requests that get no whole answer, are given up or overlap, and those that follow them."""

import asyncio
import json
from pathlib import Path

import pytest

from sidecar.errors import ExitCode
from sidecar.kube import NoAnswerError, NodeClient, UnauthorizedError, connect
from sidecar.metrics import Metrics
from tests.kube.asking import NODE, apply, counted
from tests.support.fake_apiserver import FakeApiServer, Reply, refusal
from tests.support.faults import Origin, api_failure, fault


@fault(
    Origin.API_SERVER,
    "The API server stops in the middle of an answer",
    api_failure("error").but(recovery="Each request ends after 10 s; the next one uses a new connection."),
)
@pytest.mark.parametrize("reply", [Reply(hold=True), Reply(body=b'{"metadata"', hold_body=True)])
async def test_timeout(server: FakeApiServer, metrics: Metrics, tmp_path: Path, reply: Reply) -> None:
    """A request ends with its time-out whether the head or the rest of the answer is missing."""
    kubeconfig = server.kubeconfig(tmp_path / "config")
    server.script.append(reply)
    async with connect(metrics=metrics, kubeconfig=kubeconfig, timeout=0.05) as client:
        with pytest.raises(NoAnswerError, match=r"within 0\.05 s") as failure:
            await client.get(NODE, cached=False)
    assert failure.value.exit_code is ExitCode.UNREACHABLE
    assert isinstance(failure.value.__cause__, TimeoutError)
    assert counted(metrics, "GET", "timeout") == 1


@fault(
    Origin.API_SERVER,
    "The API server resets the connection during a write",
    api_failure("error").but(
        recovery="The write is not repeated blindly: it is retried in its time, on a new connection."
    ),
)
async def test_reset(client: NodeClient, server: FakeApiServer, metrics: Metrics) -> None:
    """An apply whose connection is reset is not sent again, and names no status."""
    server.script.append(Reply(reset=True))
    with pytest.raises(NoAnswerError) as failure:
        await apply(client)
    assert failure.value.status is None
    assert len(server.requests) == 1
    assert counted(metrics, "PATCH", "error") == 1


async def test_recovers_from_a_reset(client: NodeClient, server: FakeApiServer) -> None:
    """The request after a failed one works on a new connection."""
    server.script.append(Reply(reset=True))
    with pytest.raises(NoAnswerError):
        await apply(client)
    assert (await client.get(NODE, cached=False)).name == NODE


async def test_refused(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """A port where nobody listens is an error that speaks of network policies."""
    server.url = "http://127.0.0.1:9"
    kubeconfig = server.kubeconfig(tmp_path / "config")
    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        with pytest.raises(NoAnswerError, match="firewalls"):
            await client.get(NODE, cached=False)


async def test_cancellation(client: NodeClient, server: FakeApiServer, metrics: Metrics) -> None:
    """Cancelling a request ends it at once as cancelled, and the client goes on to work."""
    server.script.append(Reply(hold=True))
    request = asyncio.create_task(client.get(NODE, cached=False))
    await server.requested.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert counted(metrics, "GET", "error") is None
    assert (await client.get(NODE, cached=False)).name == NODE


async def test_overlapping_requests(client: NodeClient, server: FakeApiServer) -> None:
    """A failed request does not disturb another that is under way."""
    server.script.extend([Reply(hold=True, body=json.dumps(server.nodes[NODE].metadata_object()).encode())])
    held = asyncio.create_task(client.get(NODE, cached=False))
    await server.requested.wait()
    server.script.append(refusal(401))
    with pytest.raises(UnauthorizedError):
        await client.get(NODE, cached=False)
    assert (await client.get(NODE, cached=False)).name == NODE
    server.go_on.set()
    assert (await held).name == NODE
