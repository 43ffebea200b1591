"""One run: from configuration to a directory with ``result.json``. Finished runs are skipped, others go on.

What a directory holds::

    result.json          identity, settings, timing and test scores; written last
    head.safetensors     the heads that were scored
    checkpoints/         where an interrupted fit goes on
    predictions/         a few test utterances, predicted and measured, if the run was logged
    evaluations/         scores of later evaluations
    failure.json         why the last attempt failed; traceback.txt says where
    .hydra/, train.log   what was asked for, and what happened; train_ddp_process_<rank>.log to other ranks
    wandb/               files of W&B
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from tractprobe.evidence.table import layer_tables, tidy
from tractprobe.outcome import concluded, finished
from tractprobe.runs.building import build
from tractprobe.runs.identity import head_label, run_name
from tractprobe.runs.ranks import check_ranks, is_first
from tractprobe.runs.result import HEADS, RESULT, Row, read_result, write_result
from tractprobe.runs.settings import Plain, plain
from tractprobe.runs.status import ask_for, failure_noted
from tractprobe.system.errors import ConfigError, RunError, first_line
from tractprobe.system.files import clear_temporaries, locked, write_json

if TYPE_CHECKING:
    from tractprobe.probes.fitted import Cell

log = logging.getLogger(__name__)

EVALUATIONS = "evaluations"
ALL = "all"  # of held_out
_ONCE_UNNAMED = {  # settings that runs of earlier versions lack, and what they did
    "objective": {"_target_": "tractprobe.objective.Mse"},
    "schedule": {"_target_": "torch.optim.lr_scheduler.ConstantLR", "factor": 1.0, "total_iters": 0},
}


def train(config: DictConfig) -> Plain | list[Plain]:
    """Run one cell, or with ``held_out=all`` one for each value; return the results, also those there already."""
    settings = plain(config)
    if settings["held_out"] != ALL:
        with failure_noted([_folder(settings)]):
            _check_together(settings)
        return _train(settings)
    from tractprobe.probes.problem import each_held_out

    with failure_noted([_folder(settings)]):
        check_ranks(settings)
        cells = each_held_out(settings)
    ask_for(Path(settings["paths"]["runs"]), map(run_name, cells), study=run_name(settings))
    if head_label(settings) == "ridge" or settings["together"]:
        results = _train_together(cells, settings)
    else:
        results = _each({run_name(cell): partial(_train, cell) for cell in cells})
    _summarise(settings, cells, results)
    return results


def _check_together(settings: Plain) -> None:
    if settings["together"] and head_label(settings) != "ridge":
        raise ConfigError("together=true trains the heads of every held-out value in one bank: say held_out=all")


def _each(jobs: Mapping[str, Callable[[], Plain]]) -> list[Plain]:
    """Do every job, whatever becomes of the others; RunError names those that failed."""
    results, failed = [], {}
    for name, job in jobs.items():
        try:
            results.append(job())
        except Exception as error:
            failed[name] = first_line(error)
            log.error("%s: %s", name, failed[name])
    if failed:
        each = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise RunError(f"{len(failed)} of {len(jobs)} cells failed, the others are done: {each}")
    return results


def _summarise(settings: Plain, cells: Sequence[Plain], results: Sequence[Plain]) -> None:
    """Print, draw and log the table of all cells, into a directory of its own beside theirs."""
    from tractprobe.evidence.summary import summarise

    rows = [row for cell, result in zip(cells, results, strict=True) for row in tidy(run_name(cell), result)]
    folder = _folder(settings)
    log.info("%d cells, %s\n%s", len(cells), folder, "\n".join(map(str, layer_tables(rows))))
    summarise(run_name(settings), folder, settings, build(settings["tracking"]), rows)


def _folder(settings: Plain) -> Path:
    return Path(settings["paths"]["runs"], run_name(settings))


def _train(settings: Plain) -> Plain:
    name, folder = run_name(settings), _folder(settings)
    if not is_first(settings):
        return _take_part(settings, folder)
    with locked(folder), failure_noted([folder]):  # whoever waited for the lock finds the run finished
        if (folder / RESULT).is_file():
            return finished(folder, settings)
        check_ranks(settings)
        log.info("run %s", folder)
        clear_temporaries(folder)
        result = _run(name, settings, folder)
        write_result(folder, result)
    log.info("finished %s\n%s", folder / RESULT, _table(folder, result))
    return result


def _take_part(settings: Plain, folder: Path) -> Plain:
    """Fit and test with the process that has the run directory; nothing is written from here."""
    from tractprobe.probes.fitted import Cell
    from tractprobe.probes.problem import Plan

    if (folder / RESULT).is_file():
        return finished(folder, settings)
    check_ranks(settings)
    cell = Cell(Plan.of(settings), folder)
    return {"fit": cell.fit(), "scores": cell.score()}


def evaluate(config: DictConfig) -> list[Row]:
    """Score a finished run's heads again and write the rows under ``evaluations/`` of its directory."""
    from tractprobe.probes.fitted import Cell
    from tractprobe.probes.problem import Plan

    asked = plain(config)
    folder, others = Path(asked["run"]), asked["corpora"] or []
    result = read_result(folder)
    settings = _ONCE_UNNAMED | result["settings"] | {name: asked[name] for name in ("paths", "trainer", "data")}
    settings["features"] = {**settings.get("features", {}), "cache": asked["features"]["cache"]}
    try:
        plan = Plan.of(settings, others).of_run(result["identity"])
        cell = Cell(plan, folder)
    except (LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / RESULT}: its settings are not those of a run ({error!r})") from None
    cell.load_heads(folder / HEADS)
    rows = cell.score()
    if not is_first(settings):
        return rows
    on = "+".join(others) or "own"
    identity = plan.identity | ({"split": "corpus", "held_out": on} if others else {})
    evaluation = {"identity": identity, "scaled_by_own_test_frames": cell.own_scale(), "scores": rows}
    write_json(folder / EVALUATIONS / f"{on}.json", evaluation)
    log.info("%s on %s\n%s", folder, on, _table(folder, evaluation))
    if not others:
        log.info("largest difference from its result.json: %.1e in r", _largest_difference(rows, result["scores"]))
    return rows


