"""Sweeps through Hydra's launchers: what fails stops nothing else, and nothing is done twice."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DEMO
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException
from test_config import composed
from test_run import SMALL, TRAIN, assert_alike
from test_tracking import offline_runs
from warm import Warm

import tractprobe.commands
from tractprobe.jobs import train
from tractprobe.runs.composition import explained
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import register_resolvers
from tractprobe.runs.result import read_result
from tractprobe.runs.slurm import prepare_launcher
from tractprobe.runs.status import FAILURE, statuses
from tractprobe.system.errors import ConfigError, RunError

Configure = Callable[..., Any]
LAUNCHERS = {
    "basic": ["launcher=local"],
    "hydra_joblib_launcher": ["launcher=joblib"],
    "hydra_submitit_launcher": ["hydra/launcher=submitit_local"],
}
FRAME = "model=mel_frame"


@pytest.fixture
def places(data: Path, tmp_path: Path) -> list[str]:
    """A data folder of the test's own, with one corpus."""
    shutil.copytree(data / "toy", tmp_path / "data/toy")
    return [f"paths.{name}={tmp_path / name}" for name in ("data", "runs", "cache")]


def sweep(warm: Warm, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [TRAIN, "-m", *arguments]
    if "hydra/launcher=submitit_local" in arguments:
        return subprocess.run([sys.executable, *line], capture_output=True, text=True, cwd=tmp_path, check=False)
    return warm.run(line, tmp_path)


def results(runs: Path) -> dict[str, int]:
    return {path.parent.relative_to(runs).as_posix(): path.stat().st_mtime_ns for path in runs.rglob("result.json")}


def installed(plugin: str) -> bool:
    try:
        return plugin == "basic" or importlib.util.find_spec(f"hydra_plugins.{plugin}") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_job_that_fails_stops_no_other_and_the_same_line_runs_it_alone(
    launcher: str, places: list[str], tmp_path: Path, warm: Warm
):
    """The second of three jobs reads a corpus that lacks a file, which is put back later."""
    if not installed(launcher):
        pytest.skip(f"{launcher} is not installed")
    runs, data = tmp_path / "runs", tmp_path / "data"
    line = [*LAUNCHERS[launcher], "corpora=[toy],[later],[toy,toy2]", FRAME, "held_out=it", "tracking=off", *places]
    for name in ("toy2", "later"):
        shutil.copytree(data / "toy", data / name)
        rename(data / name, name)
    audio = next((data / "later").rglob("*.flac"))
    audio.rename(tmp_path / "put aside")
    first = sweep(warm, tmp_path, *line)
    assert first.returncode == 1 and "HYDRA_FULL_ERROR" not in first.stderr and "Error executing" not in first.stderr
    done = results(runs)
    assert len(done) == 2
    (failure,) = runs.rglob(FAILURE)
    about = json.loads(failure.read_text())
    assert "later" in about["reason"] and about["error"] == "CorpusError" and about["host"]
    assert "CorpusError" in (failure.parent / about["traceback"]).read_text()
    assert "sweep: 2 done, 0 running, 1 failed, 0 missing" in first.stdout
    name = failure.parent.relative_to(runs).as_posix()
    assert [one.state for one in statuses(runs)] == [
        "failed" if run == name else "done" for run in sorted([name, *done])
    ]
    assert f"failed   {name}" in first.stdout and about["reason"] in first.stdout.partition("sweep: ")[2]

    (tmp_path / "put aside").rename(audio)
    second = sweep(warm, tmp_path, *line)
    assert second.returncode == 0, second.stdout + second.stderr
    assert len(results(runs)) == 3 and done.items() <= results(runs).items()
    assert not list(runs.rglob(FAILURE)) and "3 done, 0 running, 0 failed, 0 missing" in second.stdout


def test_jobs_that_cannot_start_are_named_once_and_the_others_are_done(places: list[str], tmp_path: Path, warm: Warm):
    line = [FRAME.replace("mel_frame", "mel_frame,nosuch"), "held_out=it,xx", "corpora=[toy]", "tracking=off", *places]
    first = sweep(warm, tmp_path, *line)
    assert first.returncode == 1
    lines = first.stderr.splitlines()
    assert len(lines) == 2 and lines[0].startswith(
        "tractprobe: no run of model=mel_frame held_out=xx: held_out=xx names"
    )
    assert lines[1].startswith("tractprobe: no run of (2 of 4 jobs): model=nosuch: no such option")
    assert (
        "sweep: 1 done, 0 running, 0 failed, 0 missing" in first.stdout
        and "xx" not in first.stdout.partition("sweep")[2]
    )
    assert len(results(tmp_path / "runs")) == 1
    assert [one.state for one in statuses(tmp_path / "runs")] == ["done"]


@pytest.mark.parametrize("chdir", ["false", "true"])
def test_relative_paths_are_those_of_the_folder_where_the_line_was_typed(
    chdir: str, places: list[str], tmp_path: Path, warm: Warm
):
    line = [FRAME, "held_out=it,de", "corpora=[toy]", "tracking=off", f"hydra.job.chdir={chdir}"]
    process = sweep(warm, tmp_path, *line, "paths.data=data", "paths.runs=here/runs", "paths.cache=cache")
    assert process.returncode == 0, process.stdout + process.stderr
    found = sorted(path.parent for path in tmp_path.rglob("result.json"))
    assert [path.parent for path in found] == [
        tmp_path / f"here/runs/mel_frame/all/ridge/{one}" for one in ("de", "it")
    ]
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("cache")] == ["cache"]
    alone = warm.run([TRAIN, *line[:1], "held_out=en", *line[2:], "paths.data=data", "paths.runs=here/runs"], tmp_path)
    assert alone.returncode == 0 and len(list(tmp_path.rglob("train.log"))) == 3
    assert len(list(tmp_path.rglob("result.json"))) == len(list(tmp_path.glob("here/runs/*/*/*/*/*/result.json"))) == 3


