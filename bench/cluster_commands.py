"""Time, requests and memory of ``nodes``, ``rules`` and ``prune`` on very many Nodes of a real API server.

``make bench-nodes`` (NODES=5000). The Nodes have what real ones have, and our annotations. Everything is
on one machine, and the commands take turns with the server.
"""

import argparse
import asyncio
import os
import resource
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.nodes import condition, each, full_node, name_of
from bench.processes import environment
from sidecar.core.document import Document
from tests.support.apiserver import ApiServer, api_server_running
from tests.support.cluster import Cluster, cluster_of
from tests.support.fleet import AGENT_LABELS, document, published

_METRIC = "apiserver_request_total"
_NAMESPACE = "azure-lb-metadata"


@dataclass(frozen=True)
class _Run:
    seconds: float
    cpu: float
    peak_mib: float
    requests: int
    code: int
    lines: int


def _document(number: int) -> Document:
    rules = [(f"20.20.{each}.20", 443) for each in range(10)]
    own = [f"20.{number // 65536}.{number // 256 % 256}.{number % 256}"] if number % 2 else []
    return document(public=own, inbound=rules, outbound=["52.1.1.1", "52.1.1.2"])


def _node(number: int) -> dict[str, Any]:
    node = full_node(number)
    node["metadata"]["annotations"] |= published(_document(number))
    return node


async def _pod(cluster: Cluster, node: str) -> None:
    path = f"/api/v1/namespaces/{_NAMESPACE}/pods"
    container = {"name": "agent", "image": "none.invalid/agent", "args": ["run"]}
    body = {
        "metadata": {"name": f"agent-{node}", "labels": AGENT_LABELS},
        "spec": {"nodeName": node, "serviceAccountName": "default", "containers": [container]},
    }
    await cluster.request("POST", path, body=body)
    status = {"status": {"phase": "Running", "conditions": [condition("Ready", "True")]}}
    merge = "application/merge-patch+json"
    await cluster.request("PATCH", f"{path}/agent-{node}/status", body=status, content_type=merge)


async def _populate(cluster: Cluster, count: int) -> None:
    namespace = {"metadata": {"name": _NAMESPACE}}
    await cluster.request("POST", "/api/v1/namespaces", body=namespace)
    account = {"metadata": {"name": "default"}}
    await cluster.request("POST", f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts", body=account)

    async def work(number: int) -> None:
        await cluster.request("POST", "/api/v1/nodes", body=_node(number))
        await _pod(cluster, name_of(number))

    await each(range(count), work)


async def _requests(server: ApiServer) -> int:
    """Requests that the server has answered, but for its own of itself and for this one."""
    context = await asyncio.to_thread(ssl.create_default_context, cafile=server.ca_file)
    headers = {"Authorization": f"Bearer {server.admin_token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/metrics", ssl=context, headers=headers) as response,
    ):
        text = await response.text()
    kinds = ('resource="nodes"', 'resource="pods"', 'resource="daemonsets"', 'resource="services"')
    lines = (line for line in text.splitlines() if line.startswith(_METRIC) and 'verb="WATCH"' not in line)
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if any(kind in line for kind in kinds))


async def _measure(server: ApiServer, *arguments: str) -> _Run:
    before = await _requests(server)
    started = time.perf_counter()
    code, usage, lines = await asyncio.to_thread(_run, server, arguments)
    seconds = time.perf_counter() - started
    return _Run(
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
        requests=await _requests(server) - before,
        code=code,
        lines=lines,
    )


def _run(server: ApiServer, arguments: Sequence[str]) -> tuple[int, resource.struct_rusage, int]:
    """Exit code, resources used, and lines printed."""
    output = server.directory / "output"
    command, *rest = arguments
    words = [sys.executable, "-m", "sidecar", command, f"--kubeconfig={server.admin_kubeconfig}", *rest]
    actions = [
        (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0o600),
    ]
    pid = os.posix_spawn(sys.executable, words, environment(), file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), usage, output.read_bytes().count(b"\n")


async def main(arguments: Sequence[str] | None = None) -> None:
    """Make the Nodes, run each command once and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster_commands")
    parser.add_argument("--nodes", type=int, default=5000, metavar="N")
    count = parser.parse_args(arguments).nodes
    with api_server_running() as server:
        async with cluster_of(server) as cluster:
            await _populate(cluster, count)
            size = len(str(await cluster.request("GET", f"/api/v1/nodes/{name_of(0)}")))
        print(f"{count} Nodes, each about {size / 1024:.0f} KiB of JSON, with an agent's pod each")
        print(f"{'':<24}{'seconds':>9}{'of CPU':>9}{'requests':>10}{'peak MiB':>10}{'lines':>8}{'exit':>6}")
        for words in (
            ("nodes",),
            ("nodes", "-o", "json"),
            ("nodes", "--egress"),
            ("rules",),
            ("prune", "--dry-run"),
            ("prune",),
            ("prune",),
        ):
            run = await _measure(server, *words)
            print(
                f"{' '.join(words):<24}{run.seconds:>9.1f}{run.cpu:>9.1f}{run.requests:>10}"
                f"{run.peak_mib:>10.0f}{run.lines:>8}{run.code:>6}",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main())
