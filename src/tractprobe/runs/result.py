"""The record of a run: what ``result.json`` holds, and the few numbers that are read off one result alone."""

import hashlib
import math
import re
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from tractprobe.corpora.languages import is_language
from tractprobe.encoders.layers import Label, is_input, is_label
from tractprobe.runs.estimate import Estimate, mean_over_speakers, point_over_speakers
from tractprobe.system.errors import CorpusError, RunError
from tractprobe.system.files import atomic, digest, read_json, write_json

RESULT, HEADS, TESTED = "result.json", "head.safetensors", "test_utterances.txt"
EVIDENCE = "evidence.json"
"""What an analysis leaves in place of a result (``evidence.record``)."""
METRICS = ("r", "rmse", "r2", "ccc")
MOMENTS = ("mean_predicted", "mean_measured", "sd_predicted", "sd_measured")
_LARGEST, _ROUNDING = sys.float_info.max, 1e-9  # NaN and infinity are beyond every bound
_BOUNDS = {name: (-_LARGEST, _LARGEST) for name in (*METRICS, *MOMENTS)}
_BOUNDS |= {name: (0.0, _LARGEST) for name in ("rmse", "sd_predicted", "sd_measured")}
_BOUNDS |= {"r2": (-_LARGEST, 1 + _ROUNDING)} | {name: (-1 - _ROUNDING, 1 + _ROUNDING) for name in ("r", "ccc")}
_MOST = 1 << 64  # of integers: Python reads 10^400 as one, but no float can hold it
_TEXTS = ("corpus", "language", "speaker", "target", "channel", "unit")
_KEY = itemgetter("layer", *_TEXTS[:-1])
_SAME_RUN = 1e-6  # in r: what another machine or number of threads may change
_SUFFIX = re.compile(r"s-?\d+-(.+)")
SCORE_FIELDS = ("layer", *_TEXTS, "n_frames", *METRICS)
RUN_FIELDS = ("run", "model", "head", "split", "held_out", "seed")
Row = Mapping[str, Any]


class ScoreRow(TypedDict):
    """Test scores of one head, speaker in a language, and channel; ``None`` where a number is undefined.

    Means and deviations of the frames, predicted and measured, are in the channel's unit. With ``r`` and ``n_frames``
    they give the sums that rows of several folds are pooled from. Results of versions before 0.2 lack them.
    """

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
    mean_predicted: NotRequired[float | None]
    mean_measured: NotRequired[float | None]
    sd_predicted: NotRequired[float | None]
    sd_measured: NotRequired[float | None]


class FitReport(TypedDict):
    """What was chosen on the validation part, for each head; ``None`` where nothing could be chosen."""

    best_validation_r: list[float | None]
    alpha: NotRequired[list[list[float | None]]]
    history: NotRequired[list[dict[str, float | None]]]
    layer_weights: NotRequired[list[float]]


class RunResult(TypedDict):
    """What ``result.json`` holds; results of earlier versions lack the hashes of what lies beside them.

    ``test_utterances`` names the file that lists the ids of what was tested, and its hash.
    """

    identity: dict[str, Any]
    settings: dict[str, Any]
    timing_s: dict[str, float]
    fit: FitReport
    utterances: dict[str, int]
    scaled_by_own_test_frames: list[str]
    scales: dict[str, Any]
    source_origins: dict[str, dict[str, int]]
    model_files: dict[str, str]
    heads_sha256: NotRequired[str]
    test_utterances: NotRequired[dict[str, str]]
    scores: list[ScoreRow]


def is_finished(folder: Path) -> bool:
    """Whether a run directory holds the record of a finished run or analysis, which is written last."""
    return (folder / RESULT).is_file() or (folder / EVIDENCE).is_file()


def write_result(folder: Path, result: RunResult) -> None:
    """Write a run's result, which makes the run a finished one."""
    write_json(folder / RESULT, result)


def write_tested(folder: Path, ids: Iterable[str]) -> dict[str, str]:
    """Write the ids of what was tested, one a line; return what ``result.json`` says of the file."""
    content = "".join(f"{id_}\n" for id_ in sorted(ids)).encode()
    with atomic(folder / TESTED) as temporary:
        temporary.write_bytes(content)
    return {"file": TESTED, "sha256": hashlib.sha256(content).hexdigest()}


