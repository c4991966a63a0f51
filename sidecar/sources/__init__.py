"""Where the document comes from."""

from typing import Protocol

from sidecar.core.outcome import Outcome

__all__ = ["Source"]


class Source(Protocol):
    """A client that reads the load balancer document."""

    @property
    def longest_wait(self) -> float:
        """Seconds that the other side may hold a request until it has news."""
        ...

    async def fetch(self) -> Outcome:
        """Make one attempt; every error is a :class:`Failure`, never an exception."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
