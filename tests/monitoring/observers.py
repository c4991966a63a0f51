"""A node whose egress probes answer what a test says: the agent's own observer and metrics, no sockets."""

from collections.abc import Iterator, Sequence
from itertools import cycle

from prometheus_client import generate_latest

from sidecar.agent.egress_observer import EgressObserver
from sidecar.core.addresses import IPAddress, parse_address
from sidecar.core.egress import Observation, RoundPolicy, declared_networks
from sidecar.core.probes import Flow, FlowFailure, Probe, parse_probe
from sidecar.core.state import Snapshot, State, observe
from sidecar.latest import Watch
from sidecar.runtime import Runtime
from tests.support.states import POLICY, answer, body, pair

PROBE = parse_probe("stun:203.0.113.10")
CONFIGURED = "20.1.2.1"
"""The frontend of the node's outbound rule."""

_FLOWS = 4


class _ScriptedProber:
    """Gives the answers of a round."""

    def __init__(self) -> None:
        self.answers: Iterator[IPAddress | FlowFailure] = cycle(())

    async def resolve(self, probe: Probe) -> Sequence[IPAddress] | Flow:
        """The probe is an address."""
        assert probe.address is not None
        return [probe.address]

    async def ask(self, probe: Probe, address: IPAddress) -> Flow:
        """One of the answers after the other."""
        assert address == probe.address
        said = next(self.answers)
        if isinstance(said, FlowFailure):
            return Flow(probe=probe, family=4, failure=said)
        return Flow(probe=probe, family=4, address=said)


class ObservedNode:
    """What the agent of a node with a probe knows and prints; its rounds come when the test says."""

    def __init__(self) -> None:
        self._runtime = Runtime()
        now = self._runtime.clock()
        state = observe(
            State(started=now, observation=Observation((PROBE,))),
            answer(body(outbound=[pair(CONFIGURED)])),
            now,
            POLICY,
        )
        self._latest = Watch(Snapshot.of(state, now, POLICY))
        self._runtime.metrics.watch(self._latest, self._runtime.clock)
        self._prober = _ScriptedProber()
        self._observer = EgressObserver(
            self._prober,
            self._latest,
            round_policy=RoundPolicy(interval=600.0, flows=_FLOWS, keep=86_400.0),
            policy=POLICY,
            runtime=self._runtime,
        )

    async def round(self, *says: str | FlowFailure) -> None:
        """Ask the probe once, which answers with these addresses in turn, or not.

        While all agree there is one connection: what is new comes first.
        """
        self._prober.answers = cycle(
            [one if isinstance(one, FlowFailure) else parse_address(one) for one in says]
        )
        await self._observer.round()

    def declare(self, *networks: str) -> None:
        """Publish these networks from now on, as the next agent does that is started with them."""
        now = self._runtime.clock()
        before = self._latest.value.state
        state = State(
            started=before.started,
            declared=declared_networks(networks),
            observation=before.observation,
        )
        state = observe(state, answer(body(outbound=[pair(CONFIGURED)])), now, POLICY)
        self._latest.set(Snapshot.of(state, now, POLICY))

    def exposition(self) -> str:
        """What it prints now."""
        return generate_latest(self._runtime.metrics.registry).decode()
