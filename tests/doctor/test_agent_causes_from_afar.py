"""`doctor --node` where the API server passes requests on to the agent's pod."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sidecar.simulator import Serving
from tests.agent.support import stale
from tests.doctor.proxying import NODE, ProxyingServer, proxying_server
from tests.doctor.support import Doctor, Report
from tests.support.agent import STALE_SOON, AgentProcess, agent_running
from tests.support.fake_apiserver import Reply, refusal
from tests.support.waiting import until

NewAgent = Callable[..., Awaitable[AgentProcess]]
"""Starts an agent; takes its settings."""

LAG = "azure_lb_metadata_publish_lag_seconds"


@pytest.fixture
async def api_server() -> AsyncIterator[ProxyingServer]:
    """An API server with one Node and its agent's pod, in which nobody is yet."""
    async with proxying_server() as server:
        yield server


@pytest.fixture
def kubeconfig(api_server: ProxyingServer, tmp_path: Path) -> str:
    """The way to it."""
    return api_server.kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture
async def in_pod(
    api_server: ProxyingServer, kubeconfig: str, service: Serving, tmp_path: Path
) -> AsyncIterator[NewAgent]:
    """Starts the agent of the Node, in its pod; it annotates the Node unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> AgentProcess:
            given = {
                "imds_endpoint": service.url,
                "node_name": NODE,
                "kubeconfig": kubeconfig,
                **settings,
            }
            agent = await stack.enter_async_context(agent_running(tmp_path, **given))
            api_server.agent = agent
            await agent.until_ready()
            return agent

        yield start


@pytest.fixture
def doctor_of_node(kubeconfig: str, doctor: Doctor) -> Doctor:
    """The command for that Node."""

    async def run(*arguments: str) -> Report:
        return await doctor("--node", NODE, "--kubeconfig", kubeconfig, *arguments)

    return run


async def annotated(api_server: ProxyingServer) -> bool:
    """Whether the agent has written."""
    return "azure-lb-metadata.io/revision" in api_server.nodes[NODE].annotations


async def test_healthy(api_server: ProxyingServer, in_pod: NewAgent, doctor_of_node: Doctor) -> None:
    """The agent itself answers, which is what is said; the metadata service is not asked from here."""
    await in_pod()
    await until(lambda: annotated(api_server))

    report = await doctor_of_node()

    report.is_healthy()
    assert report.value["lookedAt"] == [
        "the agent, pod lb/agent-1 through the API server (status ok)",
        "the API server",
    ]
    assert report.value["notes"] == []


async def test_out_of_reach(api_server: ProxyingServer, doctor_of_node: Doctor) -> None:
    """Where the pod cannot be reached, the API server's word says why, and the annotations are left."""
    api_server.nodes[NODE].annotations["azure-lb-metadata.io/status"] = "ok"

    report = await doctor_of_node()

    report.is_healthy()
    assert "dial tcp 10.240.0.9:16926: i/o timeout" in report.notes
    assert "from the Node's annotations" in report.notes


@pytest.mark.parametrize(
    ("state", "observed", "causes"),
    [
        ("agrees", "52.1.1.1", []),
        ("unlisted", "52.1.1.1,203.0.113.9", ["nat-gateway-or-route-table"]),
        ("inside", "", ["egress-probe-inside"]),
        ("unanswered", "52.1.1.1", ["egress-probe-unanswered"]),
        ("splendid", "203.0.113.9", []),
    ],
)
async def test_egress_of_the_annotations(
    api_server: ProxyingServer, doctor_of_node: Doctor, *, state: str, observed: str, causes: list[str]
) -> None:
    """Where the pod is out of reach, what its probes saw is in the annotations, with their addresses."""
    keys = {"status": "ok", "egress-ips": "52.1.1.1", "egress-basis": "outbound-rule", "egress-state": state}
    for name, value in (keys | ({"egress-observed": observed} if observed else {})).items():
        api_server.nodes[NODE].annotations[f"azure-lb-metadata.io/{name}"] = value

    report = await doctor_of_node()

    assert report.causes == causes, report.value
    if state == "unlisted":
        report.names_first("nat-gateway-or-route-table", sure="certain")
        told = report.told("nat-gateway-or-route-table")
        assert "come from 203.0.113.9" in told
        assert "lists 52.1.1.1" in told
    api_server.nodes[NODE].annotations["azure-lb-metadata.io/egress-networks"] = "203.0.113.8/31"
    declared = await doctor_of_node("--seen-from", "203.0.113.8")
    assert "nat-gateway-or-route-table" not in declared.causes


