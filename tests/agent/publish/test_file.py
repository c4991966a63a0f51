"""The file publisher: what it writes, and when it leaves files alone."""

import asyncio
import json
import os
import stat
import subprocess
import threading
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.agent.publish_loop import PublishResult
from sidecar.core.document import EMPTY, Document
from sidecar.core.outcome import NONE
from sidecar.core.state import Snapshot
from tests.agent.publish.files import (
    LARGE,
    content,
    modified,
    names,
    publisher,
    saying,
    variables_path,
)
from tests.core.examples import FULL, MOVED, failure, inbound, public
from tests.support.faults import FILE_FAILS, Origin, fault
from tests.support.states import EPOCH, POLICY, FakeClock, later, restored, snapshot_after

# What is written


async def test_document_and_variables_are_written(path: Path) -> None:
    """The JSON is that of the HTTP API, with a line end; the variables stand beside it."""
    turn = await publisher(path).turn(saying(FULL))
    assert turn == PublishResult(wrote=True, next_at=None)
    assert content(path).endswith(b"}\n")
    assert json.loads(content(path)) == {
        "node": "node-1",
        "status": "ok",
        "reason": None,
        "revision": FULL.revision,
        "changedAt": "2026-01-02T03:04:05Z",
        "loadbalancer": FULL.wire(),
    }
    assert variables_path(path).read_text() == (
        "AZURE_LB_NODE=node-1\n"
        "AZURE_LB_STATUS=ok\n"
        "AZURE_LB_PUBLIC_IP=20.1.2.3\n"
        "AZURE_LB_PUBLIC_IPV6=\n"
        "AZURE_LB_PUBLIC_IPS=20.1.2.3\n"
        "AZURE_LB_INBOUND_IPS=20.20.20.20\n"
        "AZURE_LB_OUTBOUND_IPS=52.1.1.1\n"
        "AZURE_LB_EGRESS_IPS=20.1.2.3\n"
        "AZURE_LB_EGRESS_NETWORKS=\n"
        "AZURE_LB_EGRESS_OBSERVED=\n"
    )
    assert names(path.parent) == {path.name, f"{path.name}.env"}


async def test_variables_follow_the_node_address(path: Path) -> None:
    """The public IP among the variables is that of the node's own address, in each family."""
    document = Document.of(
        public_ip_addresses=[
            public("9.9.9.9", "10.240.0.5"),
            public("20.1.2.3"),
            public("2001:db8::1", "fd00::4"),
        ]
    )
    await publisher(path, node_address=ip_address("10.240.0.4")).turn(saying(document))
    lines = variables_path(path).read_text().splitlines()
    assert "AZURE_LB_PUBLIC_IP=20.1.2.3" in lines
    assert "AZURE_LB_PUBLIC_IPV6=2001:db8::1" in lines
    assert "AZURE_LB_PUBLIC_IPS=9.9.9.9,20.1.2.3,2001:db8::1" in lines


async def test_shell_can_source_the_variables(path: Path) -> None:
    """A POSIX shell that sources the file has every variable, the empty ones too."""
    await publisher(path, node=None).turn(snapshot_after(NONE, NONE, NONE))
    script = f'set -eu; . {variables_path(path)}; echo "<$AZURE_LB_NODE$AZURE_LB_PUBLIC_IPS>$AZURE_LB_STATUS"'
    shell = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", script], capture_output=True, text=True, check=True
    )
    assert shell.stdout == "<>no-metadata\n"


