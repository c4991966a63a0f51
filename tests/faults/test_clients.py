"""What many clients may do to an agent that runs as a process of its own."""

import asyncio
import resource

import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from tests.agent.support import PUBLIC_IP
from tests.faults.support import Surroundings
from tests.support.agent import agent_with
from tests.support.faults import CLIENTS_ONLY, Origin, fault
from tests.support.waiting import DEADLINE_S

CLIENTS = 1000


@pytest.fixture(autouse=True)
def descriptors() -> None:
    """Enough descriptors for all clients and, inherited, for the agent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CLIENTS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


@fault(
    Origin.CLIENTS,
    "1,000 clients come at once",
    CLIENTS_ONLY.but(
        served="All of them; polls go on at their interval.", recovery="Nothing to recover from."
    ),
)
async def test_thousand_clients(surroundings: Surroundings) -> None:
    """1,000 clients wait for a change and all get it; who does not wait is answered meanwhile."""
    settings = surroundings.settings(
        annotations=False, kubeconfig=None, node_name=None, poll_interval="200ms"
    )
    async with (
        agent_with(surroundings.directory, settings) as agent,
        ClientSession(
            connector=TCPConnector(limit=0),
            timeout=ClientTimeout(total=None, sock_connect=DEADLINE_S),
        ) as session,
    ):
        await agent.until_ready()
        etag = (await agent.get("/v1/public-ip")).headers["ETag"]
        headers = {"If-None-Match": etag, "Prefer": "wait=60"}

        async def waiting() -> str:
            async with session.get(f"{agent.url}/v1/public-ip", headers=headers) as response:
                assert response.status == 200
                return await response.text()

        waiters = [asyncio.create_task(waiting()) for _ in range(CLIENTS)]
        await agent.more_attempts(2, "ok")
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
        surroundings.service.simulator.set_document("capture-public-ip")
        assert set(await asyncio.gather(*waiters)) == {"52.249.223.56\n"}
