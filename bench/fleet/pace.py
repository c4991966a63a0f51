"""How much faster than in a cluster time runs, and the agents' settings by it."""

from dataclasses import dataclass
from typing import Literal

from sidecar.core.annotations import Layout
from sidecar.core.state import Policy
from sidecar.core.writes import Schedule
from sidecar.settings import Settings

__all__ = ["Pace", "recommended"]

_DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}

_NODES_OF_THE_DEFAULTS = 1000
"""Up to so many the default write splay is right: docs/performance.md, "Defaults and why"."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The default settings with every duration divided by ``factor``.

    All rates grow by that factor and all ratios stay; what a request costs does not change.
    """

    factor: float = 1.0
    write_splay: float = float(_DEFAULTS["write_splay"])
    """In seconds of a cluster: the one setting whose other values are tried."""

    @property
    def usual(self) -> bool:
        """Whether that is the default."""
        return bool(self.write_splay == _DEFAULTS["write_splay"])

    def seconds(self, in_a_cluster: float) -> float:
        """How long this takes here."""
        return in_a_cluster / self.factor

    def default(self, setting: str) -> float:
        """The default of a setting that is a duration, in seconds as they pass here."""
        value = _DEFAULTS[setting]
        if not isinstance(value, int | float):
            raise TypeError(f"{setting} is no duration")
        return self.seconds(float(value))

    @property
    def splay(self) -> float:
        """The write splay, in seconds as they pass here."""
        return self.seconds(self.write_splay)

    @property
    def policy(self) -> Policy:
        """When data are stale, when they are withdrawn."""
        return Policy(stale_after=self.default("stale_after"), absent_after=self.default("absent_after"))

    def schedule(self, *, patience: float, annotate: Literal["full", "summary"]) -> Schedule:
        """The rules of writing of one agent."""
        return Schedule(
            layout=Layout(annotate=annotate),
            policy=self.policy,
            write_splay=self.splay,
            resync_interval=self.default("resync_interval"),
            heartbeat_interval=self.default("heartbeat_interval"),
            patience=patience,
        )


def recommended(nodes: int) -> Pace:
    """The write splay that so many nodes should have: no more writes a second than 1,000 have."""
    return Pace(write_splay=Pace().write_splay * max(1.0, nodes / _NODES_OF_THE_DEFAULTS))
