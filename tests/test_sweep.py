"""Sweeps through Hydra's launchers: what fails stops nothing else, and nothing is done twice."""

import atexit
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from test_config import composed
from test_run import SMALL, TRAIN, assert_alike
from test_tracking import offline_runs
from warm import Warm

from tractprobe.jobs import train
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import register_resolvers
from tractprobe.runs.result import read_result
from tractprobe.runs.status import FAILURE, statuses
from tractprobe.sweep import Sweep
from tractprobe.system.errors import RunError

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
    """The second of three jobs wants a corpus that is prepared later."""
    if not installed(launcher):
        pytest.skip(f"{launcher} is not installed")
    runs = tmp_path / "runs"
    line = [*LAUNCHERS[launcher], "corpora=[toy],[later],[toy,toy2]", FRAME, "held_out=it", "tracking=off", *places]
    shutil.copytree(tmp_path / "data/toy", tmp_path / "data/toy2")
    rename(tmp_path / "data/toy2", "toy2")
    first = sweep(warm, tmp_path, *line)
    assert first.returncode == 1
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

    shutil.copytree(tmp_path / "data/toy", tmp_path / "data/later")
    rename(tmp_path / "data/later", "later")
    second = sweep(warm, tmp_path, *line)
    assert second.returncode == 0, second.stdout + second.stderr
    assert results(runs).keys() == {name, *done} and done.items() <= results(runs).items()
    assert not list(runs.rglob(FAILURE)) and "3 done, 0 running, 0 failed, 0 missing" in second.stdout


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
    overrides = ["study=controls", "model=mel_frame,mfcc_frame", "corpora=[toy]", "tracking.examples=0", *places]
    process = sweep(warm, tmp_path, *overrides)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "sweep: 6 done, 0 running, 0 failed, 0 missing" in process.stdout
    (folder,) = (tmp_path / "runs/studies").iterdir()
    assert folder.name.startswith("controls-") and (folder / "models.png").is_file()
    lines = (folder / "models.csv").read_text().splitlines()
    assert lines[0] == "probe,held_out,layer,r,low,high,n" and len(lines) == 1 + 2 * 3
    found = offline_runs(tmp_path)
    assert {run["group"] for run in found} == {"controls"}
    (compared,) = [run for run in found if run["config"].get("study") == "controls"]
    assert len(compared["config"]["runs"]) == 6 and compared["job_type"] == "study"
    assert {"models", "layers"} <= {key.partition(".")[0] for row in compared["history"] for key in row}


def test_a_job_without_a_directory_is_told_of_at_the_end(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It has none where its settings cannot be resolved: a model without a name, devices without a number."""
    told: list[str] = []
    monkeypatch.setattr(
        atexit, "register", lambda function, *lines, **_: told.extend(lines) if function is print else 0
    )
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", [f"paths.runs={tmp_path}", f"hydra.sweep.dir={tmp_path}"], return_hydra_config=True)
        config.hydra.overrides.task = [
            "model=hub,mel_frame",
            "head=mlp",
            "trainer.devices=1,auto",
            f"paths.runs={tmp_path}",
        ]
        Sweep().on_multirun_start(config)
    assert len(told) == 3 and all(line.startswith("no run   model=") for line in told)
    assert "model.name" in told[0] and "model=mel_frame" in told[2] and "trainer.devices=auto" in told[2]
    assert [one.state for one in statuses(tmp_path)] == ["missing"]


STUDIES = sorted(path for path in (conf_dir() / "study").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_says_what_it_is_for_how_long_it_takes_and_what_comes_out(path: Path):
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert header[0] == "# @package _global_" and header[1].startswith("# ")
    text = "\n".join(header)
    assert f"# python train.py study={path.stem}" in text
    assert "Built-in corpus" in text and re.search(r"\d+ s (on|of)|a minute", text) and "r = ." in text
    assert max(map(len, header)) <= 130


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_each_study_is_understood_and_groups_its_runs_under_its_name(path: Path):
    assert composed("train", f"study={path.stem}")["tracking"]["group"] == path.stem
    assert composed("train", f"study={path.stem}", "tracking.group=pilot")["tracking"]["group"] == "pilot"
