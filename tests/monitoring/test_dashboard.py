"""The dashboard: every query is one that Prometheus answers with data of real agents."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sidecar.simulator import DocumentSettings
from tests.chart.helm import RELEASE, render
from tests.monitoring.observers import CONFIGURED
from tests.monitoring.prometheus import QueryError
from tests.monitoring.worlds import NODES, World, world_of
from tests.support.fake_apiserver import fake_api_server
from tests.support.waiting import until
from tools.pages import dashboard, metrics as metrics_page
from tools.pages.panels import COLUMNS, PANELS, filled

pytestmark = [pytest.mark.prometheus, pytest.mark.chart]
of_the_module = pytest.mark.asyncio(loop_scope="module")

QUERIES = {f"{panel.title}-{query.legend}": query.expression for panel in PANELS for query in panel.queries}
CONFIG_MAP = f"{RELEASE}-dashboard"


def shown() -> dict[str, Any]:
    """The dashboard that the chart makes."""
    config_map = render({"dashboard.enabled": True}).one("ConfigMap", CONFIG_MAP)
    loaded: dict[str, Any] = json.loads(config_map["data"]["azure-lb-metadata.json"])
    return loaded


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two agents, one with a Node, that have seen a change, and a node with an egress probe."""
    async with world_of(tmp_path_factory.mktemp("world")) as world:
        service = await world.service()
        server = await world.stack.enter_async_context(fake_api_server())
        server.add_node(NODES[0])
        kubeconfig = server.kubeconfig(world.directory / "kubeconfig")
        agents = [
            await world.agent(service, NODES[0], annotations=True, kubeconfig=kubeconfig),
            await world.agent(service, NODES[1], file=str(world.directory / "loadbalancer.json")),
        ]
        await (await world.observer(NODES[2])).round(CONFIGURED)
        await agents[0].program.event("annotated")
        for agent in agents:
            await agent.until_ready()
        await world.scraped()
        service.simulator.set_document(DocumentSettings(name="all", outbound_ips=2))
        yield world


@of_the_module
@pytest.mark.parametrize("name", QUERIES)
async def test_query_has_data(world: World, name: str) -> None:
    """Prometheus understands the query and has series for it, with numbers."""
    expression = filled(QUERIES[name], rate_interval="5s")

    async def numbers() -> list[str]:
        found = await world.prometheus.query(expression)
        return [series["value"][1] for series in found if series["value"][1] != "NaN"]

    assert await until(numbers)


@pytest.mark.parametrize("name", QUERIES)
def test_names_exist(name: str) -> None:
    """Every metric in a query is one that the agent has, with the labels that the query has."""
    known = {metric.name: metric for metric in metrics_page.described()}
    for metric, labels in re.findall(r"((?:azure_lb_metadata|process)_\w+)\{([^}]*)\}", QUERIES[name]):
        described = known[re.sub(r"_bucket$", "", metric)]
        asked = set(re.findall(r"(\w+)=", labels)) - {"namespace", "node"}
        assert asked <= {*described.labels}


@of_the_module
async def test_made_up_names_are_found_out(world: World) -> None:
    """A metric that does not exist has no data, and a broken query is an error."""
    assert await world.prometheus.query("azure_lb_metadata_made_up") == []
    with pytest.raises(QueryError, match="parse error"):
        await world.prometheus.query("sum(")


@of_the_module
@pytest.mark.parametrize("variable", ["namespace", "node"])
async def test_variable(world: World, variable: str) -> None:
    """The values to choose from are those of a label that every agent's series have."""
    (definition,) = [one["definition"] for one in shown()["templating"]["list"] if one["name"] == variable]
    asked = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", definition)
    assert asked is not None
    series = await world.prometheus.query(asked[1])
    assert len({one["metric"][asked[2]] for one in series}) == (1 if variable == "namespace" else 3)


def test_config_map() -> None:
    """The ConfigMap has the label that Grafana's sidecar looks for, and others that are asked for."""
    values = {"dashboard.enabled": True, "dashboard.labels": {"team": "network"}}
    labels = render(values).one("ConfigMap", CONFIG_MAP)["metadata"]["labels"]
    assert (labels["grafana_dashboard"], labels["team"]) == ("1", "network")
    other = render({"dashboard.enabled": True, "dashboard.labels": {"grafana_dashboard": "yes"}})
    assert other.one("ConfigMap", CONFIG_MAP)["metadata"]["labels"]["grafana_dashboard"] == "yes"


def test_file_is_up_to_date() -> None:
    """The chart's file is what the table of panels makes."""
    assert dashboard.FILE.read_text() == dashboard.text(), "make dashboard"


def test_panels_do_not_overlap() -> None:
    """Panels stand side by side, within 24 columns, each with an id of its own."""
    panels = shown()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == len(PANELS)
    places = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"])
        for panel in panels
        for column in range(panel["gridPos"]["w"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < COLUMNS


def test_every_metric_of_ours_is_shown_or_named() -> None:
    """A metric that no panel shows is one of a few that are for other uses."""
    text = " ".join(QUERIES.values())
    unseen = {metric.name for metric in metrics_page.described() if metric.ours and metric.name not in text}
    assert unseen == {
        "azure_lb_metadata_address_info",
        "azure_lb_metadata_document_bytes",
        "azure_lb_metadata_omitted_annotations",
        "azure_lb_metadata_publish_duration_seconds",
        "azure_lb_metadata_revision_changes_total",
    }
