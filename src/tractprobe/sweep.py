"""Sweeps: which runs a line asks for, those of them that can start, and in the end what became of each.

What cannot start (a mistyped value, an encoder that does not exist) is named before anything is started, once, and
disturbs no other. Launchers continue after a failed job; a job that is killed leaves nothing but its run directory. So
the list at the end is made from directories.
"""

import atexit
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from tractprobe.probes.opening import names_of_runs
from tractprobe.runs.building import build
from tractprobe.runs.composition import options_of
from tractprobe.runs.configuration import Plain, plain
from tractprobe.runs.identity import RunId
from tractprobe.runs.result import EVIDENCE, is_finished
from tractprobe.runs.settings import Settings
from tractprobe.runs.slurm import prepare_launcher
from tractprobe.runs.status import Status, ask_for, statuses, summary, table
from tractprobe.system.errors import ConfigError, RunError, StorageError, TractprobeError, first_line, optional
from tractprobe.system.files import digest, writing
from tractprobe.system.printable import printable
from tractprobe.system.progress import time_left

log = logging.getLogger(__name__)

Check = Callable[[DictConfig], Any]


class Sweep(Callback):
    """What Hydra calls before a run of its own, and around the jobs of a sweep."""

    def __init__(self) -> None:
        self.names: dict[Path, list[str]] = {}
        self.began_s, self.done_before = 0.0, 0

    def expect(self, names: dict[Path, list[str]]) -> None:
        """Note the runs that a sweep is about to start, by the folder of runs."""
        self.names, self.began_s = names, time.time()
        self.done_before = self._done()

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Exit with one line if the run's directory cannot be written to, before Hydra fails at it."""
        folder = Path(config.hydra.run.dir)
        if not is_finished(folder):
            _check_writable(folder)
        elif not os.access(folder, os.W_OK):  # reading what is finished needs no permission to write
            _write_nothing(config)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Say how many runs of the sweep are done, by whichever process, and how long the others will take."""
        total, done = sum(map(len, self.names.values())), self._done()
        if done < total and done > self.done_before:
            left = time_left(done - self.done_before, total - done, time.time() - self.began_s)
            log.info("sweep: %d of %d runs done, %s", done, total, left)

    def _done(self) -> int:
        return sum(is_finished(runs / name) for runs, names in self.names.items() for name in names)


@dataclass(frozen=True)
class Job:
    """One of the jobs that a line asks for.

    Attributes
    ----------
    arguments
        Its own, among those of the line.
    runs, name
        Where its run lies, if its settings can be resolved; nowhere if it evaluates or prepares.
    names
        Of its runs: with ``held_out=all`` one for each value, where the corpora are there to tell.
    problem
        Why it cannot start, if it cannot.
    """

    arguments: tuple[str, ...]
    runs: Path = Path()
    name: str = ""
    names: tuple[str, ...] = ()
    problem: str | None = None


def sweep(hydra: Hydra, config: DictConfig, task: Callable[[DictConfig], Any], check: Check) -> None:
    """Do the jobs of a line that can start; exit with status 1 if others cannot, or if one has failed.

    Parameters
    ----------
    check
        Raises what is wrong with a job's configuration.
    """
    _check_writable(Path(config.hydra.sweep.dir))
    prepare_launcher(config.hydra.launcher)
    jobs = jobs_of(hydra, config, check)
    for line in _problems(jobs):
        print(f"tractprobe: {line}", file=sys.stderr, flush=True)
    started = [job for job in jobs if job.problem is None]
    if not started:
        sys.exit(1)
    names: dict[Path, list[str]] = {}
    for job in started:
        if job.name:
            names.setdefault(job.runs, []).append(job.name)
    for runs, own in names.items():
        ask_for(runs, own, sweep=[*_parameters(config), *config.hydra.overrides.task])
        atexit.register(_print_end, runs, own)
    returned = _launched(hydra, config, task, started, names)
    if any(one.status != JobStatus.COMPLETED for one in returned) or len(started) < len(jobs):
        sys.exit(1)
    study = config.hydra.runtime.choices.get("study")
    for runs, own in names.items():
        if study and len(own) > 1:
            _compare(study, _settings_of(started[0], hydra, config), runs, own)


def _settings_of(job: Job, hydra: Hydra, config: DictConfig) -> Plain:
    """Return the settings of a job: a line that sweeps over ``model.name`` has none of its own."""
    if config.hydra.mode != RunMode.MULTIRUN:
        return plain(config)
    return plain(hydra.config_loader.load_sweep_config(config, list(job.arguments)))


def _launched(
    hydra: Hydra,
    config: DictConfig,
    task: Callable[[DictConfig], Any],
    jobs: Sequence[Job],
    names: dict[Path, list[str]],
) -> list[Any]:
    """Give jobs to the launcher; unlike Hydra's own sweeper, whatever becomes of them."""
    callbacks = Callbacks(config)
    for own in callbacks.callbacks:
        if isinstance(own, Sweep):
            own.expect(names)
    callbacks.on_multirun_start(config=config, config_name=config.hydra.job.config_name)
    OmegaConf.save(config, Path(config.hydra.sweep.dir) / "multirun.yaml")
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config)
    at_once, returned = config.hydra.sweeper.get("max_batch_size") or len(jobs), list[JobReturn]()
    for start in range(0, len(jobs), at_once):
        batch = [job.arguments for job in jobs[start : start + at_once]]
        try:
            returned += launcher.launch(batch, initial_job_idx=start)
        except Exception as error:  # not of a job, which would be returned
            raise RunError(f"{type(launcher).__name__} has ended: {first_line(error)}") from error
    for one in returned:
        if one.status != JobStatus.COMPLETED and not isinstance(one._return_value, TractprobeError):
            log.error("a fault of tractprobe's own", exc_info=one._return_value)
    callbacks.on_multirun_end(config=config, config_name=config.hydra.job.config_name)
    return returned


