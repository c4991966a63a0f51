"""The agent's calls to the API server: read and annotate Nodes, create Events about them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence, Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from sidecar.core.annotations import is_node_name
from sidecar.errors import UsageError
from sidecar.kube.access import SERVICE_ACCOUNT, LoadingRules
from sidecar.kube.requests import (
    APPLY,
    JSON,
    MERGE,
    Request,
    Requester,
    malformed,
    object_of,
    requester,
    successful,
)
from sidecar.metrics import Metrics

REQUEST_TIMEOUT = 10.0
"""Seconds that a request may take, from reading the token to the last byte of the answer."""

CONTROLLER = "azure-lb-metadata.io/agent"
"""``reportingController`` of Events; the chart's policy lets agents write no other."""

NODES_PATH = "/api/v1/nodes"
_EVENTS_PATH = "/apis/events.k8s.io/v1/namespaces/default/events"

_INSTANCE_CHARACTERS = 128
"""Of ``reportingInstance``, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMetadata:
    """The metadata of a Node."""

    name: str
    uid: str
    resource_version: str
    annotations: Mapping[str, str]
    """All of them, whoever wrote them; empty when the Node has none."""
    managed_fields: Sequence[object] = ()
    """Which field manager owns which fields, as decoded JSON of any shape."""
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> Self:  # noqa: ANN401 - JSON of any shape
        """From decoded JSON of a Node, or of its metadata only.

        Raises:
            ValueError, TypeError, LookupError, AttributeError: it is something else.
        """
        metadata = value["metadata"]
        name, uid, version = metadata["name"], metadata["uid"], metadata["resourceVersion"]
        annotations = metadata.get("annotations") or {}
        labels = metadata.get("labels") or {}
        texts = (name, uid, version, *annotations.values(), *labels.values())
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a name or value is no text")
        if not is_node_name(name):
            raise ValueError("a name is none that a Node can have")  # it is printed, and part of paths
        return cls(
            name=name,
            uid=uid,
            resource_version=version,
            annotations=annotations,
            managed_fields=list(metadata.get("managedFields") or ()),
            labels=labels,
        )


@asynccontextmanager
async def connect(
    *,
    metrics: Metrics,
    kubeconfig: str | None = None,
    context: str | None = None,
    timeout: float = REQUEST_TIMEOUT,  # noqa: ASYNC109 - of each request, not of this function
    service_account: Path = SERVICE_ACCOUNT,
) -> AsyncIterator["NodeClient"]:
    """A client of the API server, for the length of the block; nothing is sent by connecting.

    Args:
        metrics: Counts the requests.
        kubeconfig: A path, or several joined by ``:``. ``None``: the pod's service account if there
            is one and no context is named, else ``KUBECONFIG``, else ``~/.kube/config``.
        context: Of the kubeconfig; ``None`` is its current one.
        timeout: Seconds that each request may take.
        service_account: Where the pod's token and certificate authority are mounted.

    Raises:
        KubeConfigError: there is no usable configuration.
    """
    rules = LoadingRules(kubeconfig=kubeconfig, context=context, service_account=service_account)
    async with requester(rules, metrics=metrics, timeout=timeout) as requests:
        yield NodeClient(requests)


class NodeClient:
    """Reads and annotates Nodes. Made by `connect`; its calls may overlap, and never retry."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester

    def events(self) -> "EventClient":
        """Sends Events over the same connections."""
        return EventClient(self._requester)

    async def get(self, name: str, *, cached: bool) -> NodeMetadata:
        """Read the metadata of a Node.

        Args:
            name: Of the Node.
            cached: Whether an older state from the API server's memory is good enough; it costs less.

        Raises:
            NodeNotFoundError: there is no such Node (yet).
            KubernetesError: another subclass names the situation.
            UsageError: no Node can have this name.
        """
        query = [("resourceVersion", "0")] if cached else []
        return await self._send(Request(method="GET", path=f"{NODES_PATH}/{name}", query=query), name)

    async def apply(
        self, name: str, *, uid: str, annotations: Mapping[str, str], field_manager: str
    ) -> NodeMetadata:
        """Make these the annotations that the field manager owns, and leave all others alone.

        A server-side apply, forced: annotations the manager owned and that are missing here are
        removed, and those that somebody else wrote under the same key are taken over
        (https://kubernetes.io/docs/reference/using-api/server-side-apply/).

        Args:
            name: Of the Node.
            uid: Of the Node; without it, an apply with wide rights would create a missing Node.
            annotations: All of the manager's.
            field_manager: At most 128 bytes.

        Raises:
            NodeReplacedError: the Node with this UID is gone or made anew.
            KubernetesError: another subclass names the situation.
            UsageError: no Node can have this name.
        """
        request = apply_request(name, uid=uid, annotations=annotations, field_manager=field_manager)
        return await self._send(request, name)

    async def remove(self, name: str, *, uid: str, keys: Iterable[str], field_manager: str) -> NodeMetadata:
        """Remove these annotations, whoever wrote or owns them, and nothing else.

        Args:
            name: Of the Node.
            uid: Of the Node.
            keys: Of the annotations; one that is not there does not matter.
            field_manager: At most 128 bytes; it owns nothing by this.

        Raises:
            NodeNotFoundError: there is no such Node.
            NodeReplacedError: the Node with this UID is gone or made anew.
            KubernetesError: another subclass names the situation.
            UsageError: no Node can have this name.
        """
        return await self._send(removal_request(name, uid=uid, keys=keys, field_manager=field_manager), name)

    async def _send(self, request: Request, name: str) -> NodeMetadata:
        if not is_node_name(name):
            raise UsageError(f"{name!r} cannot be the name of a Node", advice="set --node-name (NODE_NAME)")
        answer = await self._requester.send(request)
        try:
            node = NodeMetadata.of(object_of(answer))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise malformed(answer, "is no JSON of a Node") from error
        if node.name != name:
            raise malformed(answer, "is of another Node")
        return node


