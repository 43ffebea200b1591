"""Signals that end a command: its status is not that of success, and the same command ends as an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from test_run import NARROW, NONLINEAR, TRAIN, places  # noqa: F401
from warm import Warm

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.runs.result import read_result

# Runs a script that gets a signal from itself when it calls a function for the n-th time.
SIGNALLED = """
import importlib, os, runpy, signal, sys

_, module, owner, name, count, signum = sys.argv[:6]
del sys.argv[:6]
place = importlib.import_module(module)
for part in filter(None, owner.split(".")):
    place = getattr(place, part)
called, left = getattr(place, name), [int(count)]

def signalled(*arguments, **more):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), int(signum))
    return called(*arguments, **more)

setattr(place, name, signalled)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
IN_FIT = ("tractprobe.probes.gradient.inversion", "Inversion", "training_step")
FIT = [*NONLINEAR, NARROW, "trainer.max_epochs=6", "checkpoint_s=0.001", "data.batch_size=4", "held_out=it"]
SLURM = {
    "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "fit", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}  # fmt: skip


def signalled(warm: Warm, tmp_path: Path, where: Sequence[str], count: int, signum: int, line: Sequence[str], **more: str):
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    script = [str(tmp_path / "signalled.py"), *where, str(count), str(int(signum))]
    process = warm.start([*script, *line], tmp_path, {**os.environ, **more})
    return process, *process.communicate()


def fit_of(runs: Path) -> dict[str, Any]:
    (path,) = runs.rglob("result.json")
    result = read_result(path.parent)
    return {"scores": result["scores"], "fit": result["fit"]}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_fit_that_is_preempted_ends_as_an_undisturbed_one(
    places: list[str],  # noqa: F811
    tmp_path: Path,
    warm: Warm,
    signum: int,
):
    """With Slurm's variables set: Lightning would write weights of its own and load them over the best epoch's."""
    (tmp_path / "scontrol").write_text("#!/bin/sh\ntouch requeued\n")
    (tmp_path / "scontrol").chmod(0o755)
    environment = {**SLURM, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process, printed, complained = signalled(
        warm, tmp_path, IN_FIT, 4, signum, [TRAIN, *FIT, *places], **environment
    )
    name = signal.Signals(signum).name
    assert process.returncode == 128 + signum
    assert complained == f"tractprobe: stopped by {name}; run the same command again to continue\n"
    assert "Traceback" not in printed and not list(tmp_path.rglob("result.json"))
    resumed = warm.start([TRAIN, *FIT, *places], tmp_path, {**os.environ, **environment})
    assert "resuming from" in resumed.communicate()[0] and resumed.returncode == 0
    assert not list(tmp_path.rglob("hpc_ckpt*")) and not (tmp_path / "requeued").exists()
    undisturbed = warm.run([TRAIN, *FIT, *places, f"paths.runs={tmp_path / 'undisturbed'}"], tmp_path)
    assert undisturbed.returncode == 0
    assert fit_of(tmp_path / "runs") == fit_of(tmp_path / "undisturbed")
