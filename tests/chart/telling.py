"""The chart's Role and policy of Events on a real API server, and Events as an agent sends them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sidecar.agent.publish_events import event_name
from tests.chart.helm import RELEASE, render
from tests.chart.policy import ADMISSION, ENFORCED_WITHIN_S
from tests.support.cluster import AGENT_RULES, MERGE_PATCH, RBAC, ApiError, Cluster, Identity
from tests.support.waiting import until

EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
EVERYTHING: tuple[Mapping[str, list[str]], ...] = (
    *AGENT_RULES,
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["*"]},
)


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


async def until_enforced(cluster: Cluster, identity: Identity) -> None:
    """The API server learns of a policy through a watch, a moment after it is written."""

    async def refused() -> bool:
        try:
            await create(cluster, identity, query="?dryRun=All", related={"kind": "Pod", "name": "x"})
        except ApiError as error:
            return "ValidatingAdmissionPolicy" in error.message
        return False

    await until(refused, deadline_s=ENFORCED_WITHIN_S)


def event(identity: Identity, **changes: Any) -> dict[str, Any]:
    """An Event as the agent of the identity sends it, but for `changes`; ``...`` leaves a member out."""
    node = identity.node
    at = changes.pop("at", datetime.now(UTC))
    name = changes.pop("name", event_name(node, str(changes.get("reason", "PublicIPsChanged")), at))
    body = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": changes.pop("namespace", "default")},
        "eventTime": micro_time(at),
        "reportingController": "azure-lb-metadata.io/agent",
        "reportingInstance": node[:128],
        "action": "Read",
        "reason": "PublicIPsChanged",
        "regarding": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node},
        "note": "told",
        "type": "Normal",
    }
    return {key: value for key, value in {**body, **changes}.items() if value is not ...}


def micro_time(at: datetime) -> str:
    """As the API has times with their fractions."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def series(count: int, *, later: timedelta = timedelta(minutes=30)) -> dict[str, Any]:
    """A patch that counts an Event again, so much later than now."""
    return {"series": {"count": count, "lastObservedTime": micro_time(datetime.now(UTC) + later)}}


async def create(cluster: Cluster, identity: Identity, *, query: str = "", **changes: Any) -> dict[str, Any]:
    """Create such an Event with the identity's token."""
    body = event(identity, **changes)
    path = f"/apis/events.k8s.io/v1/namespaces/{body['metadata']['namespace']}/events{query}"
    return await cluster.request("POST", path, body=body, token=identity.token)


async def patch(cluster: Cluster, identity: Identity, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Merge into an Event with the identity's token."""
    path = f"{EVENTS}/{name}"
    return await cluster.request("PATCH", path, body=body, content_type=MERGE_PATCH, token=identity.token)
