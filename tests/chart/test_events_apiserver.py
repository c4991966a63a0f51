"""Events about Nodes: sent with the chart's Role and held by its policy, on a real API server."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sidecar.simulator import DocumentSettings, Serving, Simulator, parse_scenario, serve
from tests.agent.support import annotating
from tests.chart.helm import RELEASE, render
from tests.chart.policy import ADMISSION, ENFORCED_WITHIN_S
from tests.support.apiserver import ApiServer
from tests.support.cluster import AGENT_RULES, MERGE_PATCH, RBAC, ApiError, Cluster, Identity, cluster_of
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.chart, pytest.mark.asyncio(loop_scope="module")]

EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
EVERYTHING: tuple[Mapping[str, list[str]], ...] = (
    *AGENT_RULES,
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["*"]},
)
ALLOWED_WITHIN_S = 120.0
MORE_OUTBOUND = DocumentSettings(name="all", outbound_ips=2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(api_server: ApiServer) -> AsyncIterator[Cluster]:
    """The admin's view."""
    async with cluster_of(api_server) as cluster:
        yield cluster


async def install(cluster: Cluster, identity: Identity, *, kinds: set[str]) -> list[str]:
    """Create these objects of the chart for an identity; gives their paths, to delete them."""
    rendered = render(
        {"events.enabled": True, "serviceAccount.name": identity.service_account},
        options=["--namespace", identity.namespace],
    )
    collections = {
        "Role": f"{RBAC}/namespaces/default/roles",
        "RoleBinding": f"{RBAC}/namespaces/default/rolebindings",
        "ValidatingAdmissionPolicy": f"{ADMISSION}/validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding": f"{ADMISSION}/validatingadmissionpolicybindings",
    }
    paths = []
    for item in rendered.objects:
        name = item["metadata"]["name"]
        if item["kind"] in kinds and name.startswith(f"{RELEASE}.{identity.namespace}"):
            if item["kind"].startswith("V") and not name.endswith(".events"):
                continue
            await cluster.request("POST", collections[item["kind"]], body=item)
            paths.append(f"{collections[item['kind']]}/{name}")
    return paths


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def held(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Identity]:
    """An agent that may do everything with all Events by RBAC, and is held by the policy alone."""
    node = await cluster.create_node()
    identity = await cluster.create_identity(
        node.name, directory=tmp_path_factory.mktemp("held"), rules=EVERYTHING
    )
    kinds = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    paths = await install(cluster, identity, kinds=kinds)
    await until_enforced(cluster, identity)
    yield identity
    for path in paths:
        await cluster.request("DELETE", path)
    await cluster.delete_node(node.name)


async def until_enforced(cluster: Cluster, identity: Identity) -> None:
    """The API server learns of a policy through a watch, a moment after it is written."""

    async def refused() -> bool:
        try:
            await create(
                cluster, identity, query="?dryRun=All", name="probe", related={"kind": "Pod", "name": "x"}
            )
        except ApiError as error:
            return "ValidatingAdmissionPolicy" in error.message
        return False

    await until(refused, deadline_s=ENFORCED_WITHIN_S)


def event(identity: Identity, **changes: Any) -> dict[str, Any]:
    """An Event as the agent of the identity sends it, but for `changes`; ``...`` leaves a member out."""
    node = identity.node
    body = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": changes.pop("name", "event"), "namespace": changes.pop("namespace", "default")},
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "azure-lb-metadata.io/agent",
        "reportingInstance": node,
        "action": "Read",
        "reason": "PublicIPsChanged",
        "regarding": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node},
        "note": "told",
        "type": "Normal",
    }
    return {key: value for key, value in {**body, **changes}.items() if value is not ...}


async def create(cluster: Cluster, identity: Identity, *, query: str = "", **changes: Any) -> dict[str, Any]:
    """Create such an Event with the identity's token."""
    body = event(identity, **changes)
    path = f"/apis/events.k8s.io/v1/namespaces/{body['metadata']['namespace']}/events{query}"
    return await cluster.request("POST", path, body=body, token=identity.token)


