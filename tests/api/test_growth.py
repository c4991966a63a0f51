"""What clients send is forgotten: memory does not grow with it."""

import asyncio
import gc

from sidecar.api.connections import Limits
from tests.api.snapshots import DATA
from tests.api.support import API, api_running, ask, connected

_ROUND = 3000
_SPARE = 2000
"""Objects that may come and go between two counts."""


def _request(number: int) -> bytes:
    """A request like no other before: path, parameters, condition and preference."""
    targets = (
        f"/v1/inbound-rules?frontendPort={number % 65536}",
        f"/v1/{number}",
        f"/v1/public-ips?x={number}",
    )
    accept = f'Accept: text/x-{number}\r\nIf-None-Match: "{number}"\r\nX-{number}: {number}\r\n'
    return f"GET {targets[number % 3]} HTTP/1.1\r\nHost: x{number}\r\n{accept}\r\n".encode()


async def _objects_after(api: API, numbers: range) -> int:
    """How many objects there are once these requests were answered."""
    async with connected(api.address) as connection:
        for number in numbers:
            await ask(connection, _request(number))
    gc.collect()
    return len(gc.get_objects())


async def test_memory_does_not_grow_with_the_variety_of_requests() -> None:
    """Thousands of requests, each unlike all before, leave no more behind than the thousands before them."""
    # The slow checks of the loop's debug mode have been made by all the smaller tests.
    asyncio.get_running_loop().set_debug(enabled=False)
    async with api_running(DATA, limits=Limits()) as api:
        await _objects_after(api, range(_ROUND))
        before = await _objects_after(api, range(_ROUND, 2 * _ROUND))
        after = await _objects_after(api, range(2 * _ROUND, 3 * _ROUND))

    assert after - before < _SPARE
