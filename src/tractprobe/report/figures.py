"""Figures of analyses as inline SVG, drawn from their data: no library, no script, nothing loaded.

Layers are points at layers, intervals are bars through points, what a figure is read against (null band, ceiling) is
drawn in. Names along x make a figure of rows, so that they can be read on a phone. Colours are classes: the page says
what they are by day and by night.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tractprobe.evidence.record import Figure, Series
from tractprobe.report.numbers import interval, number
from tractprobe.report.palette import SERIES
from tractprobe.system.printable import one_line

WIDTH, PLOT_HEIGHT, LEFT, RIGHT, TOP = 380, 190, 44, 10, 10
_ROW, _NAME, _LETTER, _LEGEND = 20, 118, 6.0, 17
_MOST_POINTS, _MOST_SERIES, _MOST_ROWS, _TICKS = 4000, 7, 60, 5
_MARKS = ("circle", "square", "triangle", "diamond", "cross", "circle", "square")


class TooLarge(ValueError):
    """A figure that no reader could read; its table holds what it would have shown."""


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


def range_of(figures: Iterable[Figure]) -> tuple[float, float]:
    """Return a range of y that holds all that figures show, so that they can be compared by eye."""
    values = [value for figure in figures for value in _shown(figure)]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if any(figure.kind == "bars" for figure in figures):
        low, high = min(low, 0.0), max(high, 0.0)
    spare = 0.06 * (high - low) or 0.1 * abs(high) or 0.5
    return low - spare, high + spare


def svg(figure: Figure, y: tuple[float, float], id_: str, whose: str = "") -> str:
    """Return a figure as an SVG element with a title and a description.

    Raises
    ------
    TooLarge
        It has more points, rows or series than can be told apart.
    """
    if sum(len(series.points) for series in figure.series) > _MOST_POINTS or len(figure.series) > _MOST_ROWS:
        raise TooLarge("too many points to be drawn")
    if figure.kind == "matrix":
        body, height, width = _matrix(figure, y)
    elif len(figure.series) > _MOST_SERIES:
        raise TooLarge(f"{len(figure.series)} series cannot be told apart")
    elif _is_named(figure) and figure.kind != "lines":
        body, height, width = _rows(figure, y)
    else:
        body, height, width = _curves(figure, y)
    title = f"{whose}: {figure.title}" if whose else figure.title
    return (
        f'<svg class="figure" viewBox="0 0 {width} {height:.0f}" role="img" aria-labelledby="{id_}-t {id_}-d">'
        f'<title id="{id_}-t">{_text(title)}</title><desc id="{id_}-d">{_text(described(figure))}</desc>{body}</svg>'
    )


def described(figure: Figure) -> str:
    """Return what a figure shows, in words: its axes, and where each series begins, ends and is highest."""
    parts = [f"{figure.y} against {figure.x}" if figure.kind != "matrix" else f"{figure.y} by row and {figure.x}"]
    for series in figure.series[:_MOST_ROWS]:
        known = [point for point in series.points if point[1] is not None]
        if not known:
            parts.append(f"{series.name}: nothing is defined")
            continue
        best = max(known, key=lambda point: point[1])
        ends = f"{number(known[0][1])} at {known[0][0]}"
        if len(known) > 1:
            ends += f" to {number(known[-1][1])} at {known[-1][0]}, highest {number(best[1])} at {best[0]}"
        parts.append(f"{series.name}: {ends}")
    parts += [f"{level.text}: {number(level.y)}" for level in figure.levels]
    if figure.band is not None:
        parts.append(f"{figure.band.text}: {interval(figure.band.low, figure.band.high)}")
    return "; ".join(parts) + "."


def _curves(figure: Figure, y: tuple[float, float]) -> tuple[str, float, int]:
    """Draw series over numbers, or over names that belong in an order, such as layers side by side."""
    names = _names(figure)
    at = _places(figure, names)
    vertical = Axis(*y, TOP + PLOT_HEIGHT, TOP)
    parts = [*_read_against(figure, vertical, LEFT, WIDTH - RIGHT), *_y_axis(vertical)]
    bottom = TOP + PLOT_HEIGHT
    for value, label in _x_ticks(figure, names, at):
        parts.append(f'<text class="q" x="{value:.1f}" y="{bottom + 15}" text-anchor="middle">{_text(label)}</text>')
    parts.append(f'<text class="q" x="{WIDTH - RIGHT}" y="{bottom + 31}" text-anchor="end">{_text(figure.x)}</text>')
    parts.append(f'<text class="q" x="{LEFT}" y="{bottom + 31}">↑ {_text(figure.y)}</text>')
    for place, series in enumerate(figure.series):
        shift = 3.0 * (place - (len(figure.series) - 1) / 2)
        parts.append(_series(series, place, [at(point[0]) + shift for point in series.points], vertical, figure.kind))
    legend, height = _legend(figure, bottom + 46)
    return "".join([*parts, legend]), height, WIDTH


def _series(series: Series, place: int, xs: Sequence[float], vertical: Axis, kind: str) -> str:
    parts, path = [], ""
    for x, (_, value, low, high) in zip(xs, series.points, strict=True):
        if value is None:
            path = path.rstrip() + " " if path else path
            continue
        if low is not None and high is not None:
            parts.append(f'<path d="M{x:.1f} {vertical(low):.1f}V{vertical(high):.1f}"/>')
        if kind == "bars":
            parts.append(f'<path class="bar" d="M{x - 2:.1f} {vertical(0):.1f}V{vertical(value):.1f}h4V{vertical(0):.1f}z"/>')
        parts.append(_mark(place, x, vertical(value)))
    known = [(x, point[1]) for x, point in zip(xs, series.points, strict=True)]
    if kind == "lines":
        for run in _runs(known):
            path = "L".join(f"{x:.1f} {vertical(value):.1f}" for x, value in run)
            parts.insert(0, f'<path class="line" d="M{path}"/>' if len(run) > 1 else "")
    return f'<g class="{SERIES[place % len(SERIES)]}">{"".join(parts)}</g>'


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Return stretches without a gap: nothing is drawn where nothing is defined."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x, value))
    return [run for run in runs if run]


def _rows(figure: Figure, x: tuple[float, float]) -> tuple[str, float, int]:
    """Draw a row for each name, with a mark and its interval for each series: what a forest plot is."""
    names = _names(figure)
    if len(names) > _MOST_ROWS:
        raise TooLarge(f"{len(names)} rows")
    each = max(_ROW, 8 * len(figure.series) + 8)
    horizontal = Axis(*x, _NAME + 8, WIDTH - RIGHT)
    bottom = TOP + each * len(names)
    parts = _read_against_rows(figure, horizontal, bottom)
    for value in horizontal.ticks(4):
        at = horizontal(value)
        parts.append(f'<path class="g" d="M{at:.1f} {TOP}V{bottom}"/>')
        parts.append(f'<text class="q" x="{at:.1f}" y="{bottom + 15}" text-anchor="middle">{_tick(value)}</text>')
    for row, name in enumerate(names):
        text = _short(name, _NAME)
        parts.append(f'<text x="{_NAME}" y="{TOP + each * (row + 0.5) + 4:.1f}" text-anchor="end">{_text(text)}</text>')
    for place, series in enumerate(figure.series):
        shift = each * (place + 1) / (len(figure.series) + 1)
        rows = {str(point[0]): point for point in series.points}
        marks = [_row_mark(place, rows[name], horizontal, TOP + each * names.index(name) + shift, figure.kind)
                 for name in names if name in rows]  # fmt: skip
        parts.append(f'<g class="{SERIES[place % len(SERIES)]}">{"".join(marks)}</g>')
    parts.append(f'<text class="q" x="{WIDTH - RIGHT}" y="{bottom + 31}" text-anchor="end">{_text(figure.y)} →</text>')
    legend, height = _legend(figure, bottom + 46)
    return "".join([*parts, legend]), height, WIDTH


def _row_mark(place: int, point: Sequence[Any], horizontal: Axis, y: float, kind: str) -> str:
    _, value, low, high = point
    if value is None:
        return ""
    whisker = "" if low is None or high is None else f'<path d="M{horizontal(low):.1f} {y:.1f}H{horizontal(high):.1f}"/>'
    zero = horizontal(0.0) if kind == "bars" else 0.0
    bar = f'<path class="bar" d="M{zero:.1f} {y - 3:.1f}H{horizontal(value):.1f}v6H{zero:.1f}z"/>' if kind == "bars" else ""
    return bar + whisker + _mark(place, horizontal(value), y)


def _matrix(figure: Figure, y: tuple[float, float]) -> tuple[str, float, int]:
    """Draw cells with their values and intervals, coloured from the least to the greatest value that there is."""
    columns = _names(figure)
    if len(columns) * len(figure.series) > 400:
        raise TooLarge(f"{len(figure.series)} x {len(columns)} cells")
    size, left = 74, _NAME
    values = [point[1] for series in figure.series for point in series.points if point[1] is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    parts = []
    for column, name in enumerate(columns):
        x = left + size * (column + 0.5)
        parts.append(f'<text x="{x:.1f}" y="16" text-anchor="middle">{_text(_short(name, size))}</text>')
    for row, series in enumerate(figure.series):
        top = 24 + 34 * row
        parts.append(f'<text x="{left - 6}" y="{top + 20}" text-anchor="end">{_text(_short(series.name, left - 8))}</text>')
        cells = {str(point[0]): point for point in series.points}
        for column, name in enumerate(columns):
            if name in cells:
                parts.append(_cell(cells[name], left + size * column, top, size, (low, high)))
    bottom = 24 + 34 * len(figure.series)
    scale = f"colour: {number(low)} (lightest) to {number(high)} (darkest) {figure.y}" if values else "nothing is defined"
    parts.append(f'<text class="q" x="{left}" y="{bottom + 16}">{_text(scale)}</text>')
    parts.append(f'<text class="q" x="{left}" y="{bottom + 32}">across: {_text(figure.x)}</text>')
    return "".join(parts), bottom + 40, max(WIDTH, left + size * len(columns) + 4)


def _cell(point: Sequence[Any], left: float, top: float, size: float, scale: tuple[float, float]) -> str:
    _, value, low, high = point
    middle = left + size / 2
    if value is None:
        return f'<text class="q" x="{middle}" y="{top + 20}" text-anchor="middle">–</text>'
    share = (value - scale[0]) / (scale[1] - scale[0]) if scale[1] > scale[0] else 0.5
    box = f'<rect class="cell" x="{left + 1}" y="{top}" width="{size - 2}" height="32" fill-opacity="{0.04 + 0.3 * share:.2f}"/>'
    reach = interval(low, high)
    lines = [(15, number(value), "")] + ([(27, reach, ' class="i"')] if reach else [])
    lines = lines if reach else [(21, number(value), "")]
    return box + "".join(
        f'<text{style} x="{middle}" y="{top + dy}" text-anchor="middle">{text}</text>' for dy, text, style in lines
    )


def _read_against(figure: Figure, vertical: Axis, left: float, right: float) -> list[str]:
    parts = []
    if figure.band is not None:
        top, bottom = vertical(min(figure.band.high, vertical.high)), vertical(max(figure.band.low, vertical.low))
        parts.append(f'<rect class="null" x="{left}" y="{top:.1f}" width="{right - left}" height="{max(bottom - top, 1):.1f}"/>')
    parts += [f'<path class="level" d="M{left} {vertical(level.y):.1f}H{right}"/>' for level in figure.levels]
    return parts


def _read_against_rows(figure: Figure, horizontal: Axis, bottom: float) -> list[str]:
    parts = []
    if figure.band is not None:
        left, right = horizontal(max(figure.band.low, horizontal.low)), horizontal(min(figure.band.high, horizontal.high))
        parts.append(f'<rect class="null" x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" height="{bottom - TOP}"/>')
    return parts + [f'<path class="level" d="M{horizontal(level.y):.1f} {TOP}V{bottom}"/>' for level in figure.levels]


def _y_axis(vertical: Axis) -> list[str]:
    parts = []
    for value in vertical.ticks():
        at = vertical(value)
        parts.append(f'<path class="g" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="q" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_tick(value)}</text>')
    return parts


def _places(figure: Figure, names: Sequence[str]) -> Any:
    """Return the map from what stands along x to pixels."""
    inner = 14  # so that marks and intervals at the ends stay inside
    if _is_named(figure):
        axis = Axis(-0.5, max(len(names) - 0.5, 0.5), LEFT, WIDTH - RIGHT)
        return lambda x: axis(names.index(str(x)))
    xs = [float(point[0]) for series in figure.series for point in series.points]
    low, high = (min(xs), max(xs)) if xs else (0.0, 1.0)
    if low == high:
        low, high = low - 1, high + 1
    axis = Axis(low, high, LEFT + inner, WIDTH - RIGHT - inner)
    return lambda x: axis(float(x))


def _x_ticks(figure: Figure, names: Sequence[str], at: Any) -> list[tuple[float, str]]:
    """Return where along x something is written: at every point if there is room, else at every second, third ..."""
    if _is_named(figure):
        room = (WIDTH - LEFT - RIGHT) / max(len(names), 1)
        return [(at(name), _short(name, room)) for name in names]
    xs = sorted({float(point[0]) for series in figure.series for point in series.points})
    if all(x.is_integer() for x in xs) and len(xs) <= 49:
        every = next(step for step in (1, 2, 4, 8, 49) if len(xs) <= 13 * step)
        return [(at(x), f"{x:g}") for x in xs[::every]]
    if len(xs) <= 7 and min((at(b) - at(a) for a, b in zip(xs, xs[1:], strict=False)), default=99) > 34:
        return [(at(x), f"{x:g}") for x in xs]
    axis = Axis(xs[0], xs[-1], at(xs[0]), at(xs[-1])) if xs and xs[-1] > xs[0] else None
    return [(axis(value), f"{value:g}") for value in axis.ticks(6)] if axis else [(at(x), f"{x:g}") for x in xs]


def _legend(figure: Figure, top: float) -> tuple[str, float]:
    """Return the legend below a plot, in rows, and where it ends."""
    entries = []
    if len(figure.series) > 1 or (figure.series and figure.series[0].name != figure.title):
        for place, series in enumerate(figure.series):
            mark = f'<g class="{SERIES[place % len(SERIES)]}">{_mark(place, 6, -4)}</g>'
            entries.append((mark, _short(series.name, 300)))
    if figure.band is not None:
        entries.append(('<rect class="null" x="0" y="-10" width="12" height="11"/>', _short(figure.band.text, 300)))
    for level in figure.levels:
        entries.append(('<path class="level" d="M0 -4H12"/>', _short(f"{level.text} {number(level.y)}", 300)))
    parts, x, y = [], float(LEFT), top
    for mark, text in entries:
        width = 18 + _LETTER * len(text) + 14
        if x > LEFT and x + width > WIDTH:
            x, y = float(LEFT), y + _LEGEND
        parts.append(f'<g transform="translate({x:.0f} {y:.0f})">{mark}<text x="18" y="0">{_text(text)}</text></g>')
        x += width
    return "".join(parts), y + 8


def _mark(place: int, x: float, y: float) -> str:
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


def _shown(figure: Figure) -> Iterable[float]:
    for series in figure.series:
        for point in series.points:
            yield from (float(value) for value in point[1:4] if value is not None)
    yield from (level.y for level in figure.levels)
    if figure.band is not None:
        yield from (figure.band.low, figure.band.high)


def _is_named(figure: Figure) -> bool:
    return any(type(point[0]) not in (int, float) for series in figure.series for point in series.points)


def _names(figure: Figure) -> list[str]:
    return list(dict.fromkeys(str(point[0]) for series in figure.series for point in series.points))


def _step(least: float) -> float:
    decade = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(decade * step for step in (1, 2, 2.5, 5, 10) if decade * step >= least * (1 - 1e-9))


def _tick(value: float) -> str:
    text = f"{abs(value):.10g}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if value < 0 else text


def _short(text: str, width: float) -> str:
    text, most = one_line(text), max(int(width / _LETTER), 3)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(text: str) -> str:
    return escape(one_line(str(text)))
