"""What the pages show of kubectl is what a real API server with annotated Nodes gives."""

from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.core.document import Document, InboundRule, OutboundRule, PublicIPAddress
from tests.docs.consoles import environment, examples, matches, said
from tests.docs.pages import CHECKOUT, DOCS
from tests.examples.support import program_or_skip
from tests.support.apiserver import api_server_running
from tests.support.cluster import cluster_of
from tests.support.fleet import published

pytestmark = pytest.mark.apiserver

PAGES = (CHECKOUT / "README.md", DOCS / "annotations.md")


def document(*, nic: str, public: str = "", outbound: str = "") -> Document:
    """A node behind one inbound rule, with one way out."""
    address = ip_address(nic)
    rule = InboundRule(
        frontend_ip=ip_address("20.20.20.20"),
        protocol="tcp",
        frontend_port=443,
        backend_port=30443,
        private_ip=address,
    )
    return Document.of(
        public_ip_addresses=[PublicIPAddress(ip_address(public), address)] if public else [],
        inbound_rules=[rule],
        outbound_rules=[OutboundRule(ip_address(outbound), address)] if outbound else [],
    )


@pytest.fixture
async def variables(tmp_path: Path) -> AsyncIterator[Mapping[str, str]]:
    """The environment of somebody whose kubectl shows two annotated Nodes."""
    program_or_skip("jq")
    with api_server_running() as server:
        async with cluster_of(server) as cluster:
            nodes = {"0": document(nic="10.240.0.4", public="20.1.2.3")}
            nodes["1"] = document(nic="10.240.0.5", outbound="52.1.1.1")
            for number, known in nodes.items():
                name = f"aks-games-12345678-vmss00000{number}"
                await cluster.create_node(name, annotations=published(known))
        base = environment(tmp_path)
        path = f"{server.kubectl.parent}:{base['PATH']}"
        yield {**base, "PATH": path, "KUBECONFIG": str(server.admin_kubeconfig)}


async def test_kubectl(variables: Mapping[str, str]) -> None:
    """Each command with kubectl gives what stands below it, but for times."""
    found = [example for page in PAGES for example in examples(page) if "kubectl get" in example.command]
    assert len(found) >= 4
    for example in found:
        output = await said(example.command, variables)
        assert matches(output, example.output), f"$ {example.command}\n{output}"
