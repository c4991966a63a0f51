"""What happens to a cluster, one scenario after another; each is measured and bounded in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.fleet.costs import IDLE
from bench.fleet.fleet import REFRESH, Fleet
from bench.fleet.meters import Cost, Meter, Quantiles, beside
from bench.fleet.pace import NODES_OF_THE_DEFAULTS, Pace
from tests.support.apiserver import ApiServer

STATUS_INTERVAL = 300.0
"""Seconds between two posts of a kubelet's node status (nodeStatusReportFrequency)."""

_STARTS_PER_SECOND = 40.0
"""Twice what kube-controller-manager's ``--kube-api-qps`` (20) lets its DaemonSet controller do."""

_FRESH_PER_SECOND = 60.0
"""Of agents between two scenarios, when nothing is measured."""

_IMDS_PACE, _FLAP_PACE, _API_PACE, _QUIET_PACE = 15.0, 30.0, 5.0, 12.0
"""How much faster time passes in an outage of the metadata service, while it comes and goes, in an outage of
the API server (which comes back to all agents at once), and in a quiet hour; with up to 1,000 nodes."""

_QUIET_SECONDS = 40.0
_FLAP = 360.0
_CHANGE_SPLAYS = 8
"""Within how many splays a change must be everywhere; two are the rule, the rest are for a slow machine."""
_OUTAGE = 300.0


@dataclass(slots=True)
class Stage:
    """Where the scenarios play."""

    server: ApiServer
    fleet: Fleet
    meter: Meter
    outputs: Path
    report: Callable[[Cost], None]
    real: Pace
    """As in a cluster."""
    services: int = 10

    @property
    def nodes(self) -> int:
        """How many there are."""
        return len(self.fleet.identities)

    def faster(self, factor: float) -> Pace:
        """Time that passes so much faster; with more than 1,000 nodes less, so that rates do not grow."""
        return Pace(max(1.0, factor * min(1.0, NODES_OF_THE_DEFAULTS / self.nodes)), self.real.write_splay)

    @property
    def starting(self) -> float:
        """Seconds that starting all agents takes."""
        return self.nodes / _STARTS_PER_SECOND

    @asynccontextmanager
    async def measured(self, scenario: str, pace: Pace | None = None) -> AsyncIterator[Cost]:
        """Measure the block, and report."""
        pace = pace or self.real
        name = scenario if pace.usual else f"{scenario}, splay {pace.write_splay:g} s"
        async with self.meter.measured(name, pace=pace.factor) as cost:
            yield cost
        self.report(cost)

    async def fresh(
        self,
        pace: Pace,
        *,
        annotate: Literal["full", "summary"] = "full",
        aged: bool = False,
    ) -> None:
        """Agents that have settled at this pace."""
        await self.fleet.stop()
        await self.fleet.start(pace, over=self.nodes / _FRESH_PER_SECOND, annotate=annotate, aged=aged)
        await self.fleet.right(within=60)

    @property
    def change_deadline(self) -> float:
        """Seconds within which a change must be on every Node."""
        return _CHANGE_SPLAYS * self.real.splay

    async def change(self, scenario: str, **news: object) -> None:
        """Measure until every Node shows what the metadata service says now."""
        async with self.measured(scenario) as cost:
            began = _time()
            self.fleet.change(**news)
            await self.until_right(cost, began, within=self.change_deadline)

    async def change_status(self, scenario: str, pace: Pace, *, reachable: bool) -> None:
        """Measure until every Node says whether the metadata service answers; ten minutes are the damping."""
        async with self.measured(scenario, pace) as cost:
            began = _time()
            self.fleet.change(reachable=reachable)
            await self.until_right(cost, began, within=pace.seconds(1500), stale=not reachable)

    async def until_right(self, cost: Cost, began: float, *, within: float, stale: bool = False) -> None:
        """Wait, and note when the Nodes became right."""
        times = await self.fleet.right(within=within, stale=stale)
        cost.right = Quantiles.of([max(0.0, at - began) for at in times])
        cost.notes["never right"] = self.nodes - len(times)


async def nobody(stage: Stage) -> None:
    """Without any agent: what kubelets, watchers and other clients are by themselves."""
    async with stage.measured(IDLE):
        await asyncio.sleep(20)


async def roll_out(stage: Stage) -> None:
    """Agents start on Nodes that have none of our annotations."""
    await stage.fleet.stop()
    async with stage.measured("first roll-out") as cost:
        began = _time()
        await stage.fleet.start(stage.real, over=stage.starting)
        await stage.until_right(cost, began, within=60)


async def restart(stage: Stage) -> None:
    """Every agent ends, and starts again."""
    await _ready(stage)
    async with stage.measured("rolling restart"):
        await stage.fleet.restart(over=stage.starting)
        await asyncio.sleep(5)