def regarding(**members: str) -> dict[str, Any]:
    """A member `regarding` that is of no agent's own Node."""
    return {"regarding": {"apiVersion": "v1", "kind": "Node", "name": "other", "uid": "other", **members}}


FORBIDDEN: dict[str, dict[str, Any]] = {
    "another node": regarding(),
    "another kind": regarding(kind="Pod", namespace="default"),
    "nothing": {"regarding": ...},
    "another namespace": {"namespace": "kube-system"},
    "something related": {
        "related": {"apiVersion": "v1", "kind": "Pod", "name": "x", "namespace": "default"}
    },
    "another controller": {"reportingController": "kubelet"},
}


@pytest.mark.parametrize("case", FORBIDDEN)
async def test_forbidden_event(cluster: Cluster, held: Identity, case: str) -> None:
    """The policy refuses Events about others, elsewhere, or under another name."""
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy") as refused:
        await create(cluster, held, **FORBIDDEN[case])
    assert refused.value.status == 422


@pytest.mark.parametrize("member", ["name", "uid", "kind", "apiVersion", "namespace"])
async def test_forbidden_member(cluster: Cluster, held: Identity, member: str) -> None:
    """Each member of `regarding` must be the own Node's, or the Event would be shown with another object."""
    own = {"apiVersion": "v1", "kind": "Node", "name": held.node, "uid": held.node}
    other = "default" if member == "namespace" else "other"
    with pytest.raises(ApiError, match="own Node only"):
        await create(cluster, held, **regarding(**{**own, member: other}))


async def test_forbidden_labels(cluster: Cluster, held: Identity) -> None:
    """An Event carries nothing of its own."""
    body = event(held, name="labelled")
    body["metadata"]["finalizers"] = ["example.com/keep"]
    with pytest.raises(ApiError, match="no labels, annotations, finalizers"):
        await cluster.request("POST", EVENTS, body=body, token=held.token)


async def test_forbidden_core_event(cluster: Cluster, held: Identity) -> None:
    """The same Event of the core group about another Node is refused as well."""
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "core", "namespace": "default"},
        "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": "other", "uid": "other"},
        "reason": "NodeReady",
        "message": "forged",
        "type": "Normal",
    }
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy"):
        await cluster.request("POST", "/api/v1/namespaces/default/events", body=body, token=held.token)


async def test_forbidden_change_of_others(cluster: Cluster, held: Identity) -> None:
    """An Event that somebody else wrote may be neither patched nor deleted."""
    name = f"others.{held.namespace}"
    others = event(held, name=name, reportingController="example.com/other")
    await cluster.request("POST", EVENTS, body=others)
    series = {"series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:06.000000Z"}}
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy"):
        await cluster.request(
            "PATCH", f"{EVENTS}/{name}", body=series, content_type=MERGE_PATCH, token=held.token
        )
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy"):
        await cluster.request("DELETE", f"{EVENTS}/{name}", token=held.token)


async def test_forbidden_taking_over(cluster: Cluster, held: Identity) -> None:
    """An Event of somebody else may not be made one of the own, which the core group would let through."""
    name = f"taken.{held.namespace}"
    others = event(held, name=name, reportingController="example.com/other")
    await cluster.request("POST", EVENTS, body=others)
    ours = {"reportingComponent": "azure-lb-metadata.io/agent"}
    path = f"/api/v1/namespaces/default/events/{name}"
    with pytest.raises(ApiError, match="an agent reports as"):
        await cluster.request("PATCH", path, body=ours, content_type=MERGE_PATCH, token=held.token)
    await cluster.request("PATCH", path, body=ours, content_type=MERGE_PATCH)


async def test_own_event_is_allowed(cluster: Cluster, held: Identity) -> None:
    """The Event of the own Node goes through, and may be counted again."""
    name = f"own.{held.namespace}"
    await create(cluster, held, name=name)
    series = {"series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:06.000000Z"}}
    patched = await cluster.request(
        "PATCH", f"{EVENTS}/{name}", body=series, content_type=MERGE_PATCH, token=held.token
    )
    assert patched["series"]["count"] == 2


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
