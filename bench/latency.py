"""From a change at the metadata service to a long-polling client and to the file of a sidecar.

``make bench-latency``. The agent polls once a second here; the bound that users are promised is the
poll interval and 0.2 s more for the client, and 0.5 s from there for the file.
"""

import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp

from bench.changes import HEADINGS, address_of, change, figures
from bench.processes import answered, free_port, running
from sidecar.simulator import Simulator, parse_scenario, serve

_CHANGES = 40
_PATH = "/v1/public-ip?format=text"


async def _told(session: aiohttp.ClientSession, url: str, etag: str) -> float:
    """Wait in a long poll, and return when its answer came."""
    headers = {"If-None-Match": etag, "Prefer": "wait=60"}
    async with session.get(url + _PATH, headers=headers) as response:
        await response.read()
        return time.perf_counter()


async def _written(path: Path, address: str) -> float:
    """Look at the file until the address is in it, and return when it was."""
    while not await asyncio.to_thread(_has, path, address):  # noqa: ASYNC110 - a file gives no event
        await asyncio.sleep(0.001)
    return time.perf_counter()


def _has(path: Path, address: str) -> bool:
    """Whether the file is there, which it is a moment after the first answer, and has the address."""
    return path.exists() and address in path.read_text()


async def _measure(simulator: Simulator, api: str, path: Path) -> list[tuple[float, float]]:
    """Seconds from each change to the client, and from there to the file."""
    rows = []
    async with aiohttp.ClientSession() as session:
        for number in range(1, _CHANGES + 1):
            async with session.get(api + _PATH) as response:
                etag = response.headers["ETag"]
            reported = asyncio.create_task(_told(session, api, etag))
            written = asyncio.create_task(_written(path, address_of(number)))
            # Wherever in the poll interval the change falls.
            await asyncio.sleep(0.1 + number / _CHANGES)
            changed = change(simulator, number, lists="publicIpAddresses")
            rows.append((await reported - changed, await written - await reported))
    return rows


async def main() -> None:
    """Start an agent and a sidecar, measure, print."""
    port, side_port = free_port(), free_port()
    api = f"http://127.0.0.1:{port}"
    common = ["--admin-listen", "none"]
    agent = ["-m", "sidecar", "run", "--no-annotations", "--poll-interval", "1s", *common]
    sidecar = ["-m", "sidecar", "run", "--upstream", api, *common]
    simulator = Simulator(parse_scenario("document: public-ip"))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "document"
        sidecar += ["--file", str(path), "--listen", f"127.0.0.1:{side_port}"]
        async with serve(simulator) as serving:
            agent += ["--imds-endpoint", serving.url, "--listen", f"127.0.0.1:{port}"]
            with running(agent), running(sidecar):
                await asyncio.to_thread(answered, f"http://127.0.0.1:{side_port}{_PATH}")
                rows = await _measure(simulator, api, path.with_name("document.env"))
    print(f"{_CHANGES} changes, poll interval 1 s (with jitter up to 1.1 s), milliseconds")
    print(f"{'':<34}{HEADINGS}")
    for name, waits in zip(
        ("change to long-polling client", "from there to the sidecar's file"),
        zip(*rows, strict=True),
        strict=True,
    ):
        print(f"{name:<34}{figures(waits)}")


if __name__ == "__main__":
    asyncio.run(main())
