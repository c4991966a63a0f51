"""A simulator of the metadata service, and clients of it, for every test."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from sidecar import clock
from sidecar.simulator import Serving, Simulator, parse_scenario, serve
from sidecar.sources.imds import IMDSSource

NewSource = Callable[..., IMDSSource]
"""Makes a client of an endpoint; its time-out is long unless told."""


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    """A simulator that says "all" and has no request limit, on free ports."""
    async with serve(Simulator(parse_scenario("rateLimit: false"))) as running:
        yield running


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
async def source(serving: Serving, new_source: NewSource) -> IMDSSource:
    """A client of the simulator."""
    return new_source(serving.url)
