"""Curves of r: against the layer, and against the minutes learned from. Only what was measured is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tractprobe.corpora.languages import is_language
from tractprobe.encoders.layers import Label, order
from tractprobe.evidence.tables.table import LayerTable
from tractprobe.runs.estimate import Estimate
from tractprobe.signals.figures import new_figure, wrapped
from tractprobe.system.printable import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart; then the same with broken lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", ":", "-.")
_WIDTH, _LEGEND = 7.2, 8  # inches, points
_MOST_LANGUAGES = 8  # that a note names
_LINE_OF_TEXT = 0.045  # of the height of a picture


@dataclass(frozen=True)
class Common:
    """Tables over what all of them were tested on, and what a reader has to know if that is not all of it."""

    tables: list[LayerTable]
    note: str = ""


@dataclass(frozen=True)
class _Line:
    """What is drawn in one colour: layers as points, or what has no layer as a level."""

    table: LayerTable
    layers: Sequence[Label]
    is_level: bool = False

    @property
    def cells(self) -> list[Estimate]:
        return [self.table.cells[layer, self.table.columns[-1]] for layer in self.layers]

    @property
    def side_by_side(self) -> str:
        return f", layers {self.layers[0]}" if isinstance(self.layers[0], str) else ""

    @property
    def label(self) -> str:
        speakers = max(cell.n for cell in self.cells)
        label = one_line(f"{self.table.name}{self.side_by_side} ({self.table.columns[-1]}, n={speakers})")
        return wrapped(label, _WIDTH, _LEGEND)


def in_common(tables: Sequence[LayerTable]) -> Common:
    """Return tables over the speakers and languages that all of them have, so that their levels can be compared."""
    tested = [table.tested for table in tables]
    common = set.intersection(*tested)
    if all(own == common for own in tested):
        return Common(list(tables))
    if not common:
        return Common(list(tables), "tested on different speakers or languages: levels cannot be compared")
    common = {unit for unit in common if is_language(unit[0])} or common  # which means are over
    languages = sorted({language for language, _ in common})
    named = ", ".join(languages) if len(languages) <= _MOST_LANGUAGES else f"{len(languages)} languages"
    speakers = len({speaker for _, speaker in common})
    note = one_line(f"over what all were tested on: {named}; {speakers} speakers")
    return Common([table.over(common) for table in tables], note)


def layer_curves(tables: Sequence[LayerTable]) -> "Figure":
    """Draw the mean of each table against the layer, with 95 % intervals, over what all tables were tested on.

    A point is a layer that was measured, and lines join neighbours only. What has no place on the axis, such as a
    spectrum beside deeper encoders or several layers side by side, is a level line with its name.
    """
    compared = in_common(tables)
    spectrum_is_level = any(type(layer) is int for table in tables if not table.is_level for layer in table.layers)
    lines = [line for table in compared.tables for line in _lines(table, spectrum_is_level)]
    figure = new_figure(_WIDTH, 4.2 + 0.15 * sum(1 + line.label.count("\n") for line in lines))
    axes = figure.subplots()
    for number, line in enumerate(lines):
        colour, dash = COLOURS[number % len(COLOURS)], _DASHES[number // len(COLOURS) % len(_DASHES)]
        draw = _draw_level if line.is_level else _draw_points
        draw(axes, line, {"color": colour, "linestyle": dash})
    levels = [(line, COLOURS[number % len(COLOURS)]) for number, line in enumerate(lines) if line.is_level]
    _write_beside(axes, levels)
    _mark_layers(axes, [layer for line in lines if not line.is_level for layer in line.layers])
    axes.set(ylabel="r (mean, 95 % interval)")
    axes.set_title(compared.note, fontsize=9)
    axes.grid(alpha=0.3)
    if lines:
        figure.legend(loc="outside lower center", fontsize=_LEGEND, frameon=False)
    return figure


def _lines(table: LayerTable, spectrum_is_level: bool) -> list[_Line]:
    """Return single layers together, and each combination side by side by itself."""
    there = [layer for layer in table.layers if (layer, table.columns[-1]) in table.cells]
    single = [layer for layer in there if isinstance(layer, int)]
    lines = [_Line(table, single, spectrum_is_level and table.is_level)] if single else []
    return lines + [_Line(table, [layer], is_level=True) for layer in there if isinstance(layer, str)]


def _draw_points(axes: "Axes", line: _Line, style: Mapping[str, Any]) -> None:
    layers, means = np.array(line.layers, float), np.array([cell.mean for cell in line.cells])
    _draw_intervals(axes, layers, line.cells, style["color"])
    gaps = np.flatnonzero(np.diff(layers) != 1) + 1
    x, y = (np.insert(values, gaps, np.nan) for values in (layers, means))
    axes.plot(x, y, marker="o", markersize=4, label=line.label, **style)


def _draw_level(axes: "Axes", line: _Line, style: Mapping[str, Any]) -> None:
    (cell,) = line.cells
    axes.axhline(cell.mean, label=line.label, linewidth=1, **style)
    if cell.low is not None and cell.high is not None:
        axes.axhspan(cell.low, cell.high, color=style["color"], alpha=0.1, linewidth=0)


def _draw_intervals(axes: "Axes", x: Sequence[float] | np.ndarray, cells: Sequence[Estimate], colour: Any) -> None:
    """Draw the intervals that there are: a mean without one has no bar."""
    bars = [
        (place, cell.mean, max(0.0, cell.mean - cell.low), max(0.0, cell.high - cell.mean))  # but for rounding
        for place, cell in zip(x, cells, strict=True)
        if cell.low is not None and cell.high is not None
    ]
    if bars:
        places, means, below, above = np.array(bars).T
        axes.errorbar(places, means, yerr=(below, above), fmt="none", ecolor=colour, elinewidth=1, capsize=2, alpha=0.5)


def _write_beside(axes: "Axes", levels: Sequence[tuple[_Line, str]]) -> None:
    """Write the names of levels beside the right end of their lines, one above the other where they are close."""
    low, high = axes.get_ylim()
    free_from = -np.inf
    for line, colour in sorted(levels, key=lambda level: level[0].cells[0].mean):
        height = max((line.cells[0].mean - low) / (high - low), free_from)
        name = one_line(line.table.model + line.side_by_side)
        axes.text(1.01, height, name, color=colour, fontsize=7, va="center", transform=axes.transAxes)
        free_from = height + _LINE_OF_TEXT


def _mark_layers(axes: "Axes", layers: Sequence[Label]) -> None:
    """Label the axis with layers from the first to the last that was measured, or with nothing if there is none."""
    from matplotlib.ticker import MaxNLocator

    numbers = [layer for layer in layers if isinstance(layer, int)]
    if not numbers:
        axes.set_xticks([])
        return
    axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set(xlabel="layer")


def data_size_curves(tables: Sequence[LayerTable]) -> "Figure":
    """Draw the mean of each table against the minutes learned from, a line for each layer; "all" stands by itself."""
    from matplotlib import colormaps

    compared = in_common(tables)
    limited = sorted((table for table in compared.tables if table.train_min is not None), key=_minutes)
    unlimited = [table for table in compared.tables if table.train_min is None]
    minutes = sorted({_minutes(table) for table in limited})
    layers = sorted({layer for table in tables for layer in table.layers}, key=order)
    title = one_line(f"{tables[0].family} ({compared.tables[0].columns[-1]})")
    title = "\n".join(filter(None, [wrapped(title, _WIDTH), compared.note]))
    figure = new_figure(_WIDTH, 4.0 + 0.15 * (1 + title.count("\n")))
    axes = figure.subplots()
    for number, layer in enumerate(layers):
        colour = colormaps["viridis"](number / max(1, len(layers) - 1) * 0.9)
        axes.plot([], [], "o-", markersize=4, color=colour, label=f"layer {layer}")
        for part in (limited, unlimited):
            there = [table for table in part if (layer, table.columns[-1]) in table.cells]
            cells = [table.cells[layer, table.columns[-1]] for table in there]
            x = [table.train_min or _place_of_all(minutes) for table in there]
            axes.plot(x, [cell.mean for cell in cells], "o-", markersize=4, color=colour)
            _draw_intervals(axes, x, cells, colour) if cells else None
    axes.set_xscale("log")
    ticks = [(value, f"{value:g}") for value in minutes] + [(_place_of_all(minutes), "all")] * bool(unlimited)
    axes.set_xticks(*zip(*ticks, strict=True), minor=False)
    axes.set_xticks([], minor=True)
    axes.set(xlabel="minutes learned from", ylabel="r (mean, 95 % interval)")
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    return figure


def _minutes(table: LayerTable) -> float:
    assert table.train_min is not None
    return table.train_min


def _place_of_all(minutes: Sequence[float]) -> float:
    """Return where "all" stands, which no line joins to the others: how many minutes these are, no table says."""
    return minutes[-1] * 1.6
