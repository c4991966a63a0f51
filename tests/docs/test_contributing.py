"""CONTRIBUTING.md names targets, files and suites that there are."""

import re

from tests.docs.pages import CHECKOUT, PAGES
from tools.suites import SUITES

TEXT = (CHECKOUT / "CONTRIBUTING.md").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))


def test_targets() -> None:
    """Every make target that any page names exists."""
    for page in PAGES:
        named = re.findall(r"(?:`|^)make ((?:[a-z][a-z-]+ ?)+)", page.read_text(), re.MULTILINE)
        words = {word for words in named for word in words.split()}
        assert words <= TARGETS, page


def test_files() -> None:
    """Every file of the checkout that the page names exists."""
    named = re.findall(r"`((?:sidecar|tests|charts|docs)/[\w./-]+)`", TEXT)
    assert named
    assert [path for path in named if not (CHECKOUT / path).exists()] == []


def test_suites() -> None:
    """The table has every suite."""
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == {suite.name for suite in SUITES}
