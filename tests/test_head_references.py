"""What stands for the head has to be bone: how well references fit is measured, refused or told."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import real
from test_articulograph import CHANNEL, FRAMES, REST, ag501_bytes, as_records, in_head, to_device, write, write_audio

from tractprobe.corpora.geometry.head_motion import distance_deviations
from tractprobe.corpora.prepared.convert import Converted
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.placing import Placed, sessions
from tractprobe.corpora.prepared.prepare import describe, prepare
from tractprobe.corpora.readers.articulograph import Articulograph
from tractprobe.corpora.utterance import HeadFit, Reader, Utterance
from tractprobe.system.errors import CorpusError


def read_one(reader: Reader, source: str) -> Utterance:
    (utterance,) = reader.read(source)
    assert isinstance(utterance, Utterance)
    return utterance


EARS = {"left_ear": CHANNEL["left_ear"], "right_ear": CHANNEL["right_ear"]}


@pytest.mark.parametrize("loose", ["li", "tt", "ul"])
def test_a_reference_that_moves_against_the_others_is_refused_by_name(tmp_path: Path, loose: str):
    references = EARS | {"nose": CHANNEL[loose], "ui": CHANNEL["ui"]}
    reader = write(tmp_path, references=references, turn_axes=False, overrides={})
    with pytest.raises(
        CorpusError, match=rf"0001\.pos: reference nose \(channel {CHANNEL[loose]}\) moves against the others, by \d"
    ):
        reader.read("anna/pos/0001.pos")
    told = {"references": references, "turn_axes": False, "overrides": {}, "max_reference_deviation_mm": None}
    utterance = read_one(write(tmp_path, **told), "anna/pos/0001.pos")
    assert utterance.head is not None
    assert max(mm for pair, mm in utterance.head.deviation_mm.items() if "nose" in pair) > 1
    assert utterance.head.deviation_mm["left_ear right_ear"] < 0.01


def test_the_fit_of_each_session_is_told_and_does_not_change_the_contents_hash(tmp_path: Path):
    corpus = prepare(write(tmp_path / "raw"), tmp_path / "data")
    told = corpus.description["head_references"]
    assert [session["session"] for session in told] == ["anna in anna/pos", "bob in bob/pos"]
    for session in told:
        assert max(session["deviation_mm"].values()) < 0.01 and len(session["deviation_mm"]) == 6
        assert session["error_mm"] < 0.01 and session["lost"] == 0 and not session["is_corrected"]
    assert "bob in bob/pos: head references keep their distances to 0.00 mm" in describe(corpus)
    assert "head_references" not in (corpus.folder / "cuts.jsonl").read_text()


def corrected(root: Path, **settings: Any) -> PreparedCorpus:
    """Prepare two sweeps that the maker's normpos has head-corrected."""
    (root / "raw/anna").mkdir(parents=True, exist_ok=True)
    for seed in (1, 2):
        courses = {name: course[:, [0, 2, 1]] + 5 for name, course in in_head(seed, REST).items()}
        records = as_records(courses, CHANNEL, 16)
        more = "normpos.FIR_kaiserd_P_5_15_60_250=1,2,3\n"
        (root / f"raw/anna/{seed}.pos").write_bytes(ag501_bytes(records, more=more))
        write_audio(root / f"raw/anna/{seed}.wav", FRAMES / 250)
    given = {"sensors": {"tt": CHANNEL["tt"]}, "speaker": "anna"} | settings
    return prepare(Articulograph("lab", root / "raw", "el", **given), root / "data")


def test_sweeps_that_are_head_corrected_already_are_noticed(tmp_path: Path):
    corpus = corrected(tmp_path)
    assert "anna in anna: head-corrected already, say its headers (normpos): corpus.head_corrected=true" in describe(
        corpus
    )
    again = describe(corrected(tmp_path, references=EARS | {"nose": CHANNEL["nose"]}))
    assert "keep their distances to 0.00 mm" in again and "they were head-corrected already" in again
    assert "head_references" not in corrected(tmp_path, head_corrected=True).description
    with pytest.raises(CorpusError, match=r"head-corrected already: give corpus\.head_corrected=true"):
        corrected(tmp_path, references=EARS | {"nose": CHANNEL["li"]})


