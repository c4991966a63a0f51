"""Faults that spoil an answer on its way: cut off, too long, late, or none at all."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from sidecar.simulator import Serving, Simulator, parse_scenario
from tests.simulator.client import LOADBALANCER, QUERY, fetch
from tests.support.waiting import DEADLINE_S, until_holds


async def test_truncated(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The connection ends before the announced length."""
    serving.simulator.set_fault({"name": "truncated", "size": 20})

    async with _raw(serving) as (reader, writer):
        writer.write(_request())
        received = await reader.read()

    head, _, body = received.partition(b"\r\n\r\n")
    assert body == b'{"loadbalancer":{"pu'
    assert b"Content-Length: 588" in head
    with pytest.raises(aiohttp.ClientPayloadError):
        await fetch(session, serving.url + LOADBALANCER)


@pytest.mark.parametrize("name", ["huge", "huge-chunked"])
async def test_huge(serving: Serving, session: aiohttp.ClientSession, name: str) -> None:
    """A body of the wanted size is valid JSON, with its length announced or not."""
    serving.simulator.set_fault({"name": name, "size": 300_000})

    response = await fetch(session, serving.url + LOADBALANCER)

    assert len(response.body) == 300_000
    assert response.value["loadbalancer"]["inboundRules"] == []
    assert ("Content-Length" in response.headers) == (name == "huge")


async def test_slow(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A slow answer is the right one, not before its time."""
    serving.simulator.set_fault({"name": "slow", "delay": "50ms"})
    loop = asyncio.get_running_loop()
    began = loop.time()

    response = await fetch(session, serving.url + LOADBALANCER)

    assert response.value["loadbalancer"]["outboundRules"]
    assert loop.time() - began >= 0.05


async def test_slow_drip(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A dripping answer is the right one; its first bytes come long before its last."""
    serving.simulator.change({"document": "empty", "fault": {"name": "slow-drip", "delay": "1ms"}})

    async with session.get(serving.url + LOADBALANCER, headers={"Metadata": "true"}) as response:
        first = await response.content.read(1)
        rest = await response.content.read()

    assert first == b"{"
    assert json.loads(first + rest)["loadbalancer"]["inboundRules"] == []


async def test_hang(serving: Serving, session: aiohttp.ClientSession) -> None:
    """A hanging request is accepted and gets nothing, until the client gives up."""
    serving.simulator.set_fault("hang")
    request = asyncio.create_task(fetch(session, serving.url + LOADBALANCER))
    await serving.simulator.counters.reached(1)

    done, _ = await asyncio.wait([request], timeout=0.05)
    request.cancel()

    assert not done
    assert serving.simulator.counters.by_status == {"hang": 1}


async def test_hanging_requests_end_with_their_client(
    serving: Serving, session: aiohttp.ClientSession
) -> None:
    """A client that is gone leaves nothing behind that still waits."""
    serving.simulator.set_fault("hang")
    request = asyncio.create_task(fetch(session, serving.url + LOADBALANCER))
    await serving.simulator.counters.reached(1)
    assert len(_connections()) == 1

    request.cancel()

    await until_holds(lambda: not _connections())


async def test_hanging_requests_end_with_the_service(session: aiohttp.ClientSession) -> None:
    """Whoever hangs is cut off at once when a service that others run, patiently, ends."""
    simulator = Simulator(parse_scenario("fault: hang"))
    runner = web.AppRunner(simulator.application(), shutdown_timeout=3600)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    request = asyncio.create_task(fetch(session, url + LOADBALANCER))
    await simulator.counters.reached(1)

    async with asyncio.timeout(DEADLINE_S):
        await runner.cleanup()

    with pytest.raises(aiohttp.ClientError):
        await request


async def test_reset(serving: Serving) -> None:
    """A reset connection is one for the client, not an orderly end."""
    serving.simulator.set_fault("reset")

    async with _raw(serving) as (reader, writer):
        writer.write(_request())
        with pytest.raises(ConnectionResetError):
            await reader.read()

    assert serving.simulator.counters.by_status == {"reset": 1}


@asynccontextmanager
async def _raw(serving: Serving) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection: client libraries repeat a request whose connection was reset."""
    host, _, port = serving.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _connections() -> list[asyncio.Task[object]]:
    """The tasks of connections that the simulator serves."""
    return [task for task in asyncio.all_tasks() if "RequestHandler.start" in repr(task.get_coro())]


def _request() -> bytes:
    return f"GET /metadata/loadbalancer?{QUERY} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n\r\n".encode()
