"""Preemption by a real Slurm: what was requeued or ended in mid-fit ends as undisturbed. Run by ``slurm.sh``."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from tractprobe.jobs import train
from tractprobe.runs.result import read_result

FIT = [
    "head=mlp", "head.hidden=16", "trainer.max_epochs=30", "patience=100", "checkpoint_s=0.001", "data.batch_size=4",
    "model=mel", "model.context=1", "held_out=it", "corpora=[toy]", "tracking=off",
]  # fmt: skip
SLOW = f"""
import runpy, sys, time
sys.path[0] = {str(REPOSITORY)!r}
from tractprobe.probes.gradient.inversion import Inversion

step = Inversion.training_step

def slow_step(*arguments):
    time.sleep(0.1)
    return step(*arguments)

Inversion.training_step = slow_step
if __name__ == "__main__":
    runpy.run_path({str(REPOSITORY / "train.py")!r}, run_name="__main__")
"""


def ask(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def state(job: str) -> dict[str, str]:
    return dict(re.findall(r"(\S+?)=(\S*)", ask("scontrol", "show", "job", job)))


def wait_for(job: str, *states: str) -> dict[str, str]:
    while (found := state(job))["JobState"] not in states:
        if found["JobState"] == "PENDING" and found.get("Reason") == "BeginTime":
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=False)
        time.sleep(0.2)
    return found


def wait_for_checkpoint(folder: Path) -> None:
    while not list(folder.rglob("last.ckpt")):
        time.sleep(0.05)


@pytest.fixture
def line(data: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "slow.py").write_text(SLOW)
    places = {"data": data, "runs": tmp_path / "slurm", "cache": tmp_path / "cache"}
    return [sys.executable, str(tmp_path / "slow.py"), *FIT, *(f"paths.{name}={path}" for name, path in places.items())]


def submitted(line: list[str], folder: Path, *options: str) -> str:
    """Submit a batch script with one step; return the job."""
    script = folder / "job.sh"
    script.write_text("#!/bin/bash\nsrun " + " ".join(line) + "\n")
    return ask("sbatch", "--parsable", f"--output={folder}/job-%j.out", "--open-mode=append", *options, str(script))


def assert_undisturbed(folder: Path, configure: Callable[..., Any]) -> None:
    (path,) = (folder / "slurm").rglob("result.json")
    result, undisturbed = read_result(path.parent), train(configure(*FIT))
    assert result["scores"] == undisturbed["scores"] and result["fit"] == undisturbed["fit"]
    assert not list((folder / "slurm").rglob("hpc_ckpt*"))


def test_a_job_that_is_requeued_in_mid_fit_ends_as_undisturbed(
    line: list[str], tmp_path: Path, configure: Callable[..., Any]
):
    job = submitted(line, tmp_path, "--requeue")
    wait_for_checkpoint(tmp_path)
    ask("scontrol", "requeue", job)
    wait_for(job, "PENDING", "REQUEUED")
    assert wait_for(job, "COMPLETED", "FAILED")["JobState"] == "COMPLETED"
    assert state(job)["Restarts"] == "1"
    printed = (tmp_path / f"job-{job}.out").read_text()
    assert "resuming from" in printed and printed.count("stopped by SIGTERM") == 1 and "Traceback" not in printed
    assert_undisturbed(tmp_path, configure)


def test_a_job_that_is_told_to_end_is_not_taken_for_done(
    line: list[str], tmp_path: Path, configure: Callable[..., Any]
):
    """As ``#SBATCH --signal=USR1@60`` tells it before its time is up."""
    job = submitted(line, tmp_path)
    after = ask("sbatch", "--parsable", f"--dependency=afterok:{job}", f"--output={os.devnull}", "--wrap=true")
    wait_for_checkpoint(tmp_path)
    ask("scancel", "--signal=USR1", job)
    assert wait_for(job, "COMPLETED", "FAILED")["ExitCode"] == "138:0"
    assert "stopped by SIGUSR1" in (tmp_path / f"job-{job}.out").read_text()
    assert state(after)["JobState"] == "PENDING"
    ask("scancel", after)
    assert wait_for(submitted(line, tmp_path), "COMPLETED", "FAILED")["JobState"] == "COMPLETED"
    assert_undisturbed(tmp_path, configure)


def test_a_sweeps_job_that_is_requeued_in_mid_fit_ends_as_undisturbed(
    line: list[str], tmp_path: Path, configure: Callable[..., Any]
):
    launcher = ["launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=4"]
    command = [*line[:2], "-m", *line[2:], *launcher, f"hydra.sweep.dir={tmp_path / 'slurm'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sweep:
        wait_for_checkpoint(tmp_path)
        job = ask("squeue", "--noheader", "--format=%A", "--states=RUNNING").splitlines()[0]
        ask("scontrol", "requeue", job)
        wait_for(job, "PENDING", "REQUEUED")
        wait_for(job, "COMPLETED", "FAILED")
        printed = sweep.communicate()[0]
    assert sweep.returncode == 0 and "sweep: 1 done" in printed, printed
    assert_undisturbed(tmp_path, configure)
