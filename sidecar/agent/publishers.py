"""The publishers that the settings ask for."""

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from sidecar.blocking import BlockedError
from sidecar.core.annotations import Layout
from sidecar.core.events import Herald
from sidecar.core.state import Found, Policy
from sidecar.core.writes import Schedule
from sidecar.logs import log, power_of_two
from sidecar.publish import Publisher
from sidecar.publish.file import FilePublisher
from sidecar.runtime import Runtime
from sidecar.settings import Settings

if TYPE_CHECKING:
    from sidecar.kube import NodeClient

__all__ = ["cluster_publishers", "file_publishers"]

_logger = logging.getLogger(__name__)

TakeUp = Callable[[Found], None]
"""Is given what an earlier run published."""


def file_publishers(settings: Settings, take_up: TakeUp, *, runtime: Runtime) -> list[Publisher]:
    """The file publisher if there is one; it takes up what an earlier run wrote, when it first looks."""
    if settings.file is None:
        return []
    return [
        FilePublisher(
            path=settings.file,
            node=settings.node_name,
            node_address=settings.node_address,
            stale_after=settings.stale_after,
            clock=runtime.clock,
            on_found=take_up,
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
    async with AsyncExitStack() as stack:
        nodes = await _connected(settings, stack, runtime=runtime)
        from sidecar.publish.events import EventPublisher  # noqa: PLC0415 - imported there with the client
        from sidecar.publish.node import NodePublisher  # noqa: PLC0415 - the same

        node = settings.node_name or ""
        schedule = _schedule(settings, policy, patience=runtime.random())
        publishers: list[Publisher] = [
            NodePublisher(nodes, node, schedule=schedule, on_found=take_up, runtime=runtime)
        ]
        if settings.events:
            herald = Herald(splay=settings.write_splay, fault_after=settings.events_fault_after)
            publishers.append(EventPublisher(nodes.events(), node, herald=herald, runtime=runtime))
        yield publishers


async def _connected(settings: Settings, stack: AsyncExitStack, *, runtime: Runtime) -> "NodeClient":
    """The client of the API server; what cannot be had or read just now is tried again."""
    kubeconfig = None if settings.kubeconfig is None else str(settings.kubeconfig)
    failures = 0
    while True:
        try:
            await asyncio.to_thread(importlib.import_module, "sidecar.publish.node")
            from sidecar.kube import UnreadConfigError, connect  # noqa: PLC0415 - a second that others save

            try:
                return await stack.enter_async_context(
                    connect(metrics=runtime.metrics, kubeconfig=kubeconfig, context=settings.context)
                )
            except UnreadConfigError as unread:
                error: Exception = unread
        except BlockedError as blocked:
            error = blocked
        failures += 1
        if power_of_two(failures):
            log(_logger, logging.WARNING, "publish-failed", publisher="node", failures=failures, error=error)
        await asyncio.sleep(runtime.random() * settings.write_splay)


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
