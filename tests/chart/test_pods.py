"""Every pod of the chart is as restricted as Kubernetes can ask for, and no mesh gets into it."""

from typing import Any

import pytest

from tests.chart.helm import Value, render

pytestmark = pytest.mark.chart

ALL: dict[str, Value] = {"simulator.enabled": True}
VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
"""What the Pod Security Standards call restricted:
https://kubernetes.io/docs/concepts/security/pod-security-standards/."""


def not_restricted(spec: dict[str, Any]) -> list[str]:
    """What the Pod Security level "restricted" would say about a pod."""
    pod, found = spec["securityContext"], []
    if pod.get("runAsNonRoot") is not True or pod.get("runAsUser") == 0:
        found.append("runAsNonRoot")
    if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append("seccompProfile")
    found += [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += [volume["name"] for volume in spec.get("volumes", ()) if not VOLUMES & volume.keys()]
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        context = container["securityContext"]
        if context.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if context.get("capabilities") != {"drop": ["ALL"]}:
            found.append("capabilities")
        if context.get("privileged") or any("hostPort" in port for port in container.get("ports", ())):
            found.append("privileged or hostPort")
    return found


def pods(values: dict[str, Value]) -> dict[str, dict[str, Any]]:
    """All pods of the chart; there are four."""
    found = render(values).pods
    assert found.keys() == {"DaemonSet", "Deployment", "Job", "Pod"}
    return found


def test_restricted() -> None:
    """All pods pass the Pod Security level "restricted"."""
    assert not {kind: found for kind, pod in pods(ALL).items() if (found := not_restricted(pod["spec"]))}


def test_host_network_is_all_that_is_asked_for() -> None:
    """With hostNetwork the agents lose that level for this one reason, and the other pods keep it."""
    found = {kind: not_restricted(pod["spec"]) for kind, pod in pods({**ALL, "hostNetwork": True}).items()}
    assert found.pop("DaemonSet") == ["hostNetwork"]
    assert not any(found.values())


@pytest.mark.parametrize("kind", ["DaemonSet", "Deployment", "Job", "Pod"])
def test_pod(kind: str) -> None:
    """Its root is read-only, no Service's variables are injected, no mesh joins, and memory is bounded."""
    pod = pods(ALL)[kind]
    assert pod["spec"]["enableServiceLinks"] is False
    annotations, labels = pod["metadata"]["annotations"], pod["metadata"]["labels"]
    assert annotations["sidecar.istio.io/inject"] == labels["sidecar.istio.io/inject"] == "false"
    assert annotations["linkerd.io/inject"] == "disabled"
    assert labels["kuma.io/sidecar-injection"] == "disabled"
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("kind", ["DaemonSet", "Deployment"])
def test_probes(kind: str) -> None:
    """What runs for long has both probes, which AKS's Deployment Safeguards ask for."""
    (container,) = pods(ALL)[kind]["spec"]["containers"]
    assert {"readinessProbe", "livenessProbe"} <= container.keys()


def test_only_agents_are_selected() -> None:
    """Neither the Service nor the DaemonSet takes another pod of the release for an agent."""
    rendered = render(ALL)
    selectors = [
        rendered.one("Service")["spec"]["selector"],
        rendered.one("DaemonSet")["spec"]["selector"]["matchLabels"],
    ]
    for kind, pod in rendered.pods.items():
        for selector in selectors:
            assert (selector.items() <= pod["metadata"]["labels"].items()) is (kind == "DaemonSet")


def test_common_labels() -> None:
    """Every object and every pod has the labels that all are to have."""
    values: dict[str, Value] = {
        **ALL,
        "commonLabels": {"team": "net"},
        "annotations.previousPrefixes": ["a.example"],
    }
    rendered = render(values | {"networkPolicy.enabled": True, "podMonitor.enabled": True})
    for item in (*rendered.objects, *rendered.pods.values()):
        assert item["metadata"]["labels"]["team"] == "net"
