"""Points in time: monotonic for ages and deadlines, UTC for printing."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


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


def parse_rfc3339(text: object) -> datetime | None:
    """Read what :func:`rfc3339` prints, and nothing else; ``None`` for any other value."""
    if not isinstance(text, str) or len(text) != _RFC3339_LENGTH:
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


_PART = r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)"
_DURATION = re.compile(f"(?:{_PART})+")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_duration(text: str) -> float:
    """Seconds of a duration.

    Raises:
        ValueError: the text is something else, or longer than a century.
    """
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a duration such as 10s, 1m30s or 250ms")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, text))
    if seconds > 100 * 365 * 24 * 3600:
        raise ValueError(f"{text[:20]!r} is longer than a century")
    return seconds


def print_duration(seconds: float) -> str:
    """The shortest text that :func:`parse_duration` reads back, to the millisecond."""
    rest = round(seconds * 1000)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_BEFORE_TWO_PARTS = 10
"""From so many of a unit on, the smaller unit is left out."""


def approximate(seconds: float) -> str:
    """``45s``, ``3m20s``, ``12m``, ``5h10m``, ``3d4h``, ``40d``; less than nothing is nothing."""
    rest = max(0, int(seconds))
    for position, (unit, size) in enumerate(_UNITS[:-1]):
        count, remainder = divmod(rest, size)
        if count:
            smaller_unit, smaller_size = _UNITS[position + 1]
            smaller = remainder // smaller_size
            return f"{count}{unit}" + (
                f"{smaller}{smaller_unit}" if smaller and count < _BEFORE_TWO_PARTS else ""
            )
    return f"{rest}s"


def age(since: datetime | None, *, now: datetime) -> str:
    """How long ago, or nothing where that is not known."""
    return "" if since is None else approximate((now - since).total_seconds())
