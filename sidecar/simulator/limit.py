"""The documented request limit: five a second for each virtual machine.

MicrosoftDocs/azure-compute-docs:articles/virtual-machines/instance-metadata-service.md states the
number. That it is a token bucket, and how many requests may come at once, are guesses.
"""

from dataclasses import dataclass

REQUESTS_PER_SECOND = 5.0
BURST = 5.0
_MANY_CALLERS = 1024


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """A token bucket for each caller. Refused requests cost nothing."""

    def __init__(self, *, rate: float = REQUESTS_PER_SECOND, burst: float = BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def take(self, caller: str, now: float) -> bool:
        """Whether the caller may have one more answer at ``now``, in seconds of any steady clock."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            self._forget_idle(now)
            bucket = self._buckets[caller] = _Bucket(tokens=self._burst, filled_at=now)
        bucket.tokens = self._level(bucket, now)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _level(self, bucket: _Bucket, now: float) -> float:
        return min(self._burst, bucket.tokens + max(0.0, now - bucket.filled_at) * self._rate)

    def _forget_idle(self, now: float) -> None:
        # A full bucket says the same as none.
        if len(self._buckets) >= _MANY_CALLERS:
            self._buckets = {
                caller: bucket
                for caller, bucket in self._buckets.items()
                if self._level(bucket, now) < self._burst
            }
