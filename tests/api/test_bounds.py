"""What one client, or a crowd of them, may hold: heads, bodies, idle connections and places to wait."""

import asyncio
import gc
import gzip
import re
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from unittest.mock import patch

import pytest
from aiohttp import web_protocol
from hypothesis import Phase, example, given, settings, strategies as st

from sidecar.api import connections
from sidecar.api.connections import Limits
from sidecar.api.problems import TooManyWaitingError
from sidecar.api.waiting import Waiting
from sidecar.metrics import Metrics
from tests.api.snapshots import DATA
from tests.api.support import (
    API,
    REQUEST,
    api_running,
    ask,
    clients,
    connected,
    ended,
    exchange,
    refused,
)
from tests.support.faults import CLIENTS_ONLY, Origin, fault
from tests.support.waiting import DEADLINE_S, until, until_holds

FIELDS = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 8000) for number in range(120))
"""Each field is allowed, and so is their number; together they have nearly a megabyte."""


@fault(
    Origin.CLIENTS,
    "A client sends a head of many large fields",
    CLIENTS_ONLY.but(recovery="The request is answered 431 at 32 KiB, and the connection ends."),
)
@pytest.mark.parametrize("before", [b"", REQUEST, REQUEST * 40])
async def test_large_head(before: bytes) -> None:
    """A head beyond 32 KiB is answered 431 before it has ended, after the answers to those before it."""
    async with api_running(DATA) as api:
        said = await exchange(api.address, before + REQUEST[:-2] + FIELDS)

    assert said.count(b"HTTP/1.1 200 ") == len(before) // len(REQUEST)
    assert b" 431 Request Header Fields Too Large\r\n" in said
    assert b"at most 32768 bytes" in said


async def test_large_head_while_waiting() -> None:
    """A head that grows beyond the bound while an answer is waited for is not kept."""
    async with api_running(DATA) as api, connected(api.address) as connection:
        etag = (await api.get("/v1/public-ip")).headers["ETag"]
        waiting = REQUEST[:-2] + f"If-None-Match: {etag}\r\nPrefer: wait=1\r\n\r\n".encode()
        connection[1].write(waiting + REQUEST[:-2] + FIELDS)
        said = await ended(connection)

    assert said.startswith(b"HTTP/1.1 304 ")
    assert b" 431 " in said


async def test_head_of_almost_the_bound() -> None:
    """A head that is large and within the bound is served, again and again, also in one piece with others."""
    head = REQUEST[:-2] + b"".join(b"X-%d: %b\r\n" % (number, b"x" * 7000) for number in range(4)) + b"\r\n"
    async with api_running(DATA) as api, connected(api.address) as connection:
        for _ in range(3):
            assert (await ask(connection, head)).startswith(b"HTTP/1.1 200 ")
        connection[1].write(head * 3 + REQUEST[:-2] + b"Connection: close\r\n\r\n")
        said = await ended(connection)

    assert said.count(b"HTTP/1.1 200 ") == 4


@pytest.mark.parametrize(("excess", "status"), [(0, b"200"), (1, b"431")])
@pytest.mark.parametrize("before", [b"", REQUEST * 3])
async def test_head_of_just_the_bound(excess: int, status: bytes, before: bytes) -> None:
    """The bound is exact, also for a head that comes in one piece with others."""
    head = (
        REQUEST[:-2]
        + b"Connection: close\r\n"
        + b"".join(b"X-%d: %b\r\n" % (n, b"x" * 8000) for n in range(4))
    )
    head += b"Y: " + b"y" * (Limits().max_head_size + excess - len(head) - 7) + b"\r\n\r\n"
    async with api_running(DATA) as api:
        said = await exchange(api.address, before + head)

    assert said.count(b"HTTP/1.1 200 ") == len(before) // len(REQUEST) + (status == b"200")
    assert said.count(b" 431 Request Header Fields Too Large\r\n") == (status == b"431")


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"400 "),
        (b"\x16\x03\x01\x02\x00", b"400 "),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b"400 "),
        (b"GET /\r\n\r\n", b"505 "),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", b"505 "),
    ],
)
@pytest.mark.parametrize("good", [0, 1, 3, 40])
@pytest.mark.parametrize("size", [1 << 20, 7])
async def test_requests_before_a_bad_one(last: bytes, status: bytes, good: int, size: int) -> None:
    """Good requests before one that is none are answered, however they are cut into segments."""
    async with api_running(DATA) as api, connected(api.address) as connection:
        sent = REQUEST * good + last + REQUEST
        for start in range(0, len(sent), size):
            connection[1].write(sent[start : start + size])
            await asyncio.sleep(0)
        said = await ended(connection)

    assert said.count(b"HTTP/1.1 200 ") == good
    assert said.count(b"\r\nContent-Length: ") == good + 1
    assert said.rpartition(b"HTTP/1.0 ")[2].startswith(status)


