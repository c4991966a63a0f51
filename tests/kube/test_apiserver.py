"""The client of the API server, as an agent's pod, against a real one."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from sidecar.kube import (
    ForbiddenError,
    NoAnswerError,
    NodeClient,
    NodeNotFoundError,
    NodeReplacedError,
    RejectedError,
    UnauthorizedError,
    connect,
)
from sidecar.metrics import Metrics
from tests.support.apiserver import ApiServer
from tests.support.cluster import Cluster, Identity
from tests.support.faults import Origin, also_shows, api_failure, fault
from tests.support.nodes import NodeMetadata

pytestmark = pytest.mark.apiserver

PREFIX = "azure-lb-metadata.io"
MANAGER = "azure-lb-metadata"

ANOTHER_AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBjzCCATWgAwIBAgIUeIIqyAf8lS0/2qEe0QsNECAII7UwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRYW5vdGhlciBhdXRob3JpdHkwIBcNMjYxMTIzMDYwMzQ4WhgP
MjEyNjEwMzAwNjAzNDhaMBwxGjAYBgNVBAMMEWFub3RoZXIgYXV0aG9yaXR5MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAER2B0BxAYUmRlDTfL0bT5vz6OY1js27G1
YzMaynQ23WC2AIEwBW+5D/XyMr2D+rYxjAoDF/QyiGbjo8/HuOykkaNTMFEwHQYD
VR0OBBYEFKbZIFSwwtwT6aPjImEc+rQEuFe0MB8GA1UdIwQYMBaAFKbZIFSwwtwT
6aPjImEc+rQEuFe0MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIg
URJNcsQsiMZO3RajXVfb1dh/LBmYlylsR8Z64mUF98kCIQC8KU46b0bvDjDHwRxF
skUY8R3PMmRPXC70iWHpzbZwdA==
-----END CERTIFICATE-----
"""
"""A certificate authority whose key nobody has."""


