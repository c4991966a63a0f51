"""Objects of the API server read for operators: what is taken of them, and what is refused."""

import json
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest

from sidecar.core.cluster import (
    AgentPod,
    ClusterNode,
    LoadBalancerService,
    Placement,
    Requirement,
    Taint,
    Toleration,
)
from sidecar.kube.listing import FleetClient, connect_fleet
from sidecar.kube.wire import WireNode, WireService, page_of
from sidecar.kube.workloads import WireDaemonSet, WirePod
from tests.support.cluster import Cluster
from tests.support.fleet import Fleet

MADE = "2026-01-02T03:04:05Z"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
METADATA: dict[str, Any] = {"name": "one", "namespace": "lb", "creationTimestamp": MADE, "labels": None}


def body(*items: Any, **metadata: str) -> bytes:
    """A page of a list."""
    return json.dumps({"metadata": metadata, "items": list(items) or None}).encode()


def node(item: Any) -> ClusterNode:
    """What is taken of a Node."""
    (taken,) = page_of(WireNode, WireNode.convert)(body(item)).items
    return taken


def pod(spec: dict[str, Any], status: dict[str, Any]) -> AgentPod:
    """What is taken of a pod."""
    item = {"metadata": METADATA, "spec": spec, "status": status}
    (taken,) = page_of(WirePod, WirePod.convert)(body(item)).items
    return taken


def test_empty_page() -> None:
    """The items of an empty list are null, and the next page has a token."""
    page = page_of(WireNode, WireNode.convert)(body(**{"continue": "token"}))
    assert (page.items, page.next) == ([], "token")


def test_bare_node() -> None:
    """A Node that was just made is not ready, since it was made."""
    assert node({"metadata": METADATA, "spec": {}, "status": {"conditions": None}}) == ClusterNode(
        name="one", ready=False, since=MOMENT
    )


def test_node() -> None:
    """Its condition Ready counts, with its time, and taints may have no value."""
    conditions = [{"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": "True"}]
    spec = {"taints": [{"key": "sku", "effect": "NoSchedule", "timeAdded": MADE}]}
    taken = node({"metadata": METADATA, "spec": spec, "status": {"conditions": conditions, "images": [1]}})
    assert taken.ready
    assert taken.taints == (Taint("sku", "", "NoSchedule"),)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"{}",
        b'{"metadata": {}, "items": [{}]}',
        b'{"metadata": {}, "items": [{"metadata": {"name": 1}}]}',
        b'{"metadata": {}, "items": [{"metadata": {"name": "a", "annotations": {"k": 1}}}]}',
        b'{"metadata": {}, "items": [{"metadata": {"name": "a"}, "status": {"conditions": 1}}]}',
    ],
)
def test_wrong_shape(wrong: bytes) -> None:
    """Anything else than a list of Nodes is a wrong value."""
    with pytest.raises(ValueError, match=r"."):
        page_of(WireNode, WireNode.convert)(wrong)


def test_pod_without_a_node() -> None:
    """A pod that is not scheduled is that of the Node that the DaemonSet controller made it for."""
    fields = [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]
    terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    taken = pod({"containers": [], "affinity": affinity}, {"conditions": [scheduled]})
    assert (taken.node, taken.scheduled, taken.trouble, taken.prefix) == (
        "node-1",
        False,
        "Unschedulable",
        None,
    )


def test_pod() -> None:
    """Readiness, trouble and prefix are the agent container's; words of others are made printable."""
    containers = [
        {"name": "mesh", "args": ["--annotation-prefix=other.example.com"]},
        {
            "name": "agent",
            "args": None,
            "env": [{"name": "AZURE_LB_METADATA_ANNOTATION_PREFIX", "value": "lb.example.com"}],
        },
    ]
    waiting = {"state": {"waiting": {"reason": "Crash\x1b[2JLoop"}}}
    status = {
        "podIP": "10.1.1.1",
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": MADE}],
        "containerStatuses": [{"state": {"running": {}}}, waiting],
    }
    taken = pod({"nodeName": "node-1", "containers": containers}, status)
    assert taken == AgentPod(
        namespace="lb",
        name="one",
        node="node-1",
        prefix="lb.example.com",
        ready=False,
        since=MOMENT,
        trouble="Crash [2JLoop",
        address="10.1.1.1",
    )


def test_daemon_set() -> None:
    """Where its pods may run is taken from their template."""
    expressions = [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    spec = {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
        "nodeSelector": {"pool": "a"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "agent"}],
    }
    item = {"metadata": METADATA, "spec": {"template": {"spec": spec}}}
    (taken,) = page_of(WireDaemonSet, WireDaemonSet.convert)(body(item)).items
    assert (str(taken), taken.prefix) == ("lb/one", "azure-lb-metadata.io")
    assert taken.placement == Placement(
        tolerations=(Toleration(operator="Exists"),),
        selector={"pool": "a"},
        terms=((Requirement("kubernetes.io/os", "In", ("linux",)),),),
    )


def test_service() -> None:
    """Its addresses are those of its load balancer; a name instead of an address is passed over."""
    ingress = [{"ip": "20.1.1.1"}, {"hostname": "lb.example.com"}, {"ip": "::ffff:1.2.3.4"}]
    item = {
        "metadata": METADATA,
        "spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 80}]},
        "status": {"loadBalancer": {"ingress": ingress}},
    }
    (taken,) = page_of(WireService, WireService.convert)(body(item)).items
    assert taken == LoadBalancerService(
        namespace="lb",
        name="one",
        addresses=frozenset([ip_address("20.1.1.1")]),
        ports=frozenset([("udp", 53), ("tcp", 80)]),
    )


@pytest.mark.apiserver
async def test_pages(cluster: Cluster, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of many pages of whole Nodes holds each once; one Node can be asked for alone."""
    made = [await fleet.add(f"node-{number}", agent=number == 0) for number in range(5)]
    monkeypatch.setattr("sidecar.kube.listing.NODE_PAGE", 2)
    async with connect_fleet(kubeconfig=str(cluster.server.admin_kubeconfig), timeout=30) as client:
        pages = [page async for page in client.nodes(selector=fleet.selector)]
        assert [len(page) for page in pages] == [2, 2, 1]
        assert sorted(node.name for page in pages for node in page) == sorted(made)
        assert await client.node(made[0]) in pages[0]
        assert await client.node("no-such-node") is None
        await check_agents(client, fleet, made)


async def check_agents(client: FleetClient, fleet: Fleet, made: list[str]) -> None:
    """The agent of a Node is found in all namespaces and in its own, and only there."""
    for namespace in (None, fleet.namespace):
        (agent,) = await client.agent_pods(namespace=namespace, node=made[0])
        assert (agent.node, agent.namespace, agent.serves) == (made[0], fleet.namespace, True)
    assert await client.agent_pods(node=made[1]) == []
    assert await client.agent_pods(namespace="default", node=made[0]) == []
    (daemon_set,) = await client.agent_daemon_sets(namespace=fleet.namespace)
    assert daemon_set.prefix == "azure-lb-metadata.io"
