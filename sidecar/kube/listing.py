"""The client of the commands about many nodes: requests with retries, and lists page by page.

https://kubernetes.io/docs/reference/using-api/api-concepts/, "Retrieving large results sets in chunks" and
"Metadata-only fetches".
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, Self, TypeVar

from pydantic_core import from_json

from sidecar.core.annotations import is_node_name
from sidecar.core.backoff import retry_ceiling
from sidecar.core.cluster import AgentDaemonSet, AgentPod, ClusterNode, LoadBalancerService, StaticGateway
from sidecar.core.parsing import error_object
from sidecar.kube.access import LoadingRules
from sidecar.kube.client import NODES_PATH, NodeMetadata, removal_request
from sidecar.kube.errors import (
    ForbiddenError,
    KubernetesError,
    NoAnswerError,
    NodeNotFoundError,
    ServerError,
    ThrottledError,
    UnauthorizedError,
)
from sidecar.kube.requests import (
    APPLY,
    JSON,
    METADATA_LIST,
    Request,
    Requester,
    Response,
    malformed,
    parsed,
    requester,
    successful,
)
from sidecar.kube.wire import Page, WireNode, WireService, WireStaticGateway, page_of
from sidecar.kube.workloads import WireDaemonSet, WirePod

AGENT_SELECTOR = "app.kubernetes.io/name=azure-lb-metadata,app.kubernetes.io/component=agent"
"""Labels that the chart and the manifests give to agents and to their DaemonSet."""

PRUNE_MANAGER = "azure-lb-metadata-prune"
"""Field manager of removals; what is removed has no owner, so it leaves no trace."""

PAGE = 500
"""Objects of one page of a list, as kubectl requests them."""

NODE_PAGE = 250
"""Nodes of a page: whole Nodes, of some 20 KiB each."""

PAGE_LIMIT = 96 * 1024 * 1024
"""Bytes of a page that are read: a Node has at most 256 KiB of annotations, and some more beside."""

MOST_ITEMS = 200_000
"""Objects of a list: more than any cluster has."""

MOST_EMPTY_PAGES = 10
"""Pages without objects, one after the other, after which a list is taken for endless."""

UNFINISHED_PODS = "status.phase!=Succeeded,status.phase!=Failed"
"""The field selector of pods that may still run."""

ATTEMPTS = 5
"""How often a request is sent before its failure counts."""

_TRANSIENT: dict[type[KubernetesError], int] = {
    NoAnswerError: ATTEMPTS,
    ServerError: ATTEMPTS,
    ThrottledError: ATTEMPTS,
    UnauthorizedError: 2,  # with credentials loaded anew; what they do not change stays as it is
}
"""Attempts by error; any other error counts at once."""

LONGEST_TRYING = 60.0
"""Seconds from the first attempt after which no other one is begun: somebody waits at a terminal."""

_LONGEST_STEP = 10.0
"""Seconds from which the ceilings 1, 2, 4, 8 s and so on are derived."""

_RESTARTS = 3
"""How often a list is begun anew because its place expired, or loses it again before a page came."""

_GATEWAY_GROUP = "/apis/egressgateway.kubernetes.azure.com"

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

OnRetry = Callable[[KubernetesError], None]
"""What is told of an attempt that failed and is repeated."""

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class DaemonSetName:
    """The name of a DaemonSet; both parts are DNS names."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``NAMESPACE/NAME``.

        Raises:
            ValueError: it has another form.
        """
        namespace, _, name = text.partition("/")
        if _NAMESPACE.fullmatch(namespace) is None or not is_node_name(name):
            raise ValueError(f"{text!r} is not NAMESPACE/NAME")
        return cls(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class FleetClient:
    """Reads Nodes, agents and Services of a cluster, and removes annotations. Made by `connect_fleet`.

    Names that are given to it must be valid. Its calls may overlap. A request is repeated when its failure
    may pass, so none may do harm by coming twice. Every method raises a `KubernetesError` that names the
    situation when the last attempt failed.
    """

    def __init__(
        self,
        requests: Requester,
        *,
        fraction: Callable[[], float] = random.random,
        on_retry: OnRetry = lambda _: None,
    ) -> None:
        """Make a client.

        Args:
            requests: Sends the requests.
            fraction: Gives random numbers from 0 to 1, for the delays between attempts.
            on_retry: Called with the failure of an attempt before the next one.
        """
        self._requests = requests
        self._retry = partial(with_retries, fraction=fraction, on_retry=on_retry)

    def nodes(self, *, selector: str = "") -> AsyncIterator[list[ClusterNode]]:
        """All Nodes with these labels, in pages; a Node may come twice.

        That is when the API server has forgotten the place in its list and cannot even go on from a newer
        state.
        """
        query = [("labelSelector", selector)] if selector else []
        first = Request(method="GET", path=NODES_PATH, query=query, accept=JSON)
        return self._pages(first, page_of(WireNode, WireNode.convert), size=NODE_PAGE)

    async def node(self, name: str) -> ClusterNode | None:
        """A Node, not from cache; ``None`` if there is none."""
        request = Request(method="GET", path=f"{NODES_PATH}/{name}", accept=JSON, answer_limit=PAGE_LIMIT)
        return await self._find(request, lambda body: WireNode.model_validate_json(body).convert())

    async def agent_pods(
        self, *, namespace: str | None = None, selector: str = AGENT_SELECTOR, node: str | None = None
    ) -> list[AgentPod]:
        """The agents' pods that have not ended.

        Args:
            namespace: Only in this one; ``None`` for all, which needs that right in the whole cluster.
            selector: Their labels.
            node: Only those that run on this Node; one that no Node has yet is not among them.
        """
        fields = UNFINISHED_PODS + (f",spec.nodeName={node}" if node else "")
        query = [("labelSelector", selector), ("fieldSelector", fields)]
        within = f"/namespaces/{namespace}" if namespace else ""
        first = Request(method="GET", path=f"/api/v1{within}/pods", query=query, accept=JSON)
        return await self._all(first, page_of(WirePod, WirePod.convert))

    async def agent_daemon_sets(
        self, *, namespace: str | None = None, selector: str = AGENT_SELECTOR
    ) -> list[AgentDaemonSet]:
        """The agents' DaemonSets, found as their pods are."""
        within = f"/namespaces/{namespace}" if namespace else ""
        query = [("labelSelector", selector)]
        first = Request(method="GET", path=f"/apis/apps/v1{within}/daemonsets", query=query, accept=JSON)
        return await self._all(first, page_of(WireDaemonSet, WireDaemonSet.convert))

    async def all_agent_daemon_sets(self) -> list[AgentDaemonSet]:
        """All DaemonSets of agents in the cluster, whatever the names and labels of their releases."""
        first = Request(method="GET", path="/apis/apps/v1/daemonsets", accept=JSON)
        found = await self._all(first, page_of(WireDaemonSet, WireDaemonSet.convert_agent))
        return [each for each in found if each is not None]

    async def load_balancer_services(self) -> list[LoadBalancerService]:
        """The Services of type LoadBalancer of all namespaces."""
        query = [("fieldSelector", "spec.type=LoadBalancer")]
        first = Request(method="GET", path="/api/v1/services", query=query, accept=JSON)
        return await self._all(first, page_of(WireService, WireService.convert))

    async def static_gateways(self) -> list[StaticGateway]:
        """The AKS static egress gateways of all namespaces; none where the cluster has no such resource.

        That is asked for first, as everybody may: of what there is not, the API server says that it is
        forbidden to those who may not list it.
        """
        try:
            # Who may not even ask is told by the list.
            with suppress(ForbiddenError):
                await self._send(Request(method="GET", path=_GATEWAY_GROUP, accept=JSON))
            first = Request(
                method="GET", path=f"{_GATEWAY_GROUP}/v1alpha1/staticgatewayconfigurations", accept=JSON
            )
            return await self._all(first, page_of(WireStaticGateway, WireStaticGateway.convert))
        except KubernetesError as error:
            # As a Status or as plain text: the API server's own word for a group that it does not have.
            if error.status == HTTPStatus.NOT_FOUND:
                return []
            raise

    def nodes_metadata(self) -> AsyncIterator[list[NodeMetadata]]:
        """The metadata of all Nodes, in pages; a Node may come twice, as in `nodes`."""
        first = Request(method="GET", path=NODES_PATH, accept=METADATA_LIST)
        return self._pages(first, partial(_metadata_page, read=NodeMetadata.of), size=PAGE)

    async def node_metadata(self, name: str) -> NodeMetadata | None:
        """The metadata of a Node, not from cache; ``None`` if there is none."""
        return await self._find(Request(method="GET", path=f"{NODES_PATH}/{name}"), _node_metadata)

    async def is_being_deleted(self, which: DaemonSetName) -> bool | None:
        """Whether a DaemonSet has a deletion timestamp; ``None`` if there is no such DaemonSet."""
        path = f"/apis/apps/v1/namespaces/{which.namespace}/daemonsets/{which.name}"
        request = Request(method="GET", path=path)
        return await self._find(
            request, lambda body: _metadata(from_json(body)).get("deletionTimestamp") is not None
        )

    async def unfinished_pods(self, namespace: str, *, selector: str) -> list[str]:
        """The names of the pods with these labels that may still run, without those that Jobs control."""
        query = [("labelSelector", selector), ("fieldSelector", UNFINISHED_PODS)]
        path = f"/api/v1/namespaces/{namespace}/pods"
        first = Request(method="GET", path=path, query=query, accept=METADATA_LIST)

        def read(item: Any) -> tuple[str, bool]:  # noqa: ANN401 - JSON of any shape
            metadata = _metadata(item)
            kinds = [each["kind"] for each in metadata.get("ownerReferences") or () if each.get("controller")]
            return metadata["name"], "Job" in kinds

        pods = await self._all(first, partial(_metadata_page, read=read))
        return [name for name, of_job in pods if not of_job]

    async def remove_annotations(self, name: str, *, uid: str, keys: Iterable[str]) -> NodeMetadata:
        """Remove these annotations of a Node, whoever wrote them, and nothing else.

        Raises:
            NodeNotFoundError: there is no such Node.
            NodeReplacedError: the Node with this UID is gone or made anew.
        """
        request = removal_request(name, uid=uid, keys=keys, field_manager=PRUNE_MANAGER)
        return parsed(await self._send(request), _node_metadata)

    async def remove_owned(self, name: str, *, uid: str, manager: str) -> NodeMetadata:
        """Remove what a field manager applied to a Node and nobody else owns.

        Raises:
            NodeReplacedError: the Node with this UID is gone or made anew.
        """
        # With annotations, if only none, the manager would stay among the owners.
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": uid}}
        query = [("fieldManager", manager), ("force", "true")]
        path = f"{NODES_PATH}/{name}"
        request = Request(method="PATCH", path=path, query=query, body=body, content_type=APPLY)
        return parsed(await self._send(request), _node_metadata)

    async def _send(self, request: Request) -> Response:
        return await self._retry(partial(self._requests.send, request))

    async def _find(self, request: Request, parse: Callable[[bytes], _Item]) -> _Item | None:
        """The object of a response; ``None`` if there is none."""
        try:
            answer = await self._send(request)
        except NodeNotFoundError:
            return None
        return parsed(answer, parse)

    async def _all(self, first: Request, parse: Callable[[bytes], Page[_Item]]) -> list[_Item]:
        """The items of all pages of a list."""
        return [item async for page in self._pages(first, parse, size=PAGE) for item in page]

    async def _pages(
        self, first: Request, parse: Callable[[bytes], Page[_Item]], *, size: int
    ) -> AsyncIterator[list[_Item]]:
        """The pages of a list; after 410 Expired it goes on as the response says, or begins anew.

        Args:
            first: The list without ``limit``.
            parse: Reads a page's body; what it raises of its kinds of error makes the response malformed.
            size: Items of a page.
        """

        async def page_or_expired(request: Request) -> Response:
            answer = await self._requests.exchange(request)
            return answer if answer.status == 410 else successful(answer)

        first = replace(first, query=[*first.query, ("limit", str(size))], answer_limit=PAGE_LIMIT)
        token = ""
        restarts = 0
        progress = True
        items = empty_pages = 0
        while True:
            request = replace(first, query=[*first.query, ("continue", token)]) if token else first
            answer = await self._retry(partial(page_or_expired, request))
            if answer.status == 410 and token and restarts < _RESTARTS:
                # The response may have a token to go on with from the present state of the list.
                try:
                    given = error_object(answer.body)["metadata"]["continue"]
                except (TypeError, LookupError):
                    given = ""
                token = given if isinstance(given, str) else ""
                restarts += not (token and progress)
                progress = False
                continue
            page = parsed(successful(answer), parse)
            progress = True
            items += len(page.items)
            empty_pages = 0 if page.items else empty_pages + 1
            if page.next and (page.next == token or items > MOST_ITEMS or empty_pages >= MOST_EMPTY_PAGES):
                raise malformed(answer, "is of a list without an end")
            token = page.next
            # Some megabytes, and the next page needs as much.
            del answer
            yield page.items
            del page
            if not token:
                return


