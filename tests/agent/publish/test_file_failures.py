"""Files that cannot be written: the error, what is left of the old file, and the next attempt."""

import asyncio
import contextlib
import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.publish_file import found
from sidecar.agent.publish_loop import PublishError
from tests.agent.publish.files import (
    LARGE,
    content,
    make_folder,
    names,
    publisher,
    saying,
)
from tests.agent.publish.support import Agent, answer, count, driven, in_virtual_time, loop_clock
from tests.core.examples import FULL
from tests.support.faults import FILE_FAILS, Origin, also_shows, fault


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files of this process cannot grow over `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_missing_folder_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    """A folder that does not exist is not made: the error says which file, why, and which setting."""
    path = tmp_path / "missing" / "loadbalancer.json"
    with pytest.raises(PublishError) as caught:
        await publisher(path).turn(saying(FULL))
    text = str(caught.value)
    assert f"cannot write {path} (No such file or directory)" in text
    assert "--file (AZURE_LB_METADATA_FILE)" in text
    assert caught.value.retry_after is None
    assert not path.parent.exists()


async def test_folder_that_comes_later_is_written_to(tmp_path: Path) -> None:
    """A turn after the cause is gone does all the work."""
    path = tmp_path / "missing" / "loadbalancer.json"
    with pytest.raises(PublishError):
        await publisher(path).turn(saying(FULL))
    make_folder(path.parent)
    assert (await publisher(path).turn(saying(FULL))).wrote
    assert names(path.parent) == {path.name, f"{path.name}.env"}


async def test_path_under_a_file_is_an_error(tmp_path: Path) -> None:
    """A path whose folder is a file cannot be written."""
    (tmp_path / "file").touch()
    with pytest.raises(PublishError, match="Not a directory"):
        await publisher(tmp_path / "file" / "loadbalancer.json").turn(saying(FULL))


async def test_folder_in_place_of_the_file_is_an_error(path: Path) -> None:
    """A folder under the name of the file is not replaced, and nothing is left behind."""
    make_folder(path)
    with pytest.raises(PublishError, match="Is a directory"):
        await publisher(path).turn(saying(FULL))
    assert names(path.parent) == {path.name}


@fault(Origin.NODE, "The disk is full", FILE_FAILS)
async def test_full_disk_leaves_the_old_file_and_no_other(path: Path) -> None:
    """When the new content does not fit, the old file is whole and no temporary file is left."""
    await publisher(path).turn(saying(FULL))
    before = content(path)
    with largest_file(1000), pytest.raises(PublishError, match="File too large"):
        await publisher(path).turn(saying(LARGE))
    assert content(path) == before
    assert names(path.parent) == {path.name, f"{path.name}.env"}
    assert (await publisher(path).turn(saying(LARGE))).wrote
    assert found(path, "node-1") is not None


@fault(Origin.NODE, "The folder of the file is missing, or vanishes", FILE_FAILS)
@in_virtual_time
async def test_failed_file_is_tried_again_until_it_can_be_written(tmp_path: Path) -> None:
    """The frame retries without any new state, and then all is written."""
    path = tmp_path / "missing" / "loadbalancer.json"
    agent = Agent()
    agent.see(answer(FULL))
    async with driven(agent.loop(publisher(path, clock=loop_clock))):
        await asyncio.sleep(600)
        assert count(agent, "file", "failed") > 1
        make_folder(path.parent)
        await asyncio.sleep(600)
    assert count(agent, "file", "written") == 1
    assert json.loads(content(path))["revision"] == FULL.revision


@fault(Origin.NODE, "The file system is read-only", FILE_FAILS)
async def test_read_only_folder_is_an_error() -> None:
    """A folder that may not be written to is an error that names the file; sysfs refuses root, too."""
    path = Path("/sys/loadbalancer.json")
    with pytest.raises(
        PublishError, match=r"loadbalancer.json \((Permission denied|Read-only file system)\)"
    ):
        await publisher(path).turn(saying(FULL))


@also_shows("The folder of the file is missing, or vanishes")
async def test_vanished_folder_is_an_error_at_the_next_change(tmp_path: Path) -> None:
    """A folder that is removed later fails the turn, and is no fault of the program."""
    path = tmp_path / "volume" / "loadbalancer.json"
    make_folder(path.parent)
    await publisher(path).turn(saying(FULL))
    shutil.rmtree(path.parent)
    with pytest.raises(PublishError, match="No such file"):
        await publisher(path).turn(saying(FULL))
