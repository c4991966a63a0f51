"""`prune` against a real API server, with the rights that its documentation names and no more."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sidecar.kube import NodeNotFoundError, NodeReplacedError
from sidecar.kube.listing import DaemonSetName, FleetClient, connect_fleet
from tests.support.cluster import ApiError, Cluster, Identity
from tests.support.commands import Ended, run
from tests.support.faults import Origin, Promise, fault
from tests.support.fleet import Fleet
from tests.support.nodes import NodeMetadata

pytestmark = pytest.mark.apiserver

PREFIX = "azure-lb-metadata.io"
MANAGER = "azure-lb-metadata"
RULES = (
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "patch"]},
    {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
)
"""What the command's help says it needs."""

LABELS = {"app.kubernetes.io/instance": "release"}
SELECTOR = "app.kubernetes.io/instance=release"


Prune = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture
async def identity(cluster: Cluster, node: NodeMetadata, tmp_path: Path) -> Identity:
    """Somebody with the rights that `prune` needs."""
    return await cluster.create_identity(node.name, directory=tmp_path / "identity", rules=RULES)


@pytest.fixture
async def client(identity: Identity) -> AsyncIterator[FleetClient]:
    """An operator's client with that identity."""
    async with connect_fleet(kubeconfig=str(identity.kubeconfig), timeout=30) as client:
        yield client


@pytest.fixture
def prune(identity: Identity) -> Prune:
    """The program itself, as that identity."""
    return partial(run, "prune", kubeconfig=identity.kubeconfig)


def ours(**annotations: str) -> dict[str, str]:
    """Annotations under our prefix."""
    return {f"{PREFIX}/{key.replace('_', '-')}": value for key, value in annotations.items()}


async def apply(cluster: Cluster, name: str, annotations: dict[str, str], *, manager: str = MANAGER) -> None:
    """Apply annotations as an agent does."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"annotations": annotations}}
    path = f"/api/v1/nodes/{name}?fieldManager={manager}&force=true"
    await cluster.request("PATCH", path, body=body, content_type="application/apply-patch+yaml")


async def create_daemon_set(cluster: Cluster, namespace: str, *, finalizer: bool) -> DaemonSetName:
    """Make a DaemonSet that no controller looks after."""
    metadata = {"name": "agents", "finalizers": ["example.com/hold"] if finalizer else []}
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "agent", "image": "none.invalid/agent"}]},
    }
    body = {"metadata": metadata, "spec": {"selector": {"matchLabels": LABELS}, "template": template}}
    await cluster.request("POST", f"/apis/apps/v1/namespaces/{namespace}/daemonsets", body=body)
    return DaemonSetName(namespace, "agents")


def path_of(daemon_set: DaemonSetName) -> str:
    """Where the DaemonSet is."""
    return f"/apis/apps/v1/namespaces/{daemon_set.namespace}/daemonsets/{daemon_set.name}"


async def create_pod(
    cluster: Cluster, namespace: str, name: str, *, owner: dict[str, Any] | None = None
) -> None:
    """Make a pod with the labels of the DaemonSet's, which no kubelet runs."""
    metadata: dict[str, Any] = {"name": name, "labels": LABELS}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    spec = {
        "nodeName": "nowhere",
        "serviceAccountName": namespace,  # an identity's namespace and account have the same name
        "containers": [{"name": "agent", "image": "none.invalid/agent"}],
    }
    body = {"metadata": metadata, "spec": spec}
    await cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", body=body)


async def delete_pod(cluster: Cluster, namespace: str, name: str) -> None:
    """Delete a pod at once."""
    await cluster.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0")


async def test_all_nodes(cluster: Cluster, node: NodeMetadata, prune: Prune) -> None:
    """Every key under the prefix goes from every Node, whoever wrote it, and nothing else does."""
    other = await cluster.create_node(annotations=ours(forged="yes"))
    untouched = await cluster.create_node(annotations={"azure-lb-metadata.io.example/status": "ok"})
    await apply(cluster, node.name, ours(status="ok", public_ip="20.0.0.1"))
    ended = await prune()
    assert ended.code == 0, ended.err
    assert {
        f"{node.name}: removed 2 keys: public-ip, status",
        f"{other.name}: removed 1 key: forged",
    } <= set(ended.out.splitlines())
    pruned = await cluster.node(node.name)
    assert pruned.annotations == node.annotations
    assert pruned.managers == node.managers
    assert not any(key.startswith(PREFIX) for key in (await cluster.node(other.name)).annotations)
    assert await cluster.node(untouched.name) == untouched
    for each in (other, untouched):
        await cluster.delete_node(each.name)


