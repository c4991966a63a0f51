"""Requests to the API server, counted in each situation of one agent: what 5,000 of them multiply.

Counts are of the default settings and of whatever random numbers, so that a bound holds for each node
and not for the average one. Costs of a request are measured by ``make bench-fleet``.
"""

import random
from collections.abc import Callable

import pytest

from tests.agent.publish.requests import (
    HOUR,
    Requests,
    api_server_away,
    flapping,
    one_change,
    quiet_hour,
    restart,
    roll_out,
    service_unreachable,
    twenty_changes,
)
from tests.agent.publish.support import driven, in_virtual_time
from tests.core.examples import FULL

pytestmark = in_virtual_time

AGENTS = [lambda: 0.0, lambda: 0.5, lambda: 1.0, random.Random(1).random]
"""Random numbers of the most and the least eager agent, of one in between, and of one as they are."""


@pytest.fixture(params=AGENTS, ids=["eager", "even", "late", "random"])
def chance(request: pytest.FixtureRequest) -> Callable[[], float]:
    """Where one agent draws its random numbers from."""
    drawn: Callable[[], float] = request.param
    return drawn


async def test_roll_out(chance: Callable[[], float]) -> None:
    """A first start is one reading and one write."""
    requests = Requests(chance)
    await roll_out(requests)
    assert requests.counts["first roll-out"] == (2, 1)


async def test_restart(chance: Callable[[], float]) -> None:
    """A restart is one reading, and no write, when the answer is what stands on the Node."""
    requests = Requests(chance)
    await restart(requests)
    assert requests.counts["restart"] == (1, 0)


async def test_one_change(chance: Callable[[], float]) -> None:
    """A change is one write, and nothing has to be read for it."""
    requests = Requests(chance)
    await one_change(requests)
    assert requests.counts["one change"] == (1, 1)


async def test_twenty_changes_in_a_minute(chance: Callable[[], float]) -> None:
    """Twenty changes in a minute are at most a write for each half minute, and the last one stands."""
    requests = Requests(chance)
    await twenty_changes(requests)
    sent, writes = requests.counts["20 changes in a minute"]
    assert sent == writes
    assert 1 <= writes <= 4
    assert "20.20.21.19:443" in requests.publishing.node.annotations["azure-lb-metadata.io/inbound"]


async def test_service_unreachable_and_back(chance: Callable[[], float]) -> None:
    """A long outage of the metadata service is a write when it shows and one when it is over."""
    requests = Requests(chance)
    await service_unreachable(requests)
    assert requests.counts["IMDS unreachable"] == (1, 1)
    sent, writes = requests.counts["IMDS back"]
    assert writes == 1
    assert sent <= 2


async def test_flapping(chance: Callable[[], float]) -> None:
    """However a service flaps for an hour, the status is written at most every ten minutes.

    The agent is the least patient of all: most others would not say that it is stale at all.
    """
    requests = Requests(chance, staleness_jitter=0)
    await flapping(requests)
    sent, writes = requests.counts["IMDS flapping every 6 minutes, 1 h"]
    assert 2 <= writes <= 6
    assert sent - writes <= 5


async def test_outage_of_the_api_server(chance: Callable[[], float]) -> None:
    """While the API server is away for 5 minutes an agent tries ever more rarely, and then writes once.

    The one with the shortest waits of all repeats at once, which no agent with random numbers does.
    """
    requests = Requests(lambda: max(0.1, chance()))
    await api_server_away(requests)
    assert requests.counts["API server away for 5 min"].sent <= 15
    assert requests.counts["API server back"] == (1, 1)


@pytest.mark.parametrize(("heartbeat", "writes"), [(HOUR, 1), (0, 0)], ids=["on", "off"])
async def test_quiet_hour(heartbeat: float, writes: int) -> None:
    """An hour without change is at most 5 requests, of which the heartbeat is the only one that writes."""
    requests = Requests(lambda: 0.5, heartbeat_interval=heartbeat)
    await quiet_hour(requests)
    count = requests.counts["an hour without change"]
    assert count.writes == writes
    assert count.sent <= 4 + writes


@pytest.mark.parametrize("seed", range(3))
async def test_quiet_day(seed: int) -> None:
    """Over a day it is not more than that an hour either, whatever the random numbers."""
    requests = Requests(random.Random(seed).random)
    async with driven(requests.publishing.loop):
        await requests.in_sync()
        await requests.answers(FULL, 24 * HOUR, every=120)
    requests.note("a day")
    sent, writes = requests.counts["a day"]
    assert writes <= 24 + 1
    assert sent <= 5 * 24
