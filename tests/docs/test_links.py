"""Every link in every page leads somewhere."""

from pathlib import Path

import pytest

from tests.docs.pages import CHECKOUT, DOCS, PAGES, anchors, links


def name_of(page: Path) -> str:
    """A page's path in the checkout."""
    return str(page.relative_to(CHECKOUT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page: Path) -> None:
    """Links within the project lead to files and headings that are there."""
    broken = [
        link.target
        for link in links(page)
        if not link.external
        and (not link.path.exists() or (link.anchor and link.anchor not in anchors(link.path)))
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_stay_in_the_checkout(page: Path) -> None:
    """No link leads to a place on the machine of whoever wrote it, or over plain HTTP."""
    for link in links(page):
        if link.external:
            assert link.target.startswith("https://"), link.target
        else:
            assert link.path.is_relative_to(CHECKOUT), link.target


def test_every_page_is_found() -> None:
    """There are pages at every level, and each is linked from some other one."""
    linked = {link.path for page in PAGES for link in links(page) if link.path != page}
    orphans = [name_of(page) for page in PAGES if page.is_relative_to(DOCS) and page not in linked]
    assert len(PAGES) > 20
    assert orphans == []
