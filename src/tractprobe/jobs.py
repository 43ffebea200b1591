"""Jobs: from configuration to run directories with ``result.json``. Finished runs are skipped, others resume.

What a directory holds::

    result.json          identity, settings, timing and test scores; written last
    head.safetensors     the heads that were scored
    test_utterances.txt  ids of what they were tested on
    checkpoints/         where an interrupted fit resumes
    predictions/         a few test utterances, predicted and measured, if the run was logged
    evaluations/         scores of later evaluations
    failure.json         why the last attempt failed; traceback.txt says where
    .hydra/, train.log   what was asked for, and what happened; train_ddp_process_<rank>.log of other ranks
    wandb/               files of W&B
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from tractprobe.evidence.record import Record, numbers_of, tables_of, write_record
from tractprobe.evidence.tables.backwards import read_backwards
from tractprobe.evidence.tables.rows import tidy
from tractprobe.evidence.tables.table import layer_means, layer_tables, printed
from tractprobe.probes.opening import each_held_out
from tractprobe.runs.building import build
from tractprobe.runs.configuration import plain
from tractprobe.runs.finished import finished, model_files
from tractprobe.runs.ranks import check_ranks, is_first
from tractprobe.runs.result import (
    EVIDENCE,
    HEADS,
    RESULT,
    Row,
    RunResult,
    ScoreRow,
    chosen_layer,
    mean_r,
    write_result,
    write_tested,
)
from tractprobe.runs.settings import ALL, Settings
from tractprobe.runs.status import ask_for, failure_noted
from tractprobe.system.errors import ConfigError, RunError, first_line, optional
from tractprobe.system.files import clear_temporaries, locked_or_done

if TYPE_CHECKING:
    from tractprobe.data.splits import Split
    from tractprobe.encoders.layers import Label
    from tractprobe.probes.fitted import Fitted
    from tractprobe.probes.problem import Problem

log = logging.getLogger(__name__)


def train(config: DictConfig) -> RunResult | list[RunResult] | Record:
    """Do one run, or with ``held_out=all`` one for each value; return all results, old and new.

    With an analysis, do that, and return its record.
    """
    settings = Settings.of(plain(config))
    build(settings.tracking).check()
    if settings.analysis is not None:
        return _analyse(settings)
    if settings.held_out != ALL:
        with failure_noted([settings.folder]):
            _check_together(settings)
        (result,) = _finish([settings])
        return result
    with failure_noted([settings.folder]):
        check_ranks(settings)
        of_values = each_held_out(settings)
    ask_for(settings.paths.runs, [own.name for own in of_values], study=settings.name)
    if settings.closed_form or settings.together:
        results = _finish(of_values, settings)
    else:
        results = [result for (result,) in _each({own.name: partial(_finish, [own]) for own in of_values})]
    _summarise(settings, of_values, results)
    return results


def _analyse(settings: Settings) -> Record:
    """Return the record of an analysis, which is made, written and then logged unless it has been."""
    from tractprobe.evidence.conduct import conducted, finished_analysis, printed_findings

    check_ranks(settings)
    if not is_first(settings):
        raise ConfigError("an analysis takes one device: give trainer=cpu, or trainer=gpu trainer.devices=1")
    with ExitStack() as locks:
        locks.enter_context(failure_noted([settings.folder]))
        if locks.enter_context(locked_or_done(settings.folder, (settings.folder / EVIDENCE).is_file)):
            clear_temporaries(settings.folder)
        if (settings.folder / EVIDENCE).is_file():
            return finished_analysis(settings)
        log.info("analysis %s", settings.folder)
        record = conducted(settings)
        write_record(settings.folder, record)
    with optional(f"logging {settings.folder}"), _logged(settings, record.identity) as logger:
        if logger is not None:
            from tractprobe.runs.tracking import log_study

            log_study(logger, tables_of(record), [], numbers_of(record))
    log.info("finished %s\n%s", settings.folder / EVIDENCE, printed_findings(record))
    return record


def _check_together(settings: Settings) -> None:
    if settings.together and not settings.closed_form:
        raise ConfigError(
            "together=true trains the heads of all held-out values in one bank: give held_out=all (on one device: "
            "trainer=cpu, or trainer=gpu trainer.devices=1), or together=false for this held-out value alone"
        )


def _each(jobs: Mapping[str, Callable[[], Any]]) -> list[Any]:
    """Do every job, even if others fail; RunError names those that failed."""
    results, failed = [], {}
    for name, job in jobs.items():
        try:
            results.append(job())
        except Exception as error:
            failed[name] = first_line(error)
            log.error("%s: %s", name, failed[name])
    if failed:
        each = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise RunError(f"{len(failed)} of {len(jobs)} runs failed, the others are done: {each}")
    return results


def _finish(runs: Sequence[Settings], study: Settings | None = None) -> list[RunResult]:
    """Return the results of runs that differ in what is held out; those that lack one are fitted from one pass.

    Parameters
    ----------
    study
        What the runs are part of, if there are several. All of them, finished or not, decide on groups and batches,
        so that the numbers of each are always the same.
    """
    first = runs[0]
    if not is_first(first):
        return [_take_part(first)]
    with ExitStack() as locks:
        for folder in sorted(run.folder for run in runs):  # in one order, so that two processes never block each other
            # Whoever waited for the lock finds the run finished.
            if locks.enter_context(locked_or_done(folder, (folder / RESULT).is_file)):
                clear_temporaries(folder)
        missing = [run for run in runs if not (run.folder / RESULT).is_file()]
        if study is None:
            with failure_noted([first.folder]):
                return [_done_alone(first) if missing else finished(first)]
        jobs = {run.name: partial(_noted, run, partial(finished, run)) for run in runs}
        if missing:
            with failure_noted([run.folder for run in missing]):
                fitted, timing_s = _fitted_together(missing, runs, study)
            jobs |= {fit.problem.settings.name: partial(_conclude_apart, fit, timing_s) for fit in fitted}
        return _each(jobs)


def _noted(settings: Settings, job: Callable[[], RunResult]) -> RunResult:
    with failure_noted([settings.folder]):
        return job()


def _take_part(settings: Settings) -> RunResult:
    """Fit and test with the process that has the run directory; nothing is written from here."""
    if (settings.folder / RESULT).is_file():
        return finished(settings)
    check_ranks(settings)
    from tractprobe.probes.problem import Problem

    (fit,) = _fit([Problem.of(settings)], settings.folder, None, {})
    return {"fit": fit.report, "scores": fit.rows()}  # type: ignore[typeddict-item]


def _done_alone(settings: Settings) -> RunResult:
    """Do one run, logged to its own W&B run."""
    from tractprobe.probes.problem import Problem

    check_ranks(settings)
    log.info("run %s", settings.folder)
    timing_s: dict[str, float] = {}
    with _timed("prepare", timing_s):
        problem = Problem.of(settings)
    with _logged(settings, problem.identity) as logger:
        (fit,) = _fit([problem], settings.folder, logger, timing_s)
        with _timed("score", timing_s):
            rows = fit.rows()
        result = _recorded(fit, rows, timing_s)
        _show(fit, result, logger)
    log.info("finished %s\n%s", settings.folder / RESULT, printed(settings.folder, result))
    _warn_of_mistakes(rows)
    return result


def _fitted_together(
    missing: Sequence[Settings], runs: Sequence[Settings], study: Settings
) -> "tuple[list[Fitted], dict[str, float]]":
    """Fit the runs of a study that lack a result; what gradients fit is logged to the study's own W&B run."""
    from tractprobe.probes.problem import Problem

    timing_s: dict[str, float] = {"cells": len(missing)}
    with _timed("prepare", timing_s):
        problems = Problem.of_each(runs)
    to_fit = {id(run) for run in missing}
    chosen = [problem for problem in problems if id(problem.settings) in to_fit]
    if study.closed_form:
        return _fit(chosen, study.folder, None, timing_s, [problem.split for problem in problems]), timing_s
    clear_temporaries(study.folder)
    with _logged(study, problems[0].identity) as logger:
        fitted = _fit(problems, study.folder, logger, timing_s)
    return [fit for fit in fitted if id(fit.problem.settings) in to_fit], timing_s


