from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from damage import refusals_in_corpus
from drawn import FEW, Courses, Sound, assert_sound, assert_track, movements, sounds, write_sound
from hypothesis import given
from hypothesis import strategies as st
from test_wave import front_table, save, times, truth

from tractprobe.corpora.readers.ema_mae import EmaMae
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

IDS = ("1", "3", "4", "5", "6", "7", "8", "9")
"""Numbers in the header skip one: the reference on the head takes two channels."""
PLACES = {"td": 1, "tb": 3, "ul": 4, "ll": 5, "li": 7}


def write(root: Path, **settings: Any) -> EmaMae:
    """Write two speakers of EMA-MAE, audio elsewhere in the speaker's folder, raw files and a palate beside."""
    for speaker, task in (("05_ENGL_F", "words3"), ("05_ENGL_F", "sent1"), ("21_MAND_M", "words3")):
        name = f"{speaker}_{task}"
        content = front_table(times(120, 400, 0.05), truth(120, len(IDS)), IDS)
        save(root / speaker / f"Kinematic/Corrected/{name}_BPC.tsv", content)
        save(root / speaker / f"Kinematic/Raw/{name}.tsv", front_table(times(9), -truth(9, 8), IDS))
        audio = root / speaker / f"Audio/{name}.wav"
        audio.parent.mkdir(exist_ok=True)
        soundfile.write(audio, np.random.default_rng(0).normal(size=8820) * 0.1, 22050)
    save(root / "05_ENGL_F/Kinematic/Corrected/05_ENGL_F_palate_BPC.tsv", "")
    return EmaMae(root, **settings)


def read_one(reader: EmaMae, index: int = 0) -> Any:
    (utterance,) = reader.read(reader.sources()[index])
    return utterance


def test_only_corrected_recordings_of_speech_are_sources(tmp_path: Path):
    assert write(tmp_path).sources() == [
        "05_ENGL_F/Kinematic/Corrected/05_ENGL_F_sent1_BPC.tsv",
        "05_ENGL_F/Kinematic/Corrected/05_ENGL_F_words3_BPC.tsv",
        "21_MAND_M/Kinematic/Corrected/21_MAND_M_words3_BPC.tsv",
    ]


def test_round_trip(tmp_path: Path):
    reader = write(tmp_path)
    for index, (speaker, task) in enumerate([("05_ENGL_F", "sent1"), ("05_ENGL_F", "words3"), ("21_MAND_M", "words3")]):
        utterance = read_one(reader, index)
        assert (utterance.id, utterance.speaker, utterance.text) == (f"{speaker}_{task}", speaker, task)
        assert (utterance.language, utterance.frame) == ("en", "occlusal")
        assert (utterance.audio_rate_hz, len(utterance.audio)) == (22050, 8820)
        assert utterance.track.rate_hz == pytest.approx(400, rel=1e-3) and utterance.track.start_s == 0.05
        for articulator, place in PLACES.items():
            x, y = (utterance.track.values[:, CHANNELS.index(f"{articulator}_{axis}")] for axis in "xy")
            np.testing.assert_allclose(x, truth(120, 8)[:, place, 0], atol=1e-9)  # x, not the lateral z
            np.testing.assert_allclose(y, truth(120, 8)[:, place, 1], atol=1e-9)


@pytest.mark.parametrize("tongue", [("td", "tb"), ("td", "tt"), ("tb", "tt")])
def test_the_third_point_of_the_tongue_is_missing(tmp_path: Path, tongue: tuple[str, str]):
    values = read_one(write(tmp_path, tongue=tongue)).track.values
    (lacking,) = {"td", "tb", "tt"} - set(tongue)
    present = {CHANNELS[column][:2] for column in np.isfinite(values).all(axis=0).nonzero()[0]}
    assert present == {*tongue, "li", "ul", "ll"}
    assert np.isnan(values[:, CHANNELS.index(f"{lacking}_y")]).all()
    np.testing.assert_allclose(values[:, CHANNELS.index(f"{tongue[0]}_x")], truth(120, 8)[:, 1, 0], atol=1e-9)
    np.testing.assert_allclose(values[:, CHANNELS.index(f"{tongue[1]}_x")], truth(120, 8)[:, 3, 0], atol=1e-9)


def test_swapped_sensors_of_one_speaker_are_put_right(tmp_path: Path):
    reader = write(tmp_path, speaker_sensors={"05_ENGL_F": {"TD": 4, "TB": 2, "MI": None}})
    swapped, usual = read_one(reader), read_one(reader, 2)
    dorsum, jaw = CHANNELS.index("td_x"), CHANNELS.index("li_x")
    np.testing.assert_allclose(swapped.track.values[:, dorsum], truth(120, 8)[:, 3, 0], atol=1e-9)
    np.testing.assert_allclose(usual.track.values[:, dorsum], truth(120, 8)[:, 1, 0], atol=1e-9)
    assert np.isnan(swapped.track.values[:, jaw]).all() and np.isfinite(usual.track.values[:, jaw]).all()


