"""Pictures: r against layer, layer or model x held-out value, and predicted over measured trajectories."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tractprobe.encoders.layers import Label
from tractprobe.evidence.table import LayerTable
from tractprobe.runs.result import Row
from tractprobe.signals.figures import new_figure, png
from tractprobe.system.files import atomic, file_safe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart; then the same with broken lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", ":", "-.")


def write_pictures(tables: Sequence[LayerTable], folder: Path) -> list[Path]:
    """Draw tables into a folder; return the files (see ``drawings``)."""
    return [write_picture(folder / name, draw()) for name, draw in drawings(tables).items()]


def drawings(tables: Sequence[LayerTable]) -> dict[str, Callable[[], "Figure"]]:
    """Return the file name of each picture of some tables, and what draws it.

    ``layers*.png``, one for each target, so that models can be compared; ``matrix-<table>.png``; and ``minutes-*.png``
    where tables differ in the minutes learned from.
    """
    pictures: dict[str, Callable[[], Figure]] = {}
    for target in dict.fromkeys(table.target for table in tables):
        name = "layers" if target == "ema" else f"layers-{target}"
        pictures[name] = partial(layer_curves, [table for table in tables if table.target == target])
    for table in tables:
        if len(table.columns) > 1:
            pictures[f"matrix-{file_safe(_name(table).replace('/', '-'))}"] = partial(layer_matrix, table)
    for family in dict.fromkeys(table.family for table in tables):
        sizes = [table for table in tables if table.family == family]
        if len({table.train_min for table in sizes}) > 1:
            pictures[f"minutes-{file_safe(family.replace('/', '-'))}"] = partial(data_size_curves, sizes)
    return {f"{name}.png": draw for name, draw in pictures.items()}


def write_picture(path: Path, figure: "Figure") -> Path:
    """Write a figure as PNG; return the file."""
    with atomic(path) as temporary:
        temporary.write_bytes(png(figure))
    return path


def layer_curves(tables: Sequence[LayerTable]) -> "Figure":
    """Draw the last column of each table against the layer, with its 95 % interval; layers side by side as a level."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(7.2, 4.2)
    axes = figure.subplots()
    lines = [(table, layers) for table in tables for layers in _lines(table)]
    last = max(1, *(layer for table in tables for layer in table.layers if isinstance(layer, int)), 1)
    for number, (table, layers) in enumerate(lines):
        column = table.columns[-1]
        cells = [table.cells[layer, column] for layer in layers]
        colour, dash = _COLOURS[number % len(_COLOURS)], _DASHES[number // len(_COLOURS) % len(_DASHES)]
        together = f", layers {layers[0]}" if isinstance(layers[0], str) else ""
        label = f"{_name(table)}{together} ({column}, n={max(cell.n for cell in cells)})"
        single = len(layers) == 1  # such as a spectrum: a level to compare with, not a curve
        x = [0, last] if single else layers
        means = np.array([cell.mean for cell in cells] * (2 if single else 1))
        axes.plot(x, means, dash, color=colour, label=label, marker=None if single else "o", markersize=4)
        low = [cell.mean if cell.low is None else cell.low for cell in cells] * (2 if single else 1)
        high = [cell.mean if cell.high is None else cell.high for cell in cells] * (2 if single else 1)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="layer", ylabel="r (mean, 95 % interval)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", fontsize=8, frameon=False)
    return figure