def test_a_dry_run_lists_the_runs_of_a_line_and_makes_nothing(
    places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    line = ["held_out=it,xx", "model=random", "model.seed=0,1", "corpora=[toy]", *places]
    for option in (["--dry-run"], ["--cfg", "job"]):
        tractprobe.commands.run("train", [*line, "-m", *option])
        printed = capsys.readouterr().out.splitlines()
        assert printed[0].startswith("no run of (2 of 4 jobs): held_out=xx names no language")
        assert all(one.startswith("missing  random/all/ridge/it/s0-") for one in printed[1:3])
        assert sorted(one.split()[-1] for one in printed[1:3]) == ["model.seed=0", "model.seed=1"]
        assert printed[-1] == "4 jobs: 0 done, 0 running, 0 failed, 2 missing"
    assert not (tmp_path / "runs").exists()
    tractprobe.commands.run("train", ["held_out=it", FRAME, "corpora=[toy]", *places, "--dry-run"])
    assert capsys.readouterr().out.startswith("missing  mel_frame/all/ridge/it/s0-")
    tractprobe.commands.run("train", ["held_out=all", FRAME, "corpora=[toy]", *places, "--dry-run"])
    assert capsys.readouterr().out.endswith("\n\n1 job: 0 done, 0 running, 0 failed, 3 missing\n")
    tractprobe.commands.run("train", ["held_out=xx", f"corpora=[{DEMO}]", *places, "--dry-run"])
    assert "held_out" not in capsys.readouterr().out and not (tmp_path / "data" / DEMO).exists()


@pytest.mark.parametrize(
    ("heads", "problem"),
    [
        ("mlp,gru", []),
        ("ridge,mlp", ["no run of head=ridge: head.hidden=16: no such setting; there are alpha_per_channel"]),
    ],
)
def test_a_swept_option_knows_the_settings_that_are_given_for_it(
    places: list[str], capsys: pytest.CaptureFixture[str], heads: str, problem: list[str]
):
    """Hydra composes a line with the shipped head first, which has no such setting."""
    line = ["-m", f"head={heads}", "head.hidden=16", "held_out=it", FRAME, "corpora=[toy]", *places]
    tractprobe.commands.run("train", [*line, "--dry-run"])
    printed = capsys.readouterr().out.splitlines()
    assert [one.partition(",")[0] for one in printed if one.startswith("no run")] == problem
    missing = [one.split()[-1] for one in printed if one.startswith("missing")]
    assert sorted(missing) == sorted(f"head={head}" for head in heads.split(",") if head != "ridge")


def test_a_dry_run_of_evaluations_lists_them(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    tractprobe.commands.run("evaluate", ["-m", "run=a,b", f"hydra.sweep.dir={tmp_path / 'x'}", "--dry-run"])
    assert capsys.readouterr().out == "job      run=a\njob      run=b\n\n2 jobs\n" and not (tmp_path / "x").exists()


def test_a_sweep_over_nothing_is_refused(places: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        tractprobe.commands.run("train", ["-m", "model=glob(nosuch*)", *places])
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 1 and "model=glob(nosuch*): no option has such a name; there are builtin, data2vec" in line


def test_a_launcher_that_is_not_installed_is_said_with_what_installs_it():
    error = MissingConfigException("", "hydra/launcher/joblib")
    assert explained(error, []) == 'launcher=joblib needs another package: pip install "tractprobe[parallel]"'


SQUEUE = """#!/bin/sh
echo "$@" >> {folder}/asked
cat {folder}/queue
"""


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Slurm that has a queue and no accounting; what is in its file is queued."""
    pytest.importorskip("submitit")
    for name in ("sbatch", "srun", "squeue"):
        (tmp_path / name).write_text(SQUEUE.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "queue"


def test_slurm_is_asked_what_its_tasks_wait_for(queue: Path, caplog: pytest.LogCaptureFixture):
    from submitit.slurm.slurm import SlurmJob

    prepare_launcher(composed_launcher("slurm"))
    watcher = SlurmJob.watcher
    queue.write_text("7_0|PENDING|Resources\n7_1|RUNNING|None\n")
    with caplog.at_level("INFO"):
        for name in ("7_0", "7_1"):
            watcher.register_job(name)
        states = [watcher.get_state(name, mode="force") for name in ("7_0", "7_1", "7_0")]
    assert states == ["PENDING", "RUNNING", "PENDING"] and not watcher.is_done("7_0", mode="cache")
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == (
        "slurm: 1 of 2 tasks wait: 1 for Resources. Each asks for 2 cores and 8 GB "
        "(hydra.launcher.cpus_per_task, hydra.launcher.mem_gb)"
    )
    queue.write_text("7_0|RUNNING|None\n")
    assert watcher.is_done("7_1", mode="force") and not watcher.is_done("7_0", mode="cache")


def test_slurm_where_there_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"launcher=slurm: there is no sbatch on this machine; .*launcher=joblib"):
        prepare_launcher(composed_launcher("slurm"))


def composed_launcher(name: str) -> Any:
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", [f"launcher={name}"], return_hydra_config=True).hydra.launcher


def rename(corpus: Path, name: str) -> None:
    """Prepare the toy corpus under another name."""
    from tractprobe.corpora.prepared.prepare import prepare
    from tractprobe.corpora.readers.folder import Folder

    source = json.loads((corpus / "corpus.json").read_text())["source"]
    shutil.rmtree(corpus)
    prepare(Folder(name, Path(source)), corpus.parent)


def test_two_launches_of_one_sweep_at_once_do_each_cell_once(
    places: list[str], tmp_path: Path, configure: Configure, warm: Warm
):
    """Together they encode once and fit each cell once, and give what one launch gives."""
    line = [TRAIN, "-m", "held_out=en,it", *SMALL, "corpora=[toy]", "tracking=off", *places]
    processes = [warm.start(line, tmp_path) for _ in range(2)]
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    together = "".join(printed)
    assert together.count("encoding toy with random") == 1
    found = results(tmp_path / "runs")
    assert len(found) == 2
    for name in found:
        assert together.count(f"finished {tmp_path / 'runs' / name}/result.json") == 1
        assert together.count(f"finished already: {tmp_path / 'runs' / name}") == 1
        result = read_result(tmp_path / "runs" / name)
        alone = train(
            configure(f"held_out={result['identity']['held_out']}", *SMALL, f"paths.runs={tmp_path / 'other'}")
        )
        assert_alike(alone["scores"], result["scores"], 1e-9)


def test_cells_that_start_together_share_one_pass_of_the_encoder(places: list[str], tmp_path: Path, warm: Warm):
    lines = [[TRAIN, f"held_out={one}", *SMALL, "corpora=[toy]", "tracking=off", *places] for one in ("en", "it")]
    processes = [warm.start(line, tmp_path) for line in lines]
    printed = "".join(process.communicate()[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert printed.count("encoding toy with random") == 1 and len(list((tmp_path / "cache").rglob("states.npy"))) == 1


@pytest.mark.parametrize("head", [[], ["head=mlp", "head.hidden=4", "trainer.max_epochs=1"]])
def test_a_cell_that_fails_among_all_held_out_values_stops_no_other(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: list[str]
):
    from tractprobe.probes.fitted import Fitted

    rows = Fitted.rows

    def broken(fitted: Fitted) -> Any:
        if fitted.problem.settings.held_out == "en":
            raise RunError("a fault")
        return rows(fitted)

    with monkeypatch.context() as patched:
        patched.setattr(Fitted, "rows", broken)
        with pytest.raises(RunError, match=r"1 of 3 runs failed, the others are done: .*/en/.*: a fault"):
            train(configure("held_out=all", FRAME, *head))
    found = {one.run.split("/")[3]: one for one in statuses(tmp_path / "runs")}
    assert {name: one.state for name, one in found.items()} == {"de": "done", "en": "failed", "it": "done"}
    assert found["en"].note.startswith("a fault (")
    done = results(tmp_path / "runs")
    train(configure("held_out=all", FRAME, *head))
    assert {one.state for one in statuses(tmp_path / "runs")} == {"done"}
    assert done.items() <= results(tmp_path / "runs").items()


def test_a_study_ends_with_its_models_compared(places: list[str], tmp_path: Path, warm: Warm):
    overrides = [
        "study=nonlinear",
        "head=ridge",
        "model=mel_frame,mfcc_frame",
        "corpora=[toy]",
        "tracking.examples=0",
        *places,
    ]
    process = sweep(warm, tmp_path, *overrides)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "sweep: 6 done, 0 running, 0 failed, 0 missing" in process.stdout
    (folder,) = (tmp_path / "runs/studies").iterdir()
    assert folder.name.startswith("nonlinear-") and (folder / "models.png").is_file()
    lines = (folder / "models.csv").read_text().splitlines()
    assert lines[0] == "probe,held_out,layer,r,low,high,n,undefined" and len(lines) == 1 + 2 * 3
    found = offline_runs(tmp_path)
    assert {run["group"] for run in found} == {"nonlinear"}
    (compared,) = [run for run in found if run["config"].get("study") == "nonlinear"]
    assert len(compared["config"]["runs"]) == 6 and compared["job_type"] == "study"
    assert {"models", "layers"} <= {key.partition(".")[0] for row in compared["history"] for key in row}


def test_jobs_whose_settings_cannot_be_resolved_are_named(places: list[str], capsys: pytest.CaptureFixture[str]):
    line = ["model=hub,mel_frame", "head=mlp", "trainer.devices=1,auto", "corpora=[toy]", *places]
    tractprobe.commands.run("train", ["-m", *line, "held_out=it", "--dry-run"])
    first, second, third = capsys.readouterr().out.splitlines()[:3]
    assert first.startswith("no run of (2 of 4 jobs): model.name: this setting has no default")
    assert second.startswith("no run of model=mel_frame trainer.devices=auto: trainer.devices=auto: expected 1 or more")
    assert third.startswith("missing  mel_frame/all/mlp/it/s0")


STUDIES = sorted(path for path in (conf_dir() / "study").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_says_what_it_is_for_how_long_it_takes_and_what_comes_out(path: Path):
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert header[0] == "# @package _global_" and header[1].startswith("# ")
    text = "\n".join(header)
    assert f"# python train.py study={path.stem}" in text
    text = " ".join(line.lstrip("# ") for line in header)
    assert "Built-in corpus" in text and re.search(r"\d+ s (on|of)|a minute", text)
    assert re.search(r"(r|ρ|R²|share) = -?\.|none of the figures", text)
    assert max(map(len, header)) <= 130


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_each_study_is_understood_and_groups_its_runs_under_its_name(path: Path):
    assert composed("train", f"study={path.stem}")["tracking"]["group"] == path.stem
    assert composed("train", f"study={path.stem}", "tracking.group=pilot")["tracking"]["group"] == "pilot"
