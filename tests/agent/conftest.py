"""A metadata service, and an agent that asks it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.simulator import Serving, Simulator, parse_scenario, serve
from tests.support.agent import AgentProcess, agent_running


@pytest.fixture
async def service() -> AsyncIterator[Serving]:
    """A metadata service with a public IP, inbound and outbound rules, that can be asked at any rate."""
    async with serve(Simulator(parse_scenario("rateLimit: false"))) as serving:
        yield serving


@pytest.fixture
async def agent(service: Serving, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent without Kubernetes that has had its first answer."""
    async with agent_running(tmp_path, annotations=False, imds_endpoint=service.url) as agent:
        await agent.until_ready()
        yield agent
