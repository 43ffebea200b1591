"""Slurm, as far as a sweep has to know it: whether it is there, and what its tasks wait for."""

import logging
import shutil
import subprocess
import time
from collections import Counter
from functools import cache
from typing import Any

from tractprobe.system.errors import ConfigError, first_line

log = logging.getLogger(__name__)

_SLURM = "SlurmLauncher"
_APPEARS_S = 30.0  # after which a task that is not in the queue has ended


def is_slurm(launcher: Any) -> bool:
    """Return whether a launcher gives jobs to Slurm, so that they run on other machines."""
    return str(launcher._target_).endswith(_SLURM)


def prepare_launcher(launcher: Any) -> None:
    """Check what a launcher needs on this machine, and let Slurm's say what its tasks wait for.

    Raises
    ------
    ConfigError
        There is no Slurm here.
    """
    if not is_slurm(launcher):
        return
    if missing := [name for name in ("sbatch", "srun", "squeue") if shutil.which(name) is None]:
        raise ConfigError(
            f"launcher=slurm: there is no {missing[0]} on this machine; type the line where jobs are "
            "submitted, or give launcher=joblib or launcher=local"
        )
    from submitit.slurm import slurm

    slurm.SlurmJob.watcher = _watcher()(f"{launcher.cpus_per_task} cores and {launcher.mem_gb} GB")


@cache
def _watcher() -> Any:
    from submitit.slurm.slurm import SlurmInfoWatcher

    class QueueWatcher(SlurmInfoWatcher):
        """Asks the queue, which every Slurm has, and not its accounting, which many have switched off."""

        def __init__(self, asked: str):
            super().__init__(delay_s=60)
            self._asked, self._told, self._since = asked, "", dict[str, float]()

        def update(self) -> None:
            self._last_status_check = time.time()
            unfinished = self._registered - self._finished
            if not unfinished:
                return
            command = ["squeue", "--me", "--array", "--noheader", "--format=%i|%T|%r"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                self._tell(f"squeue does not answer: {first_line(OSError(done.stderr))}")
                return
            lines = [line.strip().split("|") for line in done.stdout.splitlines()]
            queued = {line[0]: (line[1], line[2]) for line in lines if len(line) == 3}
            for name in unfinished:
                since = self._since.setdefault(name, time.time())
                if name in queued:
                    self._info_dict[name] = {"State": queued[name][0]}
                elif name in self._info_dict or time.time() - since > _APPEARS_S:
                    self._info_dict[name] = {"State": "COMPLETED"}
            waiting = Counter(queued[name][1] for name in unfinished if queued.get(name, ("",))[0] == "PENDING")
            reasons = ", ".join(f"{count} for {reason}" for reason, count in sorted(waiting.items()))
            self._tell(
                f"{waiting.total()} of {len(self._registered)} tasks wait: {reasons}. Each asks for {self._asked} "
                "(hydra.launcher.cpus_per_task, hydra.launcher.mem_gb)"
                if waiting
                else ""
            )

        def _tell(self, text: str) -> None:
            if text and text != self._told:
                log.info("slurm: %s", text)
            self._told = text

    return QueueWatcher
