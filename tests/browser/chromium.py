"""The system's Chromium, headless, and tabs of it that note what goes wrong in them."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Request, async_playwright, expect

from tests.support.waiting import DEADLINE_S

ENABLE_COMMAND = "apt-get install --yes --no-install-recommends chromium"

_FLAGS = (
    "--no-sandbox",  # tests may run as root, and what they show is ours
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-lcd-text",  # pictures with fewer colours are smaller
    # No name has an address: nothing but loopback can be asked.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


expect.set_options(timeout=DEADLINE_S * 1000)


@dataclass(frozen=True)
class Look:
    """A window and the colours that its user prefers."""

    name: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"

    @property
    def phone(self) -> bool:
        """Whether it is one of those that are held in the hand."""
        return self.width < 600


PHONE, DESKTOP = Look("phone", 390, 844), Look("desktop", 1280, 900)
LOOKS = (PHONE, DESKTOP, Look("phone-dark", 390, 844, "dark"), Look("desktop-dark", 1280, 900, "dark"))


@dataclass
class Tab:
    """A page in a window of its own, and what was noted since it was opened."""

    page: Page
    look: Look
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of the console, violations of the policy, and errors of scripts."""
    dialogs: list[str] = field(default_factory=list)
    """What scripts said in windows of their own."""
    requests: list[str] = field(default_factory=list)
    """All URLs that were asked for."""

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    async def _note_dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        await dialog.dismiss()

    def _note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def watch(self) -> None:
        """Note from now on."""
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._note_dialog)
        self.page.on("request", self._note_request)

    async def overflow(self) -> int:
        """How many pixels the page is wider than its window: more than 0, and it moves sideways."""
        # A phone's browser makes its own idea of the window as wide as the page.
        width = await self.page.evaluate("Math.max(innerWidth, document.documentElement.scrollWidth)")
        return int(width) - self.look.width


def missing() -> str | None:
    """Why there is no browser to test with, or None."""
    return None if shutil.which("chromium") else "the program chromium is not installed"


@asynccontextmanager
async def chromium_running() -> AsyncIterator[Browser]:
    """A browser with a profile of its own, which ends with the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            headless=True,
            args=list(_FLAGS),
            timeout=DEADLINE_S * 1000,
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def tab_of(browser: Browser, look: Look = DESKTOP, *, scripts: bool = True) -> AsyncIterator[Tab]:
    """An empty tab that looks so; nothing is shared between tabs."""
    context = await browser.new_context(
        viewport={"width": look.width, "height": look.height},
        color_scheme=look.scheme,
        java_script_enabled=scripts,
        is_mobile=look.phone,
        has_touch=look.phone,
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(DEADLINE_S * 1000)
    try:
        tab = Tab(await context.new_page(), look)
        tab.watch()
        yield tab
    finally:
        await context.close()
