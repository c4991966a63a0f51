"""Durations as Kubernetes writes them: ``10s``, ``1m30s``, ``1.5h``, ``250ms``."""

import re

__all__ = ["parse_duration", "print_duration"]

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