def data_size_curves(tables: Sequence[LayerTable]) -> "Figure":
    """Draw the last column of each table against the minutes learned from, a line for each layer."""
    from matplotlib import colormaps

    minutes = sorted(table.train_min for table in tables if table.train_min is not None)
    everything = minutes[-1] * 1.6  # where "all" stands
    tables = sorted(tables, key=lambda table: table.train_min or np.inf)
    figure = new_figure(7.2, 4.2)
    axes = figure.subplots()
    layers = tables[0].layers
    for number, layer in enumerate(layers):
        there = [table for table in tables if (layer, table.columns[-1]) in table.cells]
        cells = [table.cells[layer, table.columns[-1]] for table in there]
        x = [table.train_min or everything for table in there]
        colour = colormaps["viridis"](number / max(1, len(layers) - 1) * 0.9)
        axes.plot(x, [cell.mean for cell in cells], "o-", markersize=4, color=colour, label=f"layer {layer}")
        low, high = ([getattr(cell, end) for cell in cells] for end in ("low", "high"))
        if None not in low:
            axes.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
    axes.set_xscale("log")
    ticks = [(value, f"{value:g}") for value in minutes] + [(everything, "all")] * (tables[-1].train_min is None)
    axes.set_xticks(*zip(*ticks, strict=True), minor=False)
    axes.set_xticks([], minor=True)
    axes.set(xlabel="minutes learned from", ylabel="r (mean, 95 % interval)")
    axes.set_title(f"{tables[0].family} ({tables[0].columns[-1]})", fontsize=9)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    return figure


def _lines(table: LayerTable) -> list[list[Label]]:
    """Return the layers of each line: single layers together, and each combination side by side by itself."""
    there = [layer for layer in table.layers if (layer, table.columns[-1]) in table.cells]
    curve: list[Label] = [layer for layer in there if isinstance(layer, int)]
    levels: list[list[Label]] = [[layer] for layer in there if isinstance(layer, str)]
    return [line for line in (curve, *levels) if line]


def layer_matrix(table: LayerTable) -> "Figure":
    """Draw a table's means as colours with their numbers, layers down and held-out values across."""
    layers = table.layers
    values = np.array([[_mean(table, layer, column) for column in table.columns] for layer in layers])
    figure = _matrix(values, [str(layer) for layer in layers], table.columns, _name(table))
    figure.axes[0].set(ylabel="layer")
    return figure


def model_matrix(rows: Sequence[Row]) -> "Figure":
    """Draw rows of ``table.transfer`` as colours with their numbers, models down and held-out values across."""
    r = {(row["probe"], row["held_out"]): row["r"] for row in rows}
    probes, columns = list(dict.fromkeys(probe for probe, _ in r)), sorted({column for _, column in r})
    values = np.array([[r.get((probe, column), np.nan) for column in columns] for probe in probes])
    return _matrix(values, probes, columns, "r, layer chosen on the other columns")


def prediction_curves(
    times_s: np.ndarray, predicted: np.ndarray, truth: np.ndarray, channels: Sequence[str], title: str
) -> "Figure":
    """Draw predictions over truth, (time, channel), one channel above another, each scaled by its truth's range."""
    figure = new_figure(7.2, 0.5 + 0.42 * len(channels))
    axes = figure.subplots()
    measured = [index for index in range(len(channels)) if np.isfinite(truth[:, index]).any()]
    for height, index in enumerate(measured):
        low, high = np.nanmin(truth[:, index]), np.nanmax(truth[:, index])
        for values, colour, label in ((truth, "#000000", "measured"), (predicted, _COLOURS[1], "predicted")):
            trajectory = (values[:, index] - (low + high) / 2) / max(high - low, 1e-9) - 1.2 * height
            axes.plot(times_s, trajectory, color=colour, linewidth=1, label=None if height else label)
    axes.set_yticks([-1.2 * height for height in range(len(measured))], [channels[index] for index in measured])
    axes.set(xlabel="s")
    axes.set_title(title, fontsize=9)
    figure.legend(loc="outside upper right", fontsize=8, frameon=False, ncols=2)
    return figure


def _matrix(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str) -> "Figure":
    widest = max(len(row) for row in rows)
    figure = new_figure(1.4 + 0.07 * widest + 0.75 * len(columns), 1.3 + 0.34 * len(rows))
    axes = figure.subplots()
    image = axes.imshow(values, aspect="auto", cmap="cividis", vmin=min(0.0, float(np.nanmin(values))), vmax=1)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "black" if value > 0.55 else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title(title, fontsize=9)
    figure.colorbar(image, label="r")
    return figure


def _mean(table: LayerTable, layer: Label, column: str) -> float:
    cell = table.cells.get((layer, column))
    return float("nan") if cell is None else cell.mean


def _name(table: LayerTable) -> str:
    return table.title.removesuffix(", n speakers")
