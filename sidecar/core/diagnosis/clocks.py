"""How far a clock is from another one, by an HTTP ``Date``."""

from datetime import datetime

from sidecar.core.instant import parse_http_date

__all__ = ["seconds_ahead"]


def seconds_ahead(date: str | None, *, now: datetime) -> float | None:
    """Seconds that the own clock is ahead of the one that wrote a ``Date`` header; below 0 it is behind.

    ``None`` when there is no such header or it cannot be read.
    """
    told = None if date is None else parse_http_date(date)
    return None if told is None else (now - told).total_seconds()
