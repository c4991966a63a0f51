"""What the API server is sent, what is taken of its answers, and what is counted."""

from pathlib import Path

import pytest

import sidecar
from sidecar.errors import UsageError
from sidecar.kube import KubernetesError, NodeClient, ServerError, connect
from sidecar.metrics import Metrics
from tests.kube.asking import NODE, apply, counted
from tests.support.fake_apiserver import FakeApiServer, Reply, refusal


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


async def test_node_without_annotations(client: NodeClient, server: FakeApiServer) -> None:
    """A Node without annotations, or with null for them, has none."""
    for annotations in (b"", b', "annotations": null'):
        metadata = b'{"name": "' + NODE.encode() + b'", "uid": "u", "resourceVersion": "1"' + annotations
        server.script.append(Reply(body=b'{"metadata": ' + metadata + b"}}"))
        assert (await client.get(NODE, cached=False)).annotations == {}


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
    server.script.extend([refusal(503), Reply(body=b"garbage")])
    for _ in range(2):
        with pytest.raises(KubernetesError):
            await apply(client)
    await client.get(NODE, cached=False)
    assert counted(metrics, "PATCH", "503") == 1
    assert counted(metrics, "PATCH", "200") == 1
    assert counted(metrics, "GET", "200") == 1
