"""An agent that asks the metadata service."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.support.agent import AgentProcess, agent_running


@pytest.fixture
async def agent(service: Serving, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent without Kubernetes that has had its first answer."""
    async with agent_running(tmp_path, annotations=False, imds_endpoint=service.url) as agent:
        await agent.until_ready()
        yield agent
