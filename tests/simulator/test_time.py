"""What happens when: steps of a scenario and the request limit, on a clock of the tests."""

import asyncio
import logging

import aiohttp
import pytest

from sidecar.simulator import Serving, Simulator, parse_scenario, serve
from sidecar.simulator.simulation import RateLimit
from tests.simulator.client import LOADBALANCER, fetch
from tests.simulator.conftest import Clock
from tests.support.waiting import DEADLINE_S

STEPS = """
document: public-ip
steps:
  - at: 30s
    fault: unavailable
  - at: 1m
    fault: none
    document: none
"""


def _shown(simulator: Simulator) -> tuple[str | None, str | None]:
    fault = simulator.conditions.fault
    return simulator.conditions.document.name, fault.name if fault else None


def test_steps(clock: Clock) -> None:
    """Each step is in force from its time on and changes only what it names."""
    simulator = Simulator(parse_scenario(STEPS), time=clock)
    seen = []
    for now in (0, 29.9, 30, 59, 60, 1e6):
        clock.now = 1000 + now
        seen.append(_shown(simulator))

    assert seen == [
        ("public-ip", None),
        ("public-ip", None),
        ("public-ip", "unavailable"),
        ("public-ip", "unavailable"),
        ("none", None),
        ("none", None),
    ]


def test_several_steps_at_once(clock: Clock) -> None:
    """After a long time without a request, all steps that are due are taken, in order."""
    simulator = Simulator(parse_scenario(STEPS), time=clock)
    clock.now += 3600

    assert _shown(simulator) == ("none", None)
    assert simulator.seconds_to_next_step() is None


def test_repetition(clock: Clock) -> None:
    """A repeated scenario starts again, also after many rounds without a request."""
    simulator = Simulator(parse_scenario(STEPS + "repeatEvery: 90s"), time=clock)
    seen = []
    for now in (89, 90, 121, 90 * 50 + 61):
        clock.now = 1000 + now
        seen.append(_shown(simulator))

    assert seen == [("none", None), ("public-ip", None), ("public-ip", "unavailable"), ("none", None)]
    assert simulator.seconds_to_next_step() == 29


def test_changes_by_hand_last_until_a_step_names_them(clock: Clock) -> None:
    """A step overrides what was set by hand only where it says something."""
    simulator = Simulator(parse_scenario(STEPS), time=clock)
    simulator.set_document("all")
    simulator.set_fault("gone")

    clock.now += 30

    assert _shown(simulator) == ("all", "unavailable")


def test_every_change_is_one_line_of_the_log(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Each change of conditions is logged once; what changes nothing is not."""
    caplog.set_level(logging.INFO, logger="sidecar.simulator")
    simulator = Simulator(parse_scenario(STEPS), time=clock)
    simulator.set_document("public-ip")
    clock.now += 30
    assert simulator.conditions.fault

    assert [record.getMessage().split(", ")[:2] for record in caplog.records] == [
        ["at 0.0 s: document public-ip", "fault none"],
        ["at 30.0 s: document public-ip", "fault unavailable"],
    ]


async def test_limit(serving: Serving, session: aiohttp.ClientSession, clock: Clock) -> None:
    """Five requests at once are answered, the sixth is 429; a fifth of a second brings one back."""
    serving.simulator.change({"rateLimit": True})
    statuses = [(await fetch(session, serving.url + LOADBALANCER)).status for _ in range(7)]
    clock.now += 0.2001
    later = [(await fetch(session, serving.url + LOADBALANCER)).status for _ in range(2)]

    assert statuses == [200] * 5 + [429] * 2
    assert later == [200, 429]


async def test_limit_counts_all_paths_and_faults(serving: Serving, session: aiohttp.ClientSession) -> None:
    """The limit is one for all paths, and requests that a fault strikes count too."""
    serving.simulator.change({"rateLimit": True, "fault": {"name": "unavailable", "times": 3}})
    paths = [LOADBALANCER, LOADBALANCER, LOADBALANCER, "/metadata/versions", LOADBALANCER, LOADBALANCER]

    statuses = [(await fetch(session, serving.url + path)).status for path in paths]

    assert statuses == [503, 503, 503, 200, 200, 429]


async def test_limit_is_each_callers_own(serving: Serving, session: aiohttp.ClientSession) -> None:
    """One caller's requests leave another's budget alone."""
    serving.simulator.change({"rateLimit": True})
    other = await serving.listen(caller="10.224.0.9")
    for _ in range(6):
        await fetch(session, serving.url + LOADBALANCER)

    assert (await fetch(session, other + LOADBALANCER)).status == 200


async def test_no_limit(serving: Serving, session: aiohttp.ClientSession) -> None:
    """Switched off, the limit refuses nothing."""
    statuses = {(await fetch(session, serving.url + LOADBALANCER)).status for _ in range(12)}

    assert statuses == {200}


def test_limit_forgets_idle_callers() -> None:
    """Callers whose budget is full again take no memory; those in debt stay in debt."""
    limit = RateLimit()
    for number in range(2000):
        limit.take(f"caller {number}", now=0)
    for _ in range(5):
        limit.take("busy", now=100)
    limit.take("one more", now=100)

    assert len(limit._buckets) == 2
    assert not limit.take("busy", now=100)


async def test_steps_are_logged_in_time() -> None:
    """A served simulator takes its steps, and logs them, without being asked."""
    arrived = asyncio.Event()

    class Arrival(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "fault gone" in record.getMessage():
                arrived.set()

    logger = logging.getLogger("sidecar.simulator")
    handler = Arrival()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        simulator = Simulator()
        async with serve(simulator), asyncio.timeout(DEADLINE_S):
            simulator.load(parse_scenario("steps: [{at: 20ms, fault: gone}]"))
            await arrived.wait()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
