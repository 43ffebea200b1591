import json
from dataclasses import replace

import fake_engine
import numpy as np
import pytest
import soundfile
from scipy import signal

from vocaltract import checks, speakers
from vocaltract.checks import recogniser, signals, tract, vowels
from vocaltract.checks.measures import Report, Share
from vocaltract.checks.reading import Utterance
from vocaltract.checks.table import lines
from vocaltract.corpus import Options, folder, jobs, make_corpus, tasks
from vocaltract.corpus.utterance import Keep, movement_of
from vocaltract.errors import VocalTractError
from vocaltract.languages import speak
from vocaltract.manner import Manner
from vocaltract.movement import move

FRAMES = 200


def utterance(tmp_path, *, sound=None, ema=None, phones=(("a", 0.2, 1.8),), f0_hz=None, kind="speech"):
    """Two seconds that pass every check of the files, unless something is given."""
    at_s = np.arange(32000) / 16000
    inside = (at_s > 0.2) & (at_s < 1.8)
    sound = 0.1 * np.sin(2 * np.pi * 150 * at_s) * inside if sound is None else sound
    ema = np.outer(np.sin(np.arange(FRAMES) / 10), np.ones(12)) if ema is None else ema
    f0_hz = np.full(len(ema), 150.0) if f0_hz is None else f0_hz
    base = tmp_path / "m1_de_001"
    soundfile.write(base.with_name("m1_de_001.flac"), sound, 16000)
    np.save(base.with_name("m1_de_001.ema.npy"), folder.quantised(ema))
    np.save(base.with_name("m1_de_001.f0.npy"), f0_hz.astype(np.float32))
    said = {
        "speaker": "m1",
        "language": "de",
        "text": "a",
        "duration_s": 2.0,
        "ema_rate_hz": 100,
        "ema_resolution_mm": 0.01,
        "f0_rate_hz": 100,
        "phones": phones,
        "labels": {"kind": kind},
    }
    manner = Manner().__dict__
    return Utterance(base, said, {"manner": manner})


def failures(tmp_path, **changes) -> str:
    report = Report()
    signals.check_files([utterance(tmp_path, **changes)], report)
    return "\n".join(report.failures)


def test_a_good_utterance_passes(tmp_path):
    assert failures(tmp_path) == ""


def test_bad_files_fail_each_for_its_reason(tmp_path):
    at_s = np.arange(32000) / 16000
    tone = np.sin(2 * np.pi * 150 * at_s) * ((at_s > 0.2) & (at_s < 1.8))
    still = np.zeros((FRAMES, 12))
    jump = still.copy()
    jump[100, 4:6] = (2.0, 1.5)
    step = still.copy()
    step[100:, 5] = 13.0
    lost = still.copy()
    lost[7, 0] = np.nan
    expected = {
        "dBFS": {"sound": 0.001 * tone},
        "peak of 1.000": {"sound": np.clip(1.5 * tone, -1, 1)},
        "of silence within": {"sound": 0.1 * tone * ~((at_s > 0.8) & (at_s < 1.2))},
        "s of sound": {"sound": 0.1 * tone[:31000]},
        "outside its phones": {"sound": 0.1 * np.sin(2 * np.pi * 150 * at_s)},
        "before a phrase's first phone": {"sound": 0.1 * tone, "phones": (("a", 0.26, 1.8),)},
        "for one frame": {"ema": jump},
        "mm in one frame": {"ema": step},
        "missing values": {"ema": lost},
        "frames of movement": {"ema": still[:190]},
        "overlap": {"phones": (("a", 0.2, 1.0), ("n", 0.9, 1.8))},
        "phones outside": {"phones": (("a", 0.2, 2.3),)},
        "without phones": {"phones": ()},
        "have a pitch": {"f0_hz": np.zeros(FRAMES)},
        "pitch is not as long": {"f0_hz": np.full(150, 150.0)},
    }
    for reason, change in expected.items():
        assert reason in failures(tmp_path, **change), reason


@pytest.fixture(scope="module")
def said():
    """A German sentence by m1, as states of the tract; nothing is synthesised."""
    return move(speak("Die Katze schläft auf dem warmen Sofa.", "de"), speakers.load("m1"), Manner(), 5)


def test_closures_are_found_closed_and_moved_labels_are_not(said):
    speakers.load("m1").activate()
    now = tract.closed_phones(said)
    assert len(now) >= 4 and sum(good for *_, good in now) >= 0.9 * len(now)
    late = replace(said, spoken=_shifted(said.spoken, 0.12))
    assert sum(good for *_, good in tract.closed_phones(late)) <= 0.5 * len(now)
    assert np.median(tract.timing_errors_s(said)) < 0.02


def _shifted(spoken, by_s):
    phones = tuple(replace(phone, start_s=phone.start_s + by_s, end_s=phone.end_s + by_s) for phone in spoken.phones)
    return replace(spoken, phones=phones)


def test_formants_of_vowels_are_those_of_their_shapes(said):
    speakers.load("m1").activate()
    shape = speakers.load("m1").shapes.vowel("i")
    held = replace(said, tract=np.tile(shape, (len(said.tract), 1)))
    found = np.array([pair for _, pair in vowels.vowel_formants_hz(held)])
    assert len(found) >= 5
    assert np.ptp(found, axis=0).max() == 0  # the same state everywhere
    assert np.abs(found[0] / vowels.MEN_HZ["i"] - 1).max() < 0.3


def test_a_vowel_off_its_region_fails(said, tmp_path):
    """Every vowel of a speaker is spoken as i: most are out of their regions."""
    shape = speakers.load("m1").shapes.vowel("i")
    one = utterance(tmp_path)
    one.__dict__["movement"] = replace(said, tract=np.tile(shape, (len(said.tract), 1)))
    report = Report()
    vowels.check_vowels([one] * 4, report)
    assert report.numbers["vowels"]["m1"].all >= 3
    assert any("vowels in their regions" in failure for failure in report.failures)


