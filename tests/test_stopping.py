"""What ends a command from outside, and what the environment may not change: signals, Slurm, Lightning's variables."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from signalled import IN_FIT, as_signalled
from test_run import NARROW, NONLINEAR, TRAIN, places  # noqa: F401
from warm import Process, Warm

from tractprobe.evaluation import evaluate
from tractprobe.jobs import train
from tractprobe.runs.result import read_result
from tractprobe.system.errors import ConfigError
from tractprobe.system.stopping import Stopped, stoppable

Configure = Callable[..., Any]
FIT = [
    *NONLINEAR,
    "model=mel",
    NARROW,
    "trainer.max_epochs=6",
    "checkpoint_s=0.001",
    "data.batch_size=4",
    "held_out=it",
]
SLURM = {
    "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "fit", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}  # fmt: skip


def signalled(
    warm: Warm, folder: Path, where: tuple[str, str, str], count: int, signum: int, line: list[str], **more: str
) -> Process:
    """Start a line that gets a signal at its n-th call of a function."""
    return warm.start(as_signalled(where, count, signum, line), folder, {**os.environ, **more})


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
    process = signalled(warm, tmp_path, IN_FIT, 4, signum, [TRAIN, *FIT, *places], **environment)
    printed, complained = process.communicate()
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


def test_a_sweep_that_is_ended_says_so_and_what_is_missing(places: list[str], tmp_path: Path, warm: Warm):  # noqa: F811
    line = [TRAIN, "-m", *FIT, "seed=0,1,2", *places]
    process = signalled(warm, tmp_path, IN_FIT, 14, signal.SIGTERM, line)
    printed, complained = process.communicate()
    assert process.returncode == 143, complained
    assert complained.count("stopped by SIGTERM") == 1 and "Traceback" not in complained
    assert "sweep: 1 of 3 runs done, about " in printed
    assert "sweep: 1 done, 0 running, 0 failed, 2 missing" in printed
    again = warm.run(line, tmp_path)
    assert again.returncode == 0 and "sweep: 3 done" in again.stdout


# A function that each command calls, and what ends it there.
ELSEWHERE = {
    "train": (("tractprobe.probes.linear.fit", "", "sum_groups"), signal.SIGINT),
    "train, writing": (("tractprobe.jobs", "", "write_result"), signal.SIGTERM),
    "evaluate": (("tractprobe.probes.gradient.inversion", "Inversion", "test_step"), signal.SIGTERM),
    "prepare": (("tractprobe.corpora.prepared.prepare", "", "_write"), signal.SIGTERM),
    "invert": (("tractprobe.inversion.files", "", "_invert"), signal.SIGINT),
}
MAIN = "import sys\nfrom tractprobe.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


@pytest.mark.parametrize("what", ELSEWHERE)
def test_every_command_ends_by_a_signal_with_its_status(
    configure: Configure,
    places: list[str],  # noqa: F811
    raw_corpus: Path,
    head: Path,
    tmp_path: Path,
    warm: Warm,
    what: str,
):
    (tmp_path / "main.py").write_text(MAIN)
    line = [str(tmp_path / "main.py"), what.partition(",")[0]]
    if line[1] == "train":
        line += ["model=mel", NARROW, "held_out=it", *places]
    elif what == "evaluate":
        train(configure("held_out=it", NARROW))
        line += [f"run={next((tmp_path / 'runs').rglob('result.json')).parent}", *places[:3]]
    elif what == "prepare":
        line += ["corpus=folder", "corpus.name=lab", f"corpus.root={raw_corpus}", f"paths.data={tmp_path}"]
    else:
        line += [str(next(raw_corpus.glob("*.flac"))), "--head", str(head)]
    where, signum = ELSEWHERE[what]
    process = signalled(warm, tmp_path, where, 1, signum, line)
    _, complained = process.communicate()
    assert process.returncode == 128 + signum, complained
    advice = "with --existing skip" if what == "invert" else "again"
    assert complained == f"tractprobe: stopped by {signum.name}; run the same command {advice} to continue\n"
    assert warm.run(line, tmp_path).returncode == 0


def test_a_checkpoint_that_lightning_wrote_for_slurm_is_never_scored(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Versions that let Lightning do so left them in run directories; others may put them there."""
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    undisturbed = train(configure(*FIT, f"paths.runs={tmp_path / 'undisturbed'}"))
    folder = next((tmp_path / "undisturbed").rglob("result.json")).parent
    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    checkpoint["state_dict"] = {name: torch.zeros_like(value) for name, value in checkpoint["state_dict"].items()}
    torch.save(checkpoint, folder / "hpc_ckpt_1.ckpt")
    again = evaluate(configure(f"run={folder}", name="evaluate"))
    assert [row["r"] for row in again] == pytest.approx([row["r"] for row in undisturbed["scores"]])
    other = tmp_path / "runs" / folder.relative_to(tmp_path / "undisturbed")
    other.mkdir(parents=True)
    (folder / "hpc_ckpt_1.ckpt").rename(other / "hpc_ckpt_1.ckpt")
    result = train(configure(*FIT))
    assert (result["scores"], result["fit"]) == (undisturbed["scores"], undisturbed["fit"])
    assert not list(tmp_path.rglob("hpc_ckpt*"))


def test_one_process_among_tasks_of_slurm_fits_and_logs_as_alone(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Variables that Lightning takes the number of processes from, and this one's rank among them."""
    for name, value in {**SLURM, "SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_NTASKS_PER_NODE": "4"}.items():
        monkeypatch.setenv(name, value)
    train(configure(*FIT, "tracking=csv"))
    (metrics,) = (tmp_path / "runs").rglob("metrics.csv")
    assert len(metrics.read_text().splitlines()) > 6


def test_settings_hidden_in_lightnings_variables_are_refused(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PL_TRAINER_LIMIT_TRAIN_BATCHES", "1")
    with pytest.raises(ConfigError, match=r"PL_TRAINER_LIMIT_TRAIN_BATCHES=1 .* give trainer\.limit_train_batches"):
        train(configure(*FIT))


def test_what_handles_failures_does_not_handle_the_end():
    assert not issubclass(Stopped, Exception | SystemExit)


def test_processes_that_slurm_did_not_start_are_one_error(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    for name, value in {**SLURM, "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"2 processes .* give srun --nodes=1 --ntasks-per-node=2"):
        train(configure(*FIT, "trainer=ddp"))


def test_what_fails_while_it_is_cleaned_up_after_a_signal_does_not_hide_it():
    """As Lightning does, which asks for the length of a loader, and torch, whose workers the same signal has ended."""
    for during in (True, False):
        with pytest.raises(SystemExit) as end, stoppable():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            except Stopped:
                if during:
                    raise RuntimeError("Please call `iter(combined_loader)` first.")  # noqa: B904
            raise RuntimeError("a worker is killed by signal")
        assert end.value.code == 128 + signal.SIGTERM
    with pytest.raises(RuntimeError, match="ours"), stoppable():
        raise RuntimeError("ours")
