"""`doctor` on a host where an agent runs, as a process of its own: what is asked of whom, and the causes."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sidecar.simulator import Serving
from tests.agent.support import ok, stale
from tests.doctor.support import Doctor
from tests.support.agent import STALE_SOON, AgentProcess, agent_running
from tests.support.raw_server import raw_server, response
from tests.support.waiting import until

NewAgent = Callable[..., Awaitable[AgentProcess]]
"""Starts an agent on this host, where `doctor` looks for it; takes its settings."""

ENDLESS = "1h"


@pytest.fixture
async def new_agent(service: Serving, host: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[NewAgent]:
    """Agents without Kubernetes, unless told."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> AgentProcess:
            given = {
                "annotations": False,
                "imds_endpoint": service.url,
                **settings,
            }
            agent = await stack.enter_async_context(agent_running(tmp_path, **given))
            host.setenv("AZURE_LB_METADATA_LISTEN", agent.url.removeprefix("http://"))
            host.setenv("AZURE_LB_METADATA_ADMIN_LISTEN", agent.admin_url.removeprefix("http://"))
            return agent

        yield start


async def test_healthy(service: Serving, new_agent: NewAgent, doctor: Doctor) -> None:
    """A healthy agent speaks for the service, which is not asked; where it was asked is told."""
    agent = await new_agent(poll_interval=ENDLESS)
    await agent.until_ready()
    asked = service.simulator.counters.requests

    report = await doctor()

    report.is_healthy()
    assert service.simulator.counters.requests == asked
    assert report.value["lookedAt"] == [f"the agent, {agent.url} (status ok)"]


async def test_no_agent(doctor: Doctor) -> None:
    """Where no agent listens, that is the cause, if the service is well."""
    report = await doctor()

    report.names_first("no-agent", sure="certain")
    assert report.causes == ["no-agent"]


