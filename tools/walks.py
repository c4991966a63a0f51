"""What a reader passes on four walks through the program, traced: files, functions, changes of file.

``make house`` prints them below its figures. They are those of ARCHITECTURE.md: a document from the socket to
the annotation, a request of a pod (the first one, and one like it), a ``doctor`` and a ``nodes --egress``.
Calls are those of the event loop's thread; the simulator and fake API server are not counted.
"""

import asyncio
import contextlib
import io
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import aiohttp

from sidecar.agent import Agent, Listening
from sidecar.doctor.command import main as doctor
from sidecar.fleet.nodes import main as nodes
from sidecar.runtime import Runtime
from sidecar.settings import Settings
from sidecar.simulator import Simulator, parse_scenario, serve
from tests.support.fake_apiserver import Reply, fake_api_server
from tests.support.fake_cluster import fake_cluster

PROGRAM = Path(__file__).resolve().parents[1] / "sidecar"
NODE = "aks-nodepool1-12345678-vmss000000"


@dataclass
class Walk:
    """The functions of the program that were called, in their order."""

    code: list[CodeType] = field(default_factory=list)

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """Take note of a call; for :func:`sys.setprofile`."""
        name = frame.f_code.co_filename
        ours = name.startswith(f"{PROGRAM}/") and not name.startswith(f"{PROGRAM}/simulator/")
        if ours and event == "call":
            self.code.append(frame.f_code)

    def __str__(self) -> str:
        files = [code.co_filename for code in self.code]
        changes = sum(before != after for before, after in itertools.pairwise(files))
        functions = len(set(self.code))
        folders = len({Path(name).parent for name in files})
        return (
            f"{len(set(files))} files in {folders} folders, {functions} functions, {changes} changes of file"
        )


@contextlib.contextmanager
def walked(walk: Walk) -> Iterator[None]:
    """Note the calls within the block."""
    sys.setprofile(walk.note)
    try:
        yield
    finally:
        sys.setprofile(None)


async def _to_annotation(imds: str, kubeconfig: str) -> Walk:
    """One document, from the metadata service's socket to the Node."""
    settings = Settings(imds_endpoint=imds, kubeconfig=Path(kubeconfig), node_name=NODE)
    agent = Agent(settings, runtime=Runtime())
    with walked(walk := Walk()):
        await agent.run_once()
    return walk


async def _requests(imds: str) -> tuple[Walk, Walk]:
    """A request of a pod that is like none before, and the same once more."""
    settings = Settings(
        imds_endpoint=imds, annotations=False, listen="127.0.0.1:0", admin_listen="127.0.0.1:0"
    )
    agent = Agent(settings, runtime=Runtime())
    listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(agent.run(on_listening=listening.set_result))
    (address,) = (await listening).api
    url = f"http://{address[0]}:{address[1]}/v1/public-ip"
    first, again = Walk(), Walk()
    async with aiohttp.ClientSession() as session:
        async with session.get(url, headers={"Prefer": "wait=60"}) as response:
            assert response.status == 200
        for walk, query in ((first, "?family=ipv4"), (again, "")):
            with walked(walk):
                async with session.get(url + query) as response:
                    await response.read()
    agent.stopping.request()
    agent.stopping.request()
    await running
    return first, again


def _command(run: Callable[[list[str]], int], *arguments: str) -> Walk:
    """A command, whose output nobody reads."""
    walk = Walk()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), walked(walk):
        run(list(arguments))
    return walk


async def walks(folder: Path) -> dict[str, Walk]:
    """All walks, by name."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(serve(Simulator(parse_scenario("rateLimit: false"))))
        server = await stack.enter_async_context(fake_api_server())
        server.add_node(NODE)
        cluster = await stack.enter_async_context(fake_cluster())
        node: dict[str, Any] = {
            "metadata": {"name": NODE, "creationTimestamp": "2026-01-02T03:04:05Z"},
            "spec": {},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        kubeconfig, of_cluster = server.kubeconfig(folder / "one"), cluster.kubeconfig(folder / "many")
        document = await _to_annotation(service.url, kubeconfig)
        first, again = await _requests(service.url)
        node["metadata"]["annotations"] = server.nodes[NODE].annotations
        for path, items in (("nodes", [node]), ("pods", [])):
            page = json.dumps({"metadata": {}, "items": items}).encode()
            cluster.replies[f"GET /api/v1/{path}"].append(Reply(body=page))
        os.environ["AZURE_LB_METADATA_IMDS_ENDPOINT"] = service.url
        service.simulator.set_fault("forbidden")
        doctored = await asyncio.to_thread(_command, doctor, "--direct", "--tries", "1")
        listed = await asyncio.to_thread(_command, nodes, "--egress", "--kubeconfig", of_cluster)
    return {
        "a document, to the annotation": document,
        "a request, the first": first,
        "a request like one before": again,
        "doctor --direct": doctored,
        "nodes --egress": listed,
    }


def main() -> None:
    """Print the walks."""
    with tempfile.TemporaryDirectory() as folder:
        for name, walk in asyncio.run(walks(Path(folder))).items():
            print(f"{name:31} {walk}")


if __name__ == "__main__":
    main()
