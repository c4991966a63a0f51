"""Bounds of connections, and the end."""

import asyncio
from contextlib import AsyncExitStack
from ipaddress import ip_network

import pytest
from aiohttp import web

from sidecar.api.admin import AdminApplication
from sidecar.api.connections import Limits
from sidecar.api.sockets import serving
from sidecar.metrics import Metrics
from tests.api.snapshots import DATA
from tests.api.support import (
    API,
    REQUEST,
    answer_ok,
    api_running,
    ask,
    clients,
    connected,
    ended,
    exchange,
    refused,
    socket_on,
)
from tests.support.faults import CLIENTS_ONLY, Origin, also_shows, fault
from tests.support.waiting import DEADLINE_S, until_holds


async def long_poll(api: API) -> bytes:
    """A request that waits as long as nothing changes."""
    async with connected(api.address) as connection:
        answer = await ask(connection)
    etag = answer.partition(b"ETag: ")[2].partition(b"\r\n")[0]
    return REQUEST[:-2] + b"If-None-Match: " + etag + b"\r\nPrefer: wait=300\r\n\r\n"


@fault(
    Origin.CLIENTS,
    "More clients come than there are places for",
    CLIENTS_ONLY.but(
        served="Those inside; others get 503, `Retry-After` and the end of the connection.",
        logged="`http_refused_clients_total`.",
    ),
)
async def test_too_many_clients() -> None:
    """Who comes when all places are taken gets 503 and is sent away, until a place is free."""
    async with api_running(DATA, limits=Limits(max_clients=2)) as api:
        waiting = await long_poll(api)
        async with connected(api.address) as first, connected(api.address) as second:
            for _, writer in (first, second):
                writer.write(waiting)
            await until_holds(lambda: api.waiting == 2)
            third = await exchange(api.address, REQUEST)
            assert clients(api) == 2
        await until_holds(lambda: clients(api) == 0)
        async with connected(api.address) as fourth:
            answer = await ask(fourth)
        count = refused(api, "max-clients")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert third.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in third
    assert b"\r\nConnection: close\r\n" in third
    assert count == 1


@also_shows("More clients come than there are places for")
async def test_far_too_many_clients() -> None:
    """A burst beyond the places for refusals is cut off, and those inside go on."""
    async with api_running(DATA, limits=Limits(max_clients=1)) as api:
        waiting = await long_poll(api)
        await until_holds(lambda: clients(api) == 0)
        inside = await asyncio.open_connection(*api.address)
        inside[1].write(waiting)
        await until_holds(lambda: api.waiting == 1)
        burst = [await asyncio.open_connection(*api.address) for _ in range(100)]
        await until_holds(lambda: refused(api, "max-clients") == 100)
        assert api.waiting == 1
        for _, writer in (*burst, inside):
            writer.close()


