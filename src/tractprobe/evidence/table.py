"""Run directories in, one tidy table out: the scores of each run, and layer x language means with intervals."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tractprobe.encoders.layers import Label, order
from tractprobe.evidence.condition import Condition
from tractprobe.runs.estimate import Estimate, mean_over_speakers, point_over_speakers
from tractprobe.runs.result import METRICS, RESULT, RUN_FIELDS, SCORE_FIELDS, Row, read_result, speaker_means
from tractprobe.system.errors import RunError
from tractprobe.system.files import atomic, digest

TRAIN_MIN = "split.train_min"


def collect(runs: Path) -> list[Row]:
    """Return the score rows of every finished run below a folder, each with what tells its run from others.

    ``material`` names encoder and corpora by their content; ``own_scale`` marks mm that rest on a speaker's test
    frames.
    """
    folders = sorted(path.parent for path in runs.rglob(RESULT)) if runs.is_dir() else []
    if not folders:
        raise RunError(f"no finished run below {runs}")
    return [row for folder in folders for row in tidy(folder.relative_to(runs).as_posix(), read_result(folder))]


def tidy(run: str, result: Mapping[str, Any]) -> list[Row]:
    """Return a result's rows as ``collect`` does."""
    identity, own_scale = result["identity"], set(result.get("scaled_by_own_test_frames", ()))
    labels = {"run": run, **{name: identity[name] for name in RUN_FIELDS[1:]}}
    labels["material"] = digest([identity["encoder"], identity["corpora"]])[:6]
    differences = identity.get("differences", {})
    labels["settings"] = Condition.of(differences)
    labels["train_min"] = differences.get(TRAIN_MIN)
    return [
        labels | {"own_scale": row["speaker"] in own_scale} | {name: row[name] for name in SCORE_FIELDS}
        for row in result["scores"]
    ]


def printed(folder: Path, result: Mapping[str, Any]) -> str:
    """Return a result's tables as text."""
    return "\n".join(map(str, layer_tables(tidy(folder.name, result))))


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write the tidy table, one row per run, layer, speaker and channel; undefined scores are empty."""
    with atomic(path) as temporary:
        temporary.write_text(csv_text(rows), encoding="utf-8", newline="")


def csv_text(rows: Sequence[Row]) -> str:
    """Return rows as CSV, under the names that the first one has."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def layer_means(rows: Sequence[Row]) -> dict[Label, dict[str, float]]:
    """Return each layer's means over speakers, then languages: r of each channel and of all, and the errors.

    Those of positions are called ``test/r/mean``, those of other targets ``test/source/r/mean`` and so on.
    """
    means: dict[Label, dict[str, float]] = {}
    for layer, target in dict.fromkeys((row["layer"], row["target"]) for row in rows):
        same = [row for row in rows if (row["layer"], row["target"]) == (layer, target)]
        stage = "test" if target == "ema" else f"test/{target}"
        metrics = {f"{stage}/{metric}/mean": speaker_means(same, metric) for metric in _averaged(same)}
        for name in ("channel", "language"):
            for value in dict.fromkeys(row[name] for row in same):
                metrics[f"{stage}/r/{value}"] = speaker_means(row for row in same if row[name] == value)
        averages = {name: point_over_speakers(values) for name, values in metrics.items() if values}
        means.setdefault(layer, {}).update(averages)
    return means


def _averaged(rows: Sequence[Row]) -> list[str]:
    """Return the metrics that can be averaged over the rows' channels: errors in different units cannot."""
    return [metric for metric in METRICS if metric != "rmse" or len({row["unit"] for row in rows}) == 1]


