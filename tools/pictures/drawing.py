"""The dashboard's panels as one page of SVG charts, from what Prometheus answered."""

import html
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tools.pages.panels import COLUMNS, Panel

WIDTH, PLOT_HEIGHT, PER_ROW = 416, 150, 3
LEFT, BOTTOM, TOP = 52, 20, 8
COLOURS = ("#2563c9", "#c2410c", "#15803d", "#9333ea", "#b45309", "#0e7490", "#be185d", "#4d7c0f", "#64748b")
COLOUR_OF = {"ok": "#15803d", "stale": "#c2410c", "starting": "#64748b", "no-metadata": "#2563c9"}
"""Of words that mean something by themselves."""
LONGEST_LEGEND = 8
LONGEST_GAP_S = 1.1

Points = Sequence[tuple[float, float]]
"""Values by Unix time, in its order."""

_STYLE = """
body { font: 13px/1.35 "DejaVu Sans", sans-serif; margin: 16px; color: #1f2937; background: #fff; }
main { display: grid; grid-template-columns: repeat(3, 416px); gap: 12px; }
section { border: 1px solid #d1d5db; border-radius: 4px; padding: 8px; }
h1 { font-size: 18px; margin: 0 0 12px; } h2 { font-size: 13px; margin: 0 0 4px; }
svg { display: block; } svg text { font-size: 10px; fill: #4b5563; }
p { margin: 2px 0 0; font-size: 10.5px; } p span { margin-right: 10px; white-space: nowrap; }
i { display: inline-block; width: 10px; height: 3px; margin-right: 4px; vertical-align: middle; }
"""


@dataclass(frozen=True)
class Line:
    """A series: what it is called, and its values by Unix time."""

    legend: str
    points: Points


def page(panels: Sequence[tuple[Panel, Sequence[Line]]], *, start: float, end: float) -> str:
    """A page of all panels, as the dashboard lays them out."""
    assert COLUMNS // panels[0][0].width == PER_ROW
    sections = "".join(_section(panel, lines, start=start, end=end) for panel, lines in panels)
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Dashboard</title>'
        f"<style>{_STYLE}</style>"
        f"<h1>Azure load balancer metadata</h1><main>{sections}</main></html>"
    )


def _section(panel: Panel, lines: Sequence[Line], *, start: float, end: float) -> str:
    if panel.stacked:
        lines = list(_stacked(lines))
    top = _ceiling(max((value for line in lines for _, value in line.points), default=1.0))
    plot = _Plot(start, end, top)
    marks = "".join(plot.axes(panel.unit))
    paths = "".join(
        plot.path(line, _colour(line, index), filled=panel.stacked)
        for index, line in reversed(list(enumerate(lines)))
    )
    legend = "".join(
        f'<span><i style="background:{_colour(line, index)}"></i>{html.escape(line.legend)}</span>'
        for index, line in enumerate(lines[:LONGEST_LEGEND])
    )
    more = f"<span>and {len(lines) - LONGEST_LEGEND} more</span>" if len(lines) > LONGEST_LEGEND else ""
    title = html.escape(panel.title)
    return (
        f'<section><h2>{title}</h2><svg width="{WIDTH - 18}" height="{PLOT_HEIGHT}">{marks}{paths}</svg>'
        f"<p>{legend}{more}</p></section>"
    )


def _colour(line: Line, index: int) -> str:
    return COLOUR_OF.get(line.legend, COLOURS[index % len(COLOURS)])


def _stacked(lines: Sequence[Line]) -> Iterator[Line]:
    """Each line on top of those before it."""
    below: Mapping[float, float] = {}
    for line in lines:
        below = {**below, **{at: below.get(at, 0.0) + value for at, value in line.points}}
        yield Line(line.legend, sorted(below.items()))


def _ceiling(value: float) -> float:
    """A round number at or above the value: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


@dataclass(frozen=True)
class _Plot:
    start: float
    end: float
    top: float

    def x(self, at: float) -> float:
        return LEFT + (WIDTH - 30 - LEFT) * (at - self.start) / (self.end - self.start)

    def y(self, value: float) -> float:
        return TOP + (PLOT_HEIGHT - TOP - BOTTOM) * (1 - value / self.top)

    def axes(self, unit: str) -> Iterator[str]:
        for part in (0.0, 0.5, 1.0):
            y = self.y(self.top * part)
            end = f"{self.x(self.end):.1f}"
            yield f'<line x1="{LEFT}" x2="{end}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>'
            text = _printed(self.top * part, unit)
            yield f'<text x="{LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{text}</text>'
        for seconds in range(0, int(self.end - self.start) + 1, 20):
            x = self.x(self.start + seconds)
            yield f'<text x="{x:.1f}" y="{PLOT_HEIGHT - 4}" text-anchor="middle">{seconds} s</text>'

    def path(self, line: Line, colour: str, *, filled: bool) -> str:
        return "".join(self._piece(piece, colour, filled=filled) for piece in _pieces(line.points))

    def _piece(self, piece: Points, colour: str, *, filled: bool) -> str:
        points = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in piece)
        base = " ".join(f"{self.x(at):.1f},{self.y(0):.1f}" for at in (piece[-1][0], piece[0][0]))
        # White below the colour hides what stands behind.
        tints = (("#fff", "1"), (colour, "0.35")) if filled else ()
        area = "".join(
            f'<polygon points="{points} {base}" fill="{fill}" fill-opacity="{opacity}"/>'
            for fill, opacity in tints
        )
        return f'{area}<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _pieces(points: Points) -> Iterator[Points]:
    """The parts of a line between its gaps."""
    begin = 0
    for index, ((before, _), (after, _)) in enumerate(itertools.pairwise(points), start=1):
        if after - before > LONGEST_GAP_S:
            yield points[begin:index]
            begin = index
    if points:
        yield points[begin:]


def _printed(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "percentunit":
        return f"{value * 100:g} %"
    suffix = {"s": " s", "reqps": " /s", "ops": " /s"}.get(unit, "")
    return f"{value:g}{suffix}"
