"""Processor time of an agent whose document never changes, per poll or second and all in.

``make bench-idle`` (``SECONDS=60``). 250 rules, one poll a second, counted by the agent
itself; a sidecar waits at another agent instead.
"""

import asyncio
import os
import re

from bench.agents import Bench, Mode, Running, bench
from bench.processes import cpu_seconds

_ATTEMPTS = re.compile(r'^azure_lb_metadata_attempts_total\{outcome="ok"\} ([0-9.]+)$', re.MULTILINE)


async def _polls(agent: Running) -> float:
    found = _ATTEMPTS.search(await asyncio.to_thread(agent.metrics))
    return float(found[1]) if found else 0.0


async def _cost(setup: Bench, mode: Mode, seconds: float) -> tuple[float, float]:
    """Milliseconds of processor time, and the number of polls."""
    with setup.running(mode, "--poll-interval", "1s") as agent:
        await asyncio.to_thread(agent.until_done, mode)
        # Asking for the metrics costs as well: once before the first figure, and after the last.
        before, used = await _polls(agent), cpu_seconds(agent.pid)
        await asyncio.sleep(seconds)
        used = cpu_seconds(agent.pid) - used
        polls = await _polls(agent) - before
    return 1000 * used, polls


async def main() -> None:
    """Measure each mode and print a table."""
    seconds = float(os.environ.get("SECONDS", "60"))
    print(f"unchanged document of 250 rules, one poll a second for {seconds:g} s")
    print(f"{'':<22}{'polls':>8}{'CPU ms per poll':>18}{'per second':>12}")
    async with bench() as setup:
        for mode in setup.modes:
            used, polls = await _cost(setup, mode, seconds)
            # A sidecar waits in a long poll until something changes.
            each = f"{used / polls:.2f}" if polls else "-"
            print(f"{mode.name:<22}{polls:>8.0f}{each:>18}{used / seconds:>12.2f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
