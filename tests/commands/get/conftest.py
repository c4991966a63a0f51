"""A host with a simulated metadata service, an agent where a test wants one, and `get` on it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import pytest

from sidecar.core.addresses import parse_address
from sidecar.core.state import Snapshot
from sidecar.simulator import Serving
from tests.api.support import NODE, api_running
from tests.commands.get.support import BODY, Get, NewAgent, Tell
from tests.support.commands import run_here
from tests.support.states import answer, snapshot_after


@pytest.fixture
def host(service: Serving, free_port: int, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A host without an agent, whose metadata service is simulated; what else it has is set on it."""
    monkeypatch.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", service.url)
    monkeypatch.setenv("AZURE_LB_METADATA_LISTEN", f"127.0.0.1:{free_port}")
    for variable in ("NODE_NAME", "HOST_IP"):
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


@pytest.fixture
def get(host: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Get:
    """The command ``get`` on that host."""
    del host
    return partial(run_here, capsys, "get")


@pytest.fixture
async def new_agent(host: pytest.MonkeyPatch) -> AsyncIterator[NewAgent]:
    """Starts an agent's API on this host, where `get` looks for it; gives its URL."""
    async with AsyncExitStack() as stack:

        async def start(snapshot: Snapshot) -> str:
            running = api_running(snapshot, node_address=parse_address("10.240.0.5"))
            api = await stack.enter_async_context(running)
            address = "{}:{}".format(*api.address)
            host.setenv("AZURE_LB_METADATA_LISTEN", address)
            return f"http://{address}"

        yield start


@pytest.fixture
def tell(service: Serving, new_agent: NewAgent) -> Tell:
    """Lets who is asked, an agent or the metadata service, have an answer."""

    async def known(who: str, document: str | dict[str, str], snapshot: Snapshot) -> None:
        service.simulator.set_document(document)
        if who == "agent":
            await new_agent(snapshot)

    return known


@pytest.fixture(params=["agent", "metadata service"])
async def client(request: pytest.FixtureRequest, tell: Tell, host: pytest.MonkeyPatch) -> str:
    """Both of them know `BODY`, and the same of the node; one of them is asked."""
    host.setenv("NODE_NAME", NODE)
    host.setenv("HOST_IP", "10.240.0.5")
    who = str(request.param)
    await tell(who, {"raw": BODY.decode()}, snapshot_after(answer(BODY)))
    return who
