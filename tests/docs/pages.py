"""The pages of the project, and what in them leads elsewhere."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import DEADLINE_S

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"

_FENCED = re.compile(r"^( *)(```+|~~~+).*?^\1\2$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)


def _pages() -> list[Path]:
    """Every page under version control, or about to be, that is shown as it is; not frames of made ones."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
    listed = subprocess.run(
        command, cwd=CHECKOUT, check=True, capture_output=True, text=True, timeout=DEADLINE_S
    )
    made_from = re.compile(r"(tests/(?!assets/)|tools/)")
    return [CHECKOUT / name for name in sorted(listed.stdout.split()) if not made_from.match(name)]


PAGES = _pages()


@dataclass(frozen=True)
class Link:
    """Where a page leads."""

    page: Path
    target: str

    @property
    def external(self) -> bool:
        """Whether it leads out of the project."""
        return re.match(r"[a-z]+:", self.target) is not None

    @property
    def path(self) -> Path:
        """The file that it leads to."""
        place = self.target.partition("#")[0]
        return (self.page.parent / place).resolve() if place else self.page

    @property
    def anchor(self) -> str:
        """The heading that it leads to; empty for none."""
        return self.target.partition("#")[2]


def prose(text: str) -> str:
    """A page's text without its blocks of code."""
    return _FENCED.sub("", text)


def links(page: Path) -> Iterator[Link]:
    """The links and pictures of a page."""
    for target in _LINK.findall(_CODE.sub("`", prose(page.read_text()))):
        yield Link(page, target)


def anchors(page: Path) -> set[str]:
    """What can stand behind ``#`` for a page: its headings, as renderers of Markdown on the web name them."""
    found: set[str] = set()
    for title in _HEADING.findall(prose(page.read_text())):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        name = re.sub(r"[^\w -]", "", text).replace(" ", "-")
        number = 0
        while (anchor := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(anchor)
    return found
