"""From a change at the metadata service to the annotations of the Node.

``make bench-annotation``. The agent polls once a second and spreads its writes over 2 s here. What users
are promised: half a poll interval in the median for a public IP, and half a splay more for the rest.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from bench.changes import HEADINGS, address_of, change, figures
from bench.processes import running
from sidecar.simulator import Simulator, parse_scenario, serve
from tests.support.apiserver import api_server_running
from tests.support.cluster import Cluster, cluster_of

_CHANGES = 20
_SPLAY_SECONDS = 2.0
_PREFIX = "azure-lb-metadata.io"


async def _annotated(cluster: Cluster, node: str, key: str, value: str) -> float:
    """Look at the Node until it has the value, and return when it had."""
    while (await cluster.node(node)).annotations.get(f"{_PREFIX}/{key}") != value:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.005)
    return time.perf_counter()


async def _measure(simulator: Simulator, cluster: Cluster, node: str, *, key: str, lists: str) -> list[float]:
    """Seconds from each change of one address to its annotation."""
    waits = []
    for number in range(1, _CHANGES + 1):
        # No write waits for the splay of the one before, and the change falls anywhere between two polls.
        await asyncio.sleep(_SPLAY_SECONDS + 0.2 + number / _CHANGES)
        changed = change(simulator, number, lists=lists)
        waits.append(await _annotated(cluster, node, key, address_of(number)) - changed)
    return waits


async def main() -> None:
    """Start an API server and an agent, measure, print."""
    simulator = Simulator(parse_scenario("document: all"))
    print(f"{_CHANGES} changes each, poll interval 1 s (with jitter up to 1.1 s), splay 2 s; milliseconds")
    print(f"{'change to annotation of':<28}{HEADINGS}")
    with tempfile.TemporaryDirectory() as directory, api_server_running() as server:
        async with cluster_of(server) as cluster, serve(simulator) as serving:
            node = (await cluster.create_node()).name
            identity = await cluster.create_identity(node, directory=Path(directory) / "identity")
            arguments = ["--imds-endpoint", serving.url, "--listen", "none", "--admin-listen", "none"]
            arguments += ["--poll-interval", "1s", "--write-splay", f"{_SPLAY_SECONDS:g}s"]
            arguments += ["--absent-after", "1s", "--node-name", node]
            arguments += ["--kubeconfig", str(identity.kubeconfig)]
            with running(["-m", "sidecar", "run", *arguments]):
                for key, lists in (("public-ip", "publicIpAddresses"), ("outbound-ips", "outboundRules")):
                    waits = await _measure(simulator, cluster, node, key=key, lists=lists)
                    print(f"{key:<28}{figures(waits)}")


if __name__ == "__main__":
    asyncio.run(main())
