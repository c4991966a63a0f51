"""What surrounds the agent: its metadata service, and an API server, fake or real, with their faults."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import aiohttp

from sidecar.simulator import Call, Simulator, parse_scenario
from sidecar.simulator.simulation import InjectedFault
from tests.chaos import policy
from tests.chaos.documents import EMPTY, parsed
from tests.chaos.rules import Rules
from tests.support.apiserver import api_server_running
from tests.support.cluster import ApiError, Cluster, Identity, cluster_of
from tests.support.fake_apiserver import FakeApiServer, Reply, fake_api_server, refusal

NODE = "aks-nodepool1-12345678-vmss000000"
PREFIX = "azure-lb-metadata.io/"

Switch = Callable[[], AbstractAsyncContextManager[None]]
"""Makes a fault that is there for the length of a block."""

LOOK_S = 1.0
"""How long one look at the Node may take."""

FORGED_REVISION = "0" * 16
FORGED = {
    f"{PREFIX}public-ips": "6.6.6.6",
    f"{PREFIX}loadbalancer": "{]",
    f"{PREFIX}revision": FORGED_REVISION,
}


class Told(Simulator):
    """A metadata service that tells the rules whatever it hands out."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(parse_scenario("rateLimit: false"))
        self._rules = rules
        self._struck = False

    def injected_fault(self, call: Call) -> InjectedFault | None:
        """Take note whether the request comes to nothing: no fault used here gives an answer in time."""
        injected_fault = super().injected_fault(call)
        self._struck = injected_fault is not None
        return injected_fault

    def document_body(self, caller: str) -> bytes | None:
        """Tell what is handed out; this follows the strike of the same request at once."""
        body = super().document_body(caller)
        if not self._struck:
            document = EMPTY if body is None else parsed(json.loads(body)["loadbalancer"])
            self._rules.answered(time.monotonic(), document)
        return body


class World(Protocol):
    """An API server with the agent's Node."""

    node: str
    kubeconfig: Path

    @property
    def faults(self) -> Mapping[str, Switch]:
        """What may go wrong with it."""

    async def annotations(self) -> tuple[str, dict[str, str]] | None:
        """The Node's uid and our annotations without prefix; None while it cannot be known."""

    async def mend(self) -> None:
        """See that the Node is there."""


def ours(annotations: Mapping[str, str]) -> dict[str, str]:
    """Those under our prefix, by name without it."""
    return {key.removeprefix(PREFIX): text for key, text in annotations.items() if key.startswith(PREFIX)}


class FakeWorld:
    """A fake API server: quick to start, and it can be told to answer anything."""

    def __init__(self, server: FakeApiServer, rules: Rules, directory: Path) -> None:
        self.node = NODE
        self.kubeconfig = Path(server.kubeconfig(directory / "kubeconfig"))
        self._server = server
        self._rules = rules
        server.add_node(NODE)

    @property
    def faults(self) -> Mapping[str, Switch]:
        """Every refusal, silence, a lost Node, and somebody who edits it."""
        refusals: dict[str, Switch] = {
            f"API server answers {code}": self._answering(refusal(code))
            for code in (401, 403, 409, 413, 422, 429, 500, 503)
        }
        return refusals | {
            "API server resets connections": self._answering(Reply(reset=True)),
            "API server is mute": self._answering(Reply(hold=True)),
            "API server answers nonsense": self._answering(Reply(body=b"<html>")),
            "Node is gone": self._gone,
            "Node is made anew": self._anew,
            "annotations are forged": self._forged,
        }

    def _answering(self, reply: Reply) -> Switch:
        @asynccontextmanager
        async def answering() -> AsyncIterator[None]:
            self._server.go_on.clear()
            self._server.script.extend([reply] * 1000)
            try:
                yield
            finally:
                self._server.script.clear()
                self._server.go_on.set()

        return answering

    @asynccontextmanager
    async def _gone(self) -> AsyncIterator[None]:
        del self._server.nodes[NODE]
        try:
            yield
        finally:
            self._server.add_node(NODE)

    @asynccontextmanager
    async def _anew(self) -> AsyncIterator[None]:
        self._server.add_node(NODE)
        yield

    @asynccontextmanager
    async def _forged(self) -> AsyncIterator[None]:
        self._server.nodes[NODE].annotations |= FORGED
        self._rules.forged(time.monotonic(), ours(FORGED))
        yield

    async def annotations(self) -> tuple[str, dict[str, str]] | None:
        """The Node as it is."""
        node = self._server.nodes.get(NODE)
        return None if node is None else (node.uid, ours(node.annotations))

    async def mend(self) -> None:
        """Nothing is left of a fault that has ended."""


