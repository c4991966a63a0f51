"""The examples on a real cluster, with images of the cluster in place of those that stand for anybody's."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.images import CLIENT_IMAGE, PROJECT_IMAGE
from tests.e2e.harness.layout import CHECKOUT, NODES
from tests.e2e.harness.pods import Pod, pod_running
from tests.e2e.harness.release import Release
from tests.e2e.harness.simulator import node_document, public_ip
from tests.e2e.harness.system import CommandError
from tests.support.processes import poll_until
from tools.binaries.programs import locate

EXAMPLES = CHECKOUT / "examples"
NODE = NODES[0]
DEADLINE_S = 120.0
GAME_PORT = 41932

ECHO = """
import socket, sys
player = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
player.settimeout(5)
player.sendto(b"ping", (sys.argv[1], int(sys.argv[2])))
print(player.recv(64).decode())
"""
TURNSERVER = """\
#!/bin/sh
grep external-ip= "$2"
exec python3 -m http.server 3478 --directory /tmp
"""
"""Stands for coturn, of which no image is there: prints its address and listens on its port."""


def objects(name: str) -> list[Any]:
    """The objects of an example's manifest."""
    return list(yaml.safe_load_all((EXAMPLES / name).read_text()))


def adapted(pod: Mapping[str, Any]) -> Any:
    """A pod with the images of this cluster, on a node of the test's choice."""
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        ours = container["image"].startswith("azure-lb-metadata:")
        container["image"] = PROJECT_IMAGE if ours else CLIENT_IMAGE
        container["imagePullPolicy"] = "Never"
    pod["spec"].update(nodeName=NODE.name, terminationGracePeriodSeconds=0)
    return {**pod, "metadata": {**pod["metadata"], "namespace": "default"}}


def example_pod(name: str) -> Any:
    """An example's pod, adapted to this cluster."""
    (pod,) = objects(name)
    return adapted(pod)


def until_logged(pod: Pod, text: str, *arguments: str) -> None:
    """Wait until the pod has written a text."""
    assert poll_until(lambda: text in logs(pod, *arguments), deadline_s=DEADLINE_S), logs(pod, *arguments)


def logs(pod: Pod, *arguments: str) -> str:
    """What a pod has written; nothing while a container of it is being started again."""
    try:
        return pod.logs(*arguments)
    except CommandError:
        return ""


def with_public_ip(address: str) -> Mapping[str, Any]:
    """What the node is told usually, with another public IP."""
    return {"inline": node_document(NODE.address, public=address)}


@contextmanager
def present(cluster: KubernetesCluster, items: list[Any]) -> Iterator[None]:
    """While in the block, the cluster has these objects."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("create", "--namespace=default", "-f", "-", stdin=text)
    try:
        yield
    finally:
        cluster.kubectl("delete", "--namespace=default", "--ignore-not-found", "-f", "-", stdin=text)


def config_map(name: str, files: Mapping[str, str]) -> Any:
    """A ConfigMap with these files."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(files)}


@pytest.mark.usefixtures("release")
def test_init_container(kubernetes_cluster: KubernetesCluster) -> None:
    """The broker starts with its node's public IP address in its configuration."""
    with pod_running(kubernetes_cluster.kubectl, example_pod("init-container/pod.yaml")) as pod:
        until_logged(pod, f"advertised.listeners=EXTERNAL://{public_ip(NODE.address)}:9094\n")


@pytest.mark.usefixtures("release")
def test_game_server(kubernetes_cluster: KubernetesCluster) -> None:
    """The game server prints its public ip:port, and a player from outside is answered at that port."""
    with pod_running(kubernetes_cluster.kubectl, example_pod("game-server/pod.yaml")) as pod:
        until_logged(pod, f"players connect to {public_ip(NODE.address)}:{GAME_PORT}\n")
        # A public address is translated to the node's own before a packet gets there.
        said = kubernetes_cluster.outside("python3", "-c", ECHO, NODE.address, str(GAME_PORT))
    assert said.strip() == "ping"


