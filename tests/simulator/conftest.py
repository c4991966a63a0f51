"""A simulator on free ports for every test, and a client that hides nothing."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from sidecar.simulator import Serving, Simulator, parse_scenario, serve
from tests.support.waiting import DEADLINE_S


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The seconds now."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the simulator of this test."""
    return Clock()


@pytest.fixture
async def serving(clock: Clock) -> AsyncIterator[Serving]:
    """A simulator with the data set "all" and no request limit, on free ports."""
    simulator = Simulator(parse_scenario("rateLimit: false"), time=clock, wall=lambda: 1_700_000_000.0)
    async with serve(simulator) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that follows no redirect and gives up in time."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
        yield client
