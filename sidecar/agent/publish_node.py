"""The node publisher: makes the annotations of the agent's own Node match the state.

What to do and when is decided in :mod:`sidecar.core.writes`; here it is done.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Set as AbstractSet
from dataclasses import replace
from typing import Protocol

from sidecar.agent.publish_loop import PublishError, PublishResult
from sidecar.core.annotations import Layout, field_manager, found, own
from sidecar.core.state import Found, Snapshot
from sidecar.core.writes import Leave, Read, Remove, Schedule, Wait, Write, WriteState
from sidecar.kube import KubernetesError, NodeMetadata, NodeReplacedError
from sidecar.kube.client import applied_at, owners
from sidecar.kube.errors import printable
from sidecar.logs import log
from sidecar.runtime import Runtime

_logger = logging.getLogger(__name__)

_MANAGERS = 5
"""Field managers that a log line names."""


class Nodes(Protocol):
    """The calls of the API server that are needed: see :class:`sidecar.kube.NodeClient`."""

    async def get(self, name: str, *, cached: bool) -> NodeMetadata:
        """Read a Node's metadata."""
        ...

    async def apply(
        self, name: str, *, uid: str, annotations: Mapping[str, str], field_manager: str
    ) -> NodeMetadata:
        """Make exactly these annotations those of the field manager."""
        ...

    async def remove(self, name: str, *, uid: str, keys: Iterable[str], field_manager: str) -> NodeMetadata:
        """Remove these annotations, even if other field managers own them."""
        ...