def _fit(
    problems: "Sequence[Problem]",
    folder: Path,
    logger: Any,
    timing_s: dict[str, float],
    splits: "Sequence[Split] | None" = None,
) -> "list[Fitted]":
    """Fit the heads of problems that differ in their splits only, linear or trained, one or many.

    Parameters
    ----------
    folder
        Where an interrupted fit resumes.
    splits
        Of problems that are fitted at other times, from the same groups.
    """
    from tractprobe.runs.trainer import complaints, device_of, trainer_of

    first = problems[0]
    trainer = None if first.settings.closed_form else trainer_of(first.settings, folder, logger)
    device = device_of(first.settings) if trainer is None else trainer.strategy.root_device
    with _timed("encode", timing_s):
        states = first.states(device)
    if not all(problem.split.folds for problem in problems):
        log.warning("too few speakers and sentences to keep any aside for validation: nothing is chosen by it")
    with _timed("fit", timing_s):
        if trainer is None:
            from tractprobe.probes.linear.fit import fit

            return fit(problems, states, device, splits)
        from tractprobe.probes.gradient.fit import fit

        with complaints():
            return fit(problems, states, trainer, folder)


def _conclude_apart(fit: "Fitted", timing_s: Mapping[str, float]) -> RunResult:
    """Conclude one run of a study, in a W&B run of its own."""
    settings = fit.problem.settings
    with failure_noted([settings.folder]):
        result = _recorded(fit, fit.rows(), dict(timing_s))
    with optional(f"logging {settings.folder}"), _logged(settings, fit.problem.identity) as logger:
        _show(fit, result, logger)
    log.info("finished %s", settings.folder / RESULT)
    return result


