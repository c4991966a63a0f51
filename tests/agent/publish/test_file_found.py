"""What is believed of the file that an earlier run left, or that somebody forged."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.agent import publish_file as file
from sidecar.agent.publish_file import FilePublisher
from sidecar.core.document import EMPTY, canonical_bytes
from sidecar.core.outcome import NONE
from sidecar.core.state import DataOrigin, Found, State, restore
from tests.core.examples import FULL, answer
from tests.support.faults import Origin, Promise, also_shows, fault
from tests.support.states import EPOCH, POLICY, FakeClock, later, snapshot_after


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A file that an earlier run wrote, of an answer at `EPOCH`."""
    path = tmp_path / "loadbalancer.json"
    publisher = FilePublisher(path=path, node=NODE, node_address=None, stale_after=300, clock=FakeClock())
    await publisher.turn(snapshot_after(answer(FULL)))
    return path


NODE = "node-1"


def found(path: Path) -> Found | None:
    """What the agent of the same node believes of the file."""
    return file.found(path, NODE)


EXPECTED = Found(
    revision=FULL.revision, changed_at=EPOCH.utc, document=FULL, observed_at=EPOCH.utc, node=NODE
)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the value in the file, and keep its time."""
    value = json.loads(path.read_bytes())
    change(value)
    modified = path.stat().st_mtime
    path.write_bytes(canonical_bytes(value))
    os.utime(path, (modified, modified))


def test_what_an_earlier_run_wrote_is_found(path: Path) -> None:
    """Document, revision and times come back as they were written."""
    assert found(path) == EXPECTED


def test_file_of_another_node_is_not_believed(path: Path) -> None:
    """A volume that moved to another node says nothing about that one."""
    assert file.found(path, "node-2") is None


def test_file_is_believed_where_the_node_is_not_known(path: Path) -> None:
    """An agent that was never told its node, as a sidecar may be, takes the name from the file."""
    assert file.found(path) == EXPECTED
    edit(path, lambda value: value.update(node=None))
    assert file.found(path) == replace(EXPECTED, node=None)
    assert found(path) is None


@pytest.mark.parametrize("name", ["Node 1", "node-1\r\nServer: mine", "", 1, ["node-1"]])
def test_file_with_an_impossible_node_is_not_believed(path: Path, name: object) -> None:
    """What is no name of a node comes from nobody's run, and does not get into headers and variables."""
    edit(path, lambda value: value.update(node=name))
    assert file.found(path) is None


async def test_empty_document_is_found(tmp_path: Path) -> None:
    """A file that says "none" is restored as the empty document."""
    path = tmp_path / "loadbalancer.json"
    publisher = FilePublisher(path=path, node=NODE, node_address=None, stale_after=300, clock=FakeClock())
    await publisher.turn(snapshot_after(NONE, NONE, NONE))
    earlier = found(path)
    assert earlier is not None
    assert earlier.document == EMPTY


def test_age_is_taken_from_the_time_of_the_file(path: Path) -> None:
    """The modification time says when the answer came; a time in the future counts as now."""
    for modified, age in ((later(-500), 500), (later(3600), 0)):
        os.utime(path, (modified.utc.timestamp(), modified.utc.timestamp()))
        earlier = found(path)
        assert earlier is not None
        state = restore(State(started=EPOCH), earlier, EPOCH, POLICY)
        assert state.source is DataOrigin.RESTORED
        assert state.observed is not None
        assert state.observed.age(EPOCH) == age


@pytest.mark.parametrize("modified", [-(10**14), 10**12, 10**15])
def test_time_that_no_calendar_has_is_survived(path: Path, modified: int) -> None:
    """A file system in memory holds times that are no dates: such a file is not believed."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        copy = Path(folder, path.name)
        copy.write_bytes(path.read_bytes())
        os.utime(copy, (EPOCH.utc.timestamp(),) * 2)
        assert found(copy) == EXPECTED
        os.utime(copy, (modified, modified))
        assert found(copy) is None


def test_white_space_and_unknown_members_do_not_matter(path: Path) -> None:
    """A file that was only formatted, or written by a later version with more in it, is found."""
    edit(path, lambda value: value.update(later={"version": 2}))
    assert found(path) == EXPECTED
    modified = path.stat().st_mtime
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=2))
    os.utime(path, (modified, modified))
    assert found(path) == EXPECTED


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another revision": lambda value: value.update(revision="0" * 16),
    "no revision": lambda value: value.pop("revision"),
    "number as revision": lambda value: value.update(revision=8452),
    "another document": lambda value: value.update(loadbalancer=EMPTY.wire()),
    "no document": lambda value: value.pop("loadbalancer"),
    "null document": lambda value: value.update(loadbalancer=None),
    "list as document": lambda value: value.update(loadbalancer=[]),
    "more in the document": lambda value: value["loadbalancer"].update(note="mine"),
    "unusable entry": lambda value: value["loadbalancer"]["inboundRules"].append({}),
    "duplicate entry": lambda value: value["loadbalancer"].update(
        publicIpAddresses=value["loadbalancer"]["publicIpAddresses"] * 2
    ),
    "no time": lambda value: value.pop("changedAt"),
    "null time": lambda value: value.update(changedAt=None),
    "wrong time": lambda value: value.update(changedAt="yesterday"),
    "control characters": lambda value: value.update(changedAt="2026-01-02T03:04:05Z\x00"),
}


@also_shows("The file found at the start is forged, garbled or cut short")
@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_what_does_not_fit_together_is_not_believed(
    path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    """A file whose parts do not fit each other is as good as none."""
    edit(path, change)
    assert found(path) is None


@fault(
    Origin.NODE,
    "The file found at the start is forged, garbled or cut short",
    Promise(
        served="Nothing of it.",
        annotated="Nothing of it.",
        logged="Nothing.",
        recovery="The file is written with the first answer.",
    ),
)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"\x00" * 1000,
        b"[" * 100_000,
        b"9" * 100_000,
        b'{"revision": NaN}',
        b'{"revision":"8452c3f6dfede258","changedAt":"2026-01-02T03:04:05Z","loadbalancer":NaN}',
        b'{"revision":"8452c3f6dfede258","changedAt":"2026-01-02T03:04:05Z","loadbalancer":"\\ud800"}',
    ],
)
def test_garbled_file_is_not_believed(path: Path, content: bytes) -> None:
    """Whatever else is in the file, nothing is found and nothing is raised."""
    path.write_bytes(content)
    assert found(path) is None


@also_shows("The file found at the start is forged, garbled or cut short")
@pytest.mark.parametrize("length", [0.1, 0.5, 0.99])
def test_file_cut_short_is_not_believed(path: Path, length: float) -> None:
    """The beginning of a file is nothing."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * length)])
    assert found(path) is None


def test_file_that_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    """A missing file, a folder and a path under a file have nothing to restore."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "folder", tmp_path / "file" / "below"):
        assert found(path) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "node": json_values | st.just(NODE),
            "revision": json_values | st.just(EMPTY.revision),
            "changedAt": json_values | st.just("2026-01-02T03:04:05Z"),
            "loadbalancer": json_values | st.just(EMPTY.wire()),
        },
    )
    | json_values
)
def test_any_json_is_survived(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    """Any JSON in the file is either a document of its own revision, or nothing."""
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    earlier = file.found(path)
    assert earlier is None or (earlier.revision, earlier.document) == (EMPTY.revision, EMPTY)
