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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from tractprobe.config import Plain, build, changes, head_label, plain, run_name
from tractprobe.errors import RunError
from tractprobe.files import file_sha256, locked, write_json
from tractprobe.results import RESULT, Row, layer_means, layer_tables, read_result, tidy, write_csv, write_result

if TYPE_CHECKING:
    from tractprobe.cell import Cell

log = logging.getLogger(__name__)

HEADS, EVALUATIONS = "head.safetensors", "evaluations"
ALL = "all"  # of held_out


def train(config: DictConfig) -> Plain | list[Plain]:
    """Run one cell, or with ``held_out=all`` one for each value; return the results, also those there already."""
    settings = plain(config)
    if settings["held_out"] != ALL:
        return _train(settings)
    from tractprobe.plan import each_held_out

    cells = each_held_out(settings)
    results = _train_together(cells) if head_label(settings) == "ridge" else [_train(cell) for cell in cells]
    _summarise(settings, cells, results)
    return results


def _summarise(settings: Plain, cells: Sequence[Plain], results: Sequence[Plain]) -> None:
    """Print, draw and log the table of all cells, into a directory of its own beside theirs."""
    from tractprobe.pictures import write_pictures

    names = [run_name(cell) for cell in cells]
    rows = [row for name, result in zip(names, results, strict=True) for row in tidy(name, result)]
    tables, folder = layer_tables(rows), _folder(settings)
    write_csv(folder / "scores.csv", rows)
    pictures = write_pictures(tables, folder)
    log.info("%d cells, %s\n%s", len(cells), folder, "\n".join(map(str, tables)))
    with build(settings["tracking"]).run(run_name(settings), folder, settings, "study") as logger:
        if logger is not None:
            from tractprobe.tracking import log_study

            log_study(logger, {table.title: table.rows() for table in tables}, pictures)


def _folder(settings: Plain) -> Path:
    return Path(settings["paths"]["runs"], run_name(settings))


def _train(settings: Plain) -> Plain:
    name, folder = run_name(settings), _folder(settings)
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
    from tractprobe.cell import Cell
    from tractprobe.plan import Plan

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
    from tractprobe.cell import Cell
    from tractprobe.plan import Plan

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
        _log(logger, rows)
    return _result(cell, timing_s, fit, rows)


def _train_together(cells: Sequence[Plain]) -> list[Plain]:
    """Return the results of cells that differ in what is held out; those that lack one are fitted from one pass."""
    folders = [_folder(settings) for settings in cells]
    with ExitStack() as locks:
        for folder in sorted(folders):  # in one order, so that two processes never wait for each other
            locks.enter_context(locked(folder))
        done = [(folder / RESULT).is_file() for folder in folders]
        missing = [settings for settings, one in zip(cells, done, strict=True) if not one]
        finished = [
            _finished(folder, settings) for folder, settings, one in zip(folders, cells, done, strict=True) if one
        ]
        if not missing:
            return finished
        for folder, result in _fit_together(missing, cells):
            write_result(folder, result)
            log.info("finished %s", folder / RESULT)
    return [read_result(folder) for folder in folders]


def _fit_together(settings: Sequence[Plain], every: Sequence[Plain]) -> Iterator[tuple[Path, Plain]]:
    """Yield folder and result of some cells out of all; all decide on the groups, so that sums can be used again."""
    from tractprobe.cell import Cell, fit_linear
    from tractprobe.plan import Plan

    timing_s: dict[str, float] = {"cells": len(settings)}
    with _timed("prepare", timing_s):
        plans = Plan.of_each(every)
    with _timed("encode", timing_s):
        cells = [Cell(plan, _folder(plan.settings)) for plan in plans if plan.settings in settings]
    with _timed("fit", timing_s):
        fits = fit_linear(cells, [plan.split for plan in plans])
    for one, cell, chosen in zip(settings, cells, fits, strict=True):
        with build(one["tracking"]).run(run_name(one), cell.folder, one, "fit") as logger:
            rows = cell.score()
            cell.save_heads(cell.folder / HEADS)
            _log(logger, rows)
        yield cell.folder, _result(cell, timing_s, chosen, rows)


def _log(logger: Any, rows: list[Row]) -> None:
    if logger is not None:
        from tractprobe.tracking import log_scores

        log_scores(logger, rows, layer_means(rows))


def _result(cell: "Cell", timing_s: dict[str, float], fit: Plain, rows: list[Row]) -> Plain:
    split = cell.plan.split
    return {
        "identity": cell.plan.identity,
        "settings": cell.plan.settings,
        "timing_s": timing_s,
        "fit": fit,
        "utterances": {name: len(getattr(split, name)) for name in ("development", "train", "validation", "test")},
        "scaled_by_own_test_frames": cell.own_scale(),
        "scales": cell.scales(),
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
