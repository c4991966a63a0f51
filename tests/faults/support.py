"""Agents beside a metadata service and an API server that misbehave on demand."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.simulator import Serving
from tests.support.agent import AgentProcess, agent_with
from tests.support.fake_apiserver import FakeApiServer
from tests.support.program import Settings
from tests.support.waiting import until

NODE = "aks-nodepool1-12345678-vmss000000"
PREFIX = "azure-lb-metadata.io"


def prepared(preparation: str) -> tuple[str, str]:
    """Python that runs some statements, and then the agent as usual."""
    return ("-c", f"{preparation}\nfrom sidecar.__main__ import main\nmain()")


@dataclass(frozen=True)
class Surroundings:
    """What an agent under test deals with."""

    service: Serving
    server: FakeApiServer
    directory: Path

    def settings(self, **settings: str | bool | None) -> Settings:
        """Those of an agent that asks this service and annotates the Node of this server."""
        kubeconfig = self.server.kubeconfig(self.directory / "kubeconfig")
        own: Settings = {"imds_endpoint": self.service.url, "node_name": NODE, "kubeconfig": kubeconfig}
        return {**own, **settings}

    @asynccontextmanager
    async def annotating(self, **settings: str | bool | None) -> AsyncIterator[AgentProcess]:
        """Such an agent."""
        async with agent_with(self.directory, self.settings(**settings)) as agent:
            yield agent

    @property
    def annotations(self) -> dict[str, str]:
        """Those of ours that the Node has now, by name without the prefix."""
        node = self.server.nodes[NODE]
        return {
            key.removeprefix(f"{PREFIX}/"): value
            for key, value in node.annotations.items()
            if key.startswith(f"{PREFIX}/")
        }

    async def until_annotated(self, wanted: Callable[[dict[str, str]], object]) -> dict[str, str]:
        """Wait for annotations as wanted, and give them."""

        async def annotations() -> dict[str, str]:
            return self.annotations

        return await until(annotations, wanted)

    def writes(self) -> int:
        """How many applies the server was sent, done or not."""
        return sum(request.method == "PATCH" for request in self.server.requests)
