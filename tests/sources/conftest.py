"""Clients of the metadata service, for every test."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from sidecar import clock
from sidecar.simulator import Serving
from sidecar.sources.imds import IMDSSource

NewSource = Callable[..., IMDSSource]
"""Makes a client of an endpoint; its time-out is long unless told."""


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