async def test_throttled(in_pod: NewAgent, service: Serving, doctor_of_node: Doctor) -> None:
    """The agent's last attempts and its metrics say how much of its asking is throttled."""
    agent = await in_pod()
    service.simulator.set_fault("throttled")
    await agent.more_attempts(10, "throttled")

    report = await doctor_of_node()

    report.names_first("throttled")
    assert "10 of the agent's last 10 attempts were throttled" in report.told("throttled")
    assert "attempts since its start" in report.told("throttled")


async def test_reason(in_pod: NewAgent, service: Serving, doctor_of_node: Doctor) -> None:
    """What its last attempts ended with tells the cause, though the agent does not give its document."""
    agent = await in_pod(annotations=False, kubeconfig=None, stale_after=STALE_SOON)
    service.simulator.set_fault("gone")
    await agent.until_document(stale)

    report = await doctor_of_node()

    report.names_first("host-update")
    assert "HTTP 410" in report.told("host-update")


async def test_own_environment(
    in_pod: NewAgent, service: Serving, host: pytest.MonkeyPatch, doctor_of_node: Doctor
) -> None:
    """Proxies and settings of the operator's machine are no part of what is wrong on the node."""
    agent = await in_pod(annotations=False, kubeconfig=None, stale_after=STALE_SOON)
    service.simulator.set_fault("hang")
    await agent.more_attempts(1, "unreachable")
    await agent.until_document(stale)
    host.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    host.setenv("AZURE_LB_METADATA_UPSTREAM", "http://127.0.0.1:9")
    host.setenv("AZURE_LB_METADATA_IMDS_ENDPONT", "http://127.0.0.1:9")

    report = await doctor_of_node()

    report.names_first("metadata-service-silent")
    assert "setting-misspelt" not in report.causes
    assert "proxy.example" not in report.told("metadata-service-silent")


async def test_own_endpoint(in_pod: NewAgent, service: Serving, doctor_of_node: Doctor) -> None:
    """The endpoint that the operator's machine has in its environment is not blamed for the agent's."""
    agent = await in_pod(annotations=False, kubeconfig=None, stale_after=STALE_SOON)
    await service.close()
    await agent.more_attempts(1, "unreachable")
    await agent.until_document(stale)

    report = await doctor_of_node()

    report.names_first("metadata-service-unreachable", sure="likely")


REFUSALS = {
    "policy-denies": (
        422,
        "ValidatingAdmissionPolicy 'x' denied request: an agent may write to its own Node",
    ),
    "rbac-missing": (403, 'nodes "aks-own" is forbidden: User "agent" cannot patch resource "nodes"'),
}


@pytest.mark.parametrize("cause", REFUSALS)
async def test_refused_writes(
    api_server: ProxyingServer, in_pod: NewAgent, doctor_of_node: Doctor, cause: str
) -> None:
    """What the agent's own writes are answered is told from afar by its metrics."""
    status, message = REFUSALS[cause]
    api_server.denial = refusal(status, message, headers={"Content-Type": "application/json"})
    agent = await in_pod()
    await agent.until_requests(1, code=str(status))
    await until(lambda: agent.metric(LAG, publisher="node"))

    report = await doctor_of_node()

    report.names_first(cause, sure="likely")
    assert f"answered {status}" in report.told(cause)


async def test_behind(
    api_server: ProxyingServer, in_pod: NewAgent, host: pytest.MonkeyPatch, doctor_of_node: Doctor
) -> None:
    """Annotations that stay behind for a reason that is not known are told as such."""
    host.setenv("AZURE_LB_METADATA_WRITE_SPLAY", "1ms")
    api_server.denial = Reply(status=500, body=b"{}")
    agent = await in_pod()
    await until(lambda: agent.metric(LAG, publisher="node"), lambda lag: lag > 0.1)

    (await doctor_of_node()).names_first("annotations-behind", sure="certain")


async def test_two_agents(
    api_server: ProxyingServer, in_pod: NewAgent, host: pytest.MonkeyPatch, doctor_of_node: Doctor
) -> None:
    """Another agent that rewrites this one's annotations is told from afar by the agent's metrics."""
    host.setenv("AZURE_LB_METADATA_RESYNC_INTERVAL", "100ms")
    agent = await in_pod()
    await until(lambda: annotated(api_server))
    node = api_server.nodes[NODE]
    other = {"azure-lb-metadata.io/observed-at": "2026-01-02T03:04:05Z"}
    node.apply(node.annotations | other, manager="azure-lb-metadata")
    await until(lambda: agent.metric("azure_lb_metadata_foreign_changes_total", by="agent"))

    (await doctor_of_node()).names_first("two-agents", sure="likely")


async def test_other_name(in_pod: NewAgent, doctor_of_node: Doctor) -> None:
    """An agent that was told another name than that of its pod's node."""
    await in_pod(node_name="aks-other", annotations=False, kubeconfig=None)

    report = await doctor_of_node()

    report.names_first("node-name-wrong", sure="certain")
    assert "aks-other" in report.told("node-name-wrong")
