"""The picture of the documentation: cost against nodes, measured, and beyond that on paper."""

import html
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.fleet.costs import (
    IDLE,
    Records,
    kubelet_cpu_in_an_hour,
    our_cpu,
    our_cpu_in_an_hour,
    watched_in_an_hour,
)

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "fleet.svg"
_ON_PAPER = 50_000

_WIDTH, _HEIGHT = 480, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 30, 64, 44
_INSET = 36
"""Room for the values of the first points."""
_COLOURS = ("#2563c9", "#c2410c", "#15803d")
_STYLE = (
    "text{font:10.5px 'DejaVu Sans',sans-serif;fill:#374151}"
    ".title{font-size:13px;font-weight:bold;fill:#111827}.grid{stroke:#e5e7eb}"
)

_Point = tuple[float, float]


@dataclass(frozen=True)
class _Line:
    name: str
    points: Sequence[_Point]
    """Measured values by number of nodes, in its order."""

    @property
    def on_paper(self) -> _Point:
        """Proportional to nodes from the largest measured fleet on."""
        nodes, value = self.points[-1]
        return _ON_PAPER, value * _ON_PAPER / nodes


@dataclass(frozen=True)
class _Panel:
    title: str
    unit: str
    lines: Sequence[_Line]


def picture(runs: Mapping[int, Records]) -> str:
    """The picture of the recorded runs, as SVG."""
    processor = (
        _line("an hour of kubelets' posts", runs, kubelet_cpu_in_an_hour),
        _line("a quiet hour", runs, lambda records: our_cpu_in_an_hour(records, "full")),
        _line("a change on every node", runs, _change),
    )
    watched = tuple(
        _line(name, runs, partial(_gigabytes, form))
        for name, form in (
            ("annotate=full", "full"),
            ("annotate=summary", "summary"),
            (IDLE, IDLE),
        )
    )
    panels = (
        _Panel("API server, CPU seconds", "s", processor),
        _Panel("To 10 watchers in a quiet hour, GB", "GB", watched),
    )
    return _picture(panels)


def _line(name: str, runs: Mapping[int, Records], value: Callable[[Records], float | None]) -> _Line:
    values = ((nodes, value(records)) for nodes, records in sorted(runs.items()))
    return _Line(name, [(nodes, found) for nodes, found in values if found is not None and found > 0])


def _change(records: Records) -> float | None:
    """Of a run in which every Node became right, perhaps with a longer splay."""
    whole = (
        scenario
        for scenario, record in records.items()
        if scenario.startswith("one Service added") and not record["notes"].get("never right")
    )
    # One with a splay of its own has the longer name.
    longest = max(whole, key=len, default=None)
    return our_cpu(records, longest) if longest else None


def _gigabytes(form: str, records: Records) -> float | None:
    watched = watched_in_an_hour(records, form)
    return None if watched is None else watched / 1e9


def _picture(panels: Sequence[_Panel]) -> str:
    drawn = "".join(
        f'<g transform="translate({index * _WIDTH},0)">{"".join(_drawn(panel))}</g>'
        for index, panel in enumerate(panels)
    )
    note = "Filled: measured. Open, dashed: on paper, in proportion to nodes."
    width = _WIDTH * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT + 18}" width="{width}" '
        f'role="img" aria-label="Cost against nodes"><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{drawn}'
        f'<text x="{width / 2}" y="{_HEIGHT + 10}" text-anchor="middle">{note}</text></svg>\n'
    )


def _drawn(panel: _Panel) -> Iterator[str]:
    lines = [line for line in panel.lines if line.points]
    values = [value for line in lines for _, value in (*line.points, line.on_paper)]
    scale = _Scale(100, _ON_PAPER, low=min(values) / 2, high=max(values) * 2)
    yield f'<text class="title" x="{_LEFT}" y="20">{html.escape(panel.title)}</text>'
    yield from scale.grid()
    x = _LEFT
    for index, (line, colour) in enumerate(zip(lines, _COLOURS, strict=False)):
        yield from _curve(line, colour, scale, _LABELS[index])
        yield f'<rect x="{x}" y="33" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="42">{html.escape(line.name)}</text>'
        x += 30 + 6 * len(line.name)


def _curve(line: _Line, colour: str, scale: "_Scale", label: "_Label") -> Iterator[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(scale.at, line.points))
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    (x, y), (paper_x, paper_y) = scale.at(line.points[-1]), scale.at(line.on_paper)
    yield (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{paper_x:.1f}" y2="{paper_y:.1f}" stroke="{colour}" '
        'stroke-dasharray="5 4"/>'
    )
    for point in line.points:
        x, y = scale.at(point)
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
        yield label.text(x, y, point[1])
    yield f'<circle cx="{paper_x:.1f}" cy="{paper_y:.1f}" r="3.5" fill="#fff" stroke="{colour}"/>'
    yield label.text(paper_x, paper_y, line.on_paper[1])


@dataclass(frozen=True)
class _Label:
    """Where the values of a line stand, from their points."""

    dx: float
    dy: float
    anchor: str

    def text(self, x: float, y: float, value: float) -> str:
        """A value at its point."""
        number = f"{value:.2g}" if value < 10 else f"{value:,.0f}"
        place = f'x="{x + self.dx:.1f}" y="{y + self.dy:.1f}"'
        return f'<text {place} text-anchor="{self.anchor}">{number}</text>'


_LABELS = (_Label(-4, -7, "end"), _Label(7, 4, "start"), _Label(-2, 16, "end"))
"""The highest line first."""


@dataclass(frozen=True)
class _Scale:
    """Both axes are logarithmic."""

    left: float
    right: float
    low: float
    high: float

    def at(self, point: _Point) -> _Point:
        """Where a point lies in the panel."""
        x = math.log(point[0] / self.left) / math.log(self.right / self.left)
        y = math.log(point[1] / self.low) / math.log(self.high / self.low)
        return (
            _LEFT + _INSET + x * (_WIDTH - _LEFT - _RIGHT - 20 - _INSET),
            _HEIGHT - _BOTTOM - y * (_HEIGHT - _TOP - _BOTTOM),
        )

    def grid(self) -> Iterator[str]:
        """Lines and names of the powers of ten, and of the numbers of nodes."""
        for power in range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1):
            _, y = self.at((self.left, 10.0**power))
            yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:,g}</text>'
        for nodes in (100, 1000, 5000, _ON_PAPER):
            x, y = self.at((nodes, self.low))
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{y:.1f}"/>'
            yield f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{nodes:,}</text>'
        yield f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle">nodes</text>'
