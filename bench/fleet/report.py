"""Tables of what was measured, and where the figures are recorded."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.fleet.costs import (
    LARGE_NODES,
    LARGE_WATCHERS,
    Records,
    watched_table,
)
from bench.fleet.meters import Cost
from bench.fleet.others import WATCHERS

RESULTS = Path(__file__).parent / "results"

_COLUMNS = (
    ("scenario", 36),
    ("pace", 5),
    ("s", 6),
    ("reads", 7),
    ("writes", 7),
    ("failed", 7),
    ("peak/s", 7),
    ("CPU s", 7),
    ("etcd", 6),
    ("driver", 7),
    ("posts", 7),
    ("others", 8),
    ("failed", 7),
    ("p50 ms", 8),
    ("p99 ms", 8),
    ("right p50", 10),
    ("all s", 7),
    ("MB watched", 11),
)


def heading() -> str:
    """The heads of the columns of `row`."""
    return "".join(f"{name:<{width}}" if width > 30 else f"{name:>{width}}" for name, width in _COLUMNS)


def row(cost: Cost) -> str:
    """One scenario; times until right are as in a cluster, all else as measured."""
    cells = (
        f"{cost.pace:g}",
        f"{cost.seconds:.0f}",
        str(cost.reads),
        str(cost.writes),
        str(cost.failed),
        str(cost.peak),
        f"{cost.apiserver_cpu:.1f}",
        f"{cost.etcd_cpu:.1f}",
        f"{cost.driver_cpu:.1f}",
        str(cost.kubelet_posts),
        str(cost.others.count),
        str(cost.others_failed),
        f"{cost.others.median * 1000:.0f}",
        f"{cost.others.p99 * 1000:.0f}",
        f"{cost.right.median * cost.pace:.1f}",
        f"{cost.right.longest * cost.pace:.1f}",
        f"{cost.watched / 1e6:.1f}",
    )
    widths = [width for _, width in _COLUMNS]
    text = f"{cost.scenario:<{widths[0]}}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)
    )
    never = cost.notes.get("never right", 0)
    return text + (f"  ({never} nodes not right in time)" if never else "")


def watched(records: Records) -> Iterable[str]:
    """Bytes in a quiet hour to all watchers, as measured and for more nodes and watchers."""
    for form, hour, large in watched_table(records):
        measured = records[f"quiet, {form}"]["nodes"]
        yield (
            f"{form:<16}{hour / 1e9:8.2f} GB/h at {measured} nodes, {WATCHERS} watchers"
            f"{large / 1e9:10.1f} GB/h at {LARGE_NODES} nodes, {LARGE_WATCHERS} watchers (extrapolated)"
        )


def machine() -> dict[str, Any]:
    """Where and when this was measured."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
    }


def record(cost: Cost, *, about: Mapping[str, Any]) -> None:
    """Keep the figures of a scenario, and where they were measured; those of others stay as they were."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{cost.nodes}.json"
    scenarios = {**recorded().get(cost.nodes, {}), cost.scenario: {**cost.record(), "measured": dict(about)}}
    path.write_text(json.dumps(scenarios, indent=1) + "\n")


def recorded() -> dict[int, Records]:
    """Every recorded run, by its number of nodes."""
    return {int(path.stem): json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
