"""Blocks are made in this process here, each by an engine of its own in a new one where it matters."""

import csv
import tomllib
from collections import defaultdict

import numpy as np
import pytest
import soundfile

from vocaltract.errors import VocalTractError
from vocaltract.formant_speech import Order, names, render, voices, write
from vocaltract.formant_speech.writing import MANIFEST
from vocaltract.synthesis.recorded import RECORDED_HZ

ORDER = Order(("fi", "zh"), minutes=0.3, voices=2, seed=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("espeak") / "out"
    write(root, ORDER)
    return root


def lines(root):
    with (root / MANIFEST).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sound(root, line):
    samples, rate_hz = soundfile.read(root / line["file"])
    assert rate_hz == RECORDED_HZ
    return samples


def pitches_hz(samples):
    """F0 of voiced frames of 40 ms: the highest peak of the autocorrelation between 60 and 400 Hz."""
    found = []
    for start in range(0, len(samples) - 640, 160):
        frame = samples[start : start + 640] * np.hanning(640)
        if np.sqrt(np.mean(frame**2)) < 0.02:
            continue
        of_lag = np.correlate(frame, frame, "full")[639:]
        lag = 40 + int(np.argmax(of_lag[40:267]))
        if of_lag[lag] > 0.4 * of_lag[0]:
            found.append(RECORDED_HZ / lag)
    return np.array(found)


def test_each_language_gets_the_minutes_in_equal_shares_of_the_same_voices(made):
    seconds = defaultdict(float)
    for line in lines(made):
        assert float(line["seconds"]) == pytest.approx(len(sound(made, line)) / RECORDED_HZ, abs=1e-4)
        seconds[line["language"], line["speaker"]] += float(line["seconds"])
    assert set(seconds) == {(language, voice) for language in ("fi", "zh") for voice in ("f2", "m3")}
    assert all(9 <= of_block < 9 + 10 for of_block in seconds.values())  # 0.3 min by two voices; the last one is whole
    assert {line["speaker"]: line["gender"] for line in lines(made)} == {"f2": "f", "m3": "m"}
    assert tomllib.loads((made / "folder.toml").read_text())["simulated"] is True


def test_pitch_moves_within_an_utterance_and_voices_differ(made):
    middle = defaultdict(list)
    for line in lines(made):
        f0_hz = pitches_hz(sound(made, line))
        spread = np.percentile(12 * np.log2(f0_hz), [10, 90])
        assert spread[1] - spread[0] > 1.5  # semitones
        middle[line["language"], line["speaker"]].append(np.median(f0_hz))
    for language in ("fi", "zh"):
        assert np.median(middle[language, "f2"]) > 1.2 * np.median(middle[language, "m3"])


def test_levels_are_equal_and_nothing_clips_or_is_digital_silence(made):
    for line in lines(made):
        samples = sound(made, line)
        assert np.abs(samples).max() <= voices_peak() and np.isfinite(samples).all()
        loud = samples[np.abs(samples) > 0.001]
        assert 20 * np.log10(np.sqrt(np.mean(loud**2))) == pytest.approx(render.LEVEL_DB, abs=1.5)
        quiet = np.abs(samples.reshape(-1)[: len(samples) // 800 * 800].reshape(-1, 800)).max(axis=1)
        assert quiet.min() > 0


def voices_peak():
    return render.PEAK + 1 / 32768


def test_the_same_order_gives_the_same_bytes_wherever_it_was_interrupted(made, tmp_path):
    again = tmp_path / "again"
    one = write(again, Order(("zh",), ORDER.minutes, ORDER.voices, ORDER.seed))
    (again / "zh/.m3.partial").mkdir()  # as a kill leaves it
    (again / "zh/m3" / render.LINES).unlink()
    for left in (again / "zh/m3").iterdir():
        left.unlink()
    both = write(again, ORDER)
    assert (one.made, one.kept, both.made, both.kept) == (2, 0, 3, 1)
    for line in lines(made):
        assert (again / line["file"]).read_bytes() == (made / line["file"]).read_bytes()
    assert lines(again) == lines(made)


def test_another_order_is_refused_and_replaced_only_anew(made, tmp_path):
    root = tmp_path / "out"
    write(root, Order(("fi",), 0.05, 1))
    (root / "fi/f2/mine.txt").write_text("kept")
    with pytest.raises(VocalTractError, match="another plan, seed or version"):
        write(root, Order(("fi",), 0.06, 1))
    (root / "fi/f2/mine.txt").unlink()
    write(root, Order(("fi",), 0.06, 1, seed=1), anew=True)
    on_disk = {path.relative_to(root).as_posix() for path in root.glob("*/*/*.flac")}
    assert on_disk == {line["file"] for line in lines(root)}
    with pytest.raises(VocalTractError, match="no folder of this program"):
        write(made / "fi", Order(("fi",), 0.06, 1), anew=True)


def test_draws_are_the_same_in_every_language_and_use_the_symbols_evenly():
    assert voices.drawn(0, "f2", 5) == voices.drawn(0, "f2", 5) != voices.drawn(1, "f2", 5)
    many = [voices.drawn(0, voice, number) for voice in voices.VOICES for number in range(200)]
    assert {symbol for draw in many for symbol in draw.symbols} == set(names.symbols())
    for limits, of_utterance, said in (
        (voices.PITCH, 5, [draw.pitch for draw in many]),
        (voices.RANGE, 12, [draw.range_ for draw in many]),
    ):
        assert limits[0] - of_utterance - 1 <= min(said) and max(said) <= limits[1] + of_utterance + 1
    assert len({draw.noise_seed for draw in many}) == len(many)
    share = np.mean([draw.number is not None for draw in many])
    assert share == pytest.approx(voices.NUMBERS, abs=0.03)


def test_voices_are_balanced_however_many_are_taken():
    for count in range(1, len(voices.VOICES) + 1):
        genders = [voices.VOICES[name] for name in voices.chosen(count)]
        assert abs(genders.count("f") - genders.count("m")) <= 1


def test_names_are_those_of_the_language():
    assert [names.names(language)["🐘"] for language in ("en", "fi", "de", "zh")] == [
        "elephant",
        "elefantti",
        "Elefant",
        "大象",
    ]
    assert names.names("pt-br") == names.names("pt")
    known = names.languages()
    assert {"fi", "sw", "tr", "hi", "ka", "vi", "zh", "en"} <= set(known) and not {"ja", "th", "cmn"} & set(known)
    shared = set(names.symbols()).intersection(*(names.names(name) for name in known))
    assert len(shared) >= 0.9 * len(names.symbols())  # so that all languages say the same things


def test_dictionaries_that_are_laid_out_otherwise_hold_nothing():
    assert list(names._entries(b"\x00\x04\x00\x00\xff\xff\xff\x7f" + b"\x05" * 64)) == []
    assert list(names._entries(b"\x01\x00\x00\x00\x10\x00\x00\x00" + bytes(64))) == []
