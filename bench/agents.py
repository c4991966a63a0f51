"""The agents that memory, start-up and idling are measured of: with annotations, without, and a sidecar."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.processes import answered, free_port, many_rules, running, until
from tests.support.apiserver import api_server_running
from tests.support.cluster import Cluster, Identity, cluster_of

_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Mode:
    """A way to run the agent."""

    name: str
    modules: str
    """What it imports, as an import statement names it."""
    arguments: Sequence[str]
    within: Sequence[str]
    """A command that gives the agent what a pod has."""
    done: str
    """What ``/metrics`` contains once it has done its first work."""
    file: Path | None = None
    """What it writes; each run begins without it."""


@dataclass(frozen=True)
class Running:
    """An agent that was started."""

    pid: int
    document: str
    """The URL of what it answers first of all."""
    metrics_url: str

    def metrics(self) -> str:
        """Ask for its metrics, until it gives them."""
        return answered(self.metrics_url).decode()

    def until_done(self, mode: Mode) -> None:
        """Wait until it has done its first work.

        Raises:
            TimeoutError: it had not within half a minute.
        """
        until(lambda: mode.done in self.metrics(), f"{mode.name}: {mode.done}", interval=_POLL_SECONDS)


@dataclass(frozen=True)
class Bench:
    """A simulator, a real API server, and the ways to run an agent between them."""

    imds: str
    modes: tuple[Mode, ...]

    @contextmanager
    def running(self, mode: Mode, *arguments: str) -> Iterator[Running]:
        """An agent with these arguments besides, for the length of the block."""
        if mode.file is not None:
            mode.file.unlink(missing_ok=True)
        api, admin = free_port(), free_port()
        listen = ["--listen", f"127.0.0.1:{api}", "--admin-listen", f"127.0.0.1:{admin}"]
        common = ["-m", "sidecar", "run", *mode.arguments, *listen, "--imds-endpoint", self.imds]
        with running([*common, *arguments], within=mode.within) as process:
            host = "http://127.0.0.1"
            yield Running(process.pid, f"{host}:{api}/v1/loadbalancer", f"{host}:{admin}/metrics")


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
            modes = _modes(identity, server.url)
            with Bench(imds, modes).running(modes[0]) as upstream:
                sidecar = _sidecar(upstream.document, file=Path(directory) / "document.json")
                yield Bench(imds, (*modes, sidecar))


async def _identity(cluster: Cluster, directory: Path) -> Identity:
    node = await cluster.create_node()
    return await cluster.create_identity(node.name, directory=directory)


_IN_POD = """\
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/kubernetes.io
ln -s "$1" /run/secrets/kubernetes.io/serviceaccount
shift
exec "$@"
"""
"""Gives a process the service account's files where a pod has them, and nobody else sees."""


def _sidecar(document: str, *, file: Path) -> Mode:
    """A sidecar of the agent that has this document."""
    api = urlsplit(document)
    return Mode(
        name="sidecar, HTTP, file",
        modules="sidecar.commands.run",
        arguments=["--upstream", f"{api.scheme}://{api.netloc}", "--file", str(file)],
        within=(),
        done='azure_lb_metadata_publishes_total{publisher="file",result="written"} 1.0',
        file=file,
    )


def _modes(identity: Identity, server_url: str) -> tuple[Mode, ...]:
    namespace = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _IN_POD, "pod"]
    server = urlsplit(server_url)
    pod = [
        *("env", f"KUBERNETES_SERVICE_HOST={server.hostname}", f"KUBERNETES_SERVICE_PORT={server.port}"),
        *namespace,
        str(identity.directory),
    ]
    return (
        Mode(
            name="HTTP only",
            modules="sidecar.commands.run",
            arguments=["--no-annotations"],
            within=(),
            done='azure_lb_metadata_attempts_total{outcome="ok"} 1.0',
        ),
        Mode(
            name="annotations, HTTP",
            modules="sidecar.commands.run, sidecar.agent.publish_node",
            arguments=["--node-name", identity.node, "--write-splay", "1s"],
            within=pod,
            done='azure_lb_metadata_publishes_total{publisher="node",result="written"} 1.0',
        ),
    )
