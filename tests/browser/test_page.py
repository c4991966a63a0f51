"""The status page as a browser shows it: in every look, with and without scripts, to everybody."""

from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chromium import LOOKS, PHONE, Look, Tab, tab_of
from tests.browser.scenes import SCENES, THREE_RULES, Scene, scene_named, served
from tools.pictures.status_page import IMAGES, SHOWN, take

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")

BOXES = """svg => {
  const all = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("rect")].map((rect) => {
    const [box, text] = [rect, rect.nextElementSibling].map((element) => element.getBoundingClientRect());
    const fits = box.left <= text.left && text.right <= box.right
      && all.left <= box.left && box.right <= all.right && all.top <= box.top && box.bottom <= all.bottom;
    const { left, right, top, bottom } = box;
    return { left, right, top, bottom, fits, text: rect.nextElementSibling.textContent };
  });
}"""
"""The boxes of a drawing in pixels, and whether each lies within it and holds its text."""

MANY_RULES = scene_named("many-rules")


async def violations(tab: Tab) -> list[tuple[str, list[str]]]:
    """What the accessibility checker finds: the rules, and where they are broken."""
    await tab.page.evaluate(AXE)
    results: dict[str, Any] = await tab.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(results["passes"]) > 20
    return [(found["id"], [node["html"] for node in found["nodes"]]) for found in results["violations"]]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_everybody_can_read_it(chromium: Browser, scene: Scene, look: Look) -> None:
    """No page moves sideways, breaks a rule of accessibility, or makes the browser complain."""
    async with served(scene) as (_, url), tab_of(chromium, look) as tab:
        await tab.page.goto(url)
        for details in await tab.page.locator("summary").all():
            await details.click()

        assert await tab.overflow() <= 0
        assert await violations(tab) == []
        assert tab.complaints == []
        assert {request.startswith((url, "data:,")) for request in tab.requests} == {True}


async def test_smallest_phone(chromium: Browser) -> None:
    """A window of 320 pixels, which is also a larger one at 400 %, is wide enough."""
    async with served(MANY_RULES) as (_, url), tab_of(chromium, Look("small", 320, 568)) as tab:
        await tab.page.goto(url)
        await tab.page.locator("summary").click()

        assert await tab.overflow() <= 0


async def test_checks_find_what_is_wrong(chromium: Browser) -> None:
    """A page that is too wide, or hard to read, is not passed."""
    async with served(THREE_RULES) as (_, url), tab_of(chromium, PHONE) as tab:
        await tab.page.goto(url)
        await expect(tab.page.locator("#connection")).to_have_text("Updates by itself.")
        await tab.page.evaluate("document.querySelector('#public').style.width = '500px'")
        await tab.page.evaluate("document.querySelector('.verdict > strong').style.color = '#bdb'")

        assert await tab.overflow() > 0
        assert [rule for rule, _ in await violations(tab)] == ["color-contrast"]


@pytest.mark.parametrize("look", LOOKS[:2], ids=lambda look: look.name)
@pytest.mark.parametrize("scene", [THREE_RULES, MANY_RULES], ids=lambda scene: scene.name)
async def test_drawing(chromium: Browser, scene: Scene, look: Look) -> None:
    """Of two drawings one is visible; each text fits its box, and no box lies over another."""
    async with served(scene) as (_, url), tab_of(chromium, look) as tab:
        await tab.page.goto(url)
        await expect(tab.page.locator("svg:visible")).to_have_count(1)
        boxes: list[dict[str, Any]] = await tab.page.locator("svg:visible").evaluate(BOXES)

    assert len(boxes) >= 6
    assert [box["text"] for box in boxes if not box["fits"]] == []
    assert [(one["text"], other["text"]) for one, other in combinations(boxes, 2) if over(one, other)] == []


def over(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two boxes share some of the drawing."""
    return all(
        one[low] < other[high] and other[low] < one[high]
        for low, high in (("left", "right"), ("top", "bottom"))
    )


async def test_without_scripts(chromium: Browser) -> None:
    """Without scripts the page is whole, its table opens, and it says how to see what is newest."""
    async with served(THREE_RULES) as (_, url), tab_of(chromium, PHONE, scripts=False) as tab:
        await tab.page.goto(url)
        await expect(tab.page.get_by_role("cell", name="203.0.113.240:443")).to_be_hidden()
        await tab.page.locator("summary").click()

        await expect(tab.page.get_by_role("cell", name="203.0.113.240:443")).to_be_visible()
        await expect(tab.page.locator("h1")).to_contain_text("aks-pool1")
        await expect(tab.page.locator("#connection")).to_have_text("Reload this page for the newest state.")
        assert tab.complaints == []


@pytest.mark.parametrize("name", SHOWN)
async def test_pictures(chromium: Browser, name: str, tmp_path: Path) -> None:
    """A picture in the README is small, and as wide as the one that would be taken now."""
    scene, look = SHOWN[name]
    await take(chromium, scene_named(scene), look, tmp_path / "now.png")

    committed = (IMAGES / f"{name}.png").read_bytes()
    assert committed[:20] == (tmp_path / "now.png").read_bytes()[:20]
    assert len(committed) < 150_000
    assert f"(docs/images/{name}.png)" in (IMAGES.parents[1] / "README.md").read_text()
