"""What the version before the modules moved has written is read, recognised and gone on with by the present one.

``before/`` holds a prepared corpus, hidden states and sums, two finished runs, one that was killed in its training and
a head file; ``replay.py`` runs command lines on a copy of it, all in one process.
"""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY
from filelock import FileLock

import tractprobe

HERE = Path(__file__).parent
BEFORE = HERE / "before"
READERS = json.loads((HERE / "readers.json").read_text(encoding="utf-8"))
RIDGE, MLP = ("finished/mel_frame/all/ridge/it/s0-341746", "finished/mel_frame/all/mlp/it/s0-12815e")
INTERRUPTED = "finished/mel_frame/all/mlp/it/s1-12815e"

State = dict[str, list[int | str]]


class Replayed:
    """A copy of ``before/`` and what the steps of ``replay.py`` printed and left there."""

    def __init__(self, place: Path):
        self.folder, printed, begun = place / "copy", place / "printed.json", place / "begun.json"
        if not self.folder.exists():
            shutil.copytree(BEFORE, self.folder)
            begun.write_text(json.dumps(self.states()))
            command = [sys.executable, HERE / "replay.py", REPOSITORY, self.folder, printed]
            environment = {name: value for name, value in os.environ.items() if not name.startswith("GOLDEN_")}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                printed.write_text(json.dumps([["replay.py failed", f"{done.stdout}{done.stderr}"[-5000:]]]))
        self.before: State = json.loads(begun.read_text())
        self.steps: list[list[str]] = json.loads(printed.read_text())
        if self.steps[0][0] == "replay.py failed":
            pytest.fail(self.steps[0][1])

    def states(self) -> State:
        """Return inode, time and checksum of each file of hidden states, sums and the prepared corpus."""
        return {
            path.relative_to(self.folder).as_posix(): [
                path.stat().st_ino, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()
            ]
            for part in ("states", "prepared") for path in sorted((self.folder / part).rglob("*"))
            if path.is_file() and path.suffix != ".lock"
        }  # fmt: skip

    def printed(self, *words: str) -> list[str]:
        """Return what the steps printed whose lines hold all words."""
        return [text for line, text in self.steps if all(word in line for word in words)]

    def json(self, path: str) -> Any:
        return json.loads((self.folder / path).read_text())


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # workers share one
        place = place.parent
    (place / "before").mkdir(exist_ok=True)
    with FileLock(place / "before.lock"):
        return Replayed(place / "before")


def assert_same_scores(rows: list[dict[str, Any]], before: list[dict[str, Any]], tolerance: float = 1e-6) -> None:
    for row, known in zip(rows, before, strict=True):
        assert list(row)[: len(known)] == list(known)  # a row has more fields since
        for name, value in known.items():
            assert row[name] == (pytest.approx(value, abs=tolerance) if isinstance(value, float) else value), name


@pytest.mark.parametrize("run", [RIDGE, MLP])
def test_finished_runs_are_finished(replayed: Replayed, run: str):
    head = "head=mlp" if run == MLP else "model.bands=8 corpora=[old] held_out=it paths.data=prepared"
    first, *_ = [text for text in replayed.printed("train.py", head) if "seed=1" not in text]
    assert f"finished already: {run}" in first
    assert (replayed.folder / run / "result-before.json").read_bytes() == (BEFORE / run / "result.json").read_bytes()


@pytest.mark.parametrize("run", [RIDGE, MLP])
def test_finished_runs_are_made_again_from_the_states_that_are_there(replayed: Replayed, run: str):
    now, before = replayed.json(f"{run}/result.json"), json.loads((BEFORE / run / "result.json").read_text())
    assert_same_scores(now["scores"], before["scores"])
    assert {**now["identity"], "versions": 0} == {**before["identity"], "versions": 0}
    assert {**now["settings"], "tracking": 0} == {**before["settings"], "tracking": 0}  # it has tags and notes by now
    assert [name for name in now if name not in ("heads_sha256", "test_utterances")] == list(before)


