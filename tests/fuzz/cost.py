"""What an answer costs, counted and not timed: calls of functions, and bytes allocated."""

import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Cost:
    """The amount, once the block that is measured has ended."""

    amount: int = 0


def calls_allowed(length: int) -> int:
    """Calls and returns that an answer of ``length`` bytes may cost: linear, and generous.

    Rules take 1 to 3 for each byte, mostly in the standard library's ``ipaddress``; entries of two
    bytes that are dropped take 8.
    """
    return 2_000 + 15 * length


def memory_allowed(length: int) -> int:
    """Bytes that may be allocated at one time for an answer of ``length`` bytes.

    Entries of two bytes that are dropped take most, 65 for each byte: each is remembered for the log.
    """
    return 256 * 1024 + 100 * length


@contextmanager
def calls_counted() -> Iterator[Cost]:
    """Count the calls and returns of the block, of Python and of C functions."""
    cost = Cost()
    number = 0

    def count(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal number
        number += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield cost
    finally:
        sys.setprofile(before)
        cost.amount = number


@contextmanager
def memory_measured() -> Iterator[Cost]:
    """The most bytes that the block had allocated at one time, beyond what was there before.

    Slow: for some answers, not for all.
    """
    cost = Cost()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield cost
        _, peak = tracemalloc.get_traced_memory()
        cost.amount = peak - before
    finally:
        tracemalloc.stop()