async def test_files_can_be_read_by_everybody(path: Path) -> None:
    """The mode is 0644 under any umask, since other containers read under other users."""
    before = os.umask(0o077)
    try:
        await publisher(path).turn(saying(FULL))
    finally:
        os.umask(before)
    for file in (path, variables_path(path)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o644


async def test_modification_time_is_that_of_the_answer(path: Path) -> None:
    """The time of the file is when the answer came, whatever time it is now."""
    await publisher(path).turn(saying(FULL, seconds=77))
    assert modified(path) == later(77).utc.timestamp()
    assert modified(variables_path(path)) == later(77).utc.timestamp()


# Only when it differs


def identity(path: Path) -> tuple[int, int, int]:
    """Tells whether a file was touched."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


async def test_same_bytes_leave_the_files_untouched(path: Path) -> None:
    """Newer answers with the same document are not written; nor by the next process."""
    await publisher(path).turn(saying(FULL))
    before = identity(path), identity(variables_path(path))
    newer = replace(saying(FULL), state=replace(saying(FULL).state, observed=later(60)))
    for again in (publisher(path), publisher(path)):
        assert await again.turn(newer) == PublishResult(wrote=False, next_at=None)
    assert (identity(path), identity(variables_path(path))) == before


async def test_variables_change_only_with_an_address_or_the_status(path: Path) -> None:
    """A change of rules that moves no address rewrites the JSON and leaves the variables alone."""
    await publisher(path).turn(saying(FULL))
    document, variables = identity(path), identity(variables_path(path))
    other = replace(FULL, inbound_rules=(inbound("20.20.20.20", port=9999),))
    assert (await publisher(path).turn(saying(other))).wrote
    assert identity(path) != document
    assert identity(variables_path(path)) == variables
    await publisher(path).turn(saying(MOVED))
    assert "AZURE_LB_OUTBOUND_IPS=52.2.2.2\n" in variables_path(path).read_text()


@fault(
    Origin.NODE,
    "Somebody removes, empties or overwrites the file",
    FILE_FAILS.but(logged="Nothing; `publishes_total`.", recovery="At the next turn of the file."),
)
@pytest.mark.parametrize("garbage", [None, b"", b"garbage\xff"])
async def test_files_that_somebody_changed_are_put_right(path: Path, garbage: bytes | None) -> None:
    """A file that was removed, emptied or overwritten is there again after the next turn."""
    await publisher(path).turn(saying(FULL))
    whole = {file: file.read_bytes() for file in (path, variables_path(path))}
    for file in whole:
        file.unlink()
        if garbage is not None:
            file.write_bytes(garbage)
    assert (await publisher(path).turn(saying(FULL))).wrote
    assert {file: file.read_bytes() for file in whole} == whole


async def test_reader_never_sees_part_of_a_file(path: Path) -> None:
    """While the file changes all the time, whoever opens it finds one whole document or another."""
    await publisher(path).turn(saying(LARGE))
    revisions, stop = set(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            revisions.add(json.loads(content(path))["revision"])

    reading = asyncio.create_task(asyncio.to_thread(read))
    try:
        for _ in range(50):
            for document in (FULL, LARGE):
                await publisher(path).turn(saying(document))
    finally:
        stop.set()
        await reading
    assert revisions <= {FULL.revision, LARGE.revision}
    assert LARGE.revision in revisions


# Without fresh data


async def test_nothing_is_written_before_there_is_a_document(path: Path) -> None:
    """As long as nothing is known there is no file."""
    turn = await publisher(path).turn(snapshot_after(failure()))
    assert turn == PublishResult(wrote=False, next_at=None)
    assert names(path.parent) == set()


async def test_accepted_none_is_written(path: Path) -> None:
    """Once the service has said "none" often enough, the file says so."""
    await publisher(path).turn(snapshot_after(NONE, NONE, NONE))
    written = json.loads(content(path))
    assert (written["status"], written["reason"]) == ("no-metadata", "no-metadata")
    assert written["loadbalancer"] == EMPTY.wire()


async def test_restored_data_leave_the_file_alone_at_first(path: Path) -> None:
    """A restarted agent without an answer touches what it took up only when stale-after has passed."""
    await publisher(path).turn(saying(FULL))
    before = identity(path), identity(variables_path(path))
    clock = FakeClock()
    again = publisher(path, clock=clock)
    snapshot = Snapshot.of(restored(FULL, age=0), EPOCH, POLICY)
    for _ in range(2):
        assert await again.turn(snapshot) == PublishResult(wrote=False, next_at=EPOCH.mono + 300)
        assert (identity(path), identity(variables_path(path))) == before
        clock.advance(299.9)
    clock.advance(0.1)
    assert await again.turn(snapshot) == PublishResult(wrote=True, next_at=None)
    written = json.loads(content(path))
    assert (written["status"], written["reason"]) == ("stale", "unreachable")
    assert written["loadbalancer"] == FULL.wire()
    assert "AZURE_LB_STATUS=stale\n" in variables_path(path).read_text()


async def test_restored_data_from_elsewhere_are_written_in_the_end(path: Path) -> None:
    """Data that the Node's annotations had come into the file when stale-after has passed, with their age."""
    clock = FakeClock(later(300))
    state = restored(FULL, age=1000)
    await publisher(path, clock=clock).turn(Snapshot.of(state, later(300), POLICY))
    assert modified(path) == later(-1000).utc.timestamp()
