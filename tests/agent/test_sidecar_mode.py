"""An agent that reads another one: the same answers and files, and never a request to the service."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sidecar import clock
from sidecar.agent.poller import Poller
from sidecar.core.state import Policy, Snapshot, State
from sidecar.latest import Watch
from sidecar.runtime import Runtime
from sidecar.simulator import Serving
from sidecar.sources.upstream import UpstreamSource
from tests.agent.support import ok, stale
from tests.support.agent import STALE_SOON, AgentProcess, agent_running
from tests.support.faults import Origin, Promise, fault
from tests.support.program import Settings, flags, program_running
from tests.support.replies import Reply
from tests.support.states import body, inbound, pair
from tests.support.waiting import DEADLINE_S, until

NODE = "aks-pool1-12345678-vmss000000"
SIDECARS = 50
UNHURRIED: Settings = {"poll_interval": "10s", "imds_timeout": "10s"}
"""Of a sidecar that learns of changes because it waits for them, and of nothing by asking often."""


def document(*rules: dict[str, Any], public: str = "20.1.2.3") -> dict[str, str]:
    """A document for the simulator."""
    return {"raw": body(public=[pair(public)], inbound_rules=rules).decode()}


@asynccontextmanager
async def sidecar_running(
    upstream: str, directory: Path, **settings: str | bool | None
) -> AsyncIterator[AgentProcess]:
    """A sidecar that reads this agent, and that would ask a service that refuses."""
    own: Settings = {**UNHURRIED, "upstream": upstream, "file": str(directory / "facts.json")}
    async with agent_running(directory, **{**own, **settings}) as sidecar:
        yield sidecar


@pytest.fixture
async def agent(service: Serving, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """The node agent, which knows its node and has had its first answer."""
    service.simulator.set_document(document())
    own: Settings = {"annotations": False, "imds_endpoint": service.url, "node_name": NODE}
    async with agent_running(tmp_path, **own, absent_after="1s") as agent:
        await agent.until_ready()
        yield agent


def mentions(text: str) -> Callable[[Reply], bool]:
    """Whether an answer has this text."""
    return lambda reply: text in reply.text


def facts(directory: Path) -> dict[str, Any]:
    """The file of a sidecar; empty as long as there is none."""
    path = directory / "facts.json"
    return dict(json.loads(path.read_bytes())) if path.exists() else {}


async def until_file(directory: Path, **members: object) -> dict[str, Any]:
    """Wait for a file of a sidecar with these members, and give it."""

    async def read() -> dict[str, Any]:
        return facts(directory)

    return await until(read, lambda value: value and members.items() <= value.items())


LASTING = ("Azure-LB-Metadata-Node", "Azure-LB-Metadata-Revision", "Azure-LB-Metadata-Status", "Etag")


def lasting(headers: Mapping[str, str]) -> list[str | None]:
    """Headers that a sidecar has from its agent."""
    return [headers.get(name) for name in LASTING]


async def test_same_answers(agent: AgentProcess, tmp_path: Path) -> None:
    """A sidecar without a name of its own answers byte for byte as its agent, and says where that is from."""
    async with sidecar_running(agent.url, tmp_path) as sidecar:
        await sidecar.until_ready()
        for path in ("/v1/loadbalancer", "/v1/public-ip", "/v1/private-ips", f"/v1/public-ips?node={NODE}"):
            theirs, ours = await agent.get(path), await sidecar.get(path)
            assert (ours.status, ours.text) == (200, theirs.text)
            assert lasting(ours.headers) == lasting(theirs.headers)
            assert ours.headers["Azure-LB-Metadata-Source"] == "upstream"
            assert int(ours.headers["Age"]) >= 0
        assert (await sidecar.get("/v1/raw")).json == (await agent.document()).json
        assert (await sidecar.get("/v1/public-ip?node=other")).status == 421
        assert await until_file(tmp_path, status="ok") == (await agent.document()).json


async def test_change_reaches_the_file(service: Serving, agent: AgentProcess, tmp_path: Path) -> None:
    """A change is in the file although no poll is due for a long time: the sidecar waits for it."""
    async with sidecar_running(agent.url, tmp_path, poll_interval="10m") as sidecar:
        await until_file(tmp_path, status="ok")
        for last in range(4, 9):
            service.simulator.set_document(document(public=f"20.1.2.{last}"))
            changed = await agent.until_document(mentions(f"20.1.2.{last}"))
            # A request in which nothing changes is held for 60 s, and the next poll is due in 10 minutes.
            async with asyncio.timeout(DEADLINE_S):
                assert await until_file(tmp_path, revision=changed.json["revision"]) == changed.json
        assert len((await sidecar.get("/v1/history")).json) == 5
        assert await sidecar.attempts() <= 7


async def test_rules_leave_the_variables(service: Serving, agent: AgentProcess, tmp_path: Path) -> None:
    """100 changes of rules that bring no new address rewrite the JSON file and never the variables."""
    rules = [inbound("20.20.20.20", 1000 + port, 30000 + port) for port in range(101)]
    service.simulator.set_document(document(rules[0]))
    await agent.until_document(mentions("20.20.20.20"))
    async with sidecar_running(agent.url, tmp_path) as sidecar:
        await sidecar.until_ready()
        before = facts(tmp_path)
        variables = tmp_path / "facts.json.env"
        written = variables.stat()
        for count in range(2, 102):
            service.simulator.set_document(document(*rules[:count]))
            await agent.until_document(mentions(f'"backendPort":{29999 + count},'))
        after = await until_file(tmp_path, revision=(await agent.document()).json["revision"])

    assert after["revision"] != before["revision"]
    assert len(after["loadbalancer"]["inboundRules"]) == 101
    now = variables.stat()
    assert (now.st_ino, now.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


async def test_withdrawal_is_the_agents(service: Serving, agent: AgentProcess, tmp_path: Path) -> None:
    """What the agent withdraws after absent-after is gone in the sidecar at once, "none" included."""
    async with sidecar_running(agent.url, tmp_path, absent_after="1h"):
        await until_file(tmp_path, status="ok")
        service.simulator.set_document("none")
        gone = await until_file(tmp_path, status="no-metadata", reason="no-metadata")
        assert gone == (await agent.document()).json


@fault(
    Origin.SERVICE,
    "A sidecar's node agent goes away",
    Promise(
        served="The last data, `stale` in the end.",
        annotated="Sidecars annotate nothing.",
        logged="`poll-failed` once per reason.",
        recovery="With the agent's first answer; nobody else is asked.",
    ),
)
async def test_agent_goes_and_comes_back(service: Serving, tmp_path: Path) -> None:
    """Without its agent a sidecar keeps the last data, stale in the end, and asks nobody else."""
    service.simulator.set_document(document())
    agent_settings: Settings = {"annotations": False, "imds_endpoint": service.url, "node_name": NODE}
    settings: Settings = {"stale_after": STALE_SOON, "poll_interval": "50ms", "imds_endpoint": service.url}
    async with AsyncExitStack() as stack:
        (tmp_path / "agent").mkdir()
        first = await stack.enter_async_context(agent_running(tmp_path / "agent", **agent_settings))
        sidecar = await stack.enter_async_context(sidecar_running(first.url, tmp_path, **settings))
        await sidecar.until_document(ok)
        await first.program.end()
        asked = service.simulator.counters.requests
        reply = await sidecar.until_document(stale)
        assert (reply.json["reason"], reply.json["loadbalancer"]) == (
            "unreachable",
            (await until_file(tmp_path, status="stale"))["loadbalancer"],
        )
        assert (await sidecar.admin("/readyz")).status == 200
        assert service.simulator.counters.requests == asked
        listen = first.url.removeprefix("http://")
        await stack.enter_async_context(agent_running(tmp_path / "agent", **agent_settings, listen=listen))
        await sidecar.until_document(ok)
        await until_file(tmp_path, status="ok")


async def test_restart_without_an_agent(agent: AgentProcess, tmp_path: Path) -> None:
    """A sidecar that was never told its node takes its file up, and goes on to name the node."""
    async with sidecar_running(agent.url, tmp_path) as sidecar:
        await sidecar.until_document(ok)
        written = await until_file(tmp_path, status="ok")
    await agent.program.end()
    async with sidecar_running(agent.url, tmp_path, stale_after=STALE_SOON, poll_interval="50ms") as sidecar:
        reply = await sidecar.until_document(stale)
        restored = {**written, "status": "stale", "reason": "unreachable"}
        assert (reply.json, reply.headers["Azure-LB-Metadata-Source"]) == (restored, "restored")
        assert reply.headers["Azure-LB-Metadata-Node"] == NODE
        assert await until_file(tmp_path, status="stale") == restored


async def test_agent_without_an_answer(service: Serving, tmp_path: Path) -> None:
    """A sidecar of an agent that has no answer yet is starting, as it is."""
    service.simulator.set_fault("unavailable")
    (tmp_path / "agent").mkdir()
    own: Settings = {"annotations": False, "imds_endpoint": service.url, "node_name": NODE}
    async with (
        agent_running(tmp_path / "agent", **own) as agent,
        sidecar_running(agent.url, tmp_path, stale_after="2s", poll_interval="50ms") as sidecar,
    ):
        await sidecar.more_attempts(1, "not-ready")
        reply = await sidecar.document()
        assert (reply.status, reply.state) == (503, "starting")
        unready = await sidecar.admin("/readyz")
        assert (unready.status, unready.text) == (503, "no answer of the metadata service yet\n")
        service.simulator.clear_fault()
        await sidecar.until_document(ok)


async def test_other_nodes_agent(agent: AgentProcess, tmp_path: Path) -> None:
    """A sidecar that knows its node refuses another one's agent, and logs both names."""
    async with sidecar_running(agent.url, tmp_path, node_name="other") as sidecar:
        failed = await sidecar.program.event("poll-failed", reason="rejected")
        assert NODE in failed["detail"]
        assert "'other'" in failed["detail"]
        assert (await sidecar.document()).status == 503
    assert facts(tmp_path) == {}