def test_nothing_is_encoded_summed_or_prepared_again(replayed: Replayed):
    assert replayed.states() == replayed.before
    printed = "\n".join(text for line, text in replayed.steps if "prepare " not in line)
    assert printed.count("finished") >= 5
    for word in ("encoding", "summed", "made again", "resuming: ", "WARNING"):
        assert word not in printed


@pytest.mark.parametrize("run", [RIDGE, MLP])
def test_finished_runs_are_scored_alike(replayed: Replayed, run: str):
    rows = replayed.json(f"{run}/evaluations/own.json")["scores"]
    assert_same_scores(rows, json.loads((BEFORE / run / "result.json").read_text())["scores"], 1e-5)


def test_an_interrupted_run_goes_on_from_its_checkpoint(replayed: Replayed):
    (printed,) = replayed.printed("train.py", "seed=1")
    assert f"resuming from {INTERRUPTED}/checkpoints/last.ckpt" in printed
    result = replayed.json(f"{INTERRUPTED}/result.json")
    assert_same_scores(result["scores"], replayed.json("expected.json")["interrupted"])
    assert [epoch["epoch"] for epoch in result["fit"]["history"]] == [0, 1, 2, 3]


def test_tables_and_exports_know_finished_runs(replayed: Replayed):
    with open(replayed.folder / "table.csv", newline="") as file:
        runs = {f"finished/{row['run']}" for row in csv.DictReader(file)}
    assert runs == {RIDGE, MLP}
    assert len((replayed.folder / "exported.safetensors").read_bytes()) > 10_000


def test_a_head_file_gives_the_same_movements(replayed: Replayed):
    expected = list(csv.reader(replayed.json("expected.json")["inverted"]))
    with open(replayed.folder / "inverted/f1_it_004.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == expected[0]
    values = np.array(expected[1:], float)
    np.testing.assert_allclose(np.array(rows, float), values, atol=1e-6)
    wave, rate_hz = soundfile.read(BEFORE / "prepared/old/audio/f1_it_004.flac")
    found = tractprobe.load_head(BEFORE / "head.safetensors")(wave, rate_hz)
    np.testing.assert_allclose(found.values, values[:, 1:13], atol=1e-4)


SINCE = {"audio"}  # readers that there were not then


def test_every_reader_is_known():
    assert sorted({*READERS, *SINCE}) == sorted(path.stem for path in (REPOSITORY / "conf/corpus").glob("*.yaml"))


# Readers that have kept labels since: what they prepared lacks these, so it is prepared again.
LABELLED = {"ema_mae", "frost", "hprc", "mocha", "torgo", "usc_timit"}


@pytest.mark.parametrize("name", sorted(LABELLED))
def test_what_lacks_the_labels_that_a_reader_keeps_now_is_not_passed_off_as_prepared(replayed: Replayed, name: str):
    (printed,) = replayed.printed(f"prepare corpus={name} ", f"corpus.root=raw/{name}")
    assert "holds a corpus made from raw, not from" in printed, printed  # its source here is another


@pytest.mark.parametrize("name", sorted(set(READERS) - {"virtual"} - LABELLED))
def test_what_a_reader_prepared_is_not_prepared_again(replayed: Replayed, name: str):
    """A corpus under the fingerprint that the version of then gave it is opened, and its source is not read."""
    (printed,) = replayed.printed(f"prepare corpus={name} ", f"corpus.root=raw/{name}")
    corpus = READERS[name]["overrides"].get("name", name)
    assert printed.startswith(f"known/{name}/{corpus}: 8 utterances"), printed


def test_the_fingerprint_of_a_folder_is_the_one_of_then(replayed: Replayed):
    assert replayed.json("made/mine/corpus.json")["fingerprint"] == replayed.json("fingerprint.json")
