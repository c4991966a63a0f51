"""The picture of the dashboard in docs/images: a part of ``make pictures``.

Grafana is not needed: the dashboard's own queries are asked of a real Prometheus that scrapes real
agents, while the simulated service is throttled, changes its outbound rules, and forgets a machine.
"""

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from sidecar.simulator import DocumentSettings, Serving
from tests.browser import chromium
from tests.browser.chromium import Look, chromium_running, tab_of
from tests.monitoring import prometheus
from tests.monitoring.prometheus import Prometheus
from tests.monitoring.worlds import NODES, SECONDS_FOR_MINUTES, World, world_of
from tests.support.agent import AgentProcess
from tests.support.fake_apiserver import fake_api_server
from tools.pages.panels import PANELS, Panel, Query, filled
from tools.pictures.drawing import Line, page
from tools.pictures.status_page import IMAGES

PICTURE = IMAGES / "dashboard.png"
RATE_INTERVAL = "5s"
LOOK = Look("dashboard", 1330, 900)
_LABEL = re.compile(r"\{\{(\w+)\}\}")

STORY: Mapping[str, float] = {"well": 20, "throttled": 15, "well again": 15, "changed": 15, "fewer rules": 20}
"""What happens, and for how many seconds."""


VALUES = {**SECONDS_FOR_MINUTES, "prometheusRule.for.notPublished": "5s"}
"""Longer than the splay, as in the chart."""


async def _tell(world: World) -> None:
    """Five agents of a scale set; two of them ask the service that has the troubles."""
    steady, troubled = [await world.service("rateLimit: false") for _ in range(2)]
    server = await world.stack.enter_async_context(fake_api_server())
    agents = []
    for number, node in enumerate(NODES):
        server.add_node(node)
        kubeconfig = server.kubeconfig(world.directory / f"kubeconfig-{number}")
        service = troubled if number in (1, 2) else steady
        settings = {"poll_interval": "1s", "stale_after": "5s", "write_splay": "2s"}
        agent = await world.agent(service, node, annotations=True, kubeconfig=kubeconfig, **settings)
        agents.append(agent)
    async with _clients(agents):
        await _happen(steady, troubled)


async def _happen(steady: Serving, troubled: Serving) -> None:
    more = DocumentSettings(name="all", outbound_ips=2)
    await asyncio.sleep(STORY["well"])
    troubled.simulator.set_fault("throttled")
    await asyncio.sleep(STORY["throttled"])
    troubled.simulator.clear_fault()
    await asyncio.sleep(STORY["well again"])
    for service in (steady, troubled):
        service.simulator.set_document(more)
    await asyncio.sleep(STORY["changed"])
    troubled.simulator.set_document(DocumentSettings(name="outbound-only"))
    await asyncio.sleep(STORY["fewer rules"])


@asynccontextmanager
async def _clients(agents: list[AgentProcess]) -> AsyncIterator[None]:
    """Some that stream, wait, and are refused for a header."""
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_stream(session, agent)) for agent in agents for _ in range(3)]
        running += [tasks.create_task(_wait(session, agent)) for agent in agents for _ in range(5)]
        running.append(tasks.create_task(_refused(session, agents[0])))
        yield
        for task in running:
            task.cancel()


async def _stream(session: aiohttp.ClientSession, agent: AgentProcess) -> None:
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(f"{agent.url}/v1/events", timeout=timeout) as response:
        async for _ in response.content:
            pass


async def _wait(session: aiohttp.ClientSession, agent: AgentProcess) -> None:
    etag = ""
    while True:
        headers = {"Prefer": "wait=10", **({"If-None-Match": etag} if etag else {})}
        async with session.get(f"{agent.url}/v1/public-ip", headers=headers) as response:
            etag = response.headers.get("ETag", etag)
            await response.read()
        await asyncio.sleep(0.2)


async def _refused(session: aiohttp.ClientSession, agent: AgentProcess) -> None:
    while True:
        async with session.get(
            f"{agent.url}/v1/public-ip", headers={"X-Forwarded-For": "192.0.2.1"}
        ) as reply:
            await reply.read()
        await asyncio.sleep(1)


async def _lines(source: Prometheus, panel: Panel, *, start: float, end: float) -> list[Line]:
    lines = []
    for query in panel.queries:
        expression = filled(query.expression, rate_interval=RATE_INTERVAL)
        for series in await source.query_range(expression, start=start, end=end, step=0.5):
            points = [(at, float(value)) for at, value in series["values"] if value != "NaN"]
            if points:
                lines.append(Line(_legend(query, series["metric"]), points))
    return lines


def _legend(query: Query, labels: Mapping[str, str]) -> str:
    text = _LABEL.sub(lambda match: labels.get(match[1], ""), query.legend)
    return text.replace("aks-nodepool1-12345678-", "").strip() or "none"


async def _draw(html: str) -> None:
    async with chromium_running() as browser, tab_of(browser, LOOK, scripts=False) as tab:
        await tab.page.set_content(html)
        await tab.page.screenshot(path=PICTURE, full_page=True)
    print(PICTURE, PICTURE.stat().st_size, "bytes")


async def _take(directory: Path) -> None:
    async with world_of(directory, values=VALUES) as world:
        start = time.time()
        await _tell(world)
        end = time.time()
        source = world.prometheus
        panels = [(panel, await _lines(source, panel, start=start, end=end)) for panel in PANELS]
    await _draw(page(panels, start=start, end=end))


def main() -> int:
    """Take the picture."""
    for reason, enable in (
        (prometheus.missing(), prometheus.ENABLE_COMMAND),
        (chromium.missing(), chromium.ENABLE_COMMAND),
    ):
        if reason:
            print(f"{reason}; install it with: {enable}", file=sys.stderr)
            return 1
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_take(Path(directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
