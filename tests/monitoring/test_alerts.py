"""Each alert fires in a real Prometheus that scrapes the real agent under the fault, and clears after it."""

import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import yaml

from sidecar.core.probes import FlowFailure
from sidecar.simulator import DocumentSettings, Serving
from tests.monitoring.observers import CONFIGURED
from tests.monitoring.prometheus import Alert, alert_rules, promtool
from tests.monitoring.rule_tests import Phase, rule_test
from tests.monitoring.worlds import NODES, SECONDS_FOR_MINUTES, World, world_of
from tests.support.fake_apiserver import FakeApiServer, fake_api_server, refusal
from tests.support.waiting import until

pytestmark = [pytest.mark.prometheus, pytest.mark.chart]

OTHER = "20.9.9.9"
"""An address that no node publishes by itself."""

RUNBOOKS = Path(__file__).resolve().parents[2] / "docs" / "runbooks"

Phases = AsyncIterator[bool]
"""Brings the world from one state into the next; gives whether the alert is to fire there."""


async def no_ready_agent(world: World) -> Phases:
    """An agent whose service does not answer from its start on, and then does."""
    service = await world.service()
    service.simulator.set_fault("unavailable")
    await world.agent(service)
    await world.kube_state()
    yield True
    service.simulator.clear_fault()
    yield False


async def no_answer(world: World) -> Phases:
    """A service that is throttled by others from the start on, and then is not."""
    service = await world.service()
    service.simulator.set_fault("throttled")
    await world.agent(service)
    yield True
    service.simulator.clear_fault()
    yield False


async def stale(world: World) -> Phases:
    """A service that fails after an answer, and then answers again."""
    service = await world.service()
    agent = await world.agent(service)
    await agent.until_ready()
    yield False
    service.simulator.set_fault("unavailable")
    yield True
    service.simulator.clear_fault()
    yield False


async def outbound_addresses_changed(world: World) -> Phases:
    """An outbound IP more; some time later nobody needs to be told any more."""
    service = await world.service()
    agent = await world.agent(service)
    await agent.until_ready()
    yield False
    service.simulator.set_document(DocumentSettings(name="all", outbound_ips=2))
    yield True
    yield False


async def fewer_inbound_rules(world: World) -> Phases:
    """Four machines of a scale set in a backend pool, and one that is taken out of it and put back."""
    services = [
        await world.service("{rateLimit: false, document: {name: many-rules, rules: 5}}") for _ in "ab"
    ]
    for number, node in enumerate(NODES):
        agent = await world.agent(services[number == 2], node)
        await agent.until_ready()
    yield False
    services[1].simulator.set_document(DocumentSettings(name="many-rules", rules=4))
    yield True
    services[1].simulator.set_document(DocumentSettings(name="many-rules", rules=5))
    yield False


async def annotating(world: World, service: Serving) -> FakeApiServer:
    """An API server with a Node, whose agent asks the service and has annotated it."""
    server = await world.stack.enter_async_context(fake_api_server())
    server.add_node(NODES[0])
    kubeconfig = server.kubeconfig(world.directory / "kubeconfig")
    agent = await world.agent(service, annotations=True, kubeconfig=kubeconfig)
    await agent.program.event("annotated")
    return server


async def not_published(world: World) -> Phases:
    """An API server that refuses all writes after a change, and then takes them."""
    service = await world.service()
    server = await annotating(world, service)
    yield False
    server.script.extend([refusal(403, "forbidden")] * 10_000)
    service.simulator.set_document("several-nics")
    yield True
    server.script.clear()
    yield False


async def annotations_omitted(world: World) -> Phases:
    """More rules than the budget has room for, and then few."""
    service = await world.service()
    await annotating(world, service)
    yield False
    service.simulator.set_document(DocumentSettings(name="many-rules", rules=250))
    yield True
    service.simulator.set_document("all")
    yield False


async def egress_unlisted(world: World) -> Phases:
    """A probe sees an address that is not published, until it is declared."""
    node = await world.observer()
    await node.round(CONFIGURED)
    yield False
    await node.round(OTHER, CONFIGURED)
    yield True
    node.declare(f"{CONFIGURED}/32", f"{OTHER}/32")
    yield False


async def egress_lost(world: World) -> Phases:
    """A probe no longer answers one of two nodes, and then does."""
    node, other = await world.observer(), await world.observer(NODES[1])
    for one in (node, other):
        await one.round(CONFIGURED)
    yield False
    for _ in range(2):
        await node.round(FlowFailure.NO_ANSWER)
        await other.round(CONFIGURED)
    yield True
    await node.round(CONFIGURED)
    yield False


async def egress_address_new(world: World) -> Phases:
    """A probe sees an address for the first time, some time after the first round; later it is declared."""
    node = await world.observer()
    await node.round(CONFIGURED)
    seconds = SECONDS_FOR_MINUTES["prometheusRule.changedWithinSeconds"]
    known = f"azure_lb_metadata_egress_observed_addresses offset {seconds}s > 0"
    await until(lambda: world.prometheus.query(known))
    yield False
    await node.round(OTHER, CONFIGURED)
    yield True
    node.declare(f"{CONFIGURED}/32", f"{OTHER}/32")
    yield False


