"""What an agent that RBAC allows everything about Events may tell, held by the chart's policy alone."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sidecar.agent.publish_events import event_name
from sidecar.core.events import EventReason
from tests.chart.telling import EVENTS, EVERYTHING, create, event, install, patch, series, until_enforced
from tests.support.apiserver import ApiServer
from tests.support.cluster import MERGE_PATCH, ApiError, Cluster, Identity, cluster_of
from tests.support.faults import Origin, Promise, fault

pytestmark = [pytest.mark.apiserver, pytest.mark.chart, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(api_server: ApiServer) -> AsyncIterator[Cluster]:
    """The admin's view."""
    async with cluster_of(api_server) as cluster:
        yield cluster


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
    "another instance": {"reportingInstance": "other-node"},
    "another action": {"action": "Delete"},
    "a reason of the kubelet": {"reason": "NodeNotReady", "type": "Warning"},
    "a reason of its own": {"reason": "Mine"},
    "a reason in other letters": {"reason": "publicipschanged"},
    "a change as a warning": {"type": "Warning"},
    "a fault as normal": {"reason": "LoadBalancerDataUnavailable", "type": "Normal"},
    "an egress state in other letters": {"reason": "egressStateChanged", "type": "Warning"},
    "an egress state with a line break": {"reason": "EgressStateChanged", "note": "agrees\nnot"},
    "an egress state of another reason's name": {
        "reason": "EgressStateChanged",
        "type": "Warning",
        "name": "REASON",
    },
    "a line break": {"note": "told\nnot"},
    "a line break at the end": {"note": "told\n"},
    "a terminal escape": {"note": "\x1b[2Jtold"},
    "text from right to left": {"note": "told \u202e dlot"},
    "not ASCII": {"note": "gr\u00f6\u00dfer"},
    "counted from the start": series(2_147_483_647),
    "a year in the future": {"eventTime": "2099-01-02T03:04:05.000000Z"},
    "a year in the past": {"eventTime": "2001-01-02T03:04:05.000000Z"},
    "two hours ago": {"at": datetime.now(UTC) - timedelta(hours=2)},
    "a name of another time": {"name": "event"},
    "a name of another reason": {"reason": "OutboundIPsChanged", "name": "REASON"},
}


