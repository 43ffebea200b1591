"""Figures of analyses as inline SVG, drawn from their data: no library, no script, nothing loaded.

Layers are points at layers, intervals are bars through points, what a figure is read against (null band, ceiling) is
drawn in. Names along x make a figure of rows, so that they can be read on a phone. Colours are classes: the page says
what they are by day and by night.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from tractprobe.evidence.record import Figure, Series
from tractprobe.report.axes import (
    LEFT,
    NAME,
    PLOT_HEIGHT,
    RIGHT,
    ROW,
    TOP,
    WIDTH,
    Axis,
    escaped,
    is_named,
    legend_of,
    mark,
    names_along,
    places_along,
    read_against,
    read_against_rows,
    shortened,
    tick,
    x_ticks,
    y_axis,
)
from tractprobe.report.numbers import interval, number
from tractprobe.report.palette import SERIES

_MOST_POINTS, _MOST_SERIES, _MOST_ROWS, _MOST_CELLS, _GREATEST, _SHORT = 4000, 12, 60, 400, 1e12, 5


class NotDrawn(ValueError):
    """A figure that no reader could read, or that is damaged."""


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


def check(figure: Figure) -> None:
    """Raise NotDrawn for a figure with points that are none, or with more than can be told apart."""
    points = [point for series in figure.series for point in series.points]
    values = [value for point in points if isinstance(point, list | tuple) for value in point[1:4]]
    values += [level.y for level in figure.levels]
    values += [figure.band.low, figure.band.high] if figure.band else []
    xs = [point[0] if isinstance(point, list | tuple) and len(point) == 4 else None for point in points]
    if not all(isinstance(x, str) or _is_number(x) for x in xs):
        raise NotDrawn("a point is not (x, y, low, high)")
    if not all(value is None or _is_number(value) for value in values):
        raise NotDrawn("a value is no number, or beyond 1e12")
    if len(points) > _MOST_POINTS:
        raise NotDrawn(f"{len(points)} points")
    rows = len(figure.series) if figure.kind == "matrix" else len(names_along(figure)) if _is_forest(figure) else 0
    if rows > _MOST_ROWS or (figure.kind == "matrix" and rows * len(names_along(figure)) > _MOST_CELLS):
        raise NotDrawn(f"{rows} rows x {len(names_along(figure))}")
    if figure.kind != "matrix" and len(figure.series) > _MOST_SERIES:
        raise NotDrawn(f"{len(figure.series)} series cannot be told apart")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _GREATEST


def _is_forest(figure: Figure) -> bool:
    """Return whether names along x get a row each: they do unless they are short and in an order."""
    return is_named(figure) and (figure.kind != "lines" or max(map(len, names_along(figure)), default=0) > _SHORT)


def svg(figure: Figure, y: tuple[float, float], id_: str, whose: str = "") -> str:
    """Return a figure, which was checked, as an SVG element with a title and a description.

    Parameters
    ----------
    y
        The range of values that is shown.
    id_
        Of the element, for what describes it.
    """
    draw = _matrix if figure.kind == "matrix" else _rows if _is_forest(figure) else _curves
    body, height, width = draw(figure, y)
    title = f"{whose}: {figure.title}" if whose else figure.title
    size = f'viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}"'
    return (
        f'<svg class="figure" {size} role="img" aria-labelledby="{id_}-t {id_}-d">'
        f'<title id="{id_}-t">{escaped(title)}</title><desc id="{id_}-d">{escaped(described(figure))}</desc>'
        f"{body}</svg>"
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
    names = names_along(figure)
    at = places_along(figure, names)
    vertical = Axis(*y, TOP + PLOT_HEIGHT, TOP)
    parts = [*read_against(figure, vertical, LEFT, WIDTH - RIGHT), *y_axis(vertical)]
    bottom = TOP + PLOT_HEIGHT
    for value, label in x_ticks(figure, names, at):
        parts.append(f'<text class="q" x="{value:.1f}" y="{bottom + 15}" text-anchor="middle">{escaped(label)}</text>')
    parts.append(f'<text class="q" x="{WIDTH - RIGHT}" y="{bottom + 31}" text-anchor="end">{escaped(figure.x)}</text>')
    parts.append(f'<text class="q" x="{LEFT}" y="{bottom + 31}">↑ {escaped(figure.y)}</text>')
    for place, series in enumerate(figure.series):
        shift = 3.0 * (place - (len(figure.series) - 1) / 2)
        parts.append(_series(series, place, [at(point[0]) + shift for point in series.points], vertical, figure.kind))
    legend, height = legend_of(figure, bottom + 46)
    return "".join([*parts, legend]), height, WIDTH


def _series(series: Series, place: int, xs: Sequence[float], vertical: Axis, kind: str) -> str:
    parts = []
    for x, (_, value, low, high) in zip(xs, series.points, strict=True):
        if value is None:
            continue
        if low is not None and high is not None:
            parts.append(f'<path d="M{x:.1f} {vertical(low):.1f}V{vertical(high):.1f}"/>')
        if kind == "bars":
            parts.append(
                f'<path class="bar" d="M{x - 2:.1f} {vertical(0):.1f}V{vertical(value):.1f}h4V{vertical(0):.1f}z"/>'
            )
        parts.append(mark(place, x, vertical(value)))
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
    names = names_along(figure)
    each = max(ROW, 8 * len(figure.series) + 8)
    horizontal = Axis(*x, NAME + 8, WIDTH - RIGHT)
    bottom = TOP + each * len(names)
    parts = read_against_rows(figure, horizontal, bottom)
    for value in horizontal.ticks(4):
        at = horizontal(value)
        parts.append(f'<path class="g" d="M{at:.1f} {TOP}V{bottom}"/>')
        parts.append(f'<text class="q" x="{at:.1f}" y="{bottom + 15}" text-anchor="middle">{tick(value)}</text>')
    for row, name in enumerate(names):
        text = shortened(name, NAME)
        parts.append(
            f'<text x="{NAME}" y="{TOP + each * (row + 0.5) + 4:.1f}" text-anchor="end">{escaped(text)}</text>'
        )
    for place, series in enumerate(figure.series):
        shift = each * (place + 1) / (len(figure.series) + 1)
        rows = {str(point[0]): point for point in series.points}
        marks = [_row_mark(place, rows[name], horizontal, TOP + each * names.index(name) + shift, figure.kind)
                 for name in names if name in rows]  # fmt: skip
        parts.append(f'<g class="{SERIES[place % len(SERIES)]}">{"".join(marks)}</g>')
    parts.append(
        f'<text class="q" x="{WIDTH - RIGHT}" y="{bottom + 31}" text-anchor="end">{escaped(figure.y)} →</text>'
    )
    legend, height = legend_of(figure, bottom + 46)
    return "".join([*parts, legend]), height, WIDTH


def _row_mark(place: int, point: Sequence[Any], horizontal: Axis, y: float, kind: str) -> str:
    _, value, low, high = point
    if value is None:
        return ""
    whisker = (
        "" if low is None or high is None else f'<path d="M{horizontal(low):.1f} {y:.1f}H{horizontal(high):.1f}"/>'
    )
    zero = horizontal(0.0) if kind == "bars" else 0.0
    bar = (
        f'<path class="bar" d="M{zero:.1f} {y - 3:.1f}H{horizontal(value):.1f}v6H{zero:.1f}z"/>'
        if kind == "bars"
        else ""
    )
    return bar + whisker + mark(place, horizontal(value), y)


def _matrix(figure: Figure, y: tuple[float, float]) -> tuple[str, float, int]:
    """Draw cells with their values and intervals, coloured from the least to the greatest value that there is."""
    columns = names_along(figure)
    size, left = 74, NAME
    values = [point[1] for series in figure.series for point in series.points if point[1] is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    parts = []
    for column, name in enumerate(columns):
        x = left + size * (column + 0.5)
        parts.append(f'<text x="{x:.1f}" y="16" text-anchor="middle">{escaped(shortened(name, size))}</text>')
    for row, series in enumerate(figure.series):
        top = 24 + 34 * row
        parts.append(
            f'<text x="{left - 6}" y="{top + 20}" text-anchor="end">{escaped(shortened(series.name, left - 8))}</text>'
        )
        cells = {str(point[0]): point for point in series.points}
        for column, name in enumerate(columns):
            if name in cells:
                parts.append(_cell(cells[name], left + size * column, top, size, (low, high)))
    bottom = 24 + 34 * len(figure.series)
    scale = (
        f"colour: {number(low)} (lightest) to {number(high)} (darkest) {figure.y}" if values else "nothing is defined"
    )
    parts.append(f'<text class="q" x="{left}" y="{bottom + 16}">{escaped(scale)}</text>')
    parts.append(f'<text class="q" x="{left}" y="{bottom + 32}">across: {escaped(figure.x)}</text>')
    return "".join(parts), bottom + 40, max(WIDTH, left + size * len(columns) + 4)


def _cell(point: Sequence[Any], left: float, top: float, size: float, scale: tuple[float, float]) -> str:
    _, value, low, high = point
    middle = left + size / 2
    if value is None:
        return f'<text class="q" x="{middle}" y="{top + 20}" text-anchor="middle">–</text>'
    share = (value - scale[0]) / (scale[1] - scale[0]) if scale[1] > scale[0] else 0.5
    place = f'x="{left + 1}" y="{top}" width="{size - 2}" height="32"'
    box = f'<rect class="cell" {place} fill-opacity="{0.04 + 0.3 * share:.2f}"/>'
    reach = interval(low, high)
    lines = [(15, number(value), "")] + ([(27, reach, ' class="i"')] if reach else [])
    lines = lines if reach else [(21, number(value), "")]
    return box + "".join(
        f'<text{style} x="{middle}" y="{top + dy}" text-anchor="middle">{text}</text>' for dy, text, style in lines
    )


def _shown(figure: Figure) -> Iterable[float]:
    for series in figure.series:
        for point in series.points:
            yield from (float(value) for value in point[1:4] if value is not None)
    yield from (level.y for level in figure.levels)
    if figure.band is not None:
        yield from (figure.band.low, figure.band.high)
