"""W&B as it is on disk: offline runs read back with wandb's own reader."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import wandb

from tractprobe.cli import main
from tractprobe.evidence.tables.figures import prediction_curves
from tractprobe.jobs import train
from tractprobe.runs.result import chosen_layer, mean_r
from tractprobe.runs.tracking import Tracking
from tractprobe.runs.wandb_runs import mode_here, run_id
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, RunError
from tractprobe.system.files import digest

SMALL = ["model=random", "model.layers=1", "model.width=16", "model.channels=8", "tracking=offline"]
NONLINEAR = [*SMALL, "head=mlp", "head.hidden=16", "trainer.max_epochs=2"]

Configure = Callable[..., Any]


def read_back(file: Path) -> dict[str, Any]:
    """Return what one offline run holds, through W&B's own reader."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = {"history": [], "exit": None, "summary": {}, "stats": {}, "artifacts": []}
    for record in map(json.loads, output.splitlines()):
        content = record.get(record["type"], {})
        match record["type"]:
            case "run":
                found |= {"id": content["run_id"], "group": content.get("run_group"), "job_type": content["job_type"]}
                found["config"] = content["config"]["update"]
            case "history":
                found["history"].append(content["item"])
            case "summary":
                found["summary"] |= content.get("update", {})
            case "stats":
                found["stats"] |= content["item"]
            case "artifact":
                found["artifacts"].append(content)
            case "exit":
                found["exit"] = content.get("exit_code", 0)
    return found


def offline_runs(folder: Path) -> list[dict[str, Any]]:
    return [read_back(file) for file in sorted(folder.rglob("*.wandb"))]


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_an_offline_run_holds_config_curves_scores_and_tables(configure: Configure, tmp_path: Path):
    result = train(configure("held_out=it", *NONLINEAR, "tracking.group=pilot"))
    (run,) = offline_runs(tmp_path)
    (name,) = (str(path.parent.relative_to(tmp_path / "runs")) for path in tmp_path.rglob("result.json"))
    expected = run_id(name, "fit", result["identity"]["corpora"], result["identity"]["encoder"])
    assert (run["id"], run["group"], run["job_type"], run["exit"]) == (expected, "pilot", "fit", 0)
    assert run["config"]["held_out"] == "it" and run["config"]["head.hidden"] == 16
    assert [row["val/r/mean"] for row in run["history"] if "val/r/mean" in row] == pytest.approx(
        [epoch["val/r/mean"] for epoch in result["fit"]["history"]]
    )
    assert sum("train/loss" in row for row in run["history"]) == 2
    for layer in range(2):
        (logged,) = [row for row in run["history"] if row.get("layer") == layer and "test/r/mean" in row]
        for channel in ("tt_y", "ll_x"):
            rows = [row["r"] for row in result["scores"] if (row["layer"], row["channel"]) == (layer, channel)]
            assert logged[f"test/r/{channel}"] == pytest.approx(sum(rows) / len(rows))
    (path,) = [row[key] for row in run["history"] for key in row if key == "test/layer_x_channel.path"]
    (file,) = tmp_path.rglob(Path(path).name)
    content = json.loads(file.read_text())
    assert content["columns"] == ["layer", "mean", *CHANNELS]
    for layer, values in enumerate(content["data"]):
        assert values[0] == layer and values[2:] == pytest.approx(
            [np.mean([row["r"] for row in result["scores"] if (row["layer"], row["channel"]) == (layer, channel)])
             for channel in CHANNELS]
        )  # fmt: skip


def test_a_run_has_what_dashboards_draw_compare_and_trace(configure: Configure, tmp_path: Path):
    """The chosen layer is validation's; r at each layer is a summary value; heads name the hashes of their corpora."""
    result = train(configure("held_out=it", *SMALL))
    (run,) = offline_runs(tmp_path)
    assert (run["config"]["model_label"], run["config"]["head_label"]) == ("random", "ridge")
    plain_types = (str, int, float, bool, list, type(None))
    assert all(isinstance(value, plain_types) for key, value in run["config"].items() if key != "_wandb")
    means = {layer: mean_r(result, layer).mean for layer in range(2)}  # type: ignore[union-attr]
    assert {layer: run["summary"][f"layers/r/{layer}"] for layer in range(2)} == pytest.approx(means)
    r = result["fit"]["best_validation_r"]
    assert run["summary"]["best/layer"] == r.index(max(r))
    assert run["summary"]["best/r/mean"] == pytest.approx(means[r.index(max(r))])
    assert "test/r/mean" not in run["summary"]  # it would be the last layer's
    assert "memory_percent" in run["stats"]
    names = [artifact["name"] for artifact in run["artifacts"]]
    assert len(names) == len(set(names)) == 3  # two tables and the heads, each logged once
    (head,) = [artifact for artifact in run["artifacts"] if artifact["type"] == "head"]
    about = json.loads(head["metadata"])
    assert about["corpora/toy"] == result["identity"]["corpora"]["toy"] and about["held_out"] == "it"
    (content,) = head["manifest"]["contents"]
    assert Path(content["local_path"]) == next((tmp_path / "runs").rglob("head.safetensors"))