def test_references_that_do_not_move_at_all_are_noticed_without_a_header(tmp_path: Path):
    still = write(tmp_path, degrees=15)
    head = read_one(still, "anna/pos/0001.pos").head
    assert head is not None and not head.is_corrected
    courses = {name: course[:, [0, 2, 1]] + 5 for name, course in in_head(0, REST).items()}
    for stem in ("0001", "0002"):
        (tmp_path / f"anna/pos/{stem}.pos").write_bytes(ag501_bytes(as_records(courses, CHANNEL, 16)))
    utterance = read_one(still, "anna/pos/0001.pos")
    assert utterance.head is not None and utterance.head.is_corrected


def test_deviations_are_those_of_distances_whatever_the_head_does():
    courses = to_device({name: course for name, course in in_head(3, REST, 4000).items()}, 3)
    points = np.stack([courses[name] for name in ("left_ear", "right_ear", "li")], axis=1)
    points[::7, 1] = np.nan
    deviations = distance_deviations(points)
    assert deviations[0, 1] < 1e-9 and deviations[0, 2] > 1
    np.testing.assert_array_equal(deviations, deviations.T)


def test_fits_go_through_the_journal():
    fit = HeadFit("anna in pos", {"left_ear nose": 0.1}, 0.05, 0.0, False)
    other = HeadFit("anna in pos", {"left_ear nose": 0.1}, 0.15, 0.5, False)
    converted = Converted("x", heads=[fit, other])
    placed = Placed.from_plain(json.loads(json.dumps(asdict(Placed("x", heads=converted.heads)))))
    assert placed.heads == [fit, other]
    (session,) = sessions([placed])
    assert (session["error_mm"], session["lost"], session["is_corrected"]) == (0.1, 0.25, False)
    assert Placed.from_plain({"source": "x", "utterances": [], "skipped": []}).heads == []  # a journal of before


GREEK = {"td": 3, "tb": 4, "tt": 5, "ul": 6, "ll": 7}


@pytest.mark.parametrize("channel", [5, 6, 8])
def test_jaw_lip_and_tongue_of_a_real_recording_are_no_references(tmp_path: Path, channel: int):
    sweep = real("TRACTPROBE_SAMPLES", "reidy_ag501_greek", "0021.pos")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/0021.pos").symlink_to(sweep)
    soundfile.write(tmp_path / "raw/0021.wav", np.random.default_rng(0).normal(size=20 * 16000) * 0.1, 16000)
    references = {"left_ear": 1, "right_ear": 2, "nose": channel}
    reader = Articulograph("greek", tmp_path / "raw", "el", GREEK, references=references, speaker="s1")
    with pytest.raises(CorpusError, match=rf"reference nose \(channel {channel}\) moves.*head_corrected=true"):
        reader.read("0021.pos")
    told = Articulograph("greek", tmp_path / "raw", "el", GREEK, head_corrected=True, speaker="s1")
    assert len(prepare(told, tmp_path / "data").entries) == 1


def test_bones_of_a_real_recording_are_references(tmp_path: Path):
    folder = real("TRACTPROBE_SAMPLES", "ema2wav_ag501")
    references = {"left_ear": 1, "right_ear": 2, "nose": 3}
    reader = Articulograph("ag", folder, "de", {"tt": 7}, references=references, speaker="s1")
    (utterance,) = reader.read("0023.pos")
    assert utterance.head is not None and utterance.head.is_corrected
    assert max(utterance.head.deviation_mm.values()) < 0.2 and utterance.head.error_mm < 0.1
