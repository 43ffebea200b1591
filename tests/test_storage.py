"""A disk that is full or not ours to write to: one clear error, and what was finished is kept."""

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, write_corpus

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.encoders.wav2vec2 import Wav2Vec2
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
    assert "Not a directory. Move away what is in its place, or choose another folder" in process.stderr


@contextmanager
def another_user(*folders: Path) -> Iterator[None]:
    """Within the block, be a user who may read these folders and write nowhere but below /tmp."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    modes = {path: path.stat().st_mode for path in paths}
    root = os.geteuid() == 0
    for path, mode in modes.items():
        path.chmod(mode | 0o055 if root and path.is_dir() else mode | 0o044 if root else mode & ~0o222)
    if root:
        for folder in folders:
            for parent in folder.parents[: -len(Path(tempfile.gettempdir()).parts)]:
                parent.chmod(parent.stat().st_mode | 0o011)
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)


LINEAR = [*TRAINED[:-1], "head=ridge", "features.cache=true"]


@pytest.mark.parametrize("options", [LINEAR, [*TRAINED, "features.cache=true", "trainer.max_epochs=1"]])
def test_another_user_reads_what_is_finished(
    configure: Callable[..., Any], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
):
    """A run, states and moments: nothing is made again, and nothing is written."""
    theirs, own = configure(*options), Path(tempfile.mkdtemp())
    mine = configure(*options, f"paths.runs={own / 'runs'}")
    expected = train(theirs)
    own.chmod(0o777)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(Wav2Vec2, "encode", None)
    with another_user(tmp_path, data):
        assert train(theirs)["scores"] == expected["scores"]
        assert train(mine)["scores"] == expected["scores"]
    assert sorted(tmp_path.rglob("*")) == before
    shutil.rmtree(own)


def test_another_user_who_would_have_to_write_is_told_so(configure: Callable[..., Any], data: Path, tmp_path: Path):
    train(configure(*LINEAR))
    with another_user(tmp_path, data), pytest.raises(StorageError) as caught:
        train(configure(*LINEAR, "seed=1"))
    assert re.search(
        r"Permission denied\. \w+ may not write there; ask its owner, or choose another", str(caught.value)
    )
    assert "room" not in str(caught.value)


def test_a_prepared_corpus_is_found_finished_by_another_user(raw_corpus: Path, tmp_path: Path):
    expected = prepare(Folder("toy", raw_corpus), tmp_path).content_hash
    with another_user(tmp_path, raw_corpus):
        assert prepare(Folder("toy", raw_corpus), tmp_path).content_hash == expected


def test_what_is_finished_is_read_from_a_full_disk(
    configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Where not even the note of who has the lock finds room."""
    expected = train(configure(*LINEAR))

    def full(path: Path, *given: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_text", full)
    assert train(configure(*LINEAR))["scores"] == expected["scores"]