@pytest.fixture
async def client(
    api_server: ApiServer, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[NodeClient]:
    """The client as it is in a pod: with the environment and the mounted files of one."""
    url = urlsplit(api_server.url)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(url.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(url.port))
    async with connect(metrics=Metrics(), service_account=identity.directory, timeout=60) as client:
        yield client


def ours(**annotations: str) -> dict[str, str]:
    """Annotations under our prefix."""
    return {f"{PREFIX}/{key.replace('_', '-')}": value for key, value in annotations.items()}


def without_marks(node: dict[str, Any]) -> dict[str, Any]:
    """A whole Node without what an apply of annotations has to change."""
    changed = ("annotations", "managedFields", "resourceVersion")
    metadata = {name: value for name, value in node["metadata"].items() if name not in changed}
    return {**node, "metadata": metadata}


@pytest.mark.parametrize("cached", [True, False])
async def test_get(client: NodeClient, cluster: Cluster, node: NodeMetadata, *, cached: bool) -> None:
    """Reading a Node, from cache or not, gives what its admin sees."""
    read = await client.get(node.name, cached=cached)
    seen = await cluster.node(node.name)
    assert (read.name, read.uid, read.annotations) == (seen.name, seen.uid, seen.annotations)
    if not cached:
        assert read.resource_version == seen.resource_version


async def test_apply(client: NodeClient, cluster: Cluster, node: NodeMetadata) -> None:
    """An apply adds annotations, records who did, and touches nothing else of the Node."""
    before = await cluster.request("GET", f"/api/v1/nodes/{node.name}")
    applied = await client.apply(
        node.name, uid=node.uid, annotations=ours(public_ip="20.0.0.1"), field_manager=MANAGER
    )
    after = await cluster.request("GET", f"/api/v1/nodes/{node.name}")
    assert applied.annotations == {**node.annotations, **ours(public_ip="20.0.0.1")}
    assert applied.resource_version == after["metadata"]["resourceVersion"]
    assert MANAGER in NodeMetadata.of(after).managers
    assert without_marks(after) == without_marks(before)


async def test_same_again(client: NodeClient, node: NodeMetadata) -> None:
    """Applying the same once more changes nothing, not even the Node's version."""
    annotations = ours(status="ok")
    first = await client.apply(node.name, uid=node.uid, annotations=annotations, field_manager=MANAGER)
    assert first == await client.apply(
        node.name, uid=node.uid, annotations=annotations, field_manager=MANAGER
    )


async def test_left_out_is_removed(client: NodeClient, node: NodeMetadata) -> None:
    """A key of ours that the next apply leaves out is removed; none at all removes all of ours."""
    both = ours(public_ip="20.0.0.1", status="ok")
    await client.apply(node.name, uid=node.uid, annotations=both, field_manager=MANAGER)
    fewer = await client.apply(node.name, uid=node.uid, annotations=ours(status="ok"), field_manager=MANAGER)
    assert fewer.annotations == {**node.annotations, **ours(status="ok")}
    none = await client.apply(node.name, uid=node.uid, annotations={}, field_manager=MANAGER)
    assert none.annotations == node.annotations


async def test_remove(client: NodeClient, cluster: Cluster, node: NodeMetadata) -> None:
    """Keys of ours go whoever owns them, all others stay, and the removal owns nothing."""
    await cluster.annotate(node.name, ours(public_ip="6.6.6.6"))
    await client.apply(node.name, uid=node.uid, annotations=ours(status="ok"), field_manager=MANAGER)
    keys = [*ours(public_ip="", inbound="")]
    left = await client.remove(node.name, uid=node.uid, keys=keys, field_manager=MANAGER)
    assert left.annotations == {**node.annotations, **ours(status="ok")}
    assert left.annotations == (await cluster.node(node.name)).annotations
    assert {entry["manager"] for entry in (await cluster.node(node.name)).managed_fields} == {
        *(entry["manager"] for entry in node.managed_fields),
        MANAGER,
    }


async def test_remove_from_a_node_made_anew(client: NodeClient, cluster: Cluster, node: NodeMetadata) -> None:
    """A removal meant for the Node as it was does not touch the new one, and one of none finds none."""
    await cluster.recreate_node(node.name)
    await cluster.annotate(node.name, ours(status="ok"))
    with pytest.raises(NodeReplacedError):
        await client.remove(node.name, uid=node.uid, keys=ours(status=""), field_manager=MANAGER)
    assert (await cluster.node(node.name)).annotations.items() >= ours(status="ok").items()
    await cluster.delete_node(node.name)
    with pytest.raises((NodeNotFoundError, NodeReplacedError)):
        await client.remove(node.name, uid=node.uid, keys=ours(status=""), field_manager=MANAGER)


async def test_two_managers(client: NodeClient, node: NodeMetadata) -> None:
    """Two releases with two prefixes, and so two managers, keep each other's annotations."""
    other = {"other.example/status": "ok"}
    await client.apply(node.name, uid=node.uid, annotations=other, field_manager=f"{MANAGER}/other.example")
    await client.apply(node.name, uid=node.uid, annotations=ours(status="ok"), field_manager=MANAGER)
    left = await client.apply(node.name, uid=node.uid, annotations={}, field_manager=MANAGER)
    assert left.annotations == {**node.annotations, **other}


async def test_taken_over(client: NodeClient, cluster: Cluster, node: NodeMetadata) -> None:
    """A key of ours that somebody else wrote is ours again after the next apply."""
    await client.apply(node.name, uid=node.uid, annotations=ours(status="ok"), field_manager=MANAGER)
    await cluster.annotate(node.name, ours(status="forged"))
    again = await client.apply(node.name, uid=node.uid, annotations=ours(status="ok"), field_manager=MANAGER)
    assert again.annotations == {**node.annotations, **ours(status="ok")}


async def test_no_such_node(client: NodeClient) -> None:
    """Reading a Node that does not exist says so."""
    with pytest.raises(NodeNotFoundError, match='"no-such-node" not found'):
        await client.get("no-such-node", cached=False)


async def test_node_gone(client: NodeClient, cluster: Cluster) -> None:
    """An apply to a Node that was deleted does not make it again."""
    node = await cluster.create_node()
    await cluster.delete_node(node.name)
    with pytest.raises(NodeReplacedError) as failure:
        await client.apply(node.name, uid=node.uid, annotations=ours(status="ok"), field_manager=MANAGER)
    assert failure.value.status == 409
    with pytest.raises(NodeNotFoundError):
        await client.get(node.name, cached=False)


async def test_node_made_anew(client: NodeClient, cluster: Cluster, node: NodeMetadata) -> None:
    """An apply meant for a Node that was made anew leaves the new one alone; its UID leads on."""
    await cluster.recreate_node(node.name)
    with pytest.raises(NodeReplacedError) as failure:
        await client.apply(node.name, uid=node.uid, annotations=ours(status="ok"), field_manager=MANAGER)
    assert failure.value.status == 422
    new = await client.get(node.name, cached=False)
    assert new.annotations == node.annotations
    await client.apply(node.name, uid=new.uid, annotations=ours(status="ok"), field_manager=MANAGER)


@pytest.mark.parametrize(
    ("key", "value", "manager"),
    [
        ("not a key", "value", MANAGER),
        (f"{PREFIX}/key", "v" * 262_144, MANAGER),
        (f"{PREFIX}/key", "value", "m" * 129),
    ],
)
async def test_bad_value(client: NodeClient, node: NodeMetadata, key: str, value: str, manager: str) -> None:
    """A bad key, too much in all, or too long a manager is refused, and not taken for a new Node."""
    with pytest.raises(RejectedError) as failure:
        await client.apply(node.name, uid=node.uid, annotations={key: value}, field_manager=manager)
    assert failure.value.status == 422


async def test_forbidden(
    client: NodeClient, cluster: Cluster, identity: Identity, node: NodeMetadata
) -> None:
    """Without its role the agent is told who needs which rights."""
    await cluster.deny(identity)
    with pytest.raises(ForbiddenError) as failure:
        await client.apply(node.name, uid=node.uid, annotations={}, field_manager=MANAGER)
    user = f"system:serviceaccount:{identity.namespace}:{identity.service_account}"
    assert f"let {user} get and patch nodes" in failure.value.advice


async def test_token_not_accepted(client: NodeClient, identity: Identity, node: NodeMetadata) -> None:
    """A token that the API server does not accept is an error until another stands in its file."""
    (identity.directory / "token").write_text("garbage")
    with pytest.raises(UnauthorizedError):
        await client.get(node.name, cached=False)
    (identity.directory / "token").write_text(identity.token)
    assert (await client.get(node.name, cached=False)).uid == node.uid


async def test_through_a_kubeconfig(identity: Identity, node: NodeMetadata) -> None:
    """A kubeconfig with a token file and an authority works as the pod's own files do."""
    async with connect(metrics=Metrics(), kubeconfig=str(identity.kubeconfig)) as client:
        assert (await client.get(node.name, cached=False)).uid == node.uid


@fault(
    Origin.API_SERVER,
    "The API server shows a certificate of another authority",
    api_failure("error").but(
        recovery="The authority is read anew: with the first request after its file is right."
    ),
)
async def test_authority_replaced(identity: Identity, node: NodeMetadata) -> None:
    """A server that the authority does not vouch for is not spoken to, until its own is mounted."""
    authority = (identity.directory / "ca.crt").read_bytes()
    (identity.directory / "ca.crt").write_text(ANOTHER_AUTHORITY)
    async with connect(metrics=Metrics(), kubeconfig=str(identity.kubeconfig)) as client:
        with pytest.raises(NoAnswerError, match="certificate"):
            await client.get(node.name, cached=False)
        (identity.directory / "ca.crt").write_bytes(authority)
        assert (await client.get(node.name, cached=False)).uid == node.uid


@also_shows("The API server accepts connections and never answers")
async def test_paused_server(api_server: ApiServer, identity: Identity, node: NodeMetadata) -> None:
    """A server that accepts and does not answer costs the time-out and no more."""
    async with connect(metrics=Metrics(), kubeconfig=str(identity.kubeconfig), timeout=0.3) as client:
        with api_server.paused(), pytest.raises(NoAnswerError, match="within"):
            await client.get(node.name, cached=False)
