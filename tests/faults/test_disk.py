"""A disk that is full, as the machine itself says so."""

import json
import sys
from asyncio import create_subprocess_exec
from pathlib import Path

import pytest

from tests.agent.support import ok
from tests.faults.disk import filled
from tests.faults.support import Surroundings, prepared
from tests.support.agent import agent_with
from tests.support.faults import also_shows
from tests.support.program import CHECKOUT
from tests.support.waiting import until

OWN_DISK = """
import os, pathlib
from tests.faults.disk import mount_own
mount_own(pathlib.Path(os.environ["DISK"]))
"""


@pytest.fixture
async def disk(tmp_path: Path) -> Path:
    """A folder on which a process may mount a disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    trial = await create_subprocess_exec(
        sys.executable, "-c", OWN_DISK, env={"DISK": str(folder)}, cwd=CHECKOUT
    )
    if await trial.wait():
        pytest.skip("no process may have mounts of its own here")
    return folder


def names(folder: Path) -> set[str]:
    """What is in a folder."""
    return {path.name for path in folder.iterdir()}


@also_shows("The disk is full")
async def test_full_disk(surroundings: Surroundings, disk: Path, tmp_path: Path) -> None:
    """While the disk is full the old file is whole and everything is served; with space the file follows."""
    settings = surroundings.settings(
        annotations=False, file=str(disk / "document"), kubeconfig=None, node_name=None
    )
    environment = {"DISK": str(disk)}
    async with agent_with(tmp_path, settings, python=prepared(OWN_DISK), environment=environment) as agent:
        await agent.until_ready()
        seen_by_agent = Path(f"/proc/{agent.program.pid}/root{disk}")
        file = seen_by_agent / "document"
        before = file.read_bytes()
        with filled(seen_by_agent):
            surroundings.service.simulator.set_document("several-nics")
            failed = await agent.program.event("publish-failed", publisher="file")
            assert f"cannot write {disk}/document (No space left on device)" in failed["error"]
            assert "make room on the volume of --file (AZURE_LB_METADATA_FILE)" in str(failed)
            reply = await agent.until_document(ok)
            assert len(reply.json["loadbalancer"]["publicIpAddresses"]) == 3
            assert (await agent.admin("/readyz")).status == 200
            assert file.read_bytes() == before
            assert names(seen_by_agent) == {"document", "document.env", "filler"}
        await agent.program.event("publish-recovered", publisher="file")

        async def written() -> int:
            return len(json.loads(file.read_bytes())["loadbalancer"]["publicIpAddresses"])

        await until(written, lambda number: number == 3)
    assert names(disk) == set(), "nothing of it is seen elsewhere"
