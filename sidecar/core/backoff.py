"""Backoff between attempts."""

from datetime import datetime

from sidecar.core.instant import parse_http_date
from sidecar.core.outcome import Failure, Outcome, Reason, UpstreamAnswer

JITTER = 0.1
"""Part of the poll interval by which a regular poll comes earlier or later."""

RETRY_AFTER_LIMIT = 300.0
"""Seconds of ``Retry-After`` that are honoured."""

HELD_PAUSE = 0.2
"""Seconds between two requests that the server holds back until the answer changes."""

_GONE = 410


def next_poll_delay(outcome: Outcome, *, failures: int, poll_interval: float, fraction: float) -> float:
    """Seconds until the next attempt.

    Failures back off exponentially with full jitter; 429 starts a step later and 410 is retried every
    poll interval, as the vendor's retry guidance has it (AzureAD
    microsoft-authentication-library-for-dotnet docs/imds_retry_based_on_errors.md). A node agent that
    held the request back until its answer changed is requested again almost at once.

    Args:
        outcome: Of the last attempt.
        failures: Failed attempts in a row, this one included.
        poll_interval: Seconds.
        fraction: A random number from 0 to 1.
    """
    regular = poll_interval * (1 + JITTER * (2 * fraction - 1))
    if isinstance(outcome, UpstreamAnswer) and outcome.held:
        return min(HELD_PAUSE, poll_interval)
    if not isinstance(outcome, Failure):
        return regular
    if outcome.held:
        delay = min(HELD_PAUSE, poll_interval)
    elif outcome.status == _GONE:
        delay = regular
    else:
        step = failures if outcome.reason is Reason.THROTTLED else failures - 1
        delay = fraction * retry_ceiling(step, poll_interval=poll_interval)
    return max(delay, outcome.retry_after or 0.0)


def retry_ceiling(step: int, *, poll_interval: float) -> float:
    """The longest delay of a step (from 0): min(2^step x min(1 s, interval), min(60 s, 6 x interval))."""
    # 2^16 s is beyond every limit; larger powers only cost digits.
    return min(2.0 ** min(step, 16) * min(1.0, poll_interval), 60.0, 6 * poll_interval)


def parse_retry_after(text: str | None, *, now: datetime) -> float | None:
    """Seconds to wait by a ``Retry-After`` header in either form, at most 5 minutes.

    ``None`` when there is no such header or it cannot be read.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        # Nine digits decide; thousands of them would not even be a number to Python.
        return min(float(text.lstrip("0")[:9] or 0), RETRY_AFTER_LIMIT)
    date = parse_http_date(text)
    return None if date is None else min(max((date - now).total_seconds(), 0.0), RETRY_AFTER_LIMIT)
