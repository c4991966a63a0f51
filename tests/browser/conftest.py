"""One browser for all tests, on a loop of their own."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import ENABLE_COMMAND, chromium_running, missing


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The session's browser; tabs share nothing."""
    if reason := missing():
        text = f"{reason}; enable with: {ENABLE_COMMAND}"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(text)
        pytest.skip(text)
    async with chromium_running() as browser:
        yield browser
