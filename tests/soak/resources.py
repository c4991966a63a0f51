"""What a process holds, and whether that has grown."""

import asyncio
import gc
import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")

_RESIDENT_MIB = 8.0
"""Tolerance: allocators keep some of what was freed."""

_OBJECTS = 1_000
"""Tolerance: caches of the standard library and the history of changes differ a little."""


UNDER_WAY = 2
"""Tolerance: a connection or a request that is just under way."""


class GrowthError(Exception):
    """Something grew that must not."""


@dataclass(frozen=True)
class Resources:
    """What is held at one moment."""

    resident_mib: float
    objects: int
    """Objects that the garbage collector knows."""
    tasks: int
    """Tasks of the running event loop."""
    descriptors: int
    """Open file descriptors."""

    def __str__(self) -> str:
        return (
            f"{self.resident_mib:.1f} MiB resident, {self.objects} objects, {self.tasks} tasks, "
            f"{self.descriptors} file descriptors"
        )


async def held() -> Resources:
    """What this process holds now; the loop's default executor must have one thread.

    Descriptors are counted on that thread, so none is counted of a file that is just being written.
    """
    gc.collect()
    descriptors, resident_mib = await asyncio.to_thread(_of_the_process)
    return Resources(
        resident_mib=resident_mib,
        objects=len(gc.get_objects()),
        tasks=len(asyncio.all_tasks()),
        descriptors=descriptors,
    )


def _of_the_process() -> tuple[int, float]:
    # Without the descriptor that lists them.
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return descriptors, pages * _PAGE / 2**20


def grown(before: Resources, after: Resources) -> str:
    """What has grown beyond tolerance, in words; empty if nothing has."""
    excess = {
        "resident memory": after.resident_mib - before.resident_mib > _RESIDENT_MIB,
        "objects": after.objects - before.objects > _OBJECTS,
        "tasks": after.tasks > before.tasks + UNDER_WAY,
        "file descriptors": after.descriptors > before.descriptors + UNDER_WAY,
    }
    return ", ".join(name for name, exceeded in excess.items() if exceeded)


def check_growth(warm: Resources, end: Resources) -> None:
    """Compare what was held after the warm-up and at the end.

    Raises:
        GrowthError: something grew; the text has both.
    """
    if what := grown(warm, end):
        raise GrowthError(f"{what}: {warm}; at the end {end}")
