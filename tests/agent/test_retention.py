"""What stays on a real Node and over HTTP when the metadata service fails, or says that there is nothing."""

import asyncio

import pytest

from sidecar.simulator import Serving
from tests.agent.support import (
    FAULTS,
    PUBLIC_IP,
    age,
    annotating,
    has,
    lasting,
    ok,
    ours,
    stale,
    until_annotated,
)
from tests.support.agent import STALE_SOON
from tests.support.cluster import Cluster, Identity
from tests.support.faults import WITHDRAWN, Origin, Promise, also_shows, fault

pytestmark = pytest.mark.apiserver

EMPTY = '{"publicIpAddresses":[],"inboundRules":[],"outboundRules":[]}'
ABSENT_AFTER_S = 1.5


@also_shows("It answers 503", cases=("unavailable",))
@also_shows("It answers 429", cases=("throttled",))
@also_shows("It answers 410, as during a host update", cases=("gone",))
@also_shows("It accepts connections and never answers", cases=("hang",))
@also_shows("It answers 400 with an XML body", cases=("xml",))
@also_shows("It answers 404: the API is not available right now", cases=("api-not-available",))
@pytest.mark.parametrize("fault", ["unavailable", "throttled", "gone", "hang", "xml", "api-not-available"])
async def test_fault(service: Serving, cluster: Cluster, identity: Identity, fault: str) -> None:
    """A fault, several times as long as it takes to be stale, removes no annotation: it is told by status."""
    async with annotating(service, identity, stale_after="200ms") as agent:
        before = await until_annotated(cluster, identity.node, has(status="ok"))
        service.simulator.set_fault(fault)
        await until_annotated(cluster, identity.node, has(status="stale", reason=FAULTS[fault]))
        reply = await agent.until_document(lambda reply: stale(reply) and age(reply) >= 1)
        assert reply.json["loadbalancer"]["publicIpAddresses"]
        assert lasting(ours(await cluster.node(identity.node))) == lasting(before)
        service.simulator.clear_fault()
        after = await until_annotated(cluster, identity.node, has(status="ok", reason=None))
        assert lasting(after) == lasting(before)


@fault(
    Origin.SERVICE,
    "A document loses one of its lists",
    WITHDRAWN,
)
async def test_vanished_kind(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """A list that is suddenly empty loses its keys only after absent-after; the others stay."""
    loop = asyncio.get_running_loop()
    async with annotating(service, identity, absent_after=f"{ABSENT_AFTER_S}s"):
        before = await until_annotated(cluster, identity.node, has(status="ok"))
        started = loop.time()
        service.simulator.set_document({"name": "all", "replace": {"outboundRules": []}})
        after = await until_annotated(cluster, identity.node, has(outbound_ips=None))
        assert loop.time() - started >= ABSENT_AFTER_S
    assert before.keys() - after.keys() == {"outbound-ips"}
    assert after["last-changes"].endswith(" -outbound 203.0.113.254")
    assert after["public-ip"] == "192.0.2.4"


@also_shows("It says that there is no load balancer metadata", cases=("none",))
@fault(
    Origin.SERVICE,
    "Its three lists are suddenly empty",
    WITHDRAWN,
    cases=("empty",),
)
@pytest.mark.parametrize("document", ["none", "empty"])
async def test_withdrawal(service: Serving, cluster: Cluster, identity: Identity, document: str) -> None:
    """A 404 "no load balancer metadata" or empty lists withdraw everything, and only after absent-after."""
    loop = asyncio.get_running_loop()
    async with annotating(service, identity, absent_after=f"{ABSENT_AFTER_S}s"):
        before = await until_annotated(cluster, identity.node, has(status="ok"))
        started = loop.time()
        service.simulator.set_document(document)
        after = await until_annotated(cluster, identity.node, has(status="no-metadata"))
        assert loop.time() - started >= ABSENT_AFTER_S
    assert has(reason="no-metadata", egress_basis="unknown", loadbalancer=EMPTY)(after)
    views = {"public-ip", "public-ips", "inbound-ips", "outbound-ips", "egress-ips", "inbound"}
    assert before.keys() - after.keys() == views


@fault(
    Origin.SERVICE,
    "Errors come between answers without data",
    Promise(
        served="As without the errors: they neither count as such answers nor reset their number.",
        annotated="The same.",
        logged="Each new reason once; every attempt under its outcome.",
        recovery="Withdrawal when 3 answers span absent-after.",
    ),
)
async def test_errors_between(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """Errors between two "none" neither hasten the withdrawal nor hold it up."""
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        service.simulator.set_document("none")
        for _ in range(3):
            service.simulator.set_fault("unavailable")
            await agent.more_attempts(1, "unavailable")
            service.simulator.clear_fault()
            await agent.more_attempts(1, "no-metadata")
        await until_annotated(cluster, identity.node, has(status="no-metadata", public_ip=None))


@also_shows("It has not answered since the agent's start")
async def test_never_an_answer(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """An agent that never had an answer says so on its Node, with the reason, once that takes too long."""
    service.simulator.set_fault("throttled")
    async with annotating(service, identity, stale_after=STALE_SOON):
        annotations = await until_annotated(cluster, identity.node, bool)
    assert annotations == {"status": "starting", "reason": "throttled"}


# --- Restart during an outage


@also_shows("The agent is restarted in an outage of the metadata service")
async def test_restart(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """An agent that starts in an outage serves what was published, as stale, and rewrites nothing."""
    async with annotating(service, identity) as agent:
        before = (await agent.until_document(ok)).json
        await until_annotated(cluster, identity.node, has(status="ok"))
    node = await cluster.node(identity.node)
    service.simulator.set_fault("unavailable")
    async with annotating(service, identity) as agent:
        reply = await agent.until_document(stale)
        assert reply.headers["Azure-LB-Metadata-Source"] == "restored"
        assert {**reply.json, "reason": None} == {**before, "status": "stale"}
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
        await agent.until_requests(2, method="GET")
        assert await agent.requests(method="PATCH") == 0
        assert await cluster.node(identity.node) == node
        service.simulator.clear_fault()
        assert (await agent.until_document(ok)).json == before
        await agent.until_requests(4, method="GET")
    assert await cluster.node(identity.node) == node


@also_shows("The agent is restarted in an outage of the metadata service")
async def test_restart_in_a_long_outage(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """When the outage goes on for stale-after, the annotations too are marked stale, and nothing else."""
    async with annotating(service, identity, stale_after=STALE_SOON):
        before = await until_annotated(cluster, identity.node, has(status="ok"))
    service.simulator.set_fault("unavailable")
    async with annotating(service, identity, stale_after=STALE_SOON):
        after = await until_annotated(cluster, identity.node, has(status="stale"))
    assert after == {**before, "status": "stale", "reason": "unavailable"}


async def test_restart_with_summary(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """Where the document is not on the Node nothing can be served, but what is there stays as it is."""
    async with annotating(service, identity, annotate="summary", stale_after=STALE_SOON):
        before = await until_annotated(cluster, identity.node, has(status="ok"))
        assert "loadbalancer" not in before
    service.simulator.set_fault("unavailable")
    async with annotating(service, identity, annotate="summary", stale_after=STALE_SOON) as agent:
        after = await until_annotated(cluster, identity.node, has(status="starting"))
        assert after == {**before, "status": "starting", "reason": "unavailable"}
        assert (await agent.document()).status == 503
        service.simulator.clear_fault()
        again = await until_annotated(cluster, identity.node, has(status="ok"))
        assert lasting(again) == lasting(before)