@dataclass(frozen=True)
class LayerTable:
    """One model and head under one kind of split: layers down, held-out values across, then their mean.

    Tables of one ``family`` differ in ``train_min`` only, the minutes learned from; ``None``: all.
    """

    title: str
    columns: tuple[str, ...]
    cells: Mapping[tuple[Label, str], Estimate]
    own_scale: tuple[str, ...] = ()
    target: str = "ema"
    train_min: float | None = None
    family: str = ""

    @property
    def probe(self) -> str:
        """Model and head, with what else distinguishes them."""
        return self.title.removesuffix(", n speakers").replace(": r by held-out ", ", by ")

    @property
    def held_out(self) -> tuple[str, ...]:
        """The held-out values, without their mean."""
        return self.columns[:-1] if len(self.columns) > 1 else self.columns

    @property
    def layers(self) -> list[Label]:
        """The table's layers: single ones, then those side by side."""
        return sorted({layer for layer, _ in self.cells}, key=order)

    def rows(self) -> list[Row]:
        """Return a row for each cell."""
        return [
            {"layer": layer, "held_out": column, "mean": cell.mean, "low": cell.low, "high": cell.high, "n": cell.n}
            for (layer, column), cell in sorted(self.cells.items(), key=lambda item: (order(item[0][0]), item[0][1]))
        ]

    def __str__(self) -> str:
        lines = [["layer", *self.columns]]
        for layer in self.layers:
            lines.append([str(layer), *(str(self.cells.get((layer, column), "")) for column in self.columns)])
        lines.append(["n", *(str(self._speakers(column)) for column in self.columns)])
        widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
        padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
        text = [self.title, *("  ".join(cells).rstrip() for cells in padded)]
        if self.own_scale:
            text.append(
                f"mm of {', '.join(self.own_scale)} by their own test frames, there being no others; r is unaffected"
            )
        return "\n".join(text)

    def _speakers(self, column: str) -> int:
        return max((cell.n for (_, name), cell in self.cells.items() if name == column), default=0)


def layer_tables(rows: Sequence[Row]) -> list[LayerTable]:
    """Return a table for each model, head, split, target and other settings, and each version of data and encoder."""
    kinds: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        suffix = row["run"].rpartition("/")[2].partition("-")[2]
        kind = (row["model"], row["head"], row["split"], row["target"], suffix, row["material"])
        kinds.setdefault(kind, []).append(row)
    named = Counter(kind[:-1] for kind in kinds)
    return [_layer_table(kind, same, show_material=named[kind[:-1]] > 1) for kind, same in sorted(kinds.items())]


def _layer_table(kind: tuple[str, ...], rows: Sequence[Row], *, show_material: bool) -> LayerTable:
    model, head, split, target, suffix, material = kind
    held_out = sorted({str(row["held_out"]) for row in rows})
    columns = (*held_out, "mean") if len(held_out) > 1 else tuple(held_out)
    cells = {}
    for layer in {row["layer"] for row in rows}:
        same = [row for row in rows if row["layer"] == layer]
        for column in columns:
            values = speaker_means(row for row in same if column in ("mean", str(row["held_out"])))
            if values:
                cells[layer, column] = mean_over_speakers(values)
    notes = [f"{suffix}: {rows[0]['settings']}" if rows[0]["settings"] else f"settings {suffix}"] if suffix else []
    notes += [f"data and encoder {material}"] if show_material else []
    what = "r" if target == "ema" else f"r of {target}"
    title = f"{model}, {head}: {what} by held-out {split}" + (f" ({', '.join(notes)})" if notes else "")
    own_scale = tuple(sorted({row["speaker"] for row in rows if row["own_scale"]}))
    others = str(rows[0]["settings"].without(TRAIN_MIN))
    family = " ".join([f"{model}, {head}: {what} by held-out {split}", others, *notes[bool(suffix) :]]).strip()
    return LayerTable(f"{title}, n speakers", columns, cells, own_scale, target, rows[0]["train_min"], family)


def transfer(rows: Sequence[Row]) -> list[Row]:
    """Return r of each model, head and held-out value, at the layer that is best for the other values.

    So no layer is chosen by what it is scored on. Where only one value was held out, only a single layer has a row.
    """
    r_of_probes = []
    for table in layer_tables([row for row in rows if row["target"] == "ema"]):
        for column in (columns := table.held_out):
            layer = _best_layer(table, [other for other in columns if other != column])
            if layer is not None and (cell := table.cells.get((layer, column))) is not None:
                labels = {"probe": table.probe, "held_out": column, "layer": layer}
                r_of_probes.append(labels | {"r": cell.mean, "low": cell.low, "high": cell.high, "n": cell.n})
    return r_of_probes


def _best_layer(table: LayerTable, columns: Sequence[str]) -> Label | None:
    if len(table.layers) == 1:
        return table.layers[0]
    cells = {layer: [table.cells.get((layer, column)) for column in columns] for layer in table.layers}
    r = {layer: sum(cell.mean for cell in own if cell) for layer, own in cells.items() if own and all(own)}
    return max(r, key=lambda layer: r[layer]) if r else None
