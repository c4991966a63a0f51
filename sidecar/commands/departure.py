"""Waiting until a DaemonSet and its pods are gone, or finding that it is not to go at all."""

import asyncio
from collections.abc import Iterator

from sidecar.core.durations import print_duration
from sidecar.errors import Error
from sidecar.kube.operator import DaemonSet, OperatorClient

__all__ = ["departed"]

_NAMED = 5
"""Pods that an error names; the rest are counted."""


async def departed(
    client: OperatorClient,
    which: DaemonSet,
    *,
    pod_selector: str,
    timeout: float,  # noqa: ASYNC109 - its end is an error of ours, which names what is left
) -> bool:
    """Wait until a DaemonSet that is being deleted is gone, with its pods.

    Pods that a Job controls do not count: a hook may carry the labels that it waits for.

    Args:
        client: Of the cluster.
        which: The DaemonSet.
        pod_selector: Labels of its pods, as kubectl takes them.
        timeout: Seconds.

    Returns:
        Whether it is gone; false, at once, while it exists and is not being deleted.

    Raises:
        Error: something is left after that time.
    """
    left: list[str] = []
    try:
        async with asyncio.timeout(timeout):
            for delay in _delays():
                daemon_set = await client.daemon_set(which)
                if daemon_set is not None and not daemon_set.deleting:
                    return False
                there = [] if daemon_set is None else [f"DaemonSet {which}"]
                there += await _pods(client, which.namespace, selector=pod_selector)
                if not there:
                    return True
                left = there
                await asyncio.sleep(delay)
    except TimeoutError:
        pass
    what = f"there is still {_listed(left)}" if left else f"it is not known whether DaemonSet {which} is gone"
    raise Error(
        f"after {print_duration(timeout)} {what}",
        advice="nothing was removed; see why it does not end, and repeat",
    )


async def _pods(client: OperatorClient, namespace: str, *, selector: str) -> list[str]:
    return [
        f"pod {pod.name}"
        async for page in client.unfinished_pods(namespace, selector=selector)
        for pod in page
        if pod.controller != "Job"
    ]


def _delays() -> Iterator[float]:
    """Seconds between two looks: half a second, growing to 5."""
    delay = 0.5
    while True:
        yield delay
        delay = min(1.5 * delay, 5.0)


def _listed(left: list[str]) -> str:
    more = len(left) - _NAMED
    return ", ".join(left[:_NAMED]) + (f" and {more} more" if more > 0 else "")
