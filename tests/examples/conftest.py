"""A metadata service, and the agent of the node that the examples run on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.examples.support import NODE, document
from tests.support.agent import AgentProcess, agent_running


@pytest.fixture
def service(service: Serving) -> Serving:
    """A metadata service that can be asked at any rate, of a machine with one public IP address."""
    service.simulator.set_document(document("20.1.2.3"))
    return service


@pytest.fixture
async def agent(service: Serving, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """The node's agent, which has had its first answer."""
    own = {"imds_endpoint": service.url, "node_name": NODE}
    async with agent_running(tmp_path, annotations=False, **own) as agent:
        await agent.until_ready()
        yield agent
