"""Which nodes have an agent, and how one learns of those that have none."""

from collections.abc import Iterator

import pytest

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.release import Release, installed

TAINTED = "node-b"


@pytest.fixture
def taint(kubernetes_cluster: KubernetesCluster) -> Iterator[str]:
    """The key of a taint that one node has, as node pools for games or spot machines do."""
    key = "example.com/pool"
    kubernetes_cluster.kubectl("taint", "node", TAINTED, f"{key}=game:NoSchedule")
    yield key
    kubernetes_cluster.kubectl("taint", "node", TAINTED, f"{key}-")


def test_tainted_node_is_covered_unless_asked_otherwise(
    kubernetes_cluster: KubernetesCluster, taint: str
) -> None:
    """A tainted node is annotated by default; with ``nodes: untainted`` Helm names it and the reason."""
    with installed(kubernetes_cluster, "tainted") as release:
        release.await_keys(lambda keys: keys.get("status") == "ok")
        said = release.upgrade({"nodes": "untainted"})
        assert f"{TAINTED} (taint {taint})" in said
        assert nodes_with_agents(release) == {"node-a"}


def nodes_with_agents(release: Release) -> set[str]:
    """The nodes that an agent is to run on."""
    pods = release.cluster.get("pods", f"--namespace={release.namespace}")["items"]
    return {pod["spec"]["nodeName"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def test_simulator_gives_each_node_an_address(kubernetes_cluster: KubernetesCluster) -> None:
    """With ``simulator.enabled`` the two nodes are annotated with two public IPs, apart from real ones."""
    with installed(kubernetes_cluster, "simulated", values={"simulator.enabled": True}) as release:
        prefix = f"simulated.{release.prefix}"
        release.await_keys(lambda keys: keys.get("status") == "ok" and "public-ip" in keys, prefix)
        addresses = {release.keys(node.name, prefix)["public-ip"] for node in kubernetes_cluster.nodes}
        assert not any(release.keys(node.name) for node in kubernetes_cluster.nodes)
    assert len(addresses) == 2