@fault(
    Origin.CLOCK,
    "The agent's clock is more than an hour wrong, and it tells Events",
    Promise(
        served="Not affected.",
        annotated="Not affected.",
        logged=(
            "`publish-failed` for `events` in the words of the policy, at the 1st, 2nd, 4th … failure;"
            ' `publishes_total{publisher="events",result="failed"}`.'
        ),
        recovery="With the first attempt after the clock is right.",
    ),
    cases=("two hours ago",),
)
@pytest.mark.parametrize("case", FORBIDDEN)
async def test_forbidden_event(cluster: Cluster, held: Identity, case: str) -> None:
    """The policy refuses Events about others, elsewhere, or under another name."""
    changes = dict(FORBIDDEN[case])
    if changes.get("name") == "REASON":
        changes["name"] = event_name(held.node, "PublicIPsChanged", datetime.now(UTC))
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy") as refused:
        await create(cluster, held, **changes)
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
    body = event(held, at=datetime.now(UTC) - timedelta(minutes=30))
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
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy"):
        await cluster.request(
            "PATCH", f"{EVENTS}/{name}", body=series(2), content_type=MERGE_PATCH, token=held.token
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
    name = (await create(cluster, held, reason="OutboundIPsChanged"))["metadata"]["name"]
    for count in (2, 2, 3):
        patched = await patch(cluster, held, name, series(count))
        assert patched["series"]["count"] == count


@pytest.mark.parametrize("minutes", [-45, 45])
async def test_clocks_may_differ(cluster: Cluster, held: Identity, minutes: int) -> None:
    """An agent whose clock differs from the API server's by less than an hour may tell."""
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    await create(cluster, held, query="?dryRun=All", at=at)


async def test_long_node_name(cluster: Cluster, tmp_path: Path) -> None:
    """Names of Nodes as long as they may be are cut alike by agents and policy."""
    node = await cluster.create_node(".".join(["a" * 49] * 5))
    identity = await cluster.create_identity(node.name, directory=tmp_path, rules=EVERYTHING)
    kinds = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    paths = await install(cluster, identity, kinds=kinds)
    await until_enforced(cluster, identity)
    assert len(node.name) > 200
    await create(cluster, identity)
    for path in paths:
        await cluster.request("DELETE", path)
    await cluster.delete_node(node.name)


async def test_every_reason(cluster: Cluster, held: Identity) -> None:
    """Whatever agents tell of, the policy knows its reason."""
    at = datetime.now(UTC) - timedelta(minutes=40)
    types = dict.fromkeys(EventReason, ("Normal",)) | {
        EventReason.WITHDRAWN: ("Warning",),
        EventReason.UNAVAILABLE: ("Warning",),
        # It agrees again, or does not.
        EventReason.EGRESS_STATE_CHANGED: ("Normal", "Warning"),
    }
    for reason, kinds in types.items():
        for kind in kinds:
            await create(cluster, held, query="?dryRun=All", reason=str(reason), type=kind, at=at)


async def test_no_second_event_within_ten_minutes(cluster: Cluster, held: Identity) -> None:
    """A Node, a reason and ten minutes have one Event: so the names bound how many there can be."""
    at = datetime.now(UTC)
    told: dict[str, Any] = {"reason": "LoadBalancerDataWithdrawn", "type": "Warning", "at": at}
    await create(cluster, held, **told)
    with pytest.raises(ApiError, match="already exists"):
        await create(cluster, held, **told)
    with pytest.raises(ApiError, match="named after its Node"):
        await create(cluster, held, **told, name=event_name(held.node, "mine", at))


FORBIDDEN_CHANGES: dict[str, dict[str, Any]] = {
    "another note": {"note": "another"},
    "another time": {"eventTime": "2026-01-02T03:04:05.000000Z"},
    "many at once": series(3),
    "a huge count": series(2_147_483_647),
    "a last time in the future": series(2, later=timedelta(days=365)),
    "a last time in the past": series(2, later=-timedelta(days=2)),
    "a label": {"metadata": {"labels": {"mine": "true"}}},
}


@pytest.mark.parametrize("case", FORBIDDEN_CHANGES)
async def test_forbidden_change(cluster: Cluster, held: Identity, case: str) -> None:
    """Of its own Events, an agent may count the series, and nothing else."""
    at = datetime.now(UTC) + timedelta(minutes=20)
    try:
        await create(cluster, held, at=at)
    except ApiError as error:
        assert error.status == 409  # noqa: PT017 - by the case before
    with pytest.raises(ApiError):
        await patch(cluster, held, event_name(held.node, "PublicIPsChanged", at), FORBIDDEN_CHANGES[case])


CORE_CHANGES: dict[str, dict[str, Any]] = {
    "message": {"message": "another"},
    "source": {"source": {"component": "kubelet", "host": "other-node"}},
    "count": {"count": 2_147_483_647},
    "first time": {"firstTimestamp": "2099-01-02T03:04:05Z"},
    "reason": {"reason": "NodeNotReady"},
    "type": {"type": "Warning"},
}


@pytest.mark.parametrize("case", CORE_CHANGES)
async def test_forbidden_change_by_the_core_group(cluster: Cluster, held: Identity, case: str) -> None:
    """What the core group would let be changed is refused by the policy."""
    at = datetime.now(UTC) - timedelta(minutes=20)
    name = event_name(held.node, "PublicIPsChanged", at)
    try:
        await create(cluster, held, at=at)
    except ApiError as error:
        assert error.status == 409  # noqa: PT017 - by the case before
    path = f"/api/v1/namespaces/default/events/{name}"
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy"):
        await cluster.request(
            "PATCH", path, body=CORE_CHANGES[case], content_type=MERGE_PATCH, token=held.token
        )
    assert (await cluster.request("GET", f"{EVENTS}/{name}"))["note"] == "told"
