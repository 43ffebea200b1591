"""Pictures of tables: r against layer, and layer x what was held out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tractprobe.figures import new_figure, png
from tractprobe.files import atomic, file_safe
from tractprobe.layers import Label
from tractprobe.results import LayerTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers; then again with broken lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", ":", "-.")


def write_pictures(tables: Sequence[LayerTable], folder: Path) -> list[Path]:
    """Draw tables into a folder as ``layers*.png``, one for each target, and ``matrix-<table>.png``; return the files.

    Tables of one target share a picture, so that models can be compared.
    """
    pictures = {}
    for target in dict.fromkeys(table.target for table in tables):
        name = "layers" if target == "ema" else f"layers-{target}"
        pictures[name] = layer_curves([table for table in tables if table.target == target])
    for table in tables:
        if len(table.columns) > 1:
            pictures[f"matrix-{file_safe(_name(table).replace('/', '-'))}"] = layer_matrix(table)
    for name, figure in pictures.items():
        with atomic(folder / f"{name}.png") as temporary:
            temporary.write_bytes(png(figure))
    return [folder / f"{name}.png" for name in pictures]


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
        single = len(layers) == 1  # a spectrum: no curve, a level to compare with
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


def _lines(table: LayerTable) -> list[list[Label]]:
    """Return the layers of each line: the single ones together, each of several side by side by itself."""
    there = [layer for layer in table.layers if (layer, table.columns[-1]) in table.cells]
    curve: list[Label] = [layer for layer in there if isinstance(layer, int)]
    return [line for line in (curve, *([layer] for layer in there if isinstance(layer, str))) if line]


def layer_matrix(table: LayerTable) -> "Figure":
    """Draw a table's means as colours with their numbers, layers down and what was held out across."""
    layers = table.layers
    values = np.array([[_mean(table, layer, column) for column in table.columns] for layer in layers])
    figure = new_figure(1.6 + 0.75 * len(table.columns), 1.3 + 0.34 * len(layers))
    axes = figure.subplots()
    image = axes.imshow(values, aspect="auto", cmap="cividis", vmin=min(0.0, float(np.nanmin(values))), vmax=1)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "black" if value > 0.55 else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(table.columns)), table.columns)
    axes.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    axes.set(ylabel="layer")
    axes.set_title(_name(table), fontsize=9)
    figure.colorbar(image, label="r")
    return figure


def _mean(table: LayerTable, layer: Label, column: str) -> float:
    cell = table.cells.get((layer, column))
    return float("nan") if cell is None else cell.mean


def _name(table: LayerTable) -> str:
    return table.title.removesuffix(", n speakers")
