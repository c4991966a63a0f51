"""Long polls: `Prefer: wait`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecar.api.endpoints import ENDPOINTS
from sidecar.api.parameters import Format, wait_preference
from sidecar.api.request import ParsedRequest
from sidecar.api.waiting import Waiting
from sidecar.core.outcome import Outcome
from sidecar.metrics import Metrics
from tests.api.snapshots import DATA, MOVED, STARTING, after, with_rules
from tests.api.support import API, api_running, connected, ended, refused
from tests.support import states
from tests.support.replies import Reply
from tests.support.waiting import DEADLINE_S, until_holds


@asynccontextmanager
async def waiters(
    api: API, target: str, *, count: int = 1, wait: str = "wait=60", **headers: str
) -> AsyncIterator[list[asyncio.Task[Reply]]]:
    """Clients that wait for an answer that differs from the present one."""
    etag = (await api.get(target, **headers)).headers.get("Etag")
    headers = {"Prefer": wait, **({} if etag is None else {"If-None-Match": etag}), **headers}
    before = api.waiting or 0
    tasks = [asyncio.create_task(api.get(target, **headers)) for _ in range(count)]
    await until_holds(lambda: api.waiting == before + count)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_change() -> None:
    """A waiter is answered with the new data as soon as they are there."""
    async with api_running(DATA) as api, waiters(api, "/v1/public-ip", count=3) as tasks:
        api.latest.set(MOVED)
        replies = await asyncio.gather(*tasks)

    assert {(reply.status, reply.text) for reply in replies} == {(200, "20.9.9.9\n")}
    assert replies[0].headers["Preference-Applied"] == "wait=60"
    assert api.waiting == 0


async def test_no_change_of_this_representation() -> None:
    """100 changes of rules wake none who waits for the public IP, but all who wait for rules."""
    bodies = [with_rules(count) for count in range(1, 102)]
    async with (
        api_running(DATA) as api,
        waiters(api, "/v1/public-ip") as (still,),
        waiters(api, "/v1/inbound-rules?frontendPort=1") as (other,),
        waiters(api, "/v1/inbound-rules") as (woken,),
    ):
        for body in bodies[1:]:
            api.latest.set(after(bodies[0], body))
            await asyncio.sleep(0)
        await asyncio.wait_for(woken, timeout=DEADLINE_S)
        assert (still.done(), other.done()) == (False, False)
        api.latest.set(MOVED)
        assert (await still).text == "20.9.9.9\n"


async def test_polls_without_change() -> None:
    """Polls without changes, and a status that is not part of the body, wake no client."""
    async with api_running(DATA) as api, waiters(api, "/v1/public-ip") as (still,):
        body = with_rules(1)
        api.latest.set(after(body, body))
        api.latest.set(states.snapshot_after(states.answer(body), *[states.unreachable()] * 31))
        async with waiters(api, "/v1/loadbalancer") as (woken,):
            assert not still.done()
            api.latest.set(after(body, body))
            reply = await woken
        assert not still.done()

    assert (reply.json["status"], reply.json["reason"]) == ("ok", None)


async def test_no_change_in_time() -> None:
    """A wait without a change ends with 304."""
    async with api_running(DATA) as api, waiters(api, "/v1/public-ip", wait="wait=1") as (task,):
        reply = await task

    assert (reply.status, reply.headers["Preference-Applied"]) == (304, "wait=1")
    assert api.waiting == 0


async def test_nothing_to_wait_for() -> None:
    """A client without an ETag, or with that of other data, is answered at once."""
    async with api_running(DATA) as api:
        without = await api.get("/v1/public-ip", Prefer="wait=60")
        other = await api.get("/v1/public-ip", Prefer="wait=60", If_None_Match='"other"')

    assert (without.status, other.status) == (200, 200)
    assert without.headers["Preference-Applied"] == "wait=60"


async def test_first_data() -> None:
    """Before data a waiter waits for the first ones, with or without an ETag, and for others than it has."""
    async with api_running(DATA) as api:
        etag = (await api.get("/v1/public-ip")).headers["Etag"]
    async with (
        api_running(STARTING) as api,
        waiters(api, "/v1/public-ip") as (first,),
        waiters(api, "/v1/public-ip", If_None_Match=etag) as (known,),
        waiters(api, "/metadata/loadbalancer?api-version=2020-10-01", Metadata="true") as (imds,),
    ):
        api.latest.set(DATA)
        assert ((await first).text, (await imds).status) == ("20.1.2.3\n", 200)
        assert not known.done()
        api.latest.set(MOVED)
        assert (await known).text == "20.9.9.9\n"


async def test_no_data_in_time() -> None:
    """Without data in time the answer is the 503 that it would have been at once."""
    async with api_running(STARTING) as api, waiters(api, "/v1/public-ip", wait="wait=1") as (task,):
        reply = await task

    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert reply.headers["Preference-Applied"] == "wait=1"


async def test_last_address_withdrawn() -> None:
    """A waiter is answered when its result becomes empty."""
    gone: list[Outcome] = [states.answer(with_rules(1)), *[states.answer(with_rules(1, []))] * 40]
    async with api_running(DATA) as api, waiters(api, "/v1/public-ip") as (task,):
        api.latest.set(states.snapshot_after(*gone))
        reply = await task

    assert reply.status == 404


async def test_raw() -> None:
    """A waiter on the raw document is woken by bytes that change nothing else."""
    async with api_running(DATA) as api, waiters(api, "/v1/raw") as (task,):
        api.latest.set(after(with_rules(1), with_rules(1)))
        api.latest.set(after(with_rules(1), with_rules(1) + b"\n"))
        reply = await task

    assert reply.body == with_rules(1) + b"\n"


async def test_long_wait() -> None:
    """A wait is at most 300 s, and the answer says so."""
    async with api_running(DATA) as api, waiters(api, "/v1/public-ip", wait="wait=86400") as (task,):
        api.latest.set(MOVED)
        reply = await task

    assert reply.headers["Preference-Applied"] == "wait=300"


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ('Wait="10"', 10),
        (" respond-async , wait = 10 ; foo=bar, wait=20", 10),
        ("wait=0", 0),
        ("wait=-1, wait=5", 5),
        ("wait", None),
        ("wait=", None),
        ('wait="1', None),
        ("wait=1.5", None),
        ("wait=9999999999", 10**9),
        ("await=10", None),
        ("return=minimal", None),
        ("", None),
    ],
)
def test_preference(prefer: str, seconds: int | None) -> None:
    """The first whole number of seconds counts, and unknown preferences are ignored."""
    assert wait_preference(prefer) == seconds


@pytest.mark.parametrize("prefer", ["wait=0", "wait=soon", "respond-async"])
async def test_no_wait(prefer: str) -> None:
    """Without a wait a client that has these bytes gets its 304 at once."""
    async with api_running(DATA) as api:
        etag = (await api.get("/v1/public-ip")).headers["Etag"]
        reply = await api.get("/v1/public-ip", Prefer=prefer, If_None_Match=etag)

    assert reply.status == 304
    assert reply.headers.get("Preference-Applied") == ("wait=0" if prefer == "wait=0" else None)


@pytest.mark.parametrize("target", ["/metadata/versions", "/v1/public-ip?family=ipv6", "/v1/none"])
async def test_nothing_that_changes(target: str) -> None:
    """Static and refused requests never wait."""
    async with api_running(DATA) as api:
        reply = await api.get(target)
        again = await api.get(target, Prefer="wait=60", If_None_Match=reply.headers.get("Etag", '"x"'))

    assert again.status == (304 if reply.status == 200 else reply.status)


async def test_gone_client() -> None:
    """A wait ends when its client disconnects."""
    async with api_running(DATA) as api:
        etag = (await api.get("/v1/public-ip")).headers["Etag"]
        async with connected(api.address) as (_, writer):
            request = (
                f"GET /v1/public-ip HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\nIf-None-Match: {etag}\r\n\r\n"
            )
            writer.write(request.encode())
            await until_holds(lambda: api.waiting == 1)
        await until_holds(lambda: api.waiting == 0)
        assert not api.application._waiting._watched


async def test_stop() -> None:
    """When the agent is about to stop, waiting clients get a 503 at once; others are still answered."""
    async with (
        api_running(DATA) as api,
        waiters(api, "/v1/public-ip") as (task,),
        waiters(api, "/metadata/loadbalancer?api-version=2020-10-01", Metadata="true") as (imds,),
    ):
        api.application.stop()
        replies = [await task, await imds]
        etag = (await api.get("/v1/public-ip")).headers["Etag"]
        replies += [await api.get("/v1/public-ip", Prefer="wait=60", If_None_Match=etag)]
        api.latest.set(MOVED)
        plain = await api.get("/v1/public-ip", Prefer="wait=60")

    assert [(reply.status, reply.headers["Retry-After"]) for reply in replies] == [(503, "1")] * 3
    assert {reply.headers["Connection"] for reply in replies} == {"close"}
    assert [next(iter(reply.json)) for reply in replies] == ["title", "error", "title"]
    assert (plain.status, plain.text) == (200, "20.9.9.9\n")


async def test_too_many() -> None:
    """When all places are taken, one more client that would wait gets a 503; others are answered."""
    async with (
        api_running(DATA, max_waiting=2) as api,
        waiters(api, "/v1/public-ip", count=2) as tasks,
    ):
        etag = (await api.get("/v1/public-ip")).headers["Etag"]
        third = await api.get("/v1/public-ip", Prefer="wait=60", If_None_Match=etag)
        events = await api.get("/v1/events")
        plain = await api.get("/v1/public-ip", Prefer="wait=60")
        api.latest.set(MOVED)
        replies = await asyncio.gather(*tasks)
        count = refused(api, "max-waiting")

    assert [(reply.status, reply.headers["Retry-After"]) for reply in (third, events)] == [(503, "1")] * 2
    assert (third.headers["Connection"], count) == ("close", 2)
    assert [reply.status for reply in (plain, *replies)] == [200] * 3


async def test_head() -> None:
    """HEAD waits like GET."""
    async with api_running(DATA) as api:
        etag = (await api.get("/v1/public-ip")).headers["Etag"]
        async with connected(api.address) as connection:
            head = f"HEAD /v1/public-ip HTTP/1.0\r\nPrefer: wait=60\r\nIf-None-Match: {etag}\r\n\r\n"
            connection[1].write(head.encode())
            await until_holds(lambda: api.waiting == 1)
            api.latest.set(MOVED)
            reply = await ended(connection)

    assert reply.startswith(b"HTTP/1.0 200 ")
    assert reply.endswith(b"\r\n\r\n")


class CountingEtags:
    """An ETag that counts how often it is read."""

    def __init__(self) -> None:
        self.looks = 0
        self.now: str | None = '"a"'

    def etag(self, *_: Any) -> str | None:
        """The ETag now."""
        self.looks += 1
        return self.now


async def test_one_look_for_all() -> None:
    """However many clients wait for the same body, its ETag is read once per change of the data."""
    etags, request = CountingEtags(), ParsedRequest(route=ENDPOINTS["/v1/public-ip"], form=Format.TEXT)
    waiting = Waiting(etags.etag, bound=1000, metrics=Metrics())
    tasks = [asyncio.create_task(waiting.changed(request, '"a"')) for _ in range(1000)]
    await asyncio.sleep(0)
    etags.looks, alarm = 0, waiting._watched[request].latest._changed
    for _ in range(10):
        waiting.look_soon()
        waiting.look_soon()
        await asyncio.sleep(0)
    assert (etags.looks, waiting._watched[request].latest._changed) == (10, alarm)
    etags.now = '"b"'
    waiting.look_soon()
    assert set(await asyncio.gather(*tasks)) == {'"b"'}
    assert etags.looks == 11
