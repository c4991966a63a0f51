"""How an agent ends."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.agent.agent import DRAIN_SECONDS
from sidecar.api.connections import Limits
from sidecar.simulator import Serving
from tests.agent.support import PUBLIC_IP
from tests.faults.support import prepared
from tests.support.agent import AgentProcess, agent_with
from tests.support.faults import CLIENTS_ONLY, Origin, fault
from tests.support.program import PYTHON, Settings

DRAINS_FOR_AN_HOUR = prepared("import sidecar.agent.agent as agent; agent.DRAIN_SECONDS = 3600")
"""An end at once and one after the usual 3 s would differ by speed alone."""


@pytest.fixture
async def draining_agent(service: Serving, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent that goes on answering for an hour after a first signal, and has had its first answer."""
    settings: Settings = {"annotations": False, "imds_endpoint": service.url}
    async with agent_with(tmp_path, settings, python=DRAINS_FOR_AN_HOUR) as agent:
        await agent.until_ready()
        yield agent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_end(agent: AgentProcess, number: signal.Signals) -> None:
    """A signal ends it in order, without a second one."""
    agent.program.signal(number)
    assert await agent.program.exit_code() == 0
    assert [line["event"] for line in agent.program.lines[-2:]] == ["stopping", "stopped"]


def test_end_is_in_time() -> None:
    """All stages of an end are over before 8 s, which leaves the kubelet's 10 s some room."""
    assert DRAIN_SECONDS + Limits().shutdown_timeout * 2 < 8


async def test_drains(draining_agent: AgentProcess) -> None:
    """After a first signal it is unready and answers every request; a second one ends it at once."""
    agent = draining_agent
    agent.program.signal(signal.SIGTERM)
    await agent.program.event("stopping")
    reply = await agent.admin("/readyz")
    assert (reply.status, reply.text) == (503, "stopping\n")
    for _ in range(20):  # each over a connection of its own
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
    agent.program.signal(signal.SIGTERM)
    assert await agent.program.exit_code() == 0


async def stalled_client(url: str, path: str) -> socket.socket:
    """A client that asks much and reads nothing, so that an answer to it never ends."""
    host, port = url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(0)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (host, int(port)))
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    try:
        while True:
            async with asyncio.timeout(0.5):
                await loop.sock_sendall(client, request * 100)
    except TimeoutError:
        return client


@fault(
    Origin.CLIENTS,
    "Clients take no answer while the agent ends",
    CLIENTS_ONLY.but(
        served="The end comes within 8 s, or at once when told twice.", logged="`stopping`, `stopped`."
    ),
)
@pytest.mark.parametrize("signals", [1, 2])
async def test_stalled_clients(service: Serving, tmp_path: Path, signals: int) -> None:
    """Clients that take no answer keep it from ending neither after the usual time nor when told twice."""
    settings: Settings = {"annotations": False, "imds_endpoint": service.url}
    python = PYTHON if signals == 1 else DRAINS_FOR_AN_HOUR
    async with agent_with(tmp_path, settings, python=python) as agent:
        await agent.until_ready()
        clients = await asyncio.gather(
            stalled_client(agent.url, "/v1/loadbalancer"), stalled_client(agent.admin_url, "/metrics")
        )
        with closing(clients[0]), closing(clients[1]):
            agent.program.signal(signal.SIGTERM)
            await agent.program.event("stopping")
            if signals == 2:
                agent.program.signal(signal.SIGTERM)
            assert await agent.program.exit_code() == 0
