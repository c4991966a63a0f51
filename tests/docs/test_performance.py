"""The documentation of performance: its tables, its picture and its counts are of the recorded figures."""

import re

from bench.fleet import page, plot, report


def test_tables() -> None:
    """The page has the tables that are made of the recorded figures."""
    text = page.PAGE.read_text()
    assert page.filled(text, report.recorded()) == text, "make performance-docs writes it"


def test_counts_of_failed_requests() -> None:
    """So are the counts that the text explains, such as "3 of 5,003 requests of 5,000 agents failed"."""
    told = re.findall(r"([\d,]+|none) of ([\d,]+) (?:requests|writes)\b", page.PAGE.read_text())
    recorded = {
        (cost["failed"], cost["reads"] + cost["writes"])
        for run in report.recorded().values()
        for cost in run.values()
    }
    assert len(told) >= 4
    for failed, sent in told:
        assert (0 if failed == "none" else number(failed), number(sent)) in recorded, f"{failed} of {sent}"


def number(text: str) -> int:
    """A number with its thousands apart."""
    return int(text.replace(",", ""))


def test_picture() -> None:
    """So is the picture."""
    drawn = plot.picture(report.recorded())
    assert drawn == plot.PICTURE.read_text(), "make performance-docs writes it"