def plan(hydra: Hydra, config: DictConfig, check: Check) -> str:
    """Return the runs that a line asks for, with what has become of each, and why some cannot start."""
    jobs, each = jobs_of(hydra, config, check), list[Status]()
    for job in jobs:
        if job.problem is None:
            notes, known = ", ".join(_own_arguments(job, jobs)), job.runs.is_dir()
            found = {one.run: one for one in statuses(job.runs, only=set(job.names))} if known else {}
            every = [found.get(name, Status(name, "missing", "")) for name in job.names]
            each += [replace(one, note=f"{one.note}  {notes}".strip()) for one in every]
    unnamed = [f"job      {' '.join(job.arguments)}" for job in jobs if job.problem is None and not job.name]
    count = f"{len(jobs)} job{'s' * (len(jobs) != 1)}"
    lines = [*_problems(jobs), *unnamed, table(each), f"\n{count}: {summary(each)}" if each else f"\n{count}"]
    return printable("\n".join(line for line in lines if line))


def _own_arguments(job: Job, jobs: Sequence[Job]) -> list[str]:
    """Return the arguments that not all jobs have; those of a single one are on the line."""
    shared = set.intersection(*(set(other.arguments) for other in jobs))
    return [argument for argument in job.arguments if argument not in shared]


def jobs_of(hydra: Hydra, config: DictConfig, check: Check) -> list[Job]:
    """Return the jobs of a line, in order; ConfigError if there is none."""
    typed = list(config.hydra.overrides.task)
    if config.hydra.mode != RunMode.MULTIRUN:
        return [_job(typed, lambda: config, check)]
    if config.hydra.sweeper._target_ != f"{BasicSweeper.__module__}.{BasicSweeper.__name__}":
        raise ConfigError("hydra/sweeper: sweeps are over the values that the line lists; leave it out")
    parsed = OverridesParser.create(config_loader=hydra.config_loader).parse_overrides([*_parameters(config), *typed])
    for own in parsed:
        _check_values(own)
    return [
        _job(own, lambda own=own: hydra.config_loader.load_sweep_config(config, list(own)), check)
        for own in BasicSweeper.split_arguments(parsed, None)[0]
    ]


def _check_values(override: Override) -> None:
    if override.is_discrete_sweep() and not list(override.sweep_string_iterator()):
        options = ", ".join(options_of(override.key_or_group))
        raise ConfigError(f"{override.input_line}: no option has such a name{options and f'; there are {options}'}")


def _job(arguments: Sequence[str], composed: Callable[[], DictConfig], check: Check) -> Job:
    try:
        config = composed()
        settings = plain(config)
        check(config)
        if "head" not in settings:  # an evaluation, pretraining or preparation, which is no run
            return Job(tuple(arguments))
        name = RunId.of(settings).name
        return Job(tuple(arguments), Path(settings["paths"]["runs"]), name, names_of_runs(Settings.of(settings)))
    except TractprobeError as error:
        return Job(tuple(arguments), problem=first_line(error))


