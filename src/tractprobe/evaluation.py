"""Evaluation: the heads of a finished run, scored again on its own test set or on other corpora."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from tractprobe.evidence.tables.table import printed
from tractprobe.probes.opening import open_corpora
from tractprobe.runs.building import check_node
from tractprobe.runs.configuration import plain
from tractprobe.runs.ranks import is_first
from tractprobe.runs.result import HEADS, RESULT, RunResult, ScoreRow, read_result
from tractprobe.runs.settings import LoadingPolicy, Node, Paths, Settings, typed
from tractprobe.system.errors import ConfigError, RunError, first_line
from tractprobe.system.files import write_json

log = logging.getLogger(__name__)

EVALUATIONS = "evaluations"
_ROW = ("layer", "corpus", "language", "speaker", "target", "channel")
_SAME = {"32-true": 1e-3, "bf16-mixed": 2e-2}  # what another machine, or less precision, may change


@dataclass(frozen=True)
class Cached:
    """Whether hidden states are kept on disk; their precision is that of the run."""

    cache: bool


@dataclass(frozen=True)
class Asked:
    """What an evaluation is told."""

    run: Path
    corpora: Any
    trainer: Node
    paths: Paths
    features: Cached
    data: LoadingPolicy


def evaluate(config: DictConfig) -> list[ScoreRow]:
    """Score a finished run's heads again and write the rows under ``evaluations/`` of its directory."""
    asked = plain(config)
    check_node(typed(Asked, asked).trainer)
    folder, tested = Path(asked["run"]), asked["corpora"] or []
    result = read_result(folder)
    settings = _settings_of_run(folder, result, asked)
    if tested:
        open_corpora(tested, settings.paths.data)  # a mistyped name is told before the imports
    from tractprobe.probes.fitted import load_heads
    from tractprobe.probes.gradient.fit import loaded
    from tractprobe.probes.problem import Problem
    from tractprobe.runs.trainer import trainer_of

    try:
        problem = Problem.of(settings, tested).of_run(result["identity"])
    except (LookupError, TypeError, AttributeError) as error:
        raise _not_of_a_run(folder, repr(error)) from None
    trainer = trainer_of(settings, folder, None)
    head = load_heads(problem, folder / HEADS, result.get("heads_sha256"))
    fit = loaded(problem, problem.states(trainer.strategy.root_device), head, trainer)
    rows = fit.rows()
    if not is_first(settings):
        return rows
    on = "+".join(tested) or "own"
    identity = problem.identity | ({"split": "corpus", "held_out": on} if tested else {})
    evaluation = {
        "identity": identity,
        "scaled_by_own_test_frames": fit.scaled_by_own_test_frames(),
        "scores": rows,
    }
    write_json(folder / EVALUATIONS / f"{on}.json", evaluation)
    log.info("%s on %s\n%s", folder, on, printed(folder, evaluation))
    if not tested:
        _compare(folder, rows, result["scores"], _SAME[settings.trainer.arguments["precision"]])
    return rows


def _settings_of_run(folder: Path, result: RunResult, asked: Mapping[str, Any]) -> Settings:
    """Return a finished run's settings, with the places, trainer and loading that are asked for now.

    Keys that no setting has any more, or that only training reads, are left out.
    """
    names = {field.name for field in fields(Settings)} - {"callbacks"}
    raw: dict[str, Any] = {name: value for name, value in result["settings"].items() if name in names}
    raw |= {name: asked[name] for name in ("paths", "trainer", "data")}
    try:
        raw["features"] = {**raw.get("features", {}), "cache": asked["features"]["cache"]}
        if not isinstance(raw.get("corpora"), list):
            raise TypeError("corpora is no list")
        return Settings.of(raw)
    except (ConfigError, TypeError) as error:
        raise _not_of_a_run(folder, first_line(error)) from None


def _not_of_a_run(folder: Path, problem: str) -> RunError:
    return RunError(f"{folder / RESULT}: its settings are not those of a run ({problem})")


def _compare(folder: Path, rows: Sequence[ScoreRow], before: Sequence[ScoreRow], tolerance: float) -> None:
    """Say how far scores are from the recorded ones; RunError if they are not the same but for rounding."""
    now, then = ({tuple(row[name] for name in _ROW): row for row in each} for each in (rows, before))
    differences = {key: _difference(now.get(key), then.get(key)) for key in now | then}
    worst = max(differences, key=lambda key: differences[key])
    log.info("largest difference from its %s: %.1e in r", RESULT, differences[worst])
    if differences[worst] > tolerance:
        what = "layer " + ", ".join(map(str, worst))
        scores_now, scores_then = (_in_words(each.get(worst)) for each in (now, then))
        raise RunError(
            f"{folder}: its heads do not score what its {RESULT} records: {what} scores {scores_now}, "
            f"recorded is {scores_then}. "
            "Heads, data, encoder or libraries have changed; remove the folder to run it again"
        )


def _difference(now: ScoreRow | None, then: ScoreRow | None) -> float:
    """Return how far r, R² or CCC are from another; infinity where only one is defined, or the frames are others."""
    if now is None or then is None or now["n_frames"] != then["n_frames"]:
        return math.inf
    pairs = [(now[name], then[name]) for name in ("r", "r2", "ccc")]
    if any((new is None) != (old is None) for new, old in pairs):
        return math.inf
    known = [(new, old) for new, old in pairs if new is not None and old is not None]
    return max((abs(new - old) / max(1.0, abs(old)) for new, old in known), default=0.0)  # R² has no lower bound


def _in_words(row: ScoreRow | None) -> str:
    if row is None:
        return "nothing"
    numbers = {"r": row["r"], "R²": row["r2"], "CCC": row["ccc"]}
    known = ", ".join(f"{name} {'undefined' if value is None else f'{value:.4f}'}" for name, value in numbers.items())
    return f"{known} over {row['n_frames']} frames"
