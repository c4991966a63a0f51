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
from sidecar.core.writes import Read, Remove, Schedule, Wait, Write, WriteState
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
        """Remove these annotations, whoever owns them."""
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
            on_found: Told once what an earlier run published, before anything is written.
            runtime: Clock and randomness.
        """
        self._nodes = nodes
        self._node = node
        self._schedule = schedule
        self._leaving: list[str] = []
        self._leave_at = 0.0
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
        self._restored = False

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
                if self._leaving and self._write_state.live is not None:  # else read first: for the UID
                    if self._clock().mono < self._leave_at:
                        return PublishResult(wrote=wrote, next_at=self._leave_at, in_sync=False)
                    await self._leave()
                match self._next_action(snapshot):
                    case Wait(until):
                        return PublishResult(wrote=wrote, next_at=until, in_sync=not self._write_state.behind)
                    case Write() | Remove() as change:
                        await self._change(change)
                        wrote = True
                    case Read():
                        await self._read()
                        if self._restore():
                            # What was found is a new state, which is on its way here.
                            return PublishResult(wrote=wrote, next_at=self._clock().mono, in_sync=False)
        except NodeReplacedError as error:
            self._write_state = replace(self._write_state, live=None)
            raise PublishError(str(error), retry_after=error.retry_after) from error
        except KubernetesError as error:
            raise PublishError(str(error), retry_after=error.retry_after) from error

    def _next_action(self, snapshot: Snapshot) -> Read | Write | Remove | Wait:
        now = self._clock()
        values = self._schedule.desired(snapshot.state, self._write_state.live or {}, now)
        self._write_state, action = self._schedule.decide(
            self._write_state, values, now=now.mono, fraction=self._random()
        )
        stale_deadline = self._schedule.stale_deadline(snapshot.state)
        if isinstance(action, Wait) and now.mono < stale_deadline:
            return Wait(min(action.until, stale_deadline))
        return action

    async def _read(self) -> None:
        # A Node that was replaced must be read from the store: the cache may still have the old one.
        node = await self._nodes.get(
            self._node, cached=self._write_state.live is not None or not self._restored
        )
        self._uid = node.uid
        self._notice(node)
        if not self._restored:
            self._plan_to_leave(node.annotations)
        self._write_state = self._schedule.was_read(
            self._write_state, node.annotations, now=self._clock(), fraction=self._random()
        )
        self._measure(self._write_state.live or {})

    def _notice(self, node: NodeMetadata) -> None:
        """Tell when somebody else changed our annotations since this process last saw or wrote them.

        Where our own field manager applied something that was not ours, it was another agent.
        """
        applied, self._applied = self._applied, applied_at(node.managed_fields, manager=self._manager)
        certain, self._certain = self._certain, True
        changed = self._schedule.changed_by_others(self._write_state, node.annotations)
        if not changed or not certain:
            return
        managers = owners(node.managed_fields, changed)
        by = "agent" if applied != self._applied else "other"
        self._metrics.foreign_changes.labels(by=by).inc()
        log(
            _logger,
            logging.WARNING,
            "annotations-changed",
            node=self._node,
            names=self._named(changed),
            managers=printable(",".join(sorted(managers)[:_MANAGERS])),
            by=by,
        )

    @property
    def _manager(self) -> str:
        return field_manager(self._schedule.layout.prefix)

    def _named(self, keys: AbstractSet[str]) -> str:
        """Keys of ours without the prefix, joined."""
        return ",".join(sorted(key.rpartition("/")[2] for key in keys))

    def _measure(self, values: Mapping[str, str]) -> int:
        """Take the size of what stands on the Node, in bytes, and count what is missing there."""
        size = sum(map(len, (*values, *values.values())))
        omitted = values.get(self._schedule.layout.key("omitted"), "")
        self._metrics.annotation_bytes.set(size)
        self._metrics.omitted_annotations.set(omitted.count("="))
        return size

    def _plan_to_leave(self, annotations: Mapping[str, str]) -> None:
        """Find the earlier prefixes that have keys; while there are some, nothing is written for a while.

        A release that changes its prefix changes its admission policy with it, which the API servers
        take some seconds to learn.
        """
        prefixes = self._schedule.layout.previous_prefixes
        self._leaving = [
            prefix for prefix in prefixes if any(key.startswith(f"{prefix}/") for key in annotations)
        ]
        self._leave_at = self._clock().mono + self._schedule.write_splay

    async def _leave(self) -> None:
        """Apply nothing under each earlier field manager, which removes what it owns; remove the rest.

        A refusal (403, 422) is tried again for ever, like any other failure; until one of these
        attempts succeeds, nothing is written under the new prefix either.
        """
        while self._leaving:
            prefix = self._leaving[0]
            manager = field_manager(prefix)
            node = await self._nodes.apply(self._node, uid=self._uid, annotations={}, field_manager=manager)
            if left := own(node.annotations, layout=Layout(prefix=prefix)):
                await self._nodes.remove(self._node, uid=self._uid, keys=left, field_manager=manager)
            log(_logger, logging.INFO, "prefix-left", node=self._node, prefix=prefix)
            del self._leaving[0]

    def _restore(self) -> bool:
        """Report what was found at the first reading; returns whether there was anything."""
        if self._restored:
            return False
        self._restored = True
        earlier = found(self._write_state.live or {}, layout=self._schedule.layout)
        if earlier is not None:
            self._on_found(earlier)
        return earlier is not None

    async def _change(self, change: Write | Remove) -> None:
        self._certain = False
        if isinstance(change, Remove):
            await self._remove(change.keys)
        else:
            await self._write(change.values)
        self._certain = True

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
            names=self._named(keys),
            count=len(gone),
            resource_version=node.resource_version,
        )
