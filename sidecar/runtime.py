"""What every loop of the agent works with; tests replace the clock and the randomness."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar import clock
from sidecar.clock import Clock
from sidecar.liveness import Liveness
from sidecar.metrics import Metrics

__all__ = ["Runtime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Clock, randomness, metrics and liveness of one agent."""

    clock: Clock = clock.now
    random: Callable[[], float] = random.random
    """Gives random numbers from 0 to 1."""
    metrics: Metrics = field(default_factory=Metrics)
    liveness: Liveness = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "liveness", Liveness(self.clock))
