"""Where AKS keeps pods from the metadata service, the agent says so, and hostNetwork helps."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.layout import NODES
from tests.e2e.harness.release import Release, installed, made
from tests.e2e.harness.simulator import public_ip
from tests.e2e.harness.system import CommandError

RESTRICTION = ("FORWARD", "-d", "169.254.169.254/32", "-p", "tcp", "--dport", "80", "-j", "DROP")
API_PORT = 16925
IMPATIENT = {"imds.staleAfter": "3s"}


@pytest.fixture
def restriction() -> Iterator[ExitStack]:
    """A stack to put the firewall's rule on, on every node; it is taken off at the end of the test."""
    with ExitStack() as rules:
        yield rules


def restrict(kubernetes_cluster: KubernetesCluster, rules: ExitStack) -> None:
    """Keep the pods of every node from the metadata service, as AKS's IMDS restriction does."""
    for node in kubernetes_cluster.nodes:
        rules.enter_context(node.firewall_rule(*RESTRICTION))


def is_unreachable(status: str, keys: dict[str, str]) -> bool:
    """Whether the status is this, for the reason that nothing can be reached."""
    return (keys.get("status"), keys.get("reason")) == (status, "unreachable")


def test_restriction_is_told(kubernetes_cluster: KubernetesCluster, restriction: ExitStack) -> None:
    """When pods are cut off, annotations and log of a running agent say ``unreachable``."""
    with installed(kubernetes_cluster, "cut-off", values=IMPATIENT) as release:
        release.await_keys(lambda keys: keys.get("status") == "ok")
        restrict(kubernetes_cluster, restriction)
        release.await_keys(lambda keys: is_unreachable("stale", keys))
        for node in NODES:
            assert "unreachable" in release.agent(node.name).logs()


def test_restricted_node_says_so_and_host_network_helps(
    kubernetes_cluster: KubernetesCluster, restriction: ExitStack
) -> None:
    """A new node that is restricted says ``unreachable``; with hostNetwork it works, for private clients."""
    restrict(kubernetes_cluster, restriction)
    with made(kubernetes_cluster, "restricted", values=IMPATIENT) as release:
        release.submit()
        release.await_keys(lambda keys: is_unreachable("starting", keys))
        release.upgrade({"hostNetwork": True, "updateStrategy": {}})
        release.await_keys(lambda keys: keys.get("status") == "ok")
        for node in NODES:
            with kubernetes_cluster.run_pod(node.name) as pod:
                assert pod.curl(f"{release.url}/v1/public-ip").strip() == public_ip(node.address)
        check_public_clients_are_refused(kubernetes_cluster, release)


def check_public_clients_are_refused(kubernetes_cluster: KubernetesCluster, release: Release) -> None:
    """A client with a public address gets no answer from a node that answers its neighbour."""
    target, neighbour = kubernetes_cluster.nodes
    curl = (
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        "3",
        f"http://{target.address}:{API_PORT}/v1/public-ip",
    )
    assert neighbour.run(*curl).strip() == public_ip(target.address), release.name
    with pytest.raises(CommandError):
        kubernetes_cluster.outside(*curl)
