"""The clients in four languages: what they print is what the metadata service says, as soon as it says it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.examples.support import EXAMPLES, NODE, Running, document, program_or_skip, running, said_by
from tests.support.agent import AgentProcess, agent_running
from tests.support.waiting import DEADLINE_S, until

CLIENTS = EXAMPLES / "clients"
COMPILING_S = 1500.0
"""Of the Go command with an empty cache on a busy machine."""

GO = pytest.param("go", marks=[pytest.mark.go, pytest.mark.timeout(COMPILING_S + 300)])
LANGUAGES = ("sh", "py", GO)

in_each_language = pytest.mark.parametrize("language", LANGUAGES)


async def command(name: str, directory: Path) -> str:
    """A program that runs a client; one of Go is compiled first."""
    source = CLIENTS / name
    if source.suffix != ".go":
        return str(source)
    binary = directory / source.stem
    await go("build", "-o", str(binary), str(source), directory=directory)
    return str(binary)


async def go(*arguments: str, directory: Path) -> None:
    """Run the Go command, which says nothing when all is well; the first time it compiles its library."""
    program = program_or_skip("go")
    said = await said_by(program, *arguments, directory=directory, deadline_s=COMPILING_S)
    assert said == (0, "", "")


@asynccontextmanager
async def client(name: str, url: str, *, directory: Path) -> AsyncIterator[Running]:
    """A client that asks an agent."""
    program = await command(name, directory)
    interpreter = {".sh": ["sh"], ".py": [sys.executable, "-W", "error"]}.get(Path(program).suffix, [])
    async with running(*interpreter, program, url, directory=directory) as client:
        yield client


async def until_waits(agent: AgentProcess, kind: str) -> None:
    """Wait until the agent has a client that waits for news."""
    clients = partial(agent.metric, f"azure_lb_metadata_http_{kind}_clients")
    await until(clients, lambda count: count == 1)


@in_each_language
async def test_long_poll(service: Serving, agent: AgentProcess, tmp_path: Path, language: str) -> None:
    """A client prints the address, each other one once, and that there is none; a new rule prints nothing."""
    line = "public IP address: "
    async with client(f"long_poll.{language}", agent.url, directory=tmp_path) as program:
        await program.until_said(f"{line}20.1.2.3")
        await until_waits(agent, "waiting")
        service.simulator.set_document(document("20.1.2.3", outbound=["20.9.9.9"]))
        await agent.until_document(lambda reply: "20.9.9.9" in reply.text)
        service.simulator.set_document(document("20.1.2.4"))
        await program.until_said(f"{line}20.1.2.3", f"{line}20.1.2.4")
        await until_waits(agent, "waiting")
        service.simulator.set_document("none")
        await program.until_said(f"{line}20.1.2.3", f"{line}20.1.2.4", f"{line}none")
        service.simulator.set_document(document("20.1.2.5"))
        await program.until_said(f"{line}20.1.2.3", f"{line}20.1.2.4", f"{line}none", f"{line}20.1.2.5")


@pytest.mark.parametrize("language", ["py", GO])
async def test_events(service: Serving, agent: AgentProcess, tmp_path: Path, language: str) -> None:
    """A client prints what the node leaves from: instance-level addresses first, then outbound rules."""
    async with client(f"events.{language}", agent.url, directory=tmp_path) as program:
        await program.until_said("ok: leaves from 20.1.2.3")
        service.simulator.set_document(document("20.1.2.3", outbound=["20.9.9.9"]))
        await agent.until_document(lambda reply: "20.9.9.9" in reply.text)
        service.simulator.set_document(document(outbound=["20.9.9.9", "20.9.9.8"]))
        await program.until_said("ok: leaves from 20.1.2.3", "ok: leaves from 20.9.9.8, 20.9.9.9")


async def test_events_of_the_shell(service: Serving, agent: AgentProcess, tmp_path: Path) -> None:
    """The shell's client prints the whole state, one line for each."""
    async with client("events.sh", agent.url, directory=tmp_path) as program:
        first = (await agent.document()).text.strip()
        await program.until_said(first)
        service.simulator.set_document(document("20.1.2.4"))
        second = (await agent.until_document(lambda reply: "20.1.2.4" in reply.text)).text.strip()
        await program.until_said(first, second)


@in_each_language
@pytest.mark.parametrize("kind", ["long_poll", "events"])
async def test_agent_comes_late_and_comes_back(
    service: Serving, tmp_path: Path, kind: str, language: str
) -> None:
    """A client that starts before its agent, and outlives it, has the address of now in the end."""
    own = {"imds_endpoint": service.url, "node_name": NODE}
    (tmp_path / "agent").mkdir()
    async with agent_running(tmp_path / "agent", annotations=False, **own) as agent:
        url, listen = agent.url, agent.url.removeprefix("http://")
    async with client(f"{kind}.{language}", url, directory=tmp_path) as program:
        for address in ("20.1.2.6", "20.1.2.7"):
            service.simulator.set_document(document(address))
            async with agent_running(tmp_path / "agent", annotations=False, listen=listen, **own):
                await program.until_mentioned(address)


@pytest.mark.parametrize("name", ["long_poll.sh", "events.sh"])
async def test_shell_hears_sigterm(agent: AgentProcess, tmp_path: Path, name: str) -> None:
    """A shell that waits ends well at SIGTERM, at once and as one that asked for it, and leaves no file."""
    work = tmp_path / "work"
    work.mkdir()
    script = CLIENTS / name
    async with running(
        "sh", str(script), agent.url, directory=tmp_path, extra={"TMPDIR": str(work)}
    ) as program:
        await until_waits(agent, "waiting" if name == "long_poll.sh" else "event")
        os.kill(program.process.pid, signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            assert await program.process.wait() == 0
    assert list(work.iterdir()) == []


@pytest.mark.go
@pytest.mark.timeout(2 * COMPILING_S + 300)
async def test_go_is_formatted_and_vetted(tmp_path: Path) -> None:
    """The Go programs are as gofmt writes them, and vet has nothing to say."""
    for source in sorted(CLIENTS.glob("*.go")):
        await go("vet", str(source), directory=tmp_path)
        gofmt = program_or_skip("gofmt")
        assert await said_by(gofmt, "-l", str(source), directory=tmp_path) == (0, "", "")
