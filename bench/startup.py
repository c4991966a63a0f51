"""Time from exec to the first answer and to the first annotation, beside a bare import.

``make bench-startup``. Agent and import take turns; the ratio is of the same turn.
"""

import asyncio
import statistics
import subprocess
import sys
import time

from bench.agents import Bench, Mode, bench
from bench.processes import answered, environment

_ROUNDS = 7


def _until_done(setup: Bench, mode: Mode, turn: int) -> tuple[float, float]:
    """Seconds from exec to the first answer with data, and to the mode's first work done."""
    started = time.perf_counter()
    # A prefix of its own for each turn: an agent that finds its annotations in place writes nothing.
    with setup.running(mode, "--annotation-prefix", f"turn-{turn}.example.com") as agent:
        answered(agent.document)
        first_answer = time.perf_counter() - started
        agent.until_done(mode)
        return first_answer, time.perf_counter() - started


def _imports(modules: str) -> float:
    started = time.perf_counter()
    # Without the clean-up at the end, which the agent has not done either when it answers.
    code = f"import os, {modules}; os._exit(0)"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
    return time.perf_counter() - started


async def main() -> None:
    """Measure each mode and print a table."""
    print(f"seconds, median of {_ROUNDS} turns")
    print(f"{'':<22}{'first answer':>14}{'first work':>12}{'import':>8}{'work/import':>13}")
    async with bench() as setup:
        for mode in setup.modes:
            rows = []
            for turn in range(_ROUNDS):
                answer, work = await asyncio.to_thread(_until_done, setup, mode, turn)
                imported = await asyncio.to_thread(_imports, mode.modules)
                rows.append((answer, work, imported, work / imported))
            figures = [statistics.median(column) for column in zip(*rows, strict=True)]
            print(
                f"{mode.name:<22}{figures[0]:>14.2f}{figures[1]:>12.2f}{figures[2]:>8.2f}{figures[3]:>13.2f}"
            )
    print("first work: data over HTTP; with annotations, the first one written; of a sidecar, its file")


if __name__ == "__main__":
    asyncio.run(main())
