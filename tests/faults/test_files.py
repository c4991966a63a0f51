"""What may stand, or hang, where the agent writes its file."""

import json
import os
import signal
import sys
from asyncio import create_subprocess_exec
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.support import ok
from tests.faults.support import Surroundings, prepared
from tests.support.agent import AgentProcess, agent_with
from tests.support.faults import FILE_FAILS, Origin, Promise, fault
from tests.support.program import CHECKOUT, Settings

LARGEST_MIB = 110
"""Of an agent: it has 160 MiB in the chart."""

HANGING = """
import os, threading
import sidecar.blocking
real, gate = os.open, threading.Event()
def hanging(path, *arguments, **options):
    if str(path).endswith("/document"):
        gate.wait()
    return real(path, *arguments, **options)
os.open = hanging
sidecar.blocking.Blocking.__init__.__defaults__ = (0.3,)
"""
"""Every opening of the file hangs for ever, as on a network volume whose server is gone."""

OWN_MOUNT = """
import ctypes, os, pathlib
from tests.faults.disk import mount_own
folder = pathlib.Path(os.environ["DISK"])
mount_own(folder)
file = folder / "document"
file.touch()
MS_BIND = 4096
assert ctypes.CDLL(None).mount(os.fsencode(file), os.fsencode(file), None, ctypes.c_ulong(MS_BIND), None) == 0
"""
"""The file is a mount of its own, as `subPath` makes it."""


def writing(surroundings: Surroundings, path: Path) -> Settings:
    """An agent that writes this file and has nothing to do with a cluster."""
    return surroundings.settings(annotations=False, file=str(path), kubeconfig=None, node_name=None)


async def serves(agent: AgentProcess) -> None:
    """The agent answers everybody, and the probe of its life."""
    await agent.until_document(ok)
    assert (await agent.admin("/livez")).status == 200


def largest_mib(agent: AgentProcess) -> float:
    """The most memory that the agent has had so far."""
    status = Path(f"/proc/{agent.program.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def threads(agent: AgentProcess) -> int:
    """How many threads the agent has."""
    return len(list(Path(f"/proc/{agent.program.pid}/task").iterdir()))


async def ends(agent: AgentProcess) -> None:
    """One request to stop ends the agent in order."""
    agent.program.signal(signal.SIGTERM)
    assert await agent.program.exit_code() == 0
    assert agent.program.events("stopped")


@fault(
    Origin.NODE,
    "The volume of the file hangs",
    FILE_FAILS.but(
        logged=(
            "`publish-failed` with `no answer within 10 s`; one thread waits, whatever is tried meanwhile."
        ),
        recovery="With the first turn after the volume answers again. The agent ends in time without it.",
    ),
)
async def test_hanging_volume(surroundings: Surroundings, tmp_path: Path) -> None:
    """A volume that never answers costs the file alone: all is served, and a signal ends the agent."""
    settings = writing(surroundings, tmp_path / "document")
    async with agent_with(tmp_path, settings, python=prepared(HANGING)) as agent:
        await serves(agent)
        failed = await agent.program.event("publish-failed", publisher="file")
        assert f"cannot read {tmp_path}/document (no answer within 0.3 s)" in failed["error"]
        await agent.program.event("publish-failed", publisher="file", failures=2)
        assert (await agent.admin("/readyz")).text == "the file is not written yet\n"
        assert threads(agent) <= 4
        await ends(agent)


def pipe(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def endless(path: Path) -> None:
    """A link to what never ends."""
    path.symlink_to("/dev/zero")


def elsewhere(path: Path) -> None:
    """A link to another file."""
    (path.parent / "target").write_text("somebody else's")
    path.symlink_to("target")


def folder(path: Path) -> None:
    """A folder."""
    path.mkdir()


@fault(
    Origin.NODE,
    "In place of the file is a link, a folder, a pipe or a device",
    FILE_FAILS.but(recovery="With the first turn after it is removed; it is neither read nor replaced."),
)
@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (pipe, "replaces nothing but files"),
        (endless, "follows no link"),
        (elsewhere, "follows no link"),
        (folder, "name a file in it"),
    ],
)
async def test_odd_file(
    surroundings: Surroundings, tmp_path: Path, make: Callable[[Path], None], advice: str
) -> None:
    """What is no file is left alone and named, and all is served; when it is gone the file is written."""
    path = tmp_path / "document"
    make(path)
    async with agent_with(tmp_path, writing(surroundings, path)) as agent:
        await serves(agent)
        failed = await agent.program.event("publish-failed", publisher="file")
        assert advice in failed["error"]
        assert largest_mib(agent) < LARGEST_MIB
        if make is elsewhere:
            assert (tmp_path / "target").read_text() == "somebody else's"
        if make is folder:
            path.rmdir()
        else:
            path.unlink()
        await agent.until_ready()
        assert json.loads(path.read_bytes())["revision"]
        await ends(agent)


@fault(
    Origin.NODE,
    "The file found at the start is far too long",
    Promise(
        served="Nothing of it.",
        annotated="Nothing of it.",
        logged="Nothing; at most 1 MiB of it is read.",
        recovery="The file is written with the first answer.",
    ),
)
@pytest.mark.parametrize("size", [1_000_000, 8 * 1024 * 1024])
async def test_long_file(surroundings: Surroundings, tmp_path: Path, size: int) -> None:
    """A file of any size costs no more memory than an answer may, and is replaced."""
    path = tmp_path / "document"
    path.write_bytes(b"[" + b"[]," * (size // 3) + b"[]]")
    async with agent_with(tmp_path, writing(surroundings, path)) as agent:
        await agent.until_ready()
        assert json.loads(path.read_bytes())["revision"]
        assert largest_mib(agent) < LARGEST_MIB


@fault(
    Origin.NODE,
    "The file is itself a mount (`subPath`)",
    FILE_FAILS.but(
        logged="`publish-failed` with the advice to mount the folder.", recovery="With another mount."
    ),
)
async def test_file_that_is_a_mount(surroundings: Surroundings, tmp_path: Path) -> None:
    """A file that cannot be replaced since it is a mount gets its own advice."""
    disk = tmp_path / "disk"
    disk.mkdir()
    environment = {"DISK": str(disk)}
    trial = await create_subprocess_exec(sys.executable, "-c", OWN_MOUNT, env=environment, cwd=CHECKOUT)
    if await trial.wait():
        pytest.skip("no process may have mounts of its own here")
    settings = writing(surroundings, disk / "document")
    async with agent_with(tmp_path, settings, python=prepared(OWN_MOUNT), environment=environment) as agent:
        await serves(agent)
        failed = await agent.program.event("publish-failed", publisher="file")
        assert f"cannot write {disk}/document (Device or resource busy)" in failed["error"]
        assert "without subPath" in failed["error"]
