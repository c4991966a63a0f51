"""The annotations of a Node on a real API server: what they say, and that nothing else is touched."""

import hashlib
import re
from typing import Any

import pytest

from sidecar.simulator import Serving
from tests.agent.support import PREFIX, annotating, has, ours, until_annotated
from tests.support.cluster import Cluster, Identity
from tests.support.nodes import NodeMetadata
from tests.support.program import flags, program_running

pytestmark = pytest.mark.apiserver

MANAGER = "azure-lb-metadata"

# pylint: disable=duplicate-code  # the same captures as in the core's tests, here on a Node
CAPTURES = {
    "sample-howto": {
        "public-ip": "51.0.0.1",
        "public-ips": "51.0.0.1",
        "inbound-ips": "50.0.0.1,2603:10e1:100:2::1:1",
        "outbound-ips": "50.0.0.1,2603:10e1:100:2::1:1",
        "egress-ips": "51.0.0.1,2603:10e1:100:2::1:1",
        "egress-basis": "mixed",
        "inbound": "tcp/50.0.0.1:80,tcp/[2603:10e1:100:2::1:1]:80",
        "loadbalancer": (
            '{"publicIpAddresses":[{"frontendIpAddress":"51.0.0.1","privateIpAddress":"10.1.0.4"}],'
            '"inboundRules":[{"frontendIpAddress":"50.0.0.1","protocol":"tcp","frontendPort":80,'
            '"backendPort":443,"privateIpAddress":"10.1.0.4"},'
            '{"frontendIpAddress":"2603:10e1:100:2::1:1","protocol":"tcp","frontendPort":80,'
            '"backendPort":443,"privateIpAddress":"ace:cab:deca:deed::1"}],'
            '"outboundRules":[{"frontendIpAddress":"50.0.0.1","privateIpAddress":"10.1.0.4"},'
            '{"frontendIpAddress":"2603:10e1:100:2::1:1","privateIpAddress":"ace:cab:deca:deed::1"}]}'
        ),
    },
    "capture-talos": {
        "public-ip": "20.10.5.34",
        "public-ipv6": "2603:1020:10:5::34",
        "public-ips": "20.10.5.34,2603:1020:10:5::34",
        "inbound-ips": "172.16.136.5,fd60:172:16:88::5",
        "egress-ips": "20.10.5.34,2603:1020:10:5::34",
        "egress-basis": "instance-ip",
        "inbound": "tcp/172.16.136.5:6443,tcp/[fd60:172:16:88::5]:6443",
        "loadbalancer": (
            '{"publicIpAddresses":[{"frontendIpAddress":"20.10.5.34","privateIpAddress":"172.18.1.10"},'
            '{"frontendIpAddress":"2603:1020:10:5::34","privateIpAddress":"fd00::10"}],'
            '"inboundRules":[{"frontendIpAddress":"172.16.136.5","protocol":"tcp","frontendPort":6443,'
            '"backendPort":6443,"privateIpAddress":"172.18.1.10"},'
            '{"frontendIpAddress":"fd60:172:16:88::5","protocol":"tcp","frontendPort":6443,'
            '"backendPort":6443,"privateIpAddress":"fd00::10"}],'
            '"outboundRules":[]}'
        ),
    },
    "capture-535": {
        "public-ip": "100.100.100.100",
        "public-ips": "100.100.100.100",
        "inbound-ips": "11.11.11.11,20.20.20.20",
        "egress-ips": "100.100.100.100",
        "egress-basis": "instance-ip",
        "inbound": "tcp/11.11.11.11:80,tcp/20.20.20.20:99",
        "loadbalancer": (
            '{"publicIpAddresses":[{"frontendIpAddress":"100.100.100.100","privateIpAddress":"10.240.0.2"}],'
            '"inboundRules":[{"frontendIpAddress":"11.11.11.11","protocol":"tcp","frontendPort":80,'
            '"backendPort":80,"privateIpAddress":"11.11.11.11"},'
            '{"frontendIpAddress":"20.20.20.20","protocol":"tcp","frontendPort":99,'
            '"backendPort":99,"privateIpAddress":"20.20.20.20"}],'
            '"outboundRules":[]}'
        ),
    },
    "capture-public-ip": {
        "public-ip": "52.249.223.56",
        "public-ips": "52.249.223.56",
        "egress-ips": "52.249.223.56",
        "egress-basis": "instance-ip",
        "loadbalancer": (
            '{"publicIpAddresses":[{"frontendIpAddress":"52.249.223.56","privateIpAddress":"10.0.0.4"}],'
            '"inboundRules":[],"outboundRules":[]}'
        ),
    },
    "outbound-only": {
        "outbound-ips": "203.0.113.254",
        "egress-ips": "203.0.113.254",
        "egress-basis": "outbound-rule",
        "loadbalancer": (
            '{"publicIpAddresses":[],"inboundRules":[],'
            '"outboundRules":[{"frontendIpAddress":"203.0.113.254","privateIpAddress":"10.224.0.4"}]}'
        ),
    },
}
"""Documents as captured or published (the last one is made up), and what becomes of them."""


@pytest.mark.parametrize("document", CAPTURES)
async def test_captures(service: Serving, cluster: Cluster, identity: Identity, document: str) -> None:
    """The annotations of a published document are those of the contract, and no more."""
    service.simulator.set_document(document)
    async with annotating(service, identity):
        annotations = await until_annotated(cluster, identity.node, has(status="ok"))
    changed_at, observed_at = annotations.pop("changed-at"), annotations.pop("observed-at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", changed_at)
    assert observed_at >= changed_at
    expected = CAPTURES[document]
    revision = hashlib.sha256(expected["loadbalancer"].encode()).hexdigest()[:16]
    assert annotations == {**expected, "revision": revision, "status": "ok"}


