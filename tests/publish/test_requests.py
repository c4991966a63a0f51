"""Requests to the API server, counted in each situation of one agent: what 5,000 of them multiply.

Counts are of the default settings and of whatever random numbers, so that a bound holds for each node
and not for the average one. Costs of a request are measured by ``make bench-fleet``.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from sidecar.core.document import Document
from tests.core.examples import FULL, MOVED, inbound
from tests.publish.publishing import NODE, Publishing, left_by_an_earlier_run
from tests.publish.support import answer, driven, in_virtual_time, now, unavailable
from tests.support.fake_nodes import unavailable as trouble

pytestmark = in_virtual_time

MINUTE, HOUR = 60.0, 3600.0
FLAP = 6 * MINUTE

AGENTS = [lambda: 0.0, lambda: 0.5, lambda: 1.0, random.Random(1).random]
"""Random numbers of the most and the least eager agent, of one in between, and of one as they are."""


@pytest.fixture(params=AGENTS, ids=["eager", "even", "late", "random"])
def chance(request: pytest.FixtureRequest) -> Callable[[], float]:
    """Where one agent draws its random numbers from."""
    drawn: Callable[[], float] = request.param
    return drawn


@dataclass
class Requests:
    """An agent, its Node, and how many requests it has sent since it was last asked."""

    chance: Callable[[], float]
    patience: float = 0.5
    publishing: Publishing = field(init=False)
    counted: int = 0

    def __post_init__(self) -> None:
        """Start on a Node that nobody has annotated."""
        self.publishing = Publishing(random=self.chance, patience=self.patience)
        self.publishing.nodes.add(NODE)

    def since(self) -> tuple[int, int]:
        """All requests and the writes among them since the last call, failed ones too."""
        calls = self.publishing.nodes.calls[self.counted :]
        self.counted += len(calls)
        return len(calls), sum(call.method == "apply" for call in calls)

    async def settled(self) -> None:
        """Wait until the first write is long past and the requests of the start are counted."""
        await self.answers(FULL, 2 * MINUTE)
        self.since()

    async def answers(self, document: Document, seconds: float) -> None:
        """Let the metadata service say this for so long."""
        await self.publishing.answered(document, until=now() + seconds)

    async def fails(self, seconds: float) -> None:
        """Let the metadata service be unreachable for so long."""
        until = now() + seconds
        while now() < until:
            self.publishing.agent.see(unavailable())
            await self.publishing.wait(now() + 10)


def with_services(count: int) -> Document:
    """`FULL`, with so many Services more."""
    rules = [inbound(f"20.20.21.{number}") for number in range(count)]
    return replace(FULL, inbound_rules=(*FULL.inbound_rules, *rules))


async def test_roll_out(chance: Callable[[], float]) -> None:
    """A first start is one reading and one write."""
    requests = Requests(chance)
    async with driven(requests.publishing.frame):
        await requests.answers(FULL, 10 * MINUTE)
    assert requests.since() == (2, 1)


async def test_restart(chance: Callable[[], float]) -> None:
    """A restart is one reading, and no write, when the answer is what stands on the Node."""
    requests = Requests(chance)
    requests.publishing.nodes.add(NODE, left_by_an_earlier_run())
    async with driven(requests.publishing.frame):
        await requests.answers(FULL, 10 * MINUTE)
    assert requests.since() == (1, 0)


async def test_one_change(chance: Callable[[], float]) -> None:
    """A change is one write, and nothing has to be read for it."""
    requests = Requests(chance)
    async with driven(requests.publishing.frame):
        await requests.settled()
        await requests.answers(MOVED, 10 * MINUTE)
    assert requests.since() == (1, 1)


async def test_twenty_changes_in_a_minute(chance: Callable[[], float]) -> None:
    """Twenty changes in a minute are at most a write for each half minute, and the last one stands."""
    requests = Requests(chance)
    async with driven(requests.publishing.frame):
        await requests.settled()
        for number in range(1, 21):
            requests.publishing.agent.see(answer(with_services(number)))
            await requests.publishing.wait(now() + 3)
        await requests.answers(with_services(20), 5 * MINUTE)
    sent, writes = requests.since()
    assert sent == writes
    assert 1 <= writes <= 4
    assert "20.20.21.19:443" in requests.publishing.node.annotations["azure-lb-metadata.io/inbound"]


async def test_service_unreachable_and_back(chance: Callable[[], float]) -> None:
    """A long outage of the metadata service is a write when it shows and one when it is over."""
    requests = Requests(chance)
    async with driven(requests.publishing.frame):
        await requests.settled()
        await requests.fails(13 * MINUTE)
        assert requests.since() == (1, 1)
        # Ten minutes are the damping of the status, and not more than one resync comes between.
        await requests.answers(FULL, 12 * MINUTE)
    sent, writes = requests.since()
    assert writes == 1
    assert sent <= 2


async def test_flapping(chance: Callable[[], float]) -> None:
    """However a service flaps for an hour, the status is written at most every ten minutes.

    The agent is the least patient of all: most others would not say that it is stale at all.
    """
    requests = Requests(chance, patience=0)
    async with driven(requests.publishing.frame):
        await requests.settled()
        for _ in range(5):
            await requests.fails(FLAP)
            await requests.answers(FULL, FLAP)
    sent, writes = requests.since()
    assert 2 <= writes <= 6
    assert sent - writes <= 5


async def test_outage_of_the_api_server(chance: Callable[[], float]) -> None:
    """While the API server is away for 5 minutes an agent tries ever more rarely, and then writes once.

    The one with the shortest waits of all repeats at once, which no agent with random numbers does.
    """
    requests = Requests(lambda: max(0.1, chance()))
    async with driven(requests.publishing.frame):
        await requests.settled()
        requests.publishing.nodes.outage = trouble()
        await requests.answers(MOVED, 5 * MINUTE)
        during, _ = requests.since()
        requests.publishing.nodes.outage = None
        await requests.answers(MOVED, 6 * MINUTE)
    assert during <= 15
    assert requests.since() == (1, 1)


async def test_quiet_hour() -> None:
    """An hour without change is at most 5 requests, of which 1 writes."""
    requests = Requests(lambda: 0.5)
    async with driven(requests.publishing.frame):
        await requests.settled()
        await requests.answers(FULL, HOUR)
    sent, writes = requests.since()
    assert writes == 1
    assert sent <= 5


@pytest.mark.parametrize("seed", range(3))
async def test_quiet_day(seed: int) -> None:
    """Over a day it is not more than that an hour either, whatever the random numbers."""
    requests = Requests(random.Random(seed).random)
    async with driven(requests.publishing.frame):
        await requests.settled()
        await requests.publishing.answered(FULL, until=now() + 24 * HOUR, every=2 * MINUTE)
    sent, writes = requests.since()
    assert writes <= 24 + 1
    assert sent <= 5 * 24
