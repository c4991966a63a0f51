"""What the machine may do to an agent: stop, kill or starve it, and move its clock."""

import asyncio
import hashlib
import itertools
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession

from sidecar import clock
from sidecar.agent import Agent, Listening
from sidecar.core.instant import Instant, parse_rfc3339
from sidecar.runtime import Runtime
from sidecar.settings import Settings as AgentSettings
from tests.agent.support import PUBLIC_IP, age, has, lasting, ok, stale
from tests.faults.support import NODE, Surroundings, prepared
from tests.support.agent import STALE_SOON, AgentProcess, agent_with
from tests.support.faults import Origin, Promise, also_shows, fault
from tests.support.replies import Reply
from tests.support.waiting import DEADLINE_S, until

SUSPENDED_S = 2.0
"""Five times stale-after, as an hour is many times the usual one."""


@fault(
    Origin.CLOCK,
    "The agent is suspended for long: SIGSTOP, a frozen control group",
    Promise(
        served="Nothing while it is stopped; then never `ok` with an age over stale-after.",
        annotated="Nothing is removed.",
        logged="`status-changed` at most twice.",
        recovery="With the first answer after it goes on, at once.",
    ),
)
async def test_suspended(surroundings: Surroundings) -> None:
    """An agent that was stopped for several stale-after asks at once and is fresh again; nothing is lost."""
    async with surroundings.annotating(stale_after=STALE_SOON) as agent:
        annotated = await surroundings.until_annotated(has(status="ok"))
        before = (await agent.document()).json
        agent.program.signal(signal.SIGSTOP)
        asked = asyncio.create_task(agent.document())
        answered, _ = await asyncio.wait([asked], timeout=SUSPENDED_S)
        assert not answered
        agent.program.signal(signal.SIGCONT)
        # Requests that came meanwhile are read before any timer of the agent runs.
        first = await asked
        assert stale(first) if age(first) else ok(first)
        reply = await agent.until_document(lambda reply: ok(reply) and age(reply) == 0)
        assert reply.json == before
        await surroundings.until_annotated(has(status="ok"))
        assert lasting(surroundings.annotations) == lasting(annotated)


def whole(annotations: dict[str, str]) -> bool:
    """Whether annotations are of one state: the document fits its revision and its lists."""
    document = annotations["loadbalancer"].encode()
    ips = [entry["frontendIpAddress"] for entry in json.loads(document)["publicIpAddresses"]]
    fits = hashlib.sha256(document).hexdigest()[:16] == annotations["revision"]
    return fits and annotations["public-ips"].split(",") == ips


@fault(
    Origin.NODE,
    "The agent is killed (SIGKILL) at any moment, and starts again",
    Promise(
        served="After the start at once what was published last, `restored`; never half of anything.",
        annotated="All of one state or all of another.",
        logged="Nothing of the end; `started`.",
        recovery="With the next start.",
    ),
)
async def test_killed(surroundings: Surroundings) -> None:
    """Killed at the n-th poll while the document changes with each, file and Node are whole every time."""
    service, file = surroundings.service, surroundings.directory / "document"
    documents = itertools.cycle(["all", "several-nics"])
    for polls in range(1, 9):
        async with surroundings.annotating(file=str(file), write_splay="1ms") as agent:
            for _ in range(polls):
                seen = service.simulator.counters.requests
                service.simulator.set_document(next(documents))
                await until(lambda seen=seen: asked(surroundings, more_than=seen))  # type: ignore[misc]
            agent.program.signal(signal.SIGKILL)
            assert await agent.program.exit_code() == -signal.SIGKILL
        written = surroundings.annotations
        assert not written or whole(written)
        if file.exists():
            content = json.loads(file.read_bytes())
            canonical = json.dumps(content["loadbalancer"], separators=(",", ":")).encode()
            assert hashlib.sha256(canonical).hexdigest()[:16] == content["revision"]
        leftovers = {path.name for path in surroundings.directory.glob("document*")}
        assert len(leftovers - {"document", "document.env"}) <= 1, "at most the one under way"
    service.simulator.set_fault("unavailable")
    async with surroundings.annotating(file=str(file)) as agent:
        reply = await agent.until_document(stale)
        assert reply.headers["Azure-LB-Metadata-Source"] == "restored"
        assert reply.json["loadbalancer"]["publicIpAddresses"]


async def asked(surroundings: Surroundings, *, more_than: int) -> bool:
    """Whether the metadata service has had more requests than this."""
    return surroundings.service.simulator.counters.requests > more_than


DESCRIPTORS = 48
STARVED = f"""
import resource, sidecar.commands.run
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
# As many clients as ever: what takes the descriptors may be anything.
sidecar.commands.run.clients_within = lambda limit, wanted: wanted
"""


