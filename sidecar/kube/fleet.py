"""The reads of ``nodes``, ``rules`` and ``doctor``: Nodes with their conditions, agents, Services.

Every call is repeated a few times when its failure may pass, and raises a `KubernetesError` that
names the situation when the last attempt failed.
"""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from sidecar.core.agents import AgentDaemonSet, AgentPod
from sidecar.core.nodes import ClusterNode, LoadBalancerService
from sidecar.kube.access import LoadingRules
from sidecar.kube.connection import Request
from sidecar.kube.errors import NodeNotFoundError
from sidecar.kube.listing import PAGE_LIMIT, Page, pages, parsed
from sidecar.kube.operator import REQUEST_TIMEOUT
from sidecar.kube.requester import Requester, requester
from sidecar.kube.retrying import persistently
from sidecar.kube.wire import WireNode, WireService, page_of
from sidecar.kube.workloads import WireDaemonSet, WirePod
from sidecar.metrics import Metrics

__all__ = ["AGENT_SELECTOR", "FleetClient", "connect_fleet"]

AGENT_SELECTOR = "app.kubernetes.io/name=azure-lb-metadata,app.kubernetes.io/component=agent"
"""Labels that the chart and the manifests give to agents and to their DaemonSet."""

NODE_PAGE = 250
"""Nodes of a page: whole Nodes, of some 20 KiB each."""

_JSON = "application/json"

_Item = TypeVar("_Item")


@asynccontextmanager
async def connect_fleet(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    fraction: Callable[[], float] = random.random,
) -> AsyncIterator["FleetClient"]:
    """A client of the API server, for the length of the block; nothing is sent by connecting.

    Args:
        kubeconfig: A path, or several joined by ``:``. ``None``: the pod's service account if there
            is one and no context is named, else ``KUBECONFIG``, else ``~/.kube/config``.
        context: Of the kubeconfig; ``None`` is its current one.
        fraction: Gives random numbers from 0 to 1, for the delays between attempts.

    Raises:
        KubeConfigError: there is no usable configuration.
    """
    rules = LoadingRules(kubeconfig=kubeconfig, context=context)
    async with requester(rules, metrics=Metrics(), timeout=REQUEST_TIMEOUT) as requests:
        yield FleetClient(requests, fraction=fraction)


class FleetClient:
    """Reads what there is of Nodes, agents and Services. Made by `connect_fleet`; calls may overlap."""

    def __init__(self, requests: Requester, *, fraction: Callable[[], float] = random.random) -> None:
        self._requests = requests
        self._fraction = fraction

    def nodes(self, *, selector: str = "") -> AsyncIterator[list[ClusterNode]]:
        """All Nodes with these labels, in pages; one may come twice, see `listing.pages`."""
        query = [("labelSelector", selector)] if selector else []
        parse = page_of(WireNode, WireNode.convert)
        return self._pages("/api/v1/nodes", query, parse, size=NODE_PAGE)

    async def node(self, name: str) -> ClusterNode | None:
        """A Node, not from cache; ``None`` if there is none."""
        request = Request(method="GET", path=f"/api/v1/nodes/{name}", accept=_JSON, answer_limit=PAGE_LIMIT)
        try:
            answer = await persistently(partial(self._requests.send, request), fraction=self._fraction)
        except NodeNotFoundError:
            return None
        return parsed(answer, WireNode.model_validate_json).convert()

    async def agent_pods(
        self, *, namespace: str | None = None, selector: str = AGENT_SELECTOR, node: str | None = None
    ) -> list[AgentPod]:
        """The agents' pods that have not ended.

        Args:
            namespace: Only in this one; ``None`` for all, which asks for that right in the whole cluster.
            selector: Their labels.
            node: Only those that run on this Node; one that no Node has yet is not among them.
        """
        fields = "status.phase!=Succeeded,status.phase!=Failed" + (f",spec.nodeName={node}" if node else "")
        query = [("labelSelector", selector), ("fieldSelector", fields)]
        within = f"/namespaces/{namespace}" if namespace else ""
        parse = page_of(WirePod, WirePod.convert)
        return await _all(self._pages(f"/api/v1{within}/pods", query, parse))

    async def agent_daemon_sets(
        self, *, namespace: str | None = None, selector: str = AGENT_SELECTOR
    ) -> list[AgentDaemonSet]:
        """The agents' DaemonSets, found as their pods are."""
        within = f"/namespaces/{namespace}" if namespace else ""
        parse = page_of(WireDaemonSet, WireDaemonSet.convert)
        query = [("labelSelector", selector)]
        return await _all(self._pages(f"/apis/apps/v1{within}/daemonsets", query, parse))

    async def load_balancer_services(self) -> list[LoadBalancerService]:
        """The Services of type LoadBalancer of all namespaces."""
        query = [("fieldSelector", "spec.type=LoadBalancer")]
        parse = page_of(WireService, WireService.convert)
        return await _all(self._pages("/api/v1/services", query, parse))

    def _pages(
        self,
        path: str,
        query: Sequence[tuple[str, str]],
        parse: Callable[[bytes], Page[_Item]],
        *,
        size: int = 500,
    ) -> AsyncIterator[list[_Item]]:
        first = Request(method="GET", path=path, query=query, accept=_JSON)
        return pages(self._requests, first, parse=parse, fraction=self._fraction, size=size)


async def _all(given: AsyncIterator[list[_Item]]) -> list[_Item]:
    return [item async for page in given for item in page]
