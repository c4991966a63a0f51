"""A fake API server that also lists Nodes in pages, and has a DaemonSet and pods.

As kube-apiserver 1.34 was seen to do it: the items of an empty list are null; a place in a list that has
expired is 410, with a token to go on.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.fake_apiserver import Answer, FakeApiServer, RecordedRequest, Reply, status_object
from tests.support.web_server import web_server


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

    def asked(self, method: str, path: str = "/api/v1/nodes") -> list[RecordedRequest]:
        """The requests of this method whose path begins so."""
        return [each for each in self.requests if each.method == method and each.path.startswith(path)]

    def _answer(self, request: RecordedRequest) -> Answer:
        match request.path.strip("/").split("/"):
            case ["api", "v1", "nodes"]:
                return 200, self._list_nodes(request.query)
            case ["api", "v1", "nodes", _]:
                return super()._answer(request)
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

    def _apply(self, name: str, request: RecordedRequest) -> Answer:
        assert request.json["metadata"].keys() == {"name", "uid"}, "commands apply nothing"
        assert request.json["metadata"]["uid"] == self.nodes[name].uid
        return super()._apply(name, request)


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
