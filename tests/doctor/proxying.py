"""A fake API server with one Node and its agent's pod, to which it passes on requests as a real one does.

A real one refuses to pass on anything to loopback, where the agents of tests are. Like the real one it adds
``X-Forwarded-For``, and answers a pod that it cannot reach with a ``Status`` of its own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from tests.support.agent import AgentProcess
from tests.support.fake_apiserver import FakeApiServer, Reply, status_object
from tests.support.web_server import web_server

NODE = "aks-own"
POD = "/api/v1/namespaces/lb/pods/agent-1"
API_PORT, ADMIN_PORT = 16925, 16926
"""Which ports of the pod stand for which of the agent's listeners."""


class ProxyingServer(FakeApiServer):
    """Made by `proxying_server`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__()
        self._session = session
        self.agent: AgentProcess | None = None
        """Who is in the pod; nobody answers while there is none."""
        self.denial: Reply | None = None
        """What every PATCH is answered with, instead of doing it."""
        self.host_network = False

    async def node(self, request: web.Request) -> web.StreamResponse:
        """Read or apply, or refuse."""
        if request.method == "PATCH" and self.denial is not None:
            return await self._misbehave(request, self.denial)
        return await self.handle(request)

    async def pods(self, _: web.Request) -> web.Response:
        """The list of the agents' pods."""
        return web.json_response({"metadata": {}, "items": [self._pod()]})

    async def pod(self, _: web.Request) -> web.Response:
        """The pod itself."""
        return web.json_response(self._pod())

    async def review(self, request: web.Request) -> web.Response:
        """Everything is allowed."""
        return web.json_response({**await request.json(), "status": {"allowed": True}}, status=201)

    async def proxy(self, request: web.Request) -> web.Response:
        """Pass a request on to the agent."""
        if self.agent is None:
            message = "error trying to reach service: dial tcp 10.240.0.9:16926: i/o timeout"
            return web.json_response(status_object(503, message), status=503)
        api = int(request.match_info["port"]) == API_PORT
        base = self.agent.url if api else self.agent.admin_url
        url = f"{base}/{request.match_info['path']}"
        async with self._session.get(url, headers={"X-Forwarded-For": "10.0.0.1"}) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.startswith("Azure")}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    def _pod(self) -> dict[str, object]:
        ports = [
            {"name": "api", "containerPort": API_PORT},
            {"name": "admin", "containerPort": ADMIN_PORT},
        ]
        container = {"name": "agent", "args": ["run"], "ports": ports}
        spec = {
            "nodeName": NODE,
            "serviceAccountName": "agents",
            "hostNetwork": self.host_network,
            "containers": [container],
        }
        status = {"conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.240.0.9"}
        return {"metadata": {"name": "agent-1", "namespace": "lb"}, "spec": spec, "status": status}


@asynccontextmanager
async def proxying_server() -> AsyncIterator[ProxyingServer]:
    """Such a server on loopback, plain HTTP, for the length of the block."""
    async with aiohttp.ClientSession() as session:
        server = ProxyingServer(session)
        server.add_node(NODE)
        routes = (
            web.route("*", "/api/v1/nodes/{name}", server.node),
            web.get("/api/v1/pods", server.pods),
            web.get(POD, server.pod),
            web.get(POD + ":{port}/proxy/{path:.*}", server.proxy),
            web.post("/apis/authorization.k8s.io/v1/{kind}", server.review),
        )
        async with web_server(*routes) as server.url:
            try:
                yield server
            finally:
                server.go_on.set()
