"""The agent as a sidecar of one pod: no DaemonSet, no Kubernetes API."""

import json
from typing import Any

import pytest
import yaml

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.images import PROJECT_IMAGE
from tests.e2e.harness.layout import CHECKOUT, NODES
from tests.e2e.harness.pods import Pod
from tests.e2e.harness.simulator import public_ip
from tests.e2e.harness.system import CommandError
from tests.support.processes import poll_until

NODE = NODES[0]


def sidecar_pod() -> Any:
    """The shipped manifest, with the image that the nodes have."""
    pod = yaml.safe_load((CHECKOUT / "manifests" / "sidecar-direct.yaml").read_text())
    pod["spec"]["nodeName"] = NODE.name
    for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
        container.update(image=PROJECT_IMAGE, imagePullPolicy="Never")
    return pod


def test_application_starts_with_the_data(kubernetes_cluster: KubernetesCluster) -> None:
    """The application starts only once there is an answer, reads it from a file and has no API token."""
    wanted = sidecar_pod()
    pod = Pod(
        name=wanted["metadata"]["name"],
        namespace="default",
        node=NODE.name,
        kubectl=kubernetes_cluster.kubectl,
    )
    try:
        with kubernetes_cluster.simulator.failing("unavailable"):
            kubernetes_cluster.kubectl("create", "-f", "-", stdin=json.dumps(wanted))
            assert poll_until(lambda: "unavailable" in sidecar_log(pod), deadline_s=60)
            assert "running" not in pod.get()["status"]["containerStatuses"][0]["state"]
        kubernetes_cluster.kubectl("wait", f"pod/{pod.name}", "--for=condition=Ready", "--timeout=60s")
        assert f"This node leaves from {public_ip(NODE.address)}" in pod.logs("--container=application")
        check_application(pod)
    finally:
        kubernetes_cluster.kubectl("delete", "pod", pod.name, "--ignore-not-found", "--grace-period=1")


def sidecar_log(pod: Pod) -> str:
    """What the sidecar has written; nothing while it has not started."""
    try:
        return pod.logs("--container=azure-lb-metadata")
    except CommandError:
        return ""


def check_application(pod: Pod) -> None:
    """The application answers on its own port and finds no token."""
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/loadbalancer.json').read().decode())"
    said = pod.exec("python3", "-c", script, container="application")
    assert public_ip(NODE.address) in said
    with pytest.raises(CommandError, match="No such file"):
        pod.exec("ls", "/var/run/secrets/kubernetes.io", container="application")
