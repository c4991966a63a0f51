"""The calls of an operator's commands: all Nodes page by page, their metadata only; and the DaemonSet.

Every call may be sent twice without harm, so each is repeated a few times when its failure may pass.
Lists are read in pages of metadata: https://kubernetes.io/docs/reference/using-api/api-concepts/,
"Retrieving large results sets in chunks" and "Metadata-only fetches".
"""

import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic_core import from_json

from sidecar.kube.access import LoadingRules
from sidecar.kube.connection import APPLY, MERGE, METADATA_LIST, Answer, Request
from sidecar.kube.errors import NodeNotFoundError
from sidecar.kube.listing import PAGE, Page, pages, parsed
from sidecar.kube.requester import Requester, requester
from sidecar.kube.retrying import persistently
from sidecar.metrics import Metrics

__all__ = ["PAGE", "DaemonSet", "ObjectMetadata", "OperatorClient", "connect_operator"]

REQUEST_TIMEOUT = 30.0
"""Seconds that a request may take: a page of Nodes is some megabytes, and an operator may be far away."""

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


@asynccontextmanager
async def connect_operator(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    timeout: float = REQUEST_TIMEOUT,  # noqa: ASYNC109 - of each request, not of this function
    fraction: Callable[[], float] = random.random,
) -> AsyncIterator["OperatorClient"]:
    """A client of the API server, for the length of the block; nothing is sent by connecting.

    Args:
        kubeconfig: A path, or several joined by ``:``. ``None``: the pod's service account if there
            is one and no context is named, else ``KUBECONFIG``, else ``~/.kube/config``.
        context: Of the kubeconfig; ``None`` is its current one.
        timeout: Seconds that each request may take.
        fraction: Gives random numbers from 0 to 1, for the delays between attempts.

    Raises:
        KubeConfigError: there is no usable configuration.
    """
    rules = LoadingRules(kubeconfig=kubeconfig, context=context)
    async with requester(rules, metrics=Metrics(), timeout=timeout) as requests:
        yield OperatorClient(requests, fraction=fraction)


class OperatorClient:
    """Lists, reads and cleans Nodes. Made by `connect_operator`; its calls may overlap.

    Names that are given to it must be valid ones. Every method raises a `KubernetesError` that names
    the situation when the last attempt failed.
    """

    def __init__(self, requests: Requester, *, fraction: Callable[[], float] = random.random) -> None:
        self._requests = requests
        self._fraction = fraction

    async def nodes(self) -> AsyncIterator[list[ObjectMetadata]]:
        """All Nodes, in pages.

        A Node may come twice, when the API server has forgotten the place in its list and cannot
        even go on from a newer state.
        """
        async for page in self._pages(_NODES, query=()):
            yield page

    async def node(self, name: str) -> ObjectMetadata | None:
        """The metadata of a Node, not from cache; ``None`` if there is none."""
        return await self._get(f"{_NODES}/{name}")

    async def daemon_set(self, which: DaemonSet) -> ObjectMetadata | None:
        """The metadata of a DaemonSet; ``None`` if there is none."""
        return await self._get(f"/apis/apps/v1/namespaces/{which.namespace}/daemonsets/{which.name}")

    async def unfinished_pods(self, namespace: str, *, selector: str) -> AsyncIterator[list[ObjectMetadata]]:
        """The pods with these labels that may still run, in pages."""
        unfinished = "status.phase!=Succeeded,status.phase!=Failed"
        query = [("labelSelector", selector), ("fieldSelector", unfinished)]
        async for page in self._pages(f"/api/v1/namespaces/{namespace}/pods", query=query):
            yield page

    async def remove_annotations(self, name: str, *, uid: str, keys: Iterable[str]) -> ObjectMetadata:
        """Remove these annotations of a Node, whoever wrote them, and nothing else.

        Raises:
            NodeNotFoundError: there is no such Node.
            NodeReplacedError: the Node with this UID is gone or made anew.
        """
        body = {"metadata": {"uid": uid, "annotations": dict.fromkeys(keys)}}
        return await self._patch(name, body, content_type=MERGE, query=[("fieldManager", PRUNE_MANAGER)])

    async def remove_owned(self, name: str, *, uid: str, manager: str) -> ObjectMetadata:
        """Remove what a field manager applied to a Node and nobody else owns.

        Raises:
            NodeReplacedError: the Node with this UID is gone or made anew.
        """
        # With annotations, if only none, the manager would stay among the owners.
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": uid}}
        query = [("fieldManager", manager), ("force", "true")]
        return await self._patch(name, body, content_type=APPLY, query=query)

    async def _get(self, path: str) -> ObjectMetadata | None:
        try:
            answer = await self._send(Request(method="GET", path=path))
        except NodeNotFoundError:
            return None
        return parsed(answer, _object)

    async def _patch(
        self, name: str, body: dict[str, Any], *, content_type: str, query: list[tuple[str, str]]
    ) -> ObjectMetadata:
        path = f"{_NODES}/{name}"
        request = Request(method="PATCH", path=path, query=query, body=body, content_type=content_type)
        return parsed(await self._send(request), _object)

    async def _send(self, request: Request) -> Answer:
        return await persistently(partial(self._requests.send, request), fraction=self._fraction)

    def _pages(self, path: str, *, query: Sequence[tuple[str, str]]) -> AsyncIterator[list[ObjectMetadata]]:
        first = Request(method="GET", path=path, query=query, accept=METADATA_LIST)
        return pages(self._requests, first, parse=_page, fraction=self._fraction, size=PAGE)


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
