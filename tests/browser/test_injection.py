"""Nothing that the page shows can become part of it: not by the page's doing, nor by the browser's."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from playwright.async_api import Browser, expect

from sidecar.core.changes import Change
from sidecar.core.document import Document, InboundRule, OutboundRule, PublicIPAddress
from sidecar.core.outcome import Attempt, Failure, Reason
from sidecar.core.state import Snapshot
from tests.browser.chromium import tab_of
from tests.browser.scenes import THREE_RULES, Scene, served
from tests.support.states import EPOCH, answer, body, inbound, pair

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HOSTILE = (
    "\"'></title></style></textarea></svg><script>alert(1)</script>"
    "<img src=x onerror=alert(1)>&lt;svg onload=alert(1)&gt;${node}{{7*7}}"
)


class HostileIPv4(IPv4Address):
    """An address whose text is none: what a defect of the parser would let through."""

    def __str__(self) -> str:
        """The text that is shown."""
        return HOSTILE


class HostileIPv6(IPv6Address):
    """The same of the other family."""

    def __str__(self) -> str:
        """The text that is shown."""
        return HOSTILE


def hostile_document() -> Document:
    """A document of which every string is hostile."""
    v4, v6, private = HostileIPv4("192.0.2.1"), HostileIPv6("2001:db8::1"), HostileIPv4("10.0.0.4")
    return Document(
        public_ip_addresses=(PublicIPAddress(v4, private), PublicIPAddress(v6, private)),
        inbound_rules=(
            InboundRule(v4, HOSTILE, 80, 30080, private),
            InboundRule(v6, "<b>", 443, 30443, private),
        ),
        outbound_rules=(OutboundRule(v4, private),),
    )


def hostile_snapshot() -> Snapshot:
    """A state that holds nothing else: its document, changes, attempts and reason."""
    known = THREE_RULES.snapshot
    state = replace(
        known.state,
        document=hostile_document(),
        changes=(Change(at=EPOCH.utc, items=(f"+{HOSTILE}",)),),
        attempts=(Attempt(at=EPOCH.utc, outcome=HOSTILE, detail=HOSTILE),),
        failure=Failure(reason=Reason.MALFORMED, detail=HOSTILE),
    )
    return replace(known, state=state)


async def test_hostile_strings_are_text(chromium: Browser) -> None:
    """Every string shows as it is, at first and after an update; nothing of it runs or is loaded."""
    async with served(THREE_RULES, node_name=HOSTILE) as (api, url), tab_of(chromium) as tab:
        await tab.page.goto(url)
        await expect(tab.page.locator("#node")).to_have_text(HOSTILE)
        await expect(tab.page.locator("#connection")).to_have_text("Updates by itself.")
        elements = await tab.page.locator("body *").count()
        api.latest.set(hostile_snapshot())
        await expect(tab.page.locator("#history .what")).to_have_text([f"+{HOSTILE}"])
        for texts in (".addresses .first", "#egress li", "svg .frontend + text", "#attempts strong"):
            await expect(tab.page.locator(texts).first).to_contain_text(HOSTILE)
        await expect(tab.page.locator("#attempts .what span")).to_have_text(HOSTILE)
        await expect(tab.page.locator("td").first).to_have_text(HOSTILE)
        await tab.page.reload()

        await expect(tab.page.locator("#history .what")).to_have_text([f"+{HOSTILE}"])
        await expect(tab.page).to_have_title(f"ok: {HOSTILE}")
        assert await tab.page.locator("script, img, b, textarea, [onload], [onerror]").count() == 1
        assert await tab.page.locator("body *").count() < 2 * elements
        assert {request.startswith((url, "data:,")) for request in tab.requests} == {True}
        assert (tab.complaints, tab.dialogs) == ([], [])


async def test_hostile_answer_of_the_service(chromium: Browser) -> None:
    """What the metadata service sends in place of addresses and protocols is not shown at all."""
    usable = pair("192.0.2.4")
    hostile = answer(
        body(
            public=[usable, pair(HOSTILE), pair(f"2001:db8::1%{HOSTILE}")],
            inbound_rules=[
                inbound("203.0.113.1", 80, 80),
                inbound(HOSTILE, 80, 80),
                inbound("203.0.113.1", 80, 80, private=f"fe80::1%{HOSTILE}"),
                inbound("203.0.113.1", 80, 80, protocol=HOSTILE),
            ],
            outbound=[usable, pair("192.0.2.5", HOSTILE)],
        )
    )
    async with served(Scene("hostile", [hostile])) as (_, url), tab_of(chromium) as tab:
        await tab.page.goto(url)

        await expect(tab.page.locator("summary")).to_have_text("All 1 inbound rules")
        await expect(tab.page.locator("main")).not_to_contain_text("alert")
        assert (tab.complaints, tab.dialogs) == ([], [])


async def test_policy_is_a_second_wall(chromium: Browser) -> None:
    """Even markup that got into the page runs no script, loads no picture and sends no form."""
    async with served(THREE_RULES) as (_, url), tab_of(chromium) as tab:
        await tab.page.goto(url)
        await expect(tab.page.locator("#connection")).to_have_text("Updates by itself.")
        await tab.page.locator("main").evaluate(
            """main => {
              const script = document.createElement("script");
              script.textContent = "alert(1)";
              main.append(script);
              main.insertAdjacentHTML("beforeend", "<img src='http://127.0.0.1:9/x' onerror='alert(1)'>");
              main.insertAdjacentHTML("beforeend", "<p style='color: red'>red</p>");
            }"""
        )
        await expect(tab.page.get_by_text("red")).not_to_have_css("color", "rgb(255, 0, 0)")

        assert len([text for text in tab.complaints if "Content Security Policy" in text]) >= 3
        assert tab.dialogs == []
