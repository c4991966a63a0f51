"""The agent and other commands as processes of their own, as users run them, and what they say.

Durations are scaled down by settings: one that a test does not name is that of `SCALED`.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.support.measuring import MEASURING

__all__ = [
    "CHECKOUT",
    "NOWHERE",
    "PYTHON",
    "SCALED",
    "AgentProcess",
    "Program",
    "Reply",
    "Settings",
    "agent_running",
    "agent_with",
    "flags",
    "program_running",
    "until",
]

Settings = Mapping[str, str | bool | None]
"""By name as in Python: a value, ``True`` or ``False`` for a switch, ``None`` for the agent's own default."""

CHECKOUT = Path(__file__).resolve().parents[2]

NOWHERE = "http://127.0.0.1:9"
"""Refuses: a test that forgets to say where its metadata service is must not ask a real one."""

PYTHON = ("-m", "sidecar")
"""What the interpreter is told to run, where nothing has to be prepared."""

SCALED: Settings = MappingProxyType(
    {
        "listen": "127.0.0.1:0",
        "admin_listen": "127.0.0.1:0",
        "poll_interval": "50ms",
        "imds_timeout": "1s",
        "stale_after": "400ms",
        "absent_after": "400ms",
        "write_splay": "100ms",
        "resync_interval": "1s",
        "heartbeat_interval": "0",
        "log_format": "json",
    }
)
"""Settings of an agent under test; minutes in real life are parts of a second here."""

DEADLINE_S = 20.0
"""Longer than anything here takes on a busy machine, shorter than the time-out of a test."""

POLL_INTERVAL_S = 0.02

KUBERNETES_REQUESTS = "azure_lb_metadata_kubernetes_requests_total"

Value = TypeVar("Value")


async def until(
    probe: Callable[[], Awaitable[Value]],
    wanted: Callable[[Value], object] = bool,
    *,
    deadline_s: float = DEADLINE_S,
) -> Value:
    """Ask `probe` again and again until its answer is `wanted`, and give that answer.

    Raises:
        AssertionError: it was not within `deadline_s` seconds; the text has the last answer.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_s
    while not wanted(value := await probe()):
        assert loop.time() < deadline, f"not within {deadline_s:g} s; at last: {value!r}"
        await asyncio.sleep(POLL_INTERVAL_S)
    return value


def flags(settings: Settings) -> list[str]:
    """Command line flags: ``True`` is a bare flag, ``False`` its ``--no-`` form, ``None`` left out."""
    arguments: list[str] = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        match value:
            case None:
                continue
            case True:
                arguments.append(f"--{flag}")
            case False:
                arguments.append(f"--no-{flag}")
            case str():
                arguments.append(f"--{flag}={value}")
    return arguments


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment that says nothing of clusters, proxies or settings, but for `extra`."""
    base = {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "AZURE_LB_METADATA_IMDS_ENDPOINT": NOWHERE,
        # As in the chart: no authorities of the public, whose loading makes every start slower.
        "SSL_CERT_FILE": os.devnull,
        **MEASURING,
    }
    return {**base, **(extra or {})}


class Program:
    """A command of ours that runs as a process. Made by `program_running`."""

    def __init__(self, process: asyncio.subprocess.Process, *, output: Path, log: Path) -> None:
        self._process = process
        self._output = output
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it wrote to standard output so far."""
        return self._output.read_text()

    @property
    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self._log.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log so far, which must be one JSON object per line; a line under way is left out."""
        whole, _, _ = self.log.rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        assert all(isinstance(line, dict) for line in lines), whole
        return lines

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event so far."""
        return [line for line in self.lines if line["event"] == event]

    async def event(self, event: str, *, number: int = 1, **fields: object) -> dict[str, Any]:
        """Wait for the n-th log line of an event with these fields, and give it."""

        async def lines() -> list[dict[str, Any]]:
            assert self.runs or self.events(event), f"ended with {self._process.returncode}\n{self.log}"
            return [line for line in self.events(event) if fields.items() <= line.items()]

        return (await until(lines, lambda lines: len(lines) >= number))[number - 1]

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def exit_code(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end, and give the exit code; of a signal's the negative number.

        Raises:
            AssertionError: it still runs after `deadline_s` seconds.
        """
        try:
            async with asyncio.timeout(deadline_s):
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"still runs after {deadline_s:g} s\n{self.log}") from None

    async def end(self) -> None:
        """End it at once, if it still runs: by a second signal, or by SIGKILL when that does not help."""
        for number in (signal.SIGTERM, signal.SIGINT):
            if self.runs:
                self.signal(number)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def program_running(
    *arguments: str,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    python: Sequence[str] = PYTHON,
) -> AsyncIterator[Program]:
    """A command, such as ``run`` with its flags, for the length of the block; it may end before.

    `directory` takes its output and log, which a failing test shows. Its environment is clean but for
    `environment`. `python` is what the interpreter is told to run.
    """
    place = Path(tempfile.mkdtemp(dir=directory, prefix=f"{arguments[0]}-"))
    output, log = place / "output", place / "log"
    with output.open("wb") as output_file, log.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *python,
            *arguments,
            cwd=CHECKOUT,
            env=clean_environment(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output_file,
            stderr=log_file,
        )
    program = Program(process, output=output, log=log)
    try:
        yield program
    finally:
        await program.end()
        print(f"--- {arguments[0]} ended with {process.returncode} and logged:\n{program.log}")


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    @property
    def state(self) -> str:
        """What the agent says the data are worth."""
        return self.headers["Azure-LB-Metadata-Status"]


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
            return Reply(status=response.status, headers=response.headers, text=await response.text())

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
        """Wait until it has asked so many times more."""
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
) -> AsyncIterator[AgentProcess]:
    """Like `agent_running`, with what else `program_running` takes."""
    arguments = flags({**SCALED, **settings})
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with (
        program_running(
            "run", *arguments, directory=directory, environment=environment, python=python
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
