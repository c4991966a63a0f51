"""The chart's alerts about egress in a real Prometheus, which scrapes agents behind real translation."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chart.conftest import found
from tests.monitoring import prometheus
from tests.monitoring.worlds import SECONDS_FOR_MINUTES, labels_of
from tests.support.requirements import leave_out
from tests.support.waiting import until
from tests.translation import servers
from tests.translation.agents import TCP, UDP, agent_on_node, translate
from tests.translation.network import ONE, TRANSLATED, Network, everything

UNLISTED, LOST = "AzureLBMetadataEgressUnlisted", "AzureLBMetadataEgressLost"
BY_UDP, BY_TCP = "by-udp", "by-tcp"
"""Two nodes, one with a probe over UDP and one over TCP."""


@pytest.fixture
def programs() -> None:
    """Prometheus, and Helm to render the rules with."""
    if reason := prometheus.missing():
        leave_out(f"{reason}; enable with: {prometheus.ENABLE_COMMAND}")
    found("helm")


@pytest.mark.usefixtures("programs", "stun_server")
async def test_alerts(network: Network, tmp_path: Path) -> None:
    """A node whose transport is dropped while another's is not is lost, and both are unlisted by a change."""
    outbound = [addresses[0] for addresses in TRANSLATED.values()]
    rules = prometheus.alert_rules(SECONDS_FOR_MINUTES)
    with servers.metadata_service(network, outbound=outbound):
        async with (
            prometheus.running(tmp_path / "prometheus", rules=rules) as world,
            agent_on_node(network, tmp_path, settings(BY_UDP, UDP)) as by_udp,
            agent_on_node(network, tmp_path, settings(BY_TCP, TCP)) as by_tcp,
        ):
            for node, agent in ((BY_UDP, by_udp), (BY_TCP, by_tcp)):
                world.scrape(agent.admin_url, **labels_of(node))

            async def states() -> dict[str, str]:
                series = await world.query("azure_lb_metadata_egress_state == 1")
                return {one["metric"]["node"]: one["metric"]["state"] for one in series}

            async def firing() -> dict[str, set[str]]:
                return {
                    alert: {one.labels["node"] for one in await world.firing(alert)}
                    for alert in (UNLISTED, LOST)
                }

            async def until_firing(*, unlisted: set[str], lost: set[str]) -> None:
                await until(firing, lambda nodes: nodes == {UNLISTED: unlisted, LOST: lost})

            await until(states, lambda nodes: nodes == {BY_UDP: "agrees", BY_TCP: "agrees"})
            await until_firing(unlisted=set(), lost=set())

            await translate(
                network, **{f"ipv{family}": replace(way, udp=None) for family, way in ONE.items()}
            )
            await until_firing(unlisted=set(), lost={BY_UDP})
            (lost,) = await world.firing(LOST)
            assert "over udp and ipv" in lost.annotations["cause"]
            assert "end as no-answer" in lost.annotations["cause"]

            await translate(network)
            await until_firing(unlisted=set(), lost=set())

            await translate(network, ipv4=everything(TRANSLATED[4][1]))
            await until_firing(unlisted={BY_UDP, BY_TCP}, lost=set())
            causes = [one.annotations["cause"] for one in await world.firing(UNLISTED)]
            assert all(cause.startswith("some of the addresses") for cause in causes)


def settings(node: str, probe: str) -> dict[str, str | bool]:
    """Of an agent that annotates nothing."""
    return {"node_name": node, "annotations": False, "egress_probe": probe}
