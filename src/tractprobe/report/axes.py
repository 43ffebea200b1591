"""What figures are drawn with: axes, ticks, marks, legends and what a figure is read against, as pieces of SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from tractprobe.evidence.record import Figure
from tractprobe.report.numbers import number
from tractprobe.report.palette import SERIES
from tractprobe.system.printable import one_line

WIDTH, PLOT_HEIGHT, LEFT, RIGHT, TOP = 380, 190, 44, 10, 10
ROW, NAME = 20, 136
_LETTER, _LEGEND, _TICKS = 6.3, 17, 5
_MARKS = ("circle", "square", "triangle", "diamond", "cross")  # with seven colours, 35 pairs


@dataclass(frozen=True)
class Axis:
    """A straight map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = _TICKS) -> list[float]:
        """Return round numbers within the range."""
        step = _step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 10) for number in range(first, last + 1)]


def y_axis(vertical: Axis) -> list[str]:
    parts = []
    for value in vertical.ticks():
        at = vertical(value)
        parts.append(f'<path class="g" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="q" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick(value)}</text>')
    return parts


def places_along(figure: Figure, names: Sequence[str]) -> Any:
    """Return the map from what stands along x to pixels."""
    inner = 14  # so that marks and intervals at the ends stay inside
    if is_named(figure):
        axis = Axis(-0.5, max(len(names) - 0.5, 0.5), LEFT, WIDTH - RIGHT)
        return lambda x: axis(names.index(str(x)))
    xs = [float(point[0]) for series in figure.series for point in series.points]
    low, high = (min(xs), max(xs)) if xs else (0.0, 1.0)
    if low == high:
        low, high = low - 1, high + 1
    axis = Axis(low, high, LEFT + inner, WIDTH - RIGHT - inner)
    return lambda x: axis(float(x))


def x_ticks(figure: Figure, names: Sequence[str], at: Any) -> list[tuple[float, str]]:
    """Return where along x something is written: at every point if there is room, else at every second, third ..."""
    if is_named(figure):
        room = (WIDTH - LEFT - RIGHT) / max(len(names), 1)
        return [(at(name), shortened(name, room)) for name in names]
    xs = sorted({float(point[0]) for series in figure.series for point in series.points})
    if all(x.is_integer() for x in xs) and len(xs) <= 49:
        every = next(step for step in (1, 2, 4, 8, 49) if len(xs) <= 13 * step)
        return [(at(x), f"{x:g}") for x in xs[::every]]
    if len(xs) <= 7 and min((at(b) - at(a) for a, b in pairwise(xs)), default=99) > 34:
        return [(at(x), f"{x:g}") for x in xs]
    axis = Axis(xs[0], xs[-1], at(xs[0]), at(xs[-1])) if xs and xs[-1] > xs[0] else None
    return [(axis(value), f"{value:g}") for value in axis.ticks(6)] if axis else [(at(x), f"{x:g}") for x in xs]


def legend_of(figure: Figure, top: float) -> tuple[str, float]:
    """Return the legend below a plot, in rows, and where it ends."""
    entries = []
    if len(figure.series) > 1 or (figure.series and figure.series[0].name != figure.title):
        for place, series in enumerate(figure.series):
            drawn = f'<g class="{SERIES[place % len(SERIES)]}">{mark(place, 6, -4)}</g>'
            entries.append((drawn, shortened(series.name, 300)))
    if figure.band is not None:
        entries.append(('<rect class="null" x="0" y="-10" width="12" height="11"/>', shortened(figure.band.text, 300)))
    for place, level in enumerate(figure.levels):
        line = f'<path class="level l{place % 5}" d="M-2 -4H17"/>'
        entries.append((line, shortened(f"{level.text} {number(level.y)}", 300)))
    parts, x, y = [], float(LEFT), top
    for drawn, text in entries:
        width = 21 + _LETTER * len(text) + 14
        if x > LEFT and x + width > WIDTH:
            x, y = float(LEFT), y + _LEGEND
        parts.append(f'<g transform="translate({x:.0f} {y:.0f})">{drawn}<text x="21" y="0">{escaped(text)}</text></g>')
        x += width
    return "".join(parts), y + 8


def mark(place: int, x: float, y: float) -> str:
    match _MARKS[place % len(_MARKS)]:
        case "square":
            return f'<rect class="m" x="{x - 3.2:.1f}" y="{y - 3.2:.1f}" width="6.4" height="6.4"/>'
        case "triangle":
            return f'<path class="m" d="M{x:.1f} {y - 4.4:.1f}l4.2 7.4h-8.4z"/>'
        case "diamond":
            return f'<path class="m" d="M{x:.1f} {y - 4.6:.1f}l4.6 4.6l-4.6 4.6l-4.6 -4.6z"/>'
        case "cross":
            return f'<path class="x" d="M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0 -7l-7 7"/>'
    return f'<circle class="m" cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>'


def read_against(figure: Figure, vertical: Axis, left: float, right: float) -> list[str]:
    parts = []
    if figure.band is not None:
        top, bottom = vertical(min(figure.band.high, vertical.high)), vertical(max(figure.band.low, vertical.low))
        parts.append(
            f'<rect class="null" x="{left}" y="{top:.1f}" width="{right - left}" height="{max(bottom - top, 1):.1f}"/>'
        )
    for place, level in enumerate(figure.levels):
        parts.append(f'<path class="level l{place % 5}" d="M{left} {vertical(level.y):.1f}H{right}"/>')
    return parts


def read_against_rows(figure: Figure, horizontal: Axis, bottom: float) -> list[str]:
    parts = []
    if figure.band is not None:
        left, right = (
            horizontal(max(figure.band.low, horizontal.low)),
            horizontal(min(figure.band.high, horizontal.high)),
        )
        parts.append(
            f'<rect class="null" x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" height="{bottom - TOP}"/>'
        )
    for place, level in enumerate(figure.levels):
        parts.append(f'<path class="level l{place % 5}" d="M{horizontal(level.y):.1f} {TOP}V{bottom}"/>')
    return parts


def is_named(figure: Figure) -> bool:
    return any(type(point[0]) not in (int, float) for series in figure.series for point in series.points)


def names_along(figure: Figure) -> list[str]:
    return list(dict.fromkeys(str(point[0]) for series in figure.series for point in series.points))


def _step(least: float) -> float:
    decade = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(decade * step for step in (1, 2, 2.5, 5, 10) if decade * step >= least * (1 - 1e-9))


def tick(value: float) -> str:
    text = f"{abs(value):.10g}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if value < 0 else text


def shortened(text: str, width: float) -> str:
    text, most = one_line(text), max(int(width / _LETTER), 3)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def escaped(text: str) -> str:
    return escape(one_line(str(text)))
