"""The node publisher: makes the annotations of the agent's own Node match the state.

What to do and when is decided in :mod:`sidecar.core.writes`; here it is done.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from sidecar.core.annotations import field_manager, found
from sidecar.core.state import Found, Snapshot
from sidecar.core.writes import Ledger, Read, Schedule, Wait, Write
from sidecar.kube import KubernetesError, NodeMetadata, NodeReplacedError
from sidecar.logs import log
from sidecar.publish import PublishError, Turn
from sidecar.runtime import Runtime

__all__ = ["NodePublisher", "Nodes"]

_logger = logging.getLogger(__name__)


class Nodes(Protocol):
    """The two calls of the API server that are needed: see :class:`sidecar.kube.NodeClient`."""

    async def get(self, name: str, *, cached: bool) -> NodeMetadata:
        """Read a Node's metadata."""
        ...

    async def apply(
        self, name: str, *, uid: str, annotations: Mapping[str, str], field_manager: str
    ) -> NodeMetadata:
        """Make exactly these annotations those of the field manager."""
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
        self._ledger = Ledger()
        self._uid = ""
        self._taken_up = False

    @property
    def retry_within(self) -> float:
        """Retries are spread as writes are."""
        return self._schedule.write_splay

    async def turn(self, snapshot: Snapshot) -> Turn:
        """Read and write until there is nothing more to do now.

        Raises:
            PublishError: the API server could not be reached, or refused.
        """
        wrote = False
        try:
            while True:
                if self._leaving and self._ledger.live is not None:  # else read first: for the UID
                    if self._clock().mono < self._leave_at:
                        return Turn(wrote=wrote, next_at=self._leave_at, settled=False)
                    await self._leave()
                match self._next_action(snapshot):
                    case Wait(until):
                        return Turn(wrote=wrote, next_at=until, settled=not self._ledger.behind)
                    case Write(values):
                        await self._write(values)
                        wrote = True
                    case Read():
                        await self._read()
                        if self._take_up():
                            # What was found is a new state, which is on its way here.
                            return Turn(wrote=wrote, next_at=self._clock().mono, settled=False)
        except NodeReplacedError as error:
            self._ledger = replace(self._ledger, live=None)
            raise PublishError(str(error), retry_after=error.retry_after) from error
        except KubernetesError as error:
            raise PublishError(str(error), retry_after=error.retry_after) from error

    def _next_action(self, snapshot: Snapshot) -> Read | Write | Wait:
        now = self._clock()
        values = self._schedule.desired(snapshot.state, self._ledger.live or {}, now)
        self._ledger, action = self._schedule.decide(
            self._ledger, values, now=now.mono, fraction=self._random()
        )
        patient_until = self._schedule.patient_until(snapshot.state)
        if isinstance(action, Wait) and now.mono < patient_until:
            return Wait(min(action.until, patient_until))
        return action

    async def _read(self) -> None:
        # A Node that was replaced must be read from the store: the cache may still have the old one.
        node = await self._nodes.get(self._node, cached=self._ledger.live is not None or not self._taken_up)
        self._uid = node.uid
        if not self._taken_up:
            self._plan_to_leave(node.annotations)
        self._ledger = self._schedule.was_read(
            self._ledger, node.annotations, now=self._clock(), fraction=self._random()
        )
        self._measure(self._ledger.live or {})

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
        """Apply nothing under each earlier field manager, which removes what it owns.

        A refusal (403, 422) is tried again for ever, like any other failure; until one of these
        attempts succeeds, nothing is written under the new prefix either.
        """
        while self._leaving:
            prefix = self._leaving[0]
            manager = field_manager(prefix)
            await self._nodes.apply(self._node, uid=self._uid, annotations={}, field_manager=manager)
            log(_logger, logging.INFO, "prefix-left", node=self._node, prefix=prefix)
            del self._leaving[0]

    def _take_up(self) -> bool:
        """Report what was found at the first reading; returns whether there was anything."""
        if self._taken_up:
            return False
        self._taken_up = True
        earlier = found(self._ledger.live or {}, layout=self._schedule.layout)
        if earlier is not None:
            self._on_found(earlier)
        return earlier is not None

    async def _write(self, values: Mapping[str, str]) -> None:
        layout = self._schedule.layout
        node = await self._nodes.apply(
            self._node, uid=self._uid, annotations=values, field_manager=field_manager(layout.prefix)
        )
        self._ledger = self._schedule.was_written(
            self._ledger, values, node.annotations, now=self._clock().mono, fraction=self._random()
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
