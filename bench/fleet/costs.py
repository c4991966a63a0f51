"""What agents cost, from the recorded figures: less what goes on without them."""

from collections.abc import Iterator, Mapping
from typing import Any

from bench.fleet.others import WATCHERS

Records = Mapping[str, Mapping[str, Any]]
"""Figures by scenario."""

IDLE = "without agents"
"""The scenario that all others are compared with."""

HOUR = 3600.0
"""Seconds."""

LARGE_NODES, LARGE_WATCHERS = 5000, 100
"""What bytes to watchers are extrapolated to."""

_POSTS_IN_AN_HOUR = 12


def our_cpu(records: Records, scenario: str) -> float | None:
    """Seconds of the API server's processor time above those without agents."""
    if not {scenario, IDLE} <= records.keys():
        return None
    return float(records[scenario]["apiserver_cpu"] - idle_cpu(records, scenario))


def idle_cpu(records: Records, scenario: str) -> float:
    """Seconds of the API server's processor time in as long without agents."""
    return _rate(records[IDLE]) * float(records[scenario]["seconds"])


def our_cpu_in_an_hour(records: Records, form: str) -> float | None:
    """Seconds of the API server's processor time in a quiet hour, above those without agents."""
    with_agents, without = f"quiet, {form}", f"quiet, {IDLE}"
    if not {with_agents, without} <= records.keys():
        return None
    more = _rate(records[with_agents]) - _rate(records[without])
    return float(more / records[with_agents]["pace"] * HOUR)


def idle_cpu_in_an_hour(records: Records) -> float:
    """Seconds of the API server's processor time in an hour without agents, as it passes in a cluster."""
    return _rate(records[IDLE]) * HOUR


def kubelet_cpu_in_an_hour(records: Records) -> float | None:
    """Seconds of the API server's processor time for the status posts of all kubelets."""
    quiet = f"quiet, {IDLE}"
    if not {quiet, IDLE} <= records.keys():
        return None
    seconds, posts = (
        rate(records[quiet]) - rate(records[IDLE])
        for rate in (_rate, lambda record: record["kubelet_posts"] / record["seconds"])
    )
    return float(seconds / posts * records[quiet]["nodes"] * _POSTS_IN_AN_HOUR) if posts > 0 else None


def watched_in_an_hour(records: Records, form: str) -> float | None:
    """Bytes to all watchers in a quiet hour.

    In proportion to the kubelets' status posts, which come at random: twelve for each node.
    """
    scenario = f"quiet, {form}"
    if scenario not in records:
        return None
    record = records[scenario]
    return float(record["watched"] / record["kubelet_posts"] * record["nodes"] * _POSTS_IN_AN_HOUR)


def watched_table(records: Records) -> Iterator[tuple[str, float, float]]:
    """Each form, bytes to all watchers in a quiet hour, and those of a large cluster with many watchers.

    The last are extrapolated: in proportion to nodes and watchers.
    """
    for form in (IDLE, "summary", "full"):
        hour = watched_in_an_hour(records, form)
        if hour is not None:
            nodes = int(records[f"quiet, {form}"]["nodes"])
            yield form, hour, hour * LARGE_NODES / nodes * LARGE_WATCHERS / WATCHERS


def _rate(record: Mapping[str, Any]) -> float:
    return float(record["apiserver_cpu"] / record["seconds"])