def _recorded(fit: "Fitted", rows: list[ScoreRow], timing_s: dict[str, float]) -> RunResult:
    """Write the heads that were scored and then the result, which makes the run a finished one; return it."""
    settings, split = fit.problem.settings, fit.problem.split
    heads_sha256 = fit.save_heads(settings.folder / HEADS)
    result: RunResult = {
        "identity": fit.problem.identity,
        "settings": settings.raw,
        "timing_s": timing_s,
        "fit": fit.report,
        "utterances": {name: len(getattr(split, name)) for name in ("development", "train", "validation", "test")},
        "scaled_by_own_test_frames": fit.scaled_by_own_test_frames(),
        "scales": fit.plain_scales(),
        "source_origins": fit.problem.source_origins(),
        "model_files": model_files(settings),
        "heads_sha256": heads_sha256,
        "test_utterances": write_tested(settings.folder, split.test),
        "scores": rows,
    }
    write_result(settings.folder, result)
    return result


def _show(fit: "Fitted", result: RunResult, logger: Any) -> None:
    """Log a finished run's scores, pictures and heads; what fails is one line each."""
    if logger is None:
        return
    from tractprobe.runs.tracking import log_heads, log_pictures, log_scores

    chosen, rows = chosen_layer(result), result["scores"]
    folder, layer = fit.problem.settings.folder, fit.problem.labels[-1] if chosen is None else chosen
    with optional("logging scores"):
        log_scores(logger, rows, layer_means(rows), chosen, None if chosen is None else mean_r(result, chosen))
    with optional("logging predictions"):
        log_pictures(logger, _draw_examples(fit, layer))
    with optional("logging heads"):
        log_heads(logger, folder / HEADS, result["identity"])


def _draw_examples(fit: "Fitted", layer: "Label") -> list[Path]:
    """Draw the predictions of one layer over the measured trajectories, for the same few test utterances every time."""
    from tractprobe.evidence.tables.figures import prediction_curves, write_picture

    settings, names = fit.problem.settings, [channel.name for channel in fit.problem.targets.channels]
    pictures = []
    for number, id_ in enumerate(fit.examples(build(settings.tracking).examples)):
        figure = prediction_curves(*fit.example(id_, layer), names, f"{id_}, layer {layer}")
        pictures.append(write_picture(settings.folder / "predictions" / f"example-{number}.png", figure))
    return pictures


def _summarise(settings: Settings, runs: Sequence[Settings], results: Sequence[RunResult]) -> None:
    """Print, draw and log the table of all runs of a study, into a directory of its own beside theirs."""
    from tractprobe.evidence.tables.summary import summarise

    rows = [row for run, result in zip(runs, results, strict=True) for row in tidy(run.name, result)]
    log.info("%d runs, %s\n%s", len(runs), settings.folder, "\n".join(map(str, layer_tables(rows))))
    _warn_of_mistakes(row for result in results for row in result["scores"])
    cells = {run.name: result["identity"] for run, result in zip(runs, results, strict=True)}
    summarise(settings.name, settings.folder, settings.raw, build(settings.tracking), rows, cells)


def _warn_of_mistakes(rows: Iterable[Row]) -> None:
    for line in read_backwards(rows):
        log.warning("%s", line)


@contextmanager
def _logged(settings: Settings, identity: Mapping[str, Any]) -> Iterator[Any]:
    with build(settings.tracking).run(settings.name, settings.folder, settings.raw, "fit", identity) as logger:
        yield logger


@contextmanager
def _timed(stage: str, timing_s: dict[str, float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    timing_s[stage] = round(time.perf_counter() - began, 3)