def test_predictions_of_always_the_same_utterances_are_drawn_as_they_are_scored(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn = {}

    def keep(times_s: Any, predicted: Any, truth: Any, channels: Any, title: str) -> Any:
        drawn[title] = times_s, predicted, truth
        return prediction_curves(times_s, predicted, truth, channels, title)

    monkeypatch.setattr("tractprobe.evidence.tables.figures.prediction_curves", keep)
    result = train(configure("held_out=it", "model=mel_frame", "tracking=offline"))
    assert sorted(drawn) == [f"toy/s{speaker}_it_0, layer 0" for speaker in range(3)]
    for times_s, predicted, truth in drawn.values():
        assert predicted.shape == truth.shape == (len(times_s), len(CHANNELS))
        known = np.isfinite(truth[:, 0])
        assert np.corrcoef(predicted[known, 0], truth[known, 0])[0, 1] > 0.9
        assert np.sqrt(np.mean((predicted - truth)[known] ** 2)) < 2 * max(row["rmse"] for row in result["scores"])
    (run,) = offline_runs(tmp_path)
    logged = {key.partition(".")[0] for row in run["history"] for key in row}
    assert {f"predictions/example-{number}" for number in range(3)} <= logged


def test_a_run_without_examples_draws_none(configure: Configure, tmp_path: Path):
    train(configure("held_out=it", "model=mel_frame", "tracking=offline", "tracking.examples=0"))
    assert not list((tmp_path / "runs").rglob("*.png"))


def test_all_offline_runs_are_handed_to_wandb_at_once(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for held_out in ("it", "en"):
        train(configure(f"held_out={held_out}", "model=mel_frame", "tracking=offline"))
    runs, calls = str(tmp_path / "runs"), []
    assert main(["wandb-sync", runs, "--dry-run"]) == 0
    printed = capsys.readouterr().out.split()
    assert printed[1:4] == ["-m", "wandb", "sync"] and len(printed) == 6
    process = subprocess.run([*printed[:4], "--dry-run", *printed[4:]], capture_output=True, text=True, check=True)
    assert "Would sync 2 run(s)" in process.stderr
    monkeypatch.setattr(subprocess, "run", lambda command, **_: calls.append(command) or SimpleNamespace(returncode=3))
    assert main(["wandb-sync", runs]) == 3
    assert calls == [printed]
    assert main(["wandb-sync", str(tmp_path / "cache")]) == 1
    assert "no offline runs" in capsys.readouterr().err


def test_a_run_that_fails_is_recorded_as_failed_and_the_next_try_keeps_its_id(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as broken:
        broken.setattr("tractprobe.probes.linear.fit.fit", failing(RunError("a fault")))
        with pytest.raises(RunError, match="a fault"):
            train(configure("held_out=it", *SMALL))
    assert wandb.run is None
    train(configure("held_out=it", *SMALL))
    first, second = offline_runs(tmp_path)
    assert first["exit"] == 1 and second["exit"] == 0
    assert first["id"] == second["id"]


def test_jobs_of_one_process_are_runs_of_their_own(configure: Configure, tmp_path: Path):
    for held_out in ("it", "en"):
        train(configure(f"held_out={held_out}", *SMALL))
    assert len({run["id"] for run in offline_runs(tmp_path)}) == 2


def test_a_study_is_a_run_with_tables_and_pictures_beside_those_of_its_cells(configure: Configure, tmp_path: Path):
    train(configure("study=held_out", *SMALL))
    runs = offline_runs(tmp_path)
    assert sorted(run["job_type"] for run in runs) == ["fit", "fit", "fit", "study"]
    (study,) = [run for run in runs if run["job_type"] == "study"]
    logged = {key.partition(".")[0] for row in study["history"] for key in row}
    assert "layers" in logged and any("r by held-out language" in key for key in logged)


def test_a_study_of_many_settings_is_logged_under_a_shorter_title(configure: Configure, tmp_path: Path):
    many = ["targets=[ema,tract]", "ema.lowpass_hz=12.0", "ema.order=4", "split.validation_folds=3", "split.folds=4",
            "features.storage=float32"]  # fmt: skip
    results = train(configure("held_out=all", *SMALL, *many))
    study, *_ = (run for run in offline_runs(tmp_path) if run["job_type"] == "study")
    tables = [key for item in study["history"] for key, value in item.items() if "table-file" in str(value)]
    assert len(results) == 3 and len(set(tables)) == 2 and all("... " in key for key in tables)


def test_a_misconfigured_run_fails_before_anything_is_left_open(configure: Configure):
    with pytest.raises(ConfigError, match="names no language"):
        train(configure("held_out=fr", *SMALL))
    assert wandb.run is None


def test_no_key_and_no_network_are_needed(configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import socket

    def refuse(*arguments: Any, **keywords: Any) -> None:
        raise AssertionError(f"asked for the network: {arguments}")

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    train(configure("held_out=it", *SMALL))
    assert len(offline_runs(tmp_path)) == 1


def test_off_is_off(configure: Configure, tmp_path: Path):
    train(configure("held_out=it", *SMALL[:-1], "tracking=off"))
    assert not list(tmp_path.rglob("*.wandb"))


FAULTS = {
    "no picture": ("tractprobe.evidence.tables.figures.write_picture", OSError("no room for pictures")),
    "no table": ("wandb.Table", OSError("the media folder is gone")),
    "no artifact": ("wandb.Artifact.add_file", FileNotFoundError("no such file")),
    "no summary": ("wandb.sdk.wandb_summary.SummaryDict.update", RuntimeError("wandb-core has died")),
    "no curves": ("pytorch_lightning.loggers.WandbLogger.log_metrics", RuntimeError("wandb-core has died")),
    "no run": ("wandb.init", OSError("no wandb-core")),
    "no end": ("wandb.Run.finish", TimeoutError("timed out")),
}


def assert_recorded(runs: Path, count: int, problem: str, caplog: pytest.LogCaptureFixture) -> None:
    """All results are there, and there is a warning of one line."""
    assert len(list(runs.rglob("result.json"))) == count and not list(runs.rglob("failure.json"))
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(problem in line for line in lines) and all("\n" not in line for line in lines)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_what_only_shows_loses_no_run(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
):
    where, error = FAULTS[fault]
    finish = wandb.Run.finish
    with monkeypatch.context() as broken:
        broken.setattr(where, failing(error))
        train(configure("held_out=it", *(NONLINEAR if fault == "no curves" else SMALL)))
    if wandb.run is not None:
        finish(wandb.run)
    assert_recorded(tmp_path / "runs", 1, str(error), caplog)


def test_faults_in_what_only_shows_lose_no_run_of_a_study(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    config = configure("held_out=all", *SMALL)
    with monkeypatch.context() as broken:
        broken.setattr("tractprobe.evidence.tables.summary.write_picture", failing(OSError("no room for pictures")))
        for name in ("no picture", "no table", "no artifact"):
            broken.setattr(FAULTS[name][0], failing(FAULTS[name][1]))
        train(config)
    assert_recorded(tmp_path / "runs", 3, "the media folder is gone", caplog)
    (scores,) = (tmp_path / "runs").rglob("scores.csv")
    written = [path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("result.json")]
    train(config)
    assert written == [path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("result.json")]
    assert (scores.parent / "layers.png").is_file()


def test_a_loggers_fault_warns_once_and_the_run_goes_on(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("tractprobe.runs.loggers.MetricsFile._write", failing(OSError("disk full")))
    train(configure("held_out=it", *NONLINEAR[:-1], "tracking=csv"))
    assert len(list(tmp_path.rglob("result.json"))) == 1
    (line,) = [record.getMessage() for record in caplog.records if "disk full" in record.getMessage()]
    assert line == "tracking.loggers.csv: disk full; the run continues without it"


def test_two_encoders_of_one_name_are_two_runs_and_ids_of_before_stay(tmp_path: Path):
    """Two folders called checkpoint-1000 give runs of one name below two folders of runs."""
    ids, corpora = [], {"toy": "0"}
    for encoder in ({"weights_sha256": "a"}, {"weights_sha256": "b"}):
        with Tracking("offline").run(
            "m/it/s0", tmp_path / str(encoder), {}, "fit", {"corpora": corpora, "encoder": encoder}
        ) as run:
            ids.append(run.experiment.id)
    assert len(set(ids)) == 2
    earlier = digest(["fit", "m/it/s0", corpora])[:16]
    (tmp_path / f"logged/wandb/offline-run-20260101_000000-{earlier}").mkdir(parents=True)
    with Tracking("offline").run(
        "m/it/s0", tmp_path / "logged", {}, "fit", {"corpora": corpora, "encoder": "c"}
    ) as run:
        assert run.experiment.id == earlier


def test_runs_and_studies_say_what_they_are_made_of(configure: Configure, tmp_path: Path):
    results = train(configure("held_out=all", *SMALL))
    corpus = results[0]["identity"]["corpora"]["toy"]
    *fits, study = sorted(offline_runs(tmp_path), key=lambda run: run["job_type"])
    names = sorted(path.parent.relative_to(tmp_path / "runs").as_posix() for path in tmp_path.rglob("result.json"))
    assert study["job_type"] == "study" and study["config"]["cells"] == names
    for run in (*fits, study):
        assert run["config"]["corpus_hash/toy"] == corpus and run["config"]["encoder_hash"]
    best = [chosen_layer(result) for result in results]
    for result, layer in zip(results, best, strict=True):
        r = mean_r(result, layer)
        (run,) = [run for run in fits if run["config"]["held_out"] == result["identity"]["held_out"]]
        assert [run["summary"][f"best/r/{key}"] for key in ("low", "high", "n")] == pytest.approx([r.low, r.high, r.n])
    (n,) = [key for key in study["summary"] if key.startswith("random, ridge, by language") and key.endswith("/it/n")]
    low, r, high = (study["summary"][f"{n.removesuffix('n')}{key}"] for key in ("low", "r", "high"))
    assert study["summary"][n] == 3 and low <= r <= high


ENVIRONMENTS: dict[str, tuple[dict[str, str], dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}, {"project": "tractprobe", "group": None, "tags": (), "notes": None}),
    "variables": (
        {"PROJECT": "p", "RUN_GROUP": "g", "TAGS": "a,b", "NOTES": "n", "ENTITY": "e"}, {},
        {"project": "p", "group": "g", "tags": ("a", "b"), "notes": "n", "entity": "e"},
    ),
    "settings win": (
        {"PROJECT": "p", "RUN_GROUP": "g", "TAGS": "a", "NOTES": "n", "ENTITY": "e"},
        {"project": "q", "group": "h", "tags": ["c"], "notes": "m", "entity": "f"},
        {"project": "q", "group": "h", "tags": ("c",), "notes": "m", "entity": "f"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_variables_of_wandb_stand_for_settings_that_are_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
):
    variables, settings, expected = ENVIRONMENTS[case]
    for name in ("PROJECT", "RUN_GROUP", "TAGS", "NOTES", "ENTITY", "DIR"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    wandb.teardown()  # it reads the environment once
    with Tracking("offline", **settings).run("m/it/s0", tmp_path / "run", {}, "fit") as run:
        found = run.experiment.settings
        assert {"project": found.project, "group": found.run_group, "tags": found.run_tags or (),
                "notes": found.run_notes, "entity": found.entity} == {"entity": None, **expected}  # fmt: skip
    wandb.teardown()
    assert list(tmp_path.glob("elsewhere/wandb/offline-run-*")) and not (tmp_path / "run/wandb").exists()


@pytest.mark.parametrize(("variable", "asked", "expected"), [
    ("disabled", "offline", "off"), ("disabled", "online", "off"), ("offline", "online", "offline"),
    ("dryrun", "online", "offline"), ("offline", "offline", "offline"), ("online", "offline", "offline"),
    ("online", "off", "off"), (None, "online", "online"), (None, "offline", "offline"),
])  # fmt: skip
def test_wandb_mode_makes_less_of_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, asked: Any, expected: str
):
    monkeypatch.delenv("WANDB_MODE") if variable is None else monkeypatch.setenv("WANDB_MODE", variable)
    assert mode_here(asked) == expected


def test_online_without_a_key_is_one_line_before_anything_is_trained(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    wandb.teardown()
    for overrides in (["held_out=it"], ["held_out=all"]):
        with pytest.raises(
            ConfigError, match=r"^tracking=online: there is no W&B key for http://127\.0\.0\.1:9; run `w.*$"
        ):
            train(configure(*overrides, *SMALL[:-1], "tracking=online"))
    assert not (tmp_path / "cache").exists() and not list(tmp_path.rglob("failure.json"))
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1:9\n  login user\n  password {'k' * 40}\n")
    Tracking("online").check()
    wandb.teardown()
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    Tracking("online").check()
    wandb.teardown()


def test_tags_are_a_list(configure: Configure):
    with pytest.raises(ConfigError, match=r"tracking\.tags=pilot: expected a list, such as tracking\.tags=\[pilot\]"):
        train(configure("held_out=it", *SMALL, "tracking.tags=pilot"))
