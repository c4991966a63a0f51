"""Waiting for a condition: of an agent by requests that it holds, else of the metadata service."""

import asyncio
import random
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import NoReturn

from sidecar import clock
from sidecar.commands.arguments import Parser, written_as
from sidecar.commands.clients import (
    Deadline,
    IncompleteError,
    add_target_arguments,
    agent_url,
    metadata_service,
    reach_agent,
    settings_of,
)
from sidecar.core.backoff import next_poll_delay
from sidecar.core.conditions import ConditionResult, WaitCondition, judge, parse_condition
from sidecar.core.instant import print_duration
from sidecar.core.state import Policy, Snapshot, State, observe
from sidecar.errors import EmptyError, ExitCode, UnreachableError
from sidecar.settings import Settings
from sidecar.sources import Source, reading
from sidecar.sources.upstream import UpstreamSource
from sidecar.stopping import run_until_terminated


def main(arguments: Sequence[str]) -> int:
    """Wait.

    Raises:
        NoneError: at the end of the time the answer is that there is none.
        IncompleteError: at the end of the time there is something else.
        UnreachableError: in all the time there was no answer.
    """
    parser = Parser(
        "wait",
        description="Wait until the agent, or else the metadata service, says what is waited for.",
    )
    add_waiting_arguments(parser)
    run_until_terminated(wait(parser.parse_args(arguments)))
    return ExitCode.DONE


_PATIENCE = 60.0
"""Seconds."""

_POLL_INTERVAL = 10.0
"""Seconds between two requests to the metadata service, as an agent makes them."""

_WAIT = 60
"""Seconds that an agent is asked to hold a request."""

_POLICY = Policy(stale_after=float("inf"), absent_after=0.0)
"""Of data that are used at once."""


@dataclass(frozen=True, slots=True)
class Waited:
    """What held in the end, and who said so."""

    snapshot: Snapshot
    settings: Settings
    url: str | None
    """Of the agent; ``None``: the metadata service itself."""
    deadline: Deadline
    """What is left of the time for further questions."""


def add_waiting_arguments(parser: ArgumentParser) -> None:
    """Add ``--for`` and the arguments that say who is asked and for how long."""
    parser.add_argument(
        "--for",
        dest="condition",
        type=written_as(parse_condition),
        default="data",
        metavar="CONDITION",
        help="data, public-ip, or egress-in=ADDRESS,NETWORK,...: "
        "every address that the node leaves from is among these [data]",
    )
    add_target_arguments(parser, timeout=_PATIENCE)


async def wait(parsed: Namespace) -> Waited:
    """Wait until the condition of the arguments holds.

    Raises:
        NoneError: at the end of the time the answer is that there is none.
        IncompleteError: at the end of the time there is something else.
        UnreachableError: in all the time there was no answer.
    """
    settings = settings_of(parsed)
    url = agent_url(parsed, settings)
    deadline = Deadline(parsed.timeout)
    async with AsyncExitStack() as stack:
        if url is not None and parsed.upstream is None and not await _listens(url, settings, deadline):
            url = None
        reached = metadata_service(settings) if url is None else _agent(url, settings)
        source: Source = await stack.enter_async_context(reached)
        interval = min(settings.poll_interval, _POLL_INTERVAL)
        waiting = _Waiting(source, parsed.condition, interval, whom=url or "the metadata service")
        return Waited(await waiting.until_held(deadline, parsed.timeout), settings, url, deadline)


async def _listens(url: str, settings: Settings, deadline: Deadline) -> bool:
    """Whether there is an agent on this host; one that is named is waited for."""
    async with reading.new_session(timeout=settings.imds_timeout) as session:
        return await reach_agent(session, url, deadline=deadline) is not None


def _agent(url: str, settings: Settings) -> UpstreamSource:
    return UpstreamSource(
        url=url,
        node_name=settings.node_name,
        wait=_WAIT,
        timeout=settings.imds_timeout,
        clock=clock.now,
    )


class _Waiting:
    """One wait: asks again and again, and says on a terminal what it waits for."""

    def __init__(self, source: Source, condition: WaitCondition, poll_interval: float, *, whom: str) -> None:
        self._source = source
        self._condition = condition
        self._poll_interval = poll_interval
        self._state = State(started=clock.now())
        self._whom = whom
        self._answered = False
        self._said = ""

    async def until_held(self, deadline: Deadline, seconds: float) -> Snapshot:
        """The snapshot of which the condition holds.

        Raises:
            NoneError: see :func:`wait`, also for the others.
        """
        try:
            async with deadline.limit():
                while True:
                    delay = await self._turn()
                    verdict, why = judge(self._condition, self._state)
                    if verdict is ConditionResult.HELD:
                        return Snapshot.of(self._state, clock.now(), _POLICY)
                    self._say(why)
                    await asyncio.sleep(delay)
        except TimeoutError:
            self._fail(seconds)

    async def _turn(self) -> float:
        """Ask once, and return the seconds to wait before asking again."""
        outcome = await self._source.fetch()
        self._answered = True
        self._state = observe(self._state, outcome, clock.now(), _POLICY)
        return next_poll_delay(
            outcome,
            failures=self._state.failures,
            poll_interval=self._poll_interval,
            fraction=random.random(),  # noqa: S311 - no secret
        )

    def _say(self, why: str) -> None:
        if why != self._said and sys.stderr.isatty():
            sys.stderr.write(f"waiting for {self._condition.text}: {why}\n")
        self._said = why

    def _fail(self, seconds: float) -> NoReturn:
        verdict, why = judge(self._condition, self._state)
        if not self._answered:
            why = f"{self._whom}: {why}"
        kinds = {ConditionResult.NONE: EmptyError, ConditionResult.DIFFERS: IncompleteError}
        kind = kinds.get(verdict, UnreachableError)
        raise kind(f"no {self._condition.text} within {print_duration(seconds)}", advice=why)
