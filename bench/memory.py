"""Resident memory of the agent with annotations on and off, beside a bare import of the same modules.

``make bench-memory`` (``SECONDS=600`` to look after ten minutes instead of ten seconds).
"""

import asyncio
import os
import subprocess
import sys

from bench.agents import Bench, Mode, bench
from bench.processes import answered, environment, resident_mib

_IMPORTED = "import sys, {modules}; print(flush=True); sys.stdin.read()"


async def _agent(setup: Bench, mode: Mode, seconds: float) -> float:
    with setup.running(mode, "--poll-interval", "1s") as agent:
        await asyncio.to_thread(answered, agent.document)
        await asyncio.sleep(seconds)
        return resident_mib(agent.pid)


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
    print(f"{'a bare interpreter':<22}{_imports('os'):>8.1f}")
    async with bench() as setup:
        for mode in setup.modes:
            agent = await _agent(setup, mode, seconds)
            print(f"{mode.name:<22}{agent:>8.1f}{_imports(mode.modules):>10.1f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
