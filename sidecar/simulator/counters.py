"""What was asked and what was answered, counted."""

import asyncio
from collections import Counter
from dataclasses import dataclass

_MANY_KEYS = 256
OTHER = "(other)"
"""The key of everything beyond the first 256 different paths or callers."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as it came, before any judgement.

    ``headers`` and ``parameters`` keep their order and repetitions; ``caller`` is an address.
    """

    method: str
    path: str
    caller: str
    headers: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        """The first header of that name, ignoring case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Counters:
    """Requests by path and caller, answers by status.

    The words ``hang`` and ``reset`` stand among the statuses for requests that got no answer.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.reset()

    def reset(self) -> None:
        """Counts from nothing again; whoever waits keeps waiting."""
        self.requests = 0
        self.by_path: Counter[str] = Counter()
        self.by_caller: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.last_request: Call | None = None

    def asked(self, call: Call) -> None:
        """Counts a request when it has come."""
        self.requests += 1
        self.last_request = call
        _add(self.by_path, call.path)
        _add(self.by_caller, call.caller)
        for count, future in self._waiting:
            if self.requests >= count and not future.done():
                future.set_result(None)

    def answered(self, status: int | str) -> None:
        """Counts an answer when it begins, or what happened in its place."""
        self.by_status[str(status)] += 1

    async def reached(self, count: int) -> None:
        """Returns once so many requests have come since the last reset."""
        if self.requests >= count:
            return
        entry = (count, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        finally:
            self._waiting.remove(entry)


def _add(counter: Counter[str], key: str) -> None:
    counter[key if key in counter or len(counter) < _MANY_KEYS else OTHER] += 1
