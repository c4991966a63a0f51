"""A stand-in for a Kubernetes API server that can be told to misbehave; the real one is beside it.

It knows GET, server-side apply and merge patches of a Node's annotations as kube-apiserver 1.34 was seen to
do them: an apply with the uid of a missing Node is 409 and a merge 404; with that of a Node made anew both
are 422; what a manager leaves out is pruned; a no-op keeps the resourceVersion. It remembers every request,
and shares nothing with the agent.
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.support.fake_node import FakeNode
from tests.support.web_server import web_server

Answer = tuple[int, dict[str, Any]]
"""A status, and the object of the body."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What to answer one request with, instead of doing it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: bool = False
    """Answer nothing until the server is told to go on."""
    hold_body: bool = False
    """Send the status and half the body, then nothing until the server is told to go on."""
    reset: bool = False
    """Close the connection without an answer."""


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class FakeApiServer:
    """Nodes, a script of misbehaviour, and a record of requests. Made by `fake_api_server`."""

    def __init__(self) -> None:
        self.url = ""
        self.nodes: dict[str, FakeNode] = {}
        self.script: deque[Reply] = deque()
        """Used up one per request; when it is empty, requests are done as they ask."""
        self.replies: defaultdict[str, deque[Reply]] = defaultdict(deque)
        """The same of one method and path, such as ``GET /api/v1/nodes``."""
        self.on_request: Callable[[RecordedRequest], None] = lambda _: None
        """Is told each request before it is answered."""
        self.requests: list[RecordedRequest] = []
        self.requested = asyncio.Event()
        """Set by each request; clear it to wait for the next."""
        self.go_on = asyncio.Event()
        """Ends what `Reply.hold` and `Reply.hold_body` hold."""

    def add_node(self, name: str, annotations: Mapping[str, str] | None = None) -> FakeNode:
        """Make a Node, anew if there is one of that name."""
        given = dict(annotations or {})
        owners = {key: {"kubectl-annotate"} for key in given}
        node = self.nodes[name] = FakeNode(name=name, annotations=given, owners=owners)
        return node

    def kubeconfig(self, path: Path, *, user: Mapping[str, Any] | None = None, current: str = "fake") -> str:
        """Write a kubeconfig with the context ``fake`` to `path`, and give that; blocking, but small."""
        config = {
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": "fake-token"} if user is None else dict(user)}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "current-context": current,
        }
        path.write_text(yaml.safe_dump(config))
        return str(path)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record the request, then do as the script or the request says."""
        recorded = RecordedRequest(
            request.method, request.path, dict(request.query), request.headers.copy(), await request.read()
        )
        self.requests.append(recorded)
        self.requested.set()
        self.on_request(recorded)
        if replies := self.replies[f"{request.method} {request.path}"] or self.script:
            return await self._misbehave(request, replies.popleft())
        status, answer = self._answer(recorded)
        return web.json_response(answer, status=status)

    async def _misbehave(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.hold:
            await self.go_on.wait()
        if reply.reset and request.transport is not None:
            request.transport.abort()
        if reply.hold_body:
            response = web.StreamResponse(status=reply.status, headers=reply.headers)
            response.content_length = len(reply.body)
            await response.prepare(request)
            await response.write(reply.body[: len(reply.body) // 2])
            await self.go_on.wait()
            return response
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    def _answer(self, request: RecordedRequest) -> Answer:
        name = request.path.rpartition("/")[2]
        if request.method == "PATCH":
            merge = "merge-patch" in request.headers["Content-Type"]
            return self._merge(name, request) if merge else self._apply(name, request)
        node = self.nodes.get(name)
        return _not_found(name) if node is None else (200, node.metadata_object())

    def _apply(self, name: str, request: RecordedRequest) -> Answer:
        node, metadata = self.nodes.get(name), request.json["metadata"]
        if node is None:
            return 409, status_object(409, f"uid mismatch: {metadata['uid']}, no existing object was found")
        if metadata["uid"] != node.uid:
            return _of_another_uid(name)
        node.apply(metadata.get("annotations", {}), manager=request.query["fieldManager"])
        return 200, node.metadata_object()

    def _merge(self, name: str, request: RecordedRequest) -> Answer:
        node, metadata = self.nodes.get(name), request.json["metadata"]
        if node is None:
            return _not_found(name)
        if metadata["uid"] != node.uid:
            return _of_another_uid(name)
        for key, value in metadata["annotations"].items():
            if value is None:
                node.remove_all([key])
            else:
                node.annotate(key, value)
        return 200, node.metadata_object()


def _not_found(name: str) -> Answer:
    return 404, status_object(404, f'nodes "{name}" not found')


def _of_another_uid(name: str) -> Answer:
    causes = [{"reason": "FieldValueInvalid", "field": "metadata.uid", "message": "immutable"}]
    return 422, status_object(422, f'Node "{name}" is invalid', details={"causes": causes})


def status_object(code: int, message: str, *, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A ``Status`` as the API server answers with when it did not do what was asked."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return {**status, "details": dict(details or {})}


def refusal(
    code: int,
    message: str = "why",
    *,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """The answer that the API server gives when it does not do what was asked."""
    body = json.dumps(status_object(code, message, details=details)).encode()
    return Reply(status=code, body=body, headers=headers or {})


@asynccontextmanager
async def fake_api_server() -> AsyncIterator[FakeApiServer]:
    """A fake API server on loopback, plain HTTP, for the length of the block."""
    server = FakeApiServer()
    async with web_server(
        web.get("/api/v1/nodes/{name}", server.handle), web.patch("/api/v1/nodes/{name}", server.handle)
    ) as server.url:
        try:
            yield server
        finally:
            server.go_on.set()