@pytest.mark.usefixtures("release")
def test_turn_server(kubernetes_cluster: KubernetesCluster) -> None:
    """On the node's network coturn starts with its public address, and again when that is another one."""
    wanted = example_pod("turn-server/pod.yaml")
    (coturn,) = wanted["spec"]["containers"]
    place = {"mountPath": "/usr/bin/turnserver", "subPath": "turnserver"}
    coturn["volumeMounts"].append({"name": "program", **place})
    program = {"name": "turn-server", "defaultMode": 0o555}
    wanted["spec"]["volumes"].append({"name": "program", "configMap": program})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "turn-server"}}
    files = [config_map("turn-server", {"turnserver": TURNSERVER}), {**secret, "stringData": {"secret": "x"}}]
    with present(kubernetes_cluster, files), pod_running(kubernetes_cluster.kubectl, wanted) as pod:
        said = ("--container=coturn",)
        until_logged(pod, f"external-ip={public_ip(NODE.address)}/{NODE.address}\n", *said)
        with kubernetes_cluster.simulator.saying(**{NODE.name: with_public_ip("198.51.100.77")}):
            until_logged(pod, f"external-ip=198.51.100.77/{NODE.address}\n", *said)


@pytest.mark.parametrize("name", ["long_poll.sh", "long_poll.py", "events.sh", "events.py"])
def test_client(kubernetes_cluster: KubernetesCluster, release: Release, name: str) -> None:
    """A client in a pod prints its own node's public IP address, and the next one."""
    interpreter = ["python3", "-c"] if name.endswith(".py") else ["sh", "-c"]
    # After its program a shell takes its own name.
    arguments = [release.url] if name.endswith(".py") else ["sh", release.url]
    command = [*interpreter, (EXAMPLES / "clients" / name).read_text(), *arguments]
    with kubernetes_cluster.run_pod(NODE.name, container={"command": command}) as pod:
        until_logged(pod, public_ip(NODE.address))
        with kubernetes_cluster.simulator.saying(**{NODE.name: with_public_ip("198.51.100.77")}):
            until_logged(pod, "198.51.100.77")


@pytest.mark.usefixtures("release")
def test_egress_allow_list(kubernetes_cluster: KubernetesCluster) -> None:
    """The CronJob's pod, with its own rights, proposes what both nodes leave from, and fails as an alarm."""
    folder = EXAMPLES / "egress-allow-list"
    items = list(yaml.safe_load_all(kubernetes_cluster.kubectl("kustomize", str(folder))))
    (cron_job,) = (item for item in items if item["kind"] == "CronJob")
    template = cron_job["spec"]["jobTemplate"]["spec"]["template"]
    adapted({"metadata": {}, "spec": template["spec"]})
    kubectl = {"name": "kubectl", "hostPath": {"path": str(locate("kubectl")), "type": "File"}}
    template["spec"]["volumes"].append(kubectl)
    (check,) = template["spec"]["containers"]
    check["volumeMounts"].append({"name": "kubectl", "mountPath": "/usr/bin/kubectl", "readOnly": True})
    addresses = [public_ip(node.address) for node in NODES]
    with present(kubernetes_cluster, items):
        place = "--namespace=default"
        kubernetes_cluster.kubectl("create", "job", place, "check", "--from=cronjob/egress-allow-list")
        try:
            kubernetes_cluster.kubectl("wait", place, "job/check", "--for=condition=Failed", "--timeout=3m")
            said = kubernetes_cluster.kubectl("logs", place, "job/check")
        finally:
            kubernetes_cluster.kubectl("delete", place, "job/check")
    for node, address in zip(NODES, addresses, strict=True):
        assert f"{address}/32 # {node.name}\n" in said
    assert "2 nodes told, 0 unknown, 2 addresses to add" in said
