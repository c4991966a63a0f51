"""Requests of an agent to the API server in each situation, counted in virtual time.

``make bench-requests``. The product's publisher with its default settings and a scripted API server, for
agents that differ in their random numbers; ``tests/agent/publish/test_requests.py`` holds the bounds.
"""

import asyncio
import logging
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from looptime import new_event_loop

from tests.agent.publish.requests import HOUR, SITUATIONS, Count, Requests, Situation, quiet_hour
from tests.support.states import EPOCH

_AGENTS = 50


async def _agent(situation: Situation, seed: int, *, heartbeat_interval: float) -> Mapping[str, Count]:
    """What one agent sends in each part of a situation."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    requests = Requests(
        chance.random, staleness_jitter=chance.random(), heartbeat_interval=heartbeat_interval
    )
    await situation(requests)
    return requests.counts


def _counted(situation: Situation, *, heartbeat_interval: float = HOUR) -> Mapping[str, Sequence[Count]]:
    """What all agents send in each part of a situation."""
    counts: dict[str, list[Count]] = defaultdict(list)
    for seed in range(_AGENTS):
        with asyncio.Runner(loop_factory=partial(new_event_loop, start=EPOCH.mono)) as runner:
            agent = runner.run(_agent(situation, seed, heartbeat_interval=heartbeat_interval))
        for part, count in agent.items():
            counts[part].append(count)
    return counts


def _rows(counts: Mapping[str, Sequence[Count]], *, suffix: str = "") -> Iterator[str]:
    for part, agents in counts.items():
        figures = "".join(
            f"{min(column):>7}{statistics.mean(column):>7.1f}{max(column):>7}"
            for column in zip(*agents, strict=True)
        )
        yield f"{part + suffix:<42}{figures}"


def main() -> None:
    """Count each situation and print a table."""
    logging.disable(logging.WARNING)
    print(f"{_AGENTS} agents with the default settings; a quiet agent's start is not counted")
    print(f"{'':<42}{'requests':>14}{'writes':>21}")
    print(" " * 42 + f"{'least':>7}{'mean':>7}{'most':>7}" * 2)
    for situation in SITUATIONS:
        print(*_rows(_counted(situation)), sep="\n", flush=True)
    print(*_rows(_counted(quiet_hour, heartbeat_interval=0), suffix=", no heartbeat"), sep="\n")


if __name__ == "__main__":
    main()
