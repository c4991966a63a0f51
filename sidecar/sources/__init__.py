"""Where the document comes from."""

from typing import Protocol

from sidecar.core.outcome import Outcome

__all__ = ["Source"]


class Source(Protocol):
    """Something that can be asked for the load balancer document."""

    @property
    def longest_wait(self) -> float:
        """Seconds that an attempt may rest because the other side was asked to wait for news."""
        ...

    async def fetch(self) -> Outcome:
        """Make one attempt; whatever goes wrong is a :class:`Failure`, never an exception."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
