"""How long a command goes on asking: one time for all that it asks, whoever that is."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sidecar.core.backoff import retry_ceiling
from sidecar.errors import Error, UnreachableError

__all__ = ["AgainError", "Patience"]

_Value = TypeVar("_Value")


class AgainError(Error):
    """Not now; worth asking again."""

    def __init__(self, message: str, *, advice: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, advice=advice)
        self.retry_after = retry_after
        """Seconds that the other side asks to wait, if it does."""


class Patience:
    """So many seconds, from when it is made within an event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = asyncio.get_running_loop().time() + seconds

    def limit(self) -> asyncio.Timeout:
        """A block that ends with ``TimeoutError`` when the time is up."""
        return asyncio.timeout_at(self._end)

    async def until_answered(self, ask: Callable[[], Awaitable[_Value]], *, whom: str) -> _Value:
        """Ask again with growing delays until there is an answer.

        Raises:
            UnreachableError: there was none in time; the text is the last one's, or says who was silent.
        """
        last = f"{whom} gave no answer"
        try:
            async with self.limit():
                for step in itertools.count():
                    try:
                        return await ask()
                    except AgainError as error:
                        last, least = str(error), error.retry_after or 0.1
                    ceiling = retry_ceiling(step, poll_interval=1.0)
                    await asyncio.sleep(random.uniform(least, least + ceiling))  # noqa: S311 - no secret
        except TimeoutError:
            pass
        raise UnreachableError(f"no answer within {self._seconds:g} s", advice=last)
