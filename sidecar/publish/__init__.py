"""Where the document goes: the Node's annotations, Events about the Node, and files.

A publisher is given the whole state and makes the world match it, so losing or repeating a turn is
harmless. The frame in ``publish/frame.py`` drives it, measures it and backs off for it.
"""

from dataclasses import dataclass
from typing import Protocol

from sidecar.core.state import Snapshot
from sidecar.errors import Error

__all__ = ["PublishError", "Publisher", "Turn"]


class PublishError(Error):
    """A publisher could not do its work now; the frame tries again."""

    def __init__(self, message: str, *, advice: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, advice=advice)
        self.retry_after = retry_after
        """Seconds that the other side asked to wait."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of a publisher came to."""

    wrote: bool
    next_at: float | None
    """Monotonic time of the next turn if the state does not change before; ``None``: only then."""
    settled: bool = True
    """Whether the world matches the state now, but for what is put off on purpose."""


class Publisher(Protocol):
    """Something that makes a part of the world match the state."""

    @property
    def name(self) -> str:
        """In metrics and logs."""
        ...

    @property
    def retry_within(self) -> float:
        """Seconds over which the first retry after a failure is spread; it doubles up to ten times that."""
        ...

    async def turn(self, snapshot: Snapshot) -> Turn:
        """Make the world match.

        Raises:
            PublishError: it could not be done now.
        """
        ...