@pytest.mark.parametrize(("network", "served"), [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
@pytest.mark.parametrize("listen", ["127.0.0.1:0", ":0"])
async def test_networks(network: str, listen: str, *, served: bool) -> None:
    """Only connections from the given networks are served, on a socket for both families too."""
    limits = Limits(allow_from=(ip_network(network), ip_network("fd00::/8")))
    async with (
        serving(answer_ok, socket_on(listen), limits=limits) as addresses,
        connected(("127.0.0.1", int(addresses[0][1]))) as connection,
    ):
        connection[1].write(b"GET / HTTP/1.0\r\n\r\n")
        reply = await ended(connection)

    assert reply.startswith(b"HTTP/1.0 200 ") is served


@fault(
    Origin.CLIENTS,
    "Clients come from networks that are not allowed",
    CLIENTS_ONLY.but(logged="`http_refused_clients_total`."),
)
async def test_refused_networks_are_counted() -> None:
    """Connections from elsewhere are closed at once and counted as such, never as clients."""
    async with api_running(DATA, limits=Limits(allow_from=(ip_network("10.0.0.0/8"),))) as api:
        async with connected(api.address) as connection:
            reply = await ended(connection)
        counts = (refused(api, "allow-from"), clients(api))

    assert (reply, counts) == (b"", (1, 0))


@fault(
    Origin.CLIENTS,
    "A client sends its header byte by byte, or only half of it",
    CLIENTS_ONLY.but(recovery="The connection is closed when the time for a header is over."),
)
@pytest.mark.parametrize("before", [[], [REQUEST], [REQUEST, REQUEST]])
async def test_half_sent_header(before: list[bytes]) -> None:
    """A header that does not end in time closes the connection, on its first request and later."""
    async with (
        api_running(DATA, limits=Limits(header_timeout=0.05)) as api,
        connected(api.address) as connection,
    ):
        for request in before:
            await ask(connection, request)
        connection[1].write(b"GET /v1/public-ip HTTP/1.1\r\nHost:")
        assert await ended(connection) == b""


async def test_header_in_pieces() -> None:
    """A header that comes in pieces is answered, and its time limit ends with it."""
    async with (
        api_running(DATA, limits=Limits(header_timeout=0.2)) as api,
        connected(api.address) as connection,
        connected(api.address) as stalled,
    ):
        connection[1].write(REQUEST[:10])
        await until_holds(lambda: clients(api) == 2)
        first = await ask(connection, REQUEST[10:])
        stalled[1].write(REQUEST[:10])
        # When this one has timed out, the time of the one before is over too.
        assert await ended(stalled) == b""
        second = await ask(connection)

    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")


@fault(
    Origin.CLIENTS,
    "A client keeps an idle connection",
    CLIENTS_ONLY.but(recovery="The connection is closed after the idle time-out."),
)
async def test_idle_connection() -> None:
    """A connection without requests is closed after a while."""
    async with (
        api_running(DATA, limits=Limits(idle_timeout=0.05)) as api,
        connected(api.address) as connection,
    ):
        await ask(connection)
        assert await ended(connection) == b""


async def test_silent_connection() -> None:
    """A connection on which nothing ever comes is closed after the same while."""
    async with (
        api_running(DATA, limits=Limits(idle_timeout=0.05)) as api,
        connected(api.address) as connection,
    ):
        assert await ended(connection) == b""


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /v1/public-ip?family=%b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/public-ip HTTP/1.1\r\nHost: x\r\nAccept: %b\r\n\r\n",
        b"GET /v1/public-ip HTTP/1.1\r\nHost: x\r\n%b: x\r\n\r\n",
    ],
)
async def test_large_header(request_head: bytes) -> None:
    """A request line or header field beyond the bound is refused, and one below it is not."""
    async with api_running(DATA, limits=Limits(max_header_size=2048)) as api:
        refused = await exchange(api.address, request_head % (b"x" * 2100))
        async with connected(api.address) as connection:
            answered = await ask(connection, request_head % (b"x" * 1000))

    assert b"400 Bad Request\r\n" in refused
    assert b"bytes)" in refused or b"when reading" in refused
    assert answered.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    assert (b"application/problem+json" in answered) == (b"?family" in request_head)


@fault(
    Origin.CLIENTS, "A header without end", CLIENTS_ONLY.but(recovery="The request is refused at the bound.")
)
async def test_endless_header() -> None:
    """A header of fields without end is refused, however small each one is."""
    async with api_running(DATA) as api:
        fields = b"".join(b"X-%d: x\r\n" % number for number in range(10_000))
        refused = await exchange(api.address, REQUEST[:-2] + fields + b"\r\n")

    assert b" 400 " in refused.split(b"\r\n", 1)[0]


@pytest.mark.parametrize("half", [b"", b"GET /v1/public-ip HTTP/1.1\r\nHost:"])
async def test_end_with_idle_connections(half: bytes) -> None:
    """Connections that are idle, or in the middle of a header, do not hold the end up."""
    async with AsyncExitStack() as running:
        limits = Limits(shutdown_timeout=60, header_timeout=60)
        api = await running.enter_async_context(api_running(DATA, limits=limits))
        async with connected(api.address) as connection:
            await ask(connection)
            connection[1].write(half)
            await connection[1].drain()
            async with asyncio.timeout(DEADLINE_S):
                await running.aclose()
            assert await ended(connection) == b""


