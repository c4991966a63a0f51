"""What an agent goes on answering when the metadata service does not, or says that there is nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.agent.support import FAULTS, PUBLIC_IP, age, ok, stale
from tests.support.agent import STALE_SOON, AgentProcess, agent_running
from tests.support.faults import WITHDRAWN, Origin, Promise, fault, outage
from tests.support.program import Settings
from tests.support.waiting import until


@pytest.fixture
async def ageing(service: Serving, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent whose data are soon stale, and that has had its first answer."""
    settings: Settings = {"annotations": False, "imds_endpoint": service.url, "stale_after": STALE_SOON}
    async with agent_running(tmp_path, **settings) as agent:
        await agent.until_ready()
        yield agent


@fault(Origin.SERVICE, "It answers 503", outage("unavailable"), cases=("unavailable-unavailable",))
@fault(Origin.SERVICE, "It answers 429", outage("throttled"), cases=("throttled-throttled",))
@fault(
    Origin.SERVICE,
    "It answers 410, as during a host update",
    outage("not-ready").but(
        recovery="Asked every poll interval, without back-off; `ok` with the first answer."
    ),
    cases=("gone-not-ready",),
)
@fault(
    Origin.SERVICE,
    "It answers 404: the API is not available right now",
    outage("not-ready"),
    cases=("api-not-available-not-ready",),
)
@fault(
    Origin.SERVICE,
    "It answers 404: API is not found",
    outage("not-ready"),
    cases=("api-not-found-not-ready",),
)
@fault(
    Origin.SERVICE,
    "It accepts connections and never answers",
    outage("unreachable"),
    cases=("hang-unreachable",),
)
@fault(Origin.SERVICE, "It resets connections", outage("unreachable"), cases=("reset-unreachable",))
@fault(Origin.SERVICE, "It answers 400 with an XML body", outage("rejected"), cases=("xml-rejected",))
@fault(
    Origin.SERVICE,
    "A body ends before its Content-Length",
    outage("malformed"),
    cases=("truncated-malformed",),
)
@fault(Origin.SERVICE, "It answers 200 without a body", outage("malformed"), cases=("empty-malformed",))
@pytest.mark.parametrize(("fault", "reason"), FAULTS.items())
async def test_fault(ageing: AgentProcess, service: Serving, fault: str, reason: str) -> None:
    """A fault removes nothing: what was known is served on, called stale in time, ageing, with the reason."""
    before = (await ageing.document()).json
    service.simulator.set_fault(fault)
    reply = await ageing.until_document(lambda reply: stale(reply) and age(reply) >= 1)
    assert reply.json == {**before, "status": "stale", "reason": reason}
    assert (await ageing.get("/v1/public-ip")).text == PUBLIC_IP
    assert (await ageing.admin("/readyz")).status == 200
    await until(lambda: ageing.attempts(reason))
    assert [line["reason"] for line in ageing.program.events("poll-failed")] == [reason]
    service.simulator.clear_fault()
    reply = await ageing.until_document(ok)
    assert (age(reply), reply.json) == (0, before)


@fault(
    Origin.SERVICE,
    "It says that there is no load balancer metadata",
    WITHDRAWN,
)
async def test_none_is_withdrawn_late(service: Serving, tmp_path: Path) -> None:
    """A service that says "none" is believed only when it says so for absent-after."""
    loop = asyncio.get_running_loop()
    async with agent_running(
        tmp_path, annotations=False, imds_endpoint=service.url, absent_after="1s"
    ) as agent:
        await agent.until_ready()
        started = loop.time()
        service.simulator.set_fault("no-metadata")
        reply = await agent.until_document(lambda reply: reply.state == "no-metadata")
        assert loop.time() - started >= 1
        assert reply.json["loadbalancer"]["publicIpAddresses"] == []
        assert (await agent.get("/v1/public-ip")).status == 404


@fault(
    Origin.NODE,
    "The agent is restarted in an outage of the metadata service",
    Promise(
        served=(
            "What the last run published, `stale`, `Azure-LB-Metadata-Source:"
            " restored`, with its true age; ready."
        ),
        annotated="Nothing is rewritten; `stale` when stale-after has passed since the start.",
        logged="`poll-failed`.",
        recovery="With the first answer; the same document is no change.",
    ),
)
async def test_restart_in_an_outage(service: Serving, tmp_path: Path) -> None:
    """With a file, an agent that starts while the service is away serves what the last one knew, as stale."""
    settings: Settings = {
        "annotations": False,
        "imds_endpoint": service.url,
        "file": str(tmp_path / "document"),
    }
    async with agent_running(tmp_path, **settings) as agent:
        before = (await agent.until_document(ok)).json
        await until(lambda: asyncio.to_thread((tmp_path / "document").exists))
    service.simulator.set_fault("unavailable")
    async with agent_running(tmp_path, **settings) as agent:
        reply = await agent.until_document(stale)
        assert reply.headers["Azure-LB-Metadata-Source"] == "restored"
        assert {**reply.json, "reason": None} == {**before, "status": "stale"}
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
        assert (await agent.admin("/readyz")).status == 200, (
            "else its pods would be cut off from what it knows"
        )
        service.simulator.clear_fault()
        reply = await agent.until_document(ok)
        assert reply.headers["Azure-LB-Metadata-Source"] == "imds"
        assert reply.json == before
