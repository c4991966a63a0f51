"""How long ago something was, to two figures: what a person wants of a table."""

from datetime import datetime

__all__ = ["age", "approximate"]

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