@dataclass(frozen=True)
class Case:
    """An alert, and how it comes about."""

    alert: str
    phases: Callable[[World], Phases]
    node: str = NODES[0]
    """The node that it is about."""
    cause: str = ""
    """A part of the annotation `cause` that depends on the fault."""
    minutes: int = 40
    """How long the fault lasts for promtool: longer than the alert takes, and shorter than it stays."""

    def __str__(self) -> str:
        return self.alert

    def is_shown_by(self, alerts: list[Alert]) -> bool:
        """Whether it is one alert, of the right node, that says why and where its runbook is."""
        if not alerts:
            return False
        (alert,) = alerts
        assert alert.labels["node"] == self.node
        assert alert.annotations["runbook_url"] == f"docs/runbooks/{self.alert}.md"
        assert self.node in alert.annotations["summary"]
        # It takes two scrapes to see which of the counters grows.
        return self.cause in alert.annotations["cause"]


CASES = (
    Case(
        "AzureLBMetadataNoReadyAgent", no_ready_agent, cause="its agent azure-lb-metadata-000000 is not ready"
    ),
    Case("AzureLBMetadataNoAnswer", no_answer, cause="failed as throttled"),
    Case("AzureLBMetadataStale", stale, cause="failed as unavailable"),
    Case("AzureLBMetadataOutboundAddressesChanged", outbound_addresses_changed, minutes=14),
    Case("AzureLBMetadataFewerInboundRules", fewer_inbound_rules, node=NODES[2]),
    Case("AzureLBMetadataNotPublished", not_published, cause="with 403"),
    Case("AzureLBMetadataAnnotationsOmitted", annotations_omitted),
    Case("AzureLBMetadataEgressUnlisted", egress_unlisted, cause="some of the addresses"),
    Case("AzureLBMetadataEgressLost", egress_lost, cause="over udp and ipv4 end as no-answer"),
    Case("AzureLBMetadataEgressAddressNew", egress_address_new, minutes=14),
)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_alert(case: Case, tmp_path: Path) -> None:
    """It fires while the fault is on, says why, and clears; promtool agrees at the chart's durations."""
    recorded: list[Phase] = []
    async with world_of(tmp_path) as world:
        async for fires in case.phases(world):
            await world.scraped()
            if fires:
                await until(lambda: world.prometheus.firing(case.alert), case.is_shown_by)
            else:
                await until(lambda: world.prometheus.alerts(case.alert), lambda alerts: not alerts)
            minutes = case.minutes if fires else 40
            recorded.append(Phase(fires, time.time(), await expositions(world), minutes))
    rules = alert_rules()
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(rule_test(case.alert, recorded, rules=rules)))
    assert "SUCCESS" in await promtool("test", "rules", "test.yaml", directory=tmp_path)


async def expositions(world: World) -> dict[str, str]:
    """What the agents print now, and the stand-in for kube-state-metrics if there is one."""
    found = await world.exposition()
    if world.kube_state_url:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{world.kube_state_url}/metrics") as reply,
        ):
            found[""] = await reply.text()
    return found


async def test_healthy_agents_are_silent(tmp_path: Path) -> None:
    """With all well nothing is even pending, which an agent is that has just been started."""
    async with world_of(tmp_path) as world:
        service = await world.service()
        for node in NODES[:2]:
            await (await world.agent(service, node)).until_ready()
        await world.kube_state()
        await world.scraped()
        await until(lambda: pending(world), lambda names: not names)


async def pending(world: World) -> set[str]:
    """The alerts that are pending or fire."""
    return {alert["labels"]["alertname"] for alert in (await world.prometheus.api("alerts"))["alerts"]}


async def test_missing_pod(tmp_path: Path) -> None:
    """A node whose agent is gone altogether is told of as well."""
    async with world_of(tmp_path) as world:
        service = await world.service()
        await (await world.agent(service)).until_ready()
        await world.kube_state()
        await world.scraped()
        await world.agents[NODES[0]].program.end()
        (alert,) = await until(lambda: world.prometheus.firing("AzureLBMetadataNoReadyAgent"))
    assert alert.labels["node"] == NODES[0]


async def test_rules_are_valid(tmp_path: Path) -> None:
    """The rules are valid to promtool, whatever their values are."""
    values = {
        "prometheusRule.alertLabels": {"team": "network"},
        "prometheusRule.runbooks": "https://example.com/runbooks/",
        "prometheusRule.nodes": r"aks-\w+-.*",
        "prometheusRule.disabled": ["AzureLBMetadataStale"],
    }
    for name, given in (("rules.yaml", {}), ("other.yaml", values)):
        (tmp_path / name).write_text(yaml.safe_dump(alert_rules(given)))
        assert "SUCCESS" in await promtool("check", "rules", name, directory=tmp_path)
    rules = yaml.safe_load((tmp_path / "other.yaml").read_text())["groups"][0]["rules"]
    assert "AzureLBMetadataStale" not in {rule["alert"] for rule in rules}
    for rule in rules:
        assert rule["labels"]["team"] == "network"
        assert rule["annotations"]["runbook_url"] == f"https://example.com/runbooks/{rule['alert']}.md"


def test_every_alert_is_shown() -> None:
    """Each alert has a test, a runbook, a severity and the four annotations."""
    rules = alert_rules()["groups"][0]["rules"]
    assert {rule["alert"] for rule in rules} == {case.alert for case in CASES}
    assert {f"{rule['alert']}.md" for rule in rules} == {path.name for path in RUNBOOKS.glob("AzureLB*.md")}
    for rule in rules:
        assert {*rule["annotations"]} == {"summary", "description", "cause", "runbook_url"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_runbook(case: Case) -> None:
    """A runbook says what it means, what follows, why it comes, how to tell, and what to do."""
    text = (RUNBOOKS / f"{case.alert}.md").read_text()
    assert text.startswith(f"# {case.alert}\n")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings == ["Meaning", "Impact", "Causes", "Diagnosis", "Remedy"]