async def test_once(agent: AgentProcess, tmp_path: Path) -> None:
    """`run --once` of a sidecar writes its file and ends."""
    arguments = flags({"upstream": agent.url, "file": str(tmp_path / "facts.json"), "node_name": NODE})
    async with program_running("run", "--once", *arguments, directory=tmp_path) as program:
        assert await program.exit_code() == 0
    assert facts(tmp_path) == (await agent.document()).json


async def test_neither_kubernetes_nor_a_token(agent: AgentProcess, tmp_path: Path) -> None:
    """A sidecar never imports the Kubernetes client, also where a kubeconfig and a token are at hand."""
    program = (
        "import sys; from sidecar import cli; code = cli.run(sys.argv[1:]);"
        "print(code, *[name for name in sys.modules if name.partition('.')[0] == 'kubernetes'])"
    )
    arguments = flags({"upstream": agent.url, "node_name": NODE, "file": str(tmp_path / "facts.json")})
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "9"}
    async with program_running(
        "run", "--once", *arguments, directory=tmp_path, environment=environment, python=("-c", program)
    ) as ended:
        assert await ended.exit_code() == 0
        assert ended.output == "0\n"


async def test_fifty_sidecars_ask_the_service_nothing(service: Serving, tmp_path: Path) -> None:
    """50 sidecars start, see a change and wait on; every request to the service is one of the agent's."""
    service.simulator.set_document(document())
    settings: Settings = {"annotations": False, "imds_endpoint": service.url, "node_name": NODE}
    async with agent_running(tmp_path, **settings, imds_timeout="15s") as agent:
        await agent.until_ready()
        async with AsyncExitStack() as stack:
            seen = [await stack.enter_async_context(_sidecar(agent.url)) for _ in range(SIDECARS)]
            await asyncio.gather(*(_until(latest, "20.1.2.3") for latest in seen))
            service.simulator.set_document(document(public="20.1.2.4"))
            await asyncio.gather(*(_until(latest, "20.1.2.4") for latest in seen))
            waiting = partial(agent.metric, "azure_lb_metadata_http_waiting_clients")
            await until(waiting, lambda count: count == SIDECARS)
        service.simulator.set_fault("hang")
        await until(_idle(service))
        # An attempt that hangs now has been sent and is not counted by the agent yet.
        assert service.simulator.counters.requests == await agent.attempts("ok") + 1


def _idle(service: Serving) -> Callable[[], Awaitable[bool]]:
    async def hangs() -> bool:
        return service.simulator.counters.by_status["hang"] == 1

    return hangs


@asynccontextmanager
async def _sidecar(url: str) -> AsyncIterator[Watch[Snapshot]]:
    """What a sidecar does but for its outputs, for the length of the block."""
    policy = Policy(stale_after=60.0, absent_after=60.0)
    now = clock.now()
    latest = Watch(Snapshot.of(State(started=now), now, policy))
    async with (
        UpstreamSource(url=url, node_name=NODE, wait=12, timeout=10.0, clock=clock.now) as source,
        asyncio.TaskGroup() as tasks,
    ):
        poller = Poller(source, latest, policy=policy, poll_interval=600.0, runtime=Runtime())
        polling = tasks.create_task(poller.run())
        yield latest
        polling.cancel()


async def _until(latest: Watch[Snapshot], public_ip: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        snapshot = latest.value
        while snapshot.state.document is None or public_ip.encode() not in snapshot.state.document.canonical:
            snapshot = await latest.changed(snapshot)
