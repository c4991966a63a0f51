"""Commands that a signal ends: as the first process of a container, nothing else would end one at SIGTERM."""

import asyncio
import signal
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.support.fake_apiserver import Reply
from tests.support.fake_cluster import fake_cluster
from tests.support.program import program_running
from tests.support.waiting import DEADLINE_S

pytestmark = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@pytest.mark.parametrize("command", ["get", "doctor"])
async def test_metadata_service_hangs(
    service: Serving, tmp_path: Path, command: str, number: signal.Signals, code: int
) -> None:
    """Neither waits for the metadata service, and nothing is printed."""
    service.simulator.set_fault("hang")
    environment = {"AZURE_LB_METADATA_IMDS_ENDPOINT": service.url}
    async with program_running(command, "--direct", directory=tmp_path, environment=environment) as program:
        async with asyncio.timeout(DEADLINE_S):
            await service.simulator.counters.reached(1)
        program.signal(number)
        assert await program.exit_code() == code
    assert (program.output, program.log) == ("", "")


@pytest.mark.parametrize(
    ("arguments", "held"),
    [
        (("nodes", "--egress", "--watch"), "GET /api/v1/pods"),
        (("nodes",), "GET /api/v1/pods"),
        (("rules",), "GET /api/v1/services"),
    ],
    ids=["watch", "nodes", "rules"],
)
async def test_api_server_hangs(
    tmp_path: Path, arguments: tuple[str, ...], held: str, number: signal.Signals, code: int
) -> None:
    """Neither a list that is watched nor one that is read waits for the API server."""
    async with fake_cluster() as cluster:
        cluster.replies[held].append(Reply(hold=True))
        config = cluster.kubeconfig(tmp_path / "kubeconfig")
        async with program_running(*arguments, f"--kubeconfig={config}", directory=tmp_path) as program:
            async with asyncio.timeout(DEADLINE_S):
                await cluster.requested.wait()
            program.signal(number)
            assert await program.exit_code() == code
    assert program.output == ""
    assert "Traceback" not in program.log
