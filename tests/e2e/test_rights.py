"""The agent's own token can annotate its own Node under its own prefix, and nothing else."""

import json
from typing import Any

import pytest

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.release import PREFIX, Release
from tests.e2e.harness.system import CommandError

OWN, OTHER = "node-a", "node-b"
TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - the place of one
FOREIGN = "volumes.kubernetes.io/controller-managed-attach-detach"
"""An annotation that the kubelet writes to every Node."""


def merge(node: str, patch: Any, *arguments: str) -> tuple[str, ...]:
    """The kubectl command that merges a patch into a Node."""
    return ("patch", "node", node, "--type=merge", f"--patch={json.dumps(patch)}", *arguments)


def annotate(node: str, key: str, value: str | None) -> tuple[str, ...]:
    """The kubectl command that sets an annotation of a Node, or removes it."""
    return merge(node, {"metadata": {"annotations": {key: value}}})


FORBIDDEN = {
    "annotate another node": annotate(OTHER, f"{PREFIX}/status", "ok"),
    "label": merge(OWN, {"metadata": {"labels": {"a": "b"}}}),
    "label under the prefix": merge(OWN, {"metadata": {"labels": {f"{PREFIX}/a": "b"}}}),
    "taint": merge(OWN, {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}),
    "unschedulable": merge(OWN, {"spec": {"unschedulable": True}}),
    "finalizer": merge(OWN, {"metadata": {"finalizers": ["example.com/stay"]}}),
    "foreign annotation": annotate(OWN, "example.com/a", "b"),
    "change a foreign annotation": annotate(OWN, FOREIGN, "false"),
    "remove a foreign annotation": annotate(OWN, FOREIGN, None),
    "oversized value": annotate(OWN, f"{PREFIX}/loadbalancer", "x" * 9000),
    "unprintable value": annotate(OWN, f"{PREFIX}/status", "\u0007"),
    "status": merge(OWN, {"status": {"conditions": None}}, "--subresource=status"),
    "delete own node": ("delete", "node", OWN, "--wait=false"),
    "delete another node": ("delete", "node", OTHER, "--wait=false"),
    "list nodes": ("get", "nodes"),
    "read secrets": ("get", "secrets", "--all-namespaces"),
    "read config maps": ("get", "configmaps", "--namespace=kube-system"),
    "delete pods": ("delete", "pods", "--all", "--namespace=default"),
    "make tokens": ("create", "token", "default", "--namespace=kube-system"),
}


@pytest.fixture(scope="module")
def token(release: Release) -> str:
    """The token that the agent of the own node has."""
    return release.agent(OWN).exec("cat", TOKEN_FILE)


def test_own_annotation_is_permitted(kubernetes_cluster: KubernetesCluster, token: str) -> None:
    """With the agent's token a key under the prefix can be written to the agent's own Node."""
    kubernetes_cluster.kubectl(f"--token={token}", *annotate(OWN, f"{PREFIX}/test", "a"))
    assert kubernetes_cluster.annotations(OWN)[f"{PREFIX}/test"] == "a"
    kubernetes_cluster.kubectl(f"--token={token}", *annotate(OWN, f"{PREFIX}/test", None))


@pytest.mark.parametrize("command", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_everything_else_is_refused(
    kubernetes_cluster: KubernetesCluster, token: str, command: tuple[str, ...]
) -> None:
    """With the agent's token nothing else of the cluster can be read, written or deleted."""
    with pytest.raises(CommandError, match=r"forbidden|Forbidden|denied request"):
        kubernetes_cluster.kubectl(f"--token={token}", *command)


def test_node_cannot_be_created(kubernetes_cluster: KubernetesCluster, token: str) -> None:
    """With the agent's token no Node can be made, neither by creation nor by an apply."""
    node = json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "intruder"}})
    for command in (("create",), ("apply", "--server-side")):
        with pytest.raises(CommandError, match=r"forbidden|denied request"):
            kubernetes_cluster.kubectl(f"--token={token}", *command, "-f", "-", stdin=node)


def test_helm_test_notices_that_the_policy_is_gone(release: Release) -> None:
    """``helm test`` passes, and says what fails once somebody has removed the policy's binding."""
    assert "Succeeded" in release.helm("test", release.name)
    bindings = "validatingadmissionpolicybindings"
    release.kubectl("delete", bindings, f"--selector=app.kubernetes.io/instance={release.name}")
    try:
        with pytest.raises(CommandError, match="failed") as failure:
            release.helm("test", release.name)
    finally:
        release.submit()  # which makes what is missing
    said = str(failure.value)
    assert "passed: the Service answers this pod for its own node (status ok)" in said
    assert "passed: the node of this pod has been annotated (" in said
    assert "FAILED: an agent is refused what no agent may write: the agent of node-" in said
