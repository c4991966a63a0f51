"""Durations as Kubernetes writes them, for scenarios and control calls."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def seconds(value: object) -> object:
    """Seconds of ``1m30s``, ``250ms``, ``0``; a number already means seconds.

    Raises:
        ValueError: The text is not a duration.
    """
    if not isinstance(value, str):
        return value
    if value == "0":
        return 0.0
    if not _WHOLE.fullmatch(value):
        raise ValueError(f"{value!r} is not a duration; write it like 30s, 1m30s or 250ms")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False)]
"""A time span of a pydantic model: at least 0, held in seconds."""
