"""A short soak, and proof that growth is noticed."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak import real, virtual
from tests.soak.resources import GrowthError, Resources, grown, held
from tests.soak.virtual import Soaked

HELD = Resources(resident_mib=60, objects=80_000, tasks=20, descriptors=10)


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    """Log nothing: pytest keeps every record of a test, which is growth."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_virtual_time() -> None:
    """Thousands of polls with changes and faults leave memory, tasks and descriptors as they were."""
    soaked = virtual.soak(2_000, seed=1)
    assert soaked.polls >= 2_000
    assert min(soaked.failures, soaked.revisions, soaked.applies) > 50


# On a busy machine its requests time out, and each costs a back-off: late is not stuck.
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_real_time(tmp_path: Path) -> None:
    """Hundreds of polls over real sockets, with clients that come and go, leave them so too."""
    served = real.soak(400, seed=1, directory=tmp_path)
    assert served.polls >= 400
    assert served.requests > 20


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"resident_mib": 70.0}, "resident memory"),
        ({"objects": 82_000}, "objects"),
        ({"tasks": 23}, "tasks"),
        ({"descriptors": 13}, "file descriptors"),
    ],
)
def test_growth_is_noticed(more: dict[str, float], what: str) -> None:
    """More of anything than tolerance allows is named; the same, or less, is not."""
    assert grown(HELD, replace(HELD, **more)) == what  # type: ignore[arg-type]  # the fields' own types
    assert not grown(HELD, HELD)


def test_growth_fails_a_soak() -> None:
    """A soak that ends with more than it had after the warm-up is a failure."""
    with pytest.raises(GrowthError, match="tasks"):
        Soaked(warm=HELD, end=replace(HELD, tasks=100)).judge()


async def test_leaks_show(tmp_path: Path) -> None:
    """A task, an object and a descriptor more are counted as such."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    await held()  # starts the thread
    before = await held()
    task, objects = asyncio.create_task(asyncio.sleep(60)), [[number] for number in range(10_000)]
    with (tmp_path / "file").open("wb"):
        after = await held()
    task.cancel()
    assert (after.tasks - before.tasks, after.descriptors - before.descriptors) == (1, 1)
    assert after.objects - before.objects >= len(objects)
