"""A disk that is full or not ours to write to: one clear error, and what was finished is kept."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, write_corpus

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.jobs import train
from tractprobe.system.errors import StorageError
from tractprobe.system.files import atomic

TRAINED = ["held_out=it", "model=random", "model.layers=1", "model.width=48", "model.channels=16", "head=mlp"]


class FullDisk:
    """Let writing to files of some name fail from the n-th on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, after: int = 0):
        self.name, self.left, self.write = name, after, Path.write_bytes
        monkeypatch.setattr(Path, "write_bytes", lambda path, content: self.fail(path, content))

    def fail(self, path: Path, content: Any) -> int:
        if self.name in path.name:
            if self.left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            self.left -= 1
        return self.write(path, content)


@pytest.mark.parametrize("name", [".last.ckpt", ".head.safetensors"])
def test_a_disk_that_fills_up_during_training_loses_nothing(
    configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
):
    config = configure(*TRAINED, "trainer.max_epochs=3")
    with monkeypatch.context() as patch:
        FullDisk(patch, name, after=1 if name == ".last.ckpt" else 0)
        with pytest.raises(StorageError, match=rf"{name}.*No space left on device\. Make room"):
            train(config)
    assert len(list(tmp_path.rglob("last.ckpt"))) == 1 and not list(tmp_path.rglob("result.json"))
    resumed = train(config)
    elsewhere = configure(*TRAINED, "trainer.max_epochs=3", f"paths.runs={tmp_path / 'undisturbed'}")
    assert resumed["scores"] == train(elsewhere)["scores"]


def test_a_disk_that_fills_up_during_preparation_loses_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    reader = Folder("lab", write_corpus(tmp_path / "raw", languages=["en"], speakers=2, sentences=2))
    with monkeypatch.context() as patch:
        FullDisk(patch, ".flac", after=2)
        with pytest.raises(StorageError, match="No space left"):
            prepare(reader, tmp_path / "data")
    assert not (tmp_path / "data/lab").exists()
    assert prepare(reader, tmp_path / "data").description["skipped"] == []


def test_states_that_do_not_fit_are_refused_before_the_first(
    configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match=r"states\.npy: No space left"):
        train(configure(*TRAINED))


def test_other_errors_of_the_system_stay_what_they_are(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="nowhere"), atomic(tmp_path / "x") as temporary:
        temporary.write_text((tmp_path / "nowhere").read_text())
    assert not any(tmp_path.iterdir())


def test_a_folder_in_a_files_place_is_named(tmp_path: Path):
    (tmp_path / "x").mkdir()
    with pytest.raises(StorageError, match="x: Is a directory"), atomic(tmp_path / "x") as temporary:
        temporary.write_text("cannot be put there")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_run_directory_that_is_none_is_one_line(tmp_path: Path):
    """A file in its place; what a read-only disk gives is the same, but for the reason."""
    (tmp_path / "runs").write_text("")
    command = [sys.executable, str(REPOSITORY / "train.py"), f"paths.runs={tmp_path / 'runs'}", "model=mel_frame"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 1 and process.stderr.count("\n") == 1
    assert "Not a directory. Make room or choose another folder" in process.stderr
