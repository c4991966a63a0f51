"""`doctor` on a real cluster: in an agent's pod, and from an operator's machine through the API server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.layout import CHECKOUT, NODES
from tests.e2e.harness.release import Release, installed
from tests.support.processes import poll_until

RESTRICTION = ("FORWARD", "-d", "169.254.169.254/32", "-p", "tcp", "--dport", "80", "-j", "DROP")
COMMAND_DEADLINE_S = 120.0
STALE_DEADLINE_S = 120.0


@pytest.fixture(scope="module")
def installation(kubernetes_cluster: KubernetesCluster) -> Iterator[Release]:
    """A release of these tests' own, on all nodes; each leaves it as it found it."""
    with installed(kubernetes_cluster, "doctor-command", values={"imds.staleAfter": "3s"}) as release:
        yield release


@pytest.fixture
def release(installation: Release) -> Release:
    """That release when it is well on all nodes."""
    installation.await_keys(lambda keys: keys.get("status") == "ok")
    return installation


def in_pod(release: Release, node: str, *arguments: str) -> dict[str, Any]:
    """Its report in the agent's pod of a node, with the exit code beside it."""
    # The exit code of 1 would be an error of kubectl.
    script = 'azure-lb-metadata doctor --json "$@"; echo $?'
    output = release.agent(node).exec("sh", "-c", script, "doctor", *arguments)
    report, _, code = output.rstrip("\n").rpartition("\n")
    return {**json.loads(report), "code": int(code)}


def from_afar(release: Release, node: str) -> dict[str, Any]:
    """Its report on the machine of the cluster's admin."""
    where = f"--kubeconfig={release.cluster.kubeconfig}"
    which = (f"--annotation-prefix={release.prefix}", f"--agent-namespace={release.namespace}")
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "doctor", "--json", "--node", node, where, *which],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=COMMAND_DEADLINE_S,
        check=False,
    )
    assert done.stdout, done.stderr
    return {**json.loads(done.stdout), "code": done.returncode}


def causes(report: dict[str, Any]) -> list[str]:
    """Names of the causes, in their order."""
    return [cause["name"] for cause in report["causes"]]


def test_healthy(release: Release) -> None:
    """On a healthy node there is no cause, whoever looks; the agent's own flags tell where to look."""
    name = NODES[0].name
    inside, direct, outside = (
        in_pod(release, name),
        in_pod(release, name, "--direct"),
        from_afar(release, name),
    )

    for report in (inside, direct, outside):
        assert (report["code"], causes(report), report["notes"]) == (0, [], []), report
        assert report["node"] == name
    assert inside["lookedAt"][1:] == ["the API server"]
    assert direct["lookedAt"][0].startswith("the metadata service, http://169.254.169.254 (3 of 3")
    assert "through the API server (status ok)" in outside["lookedAt"][0]


def test_restriction(kubernetes_cluster: KubernetesCluster, release: Release) -> None:
    """Where AKS keeps pods from the service, that is named, in the pod and from afar."""
    name = NODES[0].name
    with ExitStack() as rules:
        for node in kubernetes_cluster.nodes:
            rules.enter_context(node.firewall_rule(*RESTRICTION))
        release.await_keys(lambda keys: keys.get("status") == "stale")
        inside, outside = in_pod(release, name), from_afar(release, name)

    assert (inside["code"], causes(inside)[0]) == (1, "imds-restriction"), inside
    assert inside["causes"][0]["sure"] == "likely"
    assert (outside["code"], causes(outside)[0]) == (1, "imds-restriction"), outside


def test_rights(kubernetes_cluster: KubernetesCluster, release: Release) -> None:
    """Without its binding the agent's missing rights are named by both."""
    name = NODES[0].name
    bindings = kubernetes_cluster.get("clusterrolebindings")["items"]
    own = [each for each in bindings if _binds(each, release.namespace)]
    assert own
    for binding in own:
        kubernetes_cluster.kubectl("delete", "clusterrolebinding", binding["metadata"]["name"])
    try:
        assert poll_until(
            lambda: causes(in_pod(release, name))[:1] == ["rbac-missing"], deadline_s=STALE_DEADLINE_S
        )
        assert causes(from_afar(release, name))[:1] == ["rbac-missing"]
    finally:
        release.upgrade()


def _binds(binding: dict[str, Any], namespace: str) -> bool:
    subjects = binding.get("subjects") or []
    return any(subject.get("namespace") == namespace for subject in subjects)


def test_service_in_trouble(kubernetes_cluster: KubernetesCluster, release: Release) -> None:
    """What the service answers is told by its words, in the pod and, since the agent remembers, from afar."""
    name = NODES[1].name
    with kubernetes_cluster.simulator.failing("forbidden"):
        release.await_keys(lambda keys: keys.get("reason") == "rejected")
        inside, outside = in_pod(release, name), from_afar(release, name)

    assert causes(inside)[0] == "metadata-security-protocol", inside
    assert causes(outside)[0] == "metadata-security-protocol", outside