async def test_own_address(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """Of several public IPs the one of the node's own address comes first."""
    service.simulator.set_document("several-nics")
    async with annotating(service, identity, node_address="10.225.0.4"):
        annotations = await until_annotated(cluster, identity.node, has(status="ok"))
    assert annotations["public-ip"] == "192.0.2.5"
    assert annotations["public-ips"] == "192.0.2.4,192.0.2.5,192.0.2.6"


async def test_second_start(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """An agent that starts where everything stands already writes nothing."""
    async with annotating(service, identity):
        await until_annotated(cluster, identity.node, has(status="ok"))
    before = await cluster.node(identity.node)
    async with annotating(service, identity) as agent:
        await agent.until_ready()
        await agent.until_requests(2, method="GET")
        assert await agent.requests(method="PATCH") == 0
    assert (await cluster.node(identity.node)).resource_version == before.resource_version


def without_annotations(node: dict[str, Any]) -> dict[str, Any]:
    """A whole Node without annotations and what the API server notes of every change."""
    changed = ("annotations", "managedFields", "resourceVersion")
    metadata = {name: value for name, value in node["metadata"].items() if name not in changed}
    return {**node, "metadata": metadata}


async def test_nothing_else(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """Nothing but annotations under the prefix is written: not a label, a taint or a word of others."""
    await cluster.annotate(
        identity.node, {"example.org/note": "keep", f"{PREFIX}/note": "keep", f"x.{PREFIX}/status": "keep"}
    )
    path = f"/api/v1/nodes/{identity.node}"
    before = await cluster.request("GET", path)
    async with annotating(service, identity):
        await until_annotated(cluster, identity.node, has(status="ok"))
        service.simulator.set_document("inbound-only")
        await until_annotated(cluster, identity.node, has(public_ip=None))
    after = await cluster.request("GET", path)
    assert without_annotations(after) == without_annotations(before)
    assert before["metadata"]["annotations"].items() <= after["metadata"]["annotations"].items()
    assert before["metadata"]["managedFields"] == [
        entry for entry in after["metadata"]["managedFields"] if entry["manager"] != MANAGER
    ]


async def test_field_manager(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """The agent owns exactly its annotations, by server-side apply under its own name."""
    async with annotating(service, identity):
        annotations = await until_annotated(cluster, identity.node, has(status="ok"))
    node = await cluster.node(identity.node)
    [entry] = [entry for entry in node.managed_fields if entry["manager"] == MANAGER]
    assert entry["operation"] == "Apply"
    owned: dict[str, dict[str, str]] = {f"f:{PREFIX}/{name}": {} for name in annotations}
    assert entry["fieldsV1"] == {"f:metadata": {"f:annotations": owned}}


async def test_two_prefixes(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """Two agents with two prefixes on one Node keep each other's annotations."""
    other = "lb.example.org"
    async with annotating(service, identity), annotating(service, identity, annotation_prefix=other):
        await until_annotated(cluster, identity.node, has(status="ok"))
        await until_annotated(cluster, identity.node, has(status="ok"), prefix=other)
        service.simulator.set_document("outbound-only")
        await until_annotated(cluster, identity.node, has(public_ip=None))
        await until_annotated(cluster, identity.node, has(public_ip=None), prefix=other)
    node = await cluster.node(identity.node)
    assert ours(node)["loadbalancer"] == ours(node, prefix=other)["loadbalancer"]
    assert {MANAGER, f"{MANAGER}/{other}"} <= node.managers


async def test_budget(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """What is too much for a Node is left out whole and counted; the important rest stays."""
    service.simulator.set_document("many-rules")
    async with annotating(service, identity, annotation_budget="2048"):
        annotations = await until_annotated(cluster, identity.node, has(status="ok"))
    assert annotations["omitted"] == "loadbalancer=252,inbound=250"
    assert annotations["public-ip"] == "192.0.2.4"
    assert not {"loadbalancer", "inbound"} & annotations.keys()
    assert sum(len(f"{PREFIX}/{name}{value}") for name, value in annotations.items()) <= 2048


async def test_once(service: Serving, cluster: Cluster, identity: Identity, node: NodeMetadata) -> None:
    """`run --once` annotates the Node and ends with 0."""
    arguments = flags(
        {"imds_endpoint": service.url, "node_name": node.name, "kubeconfig": str(identity.kubeconfig)}
    )
    async with program_running("run", "--once", *arguments, directory=identity.directory) as program:
        assert await program.exit_code() == 0
    assert ours(await cluster.node(node.name))["public-ip"] == "192.0.2.4"


async def test_once_after_another_prefix(
    service: Serving, cluster: Cluster, identity: Identity, node: NodeMetadata
) -> None:
    """`run --once` under another prefix waits until the old keys may go, and then writes the new ones."""
    own = {"imds_endpoint": service.url, "node_name": node.name, "kubeconfig": str(identity.kubeconfig)}
    runs = (
        {"annotation_prefix": "old.example.com"},
        {"previous_annotation_prefixes": "old.example.com", "write_splay": "1s"},
    )
    for settings in runs:
        arguments = flags({**own, **settings})
        async with program_running("run", "--once", *arguments, directory=identity.directory) as program:
            assert await program.exit_code() == 0
    after = await cluster.node(node.name)
    assert ours(after)["public-ip"] == "192.0.2.4"
    assert not [key for key in after.annotations if key.startswith("old.example.com/")]
