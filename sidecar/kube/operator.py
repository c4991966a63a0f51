"""The calls of an operator's commands: all Nodes page by page, their metadata only; and the DaemonSet.

Lists are read in pages of metadata: https://kubernetes.io/docs/reference/using-api/api-concepts/,
"Retrieving large results sets in chunks" and "Metadata-only fetches".
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from sidecar.kube.client import removal_request
from sidecar.kube.connection import APPLY, METADATA_LIST, Request
from sidecar.kube.listing import PAGE, UNFINISHED_PODS, Page, parsed
from sidecar.kube.repeating import RepeatingClient

__all__ = ["PAGE", "DaemonSet", "ObjectMetadata", "OperatorClient", "connect_operator"]

_NODES = "/api/v1/nodes"
PRUNE_MANAGER = "azure-lb-metadata-prune"
"""Field manager of removals; what is removed has no owner, so it leaves no trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMetadata:
    """What an operator's commands want to know of an object."""

    name: str
    uid: str
    annotations: Mapping[str, str]
    managed_fields: Sequence[object] = ()
    """Who owns what, as decoded JSON of any shape."""
    deleting: bool = False
    """Whether it has a deletion timestamp."""
    controller: str | None = None
    """The kind of the object that controls it, such as ``DaemonSet``."""


@dataclass(frozen=True, slots=True)
class DaemonSet:
    """The name of a DaemonSet; both parts are DNS names."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class OperatorClient(RepeatingClient):
    """Lists, reads and cleans Nodes. Names that are given to it must be valid ones."""

    def nodes(self) -> AsyncIterator[list[ObjectMetadata]]:
        """All Nodes, in pages.

        A Node may come twice, when the API server has forgotten the place in its list and cannot
        even go on from a newer state.
        """
        return self._list(_NODES)

    async def node(self, name: str) -> ObjectMetadata | None:
        """The metadata of a Node, not from cache; ``None`` if there is none."""
        return await self._get(f"{_NODES}/{name}")

    async def daemon_set(self, which: DaemonSet) -> ObjectMetadata | None:
        """The metadata of a DaemonSet; ``None`` if there is none."""
        return await self._get(f"/apis/apps/v1/namespaces/{which.namespace}/daemonsets/{which.name}")

    def unfinished_pods(self, namespace: str, *, selector: str) -> AsyncIterator[list[ObjectMetadata]]:
        """The pods with these labels that may still run, in pages."""
        query = [("labelSelector", selector), ("fieldSelector", UNFINISHED_PODS)]
        return self._list(f"/api/v1/namespaces/{namespace}/pods", query)

    async def remove_annotations(self, name: str, *, uid: str, keys: Iterable[str]) -> ObjectMetadata:
        """Remove these annotations of a Node, whoever wrote them, and nothing else.

        Raises:
            NodeNotFoundError: there is no such Node.
            NodeReplacedError: the Node with this UID is gone or made anew.
        """
        request = removal_request(name, uid=uid, keys=keys, field_manager=PRUNE_MANAGER)
        return parsed(await self._send(request), _object)

    async def remove_owned(self, name: str, *, uid: str, manager: str) -> ObjectMetadata:
        """Remove what a field manager applied to a Node and nobody else owns.

        Raises:
            NodeReplacedError: the Node with this UID is gone or made anew.
        """
        # With annotations, if only none, the manager would stay among the owners.
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": uid}}
        query = [("fieldManager", manager), ("force", "true")]
        path = f"{_NODES}/{name}"
        request = Request(method="PATCH", path=path, query=query, body=body, content_type=APPLY)
        return parsed(await self._send(request), _object)

    async def _get(self, path: str) -> ObjectMetadata | None:
        return await self._find(Request(method="GET", path=path), _object)

    def _list(self, path: str, query: Sequence[tuple[str, str]] = ()) -> AsyncIterator[list[ObjectMetadata]]:
        first = Request(method="GET", path=path, query=query, accept=METADATA_LIST)
        return self._pages(first, _page, size=PAGE)


connect_operator = OperatorClient.connect


def _page(body: bytes) -> Page[ObjectMetadata]:
    value = from_json(body)
    # The items of an empty list are null, as kube-apiserver 1.34 answers.
    items = [_metadata(item) for item in value["items"] or ()]
    return Page(items, value["metadata"].get("continue") or "")


def _object(body: bytes) -> ObjectMetadata:
    return _metadata(from_json(body))


def _metadata(value: dict[str, Any]) -> ObjectMetadata:
    metadata = value["metadata"]
    annotations = metadata.get("annotations") or {}
    name, uid = metadata["name"], metadata["uid"]
    if not all(isinstance(text, str) for text in (name, uid, *annotations.values())):
        raise ValueError("a name or value is no text")
    owners = metadata.get("ownerReferences") or []
    controllers = (owner["kind"] for owner in owners if owner.get("controller"))
    return ObjectMetadata(
        name=name,
        uid=uid,
        annotations=annotations,
        managed_fields=list(metadata.get("managedFields") or ()),
        deleting=metadata.get("deletionTimestamp") is not None,
        controller=next(controllers, None),
    )
