"""What several tests of the agent say and ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.agent import (
    Reply,
)

PUBLIC_IP = "192.0.2.4\n"
"""What the simulator's documents say."""

FAULTS = {
    "unavailable": "unavailable",
    "throttled": "throttled",
    "gone": "not-ready",
    "api-not-available": "not-ready",
    "api-not-found": "not-ready",
    "hang": "unreachable",
    "reset": "unreachable",
    "xml": "rejected",
    "truncated": "malformed",
    "empty": "malformed",
}
"""What the metadata service may do instead of answering, and the reason that becomes of it."""


def stale(reply: Reply) -> bool:
    """Whether an answer's data are called stale."""
    return reply.status == 200 and reply.state == "stale"


def ok(reply: Reply) -> bool:
    """Whether an answer's data are fresh."""
    return reply.status == 200 and reply.state == "ok"


def age(reply: Reply) -> int:
    """How old an answer's data are, in whole seconds."""
    return int(reply.headers["Age"])


@asynccontextmanager
async def taken_port() -> AsyncIterator[str]:
    """An address of loopback where somebody else listens."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
