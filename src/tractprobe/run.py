"""One run: from configuration to a directory with ``result.json``. Finished runs are skipped, others go on.

What a directory holds::

    result.json          identity, settings, timing and test scores; written last
    head.safetensors     the heads that were scored
    checkpoints/         where an interrupted fit goes on
    evaluations/         scores of later evaluations
    .hydra/, train.log   what was asked for, and what happened
    wandb/               files of W&B
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from tractprobe.config import Plain, build, changes, plain, run_name
from tractprobe.errors import RunError
from tractprobe.files import file_sha256, locked, write_json
from tractprobe.results import RESULT, Row, layer_means, layer_tables, read_result, tidy, write_result

if TYPE_CHECKING:
    from tractprobe.cell import Cell

log = logging.getLogger(__name__)

HEADS, EVALUATIONS = "head.safetensors", "evaluations"


def train(config: DictConfig) -> Plain:
    """Run one cell and return its result, or the result it already has."""
    settings = plain(config)
    name = run_name(settings)
    folder = Path(settings["paths"]["runs"], name)
    with locked(folder):  # another process may be at work on the same run; then wait, and find it finished
        if (folder / RESULT).is_file():
            return _finished(folder, settings)
        log.info("run %s", folder)
        result = _run(name, settings, folder)
        write_result(folder, result)
    log.info("finished %s\n%s", folder / RESULT, _table(folder, result))
    return result


def evaluate(config: DictConfig) -> list[Row]:
    """Score a finished run's heads again and write the rows under ``evaluations/`` of its directory."""
    from tractprobe.cell import Cell, Plan

    asked = plain(config)
    folder, others = Path(asked["run"]), asked["corpora"] or []
    result = read_result(folder)
    settings = result["settings"] | {name: asked[name] for name in ("paths", "trainer", "data")}
    settings["features"] = {**settings.get("features", {}), "cache": asked["features"]["cache"]}
    try:
        plan = Plan.of(settings, others).of_run(result["identity"])
    except (LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / RESULT}: its settings are not those of a run ({error!r})") from None
    cell = Cell(plan, folder)
    cell.load_heads(folder / HEADS)
    rows = cell.score()
    on = "+".join(others) or "own"
    identity = plan.identity | ({"split": "corpus", "held_out": on} if others else {})
    evaluation = {"identity": identity, "scaled_by_own_test_frames": cell.own_scale(), "scores": rows}
    write_json(folder / EVALUATIONS / f"{on}.json", evaluation)
    log.info("%s on %s\n%s", folder, on, _table(folder, evaluation))
    if not others:
        log.info("largest difference from its result.json: %.1e in r", _largest_difference(rows, result["scores"]))
    return rows


def _run(name: str, settings: Plain, folder: Path) -> Plain:
    from tractprobe.cell import Cell, Plan

    timing_s: dict[str, float] = {}
    with _timed("prepare", timing_s):
        plan = Plan.of(settings)
    with build(settings["tracking"]).run(name, folder, settings, "fit") as logger:
        with _timed("encode", timing_s):
            cell = Cell(plan, folder, logger)
        with _timed("fit", timing_s):
            fit = cell.fit()
        with _timed("score", timing_s):
            rows = cell.score()
        cell.save_heads(folder / HEADS)
        if logger is not None:
            from tractprobe.tracking import log_scores

            log_scores(logger, rows, layer_means(rows))
    return _result(cell, timing_s, fit, rows)


def _result(cell: "Cell", timing_s: dict[str, float], fit: Plain, rows: list[Row]) -> Plain:
    split = cell.plan.split
    return {
        "identity": cell.plan.identity,
        "settings": cell.plan.settings,
        "timing_s": timing_s,
        "fit": fit,
        "utterances": {name: len(getattr(split, name)) for name in ("development", "train", "validation", "test")},
        "scaled_by_own_test_frames": cell.own_scale(),
        "source_origins": cell.source_origins(),
        "model_files": _model_files(cell.plan.settings),
        "scores": rows,
    }


def _model_files(settings: Plain) -> dict[str, str]:
    """Return the hashes of a local model's files, by which a finished run knows that its encoder is the one of now."""
    folder = Path(settings["model"].get("name") or "/none")
    paths = [path for suffix in ("*.safetensors", "*.json") for path in folder.glob(suffix)] if folder.is_dir() else []
    return {path.name: file_sha256(path) for path in sorted(paths)}


@contextmanager
def _timed(stage: str, timing_s: dict[str, float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    timing_s[stage] = round(time.perf_counter() - began, 3)


def _finished(folder: Path, settings: Plain) -> Plain:
    """Return the result of a finished run, having made sure that it is of these settings and of the corpora of now."""
    from tractprobe.prepared import PreparedCorpus

    result = read_result(folder)
    if changed := changes(result["settings"], settings):
        raise RunError(
            f"{folder} was finished with other settings: {'; '.join(changed)}. Remove it to run again, or give this "
            "run a place of its own with model.label=<name> or paths.runs=<folder>"
        )
    if result.get("model_files", {}) != (now := _model_files(settings)):
        raise RunError(
            f"{folder} was finished with other files of {settings['model'].get('name')} than there are now "
            f"({', '.join(now) or 'none'}); remove it to run again, or give this run a place of its own with "
            "model.label=<name> or paths.runs=<folder>"
        )
    for name, content_hash in result["identity"]["corpora"].items():
        corpus = Path(settings["paths"]["data"], name)
        if corpus.is_dir() and PreparedCorpus(corpus).content_hash != content_hash:
            raise RunError(
                f"{folder} was finished on another version of corpus {name}; remove it to run again, or keep it and "
                "give paths.runs=<another folder>"
            )
    log.info("finished already: %s", folder)
    return result


def _table(folder: Path, result: Plain) -> str:
    return "\n".join(map(str, layer_tables(tidy(folder.name, result))))


def _largest_difference(rows: Sequence[Row], before: Sequence[Row]) -> float:
    key = ("layer", "language", "speaker", "channel")
    known = {tuple(row[name] for name in key): row["r"] for row in before}
    pairs = [(row["r"], known[tuple(row[name] for name in key)]) for row in rows]
    return max((abs(now - then) for now, then in pairs if now is not None and then is not None), default=0.0)
