"""Rounds of egress probes in virtual time: who is asked how often, what is concluded, logged, counted."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from sidecar.agent.egress_observer import EgressObserver
from sidecar.core.addresses import IPAddress
from sidecar.core.egress import EgressState, Observation, RoundPolicy, declared_networks
from sidecar.core.probes import Flow, FlowFailure, Probe, parse_probe
from sidecar.core.state import Policy, Snapshot, State, observe
from sidecar.latest import Watch
from sidecar.metrics import Metrics
from sidecar.runtime import Runtime
from tests.core.examples import FULL, answer
from tests.support.fakes import virtual_now
from tests.support.records import logged

pytestmark = pytest.mark.looptime(start=1000)

UDP, TCP, HTTPS = map(
    parse_probe, ("stun:stun.example.org", "stun+tcp:stun.example.org", "https://echo.example.org/ip")
)
POLICY = Policy(stale_after=300.0, absent_after=300.0)
CONFIGURED = "20.1.2.3"
"""The egress address of ``FULL``."""
DAY = 86_400.0

Seen = str | FlowFailure


@dataclass
class Outside:
    """Servers elsewhere, and the translation on the way to them."""

    translate: Callable[[Probe, int], Seen]
    """What a connection to a probe over a family brings."""
    families: Sequence[int] = (4,)
    unknown: set[Probe] = field(default_factory=set)
    asked: list[tuple[float, Probe, int]] = field(default_factory=list)
    """When, whom, over which family."""

    async def resolve(self, probe: Probe) -> Sequence[IPAddress] | Flow:
        """The families, or no such name."""
        if probe in self.unknown:
            return Flow(probe=probe, family=4, failure=FlowFailure.UNKNOWN_NAME, detail="no such name")
        return [ip_address("198.51.100.1" if family == 4 else "2001:db8::1") for family in self.families]

    async def ask(self, probe: Probe, address: IPAddress) -> Flow:
        """One connection."""
        family = address.version
        self.asked.append((asyncio.get_running_loop().time(), probe, family))
        seen = self.translate(probe, family)
        own = ip_address("10.224.0.4" if family == 4 else "fd00::4")
        if isinstance(seen, FlowFailure):
            await asyncio.sleep(3.0)
            return Flow(probe=probe, family=family, own=own, failure=seen, detail="3 s")
        return Flow(probe=probe, family=family, own=own, address=ip_address(seen))


@dataclass
class Observing:
    """An observer and what it works with."""

    observer: EgressObserver
    latest: Watch[Snapshot]
    runtime: Runtime

    @property
    def state(self) -> EgressState:
        """The newest state of egress."""
        return self.latest.value.state.shared_egress.state

    @property
    def observed(self) -> list[str]:
        """The addresses that are observed."""
        return list(map(str, self.latest.value.state.shared_egress.observed))

    def count(self, name: str, **labels: str) -> float | None:
        """A sample of the metrics, without the prefix of its name."""
        return self.runtime.metrics.registry.get_sample_value(f"azure_lb_metadata_{name}", labels)

    async def run(self, seconds: float) -> None:
        """Let the loop run for so long."""
        task = asyncio.create_task(self.observer.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


def observing(
    outside: Outside, *probes: Probe, declared: Sequence[str] = (), fraction: float = 0.5, flows: int = 5
) -> Observing:
    """An agent that has an answer of the metadata service and these probes."""
    metrics = Metrics()
    runtime = Runtime(clock=virtual_now, random=lambda: fraction, metrics=metrics)
    now = virtual_now()
    state = State(
        started=now, declared=declared_networks(declared), observation=Observation(probes or (UDP,))
    )
    latest = Watch(Snapshot.of(observe(state, answer(FULL), now, POLICY), now, POLICY))
    metrics.watch(latest, virtual_now, addresses=True)
    rounds = RoundPolicy(interval=600.0, flows=flows, keep=DAY)
    observer = EgressObserver(outside, latest, round_policy=rounds, policy=POLICY, runtime=runtime)
    return Observing(observer, latest, runtime)


def one(address: str) -> Callable[[Probe, int], Seen]:
    """A translation to one address."""
    return lambda *_: address


async def test_first_round() -> None:
    """The first round comes within 10 s of the start, and settles the state."""
    outside = Outside(one(CONFIGURED))
    late = observing(outside, fraction=1.0)
    await late.run(9.9)
    assert (outside.asked, late.state) == ([], EgressState.OFF)

    await late.run(10.1)
    assert (late.state, late.observed) == (EgressState.AGREES, [CONFIGURED])


async def test_one_address() -> None:
    """The first round looks five times; after that one connection is enough as long as it brings the same."""
    outside = Outside(one(CONFIGURED))
    await observing(outside).run(3000)

    times = [round(at - 1000) for at, _, _ in outside.asked]
    assert times == [5, 5, 5, 5, 5, 605, 1205, 1805, 2405]


async def test_another_address() -> None:
    """An address that differs is looked at five times, and so is each round while there are two."""
    outside = Outside(one(CONFIGURED))
    agent = observing(outside)
    await agent.run(10)
    outside.translate = one("20.9.9.9")
    del outside.asked[:]
    await agent.observer.round()
    await agent.observer.round()

    assert len(outside.asked) == 10
    assert (agent.state, agent.observed) == (EgressState.UNLISTED, [CONFIGURED, "20.9.9.9"])


async def test_requests_of_a_day() -> None:
    """In 24 hours a probe is asked at most five times in each of 181 rounds, over each family."""
    dice = random.Random(1)
    outside = Outside(lambda *_: dice.choice(["20.1.2.3", "20.1.2.4", "20.1.2.5"]), families=(4,))
    await observing(outside, fraction=0.0).run(DAY)

    rounds = {at for at, _, _ in outside.asked}
    assert len(rounds) == 180  # Every 480 s, the shortest that 10 minutes ±20 % can be.
    assert len(outside.asked) == 5 * len(rounds)


async def test_four_addresses() -> None:
    """Of four addresses at random, 30 connections see all in at least 99 of 100 runs."""
    complete = 0
    for seed in range(100):
        dice = random.Random(seed)
        outside = Outside(lambda *_, dice=dice: dice.choice(["20.1.2.0", "20.1.2.1", "20.1.2.2", "20.1.2.3"]))
        agent = observing(outside, declared=["20.1.2.0/30"])
        while len(outside.asked) <= 25:
            await agent.observer.round()
        assert len(outside.asked) <= 30
        assert agent.state is EgressState.AGREES
        complete += len(agent.observed) == 4
    assert complete >= 99


async def test_declared_three_of_four() -> None:
    """With three of four addresses declared, the fourth is unlisted within two rounds."""
    dice = random.Random(4)
    outside = Outside(lambda *_: dice.choice(["20.1.2.0", "20.1.2.1", "20.1.2.2", "20.1.2.3"]))
    agent = observing(outside, declared=["20.1.2.0/31", "20.1.2.2/32"])
    await agent.observer.round()
    await agent.observer.round()

    assert agent.state is EgressState.UNLISTED


async def test_transports_apart() -> None:
    """Each probe keeps what it saw, and one address that is not listed decides the state."""
    by_probe = {UDP: CONFIGURED, TCP: "20.9.9.9", HTTPS: CONFIGURED}
    agent = observing(Outside(lambda probe, _: by_probe[probe]), UDP, TCP, HTTPS)
    await agent.observer.round()

    seen = {(str(one.address), str(one.probe)) for one in agent.latest.value.state.observation.sightings}
    assert seen == {(by_probe[probe], str(probe)) for probe in by_probe}
    assert agent.state is EgressState.UNLISTED


async def test_both_families() -> None:
    """A probe with addresses of both families is asked over both."""
    outside = Outside(lambda _, family: CONFIGURED if family == 4 else "2603:1030::5", families=(4, 6))
    agent = observing(outside, declared=["2603:1030::/124"])
    await agent.observer.round()

    assert agent.observed == [CONFIGURED, "2603:1030::5"]
    assert agent.state is EgressState.AGREES


async def test_inside() -> None:
    """A private address comes back: the probe is on this side of the translation, and nothing is observed."""
    agent = observing(Outside(one("10.224.0.4")))
    await agent.observer.round()

    assert (agent.state, agent.observed) == (EgressState.INSIDE, [])
    assert agent.count("egress_flows_total", transport="udp", family="ipv4", result="inside") == 5


async def test_one_probe_inside() -> None:
    """Where another probe sees a public address, that one counts."""
    outside = Outside(lambda probe, _: "10.224.0.4" if probe is UDP else CONFIGURED)
    agent = observing(outside, UDP, TCP)
    await agent.observer.round()

    assert (agent.state, agent.observed) == (EgressState.AGREES, [CONFIGURED])


async def test_lost_round(caplog: pytest.LogCaptureFixture) -> None:
    """One round without an answer changes nothing, the second makes the state "unanswered"."""
    outside = Outside(one(CONFIGURED))
    agent = observing(outside)
    await agent.observer.round()
    outside.translate = lambda *_: FlowFailure.NO_ANSWER
    await agent.observer.round()
    assert agent.state is EgressState.AGREES

    await agent.observer.round()
    assert (agent.state, agent.observed) == (EgressState.UNANSWERED, [CONFIGURED])
    change = logged(caplog, "egress-state-changed")[-1]
    assert (change["before"], change["state"]) == ("agrees", "unanswered")
    assert change["failed"] == "stun:stun.example.org:3478 no-answer (3 s)"

    outside.translate = one(CONFIGURED)
    await agent.observer.round()
    assert agent.state is EgressState.AGREES


async def test_failed_connections() -> None:
    """A connection that failed is not repeated in its round: it took its time already."""
    outside = Outside(lambda *_: FlowFailure.REFUSED)
    agent = observing(outside)
    await agent.observer.round()

    assert len(outside.asked) == 1
    assert agent.count("egress_flows_total", transport="udp", family="ipv4", result="refused") == 1


async def test_unknown_name() -> None:
    """A name that is not found is noted, and the other probes are asked."""
    outside = Outside(one(CONFIGURED), unknown={HTTPS})
    agent = observing(outside, UDP, HTTPS)
    await agent.observer.round()

    assert agent.state is EgressState.AGREES
    flows = agent.latest.value.state.observation.last_round
    assert [flow.failure for flow in flows if flow.probe == HTTPS] == [FlowFailure.UNKNOWN_NAME]


async def test_forgotten() -> None:
    """An address that no connection came from for a day is not observed any more."""
    outside = Outside(one("20.9.9.9"))
    agent = observing(outside)
    await agent.run(10)
    outside.translate = one(CONFIGURED)
    await agent.run(DAY - 700)
    assert agent.state is EgressState.UNLISTED

    await agent.run(1400)
    assert (agent.state, agent.observed) == (EgressState.AGREES, [CONFIGURED])


async def test_answer_during_a_round() -> None:
    """A document that arrives while the probes are asked is kept."""
    outside = Outside(lambda *_: FlowFailure.NO_ANSWER)
    agent = observing(outside)
    task = asyncio.create_task(agent.observer.round())
    await asyncio.sleep(1)
    state = observe(agent.latest.value.state, answer(FULL), virtual_now(), POLICY)
    agent.latest.set(Snapshot.of(state, virtual_now(), POLICY))
    await task

    assert agent.latest.value.state.attempts == state.attempts
    assert agent.latest.value.state.observation.round_at is not None


async def test_metrics() -> None:
    """State, observed addresses and new ones can be read from the metrics; the address only where wanted."""
    outside = Outside(one("20.9.9.9"))
    agent = observing(outside)
    assert agent.count("egress_state", state="off") == 1
    await agent.observer.round()
    await agent.observer.round()

    assert agent.count("egress_state", state="unlisted") == 1
    assert agent.count("egress_state", state="agrees") == 0
    assert agent.count("egress_observed_addresses", family="ipv4", listed="false") == 1
    assert agent.count("egress_observed_addresses", family="ipv4", listed="true") == 0
    assert agent.count("egress_new_addresses_total", family="ipv4") == 1
    assert agent.count("egress_flows_total", transport="udp", family="ipv4", result="answered") == 6
    assert agent.count("address_info", kind="observed", address="20.9.9.9") == 1


async def test_log(caplog: pytest.LogCaptureFixture) -> None:
    """A new address and another state are a line each; a round without news is none."""
    caplog.set_level("INFO")
    outside = Outside(one(CONFIGURED))
    agent = observing(outside)
    for _ in range(3):
        await agent.observer.round()
    assert len(logged(caplog, "egress-state-changed")) == len(logged(caplog, "egress-address-seen")) == 1

    outside.translate = one("20.9.9.9")
    await agent.observer.round()
    seen, changed = logged(caplog, "egress-address-seen")[-1], logged(caplog, "egress-state-changed")[-1]
    assert (str(seen["address"]), seen["listed"]) == ("20.9.9.9", False)
    assert (changed["before"], changed["state"], changed["observed"]) == (
        "agrees",
        "unlisted",
        "20.1.2.3,20.9.9.9",
    )


async def test_liveness() -> None:
    """A round that hangs for ever is overdue, one that merely takes its time is not."""
    gate = asyncio.Event()

    class Hanging(Outside):
        async def ask(self, *_: object) -> Flow:
            await gate.wait()
            raise AssertionError

    agent = observing(Hanging(one(CONFIGURED)))
    task = asyncio.create_task(agent.observer.run())
    await asyncio.sleep(60)
    assert agent.runtime.liveness.overdue() == []
    await asyncio.sleep(60)
    assert agent.runtime.liveness.overdue() == ["egress"]
    task.cancel()
    await asyncio.wait([task])
