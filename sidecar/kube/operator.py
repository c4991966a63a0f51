"""The calls of an operator's commands: all Nodes page by page, their metadata only; and the DaemonSet.

Every call may be sent twice without harm, so each is repeated a few times when its failure may pass.
Lists are read in pages of metadata: https://kubernetes.io/docs/reference/using-api/api-concepts/,
"Retrieving large results sets in chunks" and "Metadata-only fetches".
"""

import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from pydantic_core import from_json

from sidecar.kube.access import LoadingRules
from sidecar.kube.connection import APPLY, MERGE, METADATA_LIST, Answer, Request
from sidecar.kube.errors import NodeNotFoundError
from sidecar.kube.requester import Requester, malformed, requester, successful
from sidecar.kube.retrying import persistently
from sidecar.metrics import Metrics

__all__ = ["PAGE", "DaemonSet", "ObjectMetadata", "OperatorClient", "connect_operator"]

PAGE = 500
"""Objects of one page of a list, as kubectl asks for."""

REQUEST_TIMEOUT = 30.0
"""Seconds that a request may take: a page of Nodes is some megabytes, and an operator may be far away."""

PAGE_LIMIT = 256 * 1024 * 1024
"""Bytes of a page that are read: a Node has at most 256 KiB of annotations, and some more beside."""

_NODES = "/api/v1/nodes"
_RESTARTS = 3
"""How often a list is begun anew because its place in it was lost."""

PRUNE_MANAGER = "azure-lb-metadata-prune"
"""Field manager of removals; what is removed has no owner, so it leaves no trace."""


_Parsed = TypeVar("_Parsed")


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


@dataclass(frozen=True, slots=True)
class _Page:
    items: list[ObjectMetadata]
    next: str
    """The token of the next page; empty on the last."""


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
        return _parsed(answer, _metadata)

    async def _patch(
        self, name: str, body: dict[str, Any], *, content_type: str, query: list[tuple[str, str]]
    ) -> ObjectMetadata:
        path = f"{_NODES}/{name}"
        request = Request(method="PATCH", path=path, query=query, body=body, content_type=content_type)
        return _parsed(await self._send(request), _metadata)

    async def _send(self, request: Request) -> Answer:
        return await persistently(partial(self._requests.send, request), fraction=self._fraction)

    async def _pages(
        self, path: str, *, query: Sequence[tuple[str, str]]
    ) -> AsyncIterator[list[ObjectMetadata]]:
        """The pages of a list; after 410 Expired it goes on as the answer says, or begins anew."""
        first = Request(
            method="GET",
            path=path,
            query=[*query, ("limit", str(PAGE))],
            accept=METADATA_LIST,
            answer_limit=PAGE_LIMIT,
        )
        token = ""
        restarts = 0
        while True:
            request = replace(first, query=[*first.query, ("continue", token)]) if token else first
            answer = await persistently(partial(self._page, request), fraction=self._fraction)
            if answer.status == 410 and token and restarts < _RESTARTS:
                token = _inconsistent_continue(answer)
                restarts += not token
                continue
            page = _parsed(successful(answer), _page)
            token = page.next
            yield page.items
            # Some megabytes each, and the next page needs as much.
            del answer, page
            if not token:
                return

    async def _page(self, request: Request) -> Answer:
        """A page, or the answer that its place in the list has expired."""
        answer = await self._requests.exchange(request)
        return answer if answer.status == 410 else successful(answer)


def _inconsistent_continue(answer: Answer) -> str:
    """The token to go on with from the present state of the list; empty to begin anew."""
    try:
        token = from_json(answer.body)["metadata"]["continue"]
    except (ValueError, TypeError, LookupError):
        return ""
    return token if isinstance(token, str) else ""


def _parsed(answer: Answer, parse: Callable[[dict[str, Any]], _Parsed]) -> _Parsed:
    """What an answer's JSON says.

    Raises:
        MalformedError: something else than was asked for.
    """
    try:
        return parse(from_json(answer.body))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise malformed(answer, "is not what was asked for") from error


def _page(value: dict[str, Any]) -> _Page:
    # The items of an empty list are null, as kube-apiserver 1.34 answers.
    items = [_metadata(item) for item in value["items"] or ()]
    return _Page(items, value["metadata"].get("continue") or "")


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