async def test_end_while_answering() -> None:
    """A request that is being answered when the end comes gets its answer."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        await go_on.wait()
        return await answer_ok(request)

    async with AsyncExitStack() as running:
        limits = Limits(shutdown_timeout=60)
        addresses = await running.enter_async_context(serving(slow, socket_on("127.0.0.1:0"), limits=limits))
        async with connected(("127.0.0.1", int(addresses[0][1]))) as connection:
            connection[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asked.wait()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(running.aclose())
                tasks.create_task(_set_soon(go_on))
            reply = await ended(connection)

    assert reply.startswith(b"HTTP/1.1 200 ")


async def test_end_does_not_wait_for_ever() -> None:
    """A request that never ends is given up after the time for it."""
    asked = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        return await answer_ok(request)

    async with AsyncExitStack() as running:
        limits = Limits(shutdown_timeout=0.05)
        addresses = await running.enter_async_context(
            serving(endless, socket_on("127.0.0.1:0"), limits=limits)
        )
        async with connected(("127.0.0.1", int(addresses[0][1]))) as connection:
            connection[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asked.wait()
            async with asyncio.timeout(DEADLINE_S):
                await running.aclose()
            assert await ended(connection) == b""


@fault(Origin.CLIENTS, "A client goes in the middle of its request", CLIENTS_ONLY)
async def test_gone_client() -> None:
    """When the client goes, its handler is cancelled."""
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return await answer_ok(request)

    async with serving(endless, socket_on("127.0.0.1:0")) as addresses:
        async with connected(("127.0.0.1", int(addresses[0][1]))) as connection:
            connection[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asked.wait()
        await asyncio.wait_for(cancelled.wait(), timeout=DEADLINE_S)


@pytest.mark.parametrize("line", [b"OPTIONS * HTTP/1.1", b"CONNECT example.com:443 HTTP/1.1"])
@pytest.mark.parametrize("admin", [False, True])
async def test_requests_to_no_path(line: bytes, admin: bool) -> None:  # noqa: FBT001 - a case
    """Methods for the server as a whole are not allowed, rather than not found, on both listeners."""
    async with AsyncExitStack() as stack:
        if admin:
            application = AdminApplication(Metrics(), overdue=list, unready=str, attempts=list)
            bound = await stack.enter_async_context(serving(application, socket_on("127.0.0.1:0")))
            address = ("127.0.0.1", int(bound[0][1]))
        else:
            address = (await stack.enter_async_context(api_running(DATA))).address
        said = await exchange(address, line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert said.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: GET, HEAD\r\n" in said


@pytest.mark.parametrize("requests", [1, 3, 40])
async def test_half_closed_client(requests: int) -> None:
    """A client that says it sends no more is answered all it asked, and then the connection ends."""
    async with (
        api_running(DATA, limits=Limits(idle_timeout=3600)) as api,
        connected(api.address) as connection,
    ):
        connection[1].write(REQUEST * requests)
        connection[1].write_eof()
        said = await ended(connection)

    assert said.count(b"HTTP/1.1 200 ") == requests
    assert said.count(b"HTTP/1.1 ") == requests


async def test_half_closed_client_that_waits() -> None:
    """A long poll of a client that may have gone gives up its place at once, and not after five minutes."""
    async with api_running(DATA) as api, connected(api.address) as connection:
        etag = (await api.get("/v1/public-ip")).headers["ETag"]
        connection[1].write(REQUEST[:-2] + f"If-None-Match: {etag}\r\nPrefer: wait=300\r\n\r\n".encode())
        await until_holds(lambda: api.waiting == 1)
        connection[1].write_eof()
        assert await ended(connection) == b""
        await until_holds(lambda: api.waiting == 0)


@pytest.mark.parametrize("behind", [REQUEST, b"GARBAGE\r\n\r\n", REQUEST * 100])
@pytest.mark.parametrize("how", ["half-closed", "closed", "reset"])
@pytest.mark.parametrize("target", [b"/v1/public-ip", b"/v1/events"])
async def test_gone_client_that_pipelined(behind: bytes, how: str, target: bytes) -> None:
    """A client that has gone gives up its place also where its end is behind requests not read yet."""
    async with api_running(DATA) as api, connected(api.address) as connection:
        etag = (await api.get("/v1/public-ip", Connection="close")).headers["ETag"].encode()
        head = b"GET %b HTTP/1.1\r\nHost: x\r\nIf-None-Match: %b\r\nPrefer: wait=300\r\n\r\n" % (target, etag)
        connection[1].write(head + behind)
        await until_holds(lambda: clients(api) == 1 and api.waiting == (target == b"/v1/public-ip"))
        match how:
            case "half-closed":
                connection[1].write_eof()
            case "closed":
                connection[1].close()
            case _:
                connection[1].transport.abort()
        await until_holds(lambda: clients(api) == 0 and api.waiting == 0)


@pytest.mark.parametrize(
    "half", [b"", b"GET /v1/public-ip HTTP/1.1\r\nHo", REQUEST[:-2] + b"Content-Length: 9\r\n\r\n"]
)
async def test_half_closed_client_without_a_request(half: bytes) -> None:
    """Who closes its side with nothing or half a request sent is not waited for."""
    async with (
        api_running(DATA, limits=Limits(idle_timeout=3600)) as api,
        connected(api.address) as connection,
    ):
        connection[1].write(half)
        connection[1].write_eof()
        said = await ended(connection)

    assert said.count(b"HTTP/1.1 400 ") == (b"Length" in half)
    assert b"200 OK" not in said


async def _set_soon(event: asyncio.Event) -> None:
    """Set it once everything that is due now has run."""
    await asyncio.sleep(0)
    event.set()
