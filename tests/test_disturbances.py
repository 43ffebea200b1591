"""Disturbances of speech against what they say they do, on signals whose truth is known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.disturbances import Disturbance, Noise, Reversed, Room, Telephone, Vocoded
from tractprobe.system.errors import ConfigError

EVERY = [
    Reversed(),
    Noise("white", 5),
    Noise("babble", 5),
    Telephone(),
    Room(),
    Vocoded(),
    Vocoded(4),
    Vocoded(0, 1.15),
]


def pulses(f0_hz: float, formant_hz: float, duration_s: float = 0.8) -> np.ndarray:
    """Return a pulse train through one resonance."""
    train = (np.arange(round(duration_s * RATE_HZ)) % (RATE_HZ / f0_hz) < 1).astype(float)
    radius = np.exp(-np.pi * 80 / RATE_HZ)
    wave = lfilter([1.0], [1, -2 * radius * np.cos(2 * np.pi * formant_hz / RATE_HZ), radius**2], train)
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def tone(frequency_hz: float, duration_s: float = 0.5) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ)


def level_db(wave: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(wave)))


def pitch_hz(wave: np.ndarray) -> float:
    """Return f0 by the largest autocorrelation between 60 and 500 Hz."""
    spectrum = np.fft.rfft(wave, 2 * len(wave))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: RATE_HZ // 60]
    return RATE_HZ / (RATE_HZ // 500 + np.argmax(correlation[RATE_HZ // 500 :]))


def peak_hz(wave: np.ndarray) -> float:
    """Return where the spectral envelope is largest: of the spectrum smoothed over two harmonics of 100 Hz."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    step_hz = RATE_HZ / len(wave)
    kernel = np.hanning(round(240 / step_hz))
    return float(np.argmax(np.convolve(power, kernel, "same")) * step_hz)


@pytest.mark.parametrize("disturbance", EVERY, ids=lambda each: each.name)
@pytest.mark.parametrize("samples", [1600, 16001])
def test_every_disturbance_keeps_the_length_and_depends_on_id_and_seed_alone(disturbance: Disturbance, samples: int):
    wave = pulses(110, 700)[:samples] if samples < 12800 else np.tile(pulses(110, 700), 2)[:samples]
    before = wave.copy()
    heard = disturbance(wave, "a/1")
    assert heard.shape == wave.shape and np.isfinite(heard).all()
    np.testing.assert_array_equal(wave, before)
    np.testing.assert_array_equal(heard, disturbance(wave, "a/1"))
    is_drawn = isinstance(disturbance, Noise | Room)
    assert np.array_equal(heard, disturbance(wave, "a/2")) != is_drawn
    assert isinstance(disturbance, Disturbance) and "version" in disturbance.identity


def test_identities_are_all_different():
    several = [*EVERY, Noise("white", 0), Noise("white", 5, seed=1), Room(seed=1), Room(0.3), Vocoded(-4)]
    assert len({str(each.identity) for each in several}) == len(several)


@pytest.mark.parametrize("disturbance", EVERY, ids=lambda each: each.name)
def test_silence_stays_finite(disturbance: Disturbance):
    heard = disturbance(np.zeros(8000, np.float32), "a/1")
    assert np.isfinite(heard).all() and np.abs(heard).max() < 0.01


def test_reversed_twice_is_the_wave():
    wave = pulses(110, 700)
    once = Reversed()(wave, "")
    assert once[0] == wave[-1] and once[10] == wave[-11]
    np.testing.assert_array_equal(Reversed()(once, ""), wave)


@pytest.mark.parametrize("kind", ["white", "babble"])
@pytest.mark.parametrize("snr_db", [20, 0, -5])
def test_noise_has_the_ratio_that_it_says_and_the_same_course_at_every_ratio(kind: str, snr_db: float):
    wave = pulses(110, 700).astype(np.float64)
    noise = Noise(kind, snr_db)(wave, "a/1") - wave
    assert level_db(wave) - level_db(noise) == pytest.approx(snr_db, abs=1e-6)
    other = Noise(kind, 3)(wave, "a/1") - wave
    assert np.corrcoef(noise, other)[0, 1] == pytest.approx(1)


