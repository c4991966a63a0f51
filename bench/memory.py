"""Resident memory of the agent in each of its modes, beside a bare import of the same modules.

``make bench-memory`` (``SECONDS=600`` to look after ten minutes instead of ten seconds).
"""

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack
from itertools import accumulate

from bench.agents import Bench, bench
from bench.processes import answered, environment, resident_mib

_IMPORTED = "import sys, {modules}; print(flush=True); sys.stdin.read()"

_LIBRARIES = ("asyncio", "aiohttp.web", "pydantic", "pydantic_settings", "prometheus_client")
"""What every agent imports of others, one on top of the other."""


async def _agents(setup: Bench, seconds: float) -> list[float]:
    """What an agent of each mode holds after that time, all of them at once."""
    with ExitStack() as stack:
        agents = []
        for mode in setup.modes:
            agents.append(stack.enter_context(setup.running(mode, "--poll-interval", "1s")))
            await asyncio.to_thread(answered, agents[-1].document)
        await asyncio.sleep(seconds)
        return [resident_mib(agent.pid) for agent in agents]


def _imports(modules: str) -> float:
    command = [sys.executable, "-c", _IMPORTED.format(modules=modules)]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        process.stdout.readline()
        resident = resident_mib(process.pid)
        process.stdin.close()
    return resident


async def main() -> None:
    """Measure each mode and print a table."""
    seconds = float(os.environ.get("SECONDS", "10"))
    print(f"250 rules, one poll a second, after {seconds:g} s, VmRSS in MiB")
    print(f"{'':<22}{'agent':>8}{'imports':>10}")
    print(f"{'a bare interpreter':<22}{'':>8}{_imports('os'):>10.1f}")
    for name, modules in zip(_LIBRARIES, accumulate(_LIBRARIES, "{}, {}".format), strict=True):
        print(f"{f'with {name}':<22}{'':>8}{_imports(modules):>10.1f}", flush=True)
    async with bench() as setup:
        for mode, agent in zip(setup.modes, await _agents(setup, seconds), strict=True):
            print(f"{mode.name:<22}{agent:>8.1f}{_imports(mode.modules):>10.1f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
