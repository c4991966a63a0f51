"""The reads of ``nodes``, ``rules`` and ``doctor``: Nodes with their conditions, agents, Services.

Whole objects are asked for, of which little is kept: see :mod:`.wire`.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from sidecar.core.agents import AgentDaemonSet, AgentPod
from sidecar.core.nodes import ClusterNode, LoadBalancerService
from sidecar.kube.connection import JSON, Request
from sidecar.kube.listing import PAGE, PAGE_LIMIT, UNFINISHED_PODS, Page
from sidecar.kube.repeating import RepeatingClient
from sidecar.kube.wire import WireNode, WireService, page_of
from sidecar.kube.workloads import WireDaemonSet, WirePod

__all__ = ["AGENT_SELECTOR", "FleetClient", "connect_fleet"]

AGENT_SELECTOR = "app.kubernetes.io/name=azure-lb-metadata,app.kubernetes.io/component=agent"
"""Labels that the chart and the manifests give to agents and to their DaemonSet."""

NODE_PAGE = 250
"""Nodes of a page: whole Nodes, of some 20 KiB each."""

_Item = TypeVar("_Item")


class FleetClient(RepeatingClient):
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
