"""The charts of the dashboard's picture show the numbers that they are given."""

import re

from tools.pages.panels import PANELS
from tools.pictures.drawing import Line, page

STACKED = next(panel for panel in PANELS if panel.stacked)
PLAIN = next(panel for panel in PANELS if not panel.stacked)


def corners(text: str) -> list[list[tuple[float, float]]]:
    """The points of every line in a page."""
    lines = re.findall(r'<polyline points="([^"]+)"', text)
    return [[(float(x), float(y)) for x, y in (point.split(",") for point in line.split())] for line in lines]


def test_higher_values_stand_higher() -> None:
    """A line rises to the right where its values do."""
    line = Line("a", [(0, 0), (0.5, 1), (1, 4)])
    ((first, second, third),) = corners(page([(PLAIN, [line])], start=0, end=1))
    assert first[0] < second[0] < third[0]
    assert first[1] > second[1] > third[1]


def test_gap_is_not_bridged() -> None:
    """Where a series was missing for a while, its line is in two pieces."""
    line = Line("a", [(0, 1), (1, 1), (8, 1), (9, 1)])
    assert [len(piece) for piece in corners(page([(PLAIN, [line])], start=0, end=9))] == [2, 2]


def test_stacked_lines_add_up() -> None:
    """The second of two equal lines that are stacked stands twice as high, and the first is drawn over it."""
    lines = [Line("a", [(0, 1), (1, 1)]), Line("b", [(0, 1), (1, 1)])]
    upper, lower = corners(page([(STACKED, lines)], start=0, end=1))
    (ground,) = corners(page([(PLAIN, [Line("c", [(0, 0), (1, 0)])])], start=0, end=1))
    assert round(ground[0][1] - upper[0][1], 1) == round(2 * (ground[0][1] - lower[0][1]), 1)


def test_names_are_text() -> None:
    """What a label says is not markup."""
    assert "<b>" not in page([(PLAIN, [Line("<b>", [(0, 1)])])], start=0, end=1)
