"""What agents cost, from the recorded figures: less what goes on without them."""

from collections.abc import Mapping
from typing import Any

__all__ = [
    "HOUR",
    "IDLE",
    "Records",
    "kubelet_cpu_in_an_hour",
    "our_cpu",
    "our_cpu_in_an_hour",
    "watched_in_an_hour",
]

Records = Mapping[str, Mapping[str, Any]]
"""Figures by scenario."""

IDLE = "without agents"
"""The scenario that all others are compared with."""

HOUR = 3600.0
"""Seconds."""

_POSTS_IN_AN_HOUR = 12


def our_cpu(records: Records, scenario: str) -> float | None:
    """Seconds of the API server's processor time above those without agents."""
    if not {scenario, IDLE} <= records.keys():
        return None
    cost = records[scenario]
    return float(cost["apiserver_cpu"] - _rate(records[IDLE]) * cost["seconds"])


def our_cpu_in_an_hour(records: Records, form: str) -> float | None:
    """The same of a quiet hour, above an hour without agents."""
    with_agents, without = f"quiet, {form}", f"quiet, {IDLE}"
    if not {with_agents, without} <= records.keys():
        return None
    more = _rate(records[with_agents]) - _rate(records[without])
    return float(more / records[with_agents]["pace"] * HOUR)


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
    """Bytes to all watchers in a quiet hour."""
    scenario = f"quiet, {form}"
    if scenario not in records:
        return None
    record = records[scenario]
    return float(record["watched"] / (record["seconds"] * record["pace"]) * HOUR)


def _rate(record: Mapping[str, Any]) -> float:
    return float(record["apiserver_cpu"] / record["seconds"])
