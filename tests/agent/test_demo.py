"""``demo``: what it shows, what it takes, and what it leaves alone."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from sidecar.api.sockets import bind
from sidecar.core.listen import parse_listen
from sidecar.errors import ListenError
from sidecar.simulator import Serving
from tests.agent.support import PUBLIC_IP
from tests.support.cluster import Cluster, Identity
from tests.support.nodes import NodeMetadata
from tests.support.program import Program, flags, program_running
from tests.support.waiting import until

API_PORT, ADMIN_PORT = 16925, 16926
PREFIX = "azure-lb-metadata.io"


async def shown_url(program: Program, pattern: str) -> str:
    """The first URL of a demo's guide that stands before `pattern`, once the guide is there."""

    async def match() -> re.Match[str] | None:
        assert program.runs, program.log
        return re.search(rf"(http://127\.0\.0\.1:\d+){pattern}", program.output)

    found = await until(match)
    assert found is not None
    return found[1]


async def fetch(url: str) -> str:
    """The body of a 200 answer."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return await response.text()


async def test_demo(tmp_path: Path) -> None:
    """It shows an address that answers, all three kinds of data, and the patch for a Node."""
    async with program_running("demo", directory=tmp_path) as demo:
        api = await shown_url(demo, "/v1/public-ip")
        assert await fetch(f"{api}/v1/public-ip") == PUBLIC_IP
        document = json.loads(await fetch(f"{api}/v1/loadbalancer"))
        assert all(document["loadbalancer"].values())
        assert "PATCH /api/v1/nodes/NODE?fieldManager=azure-lb-metadata&force=true" in demo.output
        assert f'"{PREFIX}/public-ip": "192.0.2.4"' in demo.output


async def test_break_it(tmp_path: Path) -> None:
    """The command it shows to break the service makes the agent's next attempts fail; the address stays."""
    async with program_running("demo", directory=tmp_path) as demo:
        api, control = await shown_url(demo, "/v1/public-ip"), await shown_url(demo, "/fault")
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"{control}/fault", data="unavailable") as response,
        ):
            assert response.ok

        async def log() -> str:
            return demo.log

        await until(log, lambda text: "poll-failed reason=unavailable" in text)
        assert await fetch(f"{api}/v1/public-ip") == PUBLIC_IP


async def test_ports_taken(tmp_path: Path) -> None:
    """When its ports are taken, it uses free ones."""
    with ExitStack() as stack:
        for port in (API_PORT, ADMIN_PORT):
            occupy(port, stack)
        async with program_running("demo", directory=tmp_path) as demo:
            api = await shown_url(demo, "/v1/public-ip")
            assert not api.endswith(f":{API_PORT}")
            assert await fetch(f"{api}/v1/public-ip") == PUBLIC_IP


def occupy(port: int, stack: ExitStack) -> None:
    """Listen on a port of loopback for as long as the stack lives, unless it is taken."""
    address = parse_listen(f"127.0.0.1:{port}")
    assert address is not None
    try:
        [taken] = bind(address, setting="")
    except ListenError:
        return
    stack.enter_context(taken)
    taken.listen()


async def test_stopped(tmp_path: Path) -> None:
    """Ctrl-C ends it with 0."""
    async with program_running("demo", directory=tmp_path) as demo:
        await shown_url(demo, "/v1/public-ip")
        demo.signal(signal.SIGINT)
        assert await demo.exit_code() == 0


# --- What it leaves alone


@dataclass
class Recorder:
    """Counts who connects to it."""

    url: str = ""
    connections: int = 0
    ambient: dict[str, str] = field(default_factory=dict)
    """Environment variables that point to it, as those of a cluster would."""


@asynccontextmanager
async def recorder(directory: Path) -> AsyncIterator[Recorder]:
    """A listener in place of an API server, for the length of the block."""
    recorded = Recorder()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recorded.connections += 1
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        recorded.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = directory / "home" / ".kube" / "config"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps(kubeconfig(recorded.url)))
        recorded.ambient = {"KUBECONFIG": str(config), "HOME": str(directory / "home"), "NODE_NAME": "node"}
        yield recorded


def kubeconfig(url: str) -> dict[str, object]:
    """A kubeconfig that leads to a server without TLS."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "production", "cluster": {"server": url}}],
        "users": [{"name": "somebody", "user": {"token": "secret"}}],
        "contexts": [{"name": "it", "context": {"cluster": "production", "user": "somebody"}}],
        "current-context": "it",
    }


async def test_ambient_kubeconfig(tmp_path: Path) -> None:
    """It never goes to the cluster that the environment names, whatever settings stand there."""
    async with recorder(tmp_path) as cluster:
        environment = {
            **cluster.ambient,
            "AZURE_LB_METADATA_ANNOTATIONS": "true",
            "AZURE_LB_METADATA_KUBECONFIG": cluster.ambient["KUBECONFIG"],
            "AZURE_LB_METADATA_ALLOW_FROM": "10.0.0.0/8",
            "AZURE_LB_METADATA_MAX_CLIENTS": "none",
        }
        async with program_running("demo", directory=tmp_path, environment=environment) as demo:
            api = await shown_url(demo, "/v1/public-ip")
            assert await fetch(f"{api}/v1/public-ip") == PUBLIC_IP
            control = await shown_url(demo, "/fault")
            # One more poll, so that an agent that annotates would have connected by now.
            await until(lambda: fetch(f"{control}/counters"), lambda text: json.loads(text)["requests"] > 1)
        assert cluster.connections == 0


async def test_ambient_kubeconfig_of_run(service: Serving, tmp_path: Path) -> None:
    """`run` does go to the cluster that the environment names: the test above could fail."""
    arguments = flags({"imds_endpoint": service.url, "log_format": "json"})
    async with (
        recorder(tmp_path) as cluster,
        program_running(
            "run", "--once", *arguments, directory=tmp_path, environment=cluster.ambient
        ) as program,
    ):
        assert await program.exit_code() == 1
        assert cluster.connections > 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--node-name=node"], "--kubeconfig and --node-name go together"),
        (["--kubeconfig=config"], "--kubeconfig and --node-name go together"),
        (["--kubeconfig=config", "--node-name=A_B"], "--node-name: 'A_B' is not the name of a Node"),
        (["--kubeconfig=/none", "--node-name=node"], "there is no kubeconfig /none"),
        (["--document=nonsense"], "invalid choice: 'nonsense'"),
    ],
)
async def test_wrong_arguments(tmp_path: Path, arguments: list[str], text: str) -> None:
    """Arguments that cannot be meant so are a line that says what is wrong, and exit code 2."""
    async with program_running("demo", *arguments, directory=tmp_path) as demo:
        assert await demo.exit_code() == 2
        assert text in demo.log.splitlines()[-1]


@pytest.mark.apiserver
async def test_annotates_when_told(
    cluster: Cluster, node: NodeMetadata, identity: Identity, tmp_path: Path
) -> None:
    """With a kubeconfig and a Node's name it annotates that Node, and shows how to look at it."""
    arguments = flags({"kubeconfig": str(identity.kubeconfig), "node_name": node.name})
    async with program_running("demo", *arguments, directory=tmp_path) as demo:
        annotated = await until(
            lambda: cluster.node(node.name), lambda node: f"{PREFIX}/public-ip" in node.annotations
        )
        assert annotated.annotations[f"{PREFIX}/public-ip"] == "192.0.2.4"
        await shown_url(demo, "/v1/public-ip")
        assert f"get node {node.name} -o yaml" in demo.output
