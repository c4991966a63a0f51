"""The agent's two calls to the API server: read the metadata of a Node, apply annotations to it."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from pydantic_core import from_json

from sidecar.clock import now
from sidecar.errors import UsageError
from sidecar.kube.access import SERVICE_ACCOUNT, LoadingRules
from sidecar.kube.connection import ANSWER_LIMIT, Answer, Connection
from sidecar.kube.errors import (
    MALFORMED_ADVICE,
    MalformedError,
    NoAnswerError,
    describe,
    error_from_answer,
)
from sidecar.metrics import Metrics

__all__ = ["NodeClient", "NodeMetadata", "connect"]

REQUEST_TIMEOUT = 10.0
"""Seconds that a request may take, from reading the token to the last byte of the answer."""

_NODE_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_NO_ANSWER_ADVICE = (
    "see that the API server is up, and that network policies and firewalls let the agent reach it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMetadata:
    """What the agent wants to know of a Node."""

    name: str
    uid: str
    resource_version: str
    annotations: Mapping[str, str]
    """All of them, whoever wrote them; empty when the Node has none."""


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
    connection = Connection(rules)
    try:
        await connection.open()
        yield NodeClient(connection, metrics=metrics, timeout=timeout)
    finally:
        await connection.close()


class NodeClient:
    """Reads and annotates Nodes. Made by `connect`; its calls may overlap, and never retry."""

    def __init__(
        self,
        connection: Connection,
        *,
        metrics: Metrics,
        timeout: float,  # seconds, of each request
    ) -> None:
        self._connection = connection
        self._metrics = metrics
        self._timeout = timeout

    async def get(self, name: str, *, cached: bool) -> NodeMetadata:
        """Read the metadata of a Node.

        Args:
            name: Of the Node.
            cached: Whether an older state from the API server's memory will do; it costs less.

        Raises:
            NodeNotFoundError: there is no such Node (yet).
            KubernetesError: another subclass names the situation.
            UsageError: no Node can have this name.
        """
        query = [("resourceVersion", "0")] if cached else []
        return await self._request("GET", name, query=query)

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
        metadata = {"name": name, "uid": uid, "annotations": dict(annotations)}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        query = [("fieldManager", field_manager), ("force", "true")]
        return await self._request("PATCH", name, query=query, body=body)

    async def _request(
        self,
        method: str,
        name: str,
        *,
        query: list[tuple[str, str]],
        body: dict[str, Any] | None = None,
    ) -> NodeMetadata:
        if not _NODE_NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be the name of a Node", advice="set --node-name (NODE_NAME)")
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._connection.exchange(method, name, query=query, body=body)
        except TimeoutError as error:
            self._count(method, "timeout")
            text = f"the Kubernetes API server gave no whole answer within {self._timeout:g} s"
            raise NoAnswerError(text, advice=_NO_ANSWER_ADVICE) from error
        except (aiohttp.ClientError, OSError) as error:
            self._count(method, "error")
            text = f"the Kubernetes API server gave no whole answer: {describe(error)}"
            raise NoAnswerError(text, advice=_NO_ANSWER_ADVICE) from error
        self._count(method, str(answer.status))
        return self._understand(answer, name)

    def _understand(self, answer: Answer, name: str) -> NodeMetadata:
        if 200 <= answer.status < 300:
            return _node_metadata(answer, name)
        raise error_from_answer(answer.status, headers=answer.headers, body=answer.body, now=now().utc)

    def _count(self, method: str, code: str) -> None:
        """Count a request by what it came to; one that was cancelled came to nothing."""
        self._metrics.kubernetes_requests.labels(method=method, code=code).inc()


def _node_metadata(answer: Answer, name: str) -> NodeMetadata:
    """The metadata in a 2xx answer, whether of a whole Node or of its metadata only."""
    if len(answer.body) > ANSWER_LIMIT:
        raise _malformed(answer, f"is longer than {ANSWER_LIMIT} bytes")
    try:
        metadata = from_json(answer.body)["metadata"]
        texts = {key: metadata[key] for key in ("name", "uid", "resourceVersion")}
        annotations = metadata.get("annotations") or {}
        values = list(annotations.values())
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _malformed(answer, "is no JSON of a Node") from error
    if not all(isinstance(text, str) for text in (*texts.values(), *values)):
        raise _malformed(answer, "is no JSON of a Node")
    if texts["name"] != name:
        raise _malformed(answer, "is of another Node")
    return NodeMetadata(
        name=name,
        uid=texts["uid"],
        resource_version=texts["resourceVersion"],
        annotations=annotations,
    )


def _malformed(answer: Answer, how: str) -> MalformedError:
    text = f"the answer of the Kubernetes API server {how}"
    return MalformedError(text, advice=MALFORMED_ADVICE, status=answer.status)
