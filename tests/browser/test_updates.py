"""The status page keeps up with the agent by itself, and disturbs nobody who reads it."""

from functools import partial

import pytest
from playwright.async_api import Browser, Page, expect

from sidecar.core.outcome import NONE
from tests.api.support import API
from tests.browser.chromium import tab_of
from tests.browser.scenes import THREE_RULES, Scene, scene_named, served
from tests.support.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MANY_RULES, STALE = scene_named("many-rules").snapshot, scene_named("stale").snapshot


async def opened(page: Page, url: str) -> None:
    """Open the page and wait until it listens."""
    await page.goto(url)
    await expect(page.locator("#connection")).to_have_text("Updates by itself.")


async def listening(api: API) -> float | None:
    """How many clients have a stream of events."""
    return api.metrics.registry.get_sample_value("azure_lb_metadata_http_event_clients")


async def test_change_is_shown(chromium: Browser) -> None:
    """Changes of the rules, of the status and of the title appear without a reload."""
    async with served(THREE_RULES) as (api, url), tab_of(chromium) as tab:
        await opened(tab.page, url)
        await expect(tab.page.locator("summary")).to_have_text("All 3 inbound rules")

        api.latest.set(MANY_RULES)
        await expect(tab.page.locator("summary")).to_have_text("All 250 inbound rules")
        api.latest.set(STALE)
        await expect(tab.page.locator(".verdict > strong")).to_have_text("stale")
        await expect(tab.page).to_have_title("stale: aks-pool1-12345678-vmss000000")
        api.latest.set(Scene("none", [NONE] * 3).snapshot)
        await expect(tab.page.get_by_text("No rules of a load balancer.")).to_be_visible()

        assert tab.complaints == []


async def test_first_data_and_their_loss(chromium: Browser) -> None:
    """Sections appear with the first data, in their order, and go with them."""
    starting, sections = scene_named("starting"), "main > section"
    async with served(starting) as (api, url), tab_of(chromium) as tab:
        await opened(tab.page, url)
        await expect(tab.page.locator(sections)).to_have_count(2)

        api.latest.set(THREE_RULES.snapshot)
        await expect(tab.page.locator(sections)).to_have_count(6)
        order = [await section.get_attribute("id") for section in await tab.page.locator(sections).all()]
        api.latest.set(starting.snapshot)
        await expect(tab.page.locator(sections)).to_have_count(6)

        assert order == ["status", "public", "egress", "rules", "history", "attempts"]


async def test_reader_is_left_alone(chromium: Browser) -> None:
    """What does not change stays the same element; what does stays open and keeps the focus."""
    async with served(THREE_RULES) as (api, url), tab_of(chromium) as tab:
        await opened(tab.page, url)
        await tab.page.locator("summary").click()
        public = await tab.page.query_selector("#public")
        rules = await tab.page.query_selector("#rules")

        api.latest.set(MANY_RULES)
        await expect(tab.page.locator("summary")).to_have_text("All 250 inbound rules")

        assert public is not None
        assert rules is not None
        assert await public.evaluate("element => element.isConnected")
        assert not await rules.evaluate("element => element.isConnected")
        await expect(tab.page.get_by_role("cell", name="203.0.113.240:7099")).to_be_visible()
        await expect(tab.page.locator("summary")).to_be_focused()


async def test_age_is_kept_up(chromium: Browser) -> None:
    """The age, which is no event, is asked for now and then."""
    async with served(THREE_RULES) as (api, url), tab_of(chromium) as tab:
        await tab.page.clock.install()
        await opened(tab.page, url)
        await expect(tab.page.get_by_text("4 s ago")).to_be_visible()

        api.clock.advance(60)
        await tab.page.clock.run_for(15_000)
        await expect(tab.page.get_by_text("1 min ago")).to_be_visible()


async def test_agent_that_goes_and_returns(chromium: Browser) -> None:
    """A page whose agent is gone says so, keeps what it shows, and goes on when there is one again."""
    async with tab_of(chromium) as tab:
        async with served(THREE_RULES) as (api, url):
            await opened(tab.page, url)
            listen = "{}:{}".format(*api.address)
            api.application.stop()
        await expect(tab.page.locator("#connection")).to_have_text(
            "The agent does not answer; what is shown may be old."
        )
        await expect(tab.page.locator("html")).to_have_class("lost")
        await expect(tab.page.locator("summary")).to_have_text("All 3 inbound rules")

        async with served(scene_named("many-rules"), listen=listen):
            await expect(tab.page.locator("#connection")).to_have_text("Updates by itself.", timeout=120_000)
            await expect(tab.page.locator("summary")).to_have_text("All 250 inbound rules")


async def test_without_a_stream(chromium: Browser) -> None:
    """Where too many wait already the page asks now and then, and listens when there is a place."""
    async with (
        served(THREE_RULES, max_waiting=1) as (api, url),
        tab_of(chromium) as tab,
        tab_of(chromium) as refused,
    ):
        await opened(tab.page, url)
        await refused.page.clock.install()
        await refused.page.goto(url)
        await expect(refused.page.locator("#connection")).to_have_text("Updates every 15 seconds.")

        api.latest.set(MANY_RULES)
        await refused.page.clock.run_for(15_000)
        await expect(refused.page.locator("summary")).to_have_text("All 250 inbound rules")

        await tab.page.close()
        await until(partial(listening, api), lambda clients: clients == 0)
        await refused.page.clock.run_for(15_000)
        await expect(refused.page.locator("#connection")).to_have_text("Updates by itself.")
