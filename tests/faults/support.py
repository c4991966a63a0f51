"""Agents beside a metadata service and an API server that misbehave on demand."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from sidecar.simulator import Serving
from tests.support.agent import SCALED, AgentProcess, Settings, flags, program_running, until
from tests.support.fake_apiserver import FakeApiServer

__all__ = ["NODE", "PREFIX", "PYTHON", "Surroundings", "prepared", "running"]

NODE = "aks-nodepool1-12345678-vmss000000"
PREFIX = "azure-lb-metadata.io"

PYTHON = ("-m", "sidecar")
"""What the interpreter is told to run, where nothing has to be prepared."""


def prepared(preparation: str) -> tuple[str, str]:
    """Python that runs some statements, and then the agent as usual."""
    return ("-c", f"{preparation}\nfrom sidecar.__main__ import main\nmain()")


@asynccontextmanager
async def running(
    directory: Path,
    settings: Settings,
    *,
    python: Sequence[str] = PYTHON,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[AgentProcess]:
    """An agent that listens, for the length of the block; like ``agent_running``, but prepared."""
    arguments = flags({**SCALED, **settings})
    timeout = aiohttp.ClientTimeout(total=20)
    async with (
        program_running(
            "run", *arguments, directory=directory, environment=environment, python=python
        ) as program,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0), timeout=timeout
        ) as session,
    ):
        agent = AgentProcess(program, session)
        await agent.await_listening()
        yield agent


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
        async with running(self.directory, self.settings(**settings)) as agent:
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
