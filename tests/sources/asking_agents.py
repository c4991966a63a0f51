"""A node agent as its sidecars ask it: the agent's own API, and answers written by hand."""

import asyncio
from collections.abc import Awaitable

from sidecar.core.outcome import Outcome
from tests.api.support import API, NODE, api_running
from tests.support.states import answer, body, pair, snapshot_after
from tests.support.waiting import until_holds

FIRST, SECOND = answer(body(public=[pair("20.1.2.3")])), answer(body(public=[pair("20.1.2.4")]))
DATA = snapshot_after(FIRST)
CHANGED = snapshot_after(FIRST, SECOND)

GOOD = (
    'ETag: "one"',
    "Age: 3",
    f"Azure-LB-Metadata-Node: {NODE}",
    "Azure-LB-Metadata-Status: ok",
)


async def held(api: API, request: Awaitable[Outcome]) -> asyncio.Task[Outcome]:
    """A request once the agent holds it."""
    task = asyncio.ensure_future(request)

    def waiting() -> float | None:
        assert not task.done(), task
        return api.waiting

    await until_holds(waiting)
    return task


async def good_body() -> bytes:
    """What an agent answers."""
    async with api_running(DATA) as api:
        return (await api.get("/v1/loadbalancer")).body


def header(request: bytes, name: str) -> str | None:
    """A header of a request."""
    lines = request.decode().split("\r\n")[1:]
    values = [line.partition(": ")[2] for line in lines if line.lower().startswith(f"{name.lower()}: ")]
    return values[0] if values else None
