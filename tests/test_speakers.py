"""Who speaks in a corpus: the unit of standardisation, splits and intervals is asked for where it would be guessed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import write_utterance
from test_articulograph import CHANNEL, REST, ag501_bytes, as_records, in_head, write_audio
from test_emu import write_bundle
from test_wave import save, table, times, truth

from tractprobe.corpora.names import file_safe
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import describe, prepare
from tractprobe.corpora.readers.articulograph import Articulograph
from tractprobe.corpora.readers.emu import Emu
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.readers.ndi_wave import NdiWave
from tractprobe.corpora.utterance import Reader
from tractprobe.system.errors import ConfigError


def articulograph(root: Path, *stems: str, **settings: Any) -> Articulograph:
    for seed, stem in enumerate(stems):
        (root / stem).parent.mkdir(parents=True, exist_ok=True)
        courses = as_records(in_head(seed, REST), CHANNEL, 16)
        (root / f"{stem}.pos").write_bytes(ag501_bytes(courses, length=4096))
        write_audio(root / f"{stem}.wav", 2.0)
    return Articulograph("lab", root, "el", {"tt": CHANNEL["tt"]}, head_corrected=True, **settings)


def wave(root: Path, *stems: str, **settings: Any) -> NdiWave:
    for seed, stem in enumerate(stems):
        save(root / f"{stem}.tsv", table("own", times(), truth() + seed))
        soundfile.write(root / f"{stem}.wav", np.random.default_rng(seed).normal(size=9600) * 0.1, 16000)
    return NdiWave("lab", root, "en", {"td": 3, "tt": 2}, "y", "-z", **settings)


def emu(root: Path, *stems: str, **settings: Any) -> Emu:
    for stem in stems:
        write_bundle(root, stem)
    return Emu("lab", root, "de", **settings)


READERS = {"articulograph": articulograph, "ndi_wave": wave, "emu": emu}


@pytest.mark.parametrize("kind", READERS)
def test_a_file_is_not_a_speaker(tmp_path: Path, kind: str):
    reader = READERS[kind](tmp_path / "raw", "0021", "0022")
    with pytest.raises(ConfigError, match=r"each file would be a speaker.*0021.*corpus\.speaker=.*speaker_pattern"):
        prepare(reader, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    reader = READERS[kind](tmp_path / "raw", speaker="Zoë 1")
    corpus = prepare(reader, tmp_path / "data")
    assert {entry.speaker for entry in corpus.entries} == {"lab/Zoe_1"}
    (original,) = {corpus.utterance(entry.id).original["speaker"] for entry in corpus.entries}
    assert original == "Zoë 1"


@pytest.mark.parametrize("kind", READERS)
def test_speakers_are_not_merged(tmp_path: Path, kind: str):
    stems = "dfgspp_mo1_0020", "dfgspp_mo2_0020"
    with pytest.raises(ConfigError, match=r"all 2 recordings would be of one speaker, dfgspp; give corpus\.speaker=<"):
        prepare(READERS[kind](tmp_path / "raw", *stems), tmp_path / "data")
    corpus = prepare(READERS[kind](tmp_path / "raw", speaker_pattern=r"_(?P<speaker>mo\d)"), tmp_path / "data")
    assert {entry.speaker for entry in corpus.entries} == {"lab/mo1", "lab/mo2"}
    first, *groups = describe(corpus).splitlines()
    assert first.endswith(", 2 speakers")
    assert [group.split()[1:4] for group in groups[:2]] == [
        ["lab/mo1", "1", "utterance"],
        ["lab/mo2", "1", "utterance"],
    ]


@pytest.mark.parametrize("kind", READERS)
def test_names_with_two_speakers_in_the_usual_place_need_no_setting(tmp_path: Path, kind: str):
    corpus = prepare(READERS[kind](tmp_path / "raw", "anna_1", "anna_2", "bob_1"), tmp_path / "data")
    assert {entry.speaker for entry in corpus.entries} == {"lab/anna", "lab/bob"}


@pytest.mark.parametrize("kind", READERS)
def test_names_that_files_cannot_have_are_changed_and_kept_in_the_manifest(tmp_path: Path, kind: str):
    corpus = prepare(READERS[kind](tmp_path / "raw", "Jörg M_Satz 1", "Änne_Satz 1"), tmp_path / "data")
    assert sorted(entry.id for entry in corpus.entries) == ["lab/Anne_Satz_1", "lab/Jorg_M_Satz_1"]
    lines = [json.loads(line) for line in (corpus.folder / "cuts.jsonl").read_text().splitlines()]
    assert [line["custom"]["original"] for line in lines] == [
        {"id": "Jörg M_Satz 1", "speaker": "Jörg M"},
        {"id": "Änne_Satz 1", "speaker": "Änne"},
    ]


def test_usual_names_leave_no_trace_in_the_manifest(tmp_path: Path):
    corpus = prepare(wave(tmp_path / "raw", "anna_1", "anna_2", "bob_1"), tmp_path / "data")
    assert "original" not in (corpus.folder / "cuts.jsonl").read_text()
    assert file_safe("A-b.c_9") == "A-b.c_9"


def described(reader: Reader, data: Path) -> tuple[PreparedCorpus, str]:
    corpus = prepare(reader, data)
    return corpus, describe(corpus)


def test_a_recording_that_is_there_twice_is_reported(tmp_path: Path):
    for id_, seed in (("u1", 1), ("u2", 2), ("u3", 1)):
        speaker = "bob" if id_ == "u3" else "anna"
        write_utterance(tmp_path / "raw", id_, speaker=speaker, language="it", text=id_, seed=seed)
    for kind in ("flac", "ema.npy"):
        (tmp_path / f"raw/u3.{kind}").write_bytes((tmp_path / f"raw/u1.{kind}").read_bytes())
    corpus, text = described(Folder("lab", tmp_path / "raw"), tmp_path / "data")
    assert corpus.description["twice"] == [["u1", "u3"]]
    assert "the same recording 2 times: u1, u3" in text


def test_recordings_that_differ_are_not(tmp_path: Path):
    for number in range(3):
        write_utterance(tmp_path / "raw", f"u{number}", speaker="a", language="it", text="x", seed=number)
    corpus, text = described(Folder("lab", tmp_path / "raw"), tmp_path / "data")
    assert corpus.description["twice"] == [] and "same recording" not in text