def apply_request(name: str, *, uid: str, annotations: Mapping[str, str], field_manager: str) -> Request:
    """The request of `NodeClient.apply`: a forced server-side apply of all of a manager's annotations."""
    metadata = {"name": name, "uid": uid, "annotations": dict(annotations)}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
    query = [("fieldManager", field_manager), ("force", "true")]
    return Request(method="PATCH", path=f"{NODES_PATH}/{name}", query=query, body=body, content_type=APPLY)


def removal_request(name: str, *, uid: str, keys: Iterable[str], field_manager: str) -> Request:
    """The request of `NodeClient.remove`: a merge patch in which the keys are ``null``."""
    body = {"metadata": {"uid": uid, "annotations": dict.fromkeys(keys)}}
    query = [("fieldManager", field_manager)]
    return Request(method="PATCH", path=f"{NODES_PATH}/{name}", query=query, body=body, content_type=MERGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent:
    """An Event about a Node."""

    name: str
    """Of the Event, unique in the namespace ``default``."""
    node: str
    reason: str
    note: str
    """At most 1024 bytes."""
    warning: bool
    at: datetime


class EventClient:
    """Creates Events and repeats them; it never retries."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester

    async def create(self, event: NodeEvent) -> bool:
        """Create an Event; false if one of that name exists.

        Raises:
            KubernetesError: a subclass names the situation.
        """
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": event.name, "namespace": "default"},
            "eventTime": _micro_time(event.at),
            "reportingController": CONTROLLER,
            "reportingInstance": event.node[:_INSTANCE_CHARACTERS],
            "action": "Read",
            "reason": event.reason,
            "regarding": {"apiVersion": "v1", "kind": "Node", "name": event.node, "uid": event.node},
            "note": event.note,
            "type": "Warning" if event.warning else "Normal",
        }
        request = Request(method="POST", path=_EVENTS_PATH, body=body, content_type=JSON)
        answer = await self._requester.exchange(request)
        if answer.status == HTTPStatus.CONFLICT:
            return False
        successful(answer)
        return True

    async def repeat(self, name: str, *, count: int, at: datetime) -> bool:
        """Report that what an Event says goes on; false if the API server has no such Event any more.

        Args:
            name: Of the Event.
            count: How often it was observed, at least 2.
            at: The last time.

        Raises:
            KubernetesError: a subclass names the situation.
        """
        body = {"series": {"count": count, "lastObservedTime": _micro_time(at)}}
        request = Request(method="PATCH", path=f"{_EVENTS_PATH}/{name}", body=body, content_type=MERGE)
        answer = await self._requester.exchange(request)
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        successful(answer)
        return True


def _micro_time(utc: datetime) -> str:
    """``2026-01-02T03:04:05.678900Z``, with all six digits."""
    return utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def solely_applied(managed_fields: Iterable[object], *, manager: str) -> set[str]:
    """The annotations that this manager applied and no other owns: those that its empty apply removes.

    Args:
        managed_fields: Decoded JSON; what is no entry of managed fields is ignored.
        manager: Name of the field manager.
    """
    own: set[str] = set()
    others: set[str] = set()
    for entry in managed_fields:
        if isinstance(entry, dict):
            # A subresource is another owner, though of the same name.
            identity = (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "")
            (own if identity == (manager, "Apply", "") else others).update(_annotations(entry))
    return own - others


def applied_at(managed_fields: Iterable[object], *, manager: str) -> str:
    """The time, as text, when this manager last changed the object by an apply; empty if it never did."""
    for entry in managed_fields:
        if isinstance(entry, dict) and (entry.get("manager"), entry.get("operation")) == (manager, "Apply"):
            time = entry.get("time")
            return time if isinstance(time, str) else ""
    return ""


def owners(managed_fields: Iterable[object], keys: AbstractSet[str]) -> set[str]:
    """The field managers that own at least one of these annotations, by whatever operation.

    Args:
        managed_fields: Decoded JSON; what is no entry of managed fields is ignored.
        keys: Of the annotations.
    """
    entries = [entry for entry in managed_fields if isinstance(entry, dict)]
    managers = [entry.get("manager") for entry in entries if keys & _annotations(entry)]
    return {manager for manager in managers if isinstance(manager, str)}


def _annotations(entry: dict[str, object]) -> set[str]:
    fields: object = entry
    for name in ("fieldsV1", "f:metadata", "f:annotations"):
        fields = fields.get(name) if isinstance(fields, dict) else None
    return {key.removeprefix("f:") for key in fields if key != "."} if isinstance(fields, dict) else set()
