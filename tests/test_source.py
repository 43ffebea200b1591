import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import real
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import lfilter

from tractprobe.signals.voicing import SOURCE_CHANNELS, SOURCE_UNITS, SourceTrack, source_track

RATE_HZ = 16000
F0, VOICING, LOUDNESS = range(3)


def flow(f0_hz: np.ndarray, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Return glottal flow: a pulse of 60 % of each cycle that rises slowly and falls fast."""
    fine_hz = np.interp(np.arange(4 * len(f0_hz)) / 4, np.arange(len(f0_hz)), f0_hz)
    phase = np.cumsum(fine_hz) / (4 * rate_hz) % 1
    rising, falling = 0.5 - 0.5 * np.cos(np.pi * phase / 0.4), np.cos(np.pi * (phase - 0.4) / 0.4)
    pulses = np.where(phase < 0.4, rising, np.where(phase < 0.6, falling, 0))
    return pulses.reshape(-1, 4).mean(axis=1)


def vowel(f0_hz: np.ndarray, gate: np.ndarray | float = 1.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Return a vowel between a and e whose source is switched by a gate."""
    signal = np.diff(flow(f0_hz, rate_hz), prepend=0) * gate
    for formant_hz, bandwidth_hz in ((600, 70), (1300, 90), (2500, 130)):
        radius = np.exp(-np.pi * bandwidth_hz / rate_hz)
        poles = [1, -2 * radius * np.cos(2 * np.pi * formant_hz / rate_hz), radius**2]
        signal = lfilter([sum(poles)], poles, signal)
    return 0.3 * signal / np.abs(signal).max()


def contour(base_hz: float, duration_s: float = 1.2, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Return f0 that moves by three semitones up and down, 1.5 times a second."""
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return base_hz * 2 ** (3 * np.sin(2 * np.pi * 1.5 * times_s) / 12)


def switched(duration_s: float = 1.2, on_s: float = 0.4, off_s: float = 0.8) -> np.ndarray:
    times_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return ((times_s >= on_s) & (times_s < off_s)).astype(float)


def noise(length: int, level: float, seed: int = 0) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(length)


def with_noise(signal: np.ndarray, snr_db: float) -> np.ndarray:
    return signal + noise(len(signal), signal.std() * 10 ** (-snr_db / 20))


def errors_cents(track: SourceTrack, f0_hz: np.ndarray) -> np.ndarray:
    truth_st = 12 * np.log2(np.interp(track.times_s, np.arange(len(f0_hz)) / RATE_HZ, f0_hz) / 100)
    errors = 100 * (track.values[:, F0] - truth_st)
    return errors[np.isfinite(errors)]


def edges_s(track: SourceTrack) -> list[float]:
    return track.times_s[np.flatnonzero(np.diff(track.values[:, VOICING])) + 1].tolist()


@pytest.mark.parametrize("snr_db", [60, 10])
@pytest.mark.parametrize("base_hz", [80, 120, 220, 350])
def test_a_known_contour_is_recovered(base_hz, snr_db):
    f0_hz = contour(base_hz)
    track = source_track(with_noise(vowel(f0_hz), snr_db))
    errors = np.abs(errors_cents(track, f0_hz))
    assert np.median(errors) < 10
    assert np.percentile(errors, 95) < 40
    assert not (errors > 600).any()  # no octave errors
    assert track.values[:, VOICING].mean() > 0.95


@pytest.mark.parametrize("base_hz", [100, 200, 300])
@pytest.mark.parametrize("snr_db", [60, 15])
def test_voicing_begins_and_ends_within_one_and_a_half_cycles_and_a_frame(base_hz, snr_db):
    f0_hz = contour(base_hz)
    found = edges_s(source_track(with_noise(vowel(f0_hz, switched()), snr_db)))
    assert found == pytest.approx([0.4, 0.8], abs=0.005 + 1.5 / f0_hz.min())


def test_noise_is_unvoiced_and_a_fricative_beside_a_vowel_too():
    assert source_track(noise(RATE_HZ, 0.1)).values[:, VOICING].mean() < 0.03
    gate = switched()
    hiss = np.diff(noise(len(gate), 0.03), prepend=0) * (1 - gate)
    track = source_track(vowel(contour(150), gate) + hiss)
    outside = (track.times_s < 0.38) | (track.times_s > 0.82)
    assert track.values[outside, VOICING].mean() < 0.05


def test_pitch_is_missing_exactly_where_unvoiced():
    values = source_track(vowel(contour(150), switched())).values
    assert set(np.unique(values[:, VOICING])) == {0.0, 1.0}
    assert np.array_equal(np.isfinite(values[:, F0]), values[:, VOICING] == 1)
    assert np.isfinite(values[:, LOUDNESS]).all()


def test_semitones_count_from_100_hz():
    steady = source_track(vowel(np.full(RATE_HZ, 200.0))).values
    assert np.median(steady[20:-20, F0]) == pytest.approx(12, abs=0.02)
    assert len(SOURCE_CHANNELS) == len(SOURCE_UNITS) == steady.shape[1] == 3


@pytest.mark.parametrize(("frequency_hz", "amplitude"), [(1000, 1.0), (1000, 0.1), (400, 0.5), (5000, 0.01)])
def test_loudness_of_a_sine_is_its_rms_in_db(frequency_hz, amplitude):
    sine = amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(RATE_HZ) / RATE_HZ)
    loudness_db = source_track(sine).values[10:-10, LOUDNESS]
    assert loudness_db == pytest.approx(20 * np.log10(amplitude / np.sqrt(2)), abs=0.05)


def test_gain_changes_only_loudness():
    audio = with_noise(vowel(contour(130), switched()), 30)
    loud, soft = source_track(audio).values, source_track(0.05 * audio).values
    assert np.array_equal(loud[:, VOICING], soft[:, VOICING])
    assert np.allclose(loud[:, F0], soft[:, F0], atol=1e-6, equal_nan=True)
    assert loud[:, LOUDNESS] - soft[:, LOUDNESS] == pytest.approx(20 * np.log10(20), abs=1e-6)


def test_a_constant_and_the_sign_change_nothing():
    audio = with_noise(vowel(contour(130), switched()), 30)
    plain, moved, turned = (source_track(one).values for one in (audio, audio + 0.2, -audio))
    assert np.allclose(plain[:, 1:], moved[:, 1:], atol=1e-3)
    assert np.allclose(plain[:, F0], moved[:, F0], atol=1e-3, equal_nan=True)
    assert (plain[:, VOICING] == turned[:, VOICING]).mean() > 0.98


def test_silence_before_shifts_the_track_by_its_length():
    audio = vowel(contour(130), switched())
    plain, later = source_track(audio).values, source_track(np.pad(audio, (RATE_HZ // 2, 0))).values
    assert len(later) == len(plain) + 100
    assert (later[100:, VOICING] == plain[:, VOICING]).mean() > 0.99
    both = np.isfinite(later[100:, F0]) & np.isfinite(plain[:, F0])
    assert np.abs(later[100:, F0] - plain[:, F0])[both].max() < 0.1
    assert np.allclose(later[110:, LOUDNESS], plain[10:, LOUDNESS], atol=0.01)


def test_a_laryngograph_is_preferred_and_the_origin_says_so():
    f0_hz = contour(180)
    gate = switched()
    audio = noise(len(f0_hz), 0.1)  # nothing can be heard
    larynx = flow(f0_hz) * gate + np.sin(2 * np.pi * 3 * np.arange(len(f0_hz)) / RATE_HZ)  # it moves up and down too
    track = source_track(audio, RATE_HZ, larynx + noise(len(f0_hz), 0.01), RATE_HZ)
    assert track.origin == "laryngograph"
    assert edges_s(track) == pytest.approx([0.4, 0.8], abs=0.0151)
    assert np.median(np.abs(errors_cents(track, f0_hz))) < 10
    assert np.median(track.values[:, LOUDNESS]) == pytest.approx(-20, abs=1)  # of the audio
    assert source_track(audio, RATE_HZ).origin == "estimated"


@pytest.mark.parametrize("larynx", [np.zeros(0), np.zeros(19200), np.full(19200, 0.3)])
def test_a_laryngograph_that_says_nothing_is_none(larynx):
    audio = vowel(contour(180), switched())
    track = source_track(audio, RATE_HZ, larynx, RATE_HZ)
    assert track.origin == "estimated"
    assert np.array_equal(track.values, source_track(audio).values, equal_nan=True)


def test_where_the_laryngograph_has_ended_nothing_is_known_but_loudness():
    f0_hz = contour(180)
    track = source_track(vowel(f0_hz), RATE_HZ, flow(f0_hz)[: RATE_HZ // 2], RATE_HZ)
    assert np.isnan(track.values[100:, :2]).all()
    assert np.isfinite(track.values[:100, VOICING]).all()
    assert np.isfinite(track.values[:, LOUDNESS]).all()


@pytest.mark.parametrize("rate_hz", [8000, 22050, 48000])
def test_the_rate_of_the_audio_does_not_matter(rate_hz):
    f0_hz = contour(150, rate_hz=rate_hz)
    track = source_track(vowel(f0_hz, rate_hz=rate_hz), rate_hz)
    truth_st = 12 * np.log2(np.interp(track.times_s, np.arange(len(f0_hz)) / rate_hz, f0_hz) / 100)
    assert len(track.values) == 240
    assert np.nanmedian(np.abs(track.values[:, F0] - truth_st)) < 0.1


@pytest.mark.parametrize("step_s", [0.002, 0.005, 0.02])
def test_frames_lie_at_multiples_of_the_step_within_the_audio(step_s):
    track = source_track(vowel(contour(150, 0.5)), step_s=step_s)
    assert track.times_s == pytest.approx(np.arange(round(0.5 / step_s)) * step_s)
    assert (track.start_s, track.rate_hz) == (0.0, pytest.approx(1 / step_s))


def test_a_long_recording_is_followed_across_its_blocks(monkeypatch):
    f0_hz = contour(150, 3.3)
    whole = source_track(vowel(f0_hz))
    monkeypatch.setattr("tractprobe.signals.voicing._BLOCK_S", 1.0)
    parts = source_track(vowel(f0_hz))
    assert (whole.values[:, VOICING] == parts.values[:, VOICING]).mean() > 0.98
    assert np.abs(errors_cents(parts, f0_hz)).max() < 60


EDGES = {
    "silence": np.zeros(8000),
    "constant": np.full(8000, 0.5),
    "one sample": np.array([0.1]),
    "20 ms": vowel(contour(150, 0.02)),
    "100 ms": vowel(contour(150, 0.1)),
    "click": np.eye(1, 8000, 4000)[0],
    "clipped": np.clip(20 * vowel(contour(150, 0.5)), -1, 1),
    "square": np.sign(np.sin(np.arange(8000) * 0.05)),
    "faint": 1e-7 * vowel(contour(150, 0.5)),
    "huge": 1e7 * vowel(contour(150, 0.5)),
}


@pytest.mark.parametrize("audio", EDGES.values(), ids=EDGES)
def test_anything_finite_gives_a_track_and_twice_the_same(audio):
    track = source_track(audio)
    values = track.values
    assert values.shape == (-(-len(audio) // 80), 3)
    assert np.isin(values[:, VOICING], (0, 1)).all()
    assert np.array_equal(np.isfinite(values[:, F0]), values[:, VOICING] == 1)
    assert np.isfinite(values[:, LOUDNESS]).all()
    assert np.array_equal(values, source_track(audio).values, equal_nan=True)


@pytest.mark.parametrize("name", ["silence", "constant", "click"])
def test_without_a_voice_there_is_no_pitch(name):
    assert not source_track(EDGES[name]).values[:, VOICING].any()


def test_silence_has_the_loudness_of_the_floor():
    assert (source_track(np.zeros(8000)).values[:, LOUDNESS] == -96).all()


@pytest.mark.parametrize("name", ["100 ms", "clipped"])
def test_a_short_or_clipped_vowel_has_its_pitch(name):
    track = source_track(EDGES[name])
    assert np.median(np.abs(errors_cents(track, contour(150, 0.5)))) < 20


@pytest.mark.parametrize(
    "arguments",
    [
        {"audio": np.zeros(0)},
        {"audio": np.array([0.0, np.nan])},
        {"rate_hz": 0},
        {"step_s": 0.0},
        {"step_s": float("nan")},
        {"lowest_hz": 500.0, "highest_hz": 60.0},
        {"highest_hz": 5000.0},
        {"larynx": np.arange(100.0), "larynx_rate_hz": 0},
        {"larynx": np.array([0.0, np.inf]), "larynx_rate_hz": 16000},
    ],
)
def test_what_makes_no_sense_is_refused(arguments):
    with pytest.raises(ValueError, match="Hz"):
        source_track(**{"audio": np.ones(8000), **arguments})


def test_the_library_is_only_imported_where_it_is_used():
    code = "import sys, tractprobe.signals.voicing; assert 'pyworld' not in sys.modules and 'soxr' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_audio_of_a_real_sentence_agrees_with_its_laryngograph():
    folder = real("TRACTPROBE_SAMPLES", "mocha_timit")
    audio, rate_hz = soundfile.read(folder / "fsew0_001.wav")
    larynx, larynx_rate_hz = soundfile.read(folder / "fsew0_001.lar")
    heard, measured = source_track(audio, rate_hz), source_track(audio, rate_hz, larynx, larynx_rate_hz)
    assert (heard.origin, measured.origin) == ("estimated", "laryngograph")
    differences_st = np.abs(heard.values - measured.values)
    assert np.nanmedian(differences_st[:, F0]) < 0.1
    assert np.nanmax(differences_st[:, F0]) < 6  # no octave errors
    assert np.nanmean(differences_st[:, VOICING]) < 0.1
    assert 0.6 < np.nansum(measured.values[:, VOICING]) / measured.rate_hz < 0.95


@given(
    f0_hz=arrays(np.float64, st.integers(20, 300), elements=st.sampled_from([0.0, 80.0, 100.0, 310.0])),
    rate_hz=st.sampled_from([100.0, 200.0, 400.0, 1000.0]),
)
def test_what_is_known_of_the_folds_is_neither_changed_nor_estimated(f0_hz: np.ndarray, rate_hz: float):
    audio = np.sin(np.arange(round(len(f0_hz) / rate_hz * RATE_HZ)) / 10)
    track = source_track(audio, RATE_HZ, f0_hz=f0_hz, f0_rate_hz=rate_hz, step_s=0.01)
    assert track.origin == "given"
    at = np.round(track.times_s * rate_hz).astype(int)
    inside = at < len(f0_hz)
    known_hz = f0_hz[at[inside]]
    pitch_st = np.where(known_hz > 0, 12 * np.log2(np.maximum(known_hz, 1) / 100), np.nan)
    np.testing.assert_array_equal(track.values[inside, 1], known_hz > 0)
    np.testing.assert_allclose(track.values[inside, 0], pitch_st, atol=1e-9)
    assert np.isnan(track.values[~inside, :2]).all() and np.isfinite(track.values[:, 2]).all()
