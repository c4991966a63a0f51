"""Events about Nodes: sent with the chart's Role and under its policy, on a real API server."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sidecar.simulator import DocumentSettings, Serving, Simulator, parse_scenario, serve
from tests.agent.support import annotating
from tests.chart.telling import EVENTS, install
from tests.support.apiserver import ApiServer
from tests.support.cluster import Cluster, Identity, cluster_of
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.chart, pytest.mark.asyncio(loop_scope="module")]

ALLOWED_WITHIN_S = 120.0
MORE_OUTBOUND = DocumentSettings(name="all", outbound_ips=2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(api_server: ApiServer) -> AsyncIterator[Cluster]:
    """The admin's view."""
    async with cluster_of(api_server) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="module")
async def service() -> AsyncIterator[Serving]:
    """A metadata service."""
    async with serve(Simulator(parse_scenario("rateLimit: false"))) as serving:
        yield serving


@pytest_asyncio.fixture(loop_scope="module")
async def telling(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Identity]:
    """The identity of an agent with the chart's Role for Events, and its policy."""
    node = await cluster.create_node()
    identity = await cluster.create_identity(node.name, directory=tmp_path)
    kinds = {"Role", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    paths = await install(cluster, identity, kinds=kinds)
    await until(lambda: may_create(cluster, identity), deadline_s=ALLOWED_WITHIN_S)
    yield identity
    for path in paths:
        await cluster.request("DELETE", path)
    await cluster.delete_node(node.name)


async def may_create(
    cluster: Cluster, identity: Identity, *, namespace: str = "default", verb: str = "create"
) -> bool:
    """Whether the API server would let the identity create Events."""
    return await cluster.may(
        identity, verb=verb, group="events.k8s.io", resource="events", namespace=namespace
    )


async def told(cluster: Cluster, identity: Identity) -> dict[str, dict[str, Any]]:
    """Events about the Node, by reason."""
    answer = await cluster.request("GET", EVENTS)
    items = [item for item in answer["items"] if item["regarding"]["name"] == identity.node]
    found = {item["reason"]: item for item in items}
    assert len(found) == len(items), json.dumps(items)
    return found


async def test_rights(cluster: Cluster, telling: Identity) -> None:
    """The Role lets agents create and patch Events in `default`, and nothing else anywhere."""
    verbs = ("create", "patch", "get", "list", "watch", "update", "delete", "deletecollection")
    rights = {verb: await may_create(cluster, telling, verb=verb) for verb in verbs}
    assert [verb for verb, allowed in rights.items() if allowed] == ["create", "patch"]
    assert not await may_create(cluster, telling, namespace="kube-system")


async def test_changed_address(cluster: Cluster, telling: Identity, service: Serving) -> None:
    """A real agent tells of a changed address within the splay, and kubectl shows it with the Node."""
    async with annotating(service, telling, events=True) as agent:
        await agent.program.event("annotated")
        service.simulator.set_document(MORE_OUTBOUND)
        found = await until(lambda: told(cluster, telling))
    (event,) = found.values()
    assert (event["type"], event["reportingInstance"]) == ("Normal", telling.node)
    assert event["note"].startswith("outbound IPs changed from ")
    assert event["reason"] == "OutboundIPsChanged"
    shown = await cluster.kubectl("describe", "node", telling.node)
    assert "OutboundIPsChanged" in shown


async def test_lasting_fault(cluster: Cluster, telling: Identity, service: Serving) -> None:
    """A real agent tells of a fault that lasts, as a warning, once."""
    async with annotating(service, telling, events=True, events_fault_after="300ms") as agent:
        await agent.program.event("annotated")
        service.simulator.set_fault("throttled")
        found = await until(lambda: told(cluster, telling))
        await agent.more_attempts(5)
        assert await told(cluster, telling) == found
    (event,) = found.values()
    assert (event["reason"], event["type"]) == ("LoadBalancerDataUnavailable", "Warning")
    assert "throttled" in event["note"]


async def test_withdrawn_data(cluster: Cluster, telling: Identity, service: Serving) -> None:
    """A real agent tells of data that the service no longer has, once they are withdrawn."""
    async with annotating(service, telling, events=True) as agent:
        await agent.program.event("annotated")
        service.simulator.set_fault("no-metadata")
        found = await until(lambda: told(cluster, telling))
    assert found["LoadBalancerDataWithdrawn"]["note"].startswith(
        "the metadata service no longer has public IPs"
    )


async def test_off_by_default(cluster: Cluster, telling: Identity, service: Serving) -> None:
    """Without the setting there are no Events."""
    async with annotating(service, telling) as agent:
        await agent.program.event("annotated")
        service.simulator.set_document(MORE_OUTBOUND)
        await agent.program.event("annotated", number=2)
    assert await told(cluster, telling) == {}
