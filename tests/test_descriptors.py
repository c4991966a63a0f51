"""How many files may be open, and what that leaves for clients."""

import resource
from pathlib import Path

import pytest

from sidecar.commands.run import clients_within
from sidecar.simulator import Serving
from tests.faults.support import prepared
from tests.support.agent import agent_with
from tests.support.faults import CLIENTS_ONLY, Origin, fault
from tests.support.program import Settings

LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))"


@pytest.mark.parametrize(
    ("limit", "wanted", "served"),
    [
        (1_048_576, 1024, 1024),
        (1024, 1024, 704),
        (1024, 100, 100),
        (64, 1024, 1),
        (resource.RLIM_INFINITY, 9, 9),
    ],
)
def test_clients_within_a_limit(limit: int, wanted: int, served: int) -> None:
    """As many clients are served as are wanted, or as the files allow that the agent leaves."""
    assert clients_within(limit, wanted) == served


@fault(
    Origin.NODE,
    "The limit of open files is low",
    CLIENTS_ONLY.but(
        served="All of `--max-clients` where the hard limit allows it; else fewer.",
        logged="`clients-limited`, with both numbers.",
    ),
)
async def test_low_limit(service: Serving, tmp_path: Path) -> None:
    """A soft limit is raised to the hard one; where that is too low, fewer clients are served."""
    settings: Settings = {"annotations": False, "imds_endpoint": service.url}
    for hard, said in ((4096, []), (1024, [(1024, 704, 1024)])):
        python = prepared(LIMITED.format(soft=512, hard=hard))
        async with agent_with(tmp_path, settings, python=python) as agent:
            await agent.until_ready()
            assert resource.prlimit(agent.program.pid, resource.RLIMIT_NOFILE) == (hard, hard)
            logged = agent.program.events("clients-limited")
            assert [(line["wanted"], line["using"], line["files"]) for line in logged] == said
