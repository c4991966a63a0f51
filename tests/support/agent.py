"""The agent as a process of its own, as users run it, and what it says.

Durations are scaled down by settings: one that a test does not name is that of `SCALED`.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.support.program import PYTHON, Program, Settings, flags, program_running
from tests.support.replies import Reply
from tests.support.waiting import DEADLINE_S, until

SCALED: Settings = MappingProxyType(
    {
        "listen": "127.0.0.1:0",
        "admin_listen": "127.0.0.1:0",
        "poll_interval": "50ms",
        "imds_timeout": "1s",
        # Never in a test that is not about it, on however busy a machine: see `STALE_SOON`.
        "stale_after": "1h",
        "absent_after": "400ms",
        "write_splay": "100ms",
        "resync_interval": "1s",
        "heartbeat_interval": "0",
        "log_format": "json",
    }
)
"""Settings of an agent under test; minutes in real life are parts of a second here."""

STALE_SOON = "400ms"
"""The `stale_after` of tests in which data become stale."""

KUBERNETES_REQUESTS = "azure_lb_metadata_kubernetes_requests_total"


class AgentProcess:
    """The agent as a process of its own. Made by `agent_running`."""

    def __init__(self, program: Program, session: aiohttp.ClientSession) -> None:
        self.program = program
        self.url = ""
        """Of the HTTP API; empty when it listens nowhere."""
        self.admin_url = ""
        self._session = session

    async def await_listening(self) -> None:
        """Wait for the line that says where it listens."""
        started = await self.program.event("started")
        self.url = _url(started.get("listen"))
        self.admin_url = _url(started.get("admin_listen"))

    async def get(self, path: str, **headers: str) -> Reply:
        """Ask its HTTP API."""
        return await self._get(f"{self.url}{path}", headers)

    async def admin(self, path: str) -> Reply:
        """Ask its probes or metrics."""
        return await self._get(f"{self.admin_url}{path}", {})

    async def _get(self, url: str, headers: Mapping[str, str]) -> Reply:
        async with self._session.get(url, headers=headers) as response:
            return await Reply.of(response)

    async def document(self) -> Reply:
        """``/v1/loadbalancer``."""
        return await self.get("/v1/loadbalancer")

    async def until_document(self, wanted: Callable[[Reply], object]) -> Reply:
        """Wait for a `/v1/loadbalancer` as wanted."""
        return await until(self.document, wanted)

    async def until_ready(self) -> None:
        """Wait until it says that it has data."""
        await until(lambda: self.admin("/readyz"), lambda reply: reply.status == 200)

    async def samples(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        """The labels and values of a metric."""
        text = (await self.admin("/metrics")).text
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        return [(sample.labels, sample.value) for sample in samples if sample.name == name]

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        return sum(value for having, value in await self.samples(name) if labels.items() <= having.items())

    async def attempts(self, outcome: str | None = None) -> float:
        """How often it has asked the metadata service, with any outcome or the given one."""
        labels = {} if outcome is None else {"outcome": outcome}
        return await self.metric("azure_lb_metadata_attempts_total", **labels)

    async def more_attempts(self, count: int, outcome: str | None = None) -> None:
        """Wait until it has asked so many times more than by now: for what lasts until it is changed."""
        goal = await self.attempts(outcome) + count
        await until(lambda: self.attempts(outcome), lambda attempts: attempts >= goal)

    async def requests(self, **labels: str) -> float:
        """How many requests to the API server it has made: all, or with this method or status code."""
        return await self.metric(KUBERNETES_REQUESTS, **labels)

    async def refused_requests(self) -> float:
        """How many requests to the API server came to anything but a 200."""
        samples = await self.samples(KUBERNETES_REQUESTS)
        return sum(value for labels, value in samples if labels["code"] != "200")

    async def until_requests(self, count: int, **labels: str) -> None:
        """Wait until it has made so many requests to the API server."""
        await until(lambda: self.requests(**labels), lambda requests: requests >= count)


@asynccontextmanager
async def agent_running(directory: Path, /, **settings: str | bool | None) -> AsyncIterator[AgentProcess]:
    """An agent that listens, for the length of the block; its settings are `SCALED` and those given.

    `directory` takes its logs.
    """
    async with agent_with(directory, settings) as agent:
        yield agent


@asynccontextmanager
async def agent_with(
    directory: Path,
    settings: Settings,
    *,
    python: Sequence[str] = PYTHON,
    environment: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> AsyncIterator[AgentProcess]:
    """Like `agent_running`, with what else `program_running` takes."""
    arguments = flags({**SCALED, **settings})
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with (
        program_running(
            "run", *arguments, directory=directory, environment=environment, python=python, within=within
        ) as program,
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
    ):
        agent = AgentProcess(program, session)
        await agent.await_listening()
        yield agent


def _url(address: object) -> str:
    """The URL of an address as the log has it; empty for none and for Unix sockets."""
    text = str(address)
    return "" if text == "none" or text.startswith("unix:") else f"http://{text}"
