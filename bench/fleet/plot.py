"""The picture of the documentation."""

from collections.abc import Mapping

from bench.fleet.report import Records

__all__ = ["draw"]


def draw(runs: Mapping[int, Records]) -> None:
    """Draw it."""