class RealWorld:
    """A real API server, asked as its admin."""

    def __init__(self, cluster: Cluster, identity: Identity, rules: Rules) -> None:
        self.node = identity.node
        self.kubeconfig = identity.kubeconfig
        self._cluster = cluster
        self._identity = identity
        self._rules = rules

    @property
    def faults(self) -> Mapping[str, Switch]:
        """It is down or mute, rights and token are lost, a policy refuses, and the Node is edited or lost."""
        return {
            "API server is down": self._cluster.server.stopped,
            "API server is mute": self._mute,
            "rights are lost": self._denied,
            "a policy refuses": self._refused,
            "token is garbled": self._garbled,
            "Node is gone": self._gone,
            "Node is made anew": self._anew,
            "annotations are forged": self._forged,
        }

    @asynccontextmanager
    async def _mute(self) -> AsyncIterator[None]:
        # What an agent sent that is killed meanwhile is done when the server goes on.
        with self._cluster.server.paused():
            try:
                yield
            finally:
                self._rules.writes_are_late(until=time.monotonic() + LOOK_S)

    @asynccontextmanager
    async def _denied(self) -> AsyncIterator[None]:
        await self._cluster.deny(self._identity)
        try:
            yield
        finally:
            await self._cluster.allow(self._identity)

    @asynccontextmanager
    async def _refused(self) -> AsyncIterator[None]:
        async with policy.refusing(self._cluster, self.node):
            yield

    @asynccontextmanager
    async def _garbled(self) -> AsyncIterator[None]:
        token = self._identity.directory / "token"
        token.write_text("nonsense")
        try:
            yield
        finally:
            token.write_text(self._identity.token)

    @asynccontextmanager
    async def _gone(self) -> AsyncIterator[None]:
        await self._cluster.delete_node(self.node)
        try:
            yield
        finally:
            await self.mend()

    @asynccontextmanager
    async def _anew(self) -> AsyncIterator[None]:
        await self._cluster.recreate_node(self.node)
        yield

    @asynccontextmanager
    async def _forged(self) -> AsyncIterator[None]:
        # Told before, too: a look may see it before this is over.
        self._rules.forged(time.monotonic(), ours(FORGED))
        await self._cluster.annotate(self.node, FORGED)
        self._rules.forged(time.monotonic(), ours(FORGED))
        yield

    async def annotations(self) -> tuple[str, dict[str, str]] | None:
        """The Node as the admin sees it; None while the API server does not answer."""
        try:
            async with asyncio.timeout(LOOK_S):
                node = await self._cluster.node(self.node)
        except (ApiError, aiohttp.ClientError, TimeoutError):
            return None
        return node.uid, ours(node.annotations)

    async def mend(self) -> None:
        """Make the Node again where a fault has left none."""
        try:
            await self._cluster.create_node(self.node)
        except ApiError as error:
            if error.status != 409:
                raise


@asynccontextmanager
async def fake_world(rules: Rules, directory: Path) -> AsyncIterator[World]:
    """A fake API server with the agent's Node."""
    async with fake_api_server() as server:
        yield FakeWorld(server, rules, directory)


@asynccontextmanager
async def real_world(rules: Rules, directory: Path) -> AsyncIterator[World]:
    """A real API server of its own with the agent's Node, its service account and its token."""
    with api_server_running() as server:
        async with cluster_of(server) as cluster:
            node = await cluster.create_node()
            identity = await cluster.create_identity(node.name, directory=directory / "identity")
            await policy.install(cluster, identity)
            yield RealWorld(cluster, identity, rules)
