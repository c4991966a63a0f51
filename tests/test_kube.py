"""The client of the API server, against a fake one that misbehaves."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

import sidecar
from sidecar.errors import ExitCode, UsageError
from sidecar.kube import (
    ForbiddenError,
    KubernetesError,
    MalformedError,
    NoAnswerError,
    NodeClient,
    NodeNotFoundError,
    NodeReplacedError,
    RejectedError,
    ServerError,
    ThrottledError,
    UnauthorizedError,
    connect,
)
from sidecar.kube.connection import ANSWER_LIMIT
from sidecar.kube.errors import TEXT_LIMIT
from sidecar.metrics import Metrics
from tests.support.fake_apiserver import FakeApiServer, Reply, fake_api_server, status_object
from tests.support.faults import Origin, also_shows, api_failure, fault

NODE = "aks-nodepool1-vmss000000"
UID_CAUSE = {"causes": [{"field": "metadata.uid", "reason": "FieldValueInvalid"}]}
FORBIDDEN = 'nodes "a" is forbidden: User "system:serviceaccount:n:s" cannot patch resource "nodes"'


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    """A fake API server with one Node."""
    async with fake_api_server() as server:
        server.add_node(NODE, {"other.example/key": "value"})
        yield server


@pytest.fixture
def metrics() -> Metrics:
    """Fresh counters."""
    return Metrics()


@pytest.fixture
async def client(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> AsyncIterator[NodeClient]:
    """A client of the fake API server."""
    kubeconfig = server.kubeconfig(tmp_path / "config")
    async with connect(metrics=metrics, kubeconfig=kubeconfig, timeout=5) as client:
        yield client


def counted(metrics: Metrics, method: str, code: str) -> float | None:
    """How many requests were counted so."""
    labels = {"method": method, "code": code}
    return metrics.registry.get_sample_value("azure_lb_metadata_kubernetes_requests_total", labels)


def status_reply(status: int, message: str = "why", *, details: dict[str, Any] | None = None) -> Reply:
    """An answer as the API server gives when it does not do what was asked."""
    return Reply(status=status, body=json.dumps(status_object(status, message, details=details)).encode())


async def apply(client: NodeClient, *, uid: str = "any", **annotations: str) -> None:
    """Apply annotations with the agent's manager."""
    await client.apply(NODE, uid=uid, annotations=annotations, field_manager="azure-lb-metadata/a.example")


async def test_get(client: NodeClient, server: FakeApiServer) -> None:
    """Reading a Node gives its name, UID, version and all its annotations."""
    node = await client.get(NODE, cached=False)
    assert (node.name, node.uid, node.resource_version) == (NODE, server.nodes[NODE].uid, "1")
    assert node.annotations == {"other.example/key": "value"}


async def test_headers(client: NodeClient, server: FakeApiServer) -> None:
    """Requests say who we are, ask for metadata only, and carry the token."""
    await client.get(NODE, cached=False)
    headers = server.requests[0].headers
    assert headers["User-Agent"] == f"azure-lb-metadata/{sidecar.__version__}"
    assert headers["Accept"] == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert headers["Authorization"] == "Bearer fake-token"


async def test_no_cookies(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """A cookie that a proxy before the API server sets is not sent back."""
    server.url = server.url.replace("127.0.0.1", "localhost")  # an address gets no cookies anyway
    server.script.append(Reply(status=500, headers={"Set-Cookie": "a=b"}))
    async with connect(metrics=metrics, kubeconfig=server.kubeconfig(tmp_path / "config")) as client:
        with pytest.raises(ServerError):
            await client.get(NODE, cached=False)
        await client.get(NODE, cached=False)
    assert "Cookie" not in server.requests[1].headers


async def test_cached_get(client: NodeClient, server: FakeApiServer) -> None:
    """Only a read that may be old allows the API server to answer from its memory."""
    await client.get(NODE, cached=True)
    await client.get(NODE, cached=False)
    assert [request.query for request in server.requests] == [{"resourceVersion": "0"}, {}]


async def test_apply_request(client: NodeClient, server: FakeApiServer) -> None:
    """An apply is forced, names its manager, and holds UID and annotations and nothing else."""
    uid = server.nodes[NODE].uid
    await apply(client, uid=uid, key="value")
    (request,) = server.requests
    assert request.method == "PATCH"
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert request.query == {"fieldManager": "azure-lb-metadata/a.example", "force": "true"}
    assert request.json == {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE, "uid": uid, "annotations": {"key": "value"}},
    }


