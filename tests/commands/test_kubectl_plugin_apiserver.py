"""The program as a plug-in of the real kubectl."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.fleet import Fleet, document, published

pytestmark = pytest.mark.apiserver

SCRIPTS = Path(sys.executable).parent
"""Where the installation puts its console scripts."""


@pytest.mark.parametrize("name", ["azure-lb-metadata", "azure_lb_metadata"])
async def test_by_name(cluster: Cluster, fleet: Fleet, name: str) -> None:
    """Kubectl finds the program by either spelling, and passes on arguments and kubeconfig."""
    node = await fleet.add("node", published(document(public=["20.1.2.3"])))
    process = await asyncio.create_subprocess_exec(
        *(cluster.server.kubectl, name, "nodes", f"--selector={fleet.selector}", "-o", "json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": f"{SCRIPTS}:{os.defpath}", "KUBECONFIG": str(cluster.server.admin_kubeconfig)},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert [each["node"] for each in json.loads(out)["nodes"]] == [node]


async def test_listed(cluster: Cluster) -> None:
    """Kubectl lists it among its plug-ins, without a warning."""
    process = await asyncio.create_subprocess_exec(
        *(cluster.server.kubectl, "plugin", "list", "--name-only"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": str(SCRIPTS), "HOME": str(cluster.server.directory)},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "kubectl-azure_lb_metadata" in out.decode().splitlines()
    assert "warning" not in err.decode().lower()
