"""Processor time of an agent whose document never changes, per poll and all in.

``make bench-idle`` (``SECONDS=60``). 250 rules, one poll a second, counted by the agent itself.
"""

import asyncio
import os
import re

from bench.agents import Mode, bench
from bench.processes import answered, cpu_seconds, free_port, running

_ATTEMPTS = re.compile(r'^azure_lb_metadata_attempts_total\{outcome="ok"\} ([0-9.]+)$', re.MULTILINE)


async def _metrics(admin: int) -> str:
    return (await asyncio.to_thread(answered, f"http://127.0.0.1:{admin}/metrics")).decode()


async def _polls(admin: int) -> float:
    found = _ATTEMPTS.search(await _metrics(admin))
    return float(found[1]) if found else 0.0


async def _cost(mode: Mode, imds: str, seconds: float) -> tuple[float, float]:
    """Milliseconds of processor time for each poll, and the number of polls."""
    api, admin = free_port(), free_port()
    listen = ["--listen", f"127.0.0.1:{api}", "--admin-listen", f"127.0.0.1:{admin}"]
    often = ["--imds-endpoint", imds, "--poll-interval", "1s"]
    with running(["-m", "sidecar", "run", *mode.arguments, *listen, *often], within=mode.within) as process:
        while mode.done not in await _metrics(admin):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
        # Asking for the metrics costs as well: once before the first figure, and after the last.
        before, used = await _polls(admin), cpu_seconds(process.pid)
        await asyncio.sleep(seconds)
        used = cpu_seconds(process.pid) - used
        polls = await _polls(admin) - before
    return 1000 * used / polls, polls


async def main() -> None:
    """Measure each mode and print a table."""
    seconds = float(os.environ.get("SECONDS", "60"))
    print(f"unchanged document of 250 rules, one poll a second for {seconds:g} s")
    print(f"{'':<22}{'polls':>8}{'CPU ms per poll':>18}")
    async with bench() as setup:
        for mode in setup.modes:
            cost, polls = await _cost(mode, setup.imds, seconds)
            print(f"{mode.name:<22}{polls:>8.0f}{cost:>18.2f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
