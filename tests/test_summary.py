"""Tables and pictures of several runs: made once of the same rows, and again of anything else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from test_results import write_run

import tractprobe.runs.tracking
from tractprobe.evidence.tables.rows import CSV_FIELDS, collect, csv_text
from tractprobe.evidence.tables.summary import LOGGED, summarise
from tractprobe.runs.estimate import mean_over_speakers, point_over_speakers
from tractprobe.runs.tracking import Tracking

SUMMARY = "tractprobe.evidence.tables.summary"


@dataclass(frozen=True)
class Counting(Tracking):
    """Notes what is logged, and where W&B would have written."""

    logged: ClassVar[list[str]] = []

    @contextmanager
    def run(self, name: str, folder: Path, *_: Any, **__: Any) -> Iterator[Any]:
        if self.mode == "off":
            yield None
            return
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        self.logged.append(name)
        yield object()


@pytest.fixture
def rows(tmp_path: Path) -> list[Any]:
    for model in ("mel", "random"):
        for held_out in ("it", "en"):
            write_run(tmp_path / "runs", model=model, held_out=held_out)
    return list(collect(tmp_path / "runs"))


@pytest.fixture
def tracking(monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setattr(tractprobe.runs.tracking, "log_study", lambda *_: None)
    monkeypatch.setattr(Counting, "logged", [])
    return Counting("offline")


def times(folder: Path) -> dict[str, int]:
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: path.stat().st_mtime_ns for path in files}


def test_the_same_rows_are_drawn_and_logged_once(rows: list[Any], tracking: Counting, tmp_path: Path):
    folder = tmp_path / "study"
    summarise("s", folder, {"a": 1}, tracking, rows)
    before = times(folder)
    assert {"scores.csv", "models.csv", "layers.png", "models.png"} <= set(before)
    summarise("s", folder, {"a": 1}, tracking, rows)
    assert times(folder) == before and tracking.logged == ["s"]
    assert (folder / "scores.csv").read_bytes().decode() == csv_text(rows, CSV_FIELDS)


def test_other_rows_are_drawn_and_logged_again(rows: list[Any], tracking: Counting, tmp_path: Path):
    folder = tmp_path / "study"
    summarise("s", folder, {}, tracking, rows)
    before = times(folder)
    changed = [dict(rows[0]) | {"r": rows[0]["r"] + 1e-9}, *rows[1:]]
    summarise("s", folder, {}, tracking, changed)
    assert all(time > before[name] for name, time in times(folder).items()) and len(tracking.logged) == 2


@pytest.mark.parametrize("name", ["scores.csv", "models.csv", "layers.png", "models.png"])
def test_what_was_removed_is_made_again(rows: list[Any], tracking: Counting, tmp_path: Path, name: str):
    folder = tmp_path / "study"
    summarise("s", folder, {}, tracking, rows)
    content = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    (folder / name).unlink()
    summarise("s", folder, {}, tracking, rows)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == content


@pytest.mark.parametrize("name", ["scores.csv", "models.csv", "layers.png", "models.png"])
def test_what_was_changed_or_drawn_by_another_version_is_made_again(
    rows: list[Any], tracking: Counting, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "study"
    summarise("s", folder, {}, tracking, rows)
    content, before = (folder / name).read_bytes(), times(folder)
    (folder / name).write_bytes(content[:-1])
    summarise("s", folder, {}, tracking, rows)
    assert (folder / name).read_bytes() == content
    monkeypatch.setattr("tractprobe.evidence.tables.summary.__version__", "another")
    summarise("s", folder, {}, tracking, rows)
    assert all(time > before[file] for file, time in times(folder).items())


def test_one_interrupted_is_made_again(
    rows: list[Any], tracking: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The note of what was made comes last: stale pictures beside a new table would pass for its own."""
    folder = tmp_path / "study"
    summarise("s", folder, {}, tracking, rows)
    before = times(folder)
    changed = [dict(rows[0]) | {"r": 0.5}, *rows[1:]]
    with monkeypatch.context() as broken:
        broken.setattr(f"{SUMMARY}.write_picture", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            summarise("s", folder, {}, tracking, changed)
    summarise("s", folder, {}, tracking, changed)
    assert times(folder)["layers.png"] > before["layers.png"]


def test_a_picture_that_cannot_be_drawn_leaves_the_tables_and_is_tried_again(
    rows: list[Any], tracking: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    folder = tmp_path / "study"
    with monkeypatch.context() as broken:
        broken.setattr(f"{SUMMARY}.model_matrix", lambda *_: (_ for _ in ()).throw(OSError("no font")))
        summarise("s", folder, {}, tracking, rows)
    assert "models.png: no font; the rest continues" in caplog.text
    assert {"scores.csv", "models.csv", "layers.png"} <= set(times(folder)) and not (folder / "models.png").exists()
    summarise("s", folder, {}, tracking, rows)
    assert (folder / "models.png").is_file()


def test_other_settings_and_tracking_are_logged_again(rows: list[Any], tracking: Counting, tmp_path: Path):
    folder = tmp_path / "study"
    summarise("s", folder, {}, replace(tracking, mode="off"), rows)
    assert not tracking.logged and not (folder / LOGGED).parent.exists()
    for count, (settings, how) in enumerate(
        [({}, tracking), ({"seed": 1}, tracking), ({"seed": 1}, replace(tracking, project="other"))], start=1
    ):
        summarise("s", folder, settings, how, rows)
        summarise("s", folder, settings, how, rows)
        assert len(tracking.logged) == count
    (folder / LOGGED).write_text("{")  # half a note
    summarise("s", folder, {"seed": 1}, replace(tracking, project="other"), rows)
    assert len(tracking.logged) == 4


def test_a_log_that_fails_is_tried_again(
    rows: list[Any], tracking: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    folder = tmp_path / "study"
    with monkeypatch.context() as broken:
        broken.setattr("tractprobe.runs.tracking.log_study", lambda *_: (_ for _ in ()).throw(OSError("no room")))
        summarise("s", folder, {}, tracking, rows)
    assert "logging s: no room; the rest continues" in caplog.text
    summarise("s", folder, {}, tracking, rows)
    assert tracking.logged == ["s", "s"]


def test_a_mean_alone_is_that_of_the_estimate():
    values = {("it", f"s{n}"): 0.1 * n for n in range(5)} | {("en", "s0"): 0.7, ("en", "s9"): 0.1}
    assert point_over_speakers(values) == mean_over_speakers(values).mean == pytest.approx((0.2 + 0.4) / 2)
