"""The file of an earlier run, fuzzed: its bytes, its length, and what kind of thing it is."""

import json
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from sidecar.agent import publish_file as file
from sidecar.core.document import EMPTY, canonical_bytes
from sidecar.core.instant import rfc3339
from tests.core.examples import FULL
from tests.fuzz.cost import memory_measured
from tests.fuzz.mutation import mutated
from tests.support.states import EPOCH

MEMORY = 48 * 1024 * 1024
"""Bytes that finding may take at one time, whatever the file: a third of what an agent has."""

SEEDS = [
    canonical_bytes(
        {
            "node": "node-1",
            "status": "ok",
            "reason": None,
            "revision": document.revision,
            "changedAt": rfc3339(EPOCH.utc),
            "loadbalancer": document.wire(),
        }
    )
    for document in (FULL, EMPTY)
]
PIECES = (
    *(b"[]", b"{}", b"[]," * 7, b'{"":{}},', b"0,", b'"",', b"[[", b'{"a":', b"\x00", b" ", b"9", b"\xff"),
    *(b'"loadbalancer":', b'"changedAt":', b'"revision":', b"\\ud800", b'"'),
)


def judge(path: Path) -> None:
    """What is found is a whole document of its own revision, or nothing; and it costs little memory."""
    with memory_measured() as cost:
        found = file.found(path)
    assert cost.amount <= MEMORY
    if found is not None:
        assert found.document is not None
        assert found.document.revision == found.revision


def test_seeds_are_believed(tmp_path: Path) -> None:
    """What is mutated is itself believed, so that mutation touches what matters."""
    for seed in SEEDS:
        (tmp_path / "file").write_bytes(seed)
        found = file.found(tmp_path / "file")
        assert found is not None
        assert found.revision == json.loads(seed)["revision"]


def test_mutated_files(tmp_path: Path) -> None:
    """Thousands of mutated files are survived, and some are still believed."""
    path, believed = tmp_path / "file", 0
    chance = random.Random("the file of an earlier run")
    for _ in range(3000):
        content = mutated(chance, SEEDS)
        path.write_bytes(content)
        found = file.found(path)
        believed += found is not None
        if found is not None:
            assert found.document is not None
            assert found.document.revision == found.revision
    assert 100 < believed < 2900


@settings(max_examples=60)
@given(
    piece=st.sampled_from(PIECES),
    before=st.sampled_from(
        [b"", b"[", b'{"loadbalancer":[', SEEDS[0][:-1] + b',"more":[', b'{"changedAt":"']
    ),
    after=st.sampled_from([b"", b"0]", b"0]}", b'"}']),
    size=st.sampled_from([1, 1000, 125_000, 1_000_000, file.FOUND_LIMIT, file.FOUND_LIMIT + 1, 9_000_000]),
)
def test_files_of_any_length(piece: bytes, before: bytes, after: bytes, size: int) -> None:
    """A file of any length, made of whatever is dear to a parser, costs no more memory than there is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(before + piece * (size // len(piece)) + after)
        judge(path)


def pipe(path: Path) -> None:
    """Nobody writes to it."""
    os.mkfifo(path)


@pytest.mark.parametrize(
    "make",
    [
        pipe,
        Path.mkdir,
        *(
            lambda path, to=to: path.symlink_to(to)
            for to in ("/dev/zero", "/dev/stdin", "file", "/proc/self/mem")
        ),
    ],
    ids=["pipe", "folder", "zero", "stdin", "itself", "memory"],
)
def test_files_of_any_kind(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """What is no file is nothing, at once."""
    path = tmp_path / "file"
    make(path)
    assert file.found(path) is None
