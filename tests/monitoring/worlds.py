"""Agents on some nodes, what they ask, and a Prometheus that scrapes them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from sidecar.simulator import Serving, Simulator, parse_scenario, serve
from tests.chart.helm import NAMESPACE, RELEASE, Value
from tests.monitoring.observers import ObservedNode
from tests.monitoring.prometheus import Prometheus, alert_rules, running
from tests.support.agent import AgentProcess, agent_running
from tests.support.program import Settings
from tests.support.waiting import until
from tests.support.web_server import web_server

NODES = tuple(f"aks-nodepool1-12345678-vmss00000{number}" for number in range(5))

SETTINGS: Settings = {
    "annotations": False,
    "poll_interval": "200ms",
    "stale_after": "2s",
    "absent_after": "1s",
}
"""Slow enough that a busy machine does not make data stale, fast enough to wait for."""

SECONDS_FOR_MINUTES: Mapping[str, Value] = {
    "prometheusRule.changedWithinSeconds": 3,
    **{
        f"prometheusRule.for.{name}": "1s"
        for name in (
            "noReadyAgent",
            "noAnswer",
            "stale",
            "fewerInboundRules",
            "notPublished",
            "annotationsOmitted",
            "egressUnlisted",
            "egressLost",
        )
    },
}
"""Values of the chart under which alerts come and go in seconds."""


@dataclass
class World:
    """What a test sets up."""

    prometheus: Prometheus
    directory: Path
    agents: dict[str, AgentProcess] = field(default_factory=dict)
    """By node."""
    observed: dict[str, ObservedNode] = field(default_factory=dict)
    """The same of nodes whose egress probes answer what the test says."""
    kube_state_url: str = ""
    """Of the stand-in for kube-state-metrics, if there is one."""
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def service(self, scenario: str = "rateLimit: false") -> Serving:
        """A metadata service of its own."""
        return await self.stack.enter_async_context(serve(Simulator(parse_scenario(scenario))))

    async def agent(
        self, service: Serving, node: str = NODES[0], **settings: str | bool | None
    ) -> AgentProcess:
        """An agent on a node, which is scraped as the chart's monitors have it."""
        own: Settings = {**SETTINGS, "imds_endpoint": service.url, "node_name": node}
        agent = await self.stack.enter_async_context(agent_running(self.directory, **{**own, **settings}))
        self.agents[node] = agent
        self.prometheus.scrape(agent.admin_url, **labels_of(node))
        return agent

    async def observer(self, node: str = NODES[0]) -> ObservedNode:
        """A node with an egress probe, which is scraped as agents are."""
        observed = ObservedNode()

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(text=observed.exposition())

        url = await self.stack.enter_async_context(web_server(web.get("/metrics", metrics)))
        self.observed[node] = observed
        self.prometheus.scrape(url, **labels_of(node))
        return observed

    async def kube_state(self) -> None:
        """A stand-in for kube-state-metrics, which has a Node and a pod for each agent.

        Real ones watch the API server, whose word on readiness is the kubelet's; this one asks the
        agents' probe itself.
        """
        self.kube_state_url = await self.stack.enter_async_context(web_server(_kube_state(self.agents)))
        self.prometheus.scrape(self.kube_state_url, component="kube-state-metrics")

    async def scraped(self) -> None:
        """Wait until every agent has been scraped."""
        count = str(len(self.agents) + len(self.observed))

        async def up() -> str:
            found = await self.prometheus.query("count(azure_lb_metadata_build_info)")
            return str(found[0]["value"][1]) if found else ""

        await until(up, lambda value: value == count)

    async def exposition(self) -> dict[str, str]:
        """What every agent prints now, by node."""
        printed = {node: (await agent.admin("/metrics")).text for node, agent in self.agents.items()}
        return printed | {node: observed.exposition() for node, observed in self.observed.items()}


def labels_of(node: str) -> dict[str, str]:
    """The labels that the Prometheus operator and the chart's monitors add."""
    return {"node": node, "namespace": NAMESPACE, "pod": f"{RELEASE}-{node[-6:]}"}


def _kube_state(agents: Mapping[str, AgentProcess]) -> web.RouteDef:
    async def metrics(_: web.Request) -> web.Response:
        lines = []
        for node, agent in agents.items():
            ready = agent.program.runs and (await agent.admin("/readyz")).status == 200
            lines += _kube_state_of(node, ready=ready)
        lines += _windows_node()
        return web.Response(text="\n".join(lines) + "\n")

    return web.get("/metrics", metrics)


def _kube_state_of(node: str, *, ready: bool) -> list[str]:
    """Series as kube-state-metrics documents them (docs/metrics/cluster/node-metrics.md and so on)."""
    pod = labels_of(node)["pod"]
    of_pod = f'namespace="{NAMESPACE}",pod="{pod}"'
    return [
        f'kube_node_info{{node="{node}",os_image="Ubuntu 22.04.5 LTS"}} 1',
        f'kube_node_status_condition{{node="{node}",condition="Ready",status="true"}} 1',
        f'kube_pod_info{{{of_pod},node="{node}",created_by_kind="DaemonSet",created_by_name="{RELEASE}"}} 1',
        f'kube_pod_status_ready{{{of_pod},condition="true"}} {int(ready)}',
        f'kube_pod_status_ready{{{of_pod},condition="false"}} {int(not ready)}',
    ]


def _windows_node() -> list[str]:
    """Windows and virtual nodes get no agent, and must not be missed one."""
    return [
        'kube_node_info{node="aksnpwin000000",os_image="Windows Server 2022 Datacenter"} 1',
        'kube_node_status_condition{node="aksnpwin000000",condition="Ready",status="true"} 1',
        'kube_node_info{node="virtual-node-aci-linux",os_image=""} 1',
        'kube_node_status_condition{node="virtual-node-aci-linux",condition="Ready",status="true"} 1',
    ]


@asynccontextmanager
async def world_of(
    directory: Path, *, values: Mapping[str, Value] = SECONDS_FOR_MINUTES
) -> AsyncIterator[World]:
    """An empty world with the chart's alerts, for the length of the block."""
    rules = alert_rules(values)
    async with running(directory / "prometheus", rules=rules) as prometheus:
        world = World(prometheus, directory)
        async with world.stack:
            yield world
