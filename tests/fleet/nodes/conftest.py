"""`nodes` with the rights that its documentation names and no more."""

from functools import partial
from pathlib import Path

import pytest

from tests.fleet.nodes.support import DAEMON_SETS, NODES, PODS, Run
from tests.support.cluster import Cluster, Identity
from tests.support.commands import run
from tests.support.fleet import Fleet
from tests.support.nodes import NodeMetadata


@pytest.fixture
async def identity(cluster: Cluster, node: NodeMetadata, tmp_path: Path) -> Identity:
    """Somebody with the rights that `nodes` needs."""
    rules = (NODES, PODS, DAEMON_SETS)
    return await cluster.create_identity(node.name, directory=tmp_path / "identity", rules=rules)


@pytest.fixture
def nodes(identity: Identity, fleet: Fleet) -> Run:
    """The command as that identity, for the nodes of the test."""
    return partial(run, "nodes", f"--selector={fleet.selector}", kubeconfig=identity.kubeconfig)
