"""`doctor` with an agent's own identity, against a real API server."""

from pathlib import Path

import pytest

from tests.chart.policy import PREFIX, agent_held
from tests.doctor.support import KNOWN, Doctor, reader_of
from tests.support.cluster import Cluster, Identity
from tests.support.fleet import published
from tests.support.nodes import NodeMetadata

pytestmark = pytest.mark.apiserver


def as_agent(identity: Identity) -> list[str]:
    """The arguments with which `doctor` sees what an agent with this identity sees."""
    return ["--direct", "--kubeconfig", str(identity.kubeconfig)]


@pytest.fixture
def own_node(host: pytest.MonkeyPatch, node: NodeMetadata) -> NodeMetadata:
    """The Node of this host."""
    host.setenv("NODE_NAME", node.name)
    return node


class TestAsAgent:
    """What `kubectl exec` in an agent's pod finds."""

    @pytest.mark.usefixtures("own_node")
    async def test_healthy(self, cluster: Cluster, identity: Identity, doctor: Doctor) -> None:
        """An agent with its rights and its own Node is well, and nothing is written by looking."""
        before = await cluster.node(identity.node)

        report = await doctor(*as_agent(identity))

        report.is_healthy()
        assert "the API server" in report.value["lookedAt"]
        assert await cluster.node(identity.node) == before

    @pytest.mark.usefixtures("own_node")
    async def test_annotated(self, cluster: Cluster, identity: Identity, doctor: Doctor) -> None:
        """The same of a Node that has been annotated, and that stays as it is."""
        await cluster.annotate(identity.node, dict(published(KNOWN)))
        before = await cluster.node(identity.node)

        (await doctor(*as_agent(identity))).is_healthy()

        assert await cluster.node(identity.node) == before

    @pytest.mark.usefixtures("own_node")
    async def test_rbac(self, cluster: Cluster, identity: Identity, doctor: Doctor) -> None:
        """Without its binding the agent may do nothing, which is said with the verbs."""
        await cluster.deny(identity)

        report = await doctor(*as_agent(identity))

        report.names_first("rbac-missing", sure="certain")
        assert 'cannot get resource "nodes"' in report.told("rbac-missing")

    @pytest.mark.usefixtures("own_node")
    async def test_no_patch(
        self, cluster: Cluster, node: NodeMetadata, doctor: Doctor, tmp_path: Path
    ) -> None:
        """The right to read alone is not enough."""
        reader = await reader_of(cluster, node.name, directory=tmp_path / "reader")

        report = await doctor(*as_agent(reader))

        report.names_first("rbac-missing", sure="certain")
        assert f"may not patch the Node {node.name}" in report.told("rbac-missing")

    async def test_no_such_node(self, host: pytest.MonkeyPatch, identity: Identity, doctor: Doctor) -> None:
        """A name that no Node has is wrong, and the token knows the right one."""
        host.setenv("NODE_NAME", "aks-nowhere")

        report = await doctor(*as_agent(identity))

        report.names_first("node-name-wrong", sure="certain")
        assert "there is no Node aks-nowhere" in report.told("node-name-wrong")
        assert f"a pod on node {identity.node}" in report.told("node-name-wrong")

    async def test_name_of_another_node(
        self, cluster: Cluster, host: pytest.MonkeyPatch, identity: Identity, doctor: Doctor
    ) -> None:
        """Another Node's name is told by the token's claims, and the token is not shown."""
        other = await cluster.create_node()
        host.setenv("NODE_NAME", other.name)

        report = await doctor(*as_agent(identity))

        report.names_first("node-name-wrong", sure="certain")
        assert identity.token not in str(report.value)
        await cluster.delete_node(other.name)

    @pytest.mark.usefixtures("own_node")
    async def test_token(self, cluster: Cluster, identity: Identity, doctor: Doctor) -> None:
        """The token of a pod that is gone is refused."""
        await cluster.revoke(identity)

        report = await doctor(*as_agent(identity))

        report.names_first("token-refused", sure="certain")
        assert "valid until" in report.told("token-refused")

    @pytest.mark.chart
    async def test_policy(
        self, cluster: Cluster, host: pytest.MonkeyPatch, doctor: Doctor, tmp_path: Path
    ) -> None:
        """What the policy would refuse is told with its own words: here by a prefix that it does not know."""
        async with agent_held(cluster, directory=tmp_path, values={}) as held:
            host.setenv("NODE_NAME", held.node)
            (await doctor(*as_agent(held.identity))).is_healthy()
            report = await doctor(*as_agent(held.identity), "--annotation-prefix", "other.example.com")

        report.names_first("policy-denies", sure="certain")
        assert f"annotations outside {PREFIX} must stay as they are" in report.told("policy-denies")

    @pytest.mark.usefixtures("own_node")
    async def test_budget(self, cluster: Cluster, identity: Identity, doctor: Doctor) -> None:
        """What was left out of the annotations is told."""
        await cluster.annotate(identity.node, {f"{PREFIX}/omitted": "loadbalancer=1"})

        (await doctor(*as_agent(identity))).names_first("annotation-budget", sure="certain")
