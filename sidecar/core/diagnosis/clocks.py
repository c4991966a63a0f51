"""How far a clock is from another one, by an HTTP ``Date``."""

from datetime import datetime
from email.utils import parsedate_to_datetime

__all__ = ["seconds_ahead"]


def seconds_ahead(date: str | None, *, now: datetime) -> float | None:
    """Seconds that the own clock is ahead of the one that wrote a ``Date`` header; below 0 it is behind.

    ``None`` when there is no such header or it cannot be read.
    """
    if date is None:
        return None
    try:
        return (now - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        # TypeError: a date without a zone cannot be compared.
        return None
