"""The policy of the Job that prunes, as a real API server enforces it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chart.forbidden import FORBIDDEN, FOREIGN, UNLISTED
from tests.chart.policy import OLD, PREFIX, Agent, Attempt, agent_held
from tests.support.apiserver import ApiServer
from tests.support.cluster import ApiError, cluster_of

pytestmark = [pytest.mark.apiserver, pytest.mark.chart, pytest.mark.asyncio(loop_scope="module")]

KEY = f"{PREFIX}/status"
OTHER = "/api/v1/nodes/{other}"
NO_CHANGE = {"apply nothing to another Node", "patch another Node with nothing"}
"""What the Job may do and an agent may not: it prunes all Nodes."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def job(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    """The Job's identity, with far too many rights."""
    directory = tmp_path_factory.mktemp("prune")
    async with (
        cluster_of(api_server) as cluster,
        agent_held(cluster, directory=directory, values={}, pruning=True) as held,
    ):
        for name in (held.node, held.other):
            await cluster.annotate(name, {f"{prefix}/status": "stale" for prefix in (PREFIX, OLD, UNLISTED)})
        yield held


@pytest.mark.parametrize("name", [name for name in FORBIDDEN if name not in NO_CHANGE])
async def test_forbidden(job: Agent, name: str) -> None:
    """The Job is refused whatever an agent is refused, but for Nodes that are not its own."""
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy"):
        await job.send(FORBIDDEN[name], dry_run="proxy" not in FORBIDDEN[name].path)


@pytest.mark.parametrize("value", ["", "ok now"])
@pytest.mark.parametrize("path", ["/api/v1/nodes/{own}", OTHER])
async def test_no_writing(job: Agent, path: str, value: str) -> None:
    """It may write no value, not even of our keys."""
    with pytest.raises(ApiError, match="annotations may not be written"):
        await job.send(Attempt({"metadata": {"annotations": {KEY: value}}}, path=path))


@pytest.mark.parametrize("key", [FOREIGN, f"{OLD}/status"])
async def test_no_foreign_removal(job: Agent, key: str) -> None:
    """It may remove nothing outside the prefix."""
    with pytest.raises(ApiError, match="may not be removed"):
        await job.send(Attempt({"metadata": {"annotations": {key: None}}}, path=OTHER))


@pytest.mark.parametrize("path", ["/api/v1/nodes/{own}", OTHER])
async def test_removal(job: Agent, path: str) -> None:
    """It removes our keys from every Node."""
    await job.send(Attempt({"metadata": {"annotations": {KEY: None}}}, path=path))
    name = path.format(own=job.node, other=job.other).rpartition("/")[2]
    assert KEY not in (await job.cluster.node(name)).annotations
