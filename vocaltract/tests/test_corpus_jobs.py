import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import fake_engine
import numpy as np
import pytest
import soundfile

from vocaltract.corpus import Options, jobs, make_corpus, settings, tasks
from vocaltract.corpus.utterance import Keep
from vocaltract.errors import UtterancesMissingError, VocalTractError

OPTIONS = Options(("m1",), ("de",), sentences=3)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def in_threads(monkeypatch):
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", fake_engine.InThreads)


@pytest.fixture
def planned():
    return tasks("full", OPTIONS)


@pytest.mark.usefixtures("in_threads")
def test_an_utterance_in_files(tmp_path, planned):
    make_corpus(tmp_path / "corpus", planned[:1], keep=Keep(motor=True), workers=1, engine=fake_engine.tone)
    base = tmp_path / "corpus" / "m1_de_001"
    sound, rate = soundfile.read(base.with_name("m1_de_001.flac"))
    assert (rate, len(sound)) == (16000, 8000)
    said = json.loads(base.with_name("m1_de_001.json").read_text())
    assert said["labels"]["kind"] == "speech" and said["labels"]["gender"] == "m"
    assert (said["ema_rate_hz"], said["ema_resolution_mm"], said["f0_rate_hz"]) == (100, 0.01, 100)
    ema = np.load(base.with_name("m1_de_001.ema.npy"))
    expected = np.outer(np.arange(50), np.linspace(-1, 1, 12)) + 0.004
    assert ema.dtype == np.int16
    assert np.abs(ema * said["ema_resolution_mm"] - expected).max() <= 0.005 + 1e-9
    assert np.load(base.with_name("m1_de_001.f0.npy")).dtype == np.float32
    assert np.load(base.with_name("m1_de_001.motor.npy")).shape == (100, 30)
    assert np.load(base.with_name("m1.palate.npy")).shape[1] == 2
    (line,) = (json.loads(text) for text in base.with_name("manifest.jsonl").read_text().splitlines())
    assert (line["seed"], line["number"], line["manner"]["rate"]) == (planned[0].seed, 1, planned[0].manner.rate)
    assert (line["program"], line["settings"]) == (
        settings.program_hash(),
        settings.settings_hash(planned[:1], Keep(motor=True)),
    )
    assert base.with_name("folder.toml").read_text().startswith('simulated = true\ngenerator = "vocaltract 0.1.0"\n')


@pytest.mark.usefixtures("in_threads")
def test_audio_only(tmp_path, planned):
    make_corpus(tmp_path, planned[:1], keep=Keep(movement=False), workers=1, engine=fake_engine.tone)
    names = set(contents(tmp_path))
    assert names == {"m1_de_001.flac", "m1_de_001.json", "manifest.jsonl", "folder.toml", "settings.toml"}
    assert "ema_rate_hz" not in json.loads((tmp_path / "m1_de_001.json").read_text())


@pytest.fixture
def in_parts(planned):
    return [replace(task, part=part) for task, part in zip(planned, ("demo", "demo", "rest"), strict=True)]


def test_the_same_from_one_worker_and_from_two(tmp_path, planned, monkeypatch):
    make_corpus(tmp_path / "two", planned, workers=2, engine=fake_engine.tone)
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", fake_engine.InThreads)
    make_corpus(tmp_path / "one", planned, workers=1, engine=fake_engine.tone)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.usefixtures("in_threads")
def test_the_root_of_a_corpus_in_parts_is_a_corpus_too(tmp_path, in_parts):
    make_corpus(tmp_path, in_parts, workers=1, engine=fake_engine.tone)
    said = {part: (tmp_path / part / "folder.toml").read_text() for part in ("", "demo", "rest")}
    assert all("simulated = true" in text for text in said.values())
    assert ["3 utt" in said[""], "2 utt" in said["demo"], "1 utt" in said["rest"]] == [True] * 3
    palates = [(tmp_path / part / "m1.palate.npy").read_bytes() for part in said]
    assert palates[0] == palates[1] == palates[2]
    lines = {part: len((tmp_path / part / "manifest.jsonl").read_text().splitlines()) for part in ("demo", "rest")}
    assert lines == {"demo": 2, "rest": 1} and not (tmp_path / "manifest.jsonl").exists()


@pytest.mark.usefixtures("in_threads")
def test_an_utterance_that_cannot_be_made_leaves_a_whole_corpus_of_the_others(tmp_path, in_parts):
    for _ in range(2):
        with pytest.raises(
            UtterancesMissingError, match=r"m1_de_002: phone 'x' is unknown. The corpus is complete without"
        ):
            make_corpus(tmp_path / "resumed", in_parts, workers=1, engine=fake_engine.refusing)
    manifest = tmp_path / "resumed" / "demo" / "manifest.jsonl"
    assert [json.loads(line)["id"] for line in manifest.read_text().splitlines()] == ["m1_de_001"]
    assert '"2 utterances' in (tmp_path / "resumed" / "folder.toml").read_text()
    before = (tmp_path / "resumed" / "demo" / "m1_de_001.flac").stat().st_mtime_ns
    summary = make_corpus(tmp_path / "resumed", in_parts, workers=1, engine=fake_engine.tone)
    assert (summary.kept, summary.made) == (2, 1)
    assert (tmp_path / "resumed" / "demo" / "m1_de_001.flac").stat().st_mtime_ns == before
    make_corpus(tmp_path / "once", in_parts, workers=1, engine=fake_engine.tone)
    assert contents(tmp_path / "once") == contents(tmp_path / "resumed")