IN_FILE = ("reference", "TD", "TL", "TB", "UL", "LL", "LC", "MI")


@FEW
@given(
    courses=movements(dict.fromkeys(IN_FILE, (0.0,) * 3), keep=("UL",)),
    tongue=st.sampled_from([("td", "tb"), ("td", "tt"), ("tb", "tt")]),
    lacking=st.sets(st.sampled_from(["TD", "TB", "LL", "MI"])),
    is_swapped=st.booleans(),
    start=st.integers(0, 999),
    sound=sounds(),
    speaker=st.from_regex(r"[0-9]{2}_(ENGL|MAND)_[FM]", fullmatch=True),
    task=st.from_regex(r"[a-z]{1,5}[0-9]{0,2}(_[A-Z0-9.-]{1,3})?", fullmatch=True),
)
def test_any_recording_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, tongue: tuple[str, str], lacking: set[str],
    is_swapped: bool, start: int, sound: Sound, speaker: str, task: str,
):  # fmt: skip
    root, order = tmp_path_factory.mktemp("any"), list(IN_FILE)
    own: dict[str, int | None] = {}
    if is_swapped:
        order[1], order[3], own = order[3], order[1], {"TD": 4, "TB": 2}
    own |= dict.fromkeys(lacking)
    times_s = np.round(start / 10_000 + np.arange(len(courses["UL"])) / 400, 4)
    content = front_table(times_s, np.stack([courses[name] for name in order], axis=1), IDS)
    save(root / speaker / f"Kinematic/Corrected/{speaker}_{task}_BPC.tsv", content)
    write_sound(root / speaker / f"{speaker}_{task}.wav", sound)
    read = read_one(EmaMae(root, tongue=tongue, speaker_sensors={speaker: own}))
    named = {"TD": tongue[0], "TB": tongue[1], "UL": "ul", "LL": "ll", "MI": "li"}
    expected = {named[name]: courses[name][:, :2] for name in named if name not in lacking}
    assert read.track.rate_hz == pytest.approx(400, rel=0.01)
    assert_track(read, expected, rate_hz=read.track.rate_hz, start_s=times_s[0])
    assert_sound(read, sound)
    assert (read.id, read.speaker, read.text) == (f"{speaker}_{task}", speaker, task)


def test_the_same_task_of_two_speakers_has_the_same_text(tmp_path: Path):
    reader = write(tmp_path)
    assert read_one(reader, 1).text == read_one(reader, 2).text != read_one(reader, 0).text


WRONG_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "one point": ({"tongue": ["td"]}, "tongue"),
    "front to back": ({"tongue": ["tt", "td"]}, "back to front"),
    "a lip": ({"tongue": ["td", "ul"]}, "tongue"),
    "a lateral sensor": ({"sensors": {"TL": 3}}, "TL"),
    "articulators for sensors": ({"speaker_sensors": {"05_ENGL_F": {"td": 3}}}, "td"),
}


@pytest.mark.parametrize("case", WRONG_SETTINGS)
def test_settings_are_checked(tmp_path: Path, case: str):
    settings, problem = WRONG_SETTINGS[case]
    with pytest.raises(ConfigError, match=problem):
        write(tmp_path, **settings)


BROKEN: dict[str, tuple[str, str]] = {
    "nothing": ("", "neither a header"),
    "too few sensors": (front_table(times(9), truth(9)), "no sensor 4"),
    "cut short": (front_table(times(9), truth(9, 8), IDS)[:-50], "line 10"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_recording_is_one_error_that_names_it(tmp_path: Path, case: str):
    content, problem = BROKEN[case]
    reader = write(tmp_path)
    save(tmp_path / reader.sources()[0], content)
    with pytest.raises(CorpusError, match=problem) as error:
        read_one(reader)
    assert "05_ENGL_F_sent1_BPC.tsv" in str(error.value)


def test_missing_audio_an_odd_name_and_an_empty_folder_are_named(tmp_path: Path):
    reader = write(tmp_path / "a")
    (tmp_path / "a/05_ENGL_F/Audio/05_ENGL_F_sent1.wav").unlink()
    with pytest.raises(CorpusError, match=r"05_ENGL_F_sent1\.wav"):
        read_one(reader)
    save(tmp_path / "a/words_BPC.tsv", front_table(times(9), truth(9, 8), IDS))
    with pytest.raises(CorpusError, match=r"words_BPC\.tsv.*speaker_pattern"):
        reader.read("words_BPC.tsv")
    (tmp_path / "b").mkdir()
    with pytest.raises(CorpusError, match="_BPC"):
        EmaMae(tmp_path / "b").sources()


def test_bit_rot_is_an_error_or_harmless_but_nothing_else(tmp_path: Path):
    name = "07_MAND_F_words1"
    save(tmp_path / f"{name}_BPC.tsv", front_table(times(40, 400, 0), truth(40, 8), IDS))
    soundfile.write(tmp_path / f"{name}.wav", np.zeros(4000), 16000)
    assert refusals_in_corpus(EmaMae(tmp_path)) > 40
