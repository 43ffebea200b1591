"""What Hydra calls around a sweep: notes which runs it asks for, and prints in the end what became of them.

Launchers continue after a failed job and exit with status 1 in the end, but name only the first failure; and a job that
is killed leaves nothing but its run directory. So the list at the end is made from directories.
"""

import atexit
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.errors import ConfigCompositionException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from tractprobe.runs.building import build
from tractprobe.runs.configuration import Plain, plain
from tractprobe.runs.identity import RunId
from tractprobe.runs.result import RESULT
from tractprobe.runs.status import ask_for, statuses, summary, table
from tractprobe.system.errors import ConfigError, StorageError, TractprobeError, first_line
from tractprobe.system.files import digest, writing
from tractprobe.system.progress import time_left

log = logging.getLogger(__name__)


class Sweep(Callback):
    """The callbacks of one sweep."""

    def __init__(self) -> None:
        self.names: dict[Path, list[str]] = {}
        self.unclear: list[str] = []
        self.began_s, self.done_before = 0.0, 0

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Exit with one line if the run's directory cannot be written to, before Hydra fails at it."""
        _check_writable(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Note the runs that the sweep asks for; what became of them is printed however it ends."""
        _check_writable(Path(config.hydra.sweep.dir))
        for runs, name in _jobs(config, self.unclear):
            self.names.setdefault(runs, []).append(name)
        line = [*_parameters(config), *config.hydra.overrides.task]
        for runs, names in self.names.items():
            ask_for(runs, names, sweep=line)
            atexit.register(_print_end, runs, names)
        self.began_s, self.done_before = time.time(), self._done()
        if self.unclear:
            atexit.register(print, *self.unclear, sep="\n", flush=True)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Say how many runs of the sweep are done, by whichever process, and how long the others will take."""
        total, done = sum(map(len, self.names.values())), self._done()
        if done < total and done > self.done_before:
            left = time_left(done - self.done_before, total - done, time.time() - self.began_s)
            log.info("sweep: %d of %d runs done, %s", done, total, left)

    def _done(self) -> int:
        return sum((runs / name / RESULT).is_file() for runs, names in self.names.items() for name in names)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Compare all models of a completed study, in a table, pictures and a W&B run of its own."""
        study = config.hydra.runtime.choices.get("study")
        for runs, names in self.names.items():
            if study and len(names) > 1:
                _compare(study, plain(config), runs, names)


def _check_writable(folder: Path) -> None:
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".writable").touch()
            (folder / ".writable").unlink(missing_ok=True)
    except StorageError as error:
        sys.exit(str(error))  # of any other exception Hydra would only warn


def _jobs(config: DictConfig, unclear: list[str]) -> Iterator[tuple[Path, str]]:
    """Yield where each job's run lies, in the sweeper's order; note which settings cannot be resolved, and why."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    parser = OverridesParser.create(config_loader=hydra.config_loader)
    parsed = parser.parse_overrides([*_parameters(config), *config.hydra.overrides.task])
    for overrides in BasicSweeper.split_arguments(parsed, None)[0]:
        try:
            settings = plain(hydra.config_loader.load_sweep_config(config, list(overrides)))
            yield Path(settings["paths"]["runs"]), RunId.of(settings).name
        except (ConfigError, ConfigCompositionException) as error:  # it has no name, so no directory, and will fail
            unclear.append(f"no run   {' '.join(overrides)}: {first_line(error)}")


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
    from tractprobe.evidence.summary import summarise
    from tractprobe.evidence.table import tidy
    from tractprobe.runs.result import read_result

    done = [status.run for status in statuses(runs, only=set(names)) if status.state == "done"]
    rows = [row for name in done for row in tidy(name, read_result(runs / name))]
    name = f"studies/{study}-{digest(done)[:6]}"
    details = {"study": study, "corpora": settings["corpora"], "runs": done}
    summarise(name, runs / name, details, build(settings["tracking"]), rows)
    print(f"\n{study}: {len(done)} runs compared in {runs / name}")
