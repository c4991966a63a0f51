"""`doctor` from an operator's machine, against a real API server."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from sidecar.core.annotations import Layout
from tests.chart.policy import PREFIX
from tests.doctor.support import KNOWN, Doctor, reader_of
from tests.support.apiserver import ApiServer
from tests.support.cluster import RBAC, Cluster
from tests.support.fleet import Fleet, ago, document, published
from tests.support.waiting import until

pytestmark = pytest.mark.apiserver


@pytest.fixture
async def fleet(cluster: Cluster, fleet: Fleet) -> AsyncIterator[Fleet]:
    """Nodes and agents of the test's own, whose service account has the agents' rights."""
    await cluster.grant(fleet.namespace, service_account="default")
    yield fleet
    for kind in ("clusterroles", "clusterrolebindings"):
        await cluster.request("DELETE", f"{RBAC}/{kind}/{fleet.namespace}")


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

    @pytest.mark.parametrize("confined", [False, True])
    async def test_two_agents(
        self, cluster: Cluster, fleet: Fleet, doctor_of: Doctor, *, confined: bool
    ) -> None:
        """Two releases with one prefix on a Node are named, also where one namespace alone was asked for."""
        name = await fleet.add("shared", published(KNOWN))
        other = Fleet(cluster)
        await other.prepare()
        rival = await other.agent(name)
        arguments = ["--agent-namespace", fleet.namespace] if confined else []

        report = await doctor_of(name, *arguments)
        await other.remove()

        assert report.code == 1
        assert f"{other.namespace}/{rival}" in report.told("two-agents")
        assert f"write under {PREFIX}" in report.told("two-agents")

    async def test_two_prefixes(self, cluster: Cluster, fleet: Fleet, doctor_of: Doctor) -> None:
        """Two releases with two prefixes do not meet."""
        name = await fleet.add("shared", published(KNOWN))
        other = Fleet(cluster)
        await other.prepare()
        await other.agent(name, arguments=["--annotation-prefix=lb.example.com"])

        report = await doctor_of(name, "--agent-namespace", fleet.namespace)
        await other.remove()

        report.is_healthy()

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
        await cluster.request("DELETE", f"{RBAC}/clusterroles/{fleet.namespace}")
        await cluster.grant(fleet.namespace, service_account="default")

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
        reader = await reader_of(cluster, name, directory=tmp_path / "reader")

        report = await doctor("--node", name, "--kubeconfig", str(reader.kubeconfig))

        report.is_healthy()
        assert "the agent's pod could not be looked for" in report.notes
