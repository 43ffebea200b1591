"""Layer x held-out means with intervals: a table for each kind of run."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tractprobe.corpora.languages import NO_LANGUAGE, is_language
from tractprobe.encoders.layers import Label, order
from tractprobe.evidence.tables.means import Mean, apart
from tractprobe.evidence.tables.rows import TRAIN_MIN, tidy
from tractprobe.runs.estimate import Estimate, point_over_speakers
from tractprobe.runs.result import METRICS, Row, speaker_means
from tractprobe.system.printable import one_line

MEAN, POOLED = "mean", "pooled"
"""The last column, over all held-out values: of folds of sentences over all their frames."""

_KIND = ("model", "head", "split", "target", "variant", "material", "at_once")
_MOST_NAMED = 8


def printed(folder: Path, result: Mapping[str, Any]) -> str:
    """Return a result's tables as text."""
    return "\n".join(map(str, layer_tables(tidy(folder.name, result))))


def layer_means(rows: Sequence[Row]) -> dict[Label, dict[str, float]]:
    """Return each layer's means over speakers, then languages: r of each channel and of all, and the errors.

    Those of positions are called ``test/r/mean``, those of other targets ``test/source/r/mean`` and so on.
    ``test/r/undefined``, where it exists, is the number of rows without an r.
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
        if undefined := sum(row["r"] is None for row in same):
            averages[f"{stage}/r/undefined"] = undefined
        means.setdefault(layer, {}).update(averages)
    return means


def _averaged(rows: Sequence[Row]) -> list[str]:
    """Return the metrics that can be averaged over the rows' channels: errors in different units cannot."""
    return [metric for metric in METRICS if metric != "rmse" or len({row["unit"] for row in rows}) == 1]


