"""Pictures: r against layer, layer or model x held-out value, and predicted over measured trajectories."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tractprobe.encoders.layers import Label
from tractprobe.evidence.tables.curves import COLOURS, data_size_curves, layer_curves
from tractprobe.evidence.tables.table import LayerTable
from tractprobe.runs.result import Row
from tractprobe.signals.figures import new_figure, png, wrapped
from tractprobe.system.files import atomic, digest, file_safe
from tractprobe.system.printable import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST_NAME = 180  # of 255 bytes: a temporary file beside a picture has a longer name, and W&B's copy, too


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
            pictures[f"matrix-{table.name}"] = partial(layer_matrix, table)
    for family in dict.fromkeys(table.family for table in tables):
        sizes = [table for table in tables if table.family == family]
        if len({table.train_min for table in sizes}) > 1:
            pictures[f"minutes-{family}"] = partial(data_size_curves, sizes)
    files: dict[str, Callable[[], Figure]] = {}
    for title, draw in pictures.items():
        name = _file_name(title)
        files[f"{name}-{digest(title)[:8]}.png" if f"{name}.png" in files else f"{name}.png"] = draw
    return files


def _file_name(title: str) -> str:
    """Return a title as a name that file systems take, with all that is put around it."""
    name = file_safe(title.replace("/", "-"))
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}...{digest(title)[:8]}"


def write_picture(path: Path, figure: "Figure") -> Path:
    """Write a figure as PNG; return the file."""
    with atomic(path) as temporary:
        temporary.write_bytes(png(figure))
    return path


def layer_matrix(table: LayerTable) -> "Figure":
    """Draw a table's means as colours with their numbers, layers down and held-out values across."""
    layers = table.layers
    values = np.array([[_mean(table, layer, column) for column in table.columns] for layer in layers])
    figure = _matrix(values, [str(layer) for layer in layers], table.columns, table.name)
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
        for values, colour, label in ((truth, "#000000", "measured"), (predicted, COLOURS[1], "predicted")):
            trajectory = (values[:, index] - (low + high) / 2) / max(high - low, 1e-9) - 1.2 * height
            axes.plot(times_s, trajectory, color=colour, linewidth=1, label=None if height else label)
    axes.set_yticks([-1.2 * height for height in range(len(measured))], [channels[index] for index in measured])
    axes.set(xlabel="s")
    axes.set_title(title, fontsize=9)
    figure.legend(loc="outside upper right", fontsize=8, frameon=False, ncols=2)
    return figure


def _matrix(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str) -> "Figure":
    rows, columns = list(map(one_line, rows)), list(map(one_line, columns))
    width = 1.4 + 0.07 * max(map(len, rows)) + 0.75 * len(columns)
    title = wrapped(one_line(title), width)
    figure = new_figure(width, 1.3 + 0.34 * len(rows) + 0.15 * title.count("\n"))
    axes = figure.subplots()
    image = axes.imshow(values, aspect="auto", cmap="cividis", vmin=min(0.0, np.nan_to_num(values).min()), vmax=1)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "black" if value > 0.55 else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    figure.suptitle(title, fontsize=9)
    figure.colorbar(image, label="r")
    return figure


def _mean(table: LayerTable, layer: Label, column: str) -> float:
    cell = table.cells.get((layer, column))
    return float("nan") if cell is None else cell.mean
