"""Run directories in, one tidy table out: what each run scored, and layer x language means with their intervals."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tractprobe.errors import CorpusError, RunError
from tractprobe.files import atomic, read_json, write_json
from tractprobe.statistics import Estimate, mean_over_speakers

RESULT = "result.json"
SCORE_FIELDS = ("layer", "corpus", "language", "speaker", "channel", "n_frames", "r", "rmse_mm", "r2", "ccc")
RUN_FIELDS = ("run", "model", "head", "split", "held_out", "seed")

Row = dict[str, Any]


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write a run's result, which makes the run a finished one."""
    write_json(folder / RESULT, result)


def read_result(folder: Path) -> dict[str, Any]:
    """Read a finished run's result; RunError if there is none, or it is not one of ours."""
    path = folder / RESULT
    if not path.is_file():
        raise RunError(f"{folder} holds no {RESULT}: no such run, or it has not finished (run its command again)")
    try:
        result = read_json(path)
    except CorpusError as error:
        raise RunError(f"{error}; remove the file and run the command again") from None
    match result:
        case {"identity": dict(), "settings": dict(), "scores": list(scores)} if scores and all(
            isinstance(row, dict) and set(SCORE_FIELDS) <= set(row) for row in scores
        ):
            return result
    raise RunError(f"{path} lacks identity, settings or scores; remove the file and run the command again")


def collect(runs: Path) -> list[Row]:
    """Return the score rows of every finished run below a folder, each with what tells its run from others."""
    folders = sorted(path.parent for path in runs.rglob(RESULT)) if runs.is_dir() else []
    if not folders:
        raise RunError(f"no finished run below {runs}")
    rows = []
    for folder in folders:
        result = read_result(folder)
        identity = result["identity"]
        about = {"run": folder.relative_to(runs).as_posix(), **{name: identity[name] for name in RUN_FIELDS[1:]}}
        rows += [about | {name: row[name] for name in SCORE_FIELDS} for row in result["scores"]]
    return rows


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write the tidy table, one row per run, layer, speaker and channel; undefined scores are empty."""
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[*RUN_FIELDS, *SCORE_FIELDS])
        writer.writeheader()
        writer.writerows(rows)


def speaker_means(rows: Iterable[Row], metric: str = "r") -> dict[tuple[str, str], float]:
    """Return (language, speaker) to the mean over channels (and seeds, where there are several)."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row[metric] is not None:
            values.setdefault((row["language"], row["speaker"]), []).append(row[metric])
    return {key: math.fsum(some) / len(some) for key, some in values.items()}


def layer_means(rows: Sequence[Row]) -> dict[int, dict[str, float]]:
    """Return each layer's means over speakers, then languages: r of each channel and of all, and the errors."""
    means: dict[int, dict[str, float]] = {}
    for layer in sorted({row["layer"] for row in rows}):
        same = [row for row in rows if row["layer"] == layer]
        metrics = {f"test/{metric}/mean": speaker_means(same, metric) for metric in ("r", "rmse_mm", "r2", "ccc")}
        for channel in dict.fromkeys(row["channel"] for row in same):
            metrics[f"test/r/{channel}"] = speaker_means(row for row in same if row["channel"] == channel)
        for language in sorted({row["language"] for row in same}):
            metrics[f"test/r/{language}"] = speaker_means(row for row in same if row["language"] == language)
        means[layer] = {name: mean_over_speakers(values).mean for name, values in metrics.items() if values}
    return means


@dataclass(frozen=True)
class LayerTable:
    """One model and head under one kind of split: layers down, what was held out across, and the mean of these."""

    title: str
    columns: tuple[str, ...]
    cells: Mapping[tuple[int, str], Estimate]

    def __str__(self) -> str:
        layers = sorted({layer for layer, _ in self.cells})
        lines = [["layer", *self.columns]]
        for layer in layers:
            lines.append([str(layer), *(str(self.cells.get((layer, column), "")) for column in self.columns)])
        widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
        body = "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )
        return f"{self.title}\n{body}"


def layer_tables(rows: Sequence[Row]) -> list[LayerTable]:
    """Return a table for each (model, head, split, other settings) among the rows."""
    kinds: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        suffix = row["run"].rpartition("/")[2].partition("-")[2]
        kinds.setdefault((row["model"], row["head"], row["split"], suffix), []).append(row)
    return [_layer_table(kind, same) for kind, same in sorted(kinds.items())]


def _layer_table(kind: tuple[str, ...], rows: Sequence[Row]) -> LayerTable:
    model, head, split, suffix = kind
    held_out = sorted({str(row["held_out"]) for row in rows})
    columns = (*held_out, "mean") if len(held_out) > 1 else tuple(held_out)
    cells = {}
    for layer in {row["layer"] for row in rows}:
        same = [row for row in rows if row["layer"] == layer]
        for column in columns:
            values = speaker_means(row for row in same if column in ("mean", str(row["held_out"])))
            if values:
                cells[layer, column] = mean_over_speakers(values)
    speakers = len({row["speaker"] for row in rows})
    title = f"{model}, {head}: r by held-out {split}" + (f" (settings {suffix})" if suffix else "")
    return LayerTable(f"{title}; {speakers} speakers", columns, cells)
