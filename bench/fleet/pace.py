"""How much faster than in a cluster time runs, and the agents' settings by it."""

from dataclasses import dataclass
from typing import Literal

from sidecar.core.annotations import Layout
from sidecar.core.state import Policy
from sidecar.core.writes import Schedule
from tests.support.defaults import default

NODES_OF_THE_DEFAULTS = 1000
"""Up to so many the default write splay is right: docs/performance.md, "Defaults and why"."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The default settings with every duration divided by ``factor``.

    All rates grow by that factor and all ratios stay; what a request costs does not change.
    """

    factor: float = 1.0
    write_splay: float = default("write_splay")
    """In seconds of a cluster: the one setting whose other values are tried."""

    @property
    def usual(self) -> bool:
        """Whether that is the default."""
        return self.write_splay == default("write_splay")

    def seconds(self, in_a_cluster: float) -> float:
        """How long this takes here."""
        return in_a_cluster / self.factor

    def default(self, setting: str) -> float:
        """The default of a setting that is a duration, in seconds as they pass here."""
        return self.seconds(default(setting))

    @property
    def splay(self) -> float:
        """The write splay, in seconds as they pass here."""
        return self.seconds(self.write_splay)

    @property
    def policy(self) -> Policy:
        """When data are stale, when they are withdrawn."""
        return Policy(stale_after=self.default("stale_after"), absent_after=self.default("absent_after"))

    def schedule(self, *, staleness_jitter: float, annotate: Literal["full", "summary"]) -> Schedule:
        """The rules of writing of one agent."""
        return Schedule(
            layout=Layout(annotate=annotate),
            policy=self.policy,
            write_splay=self.splay,
            resync_interval=self.default("resync_interval"),
            heartbeat_interval=self.default("heartbeat_interval"),
            staleness_jitter=staleness_jitter,
        )


def with_recommended_splay(nodes: int) -> Pace:
    """As in a cluster of so many nodes, whose write splay makes no more writes a second than 1,000 have."""
    return Pace(write_splay=Pace().write_splay * max(1.0, nodes / NODES_OF_THE_DEFAULTS))
