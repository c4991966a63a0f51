"""Backoff between attempts."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given, strategies as st

from sidecar.core.backoff import next_poll_delay, parse_retry_after, retry_ceiling
from sidecar.core.document import EMPTY
from sidecar.core.outcome import NONE, Failure, Outcome, Reason, Success
from tests.core.examples import START, answer, failure, failures

NOW = START
fractions = st.floats(min_value=0, max_value=1)
intervals = st.floats(min_value=0.001, max_value=86_400)


def delay(
    outcome: Outcome, *, failures: int = 1, fraction: float = 1.0, poll_interval: float = 10.0
) -> float:
    """The delay after `failures` failures, at the ceiling unless said otherwise."""
    return next_poll_delay(outcome, failures=failures, poll_interval=poll_interval, fraction=fraction)


@pytest.mark.parametrize("outcome", [answer(EMPTY), NONE])
@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 9.0), (0.5, 10.0), (1.0, 11.0)])
def test_answer_waits_the_interval_with_jitter(outcome: Success, fraction: float, expected: float) -> None:
    """After an answer, "none" included, the next poll comes after the interval, ten per cent either way."""
    assert delay(outcome, failures=0, fraction=fraction) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("poll_interval", "ceilings"),
    [
        (10.0, [1, 2, 4, 8, 16, 32, 60, 60]),
        (60.0, [1, 2, 4, 8, 16, 32, 60, 60]),
        (5.0, [1, 2, 4, 8, 16, 30, 30]),
        (1.0, [1, 2, 4, 6, 6]),
        (0.1, [0.1, 0.2, 0.4, 0.6, 0.6]),
    ],
)
def test_ceilings_double_up_to_the_limit(poll_interval: float, ceilings: list[float]) -> None:
    """Ceilings double from 1 s or the shorter interval, up to 60 s or six intervals."""
    found = [retry_ceiling(step, poll_interval=poll_interval) for step in range(len(ceilings))]
    assert found == pytest.approx(ceilings)


def test_ceiling_of_endless_failures_stays() -> None:
    """A million failures in a row wait as long as ten do."""
    assert retry_ceiling(1_000_000, poll_interval=10.0) == 60.0


@given(st.integers(min_value=0, max_value=10_000), intervals)
def test_ceiling_never_falls(step: int, poll_interval: float) -> None:
    """One more failure never shortens the ceiling, and no ceiling is above 60 s or six intervals."""
    ceiling = retry_ceiling(step, poll_interval=poll_interval)
    assert ceiling <= retry_ceiling(step + 1, poll_interval=poll_interval) <= min(60.0, 6 * poll_interval)


def test_first_failure_is_step_zero() -> None:
    """The first failure waits at most a second, the second at most two."""
    assert [delay(failure(), failures=count) for count in (1, 2, 3)] == [1, 2, 4]


def test_throttling_starts_a_step_later() -> None:
    """429 asks for patience: its first delay is up to two seconds."""
    assert [delay(failure(Reason.THROTTLED), failures=count) for count in (1, 2, 3)] == [2, 4, 8]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_gone_is_asked_every_interval(count: int) -> None:
    """410 announces an upgrade of minutes: it is asked every poll interval, with jitter, without backoff."""
    gone = Failure(reason=Reason.NOT_READY, detail="Gone", status=410)
    delays = [delay(gone, failures=count, fraction=fraction) for fraction in (0.0, 0.5, 1.0)]
    assert delays == pytest.approx([9.0, 10.0, 11.0])


def test_other_not_ready_answers_back_off() -> None:
    """A 404 of another meaning backs off like any failure."""
    missing = Failure(reason=Reason.NOT_READY, detail="not available", status=404)
    assert delay(missing, failures=3) == 4


@given(failures, st.integers(min_value=1, max_value=100), fractions, intervals)
def test_jitter_is_full(outcome: Failure, count: int, fraction: float, poll_interval: float) -> None:
    """A delay after a failure is anything from nothing to the ceiling."""
    waited = delay(outcome, failures=count, fraction=fraction, poll_interval=poll_interval)
    assert 0 <= waited <= min(60.0, 6 * poll_interval)
    assert waited == pytest.approx(
        fraction * delay(outcome, failures=count, fraction=1.0, poll_interval=poll_interval)
    )


@pytest.mark.parametrize("status", [410, 429, 503])
def test_retry_after_is_the_least_wait(status: int) -> None:
    """A server that names a time is not asked earlier, whatever the jitter, and a shorter one counts not."""
    asked = Failure(reason=Reason.THROTTLED, detail="wait", status=status, retry_after=120.0)
    hasty = Failure(reason=Reason.THROTTLED, detail="wait", status=status, retry_after=0.5)
    assert delay(asked, fraction=0.0) == 120
    assert delay(hasty, fraction=1.0) > 0.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7\t", 7),
        ("007", 7),
        ("0000000000007", 7),
        pytest.param("0" * 10_000, 0, id="many zeros"),
        ("299", 299),
        ("300", 300),
        ("301", 300),
        pytest.param("9" * 10_000, 300, id="many nines"),
        ("Fri, 02 Jan 2026 03:04:15 GMT", 10),
        ("Fri, 02 Jan 2026 04:04:15 +0100", 10),
        ("Friday, 02-Jan-26 03:04:15 GMT", 10),
        ("Fri, 02 Jan 2026 03:04:05 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 02 Jan 2026 05:04:05 GMT", 300),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 300),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: float) -> None:
    """Seconds and dates are read, a past date is 0, and nothing is more than five minutes."""
    assert parse_retry_after(text, now=NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "7s",
        "0x10",
        "soon",
        "nan",
        "inf",
        "\u0663",
        "\u00b2",
        "\ud800",
        "Fri, 02 Jan 2026 03:04:15",
        "Fri, 02 Jan 2026 03:04:15 -0000",
        "Fri Jan  2 03:04:15 2026",
        "2026-01-02T03:04:15Z",
        "Fri, 32 Jan 2026 03:04:15 GMT",
        "Fri, 02 Jan 2026 25:04:15 GMT",
        "Fri, 02 Jan 99999999999999999999 03:04:15 GMT",
        "Fri, 02 Jan 2026 03:04:15 +9999",
        pytest.param("Fri, 02 Jan 2026 03:04:15 +" + "9" * 4000, id="zone of many digits"),
        pytest.param("x" * 1_048_576, id="1 MiB"),
    ],
)
def test_retry_after_that_cannot_be_read_is_none(text: str | None) -> None:
    """No header, garbage, and a date that does not say its zone are all no wish, and no error."""
    assert parse_retry_after(text, now=NOW) is None


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,5} [\d:]{0,9} ?[-+A-Z\d]{0,6}"))
def test_retry_after_is_bounded_for_any_text(text: str) -> None:
    """Any header text gives no wish or one from 0 to 300 seconds, and never an error."""
    seconds = parse_retry_after(text, now=NOW)
    assert seconds is None or 0 <= seconds <= 300


@given(st.integers(min_value=-100_000, max_value=300), st.integers(min_value=-14, max_value=14))
def test_date_means_the_same_in_any_zone(ahead: int, hours: int) -> None:
    """A date so many seconds ahead is so many seconds of waiting, in whatever zone it is written."""
    moment = (NOW + timedelta(seconds=ahead)).astimezone(timezone(timedelta(hours=hours)))
    assert parse_retry_after(format_datetime(moment), now=NOW) == max(ahead, 0)


def test_now_may_be_in_any_zone() -> None:
    """The present is compared as a moment, not as digits."""
    now = datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert now == NOW.astimezone(UTC)
    assert parse_retry_after("Fri, 02 Jan 2026 03:04:15 GMT", now=now) == 10