async def test_requests_behind_one_to_upgrade() -> None:
    """A request to change the protocol is answered as any other, and so are those behind it."""
    upgrade = REQUEST[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    last = REQUEST[:-2] + b"Connection: close\r\n\r\n"
    async with api_running(DATA) as api:
        said = await exchange(api.address, (upgrade + REQUEST) * 20 + b"GET / HTTP/9.9\r\n\r\n" + last)

    assert said.count(b"HTTP/1.1 200 ") == 40
    assert said.count(b"HTTP/1.0 400 ") == 1


async def test_many_requests_at_once() -> None:
    """More pipelined requests than are parsed at once are all answered, however long they are together."""
    async with api_running(DATA) as api:
        last = REQUEST[:-2] + b"Connection: close\r\n\r\n"
        said = await exchange(api.address, REQUEST * 2000 + last)

    assert said.count(b"HTTP/1.1 200 ") == 2001


@fault(
    Origin.CLIENTS,
    "Clients keep large requests waiting, or many behind one that waits",
    CLIENTS_ONLY.but(
        recovery="No more is read of each than a little; those that have held much for longest are cut off.",
        logged="`http_refused_clients_total`, cause `heads`.",
    ),
)
async def test_large_heads_of_many() -> None:
    """What all connections together hold of large requests is bounded, and who asks little is served."""
    large = REQUEST[:-2] + b"".join(b"X-%d: %b\r\n" % (number, b"x" * 250) for number in range(110))
    wait = b"If-None-Match: *\r\nPrefer: wait=300\r\n\r\n"
    async with api_running(DATA) as api, AsyncExitStack() as stack:
        for _ in range(160):
            _, writer = await stack.enter_async_context(connected(api.address))
            writer.write(large + wait)
        await until_holds(lambda: (refused(api, "heads") or 0) > 0)
        assert (await last_answer(api)).startswith(b"HTTP/1.1 200 ")


async def test_requests_behind_one_that_waits() -> None:
    """Behind a request that waits no more is read than a little, and all of it is answered in the end."""
    async with api_running(DATA) as api, connected(api.address) as connection:
        etag = (await api.get("/v1/public-ip")).headers["ETag"]
        waiting = REQUEST[:-2] + f"If-None-Match: {etag}\r\nPrefer: wait=2\r\n\r\n".encode()
        padded = REQUEST[:-2] + b"X: " + b"x" * 6000 + b"\r\n\r\n"
        last = REQUEST[:-2] + b"Connection: close\r\n\r\n"
        connection[1].write(waiting + padded * 60 + last)
        await until_holds(lambda: api.waiting == 1)
        gc.collect()  # What tests before this one have left is nobody's.
        held = [type(one) for one in gc.get_objects() if type(one).__name__ == "RawRequestMessage"]
        said = await ended(connection)

    assert len(held) < 10
    assert said.count(b"HTTP/1.1 200 ") == 61


@fault(
    Origin.CLIENTS,
    "A client sends half a head while its request before is answered",
    CLIENTS_ONLY.but(recovery="The answer is given, and the connection ends with it."),
)
async def test_half_head_while_waiting() -> None:
    """Half a head that came during a long poll ends the connection after the poll, without idle time."""
    limits = Limits(header_timeout=0.05, idle_timeout=3600)
    async with api_running(DATA, limits=limits) as api, connected(api.address) as connection:
        etag = (await api.get("/v1/public-ip")).headers["ETag"]
        waiting = REQUEST[:-2] + f"If-None-Match: {etag}\r\nPrefer: wait=1\r\n\r\n".encode()
        connection[1].write(waiting + b"GET /v1/public-ip HTTP/1.1\r\nHo")
        said = await ended(connection)

    assert said.startswith(b"HTTP/1.1 304 ")
    assert said.count(b"HTTP/1.1") == 1


@fault(
    Origin.CLIENTS,
    "A client sends a body, compressed or not",
    CLIENTS_ONLY.but(recovery="It is refused without being read, and the connection ends."),
)
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Length: 5", b"hello"),
        (b"Content-Length: 5", b""),
        (b"Content-Length: 262144\r\nContent-Encoding: gzip", gzip.compress(bytes(10 << 20))),
        (b"Content-Encoding: gzip\r\nContent-Length: 4", b"junk"),
        (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"5\r\nhel"),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_body(fields: bytes, body: bytes, method: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A request with a body is refused whole, and what follows it on the connection is not looked at."""
    async with api_running(DATA) as api:
        head = REQUEST.replace(b"GET", method)[:-2] + fields + b"\r\n\r\n"
        said = await exchange(api.address, head + body + REQUEST)

    # What follows a whole body is no request where that body was short: then that is what is refused.
    assert re.match(rb"HTTP/1\.[01] (400|405) ", said)
    assert said.count(b"\r\nServer: ") == 1
    assert (b" 405 " in said) <= (method == b"POST")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_no_body_is_no_body() -> None:
    """A length of 0 is no body."""
    async with api_running(DATA) as api, connected(api.address) as connection:
        head = REQUEST[:-2] + b"Content-Length: 0\r\n\r\n"
        assert [(await ask(connection, head))[:12] for _ in range(2)] == [b"HTTP/1.1 200"] * 2


@pytest.mark.parametrize(
    "request_bytes",
    [b"\x16\x03\x01\x02\x00", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", REQUEST],
)
async def test_nothing_tells_the_server_apart(request_bytes: bytes) -> None:
    """Whatever comes, the answer names neither Python nor a library, and keeps other sites out."""
    async with api_running(DATA) as api, connected(api.address) as connection:
        connection[1].write(request_bytes + REQUEST[:-2] + b"Connection: close\r\n\r\n")
        said = await ended(connection)

    assert said.startswith(b"HTTP/1.")
    head = said.partition(b"\r\n\r\n")[0]
    assert b"\r\nServer: azure-lb-metadata" in head
    assert b"\r\nCross-Origin-Resource-Policy: same-origin" in head
    assert b"ython" not in said
    assert b"aiohttp" not in said


# --- Connections that do nothing


@fault(
    Origin.CLIENTS,
    "Clients hold all connections and send nothing",
    CLIENTS_ONLY.but(
        recovery="Each new client gets the place of the one that has been idle longest.",
        logged="`http_refused_clients_total`, cause `idle`.",
    ),
)
@pytest.mark.parametrize("half", [b"", b"GET /v1/public-ip HTTP/1.1\r\nHost:"])
async def test_silent_crowd(half: bytes) -> None:
    """When all places are held by clients that ask nothing, a new client is served in the oldest one's."""
    async with api_running(DATA, limits=Limits(max_clients=8)) as api, AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(connected(api.address)) for _ in range(8)]
        await until_holds(lambda: clients(api) == 8)
        for _, writer in crowd:
            writer.write(half)
        async with connected(api.address) as newcomer:
            assert (await ask(newcomer)).startswith(b"HTTP/1.1 200 ")
            assert await ended(crowd[0]) == b""
            assert (refused(api, "idle"), refused(api, "max-clients")) == (1, 0)


async def test_who_is_served_stays() -> None:
    """Not the first to come goes but who has been idle longest; who waits for an answer goes never."""
    async with api_running(DATA, limits=Limits(max_clients=3)) as api, AsyncExitStack() as stack:
        first, second, third = [await stack.enter_async_context(connected(api.address)) for _ in range(3)]
        etag = (await ask(second)).partition(b"ETag: ")[2].partition(b"\r\n")[0]
        second[1].write(REQUEST[:-2] + b"If-None-Match: " + etag + b"\r\nPrefer: wait=300\r\n\r\n")
        await ask(third)
        await ask(first)
        await until_holds(lambda: api.waiting == 1)
        for gone in (third, first):
            newcomer = await stack.enter_async_context(connected(api.address))
            newcomer[1].write(REQUEST[:-2] + b"If-None-Match: " + etag + b"\r\nPrefer: wait=300\r\n\r\n")
            assert await ended(gone) == b""
        await until_holds(lambda: api.waiting == 3)
        assert (await exchange(api.address, REQUEST)).startswith(b"HTTP/1.1 503 ")


@fault(
    Origin.CLIENTS,
    "Clients hold all connections and read no answer",
    CLIENTS_ONLY.but(recovery="Each new client gets the place of one of them."),
)
async def test_crowd_that_does_not_read() -> None:
    """Who has asked for much and takes nothing gives way too."""
    async with api_running(DATA, limits=Limits(max_clients=2)) as api, AsyncExitStack() as stack:
        for _ in range(2):
            _, writer = await stack.enter_async_context(connected(api.address))
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # of what asyncio makes
            for _ in range(60):
                writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 30)
        await until(partial(last_answer, api), lambda said: said.startswith(b"HTTP/1.1 200 "))


