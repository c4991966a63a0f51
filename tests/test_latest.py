"""The newest value, and waiting for the next one."""

import asyncio

import pytest

from sidecar.latest import Watch


async def started(latest: Watch[object], seen: object) -> asyncio.Task[object]:
    """A task that waits for another value than `seen` and has come as far as it can."""
    task = asyncio.create_task(latest.changed(seen))
    await asyncio.sleep(0)
    return task


async def test_value_is_the_newest() -> None:
    """Readers that do not wait get what was set last."""
    latest = Watch("first")
    assert latest.value == "first"
    latest.set("second")
    assert latest.value == "second"


async def test_reader_that_is_behind_does_not_wait() -> None:
    """Who has seen an older value gets the newest at once, never one in between."""
    latest = Watch("first")
    latest.set("second")
    latest.set("third")
    assert await latest.changed("first") == "third"


async def test_every_waiter_is_woken() -> None:
    """One new value wakes all who wait, and they see it."""
    latest: Watch[object] = Watch("first")
    waiters = [await started(latest, "first") for _ in range(3)]
    assert not any(waiter.done() for waiter in waiters)
    latest.set("second")
    assert await asyncio.gather(*waiters) == ["second"] * 3


async def test_woken_waiter_sees_the_newest_value() -> None:
    """Values set before a woken waiter runs are passed over: level, not edge."""
    latest: Watch[object] = Watch("first")
    waiter = await started(latest, "first")
    latest.set("second")
    latest.set("third")
    assert await waiter == "third"


async def test_value_that_came_and_went_does_not_wake() -> None:
    """A waiter that finds the value it had seen goes on waiting."""
    first: object = object()
    latest = Watch(first)
    waiter = await started(latest, first)
    latest.set(object())
    latest.set(first)
    await asyncio.sleep(0)
    assert not waiter.done()
    latest.set("other")
    assert await waiter == "other"


async def test_equal_value_is_another_value() -> None:
    """A change is another object, so a value that only equals the old one is news."""
    old, new = ["same"], ["same"]
    latest: Watch[object] = Watch(old)
    waiter = await started(latest, old)
    latest.set(new)
    assert await waiter is new


async def test_followers_are_told_every_value() -> None:
    """Followers are called with each value that is set after they came, before anybody waits for it."""
    latest, seen = Watch("first"), list[str]()
    latest.set("second")
    latest.subscribe(seen.append)
    latest.subscribe(lambda value: seen.append(value.upper()))
    latest.set("third")
    latest.set("fourth")
    assert seen == ["third", "THIRD", "fourth", "FOURTH"]


async def test_cancelled_waiter_leaves_the_others() -> None:
    """A waiter that gives up is cancelled, and those beside it are still woken."""
    latest: Watch[object] = Watch("first")
    impatient, patient = [await started(latest, "first") for _ in range(2)]
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    latest.set("second")
    assert await patient == "second"


@pytest.mark.parametrize("at", [None, 3600.0])
async def test_change_before_the_time(at: float | None) -> None:
    """Who waits for a change or a time goes on at a change that comes first."""
    latest: Watch[object] = Watch("first")
    at = None if at is None else asyncio.get_running_loop().time() + at
    waiter = asyncio.create_task(latest.changed_or("first", at=at))
    await asyncio.sleep(0)
    assert not waiter.done()
    latest.set("second")
    await waiter


async def test_time_before_a_change() -> None:
    """Who waits for a change or a time goes on when the time has come, and sees the same value."""
    latest: Watch[object] = Watch("first")
    await latest.changed_or("first", at=asyncio.get_running_loop().time())
    assert latest.value == "first"
