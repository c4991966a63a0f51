"""Plain stand-ins for the parts of the agent, and a clock that follows the event loop's time."""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import timedelta

from sidecar.core.instant import Instant
from sidecar.core.outcome import Failure, Outcome, Reason
from tests.support.states import EPOCH


def virtual_now() -> Instant:
    """The event loop's time on both clocks; under ``looptime`` it passes only where somebody waits."""
    seconds = asyncio.get_running_loop().time()
    return Instant(mono=seconds, utc=EPOCH.utc + timedelta(seconds=seconds))


@dataclass(frozen=True)
class Hang:
    """An attempt that takes so many seconds, and then comes to nothing."""

    seconds: float

    async def outcome(self) -> Failure:
        """Wait, then give up as the client does."""
        await asyncio.sleep(self.seconds)
        return Failure(Reason.UNREACHABLE, detail="no complete answer within the time-out")


class ScriptedSource:
    """A source that gives one outcome after the other, and the last one for ever."""

    longest_wait = 0.0

    def __init__(self, *script: Outcome | Hang) -> None:
        self.attempts: list[float] = []
        """When each attempt began, in seconds of the event loop."""
        self._script = list(script)

    def then(self, *script: Outcome | Hang) -> None:
        """Forget the script so far, and follow this one from the next attempt on."""
        self._script = list(script)

    async def fetch(self) -> Outcome:
        """The next outcome."""
        self.attempts.append(asyncio.get_running_loop().time())
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        return await step.outcome() if isinstance(step, Hang) else step

    async def close(self) -> None:
        """Nothing is open."""

    def pauses(self) -> list[float]:
        """Seconds between the attempts, to the millisecond."""
        return [round(later - before, 3) for before, later in itertools.pairwise(self.attempts)]