async def test_newcomers_come_first() -> None:
    """Where probes are served, who has had an answer and is busy again gives way to who has had none."""
    limits = Limits(max_clients=2, newcomers_first=True)
    async with api_running(DATA, limits=limits) as api, AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(connected(api.address)) for _ in range(2)]
        etag = (await ask(first)).partition(b"ETag: ")[2].partition(b"\r\n")[0]
        waiting = REQUEST[:-2] + b"If-None-Match: " + etag + b"\r\nPrefer: wait=300\r\n\r\n"
        for _, writer in (first, second):
            writer.write(waiting)
        await until_holds(lambda: api.waiting == 2)
        newcomer = await stack.enter_async_context(connected(api.address))
        newcomer[1].write(waiting)
        assert await ended(first) == b""
        await until_holds(lambda: api.waiting == 2)
        # Neither of the two that are left has had an answer.
        assert (await exchange(api.address, REQUEST)).startswith(b"HTTP/1.1 503 ")


async def last_answer(api: API) -> bytes:
    """What a new client is told, whose connection ends with it."""
    return await exchange(api.address, REQUEST[:-2] + b"Connection: close\r\n\r\n")


# --- Places to wait


@fault(
    Origin.CLIENTS,
    "One pod waits on as many connections as it can",
    CLIENTS_ONLY.but(served="A quarter of the places; 503 for its other requests, and all else for others."),
)
def test_share_of_one_peer() -> None:
    """One address has a quarter of the places at most; the own pod or node may have all that are left."""
    metrics = Metrics()
    waiting, gauge = Waiting(lambda _: "", bound=8, metrics=metrics), metrics.waiting_clients
    with waiting.place(gauge, peer="10.0.0.1"):
        with waiting.place(gauge, peer="10.0.0.1"):
            with pytest.raises(TooManyWaitingError), waiting.place(gauge, peer="10.0.0.1"):
                pass
            with waiting.place(gauge, peer="10.0.0.2"):
                pass
        with waiting.place(gauge, peer="10.0.0.1"):
            pass
    with ExitStack() as own:
        for _ in range(8):
            own.enter_context(waiting.place(gauge, peer=None))
        with pytest.raises(TooManyWaitingError), waiting.place(gauge, peer=None):
            pass


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [("2147483647", 300), ("9" * 7000, 300), ("0000000000000", 0), ("301", 300), ("00000000007", 7)],
)
async def test_long_preference(wait: str, seconds: int) -> None:
    """More than 300 counts as 300, with however many digits."""
    async with api_running(DATA) as api:
        reply = await api.get("/v1/public-ip", Prefer=f"wait={wait}")
    assert reply.headers["Preference-Applied"] == f"wait={seconds}"


