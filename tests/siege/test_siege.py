"""A short siege, and proof that its judges notice what they are for."""

from pathlib import Path

import pytest

from tests.siege.__main__ import main
from tests.siege.cgroup import memory_group
from tests.siege.sieges import besiege, obstacle
from tests.siege.victims import LIMIT_BYTES
from tests.support.program import program_running

WHY_NOT = obstacle()

pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=f"no siege: {WHY_NOT}"),
    # An agent that is killed leaves connections whose other ends are here.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


@pytest.mark.parametrize("attack", ["errors", "addresses", "heads", "queues", "files"])
async def test_attack(attack: str, tmp_path: Path) -> None:
    """One round of each attack on memory ends neither agent nor sidecar; `make siege` has the longer ones."""
    report = await besiege([attack], 0, tmp_path)
    assert report.faults == (), report


async def test_too_much_memory_is_noticed(tmp_path: Path) -> None:
    """A process that takes more than its group has is killed, and counted."""
    with memory_group("greedy", LIMIT_BYTES) as group:
        greedy = f"{group.joining}\nheld = bytearray(2 * {LIMIT_BYTES})"
        async with program_running("held", directory=tmp_path, python=("-c", greedy)) as program:
            assert await program.exit_code() < 0
        assert group.kills == 1
        assert group.peak_mib == LIMIT_BYTES / 2**20


def test_impossible(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there can be no siege the command says why, and fails."""
    monkeypatch.setattr("tests.siege.__main__.obstacle", lambda: "no groups here")
    assert main(["--seconds", "1"]) == 1
    assert capsys.readouterr().err == "no siege: no groups here\n"
