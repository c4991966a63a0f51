"""After ``helm install`` every node carries its annotations, and every pod can ask its own node's agent."""

from collections.abc import Iterator

import pytest

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.images import PROJECT_IMAGE
from tests.e2e.harness.layout import NODES, NodePlace
from tests.e2e.harness.release import COLUMNS, Release, installed, made
from tests.e2e.harness.simulator import public_ip
from tests.e2e.harness.system import CommandError
from tests.support.processes import poll_until

ANNOTATED_DEADLINE_S = 120.0
by_node = pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)


@pytest.fixture
def labelled(kubernetes_cluster: KubernetesCluster) -> Iterator[str]:
    """The key of a label that every node has, until a test takes it away."""
    key = "example.com/agent"
    kubernetes_cluster.kubectl("label", "node", "--all", f"{key}=yes")
    yield key
    kubernetes_cluster.kubectl("label", "node", "--all", f"{key}-")


def test_columns_show_each_node_its_own_address(release: Release) -> None:
    """``kubectl get nodes`` with the shipped columns shows two nodes with two different public IPs."""

    def shown() -> dict[str, str]:
        table = release.kubectl("get", "nodes", f"-o=custom-columns-file={COLUMNS}").splitlines()
        column = table[0].split().index("PUBLIC-IP")
        return {line.split()[0]: line.split()[column] for line in table[1:]}

    wanted = {node.name: public_ip(node.address) for node in NODES}
    assert poll_until(lambda: shown() == wanted, deadline_s=ANNOTATED_DEADLINE_S), shown()


@by_node
def test_pod_is_answered_by_its_own_node(
    kubernetes_cluster: KubernetesCluster, release: Release, node: NodePlace
) -> None:
    """A plain pod that asks the Service gets the public IP of the node it runs on, every time."""
    with kubernetes_cluster.run_pod(node.name) as pod:
        answers = {pod.curl(f"{release.url}/v1/public-ip").strip() for _ in range(5)}
    assert answers == {public_ip(node.address)}


@by_node
def test_pod_gets_the_drop_in_answer(
    kubernetes_cluster: KubernetesCluster, release: Release, node: NodePlace
) -> None:
    """The path of the metadata service answers under the Service's name, to clients of that service."""
    url = f"{release.url}/metadata/loadbalancer?api-version=2020-10-01"
    with kubernetes_cluster.run_pod(node.name) as pod:
        assert public_ip(node.address) in pod.curl(url, "--header", "Metadata: true")


def test_command_asks_the_service(kubernetes_cluster: KubernetesCluster, release: Release) -> None:
    """The command ``get`` of a pod without settings asks the Service that ``--upstream`` names."""
    node = NODES[0]
    with kubernetes_cluster.run_pod(node.name, image=PROJECT_IMAGE) as pod:
        said = pod.exec("azure-lb-metadata", "get", "public-ip", "--upstream", release.url)
    assert said.strip() == public_ip(node.address)


def test_pod_without_an_agent_gets_no_answer(kubernetes_cluster: KubernetesCluster, labelled: str) -> None:
    """With its own agent gone a pod's connection fails within its time-out: never another node's answer."""
    left, served = NODES
    selector = {"nodeSelector": {labelled: "yes"}}
    with installed(kubernetes_cluster, "leaving", values=selector) as release:
        url = f"{release.url}/v1/public-ip"
        with (
            kubernetes_cluster.run_pod(left.name) as alone,
            kubernetes_cluster.run_pod(served.name) as neighbour,
        ):
            assert alone.curl(url).strip() == public_ip(left.address)
            kubernetes_cluster.kubectl("label", "node", left.name, f"{labelled}-")
            release.kubectl(
                "wait", "pod", "--for=delete", f"--field-selector=spec.nodeName={left.name}", "--timeout=3m"
            )
            assert neighbour.curl(url).strip() == public_ip(served.address)
            for _ in range(5):
                with pytest.raises(CommandError, match="timed out"):
                    alone.curl(url, timeout_s=1.0)


def test_variables_of_the_service_disturb_no_agent(kubernetes_cluster: KubernetesCluster) -> None:
    """Agents started after the Service, with its variables in their environment, answer as ever."""
    node = NODES[0]
    with made(kubernetes_cluster, "linked") as release:
        release.submit()
        patch = '{"spec": {"template": {"spec": {"enableServiceLinks": true}}}}'
        release.kubectl("patch", "daemonset", release.name, f"--patch={patch}")
        release.roll_out()
        assert "AZURE_LB_METADATA_SERVICE_HOST=" in release.agent(node.name).exec("env")
        links = {"enableServiceLinks": True}
        with kubernetes_cluster.run_pod(node.name, namespace=release.namespace, spec=links) as pod:
            assert "AZURE_LB_METADATA_PORT=tcp://" in pod.exec("env")
            assert pod.curl(f"{release.url}/v1/public-ip").strip() == public_ip(node.address)


def test_every_agent_writes_its_own_node_only(
    kubernetes_cluster: KubernetesCluster, release: Release
) -> None:
    """The keys of a node are those of its own addresses, and their writer is the release's field manager."""
    release.await_keys(lambda keys: keys.get("status") == "ok")
    for node in NODES:
        keys = release.keys(node.name)
        assert keys["status"] == "ok"
        assert keys["public-ips"] == public_ip(node.address)
        managers = kubernetes_cluster.get("node", node.name, "--show-managed-fields")["metadata"][
            "managedFields"
        ]
        assert release.name in {entry["manager"] for entry in managers}
