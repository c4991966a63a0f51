"""The site of the documentation can be built, is whole, and needs nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import CHECKOUT
from tests.docs.site import shown

"""Programs one after the other, each of which takes seconds on a busy machine."""

BUILD = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir")
DEADLINE_S = 280.0

FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//|<link\b[^>]*\bhref=[\"']?(?:https?:)?//"
)
"""What a browser would ask another host for. Links that people follow are no such thing."""

NOT_RENDERED = re.compile(r"<p>(?:(?!</p>).)*?\n(?:- |\d+\. |\|)|<p>(?:(?!</p>|<code>).)*?```", re.DOTALL)
"""A list, a table or a block of code that became running text."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built anew; broken links and pages without a place fail it."""
    folder = tmp_path_factory.mktemp("site")
    finished = subprocess.run(
        [*BUILD, str(folder)],
        cwd=CHECKOUT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    """Each page of the checkout is a page of the site, and README is where it begins."""
    missing = [page for page in shown() if not place(site, page).exists()]
    assert missing == []
    assert (site / "index.html").exists()


def place(site: Path, page: Path) -> Path:
    """Where a page stands on the site."""
    name = page.relative_to(CHECKOUT).with_suffix(".html")
    return site / (name.with_name("index.html") if name.stem == "README" else name)


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No page makes a browser ask another host."""
    assert [path.name for path in site.rglob("*.html") if FETCHED.search(path.read_text())] == []
    assert "@import" not in "".join(path.read_text() for path in site.rglob("*.css"))


def test_pages_are_rendered(site: Path) -> None:
    """Lists, tables and blocks of code are shown as such by the site's Markdown, too."""
    wrong = {
        str(path.relative_to(site)): found.group()[-80:]
        for path in site.rglob("*.html")
        if (found := NOT_RENDERED.search(path.read_text()))
    }
    assert wrong == {}


def test_linked_files_are_there(site: Path) -> None:
    """What pages show or link to beside pages comes along: pictures, schemas, examples."""
    for name in ("docs/images/status-page.png", "docs/schema/loadbalancer.schema.json"):
        assert (site / name).read_bytes() == (CHECKOUT / name).read_bytes()
    assert (site / "examples" / "clients" / "index.html").exists()
