"""The documentation of performance: its tables and its picture are of the recorded figures."""

from bench.fleet import page, plot, report


def test_tables() -> None:
    """The page has the tables that are made of the recorded figures."""
    text = page.PAGE.read_text()
    assert page.filled(text, report.recorded()) == text, "make performance-docs writes it"


def test_picture() -> None:
    """So is the picture."""
    drawn = plot.picture(report.recorded())
    assert drawn == plot.PICTURE.read_text(), "make performance-docs writes it"