async def test_metadata_header_is_not_kept() -> None:
    """However many values of ``Metadata`` come, no more than two answers are kept of them."""
    async with api_running(DATA) as api:
        for number in range(20):
            await api.get("/v1/public-ip", Metadata=f"{number}")
        assert len(api.application._responses._prepared) == 1


# --- Heads in whatever pieces


FIELD_NAMES = st.sampled_from([b"Accept", b"X-A", b"Prefer", b"If-None-Match", b"Host", b"Metadata"])
FIELD_VALUES = st.one_of(
    st.binary(max_size=300).map(lambda value: value.replace(b"\n", b"").replace(b"\r", b"")),
    # Drawn byte by byte, values this long would hardly ever come, and heads never grow beyond the bound.
    st.sampled_from((1, 4000, 8000, 8180, 9000)),
)


@given(st.lists(st.tuples(FIELD_NAMES, FIELD_VALUES), max_size=12), st.integers(1, 20_000))
@settings(max_examples=60, phases=(Phase.explicit, Phase.generate))
async def test_any_head(fields: list[tuple[bytes, bytes | int]], size: int) -> None:
    """Any head, in pieces of any size, is answered without a defect, and the next client is served."""
    values = [(name, b"x" * value if isinstance(value, int) else value) for name, value in fields]
    head = REQUEST[:-2] + b"".join(name + b": " + value + b"\r\n" for name, value in values)
    head += b"Connection: close\r\n\r\n"
    # In small pieces, and on a busy machine, a head may be longer on its way than refusals linger.
    with patch.object(connections, "_LINGER_SECONDS", DEADLINE_S):
        said, after = await answer_in_pieces(head, size)
    status = said.split(b" ", 2)[1]
    assert status in {b"200", b"304", b"400", b"431"}
    assert len(head) <= Limits().max_head_size or status in {b"400", b"431"}
    assert after.startswith(b"HTTP/1.1 200 ")


