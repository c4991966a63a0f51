"""The calls of an operator's commands: all Nodes page by page, their metadata only; and the DaemonSet.

Lists are read in pages of metadata: https://kubernetes.io/docs/reference/using-api/api-concepts/,
"Retrieving large results sets in chunks" and "Metadata-only fetches".
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic_core import from_json

from sidecar.core.cluster import AgentDaemonSet, AgentPod, ClusterNode, LoadBalancerService
from sidecar.kube.client import removal_request
from sidecar.kube.connection import APPLY, JSON, METADATA_LIST, Request
from sidecar.kube.requests import PAGE, PAGE_LIMIT, UNFINISHED_PODS, Page, PagingClient, parsed
from sidecar.kube.wire import WireNode, WireService, page_of
from sidecar.kube.workloads import WireDaemonSet, WirePod

AGENT_SELECTOR = "app.kubernetes.io/name=azure-lb-metadata,app.kubernetes.io/component=agent"
"""Labels that the chart and the manifests give to agents and to their DaemonSet."""

NODE_PAGE = 250
"""Nodes of a page: whole Nodes, of some 20 KiB each."""

_Item = TypeVar("_Item")


class FleetClient(PagingClient):
    """Reads what there is of Nodes, agents and Services."""

    def nodes(self, *, selector: str = "") -> AsyncIterator[list[ClusterNode]]:
        """All Nodes with these labels, in pages; one may come twice, see `listing.pages`."""
        query = [("labelSelector", selector)] if selector else []
        parse = page_of(WireNode, WireNode.convert)
        return self._list("/api/v1/nodes", query, parse, size=NODE_PAGE)

    async def node(self, name: str) -> ClusterNode | None:
        """A Node, not from cache; ``None`` if there is none."""
        request = Request(method="GET", path=f"/api/v1/nodes/{name}", accept=JSON, answer_limit=PAGE_LIMIT)
        return await self._find(request, lambda body: WireNode.model_validate_json(body).convert())

    async def agent_pods(
        self, *, namespace: str | None = None, selector: str = AGENT_SELECTOR, node: str | None = None
    ) -> list[AgentPod]:
        """The agents' pods that have not ended.

        Args:
            namespace: Only in this one; ``None`` for all, which asks for that right in the whole cluster.
            selector: Their labels.
            node: Only those that run on this Node; one that no Node has yet is not among them.
        """
        fields = UNFINISHED_PODS + (f",spec.nodeName={node}" if node else "")
        query = [("labelSelector", selector), ("fieldSelector", fields)]
        within = f"/namespaces/{namespace}" if namespace else ""
        parse = page_of(WirePod, WirePod.convert)
        return await _all(self._list(f"/api/v1{within}/pods", query, parse))

    async def agent_daemon_sets(
        self, *, namespace: str | None = None, selector: str = AGENT_SELECTOR
    ) -> list[AgentDaemonSet]:
        """The agents' DaemonSets, found as their pods are."""
        within = f"/namespaces/{namespace}" if namespace else ""
        parse = page_of(WireDaemonSet, WireDaemonSet.convert)
        query = [("labelSelector", selector)]
        return await _all(self._list(f"/apis/apps/v1{within}/daemonsets", query, parse))

    async def load_balancer_services(self) -> list[LoadBalancerService]:
        """The Services of type LoadBalancer of all namespaces."""
        query = [("fieldSelector", "spec.type=LoadBalancer")]
        parse = page_of(WireService, WireService.convert)
        return await _all(self._list("/api/v1/services", query, parse))

    def _list(
        self,
        path: str,
        query: Sequence[tuple[str, str]],
        parse: Callable[[bytes], Page[_Item]],
        *,
        size: int = PAGE,
    ) -> AsyncIterator[list[_Item]]:
        first = Request(method="GET", path=path, query=query, accept=JSON)
        return self._pages(first, parse, size=size)


connect_fleet = FleetClient.connect


async def _all(given: AsyncIterator[list[_Item]]) -> list[_Item]:
    return [item async for page in given for item in page]


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
    labels: Mapping[str, str] = field(default_factory=dict)
    controller: str | None = None
    """The kind of the object that controls it, such as ``DaemonSet``."""


@dataclass(frozen=True, slots=True)
class DaemonSet:
    """The name of a DaemonSet; both parts are DNS names."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class OperatorClient(PagingClient):
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

    async def agent_daemon_sets(self) -> list[AgentDaemonSet]:
        """All DaemonSets of agents in the cluster, whatever their releases are called."""
        first = Request(method="GET", path="/apis/apps/v1/daemonsets", accept=JSON)
        parse = page_of(WireDaemonSet, WireDaemonSet.convert_agent)
        found = [each async for page in self._pages(first, parse, size=PAGE) for each in page]
        return [each for each in found if each is not None]

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
    labels = metadata.get("labels") or {}
    name, uid = metadata["name"], metadata["uid"]
    if not all(isinstance(text, str) for text in (name, uid, *annotations.values(), *labels.values())):
        raise ValueError("a name or value is no text")
    owners = metadata.get("ownerReferences") or []
    controllers = (owner["kind"] for owner in owners if owner.get("controller"))
    return ObjectMetadata(
        name=name,
        uid=uid,
        annotations=annotations,
        labels=labels,
        managed_fields=list(metadata.get("managedFields") or ()),
        deleting=metadata.get("deletionTimestamp") is not None,
        controller=next(controllers, None),
    )