def test_dynamic_time_warping_against_the_plain_recursion():
    random = np.random.default_rng(1)
    test, templates = random.standard_normal((9, 3)), [random.standard_normal((length, 3)) for length in (7, 9, 13)]
    for template, found in zip(templates, recogniser.distances_to(test, templates), strict=True):
        assert found == pytest.approx(_plain_distance(test, template))


def _plain_distance(test, template):
    local = np.linalg.norm(test[:, None] - template[None], axis=2)
    cost = np.full(local.shape, np.inf)
    cost[0, 0] = local[0, 0]
    for t in range(1, len(test)):
        for j in range(1, len(template)):
            ways = [cost[t - 1, j - 1] + 2 * local[t, j]]
            if j > 1:
                ways.append(cost[t - 1, j - 2] + 2 * local[t, j - 1] + local[t, j])
            if t > 1:
                ways.append(cost[t - 2, j - 1] + 2 * local[t - 1, j] + local[t, j])
            cost[t, j] = min(ways)
    return cost[-1, -1] / (len(test) + len(template) - 1)  # the weights of any path: n + m in Sakoe & Chiba 1978


def _melody(seed, pace, random):
    """Noise through a moving resonance: the same tune at any pace."""
    centres = np.random.default_rng(seed).uniform(400, 3500, 12)
    parts = []
    for centre in centres:
        sos = signal.butter(2, (centre * 0.85, centre * 1.15), "band", fs=16000, output="sos")
        parts.append(signal.sosfilt(sos, random.standard_normal(int(2000 * pace))))
    return 0.1 * np.concatenate(parts)


def test_recogniser_knows_the_same_at_another_pace_and_not_chance():
    random = np.random.default_rng(0)
    templates = [recogniser.features(_melody(seed, 1.0, random))[0] for seed in range(6)]
    for seed in range(6):
        distances = recogniser.distances_to(recogniser.features(_melody(seed, 1.2, random))[0], templates)
        assert np.argmin(distances) == seed


def test_a_real_utterance_end_to_end(tmp_path, monkeypatch):
    """Synthesis, files, checks and table: one sentence of one speaker."""
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", fake_engine.InThreads)
    (sentence,) = tasks("full", Options(("m1",), ("de",), sentences=1))
    manner = replace(sentence.manner, sensor_noise_mm=0.2)
    planned = [replace(sentence, text="Papa backt.", spoken="Papa backt.", manner=manner)]
    make_corpus(tmp_path, planned, workers=1)
    report = checks.measure(tmp_path, recogniser=False)
    assert 0.5 < 60 * report.numbers["minutes"]["m1"] < 3
    assert report.numbers["closed"]["m1"].all >= 3
    assert not [failure for failure in report.failures if "m1_de_001" in failure and "such as" not in failure]
    text = "\n".join(lines(report))
    assert "closed" in text and "vowels in region" in text
    json.dumps(checks.as_json(report))
    made_again = movement_of(planned[0], speakers.load("m1"))
    (one,) = checks.utterances(tmp_path)
    assert np.array_equal(one.movement.tract, made_again.tract)
    _refuses_other_movements(one)


def _refuses_other_movements(one):
    """As another version of the program might have made them, with the same phones at the same times."""
    higher, moved = one.f0_hz.copy(), one.ema.copy()
    higher[higher > 0] *= 1.02
    moved[:, 4:6] += 0.5  # the tip of the tongue
    for changed in ({"f0_hz": higher}, {"ema": moved}, {"ema": one.ema[::-1]}):
        with pytest.raises(VocalTractError, match="m1_de_001: made by another version"):
            _ = _anew(one, **changed).movement
    silent = {name: value for name, value in one.said.items() if name not in ("ema_rate_hz", "f0_rate_hz")}
    sound_only = replace(one, said=silent)
    assert len(sound_only.movement.tract) == len(one.movement.tract)
    with pytest.raises(VocalTractError, match="another version"):
        _ = replace(sound_only, record={**one.record, "program": "0123456789abcdef"}).movement


def _anew(one, **changed):
    again = replace(one)
    again.__dict__.update(changed)
    return again


def test_a_movement_with_other_phones_is_refused(tmp_path):
    planned = tasks("full", Options(("m1",), ("de",), sentences=1))
    folder.write(tmp_path, planned[0], fake_engine.tone(planned[0], Keep()))
    folder.finish(tmp_path, planned, folder.Origin("vocaltract", "", ""), with_palates=False)
    (one,) = checks.utterances(tmp_path)
    with pytest.raises(VocalTractError, match="another version of this program"):
        _ = one.movement


def test_share_and_failures():
    share = Share()
    for good in (True, True, False):
        share.add(good)
    assert str(share) == "2/3" and share.rate == pytest.approx(2 / 3)
    report = Report()
    assert report.require(True, "fine") and not report.require(False, "m1: not fine")
    assert report.failures == ["m1: not fine"]


def test_a_turn_in_the_middle_of_a_fast_movement_is_no_jump():
    turn = np.zeros((7, 1, 2))
    turn[:, 0, 0] = (6.0, 3.0, 1.0, 0.0, 1.5, 4.5, 8.0)
    assert signals.jump_mm(turn) == 0.0
    snap = np.zeros((7, 1, 2))
    snap[:, 0, 0] = (0.0, 0.1, 0.2, 2.0, 0.3, 0.4, 0.5)
    assert signals.jump_mm(snap) == pytest.approx(1.7)
