"""An upgrade of the release is not noticed: neither by clients nor in the Nodes."""

import uuid

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.layout import NODES
from tests.e2e.harness.pods import Pod
from tests.e2e.harness.release import AS_SHIPPED, NAME, Release, installed
from tests.support.processes import poll_until

CLIENT = """\
import sys, time, urllib.request
sent, due = 0, time.monotonic()
while True:
    try:
        urllib.request.urlopen(sys.argv[1], timeout=2).read()
        sent += 1
        if sent % 10 == 0: print("sent", sent, flush=True)
    except Exception as error:
        print("failed", repr(error), flush=True)
    due += 0.1
    time.sleep(max(0, due - time.monotonic()))
"""
"""Ten requests a second, each on a connection of its own."""


def sent(pod: Pod) -> int:
    """How many requests were answered so far."""
    lines = [line for line in pod.logs().splitlines() if line.startswith("sent")]
    return int(lines[-1].split()[1]) if lines else 0


def test_no_request_fails_through_an_upgrade(kubernetes_cluster: KubernetesCluster) -> None:
    """Of ten requests a second from a pod through a whole ``helm upgrade``, every one is answered."""
    with installed(kubernetes_cluster, "upgraded", values=AS_SHIPPED) as release:
        check_upgrade(kubernetes_cluster, release)


def check_upgrade(kubernetes_cluster: KubernetesCluster, release: Release) -> None:
    """A pod that asks all the time is answered through an upgrade that replaces every agent."""
    client = {"command": ["python3", "-c", CLIENT, f"{release.url}/v1/public-ip"]}
    with kubernetes_cluster.run_pod(NODES[0].name, container=client) as pod:
        assert poll_until(lambda: sent(pod) >= 10, deadline_s=120)
        before = release.agent(NODES[0].name).name
        release.upgrade({"podAnnotations": {"upgrade": uuid.uuid4().hex}})
        assert release.agent(NODES[0].name).name != before
        after = sent(pod)
        assert poll_until(lambda: sent(pod) >= after + 50, deadline_s=120)
        assert "failed" not in pod.logs()


def writes(kubernetes_cluster: KubernetesCluster, node: str) -> list[str]:
    """When our field manager last wrote to the node."""
    managed = kubernetes_cluster.get("node", node, "--show-managed-fields")["metadata"]["managedFields"]
    return [entry["time"] for entry in managed if entry["manager"] == NAME]


def test_restart_changes_no_node(kubernetes_cluster: KubernetesCluster, release: Release) -> None:
    """A rolling restart of the DaemonSet writes nothing to any Node."""
    release.await_keys(lambda keys: keys.get("status") == "ok")
    before = {node.name: writes(kubernetes_cluster, node.name) for node in NODES}
    assert all(before.values())
    release.kubectl("rollout", "restart", f"daemonset/{release.name}")
    release.roll_out()
    await_polls(kubernetes_cluster, 5)
    for node in NODES:
        assert "taken-up" in release.agent(node.name).logs()
        assert writes(kubernetes_cluster, node.name) == before[node.name]


def await_polls(kubernetes_cluster: KubernetesCluster, count: int) -> None:
    """Wait until the metadata service was asked by every node `count` more times: a second each."""

    def polls() -> dict[str, int]:
        by_caller = kubernetes_cluster.simulator.counters()["byCaller"]
        return {node.name: by_caller[node.address] for node in NODES}

    before = polls()
    assert poll_until(lambda: all(polls()[name] >= before[name] + count for name in before), deadline_s=120)
