"""The stream of events."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientResponse

from sidecar.api.connections import Limits
from sidecar.api.waiting import Pace
from tests.api.snapshots import DATA, MOVED, STARTING, after, with_rules
from tests.api.support import API, NODE, api_running, connected, ended, exchange
from tests.support import states
from tests.support.faults import CLIENTS_ONLY, Origin, fault
from tests.support.waiting import DEADLINE_S, until_holds


@dataclass(frozen=True)
class Event:
    """One block of a stream, by the names of its fields; a comment has none."""

    fields: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, block: bytes) -> "Event":
        """Read a block."""
        lines = [line.partition(": ") for line in block.decode().rstrip("\n").split("\n")]
        return cls({name: value for name, _, value in lines if name != ":"})

    @property
    def rules(self) -> int:
        """How many inbound rules the state has."""
        return len(json.loads(self.fields["data"])["loadbalancer"]["inboundRules"])


class Stream:
    """An open stream."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self) -> Event:
        """Wait for the next block."""
        async with asyncio.timeout(DEADLINE_S):
            return Event.of(await self.response.content.readuntil(b"\n\n"))

    async def ended(self) -> bool:
        """Wait for the end."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.response.content.read() == b""


@asynccontextmanager
async def stream(api: API, target: str = "/v1/events", **headers: str) -> AsyncIterator[Stream]:
    """A stream that has just begun."""
    url = f"http://{api.address[0]}:{api.address[1]}{target}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.session.get(url, headers=named) as response:
        assert response.status == 200
        opened = Stream(response)
        assert await opened.next() == Event({"retry": "2000"})
        yield opened


def streams(api: API) -> float | None:
    """How many streams are open."""
    return api.metrics.registry.get_sample_value("azure_lb_metadata_http_event_clients")


async def test_state_comes_first() -> None:
    """A stream begins with the present state, its ETag as id, and its headers name the node."""
    async with api_running(DATA) as api:
        whole = await api.get("/v1/loadbalancer")
        async with stream(api) as opened:
            event, headers = await opened.next(), opened.response.headers
            assert streams(api) == 1

    assert event == Event({"event": "state", "id": whole.headers["Etag"], "data": whole.text})
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Azure-LB-Metadata-Node"] == NODE
    assert "Etag" not in headers


async def test_changes() -> None:
    """Each change is an event, and a change of status too; polls without change are none."""
    async with api_running(DATA) as api, stream(api) as opened, stream(api) as other:
        await opened.next()
        api.latest.set(after(with_rules(1), with_rules(1)))
        api.latest.set(after(with_rules(1), with_rules(2)))
        assert (await opened.next()).rules == 2
        failures = [states.unreachable()] * 31
        api.latest.set(states.snapshot_after(states.answer(with_rules(2)), *failures))
        assert json.loads((await opened.next()).fields["data"])["status"] == "stale"
        assert [(await other.next()).rules for _ in range(3)] == [1, 2, 2]


async def test_only_the_newest_state() -> None:
    """A state that is replaced before it could be sent is never sent."""
    async with api_running(DATA) as api, stream(api) as opened:
        await opened.next()
        for count in range(2, 20):
            api.latest.set(after(with_rules(1), with_rules(count)))
        assert (await opened.next()).rules == 19
        api.latest.set(after(with_rules(1), with_rules(20)))
        api.latest.set(after(with_rules(1), with_rules(19)))
        api.latest.set(after(with_rules(1), with_rules(21)))
        assert (await opened.next()).rules == 21


async def test_resumption() -> None:
    """A client that has the present state gets only the next one; any other gets the present one."""
    async with api_running(DATA) as api:
        etag = (await api.get("/v1/loadbalancer")).headers["Etag"]
        async with stream(api, Last_Event_ID=etag) as same, stream(api, Last_Event_ID='"other"') as other:
            assert (await other.next()).fields["id"] == etag
            api.latest.set(MOVED)
            assert (await same.next()).fields["id"] not in ("", etag)


async def test_before_data() -> None:
    """Before data the stream is open, and the first data are its first event."""
    async with api_running(STARTING) as api, stream(api) as opened:
        assert opened.response.headers["Azure-LB-Metadata-Status"] == "starting"
        api.latest.set(DATA)
        assert (await opened.next()).rules == 1


async def test_heartbeat() -> None:
    """While nothing changes comments are sent, and the state is not repeated after them."""
    async with api_running(DATA, pace=Pace(heartbeat=0.02)) as api, stream(api) as opened:
        await opened.next()
        assert [await opened.next() for _ in range(3)] == [Event()] * 3
        api.latest.set(MOVED)
        while not (event := await opened.next()).fields:
            continue

    assert "20.9.9.9" in event.fields["data"]


async def test_gone_client() -> None:
    """A stream ends when its client disconnects, and leaves nothing behind."""
    async with api_running(DATA) as api:
        async with stream(api), stream(api):
            assert streams(api) == 2
        await until_holds(lambda: streams(api) == 0)
        await until_holds(lambda: not api.application._waiting._watched)


async def test_stop() -> None:
    """Streams end when the agent is about to stop, and new ones are refused."""
    async with api_running(DATA) as api:
        async with stream(api) as opened, stream(api) as other:
            await opened.next()
            await other.next()
            api.application.stop()
            assert await opened.ended()
            assert await other.ended()
        refused = await api.get("/v1/events")
        plain = await api.get("/v1/public-ip")

    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert plain.status == 200


@fault(
    Origin.CLIENTS,
    "A client of the stream of events does not read",
    CLIENTS_ONLY.but(recovery="It is dropped; until then no more than one event waits for it."),
)
async def test_slow_reader() -> None:
    """A client that does not read is dropped, and until then no more than one event waits for it."""
    large = [with_rules(3000 + number) for number in range(40)]
    async with api_running(after(large[0]), pace=Pace(stalled=0.3)) as api:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, api.address)
        await loop.sock_sendall(client, b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        await until_holds(lambda: streams(api) == 1)
        async with stream(api) as reader:
            for number, body in enumerate(large[1:], start=1):
                if streams(api) == 1:
                    break
                api.latest.set(after(large[0], body))
                while (await reader.next()).rules < 3000 + number:
                    continue
            # Well before the kernel gives such a connection up by itself, after 30 s.
            await until_holds(lambda: streams(api) == 1)
        client.close()


async def test_crowd() -> None:
    """Clients beyond the bound are refused with a Retry-After; the others are served."""
    async with (
        api_running(DATA, limits=Limits(max_clients=40), max_waiting=30) as api,
        AsyncExitStack() as crowd,
    ):
        opened = [await crowd.enter_async_context(stream(api)) for _ in range(30)]
        refused = [
            await exchange(api.address, b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(100)
        ]
        plain = [await api.get("/v1/public-ip") for _ in range(10)]
        api.latest.set(MOVED)
        events = [(await one.next(), await one.next())[1] for one in opened]

    assert {reply.split(b" ", 2)[1] for reply in refused} == {b"503"}
    assert all(b"Retry-After: 1\r\n" in reply for reply in refused)
    assert {reply.status for reply in plain} == {200}
    assert all("20.9.9.9" in event.fields["data"] for event in events)


async def test_head() -> None:
    """HEAD is answered at once, with the headers of a stream."""
    async with api_running(DATA) as api:
        reply = await exchange(api.address, b"HEAD /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")

    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/event-stream\r\n" in reply
    assert reply.endswith(b"\r\n\r\n")


async def test_old_clients() -> None:
    """A client of HTTP/1.0 gets the events as they are, to the end of the connection."""
    async with api_running(DATA) as api, connected(api.address) as connection:
        connection[1].write(b"GET /v1/events HTTP/1.0\r\n\r\n")
        await asyncio.wait_for(
            connection[0].readuntil(b"\r\n\r\nretry: 2000\n\nevent: state\nid: "), timeout=DEADLINE_S
        )
        api.application.stop()
        rest = await ended(connection)

    assert rest.endswith(b"}\n\n")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v1/events?node=other", 421),
        ("/v1/events?format=json", 400),
        ("/v1/events?family=ipv4", 400),
        (f"/v1/events?node={NODE}&node={NODE}", 400),
    ],
)
async def test_parameters(target: str, status: int) -> None:
    """A stream takes the node's name, and nothing else."""
    async with api_running(DATA) as api:
        reply = await api.get(target)

    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json")


async def test_forwarded() -> None:
    """A stream through a proxy is refused like other data."""
    async with api_running(DATA) as api:
        reply = await api.get("/v1/events", X_Forwarded_For="10.0.0.1")

    assert reply.status == 403
