"""A host without an agent, and the program itself."""

from collections.abc import Awaitable, Callable

import pytest

from sidecar.simulator import Serving
from tests.support.commands import Ended, run_here

Get = Callable[..., Awaitable[Ended]]
"""Runs ``get`` with these arguments."""


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

    async def run(*arguments: str) -> Ended:
        return await run_here(capsys, "get", *arguments)

    return run