async def test_again(cluster: Cluster, node: NodeMetadata, prune: Prune) -> None:
    """Done a second time there is nothing to do, and no Node is written."""
    await apply(cluster, node.name, ours(status="ok"))
    await prune()
    before = await cluster.node(node.name)
    ended = await prune()
    assert (ended.code, ended.out) == (0, "")
    assert await cluster.node(node.name) == before


async def test_dry_run(cluster: Cluster, node: NodeMetadata, prune: Prune) -> None:
    """A dry run names the keys and leaves them."""
    await apply(cluster, node.name, ours(status="ok"))
    before = await cluster.node(node.name)
    ended = await prune("--dry-run", "-o", "json", node.name)
    assert json.loads(ended.out)["nodes"] == [
        {"node": node.name, "result": "would-remove", "keys": [f"{PREFIX}/status"], "error": None}
    ]
    assert await cluster.node(node.name) == before


async def test_owned_only(cluster: Cluster, node: NodeMetadata, prune: Prune) -> None:
    """With --owned-only, keys that somebody else wrote or shares stay."""
    await apply(cluster, node.name, ours(status="ok", reason="x", public_ip="20.0.0.1"))
    await apply(cluster, node.name, ours(reason="x"), manager="somebody")
    await cluster.annotate(node.name, ours(forged="yes"))
    ended = await prune("--owned-only", node.name)
    assert ended.out == f"{node.name}: removed 2 keys: public-ip, status\n"
    left = await cluster.node(node.name)
    assert left.annotations == {**node.annotations, **ours(reason="x", forged="yes")}
    assert MANAGER not in left.managers


async def test_another_prefix(cluster: Cluster, node: NodeMetadata, prune: Prune) -> None:
    """Another prefix, and so another field manager, is another release's."""
    await apply(cluster, node.name, ours(status="ok"))
    await apply(cluster, node.name, {"lb.example/status": "ok"}, manager="azure-lb-metadata/lb.example")
    for extra in ((), ("--owned-only",)):
        await prune("--annotation-prefix=lb.example", *extra, node.name)
        assert (await cluster.node(node.name)).annotations == {**node.annotations, **ours(status="ok")}


async def test_no_such_node(prune: Prune) -> None:
    """A Node that was named and does not exist is a failure."""
    ended = await prune("no-such-node")
    assert ended.code == 1
    assert "no-such-node: there is no such Node" in ended.err


