"""Repeating a request that failed for a reason that may pass."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sidecar.core.backoff import retry_ceiling
from sidecar.kube.errors import (
    KubernetesError,
    NoAnswerError,
    ServerError,
    ThrottledError,
    UnauthorizedError,
)

__all__ = ["ATTEMPTS", "persistently"]

ATTEMPTS = 5
"""How often a request is sent before its failure counts."""

_LONGEST_STEP = 10.0
"""Seconds from which the ceilings 1, 2, 4, 8 s and so on are derived."""

_TRANSIENT: dict[type[KubernetesError], int] = {
    NoAnswerError: ATTEMPTS,
    ServerError: ATTEMPTS,
    ThrottledError: ATTEMPTS,
    UnauthorizedError: 2,  # with credentials loaded anew; what they do not change stays as it is
}

_Value = TypeVar("_Value")


async def persistently(
    ask: Callable[[], Awaitable[_Value]], *, fraction: Callable[[], float] = random.random
) -> _Value:
    """Ask, and again after a while when the API server was throttled, in trouble or out of reach.

    Delays are random parts (full jitter) of 1, 2, 4 and 8 s, for 429 of the next longer one, and
    never less than a ``Retry-After``.

    Args:
        ask: Sends a request that may be sent twice.
        fraction: Gives random numbers from 0 to 1.

    Raises:
        KubernetesError: of the last attempt.
    """
    attempt = 1
    while True:
        try:
            return await ask()
        except KubernetesError as error:
            if attempt >= _TRANSIENT.get(type(error), 1):
                raise
            step = attempt if isinstance(error, ThrottledError) else attempt - 1
            delay = fraction() * retry_ceiling(step, poll_interval=_LONGEST_STEP)
            delay = max(delay, error.retry_after or 0.0)
        attempt += 1
        await asyncio.sleep(delay)