def test_white_noise_is_flat_and_babble_has_the_spectrum_and_the_slow_swell_of_speech():
    wave = np.tile(pulses(110, 700), 10)
    noises = {kind: Noise(kind, 0)(wave, "a/1") - wave for kind in ("white", "babble")}
    bands = {kind: np.abs(np.fft.rfft(noise)) ** 2 for kind, noise in noises.items()}
    at = np.fft.rfftfreq(len(wave), 1 / RATE_HZ)
    low, high = (at > 500) & (at < 900), (at > 5000) & (at < 5400)
    assert 10 * np.log10(bands["white"][low].mean() / bands["white"][high].mean()) == pytest.approx(0, abs=0.5)
    speech = np.abs(np.fft.rfft(wave)) ** 2
    expected_db = 10 * np.log10(speech[low].mean() / speech[high].mean())
    assert 10 * np.log10(bands["babble"][low].mean() / bands["babble"][high].mean()) == pytest.approx(
        expected_db, abs=3
    )
    levels = {kind: [level_db(part) for part in np.split(noise, 160)] for kind, noise in noises.items()}  # of 50 ms
    assert np.std(levels["babble"]) > 1.5 > 4 * np.std(levels["white"])


def test_a_telephone_passes_its_band_without_delay_and_nothing_else():
    inside, middle = tone(1000), slice(1000, -1000)
    heard = Telephone()(inside, "")
    assert level_db(heard[middle]) == pytest.approx(level_db(inside[middle]), abs=0.2)
    assert np.corrcoef(heard[middle], inside[middle])[0, 1] > 0.999  # a delay of one sample would give .924
    for outside in (100, 4500, 6000):
        assert level_db(Telephone()(tone(outside), "")[middle]) < level_db(inside) - 30
    coded = Telephone()(tone(1000) / 30, "")[middle]
    noise = coded - tone(1000)[middle] / 30 * np.dot(coded, tone(1000)[middle]) * 30 / np.sum(tone(1000)[middle] ** 2)
    assert 25 < level_db(coded) - level_db(noise) < 45  # the µ-law's, about 38 dB at any level; 16 bits would have 60


def test_a_room_has_its_direct_sound_at_once_its_ratio_and_its_decay():
    room = Room(reverberation_s=0.4, direct_db=3)
    response = room.response("a/1")
    assert response[0] == 1
    assert 10 * np.log10(1 / np.sum(response[1:] ** 2)) == pytest.approx(3)
    decay_db = 10 * np.log10(np.cumsum(response[:0:-1] ** 2)[::-1] / np.sum(response[1:] ** 2))  # Schroeder, 1965
    at_s = np.arange(1, len(response)) / RATE_HZ
    early, late = np.interp([-5, -25], decay_db[::-1], at_s[::-1])
    assert 3 * (late - early) == pytest.approx(0.4, rel=0.1)
    wave = np.zeros(8000)
    wave[1000] = 1
    heard = room(wave, "a/1")
    assert not heard[:999].any() or np.abs(heard[:999]).max() < 1e-9
    assert np.argmax(np.abs(heard)) == 1000
    assert level_db(heard) == pytest.approx(level_db(wave))


def test_another_pitch_keeps_resonances_and_another_tract_keeps_pitch():
    wave = pulses(100, 1200)
    plain, higher, longer = (each(wave, "") for each in (Vocoded(), Vocoded(semitones=7), Vocoded(tract_length=1.2)))
    assert [pitch_hz(each) for each in (wave, plain, longer)] == pytest.approx([100, 100, 100], rel=0.02)
    assert pitch_hz(higher) == pytest.approx(100 * 2 ** (7 / 12), rel=0.02)
    assert [peak_hz(each) for each in (wave, plain, higher)] == pytest.approx([1200, 1200, 1200], abs=80)
    assert peak_hz(longer) == pytest.approx(1000, abs=80)
    for each in (plain, higher, longer):
        assert level_db(each) == pytest.approx(level_db(wave), abs=0.01)


def test_what_the_vocoder_says_comes_when_it_was_said():
    wave = np.concatenate([np.zeros(4000), pulses(100, 1200)[:4000], np.zeros(4000)]).astype(np.float32)
    heard = Vocoded()(wave, "")
    energy = np.square(heard.astype(float))
    centre = np.sum(np.arange(len(heard)) * energy) / energy.sum()
    before = np.square(wave.astype(float))
    assert centre == pytest.approx(np.sum(np.arange(len(wave)) * before) / before.sum(), abs=0.003 * RATE_HZ)


def test_without_world_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tractprobe.signals.disturbances.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tractprobe\[source\]"):
        Vocoded()(pulses(100, 1200), "")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Noise("pink", 0),
        lambda: Noise("white", np.inf),
        lambda: Room(0),
        lambda: Vocoded(30),
        lambda: Vocoded(0, 3),
    ],
)
def test_impossible_disturbances_are_one_line(wrong):
    with pytest.raises(ConfigError):
        wrong()
