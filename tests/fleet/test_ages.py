"""How long ago, for people."""

from datetime import UTC, datetime, timedelta

import pytest

from sidecar.core.instant import age, approximate

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (200, "3m20s"),
        (720, "12m"),
        (725, "12m"),
        (3600, "1h"),
        (18_600, "5h10m"),
        (86_400, "1d"),
        (273_600, "3d4h"),
        (40 * 86_400 + 7200, "40d"),
    ],
)
def test_two_figures(seconds: float, text: str) -> None:
    """A time is told in its two largest units, or in one where that is exact enough."""
    assert approximate(seconds) == text


def test_not_known() -> None:
    """What has no time has no age, and the future is now."""
    assert age(None, now=NOW) == ""
    assert age(NOW + timedelta(hours=1), now=NOW) == "0s"