async def test_apply_gives_the_new_metadata(client: NodeClient, server: FakeApiServer) -> None:
    """What an apply gives is the Node as it is afterwards."""
    node = await client.apply(
        NODE, uid=server.nodes[NODE].uid, annotations={"key": "value"}, field_manager="manager"
    )
    assert node.annotations == {"other.example/key": "value", "key": "value"}
    assert node.resource_version == "2"


@pytest.mark.parametrize("name", ["", "..", "a/b", "UPPER", "a?b", "n" * 254])
async def test_impossible_name(client: NodeClient, server: FakeApiServer, name: str) -> None:
    """A name that no Node can have is never sent, since it would address something else."""
    with pytest.raises(UsageError, match="--node-name"):
        await client.get(name, cached=False)
    assert not server.requests


@fault(
    Origin.API_SERVER,
    "The annotations are too much for the API server: 413",
    api_failure("413").but(
        logged='`publish-failed` that names `--annotation-budget`; `kubernetes_requests_total{code="413"}`.'
    ),
    cases=("reply7-RejectedError---annotation-budget",),
)
@pytest.mark.parametrize(
    ("reply", "error", "advice"),
    [
        (status_reply(400), RejectedError, "admission policy"),
        (status_reply(401, "Unauthorized"), UnauthorizedError, "service account"),
        (status_reply(403, FORBIDDEN), ForbiddenError, "let system:serviceaccount:n:s get and patch nodes"),
        (status_reply(403, "no"), ForbiddenError, "let the agent's user get and patch nodes"),
        (status_reply(404), NodeNotFoundError, "--node-name"),
        (Reply(status=404, body=b"404 page not found"), MalformedError, "address"),
        (status_reply(409), NodeReplacedError, "read again"),
        (status_reply(413), RejectedError, "--annotation-budget"),
        (status_reply(422), RejectedError, "policy"),
        (status_reply(422, details={"causes": "?"}), RejectedError, "policy"),
        (status_reply(422, details={"causes": [7, {"field": "metadata.x"}]}), RejectedError, "policy"),
        (status_reply(422, details=UID_CAUSE), NodeReplacedError, "read again"),
        (status_reply(429), ThrottledError, "busy"),
        (status_reply(500), ServerError, "health"),
        (Reply(status=503, body=b"<html>"), ServerError, "health"),
        (Reply(status=304), MalformedError, "address"),
        (Reply(status=600), MalformedError, "address"),
    ],
)
async def test_error_by_situation(
    client: NodeClient, server: FakeApiServer, reply: Reply, error: type[KubernetesError], advice: str
) -> None:
    """Each situation has its error, which knows the status and says what to fix."""
    server.script.append(reply)
    with pytest.raises(KubernetesError) as failure:
        await apply(client)
    assert type(failure.value) is error
    assert failure.value.status == reply.status
    assert failure.value.retry_after is None
    assert advice in failure.value.advice
    assert len(server.requests) == 1


@also_shows("The API server answers 429, with or without Retry-After", cases=("429",))
@fault(
    Origin.API_SERVER,
    "The API server answers 5xx, with or without Retry-After",
    api_failure("500"),
    cases=("500", "503"),
)
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_retry_after_seconds(client: NodeClient, server: FakeApiServer, status: int) -> None:
    """Seconds in Retry-After are passed on, whatever the body says."""
    server.script.append(Reply(status=status, headers={"Retry-After": "7"}, body=b"\xff"))
    with pytest.raises(KubernetesError) as failure:
        await client.get(NODE, cached=False)
    assert failure.value.retry_after == 7


