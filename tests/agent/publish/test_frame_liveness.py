"""A publisher that hangs is missed."""

import asyncio

from sidecar.core.outcome import NONE
from tests.agent.publish.support import Agent, ScriptedPublisher, driven, in_virtual_time
from tests.support.faults import Origin, Promise, fault

pytestmark = in_virtual_time


@fault(
    Origin.NODE,
    "A publisher hangs in its turn",
    Promise(
        served="Everything until kubelet starts the agent anew: after 30 s `/livez` names the publisher.",
        annotated="What stands there stays.",
        logged="Nothing.",
        recovery="With the next start.",
    ),
)
async def test_turn_that_hangs_without_having_been_due_is_overdue() -> None:
    """A turn that a change brought about, or the start, is missed 30 s after it began if it hangs."""
    agent, publisher = Agent(), ScriptedPublisher()
    overdue = agent.runtime.liveness.overdue
    async with driven(agent.loop(publisher)):
        await asyncio.sleep(86_400)
        assert overdue() == []
        publisher.duration = 1000
        agent.see(NONE)
        await asyncio.sleep(29)
        assert overdue() == []
        await asyncio.sleep(2)
        assert overdue() == ["scripted"]
        publisher.duration = 0
        await asyncio.sleep(1000)
        assert overdue() == []
    other = ScriptedPublisher(duration=1000)
    async with driven(agent.loop(other)):
        await asyncio.sleep(31)
        assert overdue() == ["scripted"]
