"""The event publisher: Kubernetes Events about the agent's own Node.

What to send and when is decided in :mod:`sidecar.core.events`.
"""

import logging
from datetime import datetime
from typing import Protocol

from sidecar.agent.publish_loop import PublishError, PublishResult
from sidecar.core.events import EventPolicy, EventState, Pause
from sidecar.core.state import Snapshot
from sidecar.kube import KubernetesError, NodeEvent
from sidecar.logs import log
from sidecar.runtime import Runtime

_logger = logging.getLogger(__name__)

_WINDOW = 600
"""Seconds of a name: a restarted agent does not report the same reason twice in one window."""
_NODE_CHARACTERS = 200
"""Of the Node's name in that of an Event, which has at most 253: a longer one ends in an x there."""


class EventSender(Protocol):
    """The two calls of the API server that are needed: see :class:`sidecar.kube.EventClient`."""

    async def create(self, event: NodeEvent) -> bool:
        """Create an Event; false if it is there already."""
        ...

    async def repeat(self, name: str, *, count: int, at: datetime) -> bool:
        """Count an Event again; false if it is gone."""
        ...


class EventPublisher:
    """Sends Events about one Node; its state is what it has reported."""

    name = "events"

    def __init__(
        self, events: EventSender, node: str, *, event_policy: EventPolicy, runtime: Runtime
    ) -> None:
        self._events = events
        self._node = node
        self._event_policy = event_policy
        self._clock = runtime.clock
        self._random = runtime.random
        self._event_state = EventState()

    @property
    def retry_within(self) -> float:
        """Retries are spread as Events are."""
        return self._event_policy.splay

    async def turn(self, snapshot: Snapshot) -> PublishResult:
        """Send what is due.

        Raises:
            PublishError: the API server could not be reached, or refused.
        """
        wrote = False
        try:
            while True:
                self._event_state, action = self._event_policy.decide(
                    self._event_state, snapshot.state, now=self._clock(), fraction=self._random()
                )
                if isinstance(action, Pause):
                    return PublishResult(
                        wrote=wrote, next_at=action.until, in_sync=not self._event_state.behind
                    )
                now = self._clock()
                name = action.name
                if not name or not await self._events.repeat(name, count=action.count, at=now.utc):
                    name = event_name(self._node, action.reason, now.utc)
                    await self._events.create(
                        NodeEvent(
                            name=name,
                            node=self._node,
                            reason=action.reason,
                            note=action.note,
                            warning=action.warning,
                            at=now.utc,
                        )
                    )
                self._event_state = self._event_policy.was_sent(self._event_state, action, name=name, now=now)
                wrote = True
                log(
                    _logger,
                    logging.INFO,
                    "event-sent",
                    node=self._node,
                    reason=action.reason,
                    note=action.note,
                    count=action.count,
                )
        except KubernetesError as error:
            raise PublishError(str(error), retry_after=error.retry_after) from error


def event_name(node: str, reason: str, utc: datetime) -> str:
    """The name of an Event: the same for all of one Node, reason and window of 10 minutes.

    The chart's policy lets agents create no other, so that an agent's rights do not suffice to create many.
    """
    window = int(utc.timestamp()) // _WINDOW
    stem = node if len(node) <= _NODE_CHARACTERS else f"{node[: _NODE_CHARACTERS - 1]}x"
    return f"{stem}.{reason.lower()}.{window}"
