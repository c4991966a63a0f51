"""One address of a simulated metadata service changes, and others see it some time later."""

import statistics
import time
from collections.abc import Sequence

from sidecar.simulator import Simulator

HEADINGS = f"{'median':>8}{'most':>8}"


def address_of(number: int) -> str:
    """The address that there is from a change on."""
    return f"198.51.100.{number}"


def change(simulator: Simulator, number: int, *, lists: str) -> float:
    """Let the service tell of this address alone, in a list of the document; returns when that was."""
    entry = {"frontendIpAddress": address_of(number), "privateIpAddress": "10.224.0.4"}
    changed = time.perf_counter()
    simulator.set_document({"inline": {"loadbalancer": {lists: [entry]}}})
    return changed


def figures(waits: Sequence[float]) -> str:
    """The columns of `HEADINGS` in milliseconds, of times in seconds."""
    return f"{statistics.median(waits) * 1e3:>8.0f}{max(waits) * 1e3:>8.0f}"
