"""Who holds a run, what became of it, and what is still asked for."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_results import write_run

from tractprobe.cli import main
from tractprobe.jobs import train
from tractprobe.runs.estimate import mean_over_speakers
from tractprobe.runs.status import FAILURE, TRACEBACK, ask_for, failure_noted, statuses
from tractprobe.system.errors import CorpusError, RunError
from tractprobe.system.files import held_by, locked

Configure = Callable[..., Any]
FRAME = "model=mel_frame"
HOLD = """
import sys, time
from pathlib import Path
from tractprobe.system.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def holder_of(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_lock_says_who_holds_it_and_a_holder_that_is_killed_gives_it_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "mel/all/ridge/it/s0"
    folder.mkdir(parents=True)
    process = holder_of(folder)
    try:
        (one,) = statuses(tmp_path)
        assert (one.run, one.state) == ("mel/all/ridge/it/s0", "running")
        assert one.note.startswith(f"process {process.pid} on {os.uname().nodename} since 20")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert held_by(folder) is None
    assert [(one.state, one.note) for one in statuses(tmp_path)] == [("missing", "begun, then stopped")]
    with locked(folder):
        assert f"process {os.getpid()} on" in (held_by(folder) or "")
    assert held_by(folder) is None and "waiting" not in caplog.text


def test_who_waits_for_a_lock_is_told_for_whom(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    process, emit = holder_of(tmp_path / "s0"), caplog.handler.emit
    caplog.set_level("INFO")
    monkeypatch.setattr(caplog.handler, "emit", lambda record: (emit(record), process.kill()))
    with locked(tmp_path / "s0"):
        pass
    process.communicate()
    assert f"waiting for {tmp_path / 's0'}, held by process {process.pid} on " in caplog.text


def test_nobody_holds_what_was_never_locked(tmp_path: Path):
    assert held_by(tmp_path / "s0") is None and not list(tmp_path.iterdir())


def test_a_run_that_fails_leaves_the_reason_until_it_is_tried_again(configure: Configure, tmp_path: Path):
    runs = tmp_path / "runs"
    with pytest.raises(CorpusError):
        train(configure("held_out=it", FRAME, "corpora=[nope]"))
    (one,) = statuses(runs)
    assert one.state == "failed" and "nope" in one.note and "\n" not in one.note
    assert "Traceback" in (runs / one.run / TRACEBACK).read_text()
    with failure_noted([runs / one.run]):
        assert not (runs / one.run / FAILURE).exists()
    assert statuses(runs)[0].state == "missing"


def test_being_stopped_is_no_failure(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), failure_noted([tmp_path]):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_done_runs_show_r_at_the_layer_that_validation_chose(configure: Configure, tmp_path: Path):
    result = train(configure("held_out=it", "model=random", "model.layers=2", "model.width=48", "model.channels=16"))
    r = result["fit"]["best_validation_r"]
    assert len(r) == 3 and all(-1 < value < 1 for value in r)
    (one,) = statuses(tmp_path / "runs")
    assert one.state == "done" and one.note.endswith(f"at layer {r.index(max(r))} of 2")
    file = tmp_path / "runs" / one.run / "result.json"
    result = json.loads(file.read_text())
    result["fit"].pop("best_validation_r")  # as an earlier version wrote it
    file.write_text(json.dumps(result))
    assert statuses(tmp_path / "runs")[0].note.endswith("over 3 layers")


def test_what_was_asked_for_and_is_not_there_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ask_for(tmp_path / "demo", ["mel/all/ridge/it/s0", "mel/all/ridge/all/s0"], sweep=["held_out=it,all"])
    ask_for(tmp_path / "demo", [f"mel/all/ridge/{one}/s0" for one in ("de", "it")], study="mel/all/ridge/all/s0")
    found = statuses(tmp_path)
    assert [(one.run, one.state) for one in found] == [
        ("demo/mel/all/ridge/de/s0", "missing"),
        ("demo/mel/all/ridge/it/s0", "missing"),
    ]
    only = statuses(tmp_path / "demo", only={"mel/all/ridge/all/s0"})
    assert [one.run for one in only] == ["mel/all/ridge/de/s0", "mel/all/ridge/it/s0"]
    assert main(["status", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("\n0 done, 0 running, 0 failed, 2 missing\n")


def test_a_study_that_fails_before_it_knows_its_cells_is_shown_itself(configure: Configure, tmp_path: Path):
    with pytest.raises(CorpusError):
        train(configure("held_out=all", FRAME, "corpora=[nope]"))
    (one,) = statuses(tmp_path / "runs")
    assert one.run.startswith("mel_frame/all/ridge/all/s0") and one.state == "failed"


def test_a_list_of_what_is_asked_for_that_is_none_is_named(tmp_path: Path):
    (tmp_path / ".sweeps").mkdir()
    (tmp_path / ".sweeps/x.json").write_text("[]")
    with pytest.raises(CorpusError, match=r"x\.json"):
        statuses(tmp_path)
    with pytest.raises(RunError, match="no such folder"):
        statuses(tmp_path / "nowhere")


@pytest.mark.parametrize("place", ["mel/all/ridge/it/s0.old", "archive/mel/all/ridge/it/s0", "a"])
def test_a_copy_of_a_run_is_named_and_not_counted(tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]):
    run = write_run(tmp_path)
    write_run(tmp_path, held_out="en")
    shutil.copytree(run, tmp_path / place)
    assert main(["status", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("\n2 done, 0 running, 0 failed, 0 missing (1 copy not counted)\n")
    (line,) = (line for line in printed.splitlines() if line.startswith("copy "))
    assert line.split() == ["copy", place, "copy", "of", "mel/all/ridge/it/s0"]

    file = tmp_path / place / "result.json"
    result = json.loads(file.read_text())
    result["scores"][0]["r"] = 0.9
    file.write_text(json.dumps(result))
    (copy,) = (one for one in statuses(tmp_path) if one.state == "copy")
    assert copy.note.startswith("copy of mel/all/ridge/it/s0, with other scores: remove one")


def test_a_run_that_was_moved_is_no_copy(tmp_path: Path):
    shutil.move(write_run(tmp_path), tmp_path / "s0.old")
    assert [(one.run, one.state) for one in statuses(tmp_path)] == [("s0.old", "done")]


DAMAGED: dict[str, tuple[str, str]] = {
    "no note": ("failure.json", "{}"),
    "a list for a note": ("failure.json", "[1]"),
    "half a note": ("failure.json", '{"reas'),
    "half a result": ("result.json", '{"iden'),
    "another program's result": ("result.json", '{"accuracy": 1}'),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_run_is_named_and_hides_no_other(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]):
    write_run(tmp_path)
    name, text = DAMAGED[case]
    damaged = tmp_path / "mel/all/ridge/en/s0"
    damaged.mkdir(parents=True)
    (damaged / name).write_text(text)
    assert main(["status", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("\n1 done, 0 running, 1 failed, 0 missing\n") and f"s0/{name}" in printed


@pytest.mark.parametrize("fit", [[1], {"best_validation_r": ["a", 1]}, {"best_validation_r": 1}])
def test_a_result_whose_fit_is_none_is_a_damaged_one(tmp_path: Path, fit: Any):
    write_run(tmp_path, fit=fit)
    (one,) = statuses(tmp_path)
    assert one.state == "failed" and "its fit is not the report of a fit" in one.note


def test_locks_of_corpora_and_caches_and_of_runs_that_were_removed_are_no_runs(tmp_path: Path):
    write_run(tmp_path)
    for folder in ("data/virtual", "cache/abc"):
        with locked(tmp_path / folder):
            (tmp_path / folder).mkdir()
    with locked(tmp_path / "mel/all/ridge/de/s0"):
        assert [one.state for one in statuses(tmp_path)] == ["running", "done"]
    assert [(one.run, one.state) for one in statuses(tmp_path)] == [("mel/all/ridge/it/s0", "done")]


def test_a_run_is_looked_at_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(write_run(tmp_path))
    assert [one.state for one in statuses(Path("."))] == ["done"]


def test_looking_needs_no_right_to_write_and_is_not_seen_by_who_else_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with locked(tmp_path / "s0"):
        (tmp_path / "s0").mkdir()

    def refuse(path: Any, flags: int, *more: Any, **keywords: Any) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, flags, *more, **keywords)

    opened = os.open
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert [one.state for one in statuses(tmp_path)] == ["missing"]
    with open(tmp_path / ".s0.lock") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert held_by(tmp_path / "s0") is None


def test_only_the_interval_that_is_printed_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run of many layers shows one, or none."""
    for held_out, r in (("it", [0.2, 0.1]), ("en", [])):
        write_run(tmp_path, held_out=held_out, fit={"best_validation_r": r})
    drawn = []
    monkeypatch.setattr(
        "tractprobe.runs.result.mean_over_speakers",
        lambda values, **options: drawn.append(values) or mean_over_speakers(values, **options),
    )
    en, it = statuses(tmp_path)
    assert len(drawn) == 1 and "at layer 0 of 1" in it.note and en.note.endswith("over 2 layers")


def test_undefined_r_is_counted(tmp_path: Path):
    path = write_run(tmp_path, fit={"best_validation_r": [0.1, 0.2]}) / "result.json"
    result = json.loads(path.read_text())
    for row in result["scores"]:
        row["r"] = None if row["layer"] == 0 or row["channel"] != "tt_x" else row["r"]
    path.write_text(json.dumps(result))
    assert statuses(tmp_path)[0].note.endswith("at layer 1 of 1, 33 of 36 undefined")
    path.write_text(json.dumps(result | {"fit": {}}))
    assert statuses(tmp_path)[0].note.endswith("over 2 layers, undefined in 1")