class NodePublisher:
    """Publishes to one Node; its state is what is known of that Node."""

    name = "node"

    def __init__(
        self,
        nodes: Nodes,
        node: str,
        *,
        schedule: Schedule,
        on_found: Callable[[Found], None],
        runtime: Runtime,
    ) -> None:
        """Prepare a publisher.

        Args:
            nodes: The API server.
            node: Name of the Node.
            schedule: The rules of reading and writing.
            on_found: Called once with what an earlier run published, before anything is written.
            runtime: Clock and randomness.
        """
        self._nodes = nodes
        self._node = node
        self._schedule = schedule
        self._manager = field_manager(schedule.layout.prefix)
        self._on_found = on_found
        self._clock = runtime.clock
        self._random = runtime.random
        self._metrics = runtime.metrics
        self._metrics.annotation_budget.set(schedule.layout.budget)
        self._write_state = WriteState()
        self._uid = ""
        self._applied = ""
        """When our field manager last applied, in the API server's words."""
        self._certain = True
        """False after a write whose answer is missing: it may have been done."""

    @property
    def retry_within(self) -> float:
        """Retries are spread as writes are."""
        return self._schedule.write_splay

    async def turn(self, snapshot: Snapshot) -> PublishResult:
        """Read and write until there is nothing more to do now.

        Raises:
            PublishError: the API server could not be reached, or refused.
        """
        wrote = False
        try:
            while True:
                self._write_state, action = self._schedule.next(
                    self._write_state, snapshot.state, now=self._clock(), fraction=self._random()
                )
                match action:
                    case Wait(until, behind):
                        return PublishResult(wrote=wrote, next_at=until, in_sync=not behind)
                    case Read():
                        if await self._read():
                            # What was found is a new state, which is on its way here.
                            return PublishResult(wrote=wrote, next_at=self._clock().mono, in_sync=False)
                    case Leave(prefix):
                        await self._leave(prefix)
                    case Write(values):
                        self._certain = False
                        await self._write(values)
                        wrote = self._certain = True
                    case Remove(keys):
                        self._certain = False
                        await self._remove(keys)
                        wrote = self._certain = True
        except NodeReplacedError as error:
            self._write_state = replace(self._write_state, live=None)
            raise PublishError(str(error), retry_after=error.retry_after) from error
        except KubernetesError as error:
            raise PublishError(str(error), retry_after=error.retry_after) from error

    async def _read(self) -> bool:
        """Read the Node, and report what others changed since this process last saw or wrote it.

        Returns:
            Whether an earlier run's data were found, which happens once at most.
        """
        first = self._write_state.restored_at is None
        # A Node that was replaced must be read from the store: the cache may still have the old one.
        node = await self._nodes.get(self._node, cached=self._write_state.live is not None or first)
        self._uid = node.uid
        # Where our own field manager applied something that was not ours, it was another agent.
        applied, self._applied = self._applied, applied_at(node.managed_fields, manager=self._manager)
        certain, self._certain = self._certain, True
        changed = self._schedule.changed_by_others(self._write_state, node.annotations)
        if changed and certain:
            managers = owners(node.managed_fields, changed)
            by = "agent" if applied != self._applied else "other"
            self._metrics.foreign_changes.labels(by=by).inc()
            log(
                _logger,
                logging.WARNING,
                "annotations-changed",
                node=self._node,
                names=_names(changed),
                managers=printable(",".join(sorted(managers)[:_MANAGERS])),
                by=by,
            )
        self._write_state = self._schedule.was_read(
            self._write_state, node.annotations, now=self._clock(), fraction=self._random()
        )
        live = self._write_state.live or {}
        self._measure(live)
        earlier = found(live, layout=self._schedule.layout) if first else None
        if earlier is not None:
            self._on_found(earlier)
        return earlier is not None

    async def _leave(self, prefix: str) -> None:
        """Apply nothing under an earlier field manager, which removes what it owns, and remove the rest.

        A refusal (403, 422) is retried without end, like any other failure; until one of these
        attempts succeeds, nothing is written under the new prefix either.
        """
        manager = field_manager(prefix)
        node = await self._nodes.apply(self._node, uid=self._uid, annotations={}, field_manager=manager)
        if left := own(node.annotations, layout=Layout(prefix=prefix)):
            await self._nodes.remove(self._node, uid=self._uid, keys=left, field_manager=manager)
        self._write_state = self._schedule.was_left(self._write_state, prefix)
        log(_logger, logging.INFO, "prefix-left", node=self._node, prefix=prefix)

    async def _write(self, values: Mapping[str, str]) -> None:
        layout = self._schedule.layout
        node = await self._nodes.apply(
            self._node, uid=self._uid, annotations=values, field_manager=self._manager
        )
        self._applied = applied_at(node.managed_fields, manager=self._manager)
        self._write_state = self._schedule.was_written(
            self._write_state, values, node.annotations, now=self._clock().mono, fraction=self._random()
        )
        log(
            _logger,
            logging.INFO,
            "annotated",
            node=self._node,
            keys=len(values),
            bytes=self._measure(values),
            status=values.get(layout.key("status")),
            omitted=values.get(layout.key("omitted")),
            resource_version=node.resource_version,
        )

    async def _remove(self, keys: AbstractSet[str]) -> None:
        node = await self._nodes.remove(self._node, uid=self._uid, keys=keys, field_manager=self._manager)
        self._write_state = self._schedule.was_removed(
            self._write_state, keys, node.annotations, now=self._clock().mono
        )
        self._measure(self._write_state.live or {})
        gone = keys - node.annotations.keys()
        self._metrics.removed_annotations.inc(len(gone))
        log(
            _logger,
            logging.WARNING,
            "annotations-removed",
            node=self._node,
            names=_names(keys),
            count=len(gone),
            resource_version=node.resource_version,
        )

    def _measure(self, values: Mapping[str, str]) -> int:
        """Set the gauges of what stands on the Node, and return its size in bytes."""
        size = sum(map(len, (*values, *values.values())))
        omitted = values.get(self._schedule.layout.key("omitted"), "")
        self._metrics.annotation_bytes.set(size)
        self._metrics.omitted_annotations.set(omitted.count("="))
        return size


def _names(keys: AbstractSet[str]) -> str:
    """Keys of ours without the prefix, joined."""
    return ",".join(sorted(key.rpartition("/")[2] for key in keys))
