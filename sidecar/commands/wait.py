"""``wait``: wait for a condition, by long polls of an agent or by polls of the metadata service."""

import asyncio
import random
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

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
    """Wait until the condition holds.

    Raises:
        EmptyError: at the end of the time the answer is that there is none.
        IncompleteError: at the end of the time there is something else.
        UnreachableError: no answer in all the time.
    """
    parser = Parser(
        "wait",
        description="Wait for a condition: of this host's agent if one runs, else of the metadata service.",
    )
    add_waiting_arguments(parser)
    run_until_terminated(wait(parser.parse_args(arguments)))
    return ExitCode.DONE


_TIMEOUT = 60.0
"""Default of ``--timeout``, in seconds."""

_POLL_INTERVAL = 10.0
"""Seconds between two requests to the metadata service, as an agent makes them."""

_WAIT = 60
"""Seconds for which an agent may hold a request."""

_POLICY = Policy(stale_after=float("inf"), absent_after=0.0)
"""For data that are used at once: never stale, and absent at once."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The snapshot for which the condition held, and where it came from."""

    snapshot: Snapshot
    settings: Settings
    url: str | None
    """URL of the agent; ``None``: the metadata service itself."""
    deadline: Deadline
    """For further requests: the time that is left."""


def add_waiting_arguments(parser: ArgumentParser) -> None:
    """Add ``--for`` and the arguments that choose the source and the timeout."""
    parser.add_argument(
        "--for",
        dest="condition",
        type=written_as(parse_condition),
        default="data",
        metavar="CONDITION",
        help="data, public-ip, egress-in=ADDRESS,NETWORK,...: every egress address of the node, declared or "
        "configured, is among these; or egress-observed: a probe of the agent has seen one [data]",
    )
    add_target_arguments(parser, timeout=_TIMEOUT)


async def wait(parsed: Namespace) -> Waited:
    """Wait until the condition of the arguments holds; on a terminal, say what is missing.

    Raises:
        EmptyError: at the end of the time the answer is that there is none.
        IncompleteError: at the end of the time there is something else.
        UnreachableError: no answer in all the time.
    """
    settings = settings_of(parsed)
    url = agent_url(parsed, settings)
    deadline = Deadline(parsed.timeout)
    condition: WaitCondition = parsed.condition
    answered, said = False, ""
    async with AsyncExitStack() as stack:
        if url is not None and parsed.upstream is None:
            # An agent that is named is waited for, the one of this host only if it listens.
            async with reading.new_session(timeout=settings.imds_timeout) as session:
                if await reach_agent(session, url, deadline=deadline) is None:
                    url = None
        source: Source = await stack.enter_async_context(
            metadata_service(settings)
            if url is None
            else UpstreamSource(
                url=url,
                node_name=settings.node_name,
                wait=_WAIT,
                timeout=settings.imds_timeout,
                clock=clock.now,
            )
        )
        state = State(started=clock.now())
        try:
            async with deadline.limit():
                while not deadline.over:
                    outcome = await source.fetch()
                    answered = True
                    state = observe(state, outcome, clock.now(), _POLICY)
                    verdict, why = judge(condition, state)
                    if verdict is ConditionResult.HELD:
                        return Waited(Snapshot.of(state, clock.now(), _POLICY), settings, url, deadline)
                    if why != said and sys.stderr.isatty():
                        sys.stderr.write(f"waiting for {condition.text}: {why}\n")
                    said = why
                    delay = next_poll_delay(
                        outcome,
                        failures=state.failures,
                        poll_interval=min(settings.poll_interval, _POLL_INTERVAL),
                        fraction=random.random(),  # noqa: S311 - no secret
                    )
                    await asyncio.sleep(delay)
        except TimeoutError:
            pass
    verdict, why = judge(condition, state)
    if not answered:
        why = f"{url or 'the metadata service'}: {why}"
    kinds = {ConditionResult.NONE: EmptyError, ConditionResult.DIFFERS: IncompleteError}
    kind = kinds.get(verdict, UnreachableError)
    raise kind(f"no {condition.text} within {print_duration(parsed.timeout)}", advice=why)
