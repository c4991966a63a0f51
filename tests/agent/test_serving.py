"""What a running agent answers."""

from pathlib import Path

from sidecar.simulator import Serving
from tests.agent.support import PUBLIC_IP
from tests.support.agent import AgentProcess, agent_running
from tests.support.faults import Origin, Promise, also_shows, fault
from tests.support.program import NOWHERE


async def test_serves(agent: AgentProcess) -> None:
    """What the metadata service says is served, under its own path too, and the probes pass."""
    assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
    document = await agent.get("/metadata/loadbalancer?api-version=2020-10-01", Metadata="true")
    assert document.json["loadbalancer"]["publicIpAddresses"] == [
        {"frontendIpAddress": "192.0.2.4", "privateIpAddress": "10.224.0.4"}
    ]
    assert (await agent.document()).json["status"] == "ok"
    assert (await agent.admin("/livez")).status == 200


async def test_reads_once_for_all(service: Serving, tmp_path: Path) -> None:
    """However often clients ask, the metadata service is asked at its interval only."""
    async with agent_running(
        tmp_path, annotations=False, imds_endpoint=service.url, poll_interval="1h"
    ) as agent:
        await agent.until_ready()
        for _ in range(20):
            assert (await agent.get("/v1/public-ip")).status == 200
    assert service.simulator.counters.requests == 1


@fault(
    Origin.SERVICE,
    "It has not answered since the agent's start",
    Promise(
        served="503 with `Retry-After` and status `starting`; alive, not ready.",
        annotated="What stands there stays; after stale-after `status: starting` with the reason.",
        logged="`poll-failed` once per reason.",
        recovery="With the first answer.",
    ),
)
async def test_before_the_first_answer(service: Serving, tmp_path: Path) -> None:
    """Until the metadata service answers there is nothing to serve: 503, alive and not ready."""
    service.simulator.set_fault("hang")
    async with agent_running(tmp_path, annotations=False, imds_endpoint=service.url) as agent:
        reply = await agent.document()
        assert (reply.status, reply.state) == (503, "starting")
        assert "Retry-After" in reply.headers
        assert (await agent.admin("/readyz")).status == 503
        assert (await agent.admin("/livez")).status == 200
        service.simulator.clear_fault()
        await agent.until_ready()
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP


@also_shows("Nothing listens where it should be")
async def test_unreachable_service(tmp_path: Path) -> None:
    """A metadata service that cannot be reached is asked again and again, and logged once."""
    async with agent_running(tmp_path, annotations=False, imds_endpoint=NOWHERE) as agent:
        await agent.more_attempts(5, "unreachable")
        reply = await agent.document()
        assert (reply.status, reply.json["status"]) == (503, 503)
        assert len(agent.program.events("poll-failed")) == 1