@asynccontextmanager
async def connect_fleet(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    timeout: float,  # noqa: ASYNC109 - of each request, not of this function
    on_retry: OnRetry = lambda _: None,
) -> AsyncIterator[FleetClient]:
    """A client of the API server, for the length of the block; nothing is sent by connecting.

    Args:
        kubeconfig: A path, or several joined by ``:``. ``None``: the pod's service account if there
            is one and no context is named, else ``KUBECONFIG``, else ``~/.kube/config``.
        context: Of the kubeconfig; ``None`` is its current one.
        timeout: Seconds that each request may take.
        on_retry: Called with the failure of an attempt before the next one.

    Raises:
        KubeConfigError: there is no usable configuration.
    """
    rules = LoadingRules(kubeconfig=kubeconfig, context=context)
    async with requester(rules, metrics=None, timeout=timeout) as requests:
        yield FleetClient(requests, on_retry=on_retry)


async def with_retries(
    send: Callable[[], Awaitable[_Value]],
    *,
    fraction: Callable[[], float] = random.random,
    on_retry: OnRetry = lambda _: None,
) -> _Value:
    """Send a request, and again after a delay when the API server throttles, fails or cannot be reached.

    Delays are random parts (full jitter) of 1, 2, 4 and 8 s, for 429 of the next longer one, and
    never less than a ``Retry-After``. None leads beyond `LONGEST_TRYING`.

    Args:
        send: Sends a request that may be sent twice.
        fraction: Gives random numbers from 0 to 1.
        on_retry: Called with the failure of an attempt before the next one.

    Raises:
        KubernetesError: of the last attempt.
    """
    attempt = 1
    end = asyncio.get_running_loop().time() + LONGEST_TRYING
    while True:
        try:
            return await send()
        except KubernetesError as error:
            if attempt >= _TRANSIENT.get(type(error), 1):
                raise
            step = attempt if isinstance(error, ThrottledError) else attempt - 1
            delay = fraction() * retry_ceiling(step, poll_interval=_LONGEST_STEP)
            delay = max(delay, error.retry_after or 0.0)
            if asyncio.get_running_loop().time() + delay > end:
                raise
            on_retry(error)
        attempt += 1
        await asyncio.sleep(delay)


def _metadata_page(body: bytes, *, read: Callable[[Any], _Item]) -> Page[_Item]:
    value = from_json(body)
    # The items of an empty list are null, as kube-apiserver 1.34 answers.
    return Page([read(item) for item in value["items"] or ()], value["metadata"].get("continue") or "")


def _node_metadata(body: bytes) -> NodeMetadata:
    return NodeMetadata.of(from_json(body))


def _metadata(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    metadata = value["metadata"]
    if not (is_node_name(metadata["name"]) and isinstance(metadata["uid"], str)):
        raise TypeError("a name is none that an object can have")
    return metadata
