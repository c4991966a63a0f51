"""The manifests are valid, ask for no more than they need, and their pods are as restricted as can be."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar import __version__
from tests.chart.test_pods import not_restricted
from tests.examples.support import EXAMPLES

kubernetes_validate: Any = pytest.importorskip("kubernetes_validate")

VERSIONS = ("1.30", "1.36")
MANIFESTS = sorted(path for path in EXAMPLES.rglob("*.yaml") if path.name != "kustomization.yaml")
ALLOWED = {
    "game-server": ["privileged or hostPort"],
    "turn-server": ["hostNetwork", "capabilities"],
}
"""What a pod asks for beyond the Pod Security level "restricted"; each says why."""


def objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a manifest."""
    return list(yaml.safe_load_all(path.read_text()))


def pods(path: Path) -> list[dict[str, Any]]:
    """Specifications of the pods of a manifest."""
    found: list[dict[str, Any]] = []
    for item in objects(path):
        match item["kind"]:
            case "Pod":
                found.append(item["spec"])
            case "CronJob":
                found.append(item["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    return found


PODS = {path.parent.name: pod for path in MANIFESTS for pod in pods(path)}
each_pod = pytest.mark.parametrize("name", PODS)
each_manifest = pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All containers of a pod."""
    return [*pod.get("initContainers", ()), *pod["containers"]]


def test_all_are_found() -> None:
    """There is a pod in each of the four examples that have manifests."""
    assert PODS.keys() == {"egress-allow-list", "game-server", "init-container", "turn-server"}


@pytest.mark.parametrize("version", VERSIONS)
@each_manifest
def test_valid(path: Path, version: str) -> None:
    """Each object has the members, and only the members, that this Kubernetes knows."""
    for item in objects(path):
        kubernetes_validate.validate(item, version, strict=True)


@each_pod
def test_restricted(name: str) -> None:
    """No pod asks for more than its purpose needs."""
    assert not_restricted(PODS[name]) == ALLOWED.get(name, [])


def test_turn_servers_capability() -> None:
    """Its one capability is the one that the level "restricted" allows, and it can gain no other."""
    (coturn,) = PODS["turn-server"]["containers"]
    assert coturn["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert coturn["securityContext"]["allowPrivilegeEscalation"] is False


@each_pod
def test_bounded(name: str) -> None:
    """Every container has a read-only root, requests, a limit of memory, and an image of one version."""
    for container in containers(PODS[name]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        image, _, tag = container["image"].partition(":")
        assert tag not in {"", "latest"}
        assert image != "azure-lb-metadata" or tag == __version__


@each_pod
def test_no_token_but_for_the_list(name: str) -> None:
    """Only the job that lists Nodes has a token; no Service's variables are injected into any."""
    assert PODS[name]["automountServiceAccountToken"] is (name == "egress-allow-list")
    assert PODS[name]["enableServiceLinks"] is False


@each_pod
def test_name_resolution(name: str) -> None:
    """Who is on the node's network, and only those, must ask for the cluster's names."""
    pod = PODS[name]
    assert (pod.get("dnsPolicy") == "ClusterFirstWithHostNet") is bool(pod.get("hostNetwork"))


def test_probes() -> None:
    """What runs for long has a probe of readiness, or as a sidecar one of its start."""
    for name in PODS.keys() - {"egress-allow-list"}:
        for container in PODS[name]["containers"]:
            assert "readinessProbe" in container
        for container in PODS[name].get("initContainers", ()):
            assert (container.get("restartPolicy") == "Always") is ("startupProbe" in container)


def test_rights() -> None:
    """The job may list Nodes and nothing else, and its rights go to its own account."""
    items = {item["kind"]: item for item in objects(EXAMPLES / "egress-allow-list" / "cronjob.yaml")}
    (rule,) = items["ClusterRole"]["rules"]
    assert rule == {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
    (subject,) = items["ClusterRoleBinding"]["subjects"]
    assert subject["name"] == items["ServiceAccount"]["metadata"]["name"]
    assert PODS["egress-allow-list"]["serviceAccountName"] == subject["name"]


def test_no_two_runs() -> None:
    """A run that hangs ends and has no second one beside it; one that fails is not repeated."""
    (job,) = (
        item for item in objects(EXAMPLES / "egress-allow-list" / "cronjob.yaml") if item["kind"] == "CronJob"
    )
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 15 * 60