@asynccontextmanager
async def connections(agent: AgentProcess, number: int) -> AsyncIterator[None]:
    """Clients that connect and say nothing, as far as the agent's machine lets them in."""
    host, port = agent.url.removeprefix("http://").split(":")
    async with AsyncExitStack() as stack:
        for _ in range(number):
            _, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
        yield


@fault(
    Origin.NODE,
    "The agent has no file descriptor left",
    Promise(
        served="Those who are connected; others wait, or are cut off, until a descriptor is free.",
        annotated="What stands there stays; the newest when a connection can be had.",
        logged="`accept-failed` at most once a minute, counting those between; `publish-failed` for a file.",
        recovery="With the first free descriptor; the listener tries again every second.",
    ),
)
async def test_no_descriptors(surroundings: Surroundings, tmp_path: Path) -> None:
    """Clients who take every descriptor cost themselves: polls go on, and when they leave all is well."""
    file = tmp_path / "document"
    settings = surroundings.settings(annotations=False, file=str(file), kubeconfig=None, node_name=None)
    simulator = surroundings.service.simulator
    async with agent_with(tmp_path, settings, python=prepared(STARVED)) as agent:
        await agent.until_ready()
        async with connections(agent, 3 * DESCRIPTORS):
            seen = simulator.counters.requests
            simulator.set_document("several-nics")
            await until(lambda: asked(surroundings, more_than=seen + 20))
            assert agent.program.runs
            await agent.program.event("accept-failed")
        await until(
            lambda: agent.get("/v1/public-ips?format=text"), lambda reply: reply.text.count("\n") == 3
        )

        async def written() -> int:
            return len(json.loads(file.read_bytes())["loadbalancer"]["publicIpAddresses"])

        await until(written, lambda number: number == 3)
        [line] = agent.program.events("accept-failed")
        assert (line["level"], line["error"]) == ("error", "Too many open files")
        assert "loop-failed" not in {line["event"] for line in agent.program.lines}
        assert len(agent.program.lines) < 20, "nothing else floods the log"


@dataclass
class SteppingClock:
    """A machine whose wall clock somebody sets; its monotonic clock goes on."""

    offset: timedelta = field(default_factory=timedelta)

    def __call__(self) -> Instant:
        """The present on both clocks."""
        present = clock.now()
        return Instant(mono=present.mono, utc=present.utc + self.offset)


@also_shows("The wall clock steps by a day, back or forward")
@pytest.mark.parametrize("days", [1, -1], ids=["forward", "back"])
async def test_clock_steps(surroundings: Surroundings, days: int) -> None:
    """A step by a day changes neither status nor age, and causes no write and no burst of polls."""
    stepping = SteppingClock()
    addresses: asyncio.Queue[Listening] = asyncio.Queue()
    settings = surroundings.settings(
        listen="127.0.0.1:0", admin_listen="none", poll_interval="50ms", heartbeat_interval="0"
    )
    agent = Agent(AgentSettings.model_validate(dict(settings)), runtime=Runtime(clock=stepping))
    async with asyncio.TaskGroup() as tasks, ClientSession() as session:
        tasks.create_task(agent.run(on_listening=addresses.put_nowait))
        [address] = (await addresses.get()).api

        async def document() -> Reply:
            async with session.get("http://{}:{}/v1/loadbalancer".format(*address)) as response:
                return await Reply.of(response)

        await surroundings.until_annotated(has(status="ok"))
        before = (await until(document, ok)).json
        stepping.offset = timedelta(days=days)
        reply = await document()
        for _ in range(10):
            seen = surroundings.service.simulator.counters.requests
            await until(lambda seen=seen: asked(surroundings, more_than=seen))  # type: ignore[misc]
            reply = await document()
            # A busy machine asks late: the age is that of seconds, and not of days.
            assert reply.json == before
            assert age(reply) < DEADLINE_S
        observed = parse_rfc3339(reply.headers["Azure-LB-Metadata-Observed-At"])
        assert observed is not None
        assert abs(observed - stepping().utc) < timedelta(minutes=1)
        assert surroundings.writes() == 1
        agent.stopping.request()
        agent.stopping.request()


@also_shows("The Node is deleted and made anew, with another uid")
async def test_node_and_agent_anew(surroundings: Surroundings) -> None:
    """A Node made anew while the agent was down is annotated in full at the next start."""
    async with surroundings.annotating():
        before = await surroundings.until_annotated(has(status="ok"))
    surroundings.server.add_node(NODE)
    async with surroundings.annotating():
        after = await surroundings.until_annotated(has(status="ok"))
    assert after["public-ip"] == PUBLIC_IP.strip()
    assert after.keys() == before.keys()