def _problems(jobs: Sequence[Job]) -> list[str]:
    """Return a line for each reason why jobs cannot start."""
    by_reason: dict[str, list[Job]] = {}
    for job in jobs:
        if job.problem is not None:
            by_reason.setdefault(job.problem, []).append(job)
    return [printable(f"no run of {_which(own, jobs)}: {reason}") for reason, own in by_reason.items()]


def _which(some: Sequence[Job], jobs: Sequence[Job]) -> str:
    return (
        " ".join(_own_arguments(some[0], jobs)) if len(some) == 1 < len(jobs) else f"({len(some)} of {len(jobs)} jobs)"
    )


def _write_nothing(config: DictConfig) -> None:
    """Keep Hydra from writing its log and its copy of the configuration into the run's directory."""
    logging = config.hydra.job_logging
    with open_dict(config.hydra):
        config.hydra.output_subdir = None
        logging.handlers.pop("file", None)
        logging.root.handlers = [name for name in logging.root.handlers if name != "file"]


def _check_writable(folder: Path) -> None:
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".writable").touch()
            (folder / ".writable").unlink(missing_ok=True)
    except StorageError as error:
        sys.exit(f"tractprobe: {error}")  # of any other exception Hydra would only warn


def _parameters(config: DictConfig) -> list[str]:
    """Return as overrides what the sweeper itself sweeps over, such as a study's parameters."""
    return [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]


def _print_end(runs: Path, names: Sequence[str]) -> None:
    try:
        each = statuses(runs, only=set(names))
    except TractprobeError as error:
        print(f"\nsweep: {error}", flush=True)
        return
    print(f"\nsweep: {summary(each)} (tractprobe status {runs})")
    if unfinished := [status for status in each if status.state != "done"]:
        print(f"{table(unfinished)}\nThe same line again runs what is missing and what failed.", flush=True)


def _compare(study: str, settings: Plain, runs: Path, names: Sequence[str]) -> None:
    """Write a study's tables and pictures below ``studies``, in a folder named after its runs."""
    from tractprobe.evidence.tables.rows import tidy
    from tractprobe.evidence.tables.summary import summarise
    from tractprobe.runs.result import read_result

    done = [status.run for status in statuses(runs, only=set(names)) if status.state == "done"]
    done = [name for name in done if not (runs / name / EVIDENCE).is_file()]
    if not done:
        with optional(f"claims of {study}"):
            _claim(study, settings, runs)
        print(f"\n{study}: tractprobe report {runs} shows what was found")
        return
    results = {name: read_result(runs / name) for name in done}
    rows = [row for name, result in results.items() for row in tidy(name, result)]
    name = f"studies/{study}-{digest(done)[:6]}"
    details = {"study": study, "corpora": settings["corpora"], "runs": done}
    cells = {name: result["identity"] for name, result in results.items()}
    summarise(name, runs / name, details, build(settings["tracking"]), rows, cells)
    print(f"\n{study}: {len(done)} runs compared in {runs / name}")


def _claim(study: str, settings: Plain, runs: Path) -> None:
    """Print what rules make of all analyses below a folder of runs, and log it as the study's own W&B run."""
    from tractprobe.report.claims import claim_rows, sentence, verdicts
    from tractprobe.report.collect import collect
    from tractprobe.report.sections import tables_together

    groups = [group for group in collect(runs).groups if group.records]
    for group in groups:
        print(printable(f"\n{verdicts(group)}\n{sentence(group)}"))
    rows = claim_rows(groups)
    records = [record for group in groups for record in group.records]
    cells = sorted(Path(record.folder).relative_to(runs).as_posix() for record in records)
    name = f"studies/{study}-{digest(cells)[:6]}"
    material = {
        "cells": cells,
        "corpora": {corpus: content_hash for group in groups for corpus, content_hash in group.corpora.items()},
        "encoder": sorted({digest(record.identity["encoder"]) for record in records}),
    }
    details = {"study": study, "corpora": settings["corpora"], "cells": cells}
    with build(settings["tracking"]).run(name, runs / name, details, "study", material) as logger:
        if logger is not None:
            from tractprobe.runs.tracking import log_study

            log_study(logger, {"claims": rows, **tables_together(groups)}, [], {})
