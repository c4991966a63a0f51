"""Where the document comes from."""

from typing import Protocol

from sidecar.core.outcome import Outcome

__all__ = ["Source"]


class Source(Protocol):
    """Something that can be asked for the load balancer document."""

    async def fetch(self) -> Outcome:
        """Make one attempt; whatever goes wrong is a :class:`Failure`, never an exception."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
