"""One siege: an agent and a sidecar, started anew, under one attack, or several at once, for a while."""

import asyncio
import resource
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from sidecar.simulator import Simulator, parse_scenario, serve
from tests.chaos.relay import relaying
from tests.siege.attacks import ATTACKS, FellError, Siege
from tests.siege.cgroup import NoMemoryGroupError, memory_group
from tests.siege.victims import LIMIT_BYTES, victim
from tests.support.program import Settings

_OWN_FILES = 16_384
"""Descriptors that the attackers need."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it."""

    attacks: tuple[str, ...]
    faults: tuple[str, ...]
    """What was wrong at the end; nothing if it was withstood."""
    peaks: str
    """The most memory that each victim had resident, and the longest that a probe took, in words."""

    def __str__(self) -> str:
        verdict = "; ".join(self.faults) or "withstood"
        return f"{'+'.join(self.attacks)}: {self.peaks}: {verdict}"


def obstacle() -> str:
    """Why there can be no siege here, in words; empty if there can."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _OWN_FILES:
        return f"only {hard} open files are allowed here, and the attackers need {_OWN_FILES}"
    try:
        with memory_group("try", LIMIT_BYTES):
            return ""
    except NoMemoryGroupError as error:
        return str(error)


async def besiege(attacks: Sequence[str], seconds: float, directory: Path) -> Report:
    """Attack for so many seconds, at least a round, or until a victim has died, and look what is left.

    Raises:
        NoMemoryGroupError: the victims cannot be bounded.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OWN_FILES if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(
            serve(Simulator(parse_scenario("document: many-rules\nrateLimit: false")))
        )
        first = await stack.enter_async_context(relaying(service.url))
        settings: Settings = {"annotations": False, "imds_endpoint": first.url}
        agent = await stack.enter_async_context(victim("agent", settings, directory))
        second = await stack.enter_async_context(relaying("http://{}:{}".format(*agent.api)))
        settings = {"upstream": second.url, "file": str(directory / "facts.json")}
        sidecar = await stack.enter_async_context(victim("sidecar", settings, directory))
        for one in (agent, sidecar):
            await one.until_ready()
        siege = Siege((agent, sidecar), (first, second), directory, service.url)
        faults = await _attack(attacks, siege, seconds)
        peaks = ", ".join(
            f"{one.name} {one.peak}, unseen for {one.longest_unseen_s:.1f} s" for one in siege.victims
        )
        return Report(tuple(attacks), faults, peaks)


async def _attack(attacks: Sequence[str], siege: Siege, seconds: float) -> tuple[str, ...]:
    watches = [asyncio.create_task(one.watch()) for one in siege.victims]
    attacking = [asyncio.create_task(_repeat(name, siege, seconds)) for name in attacks]
    together = asyncio.create_task(asyncio.wait(attacking, return_when=asyncio.FIRST_EXCEPTION))
    try:
        await asyncio.wait((together, *watches), return_when=asyncio.FIRST_COMPLETED)
    finally:
        running = (together, *attacking, *watches)
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    own = []
    for attack in attacking:
        error = None if attack.cancelled() else attack.exception()
        if isinstance(error, FellError):
            own.append(str(error))
        elif error is not None:
            raise error
    faults = [await one.fault() for one in siege.victims]
    return tuple(fault for fault in (*own, *faults) if fault)


async def _repeat(attack: str, siege: Siege, seconds: float) -> None:
    begun = time.monotonic()
    while True:
        await ATTACKS[attack](siege)
        if time.monotonic() - begun >= seconds:
            return
