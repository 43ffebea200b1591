"""The record of a run: what ``result.json`` holds, and the few numbers that are read off one result alone."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from tractprobe.encoders.layers import Label, is_label
from tractprobe.runs.estimate import Estimate, mean_over_speakers
from tractprobe.system.errors import CorpusError, RunError
from tractprobe.system.files import read_json, write_json

RESULT, HEADS = "result.json", "head.safetensors"
METRICS = ("r", "rmse", "r2", "ccc")
_TEXTS = ("corpus", "language", "speaker", "target", "channel", "unit")
SCORE_FIELDS = ("layer", *_TEXTS, "n_frames", *METRICS)
RUN_FIELDS = ("run", "model", "head", "split", "held_out", "seed")
Row = Mapping[str, Any]


class ScoreRow(TypedDict):
    """Test scores of one head, speaker in a language, and channel; ``None`` where a number is undefined."""

    layer: Label
    corpus: str
    language: str
    speaker: str
    target: str
    channel: str
    unit: str
    n_frames: int
    r: float | None
    rmse: float | None
    r2: float | None
    ccc: float | None


class FitReport(TypedDict):
    """What was chosen on the validation part, for each head; ``None`` where nothing could be chosen."""

    best_validation_r: list[float | None]
    alpha: NotRequired[list[list[float | None]]]
    history: NotRequired[list[dict[str, float | None]]]
    layer_weights: NotRequired[list[float]]


class RunResult(TypedDict):
    """What ``result.json`` holds."""

    identity: dict[str, Any]
    settings: dict[str, Any]
    timing_s: dict[str, float]
    fit: FitReport
    utterances: dict[str, int]
    scaled_by_own_test_frames: list[str]
    scales: dict[str, Any]
    source_origins: dict[str, dict[str, int]]
    model_files: dict[str, str]
    scores: list[ScoreRow]


def write_result(folder: Path, result: RunResult) -> None:
    """Write a run's result, which makes the run a finished one."""
    write_json(folder / RESULT, result)


def read_result(folder: Path) -> RunResult:
    """Read a finished run's result; RunError if there is none, or if it is not one of tractprobe's."""
    path = folder / RESULT
    if not path.is_file():
        raise RunError(f"{folder} holds no {RESULT}: no such run, or it has not finished (run its command again)")
    try:
        result = read_json(path)
    except CorpusError as error:
        raise RunError(f"{error}; remove the file and run the command again") from None
    if problem := _problem(result):
        raise RunError(f"{path}: {problem}; remove the file and run the command again")
    return result


def _problem(result: Any) -> str | None:
    match result:
        case {"identity": dict(identity), "settings": dict(), "scores": list(scores)} if scores:
            expected = {*RUN_FIELDS[1:], "corpora", "encoder"}
            if not expected <= set(identity) or not isinstance(identity["corpora"], dict):
                return f"its identity lacks one of {', '.join(sorted(expected))}"
            broken = next((number for number, row in enumerate(scores) if not _is_row(row)), None)
            if broken is not None:
                return f"scores[{broken}] is not a row of scores"
            return None if _is_fit(result.get("fit", {})) else "its fit is not the report of a fit"
    return "lacks identity, settings or scores"


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not set(SCORE_FIELDS) <= set(row):
        return False
    numbers = [row[name] for name in METRICS]
    return (
        all(isinstance(row[name], str) for name in _TEXTS)
        and is_label(row["layer"])
        and type(row["n_frames"]) is int
        and all(number is None or type(number) in (int, float) for number in numbers)
    )


def _is_fit(fit: Any) -> bool:
    r = fit.get("best_validation_r") or [] if isinstance(fit, dict) else None
    return isinstance(r, list) and all(value is None or type(value) in (int, float) for value in r)


def speaker_means(rows: Iterable[Row], metric: str = "r") -> dict[tuple[str, str], float]:
    """Return (language, speaker) to the mean over channels (and seeds, where there are several)."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row[metric] is not None:
            values.setdefault((row["language"], row["speaker"]), []).append(row[metric])
    return {key: math.fsum(scores) / len(scores) for key, scores in values.items()}


def chosen_layer(result: Mapping[str, Any]) -> Label | None:
    """Return a run's layer with the best validation r, or its only one; ``None`` if there is nothing to choose by."""
    layers = list(dict.fromkeys(row["layer"] for row in result["scores"]))
    if len(layers) == 1:
        return layers[0]
    r = result.get("fit", {}).get("best_validation_r") or []
    layer_of = {value: layer for layer, value in zip(layers, r, strict=False) if value is not None}
    return layer_of[max(layer_of)] if layer_of and len(r) == len(layers) else None


def mean_r(result: Mapping[str, Any], layer: Label) -> Estimate | None:
    """Return the mean r of positions, or of the first targets there are, at one of a run's layers."""
    target = result["scores"][0]["target"]
    same = [row for row in result["scores"] if (row["layer"], row["target"]) == (layer, target)]
    values = speaker_means(same)
    return mean_over_speakers(values) if values else None
