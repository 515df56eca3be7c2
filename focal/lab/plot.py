"""A picture of a run: what each node had sent in the hour before, and how long messages took.

The law of this module: figures in, the text of an SVG image out. All of it is text and lines, so
that it needs no library and any browser shows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ..core.hour import HOUR
from .figures import Course, Fate, Figures

WIDTH, HEIGHT = 900, 260
LEFT, TOP, RIGHT, BOTTOM = 70, 40, 160, 40
"""Of each of the two panels, margins included, in pixels."""

NAMED = 9
"""Nodes whose names there is place for."""

STEPS = 300
"""Moments at which the use of the air is drawn."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#555555")
"""Lines that also those tell apart who see few colours; they begin anew where nodes are more."""

STYLE = "text{font:12px sans-serif}path{fill:none;stroke-width:1.5}.grid{stroke:#ddd}"


def plot(figures: Figures, seconds: float) -> str:
    """Return a picture of a run of so many seconds."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{2 * HEIGHT}">',
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>',
        *_air(figures, seconds),
        *_latencies(figures.fates(), seconds),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Panel:
    """One picture, of time from left to right.

    Args:
        top: where it begins.
        seconds: at its right end.
        most: at its upper end.
    """

    top: int
    seconds: float
    most: float

    def x(self, at: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * at / self.seconds, 1)

    def y(self, value: float) -> float:
        height = HEIGHT - TOP - BOTTOM
        return round(self.top + TOP + height * (1 - min(value, self.most) / self.most), 1)

    def frame(self, title: str) -> Iterator[str]:
        """Yield the title and the grid with its numbers."""
        yield _text(LEFT, self.top + TOP - 14, title)
        for value in _ticks(self.most):
            yield _line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value))
            yield _text(LEFT - 8, self.y(value) + 4, f"{value:g}", "end")
        for at in _ticks(self.seconds):
            yield _line(self.x(at), self.y(0), self.x(at), self.y(self.most))
            yield _text(self.x(at), self.y(0) + 18, f"{at:g} s", "middle")

    def label(self, row: int, text: str, colour: str) -> Iterator[str]:
        """Yield one entry of the legend."""
        y = self.top + TOP + 10 + 16 * row
        x = WIDTH - RIGHT + 12
        yield f'<rect x="{x}" y="{y - 8}" width="10" height="8" fill="{colour}"/>'
        yield _text(x + 16, y, text)


def _air(figures: Figures, seconds: float) -> Iterator[str]:
    courses = figures.courses(seconds, STEPS)
    limit = HOUR * figures.scenario.air.region.duty
    most = max((value for course in courses for _, value in course.points), default=0.0)
    limited = most > limit / 4
    panel = _Panel(0, seconds, max(most, limit if limited else 0.0, 0.1) * 1.05)
    yield from panel.frame("seconds of air in the hour before")
    if limited:
        y = panel.y(limit)
        yield f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="red" stroke-dasharray="6 4"/>'
        yield _text(WIDTH - RIGHT + 4, y + 4, "the limit")
    for row, course in enumerate(courses):
        colour = COLOURS[row % len(COLOURS)]
        yield f'<path d="{_path(panel, course)}" stroke="{colour}"/>'
        if row < NAMED:
            yield from panel.label(row + limited, course.name, colour)
    if len(courses) > NAMED:
        yield from panel.label(NAMED + limited, f"and {len(courses) - NAMED} more", "white")


def _latencies(fates: Sequence[Fate], seconds: float) -> Iterator[str]:
    latencies = [latency for fate in fates for latency in fate.latencies]
    panel = _Panel(HEIGHT, seconds, max([*latencies, 1.0]) * 1.05)
    yield from panel.frame("seconds from the outbox to an inbox")
    yield from panel.label(0, "arrived", COLOURS[0])
    yield from panel.label(1, "in no inbox", "red")
    for fate in fates:
        for latency in fate.latencies:
            yield _dot(panel.x(fate.at), panel.y(latency), COLOURS[0])
        if not fate.latencies:
            yield _dot(panel.x(fate.at), panel.y(0), "red")


def _path(panel: _Panel, course: Course) -> str:
    return "M" + "L".join(f"{panel.x(at)} {panel.y(value)}" for at, value in course.points)


def _ticks(most: float) -> Iterable[float]:
    """Return round numbers from 0 to ``most``, some few of them."""
    rough = most / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = unit * next(one for one in (1, 2, 5, 10) if one * unit >= rough * 0.999)
    return [place * step for place in range(int(most / step + 1e-9) + 1)]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line class="grid" x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}"/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'
