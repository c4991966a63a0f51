"""Moments on two clocks, and their RFC 3339 text."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from sidecar.core.instant import Instant, parse_rfc3339, rfc3339
from tests.core.examples import START, at, utc


def test_age_is_monotonic_time() -> None:
    """An age is the distance on the monotonic clock, whatever the wall clock did in between."""
    later = replace(at(42), utc=utc(-3600))
    assert at(0).age(later) == 42


def test_age_is_never_negative() -> None:
    """A moment after now has age 0."""
    assert at(5).age(at(3)) == 0


def test_past_wall_clock_time_keeps_its_age() -> None:
    """A wall clock time an hour ago is placed an hour ago on both clocks, even before the clock's zero."""
    now = Instant(mono=10, utc=START)
    assert Instant.in_the_past(utc(-3600), now=now) == Instant(mono=-3590, utc=utc(-3600))


def test_future_wall_clock_time_is_now() -> None:
    """A wall clock time in the future has age 0 and is printed as now."""
    assert Instant.in_the_past(utc(3600), now=at(0)) == at(0)


@given(st.datetimes(timezones=st.just(UTC)))
def test_age_of_a_found_time_is_never_negative(found: datetime) -> None:
    """No wall clock time, however far in the past or the future, gives an age below 0."""
    assert Instant.in_the_past(found, now=at(0)).age(at(0)) >= 0


def test_text_is_whole_seconds_of_utc() -> None:
    """Parts of a second are cut off, and other zones are printed as UTC."""
    moment = datetime(2026, 1, 2, 4, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert rfc3339(moment) == "2026-01-02T03:04:05Z"


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds it
def test_printed_time_is_read_back(moment: datetime) -> None:
    """What is printed is read back to the second."""
    assert parse_rfc3339(rfc3339(moment)) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:05.000Z",
        "2026-01-02t03:04:05z",
        "2026-01-02 03:04:05Z",
        "2026-1-2T3:4:5Z",
        " 2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
        "2026-02-30T03:04:05Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:04:60Z",
        "2026-01-02T03:04:05Z2026-01-02T03:04:05Z",
        "\u0662\u0660\u0662\u0666-01-02T03:04:05Z",
        "2026-01-02T03:04:05\ud800",
        "0000-01-01T00:00:00Z",
        "-026-01-02T03:04:05Z",
        pytest.param("9" * 100_000, id="many digits"),
    ],
)
def test_any_other_text_is_no_time(text: str) -> None:
    """Only the one form that is printed is read: anything else is no time, and no error."""
    assert parse_rfc3339(text) is None


@given(st.text(max_size=30))
def test_random_text_is_no_error(text: str) -> None:
    """Reading any text gives a time that prints as this text, or none."""
    parsed = parse_rfc3339(text)
    assert parsed is None or rfc3339(parsed) == text
