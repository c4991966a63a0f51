"""The egress observer: asks the probes in rounds, and adds what they saw to the state.

How many connections a probe gets and what follows from the answers is decided in
:mod:`sidecar.core.egress`; here it is done. Loaded only where there is a probe.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from sidecar.core.addresses import IPAddress
from sidecar.core.egress import EgressState, RoundPolicy
from sidecar.core.probes import Flow, Probe
from sidecar.core.state import Policy, Snapshot
from sidecar.latest import Watch
from sidecar.logs import log
from sidecar.runtime import Runtime

_logger = logging.getLogger(__name__)

_FIRST_WITHIN = 10.0
"""Seconds from the start to the first round: agents that start together do not ask together."""

_LOGGED = 8
"""How many connections that failed a log line names."""

_LONGEST_FLOW = 4.0
"""Seconds of one connection to a probe, or one resolution of its name, with something to spare."""


class ProbeClient(Protocol):
    """Who makes the connections: see :mod:`sidecar.sources.probing`."""

    async def resolve(self, probe: Probe) -> Sequence[IPAddress] | Flow:
        """An address to ask in each family of a probe's host; or why there is none."""
        ...

    async def ask(self, probe: Probe, address: IPAddress) -> Flow:
        """One connection from a fresh port, and what it brought."""
        ...


class EgressObserver:
    """Keeps ``latest`` informed of where connections are seen to come from."""

    def __init__(
        self,
        prober: ProbeClient,
        latest: Watch[Snapshot],
        *,
        round_policy: RoundPolicy,
        policy: Policy,
        runtime: Runtime,
    ) -> None:
        self._prober = prober
        self._latest = latest
        self._round_policy = round_policy
        self._policy = policy
        self._runtime = runtime
        self._clock = runtime.clock
        self._metrics = runtime.metrics
        self._reported: EgressState | None = None
        """The state that the log last named."""

    async def run(self) -> None:
        """Make rounds until cancelled."""
        at = self._clock().mono + _FIRST_WITHIN * self._runtime.random()
        while True:
            await self._runtime.liveness.sleep_until("egress", at)
            started = self._clock().mono
            self._runtime.liveness.expect("egress", at=started + self._longest_round)
            await self.round()
            at = self._round_policy.next_at(started, self._clock().mono, fraction=self._runtime.random())

    @property
    def _longest_round(self) -> float:
        return (2 * self._round_policy.flows + 1) * _LONGEST_FLOW

    async def round(self) -> None:
        """Ask every probe, all at the same time, over each of its families, and note what they saw."""
        probes = self._latest.value.state.observation.probes
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._flows(probe)) for probe in probes]
        flows = [flow for task in asked for flow in task.result()]
        before = self._latest.value.state
        now = self._clock()
        after = replace(
            before, observation=before.observation.after_round(flows, now=now, keep=self._round_policy.keep)
        )
        self._latest.set(Snapshot.of(after, now, self._policy))
        published = after.published_egress
        for address in after.observation.addresses:
            if address not in before.observation.addresses:
                listed = None if published is None else published.lists(address)
                self._metrics.egress_new_addresses.labels(family=f"ipv{address.version}").inc()
                log(
                    _logger,
                    logging.WARNING if listed is False else logging.INFO,
                    "egress-address-seen",
                    address=address,
                    listed=listed,
                    probe=next(one.probe for one in after.observation.sightings if one.address == address),
                )
        state = after.shared_egress.state
        if state is not self._reported:
            good = state in {EgressState.AGREES, EgressState.OFF}
            level = logging.INFO if good else logging.WARNING
            failed = [
                f"{flow.probe} {flow.failure} ({flow.detail})" for flow in flows if flow.failure is not None
            ]
            log(
                _logger,
                level,
                "egress-state-changed",
                before=self._reported,
                state=state,
                observed=",".join(map(str, after.observation.addresses)) or None,
                published=None
                if published is None
                else ",".join(map(str, (*published.networks, *published.addresses))) or None,
                failed="; ".join(failed[:_LOGGED]) or None,
            )
            self._reported = state

    async def _flows(self, probe: Probe) -> list[Flow]:
        """All connections of one round to one probe."""
        known = self._latest.value.state.observation
        return await flows_to(
            self._prober,
            probe,
            enough=lambda flows: self._round_policy.enough(known, flows),
            note=self._counted,
        )

    def _counted(self, flow: Flow) -> None:
        result = flow.failure or ("inside" if flow.inside else "answered")
        labels = {"transport": flow.probe.transport, "family": f"ipv{flow.family}", "result": result}
        self._metrics.egress_flows.labels(**labels).inc()


async def flows_to(
    prober: ProbeClient,
    probe: Probe,
    *,
    enough: Callable[[Sequence[Flow]], bool],
    note: Callable[[Flow], object],
) -> list[Flow]:
    """Ask a probe over each of its families, one connection after the other.

    Args:
        prober: Who makes the connections.
        probe: Whom to ask.
        enough: Whether these flows over one family are enough.
        note: Called with each flow when it has ended.
    """
    resolved = await prober.resolve(probe)
    if isinstance(resolved, Flow):
        note(resolved)
        return [resolved]
    flows = []
    for address in resolved:
        of_family: list[Flow] = []
        while not enough(of_family):
            of_family.append(await prober.ask(probe, address))
            note(of_family[-1])
        flows += of_family
    return flows
