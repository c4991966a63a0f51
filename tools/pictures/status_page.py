"""Pictures of the status page: ``make pictures``, or ``python -m tools.pictures.status_page [DIRECTORY]``.

Without a directory it takes those that the documents show, into ``docs/images``; with one, every
scene in every look. Text looks as the fonts of the machine do, so two machines do not make the
same bytes.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from playwright.async_api import Browser

from tests.browser.chromium import DESKTOP, ENABLE_COMMAND, LOOKS, Look, chromium_running, missing, tab_of
from tests.browser.scenes import SCENES, Scene, scene_named, served

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"

SHOWN: Mapping[str, tuple[str, Look]] = MappingProxyType({"status-page": ("three-rules", DESKTOP)})
"""The pictures that the documents show: the name of the file, the scene and the look."""


async def take(browser: Browser, scene: Scene, look: Look, path: Path) -> None:
    """Take a picture of the whole page, longer than the window where it is."""
    async with served(scene) as (_, url), tab_of(browser, look) as tab:
        await tab.page.goto(url)
        await tab.page.get_by_text("Updates by itself.").wait_for()
        await tab.page.screenshot(path=path, full_page=True, animations="disabled")


async def _take_all(pictures: Iterable[tuple[Path, Scene, Look]]) -> None:
    async with chromium_running() as browser:
        for path, scene, look in pictures:
            await take(browser, scene, look, path)
            print(path, path.stat().st_size, "bytes")


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(
        prog="tools.pictures.status_page", description="Take pictures of the page."
    )
    parser.add_argument("directory", nargs="?", type=Path, help="where every scene in every look goes")
    directory: Path | None = parser.parse_args().directory
    if reason := missing():
        print(f"{reason}; install it with: {ENABLE_COMMAND}", file=sys.stderr)
        return 1
    if directory is None:
        pictures = [
            (IMAGES / f"{name}.png", scene_named(scene), look) for name, (scene, look) in SHOWN.items()
        ]
    else:
        pictures = [
            (directory / f"{scene.name}-{look.name}.png", scene, look) for scene in SCENES for look in LOOKS
        ]
    asyncio.run(_take_all(pictures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
