"""The cluster that the other end-to-end tests stand on is what it claims to be."""

import json

import pytest

from tests.e2e.harness import network
from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.images import PROJECT_IMAGE
from tests.e2e.harness.layout import NODES, NodePlace
from tests.e2e.harness.simulator import public_ip
from tests.e2e.harness.system import CommandError

IMDS_URL = "http://169.254.169.254/metadata/loadbalancer?api-version=2020-10-01"
by_node = pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)


def test_both_nodes_are_ready(kubernetes_cluster: KubernetesCluster) -> None:
    """Both nodes say Ready to the API server, each under its own address."""
    assert all(node.is_ready() for node in kubernetes_cluster.nodes)
    addresses = {
        node["metadata"]["name"]: node["status"]["addresses"][0]["address"]
        for node in kubernetes_cluster.get("nodes")["items"]
    }
    assert addresses == {node.name: node.address for node in NODES}


@by_node
def test_pod_gets_the_metadata_of_its_own_node(
    kubernetes_cluster: KubernetesCluster, node: NodePlace
) -> None:
    """A plain pod that asks 169.254.169.254 is told its own node's public IP, as on Azure."""
    with kubernetes_cluster.run_pod(node.name) as pod:
        answer = json.loads(pod.curl(IMDS_URL, "--header", "Metadata: true"))
    public = [entry["frontendIpAddress"] for entry in answer["loadbalancer"]["publicIpAddresses"]]
    assert public == [public_ip(node.address)]


@by_node
def test_pod_reaches_the_api_server_by_name(kubernetes_cluster: KubernetesCluster, node: NodePlace) -> None:
    """Names of Services resolve in a pod, and the API server answers under its own."""
    with kubernetes_cluster.run_pod(node.name) as pod:
        assert pod.curl("https://kubernetes.default.svc/readyz", "--insecure") == "ok"


@pytest.mark.parametrize("namespace", network.NAMESPACES)
def test_no_namespace_has_a_way_out(kubernetes_cluster: KubernetesCluster, namespace: str) -> None:
    """No network namespace of the cluster has a default route, so 169.254.169.254 is only the simulator."""
    assert kubernetes_cluster.nodes
    assert "default" not in network.routes(namespace)


def test_image_runs_without_rights(kubernetes_cluster: KubernetesCluster) -> None:
    """The project's image runs as user 65532 on a read-only root, without capabilities."""
    container = {
        "securityContext": {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    }
    with kubernetes_cluster.run_pod(NODES[0].name, image=PROJECT_IMAGE, container=container) as pod:
        assert pod.exec("azure-lb-metadata", "--version").startswith("azure-lb-metadata ")
        assert pod.exec("id", "-u").strip() == "65532"


def test_image_has_nothing_to_install_with(kubernetes_cluster: KubernetesCluster) -> None:
    """Neither pip nor a compiler is left in the project's image."""
    with kubernetes_cluster.run_pod(NODES[0].name, image=PROJECT_IMAGE) as pod:
        for command in (["python3", "-m", "pip"], ["python3", "-m", "ensurepip"], ["cc", "--version"]):
            with pytest.raises(CommandError):
                pod.exec(*command)


def test_image_is_compiled(kubernetes_cluster: KubernetesCluster) -> None:
    """Every module of the project's image has bytecode that is used without a look at the source."""
    script = (
        "import importlib.util as u, pathlib, sidecar\n"
        "files = list(pathlib.Path(sidecar.__file__).parent.rglob('*.py'))\n"
        "flags = [open(u.cache_from_source(str(f)), 'rb').read(8)[4] for f in files]\n"
        "print(len(files), set(flags))\n"
    )
    with kubernetes_cluster.run_pod(NODES[0].name, image=PROJECT_IMAGE) as pod:
        count, _, flags = pod.exec("/app/bin/python", "-c", script).strip().partition(" ")
    assert int(count) > 10
    assert flags == "{1}"


def test_rule_of_the_firewall_cuts_pods_off(kubernetes_cluster: KubernetesCluster) -> None:
    """A FORWARD rule as AKS's IMDS restriction sets it stops a pod and not the node, until it is removed."""
    node = kubernetes_cluster.nodes[0]
    ask = ("--header", "Metadata: true")
    with kubernetes_cluster.run_pod(node.name) as pod:
        with node.firewall_rule("FORWARD", "-d", "169.254.169.254/32", "-p", "tcp", "-j", "DROP"):
            with pytest.raises(CommandError, match="timed out"):
                pod.curl(IMDS_URL, *ask, timeout_s=1.0)
            assert node.run("curl", "--silent", *ask, IMDS_URL)
        assert pod.curl(IMDS_URL, *ask)
