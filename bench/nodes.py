"""Nodes as large as real ones, and making very many of them.

They have what real ones have: 20 labels, the annotations of others, the kubelet's conditions, 30 images
with names of a usual length.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tests.support.nodes import realistic_node

_IN_FLIGHT = 24
_LABELS = 20
_IMAGES = 30
_CONDITIONS = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}


def name_of(number: int) -> str:
    """The name of a Node, as AKS gives it."""
    return f"aks-nodepool1-12345678-vmss{number:06}"


def full_node(number: int, *, address: str = "10.240.0.4") -> dict[str, Any]:
    """A Node without taints.

    Args:
        number: Which; its name follows from that.
        address: Its private one.
    """
    node = realistic_node(name_of(number), address=address)
    labels = node["metadata"]["labels"]
    labels |= {f"kubernetes.azure.com/label-{each}": f"value-{each}" for each in range(_LABELS - len(labels))}
    node["spec"]["taints"] = []
    node["status"]["conditions"] = [condition(kind, status) for kind, status in _CONDITIONS.items()]
    node["status"]["images"] = [_image(each) for each in range(_IMAGES)]
    return node


def condition(kind: str, status: str) -> dict[str, str]:
    """A condition of a Node or a pod."""
    times = dict.fromkeys(("lastHeartbeatTime", "lastTransitionTime"), "2026-01-02T03:04:05Z")
    return {"type": kind, "status": status, "reason": f"Kubelet{kind}", "message": "as usual", **times}


def _image(number: int) -> dict[str, Any]:
    name = f"registry.example.com/oss/kubernetes/component-{number}"
    return {"names": [f"{name}@sha256:{number:064x}", f"{name}:v1.34.{number}"], "sizeBytes": 100_000_000}


async def each(numbers: Iterable[int], work: Callable[[int], Awaitable[None]]) -> None:
    """Do something for every number, some of them at a time."""
    left = iter(numbers)

    async def take() -> None:
        for number in left:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(_IN_FLIGHT):
            group.create_task(take())
