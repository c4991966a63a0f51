"""A fake API server that also lists Nodes in pages, removes annotations, and has a DaemonSet and pods.

As kube-apiserver 1.34 was seen to do it: a merge patch with another uid is 422, of a missing Node 404;
the items of an empty list are null; a place in a list that has expired is 410, with a token to go on.
"""

import base64
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.fake_apiserver import (
    FakeApiServer,
    RecordedRequest,
    Reply,
    status_object,
)
from tests.support.web_server import web_server

_Answer = tuple[int, dict[str, Any]]


@dataclass
class FakePod:
    """A pod, as far as anybody waits for it."""

    name: str
    controller: str | None = None
    """The kind of what controls it."""

    def metadata_object(self) -> dict[str, Any]:
        """As the API server gives it."""
        metadata: dict[str, Any] = {"name": self.name, "uid": f"uid-{self.name}"}
        if self.controller is not None:
            metadata["ownerReferences"] = [
                {"kind": "Other"},
                {"kind": self.controller, "controller": True},
            ]
        return {"metadata": metadata}


class FakeCluster(FakeApiServer):
    """Nodes, a DaemonSet and pods. Made by `fake_cluster`."""

    def __init__(self) -> None:
        super().__init__()
        self.page_size = 500
        """The most items of a page, whatever is asked for."""
        self.daemon_set: str | None = None
        """``active``, ``deleting``, or none."""
        self.pods: list[FakePod] = []
        self.daemon_sets: list[dict[str, Any]] = []
        """All of the cluster, as the API server gives them."""
        self.replies: defaultdict[str, deque[Reply]] = defaultdict(deque)
        """What to answer requests of a method and path with, such as ``GET /api/v1/nodes``, one after
        the other, before it is done as they ask."""
        self.on_request: Callable[[RecordedRequest], None] = lambda _: None
        """Is told each request before it is answered."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record the request, then do as the replies or the request say."""
        recorded = RecordedRequest(
            request.method, request.path, dict(request.query), request.headers.copy(), await request.read()
        )
        self.requests.append(recorded)
        self.requested.set()
        self.on_request(recorded)
        if replies := self.replies[f"{request.method} {request.path}"]:
            return await self._misbehave(request, replies.popleft())
        status, answer = self._done(recorded)
        return web.json_response(answer, status=status)

    def asked(self, method: str, path: str = "/api/v1/nodes") -> list[RecordedRequest]:
        """The requests of this method whose path begins so."""
        return [each for each in self.requests if each.method == method and each.path.startswith(path)]

    def _done(self, request: RecordedRequest) -> _Answer:
        match request.path.strip("/").split("/"):
            case ["api", "v1", "nodes"]:
                return 200, self._list_nodes(request.query)
            case ["api", "v1", "nodes", name] if request.method == "PATCH":
                merge = "merge-patch" in request.headers["Content-Type"]
                return self._merge(name, request) if merge else self._apply_nothing(name, request)
            case ["api", "v1", "nodes", name] if name in self.nodes:
                return 200, self.nodes[name].metadata_object()
            case ["apis", "apps", "v1", "namespaces", "lb", "daemonsets", "agents"] if self.daemon_set:
                metadata = {"name": "agents", "uid": "uid-agents"}
                if self.daemon_set == "deleting":
                    metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
                return 200, {"metadata": metadata}
            case ["apis", "apps", "v1", "daemonsets"] | ["api", "v1", "namespaces", "lb", "pods"] as path:
                pods = [pod.metadata_object() for pod in self.pods]
                items = pods if path[-1] == "pods" else self.daemon_sets
                return 200, {"metadata": {}, "items": items or None}
        return 404, status_object(404, f"{request.path} not found")

    def _list_nodes(self, query: Mapping[str, str]) -> dict[str, Any]:
        after = base64.b64decode(query.get("continue", "")).decode()
        names = [name for name in sorted(self.nodes) if name > after]
        size = min(self.page_size, int(query["limit"]))
        page = [self.nodes[each].metadata_object() for each in names]
        metadata = {"continue": place_after(names[size - 1])} if len(names) > size else {}
        return {"metadata": metadata, "items": page[:size] or None}

    def _apply_nothing(self, name: str, request: RecordedRequest) -> _Answer:
        assert request.json["metadata"].keys() == {"name", "uid"}
        node = self.nodes[name]
        assert request.json["metadata"]["uid"] == node.uid
        node.apply({}, manager=request.query["fieldManager"])
        return 200, node.metadata_object()

    def _merge(self, name: str, request: RecordedRequest) -> _Answer:
        node = self.nodes.get(name)
        if node is None:
            return 404, status_object(404, f'nodes "{name}" not found')
        metadata = request.json["metadata"]
        if metadata["uid"] != node.uid:
            causes = [{"reason": "FieldValueInvalid", "field": "metadata.uid", "message": "immutable"}]
            return 422, status_object(422, f'Node "{name}" is invalid', details={"causes": causes})
        for key, value in metadata["annotations"].items():
            if value is None:
                node.remove_all([key])
            else:
                node.annotate(key, value)
        return 200, node.metadata_object()


def place_after(name: str) -> str:
    """The token of the page that begins after an object."""
    return base64.b64encode(name.encode()).decode()


def expired(*, go_on_after: str | None = None) -> Reply:
    """The answer that a place in a list has expired, with the place to go on from, or without."""
    metadata = {} if go_on_after is None else {"continue": place_after(go_on_after)}
    body = {**status_object(410, "The provided continue parameter is too old"), "metadata": metadata}
    return Reply(status=410, body=json.dumps(body).encode())


@asynccontextmanager
async def fake_cluster() -> AsyncIterator[FakeCluster]:
    """A fake cluster's API server on loopback, plain HTTP, for the length of the block."""
    server = FakeCluster()
    async with web_server(web.route("*", "/{path:.*}", server.handle)) as server.url:
        try:
            yield server
        finally:
            server.go_on.set()