async def one_service(stage: Stage) -> None:
    """A Service of type LoadBalancer: every node has two rules more at once."""
    await _ready(stage)
    await stage.change("one Service added", services=stage.fleet.world.services + 1)


async def twenty_services(stage: Stage) -> None:
    """Twenty Services, one every 3 s."""
    await _ready(stage)
    async with stage.measured("20 Services in a minute") as cost:
        for _ in range(19):
            stage.fleet.change(services=stage.fleet.world.services + 1)
            await asyncio.sleep(3)
        began = _time()
        stage.fleet.change(services=stage.fleet.world.services + 1)
        await stage.until_right(cost, began, within=stage.change_deadline)
    await stage.fleet.stop()
    stage.fleet.world = replace(stage.fleet.world, services=stage.services)


async def egress(stage: Stage) -> None:
    """The outbound address changes on every node."""
    await _ready(stage)
    await stage.change("egress IP changed", egress=stage.fleet.world.another_egress)


async def unreachable(stage: Stage) -> None:
    """The metadata service does not answer any node, until every Node says so; then it is back."""
    pace = stage.faster(_IMDS_PACE)
    await _ready(stage, pace)
    await stage.change_status("IMDS unreachable on all nodes", pace, reachable=False)
    await stage.change_status("IMDS back on all nodes", pace, reachable=True)


async def flapping(stage: Stage) -> None:
    """The metadata service is away for 6 minutes of every 12, for an hour."""
    pace = stage.faster(_FLAP_PACE)
    await stage.fresh(pace)
    async with stage.measured("IMDS flapping every 6 minutes, 1 h", pace):
        for _ in range(5):
            stage.fleet.change(reachable=False)
            await asyncio.sleep(pace.seconds(_FLAP))
            stage.fleet.change(reachable=True)
            await asyncio.sleep(pace.seconds(_FLAP))


async def outage(stage: Stage) -> None:
    """The API server is away for 5 minutes, and every agent has something to write."""
    pace = stage.faster(_API_PACE)
    await _ready(stage, pace)
    async with stage.measured("API server away for 5 min", pace):
        await asyncio.to_thread(stage.server.kill)
        stage.fleet.change(egress=stage.fleet.world.another_egress)
        await asyncio.sleep(pace.seconds(_OUTAGE))
    async with stage.measured("API server back", pace) as cost:
        await asyncio.to_thread(stage.server.start)
        await stage.until_right(cost, _time(), within=pace.seconds(900))


async def quiet_without(stage: Stage) -> None:
    """A part of an hour without change, and without any agent."""
    with _more_kubelets(stage):
        async with stage.measured(f"quiet, {IDLE}", stage.faster(_QUIET_PACE)):
            await asyncio.sleep(_QUIET_SECONDS)


async def quiet(stage: Stage) -> None:
    """The same with agents that started long ago, in both forms of annotations."""
    pace = stage.faster(_QUIET_PACE)
    forms: tuple[Literal["full", "summary"], ...] = ("summary", "full")
    with _more_kubelets(stage):
        for form in forms:
            await stage.fresh(pace, annotate=form, aged=True)
            # A heartbeat has to wait for an answer that is newer than what was written at the start.
            await asyncio.sleep(max(pace.splay, pace.seconds(REFRESH)))
            async with stage.measured(f"quiet, {form}", pace):
                await asyncio.sleep(_QUIET_SECONDS)


def _more_kubelets(stage: Stage) -> AbstractContextManager[None]:
    """Kubelets that, with those that are always there, post as much faster as time runs."""
    rate = stage.nodes / STATUS_INTERVAL * (stage.faster(_QUIET_PACE).factor - 1)
    return beside(
        "kubelets", stage.server, nodes=stage.nodes, rate=rate, outputs=stage.outputs, name="kubelets-more"
    )


async def _ready(stage: Stage, pace: Pace | None = None) -> None:
    """Agents of this pace that have written nothing for a splay: each is free to write at once."""
    pace = pace or stage.real
    if not stage.fleet.agents or stage.fleet.pace != pace:
        await stage.fresh(pace)
    if stage.fleet.calls:
        await asyncio.sleep(stage.fleet.calls[-1].at + pace.splay - _time())


def _time() -> float:
    return asyncio.get_running_loop().time()


SCENARIOS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "nobody": nobody,
    "quiet-without": quiet_without,
    "roll-out": roll_out,
    "one-service": one_service,
    "egress": egress,
    "twenty-services": twenty_services,
    "restart": restart,
    "unreachable": unreachable,
    "flapping": flapping,
    "outage": outage,
    "quiet": quiet,
}

CHANGES = ("one-service", "egress", "twenty-services")
"""Those whose rate of writes is decided by the write splay."""
