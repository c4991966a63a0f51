"""The relay of chaos passes on what comes, and goes dead as it is told."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.chaos.relay import Relay, relaying
from tests.support.raw_server import Ending, raw_server, response
from tests.support.waiting import DEADLINE_S

BODY = b"x" * 200_000


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    """A relay to a server that answers everything."""
    async with raw_server(lambda _: response("200 OK", BODY)) as server, relaying(server.url) as relay:
        yield relay


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps one connection, and waits for a moment."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1), timeout=aiohttp.ClientTimeout(total=1)
    ) as session:
        yield session


async def body(session: aiohttp.ClientSession, relay: Relay) -> bytes:
    """What comes through the relay."""
    async with session.get(relay.url) as response:
        return await response.read()


async def test_whole(relay: Relay, session: aiohttp.ClientSession) -> None:
    """Everything gets through, one request after the other."""
    assert [await body(session, relay) for _ in range(3)] == [BODY] * 3


async def test_half_open(relay: Relay, session: aiohttp.ClientSession) -> None:
    """A dead connection takes a request and gives nothing, also later; another one works again."""
    await body(session, relay)
    async with relay.half_open():
        pass
    with pytest.raises(TimeoutError):
        await body(session, relay)
    assert await body(session, relay) == BODY


async def test_connections_that_come_meanwhile(relay: Relay, session: aiohttp.ClientSession) -> None:
    """While it lasts, new connections are as dead."""
    async with relay.half_open():
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await body(session, relay)
    assert await body(session, relay) == BODY


async def test_reset_is_passed_on() -> None:
    """A reset behind the relay is one before it."""
    cut = response("200 OK", BODY)[:1000]
    async with (
        raw_server(lambda _: cut, Ending.RESET) as server,
        relaying(server.url) as relay,
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(body(session, relay), DEADLINE_S)
