"""Points in time: monotonic for ages and deadlines, UTC for printing."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

__all__ = ["Instant", "parse_http_date", "parse_rfc3339", "rfc3339"]


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on two clocks.

    ``mono`` is in seconds of the event loop's clock and decides every age and deadline, so a
    stepped wall clock changes nothing; ``utc`` (time zone aware) is only ever printed.
    """

    mono: float
    utc: datetime

    def age(self, now: "Instant") -> float:
        """Seconds from this moment to ``now``, never below 0."""
        return max(0.0, now.mono - self.mono)

    @classmethod
    def in_the_past(cls, utc: datetime, *, now: "Instant") -> "Instant":
        """Place a wall clock time read from elsewhere; a time in the future counts as now."""
        age = max(timedelta(), now.utc - utc)
        return cls(mono=now.mono - age.total_seconds(), utc=now.utc - age)


def rfc3339(utc: datetime) -> str:
    """Whole seconds of UTC as RFC 3339 text, ``2026-01-02T03:04:05Z``."""
    return utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_RFC3339_LENGTH = len("2026-01-02T03:04:05Z")


def parse_rfc3339(text: str) -> datetime | None:
    """Read what :func:`rfc3339` prints, and nothing else; ``None`` for any other text."""
    if len(text) != _RFC3339_LENGTH:
        return None  # before an error quotes text of any length
    try:
        parsed = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    # strptime is lenient (single digits, surrounding digits of other scripts).
    return parsed if rfc3339(parsed) == text else None


def parse_http_date(text: str) -> datetime | None:
    """Read the date of an HTTP header; ``None`` for any other text, and for a date without a zone."""
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return None if parsed.tzinfo is None else parsed