PARTS = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"\n\n", b"\n\r", REQUEST, REQUEST[:-2], b"GET / HTTP/1.1", b"X: y", b":", b"\0"]
)


@given(st.lists(PARTS, max_size=30).map(b"".join), st.integers(1, 40))
@settings(max_examples=200, phases=(Phase.explicit, Phase.generate))
@example(b"\n\n\n", 40)
@example(b"\r\n\n\n", 1)
@example(REQUEST + b"\n\n\n", 40)
@example(b"\r\n" * 20_000, 40_000)
@example(b"\r" + b"\n\r" * 20_000, 40_000)
async def test_any_lines(sent: bytes, size: int) -> None:
    """Whatever comes, empty lines in any number too, ends, and the next client is served."""
    async with api_running(DATA) as api:
        async with connected(api.address) as connection:
            for start in range(0, len(sent), size):
                connection[1].write(sent[start : start + size])
                await asyncio.sleep(0)
            with suppress(OSError):
                connection[1].write_eof()
            await ended(connection)
        assert (await last_answer(api)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("lines", [b"\n", b"\r\n", b"\n\n\n", b"\r\n" * 50_000])
@pytest.mark.parametrize("before", [b"", REQUEST])
async def test_empty_lines_before_a_request(lines: bytes, before: bytes) -> None:
    """Empty lines before a request are ignored, and cost the parser nothing."""
    last = REQUEST[:-2] + b"Connection: close\r\n\r\n"
    async with api_running(DATA) as api:
        with patch.object(web_protocol.RequestHandler, "data_received", autospec=True) as parsed:
            parsed.side_effect = RECEIVE
            said = await exchange(api.address, before + lines + last)

    assert said.count(b"HTTP/1.1 200 ") == 1 + bool(before)
    assert parsed.call_count < 20


RECEIVE = web_protocol.RequestHandler.data_received


async def answer_in_pieces(head: bytes, size: int) -> tuple[bytes, bytes]:
    """What comes of a head that is sent in pieces of that size, and of the request of the next client."""
    async with api_running(DATA) as api:
        async with connected(api.address) as connection:
            for start in range(0, len(head), size):
                connection[1].write(head[start : start + size])
                await asyncio.sleep(0)
            said = await ended(connection)
        return said, await last_answer(api)


@pytest.mark.parametrize(
    ("host", "agent", "status"),
    [
        ("evil.example.com", "Mozilla/5.0", 421),
        ("10.0.0.1.evil.example", "Mozilla/5.0", 421),
        ("a.svc.evil.example", "Mozilla/5.0", 421),
        ("a.b.svc.evil.example", "Mozilla/5.0", 421),
        ("evil.example.com", "curl/8", 200),
        ("10.244.1.7:16925", "Mozilla/5.0", 200),
        ("[fd00::7]:16925", "Mozilla/5.0", 200),
        ("localhost:16925", "Mozilla/5.0", 200),
        ("azure-lb-metadata", "Mozilla/5.0", 200),
        ("azure-lb-metadata.azure-lb-metadata.svc", "Mozilla/5.0", 200),
        ("azure-lb-metadata.azure-lb-metadata.svc.cluster.local", "Mozilla/5.0", 200),
        ("[:", "Mozilla/5.0", 421),
    ],
)
async def test_name_of_a_stranger(host: str, agent: str, status: int) -> None:
    """A browser is not answered under a public name, which a stranger may have made to lead here."""
    async with api_running(DATA) as api:
        head = f"GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
        said = await exchange(api.address, head.encode())
    assert said.startswith(f"HTTP/1.1 {status} ".encode())


async def test_page_is_made_once() -> None:
    """Within a second the page is made once; a change makes it anew."""
    async with api_running(DATA) as api:
        pages = {(await api.get("/")).text for _ in range(5)}
        made = api.application._page
        assert (await api.get("/")).status == 200
        assert api.application._page is made
        api.clock.advance(1)
        await api.get("/")
        assert api.application._page is not made
    assert len(pages) == 1
