from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from damage import refusals_in_corpus
from test_wave import front_table, save, times, truth

from tractprobe.articulators import CHANNELS
from tractprobe.corpora.ema_mae import EmaMae
from tractprobe.errors import ConfigError, CorpusError

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
    "nothing": ("", "no header"),
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