async def test_retry_after_date(client: NodeClient, server: FakeApiServer) -> None:
    """A date in Retry-After becomes the seconds until then."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    server.script.append(Reply(status=503, headers={"Retry-After": date}))
    with pytest.raises(ServerError) as failure:
        await client.get(NODE, cached=False)
    assert failure.value.retry_after == pytest.approx(60, abs=60)


@pytest.mark.parametrize(
    ("stated", "seconds"), [(3, 3), (10**9, 300), (0, None), (-1, None), ("3", None), (None, None)]
)
async def test_retry_after_in_the_body(
    client: NodeClient, server: FakeApiServer, stated: object, seconds: float | None
) -> None:
    """Without the header, the Status object's own member counts, within bounds."""
    server.script.append(status_reply(429, details={"retryAfterSeconds": stated}))
    with pytest.raises(ThrottledError) as failure:
        await client.get(NODE, cached=False)
    assert failure.value.retry_after == seconds


async def test_hostile_message(client: NodeClient, server: FakeApiServer) -> None:
    """A message is shown as printable ASCII on one line, and not all of a long one."""
    server.script.append(status_reply(422, "a\x1b[31m\r\n\u202eb" + "x" * 10_000))
    with pytest.raises(RejectedError) as failure:
        await apply(client)
    text = failure.value.args[0]
    assert "422: a [31m bxxx" in text
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < TEXT_LIMIT + 100


@fault(
    Origin.API_SERVER,
    "The API server, or a proxy before it, answers 200 with something else",
    api_failure("200"),
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"metadata": null}',
        b'{"metadata": {"name": "aks-nodepool1-vmss000000"}}',
        b'{"metadata": {"name": "aks-nodepool1-vmss000000", "uid": 7, "resourceVersion": "1"}}',
        b'{"metadata": {"name": "another", "uid": "u", "resourceVersion": "1"}}',
        b'{"metadata": {"name": "aks-nodepool1-vmss000000", "uid": "u", "resourceVersion": "1", %s}}'
        % b'"annotations": {"a": 1}',
        b'{"metadata": {"name": "aks-nodepool1-vmss000000", "uid": "u", "resourceVersion": "1", %s}}'
        % b'"annotations": ["a"]',
    ],
)
async def test_garbage(client: NodeClient, server: FakeApiServer, body: bytes) -> None:
    """A 200 with anything but the metadata of that Node is an error, and no Node."""
    server.script.append(Reply(body=body))
    with pytest.raises(MalformedError) as failure:
        await client.get(NODE, cached=False)
    assert failure.value.status == 200


async def test_node_without_annotations(client: NodeClient, server: FakeApiServer) -> None:
    """A Node without annotations, or with null for them, has none."""
    for annotations in (b"", b', "annotations": null'):
        metadata = b'{"name": "' + NODE.encode() + b'", "uid": "u", "resourceVersion": "1"' + annotations
        server.script.append(Reply(body=b'{"metadata": ' + metadata + b"}}"))
        assert (await client.get(NODE, cached=False)).annotations == {}


async def test_endless_answer(client: NodeClient, server: FakeApiServer) -> None:
    """An answer longer than a Node can be is not read to its end."""
    server.script.append(Reply(body=b" " * (3 * ANSWER_LIMIT), hold_body=True))
    with pytest.raises(MalformedError, match="longer than"):
        await client.get(NODE, cached=False)


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


async def test_proxy_variables_are_ignored(
    client: NodeClient, monkeypatch: pytest.MonkeyPatch, server: FakeApiServer
) -> None:
    """Requests go to the API server itself, whatever proxies the environment names."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await client.get(NODE, cached=False)
    assert len(server.requests) == 1


async def test_requests_are_counted(client: NodeClient, server: FakeApiServer, metrics: Metrics) -> None:
    """Each request is counted once, by method and status code."""
    server.script.extend([status_reply(503), Reply(body=b"garbage")])
    for _ in range(2):
        with pytest.raises(KubernetesError):
            await apply(client)
    await client.get(NODE, cached=False)
    assert counted(metrics, "PATCH", "503") == 1
    assert counted(metrics, "PATCH", "200") == 1
    assert counted(metrics, "GET", "200") == 1


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
    server.script.append(status_reply(401))
    with pytest.raises(UnauthorizedError):
        await client.get(NODE, cached=False)
    assert (await client.get(NODE, cached=False)).name == NODE
    server.go_on.set()
    assert (await held).name == NODE
