"""The documentation of performance says what is recorded: tables, picture, and how scenarios ended."""

import pytest

from bench.fleet import page, plot, report

OVERLOADED = "20 Services in a minute"


def test_tables() -> None:
    """The page has the tables that are made of the recorded figures."""
    text = page.PAGE.read_text()
    assert page.filled(text, report.recorded()) == text, "make performance-docs writes it"


@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        ("API server back", "{failed} of {sent} requests of 5,000 agents failed, half the Nodes were"),
        ("API server back", "were right after {half} s and all of them after {last} s"),
        ("API server back", "other clients waited for {others} ms (p99 of those that were answered"),
        ("one Service added", "turned up to {failed} of {sent} writes away"),
        ("one Service added", "all Nodes were right after {last} s, and other clients waited for up to"),
        (
            "one Service added, splay 150 s",
            "all Nodes were right after {last} s, and the p99 of other clients was {others} ms",
        ),
        (OVERLOADED, "{failed} of {sent} writes had no answer in time"),
        (OVERLOADED, "{never} Nodes were not right 4 minutes after the last Service"),
        (f"{OVERLOADED}, splay 150 s", "{failed} of {sent} writes failed"),
        (f"{OVERLOADED}, splay 150 s", "all Nodes were right {last} s after the last Service"),
        (f"{OVERLOADED}, splay 150 s", "and the p99 of other clients was {others} ms"),
    ],
)
def test_outcome(scenario: str, told: str) -> None:
    """The text tells of a scenario with 5,000 nodes what its record says."""
    cost = report.recorded()[5000][scenario]
    figures = {
        "failed": f"{cost['failed']:,}" if cost["failed"] else "none",
        "sent": f"{cost['reads'] + cost['writes']:,}",
        "half": f"{cost['right']['median'] * cost['pace']:.0f}",
        "last": f"{cost['right']['longest'] * cost['pace']:.0f}",
        "never": str(cost["notes"]["never right"]),
        "others": f"{cost['others']['p99'] * 1000:.0f}",
    }
    assert told.format(**figures) in page.PAGE.read_text()


def test_picture() -> None:
    """The picture is drawn of the recorded figures."""
    drawn = plot.picture(report.recorded())
    assert drawn == plot.PICTURE.read_text(), "make performance-docs writes it"