def _not_there(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: no such run; tractprobe status <folder> lists those of a folder"
    return f"{folder} holds no {RESULT}: it is no run, or has not finished (type its command again)"


def read_result(folder: Path) -> RunResult:
    """Read a finished run's result; RunError if there is none, or if it is not one of tractprobe's."""
    path = folder / RESULT
    if not path.is_file():
        raise RunError(_not_there(folder))
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
            if problem := _problem_of_identity(identity):
                return problem
            named = {name for name in _inputs(identity) if is_input(name)}
            broken = next((number for number, row in enumerate(scores) if not _is_row(row, named)), None)
            if broken is not None:
                return f"scores[{broken}] is not a row of scores{_out_of_range(scores[broken])}"
            if not all(map(_can_be_kept, {row[name] for row in scores for name in _TEXTS})):
                return "a label of its scores is not valid text"
            if len({_KEY(row) for row in scores}) < len(scores):
                return "two rows of its scores are of the same layer, speaker, language and channel"
            speakers = result.get("scaled_by_own_test_frames", [])
            if not isinstance(speakers, list) or not all(isinstance(name, str) for name in speakers):
                return "its scaled_by_own_test_frames is not a list of speakers"
            return None if _is_fit(result.get("fit", {})) else "its fit is not the report of a fit"
    return "lacks identity, settings or scores"


def _problem_of_identity(identity: dict[str, Any]) -> str | None:
    expected = {*RUN_FIELDS[1:], "corpora", "encoder"}
    if not expected <= set(identity) or not isinstance(identity["corpora"], dict):
        return f"its identity lacks one of {', '.join(sorted(expected))}"
    if not isinstance(identity.get("differences", {}), dict):
        return "its identity's differences are not settings"
    texts = [identity[name] for name in ("model", "head", "split")]
    if not all(isinstance(text, str) for text in texts) or type(identity["seed"]) is not int:
        return "its identity's model, head and split must be texts, its seed a number"
    if not isinstance(identity["held_out"], str | int | None):
        return "its identity's held_out is not a name"
    return None if all(map(_can_be_kept, _within(identity))) else "its identity holds what is no number or no text"


def _within(value: Any) -> Iterator[Any]:
    """Yield the keys, texts and numbers of a plain value, however deeply nested."""
    left = [value]
    while left:
        match left.pop():
            case dict(mapping):
                left += [*mapping, *mapping.values()]
            case list(values):
                left += values
            case other:
                yield other


def _can_be_kept(value: Any) -> bool:
    """Whether a value can be hashed and written: JSON from elsewhere may hold NaN, 10^400 or half a character."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    return not isinstance(value, (int, float)) or _is_number(value)


def _is_number(value: int | float) -> bool:
    """Whether a number is finite, or an integer that a float can hold."""
    return abs(value) <= _MOST if isinstance(value, int) else math.isfinite(value)


def _inputs(identity: Mapping[str, Any]) -> list[Any]:
    """Return the names of what heads read, where it was not the layers of an encoder alone."""
    return list(inputs) if isinstance(inputs := identity.get("inputs"), dict) else []


def _is_row(row: Any, named: Container[str]) -> bool:
    if not isinstance(row, dict) or not all(name in row for name in SCORE_FIELDS):
        return False
    if not all(type(row[name]) is str for name in _TEXTS) or not _is_layer(row["layer"], named):
        return False
    frames = row["n_frames"]
    return type(frames) is int and 0 < frames <= _MOST and all(_is_score(row, name) for name in _BOUNDS)


def _is_layer(value: Any, named: Container[str]) -> bool:
    return is_label(value) or (isinstance(value, str) and value in named)


def _is_score(row: Row, name: str) -> bool:
    """Whether a number of a row can be: it is finite, and a correlation at most 1."""
    value = row.get(name)
    if type(value) is not float and type(value) is not int:
        return value is None
    low, high = _BOUNDS[name]
    return low <= value <= high


def _out_of_range(row: Any) -> str:
    """Return which number of a row cannot be, for the error's text."""
    wrong = next((name for name in _BOUNDS if isinstance(row, dict) and not _is_score(row, name)), None)
    if wrong is None or type(value := row[wrong]) not in (int, float):
        return ""
    return f": {wrong}={value} is out of range" if _is_number(value) else f": {wrong} is not a finite number"


def _is_fit(fit: Any) -> bool:
    r = fit.get("best_validation_r") or [] if isinstance(fit, dict) else None
    return isinstance(r, list) and all(_is_score({"r": value}, "r") for value in r)


def variant(run: str, identity: Mapping[str, Any]) -> str:
    """Return the name of a run's settings: a hash of what differs from the shipped ones, or nothing."""
    if "differences" in identity:
        return digest(identity["differences"])[:6] if identity["differences"] else ""
    suffix = _SUFFIX.fullmatch(run.rpartition("/")[2])  # early versions noted them in the directory's name alone
    return suffix[1] if suffix else ""


def key_of(run: str, result: Mapping[str, Any], *, but: Container[str] = ()) -> str:
    """Return what two results have in common if they are of one run, wherever they lie.

    Parameters
    ----------
    but
        Parts of the identity that may differ.
    """
    identity = result["identity"]
    parts = {name: value for name, value in identity.items() if name != "versions" and name not in but}
    return digest([parts, variant(run, identity)])


def same_scores(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results have the same r in the same rows, but for what a machine or its threads may change."""
    r, r_of_other = ({_KEY(row): row["r"] for row in each["scores"]} for each in (one, other))
    return r.keys() == r_of_other.keys() and all(_close(value, r_of_other[key]) for key, value in r.items())


def _close(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else abs(one - other) <= _SAME_RUN


def of_languages(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that a mean over languages is over: those of babble (zxx) only if there are no others."""
    every = list(rows)
    return [row for row in every if is_language(row["language"])] or every


def speaker_means(rows: Iterable[Row], metric: str = "r") -> dict[tuple[str, str], float]:
    """Return (language, speaker) to the mean over channels, each averaged over seeds first, of what is defined.

    Of several languages; what is of no language is left out (``of_languages``).
    """
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in of_languages(rows):
        if row[metric] is not None:
            channels = values.setdefault((row["language"], row["speaker"]), {})
            channels.setdefault(row["channel"], []).append(row[metric])
    return {key: _mean(list(map(_mean, channels.values()))) for key, channels in values.items()}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


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
    values = speaker_means(_of_first_target(result, layer))
    return mean_over_speakers(values, fisher=True) if values else None


def point_r(result: Mapping[str, Any], layer: Label) -> float | None:
    """Return the mean of ``mean_r`` alone."""
    values = speaker_means(_of_first_target(result, layer))
    return point_over_speakers(values) if values else None


def undefined_r(result: Mapping[str, Any], layer: Label) -> tuple[int, int]:
    """Return how many of the rows that ``mean_r`` is over have no r, and how many there are."""
    rows = _of_first_target(result, layer)
    return sum(row["r"] is None for row in rows), len(rows)


def _of_first_target(result: Mapping[str, Any], layer: Label) -> list[Row]:
    target = result["scores"][0]["target"]
    return of_languages(row for row in result["scores"] if row["layer"] == layer and row["target"] == target)
