"""Requests of one agent to its API server, counted in each situation; in virtual time.

The settings are the defaults. Bounds are held by ``test_requests.py``; ``make bench-requests`` prints counts.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sidecar.core.document import Document
from tests.agent.publish.publishing import NODE, Publishing, left_by_an_earlier_run
from tests.agent.publish.support import answer, driven, now, unavailable
from tests.core.examples import FULL, MOVED, inbound
from tests.support.fake_nodes import unavailable as trouble

_MINUTE = 60.0
HOUR = 60 * _MINUTE
_FLAP = 6 * _MINUTE


class Count(NamedTuple):
    """Requests, failed ones too."""

    sent: int
    """All of them."""
    writes: int
    """The writes among them."""


@dataclass
class Requests:
    """An agent, its Node, and how many requests it sent in each part of a situation."""

    chance: Callable[[], float]
    """Where it draws its random numbers from."""
    staleness_jitter: float = 0.5
    heartbeat_interval: float = HOUR
    counts: dict[str, Count] = field(default_factory=dict)
    """By part."""
    publishing: Publishing = field(init=False)
    _counted: int = 0

    def __post_init__(self) -> None:
        """Start on a Node that nobody has annotated."""
        self.publishing = Publishing(
            random=self.chance,
            staleness_jitter=self.staleness_jitter,
            heartbeat_interval=self.heartbeat_interval,
        )
        self.publishing.nodes.add(NODE)

    def note(self, part: str) -> None:
        """Count what was sent since the last call."""
        calls = self.publishing.nodes.calls[self._counted :]
        self._forget()
        self.counts[part] = Count(len(calls), sum(call.method == "apply" for call in calls))

    async def in_sync(self) -> None:
        """Wait until the first write is long past, which is not counted."""
        await self.answers(FULL, 2 * _MINUTE)
        self._forget()

    def _forget(self) -> None:
        """Count from now on."""
        self._counted = len(self.publishing.nodes.calls)

    async def answers(self, document: Document, seconds: float, *, every: float = 10) -> None:
        """Let the metadata service say this for so long."""
        await self.publishing.answered(document, until=now() + seconds, every=every)

    async def fails(self, seconds: float) -> None:
        """Let the metadata service be unreachable for so long."""
        until = now() + seconds
        while now() < until:
            self.publishing.agent.see(unavailable())
            await self.publishing.wait(now() + 10)


async def roll_out(requests: Requests) -> None:
    """The first start on a Node."""
    async with driven(requests.publishing.loop):
        await requests.answers(FULL, 10 * _MINUTE)
    requests.note("first roll-out")


async def restart(requests: Requests) -> None:
    """A start on a Node that says already what the answer is."""
    requests.publishing.nodes.add(NODE, left_by_an_earlier_run())
    async with driven(requests.publishing.loop):
        await requests.answers(FULL, 10 * _MINUTE)
    requests.note("restart")


async def one_change(requests: Requests) -> None:
    """The answer changes once."""
    async with driven(requests.publishing.loop):
        await requests.in_sync()
        await requests.answers(MOVED, 10 * _MINUTE)
    requests.note("one change")


async def twenty_changes(requests: Requests) -> None:
    """The answer changes every 3 s for a minute."""
    async with driven(requests.publishing.loop):
        await requests.in_sync()
        for number in range(1, 21):
            requests.publishing.agent.see(answer(_with_services(number)))
            await requests.publishing.wait(now() + 3)
        await requests.answers(_with_services(20), 5 * _MINUTE)
    requests.note("20 changes in a minute")


async def service_unreachable(requests: Requests) -> None:
    """The metadata service does not answer for long, and then does."""
    async with driven(requests.publishing.loop):
        await requests.in_sync()
        await requests.fails(13 * _MINUTE)
        requests.note("IMDS unreachable")
        # Ten minutes are the damping of the status, and not more than one resync comes between.
        await requests.answers(FULL, 12 * _MINUTE)
        requests.note("IMDS back")


async def flapping(requests: Requests) -> None:
    """The metadata service is away for 6 minutes of every 12, for an hour."""
    async with driven(requests.publishing.loop):
        await requests.in_sync()
        for _ in range(5):
            await requests.fails(_FLAP)
            await requests.answers(FULL, _FLAP)
    requests.note("IMDS flapping every 6 minutes, 1 h")


async def api_server_away(requests: Requests) -> None:
    """The API server is away for 5 minutes, in which the answer changes."""
    async with driven(requests.publishing.loop):
        await requests.in_sync()
        requests.publishing.nodes.outage = trouble()
        await requests.answers(MOVED, 5 * _MINUTE)
        requests.note("API server away for 5 min")
        requests.publishing.nodes.outage = None
        await requests.answers(MOVED, 6 * _MINUTE)
        requests.note("API server back")


async def quiet_hour(requests: Requests) -> None:
    """An hour without change."""
    async with driven(requests.publishing.loop):
        await requests.in_sync()
        await requests.answers(FULL, HOUR)
    requests.note("an hour without change")


def _with_services(count: int) -> Document:
    """`FULL`, with so many Services more."""
    rules = [inbound(f"20.20.21.{number}") for number in range(count)]
    return replace(FULL, inbound_rules=(*FULL.inbound_rules, *rules))


Situation = Callable[[Requests], Coroutine[None, None, None]]

SITUATIONS: tuple[Situation, ...] = (
    roll_out,
    restart,
    one_change,
    twenty_changes,
    service_unreachable,
    flapping,
    api_server_away,
    quiet_hour,
)