async def test_somebody_else(host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """What answers on the agent's address and is none is told as such."""
    async with raw_server(lambda _: response("404 Not Found", b"nothing here")) as server:
        host.setenv("AZURE_LB_METADATA_LISTEN", server.url.removeprefix("http://"))
        report = await doctor()

    report.names_first("no-agent")
    assert "no agent (HTTP 404)" in report.told("no-agent")


@pytest.mark.parametrize(
    ("status_line", "status", "body"),
    [
        ("200 OK", "ok", b"all is well"),
        ("200 OK", "ok", b"{}"),
        ("200 OK", "no-metadata", b"[]"),
        ("404 Not Found", "ok", b"{}"),
        ("200 OK", "splendid", b"{}"),
    ],
)
async def test_impostor(status_line: str, status: str, body: bytes, doctor: Doctor) -> None:
    """What has an agent's headers and not its data is no agent, and nobody is told that all is well."""
    answer = response(status_line, body, f"Azure-LB-Metadata-Status: {status}")
    async with raw_server(lambda _: answer) as server:
        report = await doctor("--upstream", server.url)

    report.names_first("no-agent")
    assert "no agent" in report.told("no-agent")


async def test_silence(doctor: Doctor) -> None:
    """How long a silent agent is waited for is a matter of the operator's."""
    async with raw_server(lambda _: b"") as server:
        report = await doctor("--upstream", server.url, "--timeout", "50ms")

    report.names_first("agent-stuck", sure="likely")
    assert "0.05 s" in report.told("agent-stuck")


async def test_service_in_trouble(service: Serving, new_agent: NewAgent, doctor: Doctor) -> None:
    """Of an agent without data the cause lies with the service, which is then asked as well."""
    service.simulator.set_fault("forbidden")
    agent = await new_agent()
    await until(lambda: agent.attempts("rejected"))

    report = await doctor()

    report.names_first("metadata-security-protocol")
    assert "no-agent" not in report.causes
    assert len(report.value["lookedAt"]) == 2


async def test_throttled(service: Serving, new_agent: NewAgent, doctor: Doctor) -> None:
    """Of throttling it says how much of the agent's own asking met it."""
    service.simulator.set_fault("throttled-seconds")
    agent = await new_agent(poll_interval="20ms")
    await until(lambda: agent.attempts("throttled"))

    report = await doctor()

    report.names_first("throttled", sure="certain")
    told = report.told("throttled")
    assert "3 of 3 tries" in told
    assert "Retry-After 5 s" in told
    assert "1 of the agent's last 1 attempts were throttled" in told
    assert "1 of its 1 attempts since its start (100 %)" in told


async def test_sometimes_throttled(service: Serving, new_agent: NewAgent, doctor: Doctor) -> None:
    """Throttling that comes and goes is told while the agent still has fresh data; the service is spared."""
    agent = await new_agent(poll_interval="300ms")
    await agent.until_ready()
    service.simulator.set_fault({"name": "throttled", "times": 4})
    await until(lambda: agent.attempts("throttled"), lambda attempts: attempts == 4)
    await agent.more_attempts(1, "ok")

    report = await doctor()

    report.names_first("throttled", sure="certain")
    assert re.search(r"4 of the agent's last \d+ attempts were throttled", report.told("throttled"))
    assert len(report.value["lookedAt"]) == 1


async def test_a_single_failure(service: Serving, new_agent: NewAgent, doctor: Doctor) -> None:
    """One failed attempt among good ones is no cause for alarm."""
    agent = await new_agent()
    await agent.until_ready()
    service.simulator.set_fault({"name": "unavailable", "times": 1})
    await until(lambda: agent.attempts("unavailable"))
    await agent.until_document(ok)

    (await doctor()).is_healthy()


async def test_recovered(service: Serving, new_agent: NewAgent, doctor: Doctor) -> None:
    """Where the service answers doctor, the agent's own attempts tell the cause."""
    service.simulator.set_fault({"name": "gone", "times": 1})
    agent = await new_agent(poll_interval=ENDLESS)
    await until(lambda: agent.attempts("not-ready"))

    report = await doctor()

    report.names_first("host-update", sure="likely")
    assert "the service answers doctor at this moment" in report.told("host-update")


async def test_attempts_out_of_reach(
    new_agent: NewAgent, host: pytest.MonkeyPatch, doctor: Doctor, free_port: int
) -> None:
    """Of an agent whose probes and metrics cannot be asked, it is said that its attempts are not known."""
    agent = await new_agent()
    await agent.until_ready()

    host.setenv("AZURE_LB_METADATA_ADMIN_LISTEN", f"127.0.0.1:{free_port}")
    refused = await doctor()
    host.setenv("AZURE_LB_METADATA_ADMIN_LISTEN", "none")
    switched_off = await doctor()

    refused.is_healthy()
    assert "last attempts are not known" in refused.notes
    assert "refused" in refused.notes
    switched_off.is_healthy()
    assert "last attempts are not known: its --admin-listen" in switched_off.notes


async def test_none(service: Serving, new_agent: NewAgent, doctor: Doctor) -> None:
    """Of an agent whose node has nothing, the service is asked why."""
    service.simulator.set_document("none")
    agent = await new_agent()
    await agent.until_ready()

    (await doctor()).names_first("no-standard-load-balancer", sure="certain")


async def test_other_node(new_agent: NewAgent, host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """An agent that speaks for another node is not ours."""
    agent = await new_agent(node_name="aks-other")
    await agent.until_ready()
    host.setenv("NODE_NAME", "aks-own")

    report = await doctor()

    report.names_first("agent-of-another-node", sure="certain")
    assert "aks-other" in report.told("agent-of-another-node")


async def test_stuck(new_agent: NewAgent, host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """A loop that is overdue is the first thing to know."""
    agent = await new_agent()
    await agent.until_ready()
    async with raw_server(lambda _: response("503 Service Unavailable", b"overdue: poller\n")) as admin:
        host.setenv("AZURE_LB_METADATA_ADMIN_LISTEN", admin.url.removeprefix("http://"))
        report = await doctor()

    report.names_first("agent-stuck", sure="certain")
    assert "overdue: poller" in report.told("agent-stuck")


async def test_not_ready(new_agent: NewAgent, doctor: Doctor, tmp_path: Path) -> None:
    """An agent that has data and cannot write its file is not ready."""
    agent = await new_agent(file=str(tmp_path / "missing" / "facts.json"))
    await agent.until_document(lambda reply: reply.status == 200)

    report = await doctor()

    report.names_first("agent-not-ready", sure="likely")
    assert "/readyz says: the file is not written yet" in report.told("agent-not-ready")


async def test_upstream(
    service: Serving, new_agent: NewAgent, host: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    """An agent can be named, as an application's pod sees it; its probes and its Node are its own matter."""
    agent = await new_agent(node_name="aks-own")
    await agent.until_ready()

    host.setenv("NODE_NAME", "aks-own")
    host.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")

    report = await doctor("--upstream", agent.url)

    report.is_healthy()
    assert service.url not in "".join(report.value["lookedAt"])


async def test_upstream_is_gone(
    new_agent: NewAgent, host: pytest.MonkeyPatch, doctor: Doctor, tmp_path: Path, service: Serving
) -> None:
    """Of an agent that reads from the node's agent, that one is asked; the metadata service is not."""
    async with agent_running(tmp_path, annotations=False, imds_endpoint=service.url) as of_node:
        await of_node.until_ready()
        upstream = of_node.url
        agent = await new_agent(
            annotations=None, imds_endpoint=None, upstream=upstream, stale_after=STALE_SOON
        )
        await agent.until_ready()
        host.setenv("AZURE_LB_METADATA_UPSTREAM", upstream)
        (await doctor()).is_healthy()
        asked = service.simulator.counters.requests
    await agent.until_document(stale)

    report = await doctor()

    report.names_first("no-agent", sure="certain")
    assert upstream in report.told("no-agent")
    assert report.causes == ["no-agent"]
    assert service.simulator.counters.requests - asked < 10


class TestCluster:
    """Causes on the way to the API server, where the agent says that it annotates."""

    async def test_no_credentials(
        self, new_agent: NewAgent, host: pytest.MonkeyPatch, doctor: Doctor, tmp_path: Path
    ) -> None:
        """An agent that annotates, and no kubeconfig: that is the cause."""
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(_kubeconfig("http://127.0.0.1:9"))
        agent = await new_agent(annotations=True, node_name="aks-own", kubeconfig=str(kubeconfig))
        await agent.until_ready()
        await until(lambda: agent.metric("azure_lb_metadata_publishes_total", publisher="node"))

        (await doctor()).names_first("no-cluster-credentials", sure="certain")

        host.setenv("KUBECONFIG", str(kubeconfig))
        report = await doctor()
        report.names_first("api-server-unreachable", sure="certain")
        assert "127.0.0.1:9" in report.told("api-server-unreachable")

    async def test_failing(self, host: pytest.MonkeyPatch, doctor: Doctor, tmp_path: Path) -> None:
        """An API server in trouble is told from one that refuses."""
        status = b'{"kind":"Status","message":"etcdserver: request timed out","code":500}'
        async with raw_server(lambda _: response("500 Internal Server Error", status)) as server:
            kubeconfig = tmp_path / "kubeconfig"
            kubeconfig.write_text(_kubeconfig(server.url))
            host.setenv("NODE_NAME", "aks-own")
            report = await doctor("--direct", "--kubeconfig", str(kubeconfig))

        report.names_first("api-server-failing", sure="certain")
        assert "etcdserver: request timed out" in report.told("api-server-failing")

    async def test_pod_of_somebody_else(self, host: pytest.MonkeyPatch, doctor: Doctor) -> None:
        """In a pod that is not the agent's, the rights of that pod say nothing."""
        host.setenv("NODE_NAME", "aks-own")
        host.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")

        report = await doctor("--direct")

        report.is_healthy()
        assert "this is not the agent's pod" in report.notes

    async def test_no_cluster_at_all(self, host: pytest.MonkeyPatch, doctor: Doctor) -> None:
        """Without a cluster and without an agent that wants one, there is a note and no cause."""
        host.setenv("NODE_NAME", "aks-own")

        report = await doctor("--direct")

        report.is_healthy()
        assert "Kubernetes was not looked at" in report.notes


def _kubeconfig(server: str) -> str:
    return f"""\
apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "{server}"}}}}]
users: [{{name: test, user: {{token: some-token}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
current-context: test
"""
