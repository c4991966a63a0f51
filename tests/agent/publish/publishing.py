"""An agent that publishes to one Node, whose API server is a fake, in virtual time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.agent.publish_loop import PublishLoop
from sidecar.agent.publish_node import NodePublisher
from sidecar.core.annotations import Layout, annotations
from sidecar.core.document import Document
from sidecar.core.outcome import Status
from sidecar.core.state import Policy, State
from sidecar.core.writes import Schedule
from tests.agent.publish.support import Agent, answer, now
from tests.core.examples import FULL
from tests.support.defaults import default
from tests.support.fake_node import FakeNode
from tests.support.fake_nodes import FakeNodes
from tests.support.states import EPOCH, later

NODE = "aks-nodepool1-12345678-vmss000000"
LAYOUT = Layout()


@dataclass
class Publishing:
    """An agent that publishes to one Node, with the default settings unless others are given."""

    nodes: FakeNodes = field(default_factory=FakeNodes)
    layout: Layout = LAYOUT
    random: Callable[[], float] = lambda: 0.5
    staleness_jitter: float = 0.5
    heartbeat_interval: float = default("heartbeat_interval")
    agent: Agent = field(init=False)
    loop: PublishLoop = field(init=False)

    def __post_init__(self) -> None:
        """Start now."""
        self.agent = Agent(self.random)
        schedule = Schedule(
            layout=self.layout,
            policy=Policy(stale_after=default("stale_after"), absent_after=default("absent_after")),
            write_splay=default("write_splay"),
            resync_interval=default("resync_interval"),
            heartbeat_interval=self.heartbeat_interval,
            staleness_jitter=self.staleness_jitter,
        )
        self.loop = self.agent.loop(
            NodePublisher(
                self.nodes,
                NODE,
                schedule=schedule,
                on_found=self.agent.restore,
                runtime=self.agent.runtime,
            )
        )

    @property
    def node(self) -> FakeNode:
        """The Node as it is now."""
        return self.nodes.nodes[NODE]

    def times(self, method: str) -> list[float]:
        """When a call was made, in seconds since `EPOCH`."""
        return [round(at - EPOCH.mono, 3) for at in self.nodes.times(method)]

    async def wait(self, until: float) -> None:
        """Let time pass until so many seconds after `EPOCH`."""
        await asyncio.sleep(until - now())

    async def answered(self, document: Document, *, until: float, every: float = 10) -> None:
        """Let the source give this answer again and again."""
        while now() < until:
            self.agent.see(answer(document))
            await asyncio.sleep(every)


def left_by_an_earlier_run(document: Document = FULL, *, age: float = 60) -> dict[str, str]:
    """The annotations of a run whose last answer was so old at `EPOCH`."""
    observed = later(-age)
    state = State(started=observed, document=document, observed=observed, changed_at=observed.utc)
    return annotations(state, Status.OK, None, layout=LAYOUT)
