"""The agent as a sidecar of one pod: without a DaemonSet, or as a reader of its node's agent."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import yaml

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.images import PROJECT_IMAGE
from tests.e2e.harness.layout import CHECKOUT, NODES, NodePlace
from tests.e2e.harness.pods import Pod
from tests.e2e.harness.release import Release
from tests.e2e.harness.simulator import node_document, public_ip
from tests.e2e.harness.system import CommandError
from tests.support.processes import poll_until

OTHER_ADDRESS = "198.51.100.88"
CHANGED_DEADLINE_S = 120.0
FILE = "loadbalancer.json"


def shipped(name: str) -> Any:
    """A shipped manifest, with the image that the nodes have and nothing else changed."""
    pod = yaml.safe_load((CHECKOUT / "manifests" / name).read_text())
    for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
        container["image"] = PROJECT_IMAGE
    return pod


@contextmanager
def created(cluster: KubernetesCluster, wanted: Any) -> Iterator[str]:
    """While in the block, the cluster has this pod, wherever it may run; gives its name."""
    name = wanted["metadata"]["name"]
    cluster.kubectl("create", "--namespace=default", "-f", "-", stdin=json.dumps(wanted))
    try:
        yield name
    finally:
        cluster.kubectl("delete", "--namespace=default", "pod", name, "--grace-period=0", "--force")


def placed(cluster: KubernetesCluster, name: str) -> tuple[Pod, NodePlace]:
    """The pod, and the node that it was given."""

    def node() -> str:
        said = cluster.kubectl("get", "--namespace=default", "pod", name, "-o=jsonpath={.spec.nodeName}")
        return said.strip()

    assert poll_until(lambda: bool(node()), deadline_s=CHANGED_DEADLINE_S)
    (place,) = (each for each in NODES if each.name == node())
    return Pod(name=name, namespace="default", node=place.name, kubectl=cluster.kubectl), place


def wait_ready(cluster: KubernetesCluster, pod: Pod) -> None:
    """Wait until all of the pod's containers are ready."""
    cluster.kubectl("wait", "--namespace=default", f"pod/{pod.name}", "--for=condition=Ready", "--timeout=3m")


def test_application_starts_with_the_data(kubernetes_cluster: KubernetesCluster) -> None:
    """Beside a direct sidecar the application starts only once there is an answer, and has no API token."""
    with created_direct(kubernetes_cluster) as (pod, place):
        wait_ready(kubernetes_cluster, pod)
        assert f"This node leaves from {public_ip(place.address)}" in pod.logs("--container=application")
        check_application(pod, f"http://127.0.0.1:8080/{FILE}", public_ip(place.address))


@contextmanager
def created_direct(cluster: KubernetesCluster) -> Iterator[tuple[Pod, NodePlace]]:
    """A pod with a direct sidecar, whose application waited while the metadata service failed."""
    with ExitStack() as stack:
        with cluster.simulator.failing("unavailable"):
            name = stack.enter_context(created(cluster, shipped("sidecar-direct.yaml")))
            pod, place = placed(cluster, name)
            assert poll_until(lambda: "unavailable" in sidecar_log(pod), deadline_s=60)
            assert "running" not in pod.get()["status"]["containerStatuses"][0]["state"]
        yield pod, place


def sidecar_log(pod: Pod) -> str:
    """What the sidecar has written; nothing while it has not started."""
    try:
        return pod.logs("--container=azure-lb-metadata")
    except CommandError:
        return ""


def check_application(pod: Pod, url: str, address: str) -> None:
    """The application is told the address at a URL of its pod, and finds no token."""
    script = f"import urllib.request as u; print(u.urlopen({url!r}).read().decode())"
    assert address in pod.exec("python3", "-c", script, container="application")
    with pytest.raises(CommandError, match="No such file"):
        pod.exec("ls", "/var/run/secrets/kubernetes.io", container="application")


def test_sidecar_reads_the_agent(kubernetes_cluster: KubernetesCluster, release: Release) -> None:
    """A sidecar of the node's agent gives its application the agent's data, without the metadata service."""
    simulator = kubernetes_cluster.simulator
    with agents_cut_off(release), ExitStack() as stack:
        before = simulator.counters()["byCaller"]
        name = stack.enter_context(created(kubernetes_cluster, shipped("sidecar.yaml")))
        pod, place = placed(kubernetes_cluster, name)
        wait_ready(kubernetes_cluster, pod)
        address = public_ip(place.address)
        said = f"This node is {place.name}, its public address {address}"
        assert said in pod.logs("--container=application")
        check_application(pod, "http://127.0.0.1:16925/v1/public-ip", address)
        # All that was asked since came from no pod: the agents are cut off, and so this is exact.
        assert simulator.counters()["byCaller"] == before
        kept = stack.pop_all()
    with kept:
        check_change(kubernetes_cluster, pod, place)


@contextmanager
def agents_cut_off(release: Release) -> Iterator[None]:
    """While in the block, the agents, and they alone of all pods, do not reach the metadata service."""
    with ExitStack() as rules:
        for node in release.cluster.nodes:
            address = release.agent(node.name).get()["status"]["podIP"]
            rules.enter_context(
                node.firewall_rule("FORWARD", "-s", address, "-d", "169.254.169.254", "-j", "DROP")
            )
        yield


def check_change(cluster: KubernetesCluster, pod: Pod, place: NodePlace) -> None:
    """A change at the metadata service gets into the application's file."""
    read = ("cat", f"/run/azure-lb-metadata/{FILE}.env")
    document = {"inline": node_document(place.address, public=OTHER_ADDRESS)}
    with cluster.simulator.saying(**{place.name: document}):
        assert poll_until(
            lambda: f"AZURE_LB_PUBLIC_IP={OTHER_ADDRESS}\n" in pod.exec(*read, container="application"),
            deadline_s=CHANGED_DEADLINE_S,
        ), pod.exec(*read, container="application")