def _run(name: str, settings: Plain, folder: Path) -> Plain:
    from tractprobe.probes.fitted import Cell
    from tractprobe.probes.problem import Plan

    timing_s: dict[str, float] = {}
    with _timed("prepare", timing_s):
        plan = Plan.of(settings)
    with build(settings["tracking"]).run(name, folder, settings, "fit", plan.identity["corpora"]) as logger:
        with _timed("encode", timing_s):
            cell = Cell(plan, folder, logger)
        with _timed("fit", timing_s):
            fit = cell.fit()
        with _timed("score", timing_s):
            rows = cell.score()
        return concluded(cell, timing_s, fit, rows, logger)


def _train_together(cells: Sequence[Plain], study: Plain) -> list[Plain]:
    """Return the results of cells that differ in what is held out; those that lack one are fitted from one pass."""
    folders = [_folder(settings) for settings in cells]
    with ExitStack() as locks:
        for folder in sorted(folders):  # in one order, so that two processes never wait for each other
            locks.enter_context(locked(folder))
            clear_temporaries(folder)
        missing = [settings for settings in cells if not (_folder(settings) / RESULT).is_file()]
        with failure_noted([_folder(settings) for settings in missing]):
            fitted = _fit_together(missing, cells, study) if missing else []
        jobs = {run_name(settings): partial(_known, settings) for settings in cells}
        jobs |= {run_name(fit[0].plan.settings): partial(_score_together, *fit) for fit in fitted}
        return _each(jobs)


def _known(settings: Plain) -> Plain:
    with failure_noted([_folder(settings)]):
        return finished(_folder(settings), settings)


def _fit_together(
    settings: Sequence[Plain], every: Sequence[Plain], study: Plain
) -> "list[tuple[Cell, dict[str, float], Plain]]":
    """Return some cells out of all, fitted; all decide on groups and batches, so that each is what it always is."""
    from tractprobe.probes.fitted import Cell, fit_linear
    from tractprobe.probes.gradient.joint import fit_jointly
    from tractprobe.probes.problem import Plan

    timing_s: dict[str, float] = {"cells": len(settings)}
    with _timed("prepare", timing_s):
        plans = Plan.of_each(every)
    with _timed("encode", timing_s):
        linear = head_label(study) == "ridge"
        chosen = [plan for plan in plans if not linear or plan.settings in settings]
        cells = [Cell(plan, _folder(plan.settings)) for plan in chosen]
    with _timed("fit", timing_s):
        if linear:
            fits = fit_linear(cells, [plan.split for plan in plans])
        else:
            clear_temporaries(_folder(study))
            name, corpora = run_name(study), plans[0].identity["corpora"]
            with build(study["tracking"]).run(name, _folder(study), study, "fit", corpora) as logger:
                fits = fit_jointly(cells, study, _folder(study), logger)
    fitted = [(cell, timing_s, fit) for cell, fit in zip(cells, fits, strict=True)]
    return [one for one in fitted if one[0].plan.settings in settings]


def _score_together(cell: "Cell", timing_s: dict[str, float], fit: Plain) -> Plain:
    settings, corpora = cell.plan.settings, cell.plan.identity["corpora"]
    with (
        failure_noted([cell.folder]),
        build(settings["tracking"]).run(run_name(settings), cell.folder, settings, "fit", corpora) as logger,
    ):
        result = concluded(cell, timing_s, fit, cell.score(), logger)
        write_result(cell.folder, result)
    log.info("finished %s", cell.folder / RESULT)
    return result


@contextmanager
def _timed(stage: str, timing_s: dict[str, float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    timing_s[stage] = round(time.perf_counter() - began, 3)


def _table(folder: Path, result: Plain) -> str:
    return "\n".join(map(str, layer_tables(tidy(folder.name, result))))


def _largest_difference(rows: Sequence[Row], before: Sequence[Row]) -> float:
    key = ("layer", "language", "speaker", "channel")
    known = {tuple(row[name] for name in key): row["r"] for row in before}
    pairs = [(row["r"], known[tuple(row[name] for name in key)]) for row in rows]
    return max((abs(now - then) for now, then in pairs if now is not None and then is not None), default=0.0)
