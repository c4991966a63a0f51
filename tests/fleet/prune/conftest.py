"""A cluster with annotated Nodes, and `prune` on it."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.fleet.prune.support import OTHERS, OURS, STATUS, Prune
from tests.support.commands import run_here
from tests.support.fake_cluster import FakeCluster, fake_cluster


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    """A cluster with two annotated Nodes, and one without our keys."""
    async with fake_cluster() as cluster:
        cluster.add_node("node-a", {**OURS, **OTHERS})
        cluster.add_node("node-b", {STATUS: "ok"})
        cluster.add_node("node-c", OTHERS)
        yield cluster


@pytest.fixture
def kubeconfig(cluster: FakeCluster, tmp_path: Path) -> str:
    """How to reach it."""
    return cluster.kubeconfig(tmp_path / "config")


@pytest.fixture
def prune(kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> Prune:
    """The command, on that cluster."""
    return partial(run_here, capsys, "prune", f"--kubeconfig={kubeconfig}")
