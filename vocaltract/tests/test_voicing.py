"""The F0 file has a pitch where voice is heard, not wherever the folds could vibrate."""

import numpy as np

from vocaltract.spoken import read, written
from vocaltract.states import AUDIO_HZ
from vocaltract.synthesis import heard_f0

RATE_HZ = 100.0


def pulses(f0_hz: float, seconds: float) -> np.ndarray:
    """A train of pulses through a resonance at 500 Hz."""
    times = np.arange(int(seconds * AUDIO_HZ)) / AUDIO_HZ
    train = np.zeros(len(times))
    train[np.unique((np.arange(int(seconds * f0_hz)) / f0_hz * AUDIO_HZ).astype(int))] = 1.0
    ringing = np.exp(-times[:2000] * 400) * np.sin(2 * np.pi * 500 * times[:2000])
    return np.convolve(train, ringing)[: len(times)]


def test_voice_is_found_where_it_begins_and_nowhere_else() -> None:
    random = np.random.default_rng(0)
    for f0 in (87.0, 196.0, 284.0):
        sound = 0.01 * np.convolve(random.standard_normal(int(1.2 * AUDIO_HZ)), np.ones(3), "same")
        voice = pulses(f0, 0.5)
        sound[int(0.4 * AUDIO_HZ) :][: len(voice)] += voice
        heard = heard_f0(np.full(120, f0), sound, RATE_HZ)
        frames = np.flatnonzero(heard)
        assert abs(frames[0] - 40) <= 2 and abs(frames[-1] - 90) <= 2
        assert (heard[frames] == f0).all() and len(frames) == frames[-1] - frames[0] + 1


def test_aspiration_has_no_pitch() -> None:
    noise = np.random.default_rng(1).standard_normal(3 * AUDIO_HZ)
    times = np.arange(2000) / AUDIO_HZ
    breath = np.convolve(noise, np.exp(-times * 400) * np.sin(2 * np.pi * 500 * times), "same")
    heard = heard_f0(np.full(300, 150.0), breath, RATE_HZ)
    assert np.mean(heard > 0) < 0.1


def test_folds_that_cannot_vibrate_have_no_pitch() -> None:
    f0 = np.full(100, 150.0)
    f0[50:] = 0.0
    assert (heard_f0(f0, pulses(150.0, 1.0), RATE_HZ)[50:] == 0).all()


def test_files_have_the_apical_vowels_in_ipa() -> None:
    assert [written(symbol) for symbol in ("ɿ", "ʅː", "i")] == ["ɹ̩", "ɻ̩ː", "i"]
    assert [read(written(symbol)) for symbol in ("ɿ", "ʅː", "ɹ", "ɻ")] == ["ɿ", "ʅː", "ɹ", "ɻ"]
