"""How often and when an operator's request is repeated."""

import asyncio
from collections import deque

import pytest

from sidecar.kube import (
    ForbiddenError,
    KubernetesError,
    MalformedBodyError,
    NoAnswerError,
    NodeNotFoundError,
    NodeReplacedError,
    RejectedError,
    ServerError,
    ThrottledError,
    UnauthorizedError,
)
from sidecar.kube.listing import ATTEMPTS, with_retries

pytestmark = pytest.mark.looptime(start=1000)


class Asked:
    """Fails with these errors, then answers; knows when it was asked."""

    def __init__(self, *failures: KubernetesError, takes: float = 0.0) -> None:
        self.failures = deque(failures)
        self.takes = takes
        """Seconds that each answer takes."""
        self.times: list[float] = []

    async def __call__(self) -> str:
        """Be asked."""
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes)
        if self.failures:
            raise self.failures.popleft()
        return "answer"

    @property
    def delays(self) -> list[float]:
        """Seconds between the questions."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


async def test_at_once() -> None:
    """An answer is not asked for twice."""
    asked = Asked()
    assert await with_retries(asked) == "answer"
    assert len(asked.times) == 1


@pytest.mark.parametrize("kind", [NoAnswerError, ServerError, ThrottledError])
async def test_passing_failures(kind: type[KubernetesError]) -> None:
    """What may pass is asked again up to the last attempt."""
    asked = Asked(*[kind("why")] * (ATTEMPTS - 1))
    assert await with_retries(asked) == "answer"
    assert len(asked.times) == ATTEMPTS


@pytest.mark.parametrize("kind", [NoAnswerError, ServerError, ThrottledError])
async def test_lasting_failures(kind: type[KubernetesError]) -> None:
    """What does not pass is raised after the last attempt."""
    asked = Asked(*[kind("why")] * (ATTEMPTS + 1))
    with pytest.raises(kind):
        await with_retries(asked)
    assert len(asked.times) == ATTEMPTS


@pytest.mark.parametrize(
    "kind", [ForbiddenError, RejectedError, NodeNotFoundError, NodeReplacedError, MalformedBodyError]
)
async def test_final_failures(kind: type[KubernetesError]) -> None:
    """What asking again cannot change is raised at once."""
    asked = Asked(kind("why"))
    with pytest.raises(kind):
        await with_retries(asked)
    assert len(asked.times) == 1


async def test_credentials() -> None:
    """Who is not known tries once more, with credentials loaded anew, and no more."""
    asked = Asked(*[UnauthorizedError("why")] * 5)
    with pytest.raises(UnauthorizedError):
        await with_retries(asked)
    assert len(asked.times) == 2


async def test_delays() -> None:
    """Delays are random parts of 1, 2, 4 and 8 s."""
    for fraction in (1.0, 0.5, 0.0):
        asked = Asked(*[ServerError("why")] * 4)
        await with_retries(asked, fraction=lambda part=fraction: part)  # type: ignore[misc] # bound per turn
        assert asked.delays == pytest.approx([1 * fraction, 2 * fraction, 4 * fraction, 8 * fraction])


async def test_delays_when_throttled() -> None:
    """After 429 the delays begin a step later."""
    asked = Asked(*[ThrottledError("why")] * 4)
    await with_retries(asked, fraction=lambda: 1.0)
    assert asked.delays == pytest.approx([2, 4, 8, 16])


async def test_retry_after() -> None:
    """No question comes before the API server wants one."""
    asked = Asked(ThrottledError("why", retry_after=7), ServerError("why", retry_after=3))
    await with_retries(asked, fraction=lambda: 0.1)
    assert asked.delays == pytest.approx([7, 3])


async def test_silence() -> None:
    """An API server that never answers is given up about a minute after the first question."""
    asked = Asked(*[NoAnswerError("why")] * 9, takes=30)
    with pytest.raises(NoAnswerError):
        await with_retries(asked, fraction=lambda: 1.0)
    assert asked.delays == [31]


@pytest.mark.parametrize(("seconds", "attempts"), [(59.0, 2), (61.0, 1), (300.0, 1)])
async def test_long_retry_after(seconds: float, attempts: int) -> None:
    """Nobody at a terminal waits for minutes because an API server wants them to."""
    asked = Asked(*[ThrottledError("why", retry_after=seconds)] * 9)
    with pytest.raises(ThrottledError):
        await with_retries(asked, fraction=lambda: 0.1)
    assert len(asked.times) == attempts


async def test_retries_are_noted() -> None:
    """Each failure that is not the last one is noted before the request is repeated."""
    failures = [ServerError("one"), ThrottledError("two"), RejectedError("three")]
    noted: list[KubernetesError] = []
    with pytest.raises(RejectedError):
        await with_retries(Asked(*failures), on_retry=noted.append)
    assert noted == failures[:2]
