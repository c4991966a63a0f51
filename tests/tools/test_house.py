"""The rules of the house that no other tool holds us to."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST_LINES = 600
"""A file is as long as its matter; one that has more holds several."""

LONGER: dict[str, str] = {}
"""Files that may be longer, each with the reason."""


def lengths() -> dict[str, int]:
    """The number of lines of every Python file of ours, by its path in the checkout."""
    paths = [path for folder in ("sidecar", "tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    return {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}


def test_files_are_short() -> None:
    """No file is so long that nobody reads it as a whole, but for those with a reason."""
    long = {path: lines for path, lines in lengths().items() if lines > MOST_LINES}
    assert {path: lines for path, lines in long.items() if path not in LONGER} == {}


def test_longer_files_are_long() -> None:
    """No file is excused that is short, or gone."""
    known = lengths()
    assert [path for path in LONGER if known.get(path, 0) <= MOST_LINES] == []
