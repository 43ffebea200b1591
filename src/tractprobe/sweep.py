"""What Hydra calls around a sweep: notes what it asks for, and ends it with what has become of that.

Launchers go on when a job fails and exit with status 1 in the end, but name the first failure only; and a job that dies
without a word is known by its run directory alone. So the list at the end is made from directories.
"""

import atexit
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from tractprobe.runs.building import build
from tractprobe.runs.configuration import Plain, plain
from tractprobe.runs.identity import RunId
from tractprobe.runs.status import ask_for, statuses, summary, table
from tractprobe.system.errors import ConfigError, StorageError, TractprobeError, first_line
from tractprobe.system.files import digest, writing


class Sweep(Callback):
    """Of one sweep."""

    def __init__(self) -> None:
        self.wanted: dict[Path, list[str]] = {}
        self.unclear: list[str] = []

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Leave with one line where the run's directory cannot be written to, before Hydra fails at it."""
        _check_writable(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Note the runs that the sweep asks for; what became of them is printed whatever ends it."""
        _check_writable(Path(config.hydra.sweep.dir))
        for runs, name in _jobs(config, self.unclear):
            self.wanted.setdefault(runs, []).append(name)
        line = [*_parameters(config), *config.hydra.overrides.task]
        for runs, names in self.wanted.items():
            ask_for(runs, names, sweep=line)
            atexit.register(_print_end, runs, names)
        if self.unclear:
            atexit.register(print, *self.unclear, sep="\n", flush=True)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Compare all models of a study that is whole, in a table, pictures and a W&B run of its own."""
        study = config.hydra.runtime.choices.get("study")
        for runs, names in self.wanted.items():
            if study and len(names) > 1:
                _compare(study, plain(config), runs, names)


def _check_writable(folder: Path) -> None:
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".writable").touch()
            (folder / ".writable").unlink(missing_ok=True)
    except StorageError as error:
        sys.exit(str(error))  # Hydra would warn of any other exception, and go on


def _jobs(config: DictConfig, unclear: list[str]) -> Iterator[tuple[Path, str]]:
    """Yield where each job's run lies, in the sweeper's order; note whose settings cannot be resolved, and why."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    parser = OverridesParser.create(config_loader=hydra.config_loader)
    parsed = parser.parse_overrides([*_parameters(config), *config.hydra.overrides.task])
    for overrides in BasicSweeper.split_arguments(parsed, None)[0]:
        try:
            settings = plain(hydra.config_loader.load_sweep_config(config, list(overrides)))
            yield Path(settings["paths"]["runs"]), RunId.of(settings).name
        except (ConfigError, ConfigCompositionException) as error:  # without a name it has no directory: it will fail
            unclear.append(f"no run   {' '.join(overrides)}: {first_line(error)}")


def _parameters(config: DictConfig) -> list[str]:
    """Return what the sweeper itself sweeps over, as a study says, in the form of overrides."""
    return [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]


def _print_end(runs: Path, names: Sequence[str]) -> None:
    try:
        found = statuses(runs, only=set(names))
    except TractprobeError as error:
        print(f"\nsweep: {error}", flush=True)
        return
    print(f"\nsweep: {summary(found)} (tractprobe status {runs})")
    if unfinished := [one for one in found if one.state != "done"]:
        print(f"{table(unfinished)}\nThe same line again runs what is missing and what failed.", flush=True)


def _compare(study: str, settings: Plain, runs: Path, names: Sequence[str]) -> None:
    """Write a study's tables and pictures below ``studies``, in a folder named by the runs that it is made of."""
    from tractprobe.evidence.summary import summarise
    from tractprobe.evidence.table import tidy
    from tractprobe.runs.result import read_result

    done = [one.run for one in statuses(runs, only=set(names)) if one.state == "done"]
    rows = [row for name in done for row in tidy(name, read_result(runs / name))]
    name = f"studies/{study}-{digest(done)[:6]}"
    about = {"study": study, "corpora": settings["corpora"], "runs": done}
    summarise(name, runs / name, about, build(settings["tracking"]), rows)
    print(f"\n{study}: {len(done)} runs compared in {runs / name}")
