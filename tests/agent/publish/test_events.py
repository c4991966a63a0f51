"""The event publisher sends what is due, over an API server that is a fake, in virtual time."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from sidecar.agent.publish_events import EventPublisher, event_name
from sidecar.agent.publish_loop import PublishLoop
from sidecar.core.events import EventPolicy
from sidecar.kube import ForbiddenError, KubernetesError, NodeEvent
from tests.agent.publish.publishing import NODE
from tests.agent.publish.support import Agent, answer, count, driven, in_virtual_time, unavailable
from tests.core.examples import FULL, MOVED
from tests.support.records import logged

pytestmark = in_virtual_time


@dataclass
class FakeEvents:
    """Events by name."""

    created: dict[str, NodeEvent] = field(default_factory=dict)
    counts: dict[str, list[int]] = field(default_factory=dict)
    outage: KubernetesError | None = None

    async def create(self, event: NodeEvent) -> bool:
        """Keep it, unless there is one of that name."""
        if self.outage is not None:
            raise self.outage
        return self.created.setdefault(event.name, event) is event

    async def repeat(self, name: str, *, count: int, at: datetime) -> bool:
        """Count it again, unless it is forgotten."""
        assert at.tzinfo is UTC
        if name in self.created:
            self.counts.setdefault(name, []).append(count)
        return name in self.created


@dataclass
class Telling:
    """An agent that sends Events about one Node."""

    events: FakeEvents = field(default_factory=FakeEvents)
    agent: Agent = field(default_factory=Agent)

    def loop(self) -> PublishLoop:
        """A publisher that has told nothing, and its frame."""
        event_policy = EventPolicy(splay=30, fault_after=900)
        return self.agent.loop(
            EventPublisher(self.events, NODE, event_policy=event_policy, runtime=self.agent.runtime)
        )


async def test_change_is_sent_within_the_splay(caplog: pytest.LogCaptureFixture) -> None:
    """A change becomes an Event after a random part of the splay, is counted and is logged."""
    caplog.set_level(logging.INFO)
    telling = Telling()
    telling.agent.see(answer(FULL))
    async with driven(telling.loop()):
        await asyncio.sleep(5)
        telling.agent.see(answer(MOVED))
        await asyncio.sleep(14)
        assert not telling.events.created
        await asyncio.sleep(2)
    (event,) = telling.events.created.values()
    assert (event.node, event.reason, event.warning) == (NODE, "OutboundIPsChanged", False)
    assert count(telling.agent, "events", "written") == 1
    (line,) = logged(caplog, "event-sent")
    assert line["note"] == event.note == "outbound IPs changed from 52.1.1.1 to 52.2.2.2"


async def test_refusal_delays_and_loses_nothing() -> None:
    """While the API server refuses, the Event waits, and comes when it is allowed."""
    telling = Telling()
    telling.agent.see(answer(FULL))
    telling.events.outage = ForbiddenError("not allowed")
    async with driven(telling.loop()):
        await asyncio.sleep(5)
        telling.agent.see(answer(MOVED))
        await asyncio.sleep(2000)
        assert count(telling.agent, "events", "failed") > 1
        telling.events.outage = None
        await asyncio.sleep(400)
    assert len(telling.events.created) == 1


async def test_fault_that_lasts_is_a_series() -> None:
    """A fault that goes on is the same Event, counted again."""
    telling = Telling()
    telling.agent.see(unavailable())
    async with driven(telling.loop()):
        await asyncio.sleep(5000)
    assert list(telling.events.counts.values()) == [[2, 3]]


async def test_forgotten_event_is_made_anew() -> None:
    """A series that the API server has forgotten goes on as a new Event."""
    telling = Telling()
    telling.agent.see(unavailable())
    async with driven(telling.loop()):
        await asyncio.sleep(1000)
        telling.events.created.clear()
        await asyncio.sleep(2000)
    assert len(telling.events.created) == 1


async def test_restarts_do_not_repeat_an_event() -> None:
    """An agent that is restarted again and again tells a reason once in a window of 10 minutes."""
    telling = Telling()
    for document in (FULL, MOVED) * 3:
        telling.agent.see(answer(FULL))
        async with driven(telling.loop()):
            await asyncio.sleep(1)
            telling.agent.see(answer(document))
            await asyncio.sleep(20)
    assert len(telling.events.created) == 1


def test_name_is_that_of_an_object() -> None:
    """The name of an Event fits an object's name, whatever the Node is called."""
    name = event_name(f"{'a' * 199}.{'b' * 50}", "PublicIPsChanged", datetime(2026, 1, 2, tzinfo=UTC))
    assert len(name) <= 253
    assert ".." not in name
    assert name.islower()
