"""Events about a Node, in the API group ``events.k8s.io/v1``: create one, and count it again.

Facts of kube-apiserver 1.34 (``pkg/apis/core/validation/events.go``) that shape this module: an Event
about an object without a namespace lives in ``default``; nothing of it but its series may change; a
series counts from 2. The UID of ``regarding`` is the Node's name, as kubelet has it: ``kubectl describe
node`` looks under both.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from sidecar.kube.connection import JSON, MERGE, Request
from sidecar.kube.requester import Requester, successful

__all__ = ["CONTROLLER", "EventClient", "NodeEvent"]

CONTROLLER = "azure-lb-metadata.io/agent"
"""Who reports; the chart's policy lets agents write no other."""

_PATH = "/apis/events.k8s.io/v1/namespaces/default/events"
_INSTANCE_CHARACTERS = 128


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
        """Create an Event; false when there is one of that name already.

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
        request = Request(method="POST", path=_PATH, body=body, content_type=JSON)
        answer = await self._requester.exchange(request)
        if answer.status == HTTPStatus.CONFLICT:
            return False
        successful(answer)
        return True

    async def repeat(self, name: str, *, count: int, at: datetime) -> bool:
        """Say that what an Event tells of goes on; false when the API server has forgotten it.

        Args:
            name: Of the Event.
            count: How often it was observed, at least 2.
            at: The last time.

        Raises:
            KubernetesError: a subclass names the situation.
        """
        body = {"series": {"count": count, "lastObservedTime": _micro_time(at)}}
        request = Request(method="PATCH", path=f"{_PATH}/{name}", body=body, content_type=MERGE)
        answer = await self._requester.exchange(request)
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        successful(answer)
        return True


def _micro_time(utc: datetime) -> str:
    """``2026-01-02T03:04:05.678900Z``, with all six digits."""
    return utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