@dataclass(frozen=True)
class LayerTable:
    """One model and head under one kind of split: layers down, held-out values across, then their mean.

    Tables of one ``family`` differ in ``train_min`` only, the minutes learned from; ``None``: all.

    Attributes
    ----------
    score_rows
        What the means are over.
    """

    title: str
    score_rows: tuple[Row, ...]
    family: str = ""

    @cached_property
    def held_out(self) -> tuple[str, ...]:
        """The held-out values, without their mean; folds in the order of their numbers."""
        return tuple(sorted({str(row["held_out"]) for row in self.score_rows}, key=natural))

    @property
    def columns(self) -> tuple[str, ...]:
        """The held-out values, and their mean if there are several."""
        over_all = POOLED if self._is_of_folds else MEAN
        return (*self.held_out, over_all) if len(self.held_out) > 1 else self.held_out

    @property
    def _is_of_folds(self) -> bool:
        """Whether the same speaker is tested in the same language in several runs, as with folds of sentences."""
        if self.score_rows[0]["split"] in ("language", "speaker", "corpus"):
            return False
        held_out: dict[tuple[str, str], set[str]] = {}
        for row in self.score_rows:
            held_out.setdefault((row["language"], row["speaker"]), set()).add(str(row["held_out"]))
        return self.score_rows[0]["split"] == "sentence" or any(len(values) > 1 for values in held_out.values())

    @cached_property
    def means(self) -> dict[tuple[Label, str], Mean]:
        """The mean of each layer and column for which there are rows."""
        by_cell: dict[tuple[Label, str], list[Row]] = {}
        for row in self.score_rows:
            for column in {str(row["held_out"]), self.columns[-1]}:
                by_cell.setdefault((row["layer"], column), []).append(row)
        return {cell: Mean.of(rows) for cell, rows in by_cell.items()}

    @cached_property
    def cells(self) -> dict[tuple[Label, str], Estimate]:
        """The means that are defined."""
        return {cell: mean.estimate for cell, mean in self.means.items() if mean.estimate is not None}

    @property
    def target(self) -> str:
        """What was decoded."""
        return self.score_rows[0]["target"]

    @property
    def train_min(self) -> float | None:
        """The minutes learned from; ``None``: all."""
        return self.score_rows[0]["train_min"]

    @property
    def is_level(self) -> bool:
        """Whether the encoder has a single layer, as a spectrum has: a level to compare with."""
        return self.layers == [0] and self.score_rows[0]["at_once"]

    def over(self, tested: Collection[tuple[str, str]]) -> "LayerTable":
        """Return the table over some (language, speaker) alone."""
        rows = tuple(row for row in self.score_rows if (row["language"], row["speaker"]) in tested)
        return replace(self, score_rows=rows)

    @property
    def tested(self) -> set[tuple[str, str]]:
        """The (language, speaker) that the rows are of."""
        return {(row["language"], row["speaker"]) for row in self.score_rows}

    @property
    def name(self) -> str:
        """The title without what its last line counts."""
        return self.title.removesuffix(", n speakers")

    @property
    def model(self) -> str:
        """The encoder's short name."""
        return self.score_rows[0]["model"]

    @property
    def probe(self) -> str:
        """Model and head, with what else distinguishes them."""
        return self.name.replace(": r by held-out ", ", by ")

    @property
    def layers(self) -> list[Label]:
        """The table's layers: single ones, then those side by side."""
        return sorted({layer for layer, _ in self.means}, key=order)

    def rows(self) -> list[Row]:
        """Return a row for each cell that has a mean."""
        cells = sorted(self.means.items(), key=lambda item: (order(item[0][0]), natural(item[0][1])))
        return [
            {"layer": layer, "held_out": column, "mean": cell.mean, "low": cell.low, "high": cell.high, "n": cell.n,
             "rows": len(mean.rows), "undefined": len(mean.undefined)}
            for (layer, column), mean in cells if (cell := mean.estimate) is not None
        ]  # fmt: skip

    def __str__(self) -> str:
        lines = [["layer", *self.columns]]
        for layer in self.layers:
            lines.append([str(layer), *(self._cell(layer, column) for column in self.columns)])
        lines.append(["n", *(str(self._speakers(column)) for column in self.columns)])
        lines.append(["rows", *(self._rows(column) for column in self.columns)])
        return "\n".join([one_line(self.title), *aligned(lines), *map(one_line, self._notes())])

    def _cell(self, layer: Label, column: str) -> str:
        mean = self.means.get((layer, column))
        return "" if mean is None else "undefined" if mean.estimate is None else str(mean.estimate)

    def _speakers(self, column: str) -> int:
        return max((cell.n for (_, name), cell in self.cells.items() if name == column), default=0)

    def _rows(self, column: str) -> str:
        """Return how many rows a column's means are over, of how many if some are undefined."""
        means = [mean for (_, name), mean in self.means.items() if name == column]
        defined = sorted({len(mean.rows) - len(mean.undefined) for mean in means})
        count = "-".join(map(str, (defined[0], defined[-1]) if len(defined) > 1 else defined))
        return f"{count} of {max(len(mean.rows) for mean in means)}" if any(mean.undefined for mean in means) else count

    def _notes(self) -> list[str]:
        """Say what means are over, and what of it is undefined, averaged or on a scale of its own."""
        every = list(self.means.values())
        channels = max(mean.count("channel") for mean in every)
        seeds = max(mean.count("seed") for mean in every)
        notes = [f"rows: {channels} channels of each speaker in a language" + (f", {seeds} seeds" if seeds > 1 else "")]
        notes += self._undefined()
        if len({is_language(row["language"]) for row in self.score_rows}) > 1:
            notes.append(f"{NO_LANGUAGE} (no linguistic content) is no language: means over several languages omit it")
        if any(mean.averaged for mean in every):
            notes.append(
                "r of several folds is a mean of theirs, not r over all their frames: results of an earlier version do "
                "not hold what is pooled; remove them and run again"
            )
        if alone := sorted({name for cell in self.cells.values() if cell.n > 1 for name in cell.alone}):
            notes.append(f"a mean over {', '.join(alone)} has no interval: one speaker does not tell how others differ")
        if names := ", ".join(sorted({row["speaker"] for row in self.score_rows if row["own_scale"]})):
            notes.append(f"mm of {names} by their own test frames, there being no others; r is unaffected")
        return notes

    def _undefined(self) -> list[str]:
        """Say for which layers and columns the mean is not over all rows."""
        parts = []
        for (layer, column), mean in sorted(self.means.items(), key=lambda item: (order(item[0][0]), item[0][1])):
            if mean.undefined and column in self.held_out:
                lost = [*mean.without_any("channel"), *mean.without_any("speaker")]
                more = ", ..." if len(lost) > _MOST_NAMED else ""
                wholly = f" (all of {', '.join(lost[:_MOST_NAMED])}{more})" if lost else ""
                parts.append(f"layer {layer}, {column}: {len(mean.undefined)} of {len(mean.rows)}{wholly}")
        more = f"; and {len(parts) - _MOST_NAMED} more" if len(parts) > _MOST_NAMED else ""
        return [f"undefined r, left out of means: {'; '.join(parts[:_MOST_NAMED])}{more}"] if parts else []


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with aligned columns; what a cell says cannot end its line."""
    printed_lines = [[one_line(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*printed_lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in printed_lines
    ]


def natural(text: str) -> list[tuple[bool, int, str]]:
    """Return the key by which names are sorted as people do.

    >>> sorted(["fold10", "fold2", "fr"], key=natural)
    ['fold2', 'fold10', 'fr']
    """
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]+", text)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def layer_tables(rows: Sequence[Row]) -> list[LayerTable]:
    """Return a table for each kind of run.

    That is: model, head, split, target and other settings, each version of data and encoder, and layers that were
    fitted at once or in runs of their own. What directories are called plays no part.

    Raises
    ------
    RunError
        Two runs of a kind have results for the same layer, held-out value and seed.
    """
    kinds: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        kinds.setdefault(tuple(row[name] for name in _KIND), []).append(row)
    versions = Counter(kind[:5] for kind in dict.fromkeys(kind[:6] for kind in kinds))
    ways = Counter(kind[:6] for kind in kinds)
    return [
        _layer_table(kind, part, show_material=versions[kind[:5]] > 1, show_way=ways[kind[:6]] > 1)
        for kind, same in sorted(kinds.items())
        for part in apart(same)
    ]


def _layer_table(kind: tuple[Any, ...], rows: Sequence[Row], *, show_material: bool, show_way: bool) -> LayerTable:
    model, head, split, target, variant, material, at_once = kind
    settings = rows[0]["settings"]
    notes = [f"{variant}: {settings}" if settings else f"settings {variant}"] if variant else []
    further = [f"data and encoder {material}"] if show_material else []
    further += ["all layers in one run" if at_once else "layers in runs of their own"] if show_way else []
    what = f"{model}, {head}: {'r' if target == 'ema' else f'r of {target}'} by held-out {split}"
    title = what + (f" ({', '.join(notes + further)})" if notes + further else "")
    family = " ".join([what, str(settings.without(TRAIN_MIN)), *further]).strip()
    return LayerTable(f"{title}, n speakers", tuple(rows), family)


def transfer(rows: Sequence[Row]) -> list[Row]:
    """Return r of each model, head and held-out value, at the layer that is best for the other values.

    So no layer is chosen by what it is scored on. Where only one value was held out, only a single layer has a row.
    """
    r_of_probes = []
    for table in layer_tables([row for row in rows if row["target"] == "ema"]):
        for column in (columns := table.held_out):
            others = [other for other in columns if other != column]
            layer = _best_layer(table, [other for other in others if is_language(other)] or others)
            if layer is not None and (cell := table.cells.get((layer, column))) is not None:
                labels = {"probe": table.probe, "held_out": column, "layer": layer}
                r_of_probes.append(labels | {"r": cell.mean, "low": cell.low, "high": cell.high, "n": cell.n,
                                             "undefined": len(table.means[layer, column].undefined)})  # fmt: skip
    return r_of_probes


def _best_layer(table: LayerTable, columns: Sequence[str]) -> Label | None:
    if len(table.layers) == 1:
        return table.layers[0]
    cells = {layer: [table.cells.get((layer, column)) for column in columns] for layer in table.layers}
    r = {layer: sum(cell.mean for cell in own if cell) for layer, own in cells.items() if own and all(own)}
    return max(r, key=lambda layer: r[layer]) if r else None
