"""One browser for all tests, on a loop of their own."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import ENABLE_COMMAND, chromium_running, missing
from tests.support.requirements import leave_out


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The session's browser; tabs share nothing."""
    if reason := missing():
        leave_out(f"{reason}; enable with: {ENABLE_COMMAND}")
    async with chromium_running() as browser:
        yield browser
