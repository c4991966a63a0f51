"""Clients of the metadata service and of node agents, and whom probes are to trust, for every test."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from sidecar import clock
from sidecar.blocking import Blocking
from sidecar.simulator import Serving
from sidecar.sources.imds import IMDSSource
from sidecar.sources.probing import trusting
from sidecar.sources.upstream import UpstreamSource
from tests.api.support import NODE
from tests.sources.probes import Certificates

NewSource = Callable[..., IMDSSource]
"""Makes a client of an endpoint; its time-out is long unless told."""

NewUpstream = Callable[..., UpstreamSource]
"""Makes a client of an agent; its time-out is long unless told."""


@pytest.fixture
async def new_source() -> AsyncIterator[NewSource]:
    """Makes clients, which are closed after the test."""
    async with AsyncExitStack() as stack:

        def make(endpoint: str, *, timeout: float = 20.0, api_version: str = "2020-10-01") -> IMDSSource:
            source = IMDSSource(endpoint=endpoint, api_version=api_version, timeout=timeout, clock=clock.now)
            stack.push_async_callback(source.close)
            return source

        yield make


@pytest.fixture
async def source(service: Serving, new_source: NewSource) -> IMDSSource:
    """A client of the simulator."""
    return new_source(service.url)


@pytest.fixture
async def new_upstream() -> AsyncIterator[NewUpstream]:
    """Makes clients, which are closed after the test."""
    async with AsyncExitStack() as stack:

        def make(
            url: str, *, node_name: str | None = NODE, wait: int = 30, timeout: float = 20.0
        ) -> UpstreamSource:
            source = UpstreamSource(url=url, node_name=node_name, wait=wait, timeout=timeout, clock=clock.now)
            stack.push_async_callback(source.close)
            return source

        yield make


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority for all tests."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def tls(certificates: Certificates) -> ssl.SSLContext:
    """Trust in that authority alone."""
    return await trusting(certificates.file, blocking=Blocking())