async def test_pages(cluster: Cluster, client: FleetClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of many pages holds each Node once, with its annotations and their owners."""
    made = [await cluster.create_node(annotations=ours(status="ok")) for _ in range(5)]
    monkeypatch.setattr("sidecar.kube.listing.PAGE", 2)
    pages = [page async for page in client.nodes_metadata()]
    assert max(map(len, pages)) == 2
    read = {node.name: node for page in pages for node in page}
    assert sum(map(len, pages)) == len(read)
    assert all(read[node.name].annotations == node.annotations for node in made)
    assert all(read[node.name].managed_fields for node in made)
    for node in made:
        await cluster.delete_node(node.name)


async def test_node_made_anew(cluster: Cluster, client: FleetClient, node: NodeMetadata) -> None:
    """A removal meant for a Node that was made anew leaves the new one alone."""
    await cluster.recreate_node(node.name)
    await cluster.annotate(node.name, ours(status="ok"))
    with pytest.raises(NodeReplacedError):
        await client.remove_annotations(node.name, uid=node.uid, keys=ours(status="ok"))
    with pytest.raises(NodeReplacedError):
        await client.remove_owned(node.name, uid=node.uid, manager=MANAGER)
    assert (await cluster.node(node.name)).annotations == {**node.annotations, **ours(status="ok")}


async def test_node_gone(cluster: Cluster, client: FleetClient) -> None:
    """A removal from a Node that was deleted does not make it again."""
    node = await cluster.create_node()
    await cluster.delete_node(node.name)
    with pytest.raises(NodeNotFoundError):
        await client.remove_annotations(node.name, uid=node.uid, keys=ours(status="ok"))
    with pytest.raises(NodeReplacedError):
        await client.remove_owned(node.name, uid=node.uid, manager=MANAGER)
    with pytest.raises(ApiError, match="404"):
        await cluster.node(node.name)


async def test_key_gone(cluster: Cluster, client: FleetClient, node: NodeMetadata) -> None:
    """Removing a key that is not there changes nothing, not even the Node's version."""
    await client.remove_annotations(node.name, uid=node.uid, keys=ours(status="ok"))
    assert await cluster.node(node.name) == node


async def test_missing_rights(cluster: Cluster, identity: Identity, prune: Prune) -> None:
    """Without the right to list DaemonSets or Nodes the command says who needs it."""
    await cluster.deny(identity)
    for arguments, resource in (([], "daemonsets"), (["--ignore-daemonsets"], "nodes")):
        ended = await prune(*arguments)
        assert ended.code == 1
        assert f"{identity.service_account} list {resource}" in ended.err


@fault(
    Origin.API_SERVER,
    "One of two releases with one prefix is uninstalled",
    Promise(
        served="Not affected.",
        annotated=(
            "Nodes to which the other's DaemonSet still writes keep their annotations; all others lose them."
        ),
        logged="The Job names the Nodes that it leaves, and the DaemonSet.",
        recovery="Nothing to recover from.",
    ),
)
async def test_nodes_of_another_release(cluster: Cluster, node: NodeMetadata, prune: Prune) -> None:
    """Nodes to which another DaemonSet's agents write under the prefix are left alone, and named."""
    fleet = Fleet(cluster)
    await fleet.prepare()
    windows = await fleet.add(
        "windows", ours(status="ok"), labels={"kubernetes.io/os": "windows"}, agent=False
    )
    await apply(cluster, node.name, ours(status="ok"))
    before = await cluster.node(node.name)
    try:
        ended = await prune()
        assert ended.code == 0, ended.err
        where = f"DaemonSet {fleet.namespace}/agents"
        assert f"{node.name}: left, agents of {where} write under this prefix there" in ended.out
        assert f"{windows}: removed 1 key: status" in ended.out
        assert await cluster.node(node.name) == before
        named = await prune(node.name)
        assert named.code == 1
        assert f"{where} write under {PREFIX} there: end them first" in named.err
        assert await cluster.node(node.name) == before
        assert (await prune("--annotation-prefix=lb.example.com", node.name)).code == 0
        assert (await prune(node.name, "--ignore-daemonsets")).code == 0
        assert f"{PREFIX}/status" not in (await cluster.node(node.name)).annotations
    finally:
        await fleet.remove()


async def test_active_daemon_set(
    cluster: Cluster, identity: Identity, node: NodeMetadata, prune: Prune
) -> None:
    """While the DaemonSet is not being deleted nothing is removed, and that is no failure."""
    await apply(cluster, node.name, ours(status="ok"))
    before = await cluster.node(node.name)
    which = await create_daemon_set(cluster, identity.namespace, finalizer=False)
    ended = await prune(f"--wait-for-daemonset={which}", f"--pod-selector={SELECTOR}")
    assert (ended.code, ended.out) == (0, "")
    assert f"DaemonSet {which} exists and is not being deleted" in ended.err
    assert await cluster.node(node.name) == before


async def test_waits_for_daemon_set_and_pods(
    cluster: Cluster, identity: Identity, node: NodeMetadata, prune: Prune
) -> None:
    """What is being deleted is waited for, then the keys go; a pod of a Job is no obstacle."""
    await apply(cluster, node.name, ours(status="ok"))
    which = await create_daemon_set(cluster, identity.namespace, finalizer=True)
    await cluster.request("DELETE", path_of(which))
    await create_pod(cluster, which.namespace, "agents-1")
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": "hook", "uid": "u", "controller": True}
    await create_pod(cluster, which.namespace, "hook-1", owner=job)
    arguments = (f"--wait-for-daemonset={which}", f"--pod-selector={SELECTOR}", node.name)
    ended = await prune(*arguments, "--timeout=1s")
    assert ended.code == 1
    assert f"after 1s there is still DaemonSet {which}, pod agents-1: nothing was removed" in ended.err
    assert (await cluster.node(node.name)).annotations == {**node.annotations, **ours(status="ok")}
    waiting = asyncio.create_task(prune(*arguments, "--timeout=30s"))
    release = {"metadata": {"finalizers": None}}
    await cluster.request("PATCH", path_of(which), body=release, content_type="application/merge-patch+json")
    await delete_pod(cluster, which.namespace, "agents-1")
    ended = await waiting
    assert ended.code == 0, ended.err
    assert (await cluster.node(node.name)).annotations == node.annotations


async def test_finished_pod(cluster: Cluster, identity: Identity, client: FleetClient) -> None:
    """A pod that has ended cannot write and does not count."""
    namespace = identity.namespace
    await create_pod(cluster, namespace, "agents-1")
    assert await client.unfinished_pods(namespace, selector=SELECTOR) == ["agents-1"]
    path = f"/api/v1/namespaces/{namespace}/pods/agents-1/status"
    failed = {"status": {"phase": "Failed"}}
    await cluster.request("PATCH", path, body=failed, content_type="application/merge-patch+json")
    assert await client.unfinished_pods(namespace, selector=SELECTOR) == []
