"""Controls for movements: what they keep, what they lose, and that they are drawn the same whatever the order."""

from pathlib import Path

import numpy as np
import pytest
from conftest import write_corpus

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.control_targets import Control, Mismatched, Shifted, _drawn
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.data.targets import Positions, Targets
from tractprobe.signals.smoothing import Smoothing
from tractprobe.system.errors import ConfigError

TIMES_S = (320 * np.arange(59) + 199.5) / 16000
SMOOTHING = Smoothing()


def test_the_control_task_is_the_same_whatever_came_before(data: Path):
    corpora = [PreparedCorpus(data / "toy") for _ in range(2)]
    forwards, backwards = Control(SMOOTHING), Control(SMOOTHING)
    entries = corpora[0].entries[:8]
    there = {entry.id: forwards.at(corpora[0], entry, TIMES_S) for entry in entries}
    _drawn.cache_clear()
    back = {entry.id: backwards.at(corpora[1], entry, TIMES_S) for entry in reversed(entries)}
    for id_, values in there.items():
        np.testing.assert_array_equal(values, back[id_])
    other = Control(SMOOTHING, seed=1).at(corpora[0], entries[0], TIMES_S)
    assert not np.allclose(other, there[entries[0].id], equal_nan=True)
    assert Control(SMOOTHING).identity != Control(SMOOTHING, seed=1).identity


def test_the_control_task_depends_on_phone_and_third_alone(toy: PreparedCorpus):
    """In the toy corpus all utterances have the same labels, so all of one speaker have the same control."""
    own = [entry for entry in toy.entries if entry.speaker == "toy/s1"]
    first, *others = (Control(SMOOTHING).at(toy, entry, TIMES_S) for entry in own)
    for values in others:
        np.testing.assert_allclose(values, first)
    at_phone = PhoneLabels.of(toy, own[0]).phone_at(TIMES_S) >= 0
    assert (np.isfinite(first).all(axis=1) == at_phone).all() and at_phone.sum() > 30


def test_the_control_task_is_within_the_speakers_range_and_slow(toy: PreparedCorpus):
    for speaker in ("toy/s0", "toy/s2"):
        own = [entry for entry in toy.entries if entry.speaker == speaker]
        measured = np.concatenate([SMOOTHING(toy.track(entry.id)).values for entry in own])
        values = Control(SMOOTHING).at(toy, own[0], np.arange(0.1, 0.9, 0.001))
        margin = 0.3 * np.ptp(measured, axis=0)  # a low-pass overshoots
        assert (values > measured.min(axis=0) - margin).all() and (values < measured.max(axis=0) + margin).all()
        spectrum = np.abs(np.fft.rfft(values * np.hanning(len(values))[:, None], axis=0)) ** 2
        hz = np.fft.rfftfreq(len(values), 0.001)
        assert spectrum[hz > 25].sum() < 1e-3 * spectrum[hz > 2].sum()
        assert values.std(axis=0).min() > 0.02 * measured.std(axis=0).min()


def test_drawn_quantiles_are_uniform():
    drawn = np.concatenate([_drawn(0, f"phone {number}", third) for number in range(300) for third in range(3)])
    assert 0.48 < drawn.mean() < 0.52 and abs(drawn.var() - 1 / 12) < 0.003


@pytest.mark.parametrize("shift_s", [0.3, -0.5, 1.7])
def test_a_shift_within_the_utterance_is_a_circle(toy: PreparedCorpus, shift_s: float):
    entry = toy.entries[0]
    track = SMOOTHING(toy.track(entry.id))
    values = Shifted(SMOOTHING, shift_s, "utterance").at(toy, entry, TIMES_S)
    expected = track.at((TIMES_S + shift_s) % entry.duration_s)
    np.testing.assert_array_equal(values, expected)
    assert np.isfinite(values).all(axis=1).mean() > 0.95


def test_a_shift_within_the_session_gives_the_next_utterances_movements(toy: PreparedCorpus):
    own = sorted((entry for entry in toy.entries if entry.speaker == "toy/s0"), key=lambda entry: entry.id)
    length_s = own[0].duration_s
    positions = Positions(SMOOTHING)
    for number in (0, len(own) - 1):
        values = Shifted(SMOOTHING, length_s).at(toy, own[number], TIMES_S)
        np.testing.assert_allclose(values, positions.at(toy, own[(number + 1) % len(own)], TIMES_S))
    back = Shifted(SMOOTHING, -0.5).at(toy, own[1], np.array([0.2, 0.7]))
    expected = [positions.at(toy, own[0], np.array([0.2 - 0.5 + length_s])), positions.at(toy, own[1], np.array([0.2]))]
    np.testing.assert_allclose(back, np.concatenate(expected))
    nothing = Shifted(SMOOTHING, 0.0).at(toy, own[1], TIMES_S)
    np.testing.assert_allclose(nothing, positions.at(toy, own[1], TIMES_S))


def test_a_shift_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="utterance or session"):
        Shifted(SMOOTHING, float("nan"))


def test_mismatched_movements_are_of_another_sentence_of_the_speaker(toy: PreparedCorpus):
    mismatched, positions = Mismatched(SMOOTHING), Positions(SMOOTHING)
    partners = {}
    for entry in toy.entries:
        other = mismatched.partner(toy, entry)
        assert other is not None and (other.speaker, other.language) == (entry.speaker, entry.language)
        assert other.text != entry.text
        np.testing.assert_array_equal(mismatched.at(toy, entry, TIMES_S), positions.at(toy, other, TIMES_S))
        partners[entry.id] = other.id
    again = {entry.id: mismatched.partner(toy, entry) for entry in reversed(toy.entries)}
    assert partners == {id_: other.id for id_, other in again.items() if other}
    changed = [Mismatched(SMOOTHING, seed=1).partner(toy, entry) for entry in toy.entries]
    assert [other.id for other in changed if other] != list(partners.values())


def test_mismatched_movements_are_cut_to_the_shorter(tmp_path: Path):
    raw = write_corpus(tmp_path / "raw", languages=("en",), speakers=1, sentences=1)
    from conftest import write_utterance

    write_utterance(raw, "long", speaker="s0", language="en", text="a longer one", seed=5, duration_s=2.0)
    write_utterance(raw, "alone", speaker="s1", language="en", text="alone", seed=6)
    prepare(Folder("unequal", raw), tmp_path / "data")
    corpus = PreparedCorpus(tmp_path / "data" / "unequal")
    times_s = np.arange(100) * 0.02
    long, short, alone = (
        next(entry for entry in corpus.entries if entry.id.endswith(name)) for name in ("long", "en_0", "alone")
    )
    for entry in (long, short):
        values = Mismatched(SMOOTHING).at(corpus, entry, times_s)
        assert np.isfinite(values[times_s < 1.19]).all() and np.isnan(values[times_s >= 1.2]).all()
    assert np.isnan(Mismatched(SMOOTHING).at(corpus, alone, times_s)).all()


def test_controls_stand_beside_movements(toy: PreparedCorpus):
    targets = Targets(["ema", "control", Shifted(SMOOTHING), Mismatched(SMOOTHING)])
    assert targets.names == ("ema", "control", "shifted", "mismatched") and len(targets.channels) == 48
    assert targets.identity[2]["shifted"]["shift_s"] == 5.0
    assert targets.at(toy, toy.entries[0], TIMES_S).shape == (len(TIMES_S), 48)
