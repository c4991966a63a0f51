"""The two agents that memory and start-up are measured of: with and without annotations."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import answered, free_port, many_rules, running
from tests.support.apiserver import api_server_running
from tests.support.cluster import Cluster, Identity, cluster_of

__all__ = ["Bench", "Mode", "bench"]


@dataclass(frozen=True)
class Mode:
    """A way to run the agent."""

    name: str
    modules: str
    """What it imports, as an import statement names it."""
    arguments: Sequence[str]
    done: str
    """What ``/metrics`` contains once it has done its first work."""


@dataclass(frozen=True)
class Bench:
    """A simulator, a real API server, and the ways to run an agent between them."""

    imds: str
    modes: tuple[Mode, ...]


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Start the servers."""
    port, control = free_port(), free_port()
    imds = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory() as directory,
        api_server_running() as server,
        running(many_rules(port, control)),
    ):
        await asyncio.to_thread(answered, f"http://127.0.0.1:{control}/state")
        async with cluster_of(server) as cluster:
            identity = await _identity(cluster, Path(directory) / "identity")
            yield Bench(imds, _modes(identity))


async def _identity(cluster: Cluster, directory: Path) -> Identity:
    node = await cluster.create_node()
    return await cluster.create_identity(node.name, directory=directory)


def _modes(identity: Identity) -> tuple[Mode, ...]:
    on_node = ["--node-name", identity.node, "--kubeconfig", str(identity.kubeconfig)]
    return (
        Mode(
            name="HTTP only",
            modules="sidecar.commands.run",
            arguments=["--no-annotations"],
            done='azure_lb_metadata_attempts_total{outcome="ok"} 1.0',
        ),
        Mode(
            name="annotations, HTTP",
            modules="sidecar.commands.run, sidecar.publish.node",
            arguments=[*on_node, "--write-splay", "1s"],
            done='azure_lb_metadata_publishes_total{publisher="node",result="written"} 1.0',
        ),
    )
