"""The API server the tests run against behaves as that of a cluster."""

from pathlib import Path

import aiohttp
import pytest

from tests.support.apiserver import ApiServer, api_server_running
from tests.support.cluster import APPLY_PATCH, ApiError, Cluster, Identity, cluster_of
from tests.support.nodes import NodeMetadata
from tests.support.processes import ServerProcess, StartError

pytestmark = pytest.mark.apiserver


def apply_of(name: str) -> dict[str, object]:
    """A server-side apply of one annotation of the Node called `name`."""
    metadata = {"name": name, "annotations": {"test.invalid/key": "value"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


async def apply(cluster: Cluster, name: str, *, token: str) -> NodeMetadata:
    """Apply `apply_of` with the given token."""
    path = f"/api/v1/nodes/{name}?fieldManager=test&force=true"
    return NodeMetadata.of(
        await cluster.request("PATCH", path, body=apply_of(name), content_type=APPLY_PATCH, token=token)
    )


async def test_kubectl_sees_the_node(cluster: Cluster, node: NodeMetadata) -> None:
    """The real kubectl, with the admin's kubeconfig, reads a Node that a test made."""
    assert await cluster.kubectl("get", "node", node.name, "-o", "name") == f"node/{node.name}\n"


async def test_token_carries_the_node_name(cluster: Cluster, identity: Identity) -> None:
    """The API server knows from an agent's token on which node its pod runs."""
    review = await cluster.request(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body={}, token=identity.token
    )
    extra = review["status"]["userInfo"]["extra"]
    assert extra["authentication.kubernetes.io/node-name"] == [identity.node]
    assert extra["authentication.kubernetes.io/pod-name"] == [identity.pod]


async def test_identity_files_serve_kubectl(cluster: Cluster, identity: Identity) -> None:
    """An identity's kubeconfig and files are enough for the real kubectl to patch nodes and no more."""
    await cluster.kubectl("annotate", "node", identity.node, "test.invalid/key=value", identity=identity)
    assert await cluster.kubectl("auth", "can-i", "patch", "nodes", identity=identity) == "yes\n"
    assert (identity.directory / "namespace").read_text() == identity.namespace
    assert (await cluster.node(identity.node)).annotations["test.invalid/key"] == "value"


async def test_apply_adds_to_the_node(cluster: Cluster, identity: Identity, node: NodeMetadata) -> None:
    """An apply with an agent's rights adds its annotation, names its manager and keeps those of others."""
    applied = await apply(cluster, node.name, token=identity.token)
    assert applied.annotations == {**node.annotations, "test.invalid/key": "value"}
    assert "test" in applied.managers
    assert applied.resource_version != node.resource_version


async def test_apply_to_a_missing_node_is_refused(cluster: Cluster, identity: Identity) -> None:
    """An apply to a Node that does not exist would create it, which an agent may not."""
    with pytest.raises(ApiError, match="cannot create") as refusal:
        await apply(cluster, "missing", token=identity.token)
    assert refusal.value.status == 403


async def test_recreated_node_has_another_uid(cluster: Cluster, node: NodeMetadata) -> None:
    """A Node made anew has the same name, another uid and none of what was annotated."""
    await cluster.annotate(node.name, {"test.invalid/key": "value"})
    again = await cluster.recreate_node(node.name)
    assert (again.name, again.annotations) == (node.name, node.annotations)
    assert again.uid != node.uid


async def test_denied_and_allowed_again(cluster: Cluster, identity: Identity) -> None:
    """Without its role binding an agent is forbidden what it may do with it."""
    await cluster.deny(identity)
    assert not await cluster.may_patch(identity)
    await cluster.allow(identity)
    assert await cluster.may_patch(identity)


async def test_token_dies_with_its_pod(cluster: Cluster, identity: Identity) -> None:
    """A token whose pod is deleted is not accepted any more."""
    await cluster.revoke(identity)
    with pytest.raises(ApiError) as refusal:
        await apply(cluster, identity.node, token=identity.token)
    assert refusal.value.status == 401


async def test_paused_server_is_silent(api_server: ApiServer, cluster: Cluster, node: NodeMetadata) -> None:
    """A paused API server gives no answer, and answers again when it goes on."""
    with api_server.paused():
        timeout = aiohttp.ClientTimeout(total=0.2)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            with pytest.raises(TimeoutError):
                await session.get(f"{api_server.url}/readyz", ssl=False)
    assert (await cluster.node(node.name)).uid == node.uid


async def test_stopped_server_refuses_and_comes_back(
    api_server: ApiServer, cluster: Cluster, identity: Identity
) -> None:
    """A stopped API server refuses connections; started again it has its port, data and tokens."""
    async with api_server.stopped():
        with pytest.raises(aiohttp.ClientConnectorError):
            await cluster.node(identity.node)
    assert (await apply(cluster, identity.node, token=identity.token)).name == identity.node


async def test_second_server_is_another_cluster(node: NodeMetadata) -> None:
    """A second API server runs beside the first and shares nothing with it."""
    with api_server_running() as other:
        async with cluster_of(other) as elsewhere:
            with pytest.raises(ApiError, match="not found"):
                await elsewhere.node(node.name)


def test_nothing_is_left_after_a_server() -> None:
    """After its block, even one that failed, neither the server's process nor its folder is there."""

    def fail_within_the_block() -> None:
        with api_server_running() as server:
            raise LookupError(server.program.pid, server.directory)

    with pytest.raises(LookupError) as failure:
        fail_within_the_block()
    pid, directory = failure.value.args
    assert not Path(f"/proc/{pid}").exists()
    assert not directory.exists()


def test_failed_start_shows_the_log(tmp_path: Path, api_server: ApiServer) -> None:
    """A server that cannot start is named with the tail of its log, and leaves no process behind."""
    command = [*api_server.program.command, "--no-such-flag"]
    process = ServerProcess(command, directory=tmp_path, log=tmp_path / "log")
    with pytest.raises(StartError, match="unknown flag: --no-such-flag"):
        process.start(lambda: False, deadline_s=120)
    assert process.pid is None
