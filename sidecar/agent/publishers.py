"""The publishers that the settings ask for."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sidecar.core.annotations import Layout
from sidecar.core.events import Herald
from sidecar.core.state import Found, Policy
from sidecar.core.writes import Schedule
from sidecar.publish import Publisher, file
from sidecar.publish.file import FilePublisher
from sidecar.runtime import Runtime
from sidecar.settings import Settings

__all__ = ["cluster_publishers", "file_publishers"]

TakeUp = Callable[[Found], None]
"""Is given what an earlier run published."""


def file_publishers(settings: Settings, take_up: TakeUp, *, runtime: Runtime) -> list[Publisher]:
    """The file publisher if there is one; what an earlier run wrote is taken up."""
    if settings.file is None:
        return []
    earlier = file.found(settings.file, node=settings.node_name)
    if earlier is not None:
        take_up(earlier)
    return [
        FilePublisher(
            path=settings.file,
            node=settings.node_name,
            node_address=settings.node_address,
            stale_after=settings.stale_after,
            clock=runtime.clock,
        )
    ]


@asynccontextmanager
async def cluster_publishers(
    settings: Settings, take_up: TakeUp, *, policy: Policy, runtime: Runtime
) -> AsyncIterator[list[Publisher]]:
    """Connect to the API server; only here is its client imported, beside the running loop.

    The first one annotates the Node. What it finds there is taken up when it first looks.

    Raises:
        UsageError: there is no usable kubeconfig.
    """
    await asyncio.to_thread(importlib.import_module, "sidecar.publish.node")
    from sidecar.kube import connect  # noqa: PLC0415 - 10 MiB and a second that other modes save
    from sidecar.publish.events import EventPublisher  # noqa: PLC0415 - the same
    from sidecar.publish.node import NodePublisher  # noqa: PLC0415 - the same

    kubeconfig = None if settings.kubeconfig is None else str(settings.kubeconfig)
    async with connect(metrics=runtime.metrics, kubeconfig=kubeconfig, context=settings.context) as nodes:
        node = settings.node_name or ""
        schedule = _schedule(settings, policy, patience=runtime.random())
        publishers: list[Publisher] = [
            NodePublisher(nodes, node, schedule=schedule, on_found=take_up, runtime=runtime)
        ]
        if settings.events:
            herald = Herald(splay=settings.write_splay, fault_after=settings.events_fault_after)
            publishers.append(EventPublisher(nodes.events(), node, herald=herald, runtime=runtime))
        yield publishers


def _schedule(settings: Settings, policy: Policy, *, patience: float) -> Schedule:
    return Schedule(
        layout=Layout(
            prefix=settings.annotation_prefix,
            previous_prefixes=settings.previous_annotation_prefixes,
            budget=settings.annotation_budget,
            annotate=settings.annotate,
            node_address=settings.node_address,
        ),
        policy=policy,
        write_splay=settings.write_splay,
        resync_interval=settings.resync_interval,
        heartbeat_interval=settings.heartbeat_interval,
        patience=patience,
    )
