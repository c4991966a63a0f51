"""Who else uses the API server: kubelets, other clients, and watchers of all Nodes.

Each is a process: ``python -m bench.fleet.others ROLE URL CA_FILE NODES RATE OUTPUT``, with the admin's token
on its standard input. They act as somebody else (impersonation), since requests of an admin are exempt
from priority and fairness. What they saw is added to a file, a JSON array a line; times are monotonic.
"""

import asyncio
import itertools
import json
import random
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from bench.nodes import name_of

WATCHERS = 10
CLIENT = "system:serviceaccount:default:controller"
"""The other client: a service account, as the agents are, so that both are of one priority level."""

_PROTOBUF = "application/vnd.kubernetes.protobuf"
_STRATEGIC = "application/strategic-merge-patch+json"
_MERGE = "application/merge-patch+json"
_CONFIG_MAP = "/api/v1/namespaces/default/configmaps/controller"
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_FLUSH_SECONDS = 0.5


@dataclass(frozen=True)
class _Other:
    session: aiohttp.ClientSession
    url: str
    nodes: int
    rate: float
    """Requests a second."""
    output: Path

    async def clients(self) -> None:
        """Read, list and write small things; a line is when a request began, seconds, and its status."""
        reads = ("/api/v1/namespaces/default/configmaps", _CONFIG_MAP)
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                if number % 3 == 2:
                    body = {"data": {"number": str(number)}}
                    work = self._timed("PATCH", _CONFIG_MAP, _as_client(_MERGE), body)
                else:
                    work = self._timed("GET", reads[number % 3], _as_client(), None)
                group.create_task(work)
                await asyncio.sleep(1 / self.rate)

    async def kubelets(self) -> None:
        """Post the status of a random Node as its kubelet does; a line is as of a client."""
        async with asyncio.TaskGroup() as group:
            while True:
                name = name_of(random.randrange(self.nodes))  # noqa: S311 - no secret
                group.create_task(
                    self._timed("PATCH", f"/api/v1/nodes/{name}/status", _as_kubelet(name), _heartbeat())
                )
                await asyncio.sleep(random.expovariate(self.rate))

    async def watchers(self) -> None:
        """Watch all Nodes, many times; a line is a time, and the bytes of all watchers so far."""
        totals = [0]
        async with asyncio.TaskGroup() as group:
            for _ in range(WATCHERS):
                group.create_task(self._watch(totals))
            while True:
                await asyncio.sleep(_FLUSH_SECONDS)
                await asyncio.to_thread(self._note, [time.monotonic(), totals[0]])

    async def _watch(self, totals: list[int]) -> None:
        while True:
            try:
                await self._watch_once(totals)
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(1)

    async def _watch_once(self, totals: list[int]) -> None:
        headers = {"Accept": "application/json"}
        nodes = f"{self.url}/api/v1/nodes"
        async with self.session.get(nodes, params={"limit": "1"}, headers=headers) as response:
            version = (await response.json())["metadata"]["resourceVersion"]
        # As controllers do it: in protobuf, from where a list ended.
        headers = {"Accept": f"{_PROTOBUF};stream=watch,{_PROTOBUF}"}
        query = {"watch": "true", "resourceVersion": version}
        forever = aiohttp.ClientTimeout(total=None)
        async with self.session.get(nodes, params=query, headers=headers, timeout=forever) as response:
            response.raise_for_status()
            async for chunk in response.content.iter_any():
                totals[0] += len(chunk)

    async def _timed(
        self, method: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> None:
        began = time.monotonic()
        status = 0
        try:
            async with self.session.request(
                method, f"{self.url}{path}", json=body, headers=headers, timeout=_TIMEOUT
            ) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, OSError):
            pass  # counted as status 0
        self._note([began, time.monotonic() - began, status])

    def _note(self, line: Sequence[float]) -> None:
        with self.output.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _as_client(content_type: str = "application/json") -> dict[str, str]:
    return {"Impersonate-User": CLIENT, "Content-Type": content_type}


def _as_kubelet(node: str) -> dict[str, str]:
    return {
        "Impersonate-User": f"system:node:{node}",
        "Impersonate-Group": "system:nodes",
        "Content-Type": _STRATEGIC,
        "User-Agent": "kubelet",
    }


def _heartbeat() -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    return {"status": {"conditions": [{"type": kind, "lastHeartbeatTime": now} for kind in kinds]}}


async def main(arguments: Sequence[str]) -> None:
    """Play a role until ended."""
    role, url, ca_file, nodes, rate, output = arguments
    token = sys.stdin.readline().strip()
    tls = ssl.create_default_context(cafile=ca_file)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=0), headers={"Authorization": f"Bearer {token}"}
    ) as session:
        other = _Other(session, url, int(nodes), float(rate), Path(output))
        roles = {"clients": other.clients, "kubelets": other.kubelets, "watchers": other.watchers}
        await roles[role]()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
