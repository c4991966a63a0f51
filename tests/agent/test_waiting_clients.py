"""Clients that wait for changes, and the end of the agent."""

import asyncio
import signal
from functools import partial

from tests.agent.support import PUBLIC_IP
from tests.support.agent import AgentProcess
from tests.support.waiting import until


async def test_stop(agent: AgentProcess) -> None:
    """After a signal waiters are sent away and streams end, while others are still answered."""
    etag = (await agent.get("/v1/public-ip")).headers["Etag"]
    waiter = asyncio.create_task(agent.get("/v1/public-ip", **{"Prefer": "wait=60", "If-None-Match": etag}))
    stream = asyncio.create_task(agent.get("/v1/events"))
    for gauge in ("waiting", "event"):
        clients = partial(agent.metric, f"azure_lb_metadata_http_{gauge}_clients")
        await until(clients, lambda count: count == 1)
    agent.program.signal(signal.SIGTERM)
    refused, events = await waiter, await stream

    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert events.text.startswith("retry: 2000\n\nevent: state\n")
    assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
