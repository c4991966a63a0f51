"""What rounds of egress probes cost the API server, counted for one agent: what 1,000 of them multiply."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

from sidecar.agent.egress_observer import EgressObserver
from sidecar.core.addresses import IPAddress
from sidecar.core.egress import Observation, RoundPolicy
from sidecar.core.probes import Flow, Probe, parse_probe
from sidecar.core.state import Snapshot
from tests.agent.publish.publishing import NODE, Publishing
from tests.agent.publish.support import driven, in_virtual_time, loop_clock
from tests.core.examples import FULL
from tests.support.defaults import default
from tests.support.fake_nodes import Call
from tests.support.states import POLICY

pytestmark = in_virtual_time

PROBES = tuple(map(parse_probe, ("stun:stun.example.org", "https://echo.example.org/ip")))
CONFIGURED, OTHER = "20.1.2.3", "20.9.9.9"
"""The egress address of ``FULL``, and one that is not published."""
HOUR, DAY = 3600.0, 86_400.0


class Outside:
    """Servers that see connections come from one address after the other."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._addresses: Iterator[str] = iter(addresses)
        self.flows = 0

    async def resolve(self, _: Probe) -> Sequence[IPAddress]:
        """One server, over IPv4."""
        return [ip_address("198.51.100.1")]

    async def ask(self, probe: Probe, _: IPAddress) -> Flow:
        """One connection."""
        self.flows += 1
        return Flow(probe=probe, family=4, address=ip_address(next(self._addresses)))


async def calls_of_a_day(outside: Outside | None, *, heartbeat: float = 0.0) -> list[Call]:
    """What the API server is asked from ten minutes after the start on; ``None``: no probes."""
    publishing = Publishing(heartbeat_interval=heartbeat)
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        rounds = asyncio.create_task(observer(publishing, outside).run()) if outside else None
        await publishing.answered(FULL, until=600)
        settled = len(publishing.nodes.calls)
        await publishing.answered(FULL, until=DAY, every=60)
        if rounds is not None:
            rounds.cancel()
            await asyncio.wait([rounds])
    return publishing.nodes.calls[settled:]


def observer(publishing: Publishing, outside: Outside) -> EgressObserver:
    """Of the agent that publishes; its settings are the defaults."""
    agent = publishing.agent
    state = replace(agent.latest.value.state, observation=Observation(PROBES))
    agent.latest.set(Snapshot.of(state, loop_clock(), POLICY))
    policy = RoundPolicy(
        interval=default("egress_probe_interval"),
        flows=int(default("egress_probe_flows")),
        keep=default("egress_probe_keep"),
    )
    return EgressObserver(outside, agent.latest, round_policy=policy, policy=POLICY, runtime=agent.runtime)


def writes(calls: Iterable[Call]) -> list[Call]:
    """The writes among calls."""
    return [call for call in calls if call.method == "apply"]


async def both(outside: Outside, *, heartbeat: float = 0.0) -> tuple[list[Call], list[Call]]:
    """What an agent with probes asks in a day, and what one without them does in the same."""
    with_probes, without = await asyncio.gather(
        calls_of_a_day(outside, heartbeat=heartbeat), calls_of_a_day(None, heartbeat=heartbeat)
    )
    # Each looks after its Node so and so long after its last write: one more may fall into the day.
    assert len(with_probes) <= len(without) + 1
    return with_probes, without


async def test_same_answer_costs_nothing() -> None:
    """A day of rounds that bring the same address is no write, and no more requests than without probes."""
    outside = Outside(itertools.repeat(CONFIGURED))
    with_probes, _ = await both(outside)
    assert outside.flows > 250
    assert writes(with_probes) == []


async def test_unlisted_costs_nothing() -> None:
    """Nor is one where the rounds bring two addresses in turn, one of which is not published."""
    outside = Outside(itertools.cycle([CONFIGURED, OTHER]))
    with_probes, _ = await both(outside)
    assert outside.flows > 1000
    assert writes(with_probes) == []


async def test_heartbeats_are_as_many() -> None:
    """With the heartbeat there are as many writes as without probes: one an hour."""
    with_probes, without = await both(Outside(itertools.repeat(CONFIGURED)), heartbeat=HOUR)
    assert 23 <= len(writes(with_probes)) <= 24
    assert 23 <= len(writes(without)) <= 24
