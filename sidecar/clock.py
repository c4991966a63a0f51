"""The one place that reads clocks."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from sidecar.core.instant import Instant

Clock = Callable[[], Instant]
"""Gives the present moment; injected, so that tests decide what time it is."""


def now() -> Instant:
    """The present: the running event loop's monotonic time (virtual in tests), and UTC."""
    return Instant(mono=asyncio.get_running_loop().time(), utc=datetime.now(UTC))
