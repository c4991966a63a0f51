"""Durations as Kubernetes writes them."""

import pytest
from hypothesis import given, strategies as st

from sidecar.core.instant import parse_duration, print_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("250ms", 0.25),
        ("1m30s", 90.0),
        ("1h2m3s4ms", 3723.004),
        ("1.5h", 5400.0),
        ("0.5s", 0.5),
        ("0s", 0.0),
        ("1m1ms", 60.001),
        ("30s1m", 90.0),
        ("1s1s", 2.0),
        ("010s", 10.0),
    ],
)
def test_parse(text: str, seconds: float) -> None:
    """Numbers with units h, m, s and ms are added up, in any order."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "0", "s", "-5s", "+5s", "1d", "1y", "5 s", " 5s", "5s ", "5s\n", "1,5s", ".5s", "5.s"),
        *("1e3s", "5S", "5us", "\u0665s", "1m30", "infs", "nans", "0x5s"),
    ],
)
def test_refused(text: str) -> None:
    """Anything else is refused, by an error that quotes it."""
    with pytest.raises(ValueError, match="is not a duration such as 10s") as caught:
        parse_duration(text)

    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["900000h", "9" * 400 + "s", "1h" * 876_001])
def test_longest(text: str) -> None:
    """More than a century is refused, also where it is beyond every number, in a short text."""
    with pytest.raises(ValueError, match="longer than a century") as caught:
        parse_duration(text)

    assert len(str(caught.value)) < 60


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (10.0, "10s"),
        (60.0, "1m"),
        (90.0, "1m30s"),
        (300.0, "5m"),
        (3600.0, "1h"),
        (3600.25, "1h250ms"),
        (0.0004, "0s"),
        (86_400.0, "24h"),
    ],
)
def test_print(seconds: float, text: str) -> None:
    """Every unit is named once, from hours to milliseconds, and only where it is not 0."""
    assert print_duration(seconds) == text


@given(st.integers(min_value=0, max_value=100 * 365 * 24 * 3_600_000))
def test_round_trip(milliseconds: int) -> None:
    """What is printed reads back as the same time, to the millisecond."""
    assert round(parse_duration(print_duration(milliseconds / 1000)) * 1000) == milliseconds