def test_code_tables_and_fitted_values_are_hashed_and_what_cannot_be_heard_is_not(tmp_path):
    root = Path(settings.__file__).parents[1]
    found = {path.as_posix() for path in settings.hashed_files(root)}
    assert {
        "speakers/calibrated.json",
        "movement/contact.json",
        "speakers/speakers.toml",
        "languages/texts/en.txt",
    } <= found
    assert not {"cli.py", "checks/reading.py", "corpus/jobs.py", "interventions/changes.py"} & found
    of_changes = {path.as_posix() for path in settings.hashed_files(root, "interventions")}
    assert {path.split("/")[0] for path in of_changes - found} == {"interventions"}
    assert settings.program_hash() != settings.program_hash("interventions")


@pytest.mark.usefixtures("in_threads")
def test_a_folder_of_changes_depends_on_the_program_of_changes(tmp_path, planned):
    make_corpus(tmp_path, planned[:1], workers=1, engine=fake_engine.tone, also="interventions")
    (tmp_path / ".parts").mkdir()
    (tmp_path / ".parts" / "m1_de_001.npz").touch()
    with pytest.raises(VocalTractError, match="another plan, seed or version"):
        make_corpus(tmp_path, planned[:1], workers=1, engine=fake_engine.tone)
    make_corpus(tmp_path, planned[:1], workers=1, engine=fake_engine.tone, anew=True)
    assert not list((tmp_path / ".parts").iterdir())


@pytest.mark.usefixtures("in_threads")
def test_other_settings_are_refused_or_made_anew(tmp_path, planned):
    make_corpus(tmp_path, planned, workers=1, engine=fake_engine.tone)
    other = tasks("full", Options(("m1",), ("de",), sentences=2, seed=7))
    before = contents(tmp_path)
    with pytest.raises(VocalTractError, match="another plan, seed or version"):
        make_corpus(tmp_path, other, workers=1, engine=fake_engine.tone)
    with pytest.raises(VocalTractError, match="another plan"):
        make_corpus(tmp_path, planned, keep=Keep(motor=True), workers=1, engine=fake_engine.tone)
    assert contents(tmp_path) == before
    make_corpus(tmp_path, other, workers=1, anew=True, engine=fake_engine.tone)
    make_corpus(tmp_path.with_name("fresh"), other, workers=1, engine=fake_engine.tone)
    assert contents(tmp_path) == contents(tmp_path.with_name("fresh"))


def test_a_folder_of_something_else_is_left_alone(tmp_path, planned):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(VocalTractError, match="no folder of this program"):
        make_corpus(tmp_path, planned, workers=1, anew=True, engine=fake_engine.tone)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


@pytest.mark.usefixtures("in_threads")
def test_a_bad_utterance_is_refused_and_leaves_nothing(tmp_path, planned):
    with pytest.raises(VocalTractError, match=r"m1_de_001: movements of shape \(50, 12\) have other .* not finite"):
        make_corpus(tmp_path, planned[:1], workers=1, engine=fake_engine.not_finite)
    assert set(contents(tmp_path)) == {"settings.toml"}


def test_a_killed_worker_is_reported_and_what_is_whole_is_kept(tmp_path, planned, monkeypatch):
    with pytest.raises(VocalTractError, match=r"a worker was killed .* while making one of .*m1_de_002"):
        make_corpus(tmp_path, planned, workers=1, engine=fake_engine.killed)
    assert (tmp_path / "m1_de_001.json").is_file() and not (tmp_path / "m1_de_002.json").exists()
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", fake_engine.InThreads)
    assert make_corpus(tmp_path, planned, workers=1, engine=fake_engine.tone).kept == 1


SCRIPT = """
import sys, fake_engine
from pathlib import Path
from vocaltract.corpus import Options, make_corpus, tasks
if __name__ == "__main__":
    planned = tasks("full", Options(("m1",), ("de",), sentences=40))
    try:
        make_corpus(Path(sys.argv[1]), planned, workers=1, engine=fake_engine.slow)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def started(tmp_path) -> subprocess.Popen:
    """A process that makes a corpus, with its own group, once its worker is at work."""
    script = tmp_path / "make.py"
    script.write_text(SCRIPT)
    here = Path(__file__).parent
    environment = os.environ | {
        "STARTED": str(tmp_path / "started"),
        "PYTHONPATH": os.pathsep.join([str(here), *(path for path in sys.path if path)]),
    }
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "out")],
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    while not (tmp_path / "started").exists() and process.poll() is None:
        time.sleep(0.05)
    return process


def ends(group: int) -> bool:
    """Whether all processes of the group end within 10 s."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_ctrl_c_leaves_whole_utterances_and_no_process(tmp_path):
    process = started(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # and again, by somebody impatient
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in error and "the same command makes the rest" in error
    assert ends(process.pid)
    names = set(contents(tmp_path / "out"))
    whole = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    assert 1 <= len(whole) < 40
    assert all({f"{one}.flac", f"{one}.ema.npy", f"{one}.f0.npy"} <= names for one in whole)


def test_workers_end_when_the_command_is_killed(tmp_path):
    process = started(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert ends(process.pid)
