"""How an agent ends."""

import asyncio
import signal
import socket
from contextlib import closing

import pytest

from tests.agent.support import PUBLIC_IP
from tests.support.agent import AgentProcess
from tests.support.faults import CLIENTS_ONLY, Origin, fault

DRAIN_S = 3.0
"""How long the API goes on answering after a first signal."""


async def keeps_answering(agent: AgentProcess, *, seconds: float) -> None:
    """Ask the API over new connections for so long; each request must be answered."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_staged_end(agent: AgentProcess, number: signal.Signals) -> None:
    """After a signal it is not ready any more, answers for 3 s more, and ends well inside 8 s."""
    agent.program.signal(number)
    await agent.program.event("stopping")
    reply = await agent.admin("/readyz")
    assert (reply.status, reply.text) == (503, "stopping\n")
    await keeps_answering(agent, seconds=DRAIN_S - 0.5)
    assert await agent.program.exit_code(deadline_s=5) == 0
    assert agent.program.lines[-1]["event"] == "stopped"


async def test_second_signal(agent: AgentProcess) -> None:
    """A second signal ends it at once: the API does not go on answering."""
    agent.program.signal(signal.SIGTERM)
    await agent.program.event("stopping")
    agent.program.signal(signal.SIGTERM)
    assert await agent.program.exit_code(deadline_s=DRAIN_S - 0.5) == 0


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
async def test_stalled_clients(agent: AgentProcess, signals: int) -> None:
    """Clients that take no answer do not keep it from ending within 8 s, or at once when told twice."""
    clients = await asyncio.gather(
        stalled_client(agent.url, "/v1/loadbalancer"), stalled_client(agent.admin_url, "/metrics")
    )
    with closing(clients[0]), closing(clients[1]):
        agent.program.signal(signal.SIGTERM)
        await agent.program.event("stopping")
        if signals == 2:
            agent.program.signal(signal.SIGTERM)
        assert await agent.program.exit_code(deadline_s=8 if signals == 1 else 1) == 0
