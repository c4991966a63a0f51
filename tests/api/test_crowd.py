"""Ten thousand clients of events where there is room for a few."""

import asyncio
from contextlib import AsyncExitStack

from sidecar.api.connections import Limits
from tests.api.snapshots import DATA
from tests.api.support import API, api_running, clients, connected, exchange
from tests.support.waiting import until_holds

_PLACES = 32
_CROWD = 10_000
_AT_ONCE = 50
"""Below what the agent tells so at the same time; more would be cut off without a word."""

_EVENTS = b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"


async def _refused(api: API) -> bool:
    answer = await exchange(api.address, _EVENTS)
    return answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in answer


async def test_ten_thousand_beyond_the_bound_are_refused_while_others_are_served() -> None:
    """Each of 10,000 further clients gets 503 with Retry-After, and plain requests go on being answered."""
    # The slow checks of the loop's debug mode have been made by all the smaller tests.
    asyncio.get_running_loop().set_debug(enabled=False)
    async with (
        api_running(DATA, limits=Limits(max_clients=_PLACES + 64), max_waiting=_PLACES) as api,
        AsyncExitStack() as idle,
    ):
        for _ in range(_PLACES):
            reader, writer = await idle.enter_async_context(connected(api.address))
            writer.write(_EVENTS)
            await reader.readuntil(b"event: state")
        refused = served = 0
        for _ in range(_CROWD // _AT_ONCE):
            refused += sum(await asyncio.gather(*(_refused(api) for _ in range(_AT_ONCE))))
            served += (await api.get("/v1/public-ip")).status == 200
        # What is left are the waiting clients, and perhaps the kept connection of the plain requests.
        await until_holds(lambda: clients(api) in {_PLACES, _PLACES + 1})

    assert refused == _CROWD
    assert served == _CROWD // _AT_ONCE
