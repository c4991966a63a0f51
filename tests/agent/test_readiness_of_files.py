"""Readiness of an agent that writes a file: whoever waits for it reads the file next."""

from pathlib import Path

from sidecar.simulator import Serving
from tests.agent.support import PUBLIC_IP
from tests.support.agent import agent_running


async def test_ready_once_the_file_is_written(service: Serving, tmp_path: Path) -> None:
    """As long as the file cannot be written the agent is not ready, though it answers over HTTP."""
    path = tmp_path / "later" / "facts.json"
    settings = {"imds_endpoint": service.url, "file": str(path)}
    async with agent_running(tmp_path, annotations=False, **settings) as agent:
        await agent.program.event("publish-failed", publisher="file")
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
        reply = await agent.admin("/readyz")
        assert (reply.status, reply.text) == (503, "the file is not written yet\n")
        path.parent.mkdir()
        await agent.until_ready()
        assert path.exists()
        service.simulator.set_fault("unavailable")
        await agent.more_attempts(1, "unavailable")
        assert (await agent.admin("/readyz")).status == 200
