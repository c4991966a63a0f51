"""Short runs of chaos: none finds the agent breaking a rule, and each finds what is broken on purpose."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import chaos
from tests.chaos.agents import Place
from tests.faults.support import prepared

SEED = 1

BROKEN = {
    "withdraws at once": "import sidecar.core.state as state\nstate.withhold = lambda *_, **__: ({}, {})",
    "believes a part at once": (
        "import sidecar.core.state as state\nstate.unconfirmed = lambda *_, **__: {}"
    ),
    "takes nothing up": "import sidecar.agent.publish_file as file\nfile.found = lambda *_, **__: None",
    "writes at once": (
        "from dataclasses import replace\n"
        "from sidecar.core.writes import Schedule\n"
        "towards = Schedule.towards\n"
        "Schedule.towards = lambda self, known, *values, **rest: towards(\n"
        "    self, replace(known, wrote_at=None, status_wrote_at=None), *values, **rest\n"
        ")\n"
        "Schedule._due_at = lambda *_, now, **__: now"
    ),
    "is never stale": "import sidecar.core.state as state\nstate.turns_stale_at = lambda *_: float('inf')",
}
"""Agents that break a promise."""


async def test_short_run(tmp_path: Path) -> None:
    """Ten seconds of faults, with a fake API server, break no rule, and are well again after each storm."""
    seen: list[int] = []
    for seconds in (10, 40, 120):  # how many faults there are in a time is a matter of speed
        place = tmp_path / str(seconds)
        place.mkdir()
        report = await chaos(SEED, seconds, real=False, place=Place(place))
        assert report.violation is None, report.text()
        seen.append(min(report.calms, report.faults, report.looks))
        if seen[-1]:
            break
    assert seen[-1] >= 1


@pytest.mark.apiserver
@pytest.mark.usefixtures("api_server")
async def test_real_api_server(tmp_path: Path) -> None:
    """Twenty seconds of faults with a real API server, itself down, mute or refusing, break no rule."""
    report = await chaos(SEED, 20, real=True, place=Place(tmp_path))
    assert report.violation is None, report.text()
    assert report.calms >= 1


@pytest.mark.parametrize("what", BROKEN)
async def test_broken_agent(tmp_path: Path, what: str) -> None:
    """An agent that breaks a promise is found out, and seed and history are told."""
    report = await chaos(SEED, 60, real=False, place=Place(tmp_path), python=prepared(BROKEN[what]))
    assert report.violation is not None
    text = report.text()
    assert f"seed {SEED}: " in text
    assert "calm: " in text
    assert "VIOLATION: " in text
