"""`doctor` against a real API server: with an agent's own identity, and from an operator's machine."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from sidecar.core.annotations import Layout
from tests.chart.policy import PREFIX, agent_held
from tests.doctor.support import Doctor
from tests.support.apiserver import ApiServer
from tests.support.cluster import RBAC, Cluster, Identity, NodeMetadata
from tests.support.fleet import Fleet, ago, document, published
from tests.support.waiting import until

pytestmark = pytest.mark.apiserver

KNOWN = document(public=["20.1.2.3"], inbound=[("20.20.20.20", 443)], outbound=["52.1.1.1"])


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
        rules = ({"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},)
        reader = await cluster.create_identity(node.name, directory=tmp_path / "reader", rules=rules)
        await until(lambda: _may_get(cluster, reader))

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


async def _may_get(cluster: Cluster, identity: Identity) -> bool:
    review = await cluster.request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        body={"spec": {"resourceAttributes": {"resource": "nodes", "name": identity.node, "verb": "get"}}},
        token=identity.token,
    )
    return bool(review["status"]["allowed"])


@pytest.fixture
async def fleet(cluster: Cluster, fleet: Fleet) -> AsyncIterator[Fleet]:
    """Nodes and agents of the test's own, whose service account has the agents' rights."""
    await _grant(cluster, fleet.namespace)
    yield fleet
    for kind in ("clusterroles", "clusterrolebindings"):
        await cluster.request("DELETE", f"{RBAC}/{kind}/{fleet.namespace}")


async def _grant(cluster: Cluster, name: str) -> None:
    rule = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}
    metadata = {"metadata": {"name": name}}
    await cluster.request("POST", f"{RBAC}/clusterroles", body={**metadata, "rules": [rule]})
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": name}],
    }
    await cluster.request("POST", f"{RBAC}/clusterrolebindings", body={**metadata, **binding})


class TestAsOperator:
    """`doctor --node` with an operator's kubeconfig; no kubelet runs here, so no pod can be reached."""

    @pytest.fixture
    def doctor_of(self, api_server: ApiServer, doctor: Doctor) -> Doctor:
        """The command for a node."""

        async def run(node: str, *arguments: str) -> object:
            return await doctor("--node", node, "--kubeconfig", str(api_server.admin_kubeconfig), *arguments)

        return run  # type: ignore[return-value]  # the same but for the first argument

    async def test_healthy(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """With the pod out of reach it answers from the annotations, and says so; no service is asked."""
        name = await fleet.add("well", published(KNOWN))

        report = await doctor_of(name)

        report.is_healthy()
        assert "could not be reached through the API server" in report.notes
        assert "from the Node's annotations" in report.notes
        assert report.value["node"] == name
        assert report.value["lookedAt"] == ["the API server"]

    async def test_no_such_node(self, doctor_of: Doctor) -> None:
        """A node that does not exist is told."""
        (await doctor_of("aks-nowhere")).names_first("node-name-wrong", sure="certain")

    async def test_no_agent(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """A node without a pod of the agent."""
        name = await fleet.add("bare", agent=False)

        (await doctor_of(name)).names_first("no-agent", sure="certain")

    async def test_taint(self, cluster: Cluster, doctor_of: Doctor) -> None:
        """A taint that keeps the agent away is named, with the value that would cover it."""
        fleet = Fleet(cluster)
        await fleet.prepare(tolerations=())
        taint = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
        name = await fleet.add("tainted", agent=False, taints=[taint])

        report = await doctor_of(name, "--agent-namespace", fleet.namespace)
        await fleet.remove()

        report.names_first("no-agent", sure="certain")
        assert f"DaemonSet {fleet.namespace}/agents: taint sku=gpu:NoSchedule" in report.told("no-agent")

    async def test_not_ready(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """A pod that does not come up, with the cluster's word for it."""
        name = await fleet.add("crashing", published(KNOWN), agent=False)
        await fleet.agent(name, ready=False, waiting="CrashLoopBackOff")

        report = await doctor_of(name)

        report.names_first("agent-not-ready", sure="certain")
        assert "CrashLoopBackOff" in report.told("agent-not-ready")

    async def test_kubelet(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """A Node whose kubelet has gone silent."""
        name = await fleet.add("silent", published(KNOWN), ready="Unknown")

        (await doctor_of(name)).names_first("kubelet-down", sure="certain")

    async def test_rbac(self, cluster: Cluster, fleet: Fleet, doctor_of: Doctor) -> None:
        """The rights are those of the agent's service account, not of the operator."""
        name = await fleet.add("powerless", published(KNOWN))
        await cluster.request("DELETE", f"{RBAC}/clusterrolebindings/{fleet.namespace}")

        async def causes() -> list[str]:
            return (await doctor_of(name)).causes

        # The authorizer learns of a binding through a watch, a moment after it is written.
        await until(causes, lambda causes: causes[:1] == ["rbac-missing"])
        report = await doctor_of(name)
        await _grant_again(cluster, fleet.namespace)

        told = f"service account {fleet.namespace}/default may not get or patch the Node {name}"
        assert told in report.told("rbac-missing")

    @pytest.mark.parametrize(
        ("annotated", "cause"),
        [
            ({"status": "stale", "reason": "throttled"}, "throttled"),
            ({"status": "stale", "reason": "unavailable"}, "metadata-service-unavailable"),
            ({"status": "starting", "reason": "unreachable"}, "imds-restriction"),
            ({"status": "starting", "reason": "rejected"}, "request-refused"),
            ({"status": "starting", "reason": "no-metadata"}, "no-standard-load-balancer"),
        ],
    )
    async def test_reasons(
        self, fleet: Fleet, doctor_of: Doctor, annotated: Mapping[str, str], cause: str
    ) -> None:
        """The reason in the annotations is what is left where nobody can be asked."""
        own = {f"{PREFIX}/{name}": value for name, value in annotated.items()}
        name = await fleet.add("troubled", {**published(KNOWN), **own})

        report = await doctor_of(name)

        assert cause in report.causes
        assert report.code == 1

    async def test_outdated(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """Annotations that no heartbeat has refreshed for hours are not the present."""
        name = await fleet.add("forgotten", published(KNOWN, observed=ago(hours=9)))

        (await doctor_of(name)).names_first("annotations-outdated", sure="certain")

    async def test_unannotated(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """A Node without a word of its agent, whose pod is ready."""
        name = await fleet.add("blank")

        (await doctor_of(name)).names_first("annotations-behind", sure="likely")

    async def test_without_annotations(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """An agent that is not to annotate needs neither annotations nor rights."""
        name = await fleet.add("quiet", agent=False)
        await fleet.agent(name, arguments=["--no-annotations"])

        (await doctor_of(name)).is_healthy()

    async def test_other_prefix(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """The prefix is that of the node's agent."""
        layout = Layout(prefix="lb.example.com")
        name = await fleet.add(
            "elsewhere", published(KNOWN, observed=ago(hours=9), layout=layout), agent=False
        )
        await fleet.agent(name, arguments=["--annotation-prefix=lb.example.com"])

        (await doctor_of(name)).names_first("annotations-outdated", sure="certain")

    async def test_fresh(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """Up to the heartbeat they are."""
        name = await fleet.add("fresh", published(KNOWN, observed=ago(hours=1, minutes=12)))

        (await doctor_of(name)).is_healthy()

    async def test_no_way_out(self, fleet: Fleet, doctor_of: Doctor) -> None:
        """The document in the annotations tells of a NAT gateway as well as the service does."""
        name = await fleet.add("private", published(document(inbound=[("20.20.20.20", 443)])))

        (await doctor_of(name)).names_first("nat-gateway-or-route-table", sure="likely")

    async def test_operator_without_rights(
        self, fleet: Fleet, cluster: Cluster, doctor: Doctor, tmp_path: Path
    ) -> None:
        """An operator who may read Nodes only learns what they say, and what could not be looked at."""
        name = await fleet.add("guarded", published(KNOWN))
        rules = ({"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},)
        reader = await cluster.create_identity(name, directory=tmp_path / "reader", rules=rules)
        await until(lambda: _may_get(cluster, reader))

        report = await doctor("--node", name, "--kubeconfig", str(reader.kubeconfig))

        report.is_healthy()
        assert "the agent's pod could not be looked for" in report.notes


async def _grant_again(cluster: Cluster, name: str) -> None:
    await cluster.request("DELETE", f"{RBAC}/clusterroles/{name}")
    await _grant(cluster, name)
