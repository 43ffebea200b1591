import numpy as np
import pytest
from scipy import signal

from vocaltract.errors import VocalTractError
from vocaltract.manner import Manner
from vocaltract.states import AUDIO_HZ
from vocaltract.synthesis.recorded import CEILING, MICROPHONES, RECORDED_HZ, ROOMS, noise, recorded, room_response


def bursts(seconds=2.0):
    """Noise bursts with gaps: something with a level, an envelope and edges."""
    random = np.random.default_rng(3)
    at_s = np.arange(int(seconds * AUDIO_HZ)) / AUDIO_HZ
    return 0.2 * random.standard_normal(len(at_s)) * (np.sin(2 * np.pi * 2 * at_s) > 0)


def test_flat_microphone_without_room_only_resamples():
    at_s = np.arange(AUDIO_HZ) / AUDIO_HZ
    sound = recorded(0.1 * np.sin(2 * np.pi * 440 * at_s), Manner(), 1)
    expected = 0.1 * np.sin(2 * np.pi * 440 * np.arange(RECORDED_HZ) / RECORDED_HZ)
    assert sound.dtype == np.float32 and len(sound) == RECORDED_HZ
    assert np.abs(sound - expected)[400:-400].max() < 1e-4  # the resampler's ends apart


@pytest.mark.parametrize("microphone", MICROPHONES)
@pytest.mark.parametrize("room", ROOMS)
def test_nothing_moves_in_time(microphone, room):
    plain = recorded(bursts(), Manner(), 5)
    there = recorded(bursts(), Manner(microphone=microphone, room=room, noise_db=30.0), 5)
    lags = signal.correlation_lags(len(there), len(plain))
    lag = lags[np.argmax(signal.correlate(there, plain))]
    assert len(there) == len(plain)
    assert abs(lag) <= 0.001 * RECORDED_HZ


@pytest.mark.parametrize("room", [name for name, room in ROOMS.items() if room])
def test_rooms_reverberate_as_long_and_as_loud_as_they_say(room):
    reverberation_s, direct_db, _ = ROOMS[room]
    response = room_response(room, np.random.default_rng(0))
    assert response[0] == 1.0
    assert -10 * np.log10(np.sum(response[1:] ** 2)) == pytest.approx(direct_db, abs=1e-6)
    left_db = 10 * np.log10(np.cumsum(response[:0:-1] ** 2)[::-1])  # Schroeder (1965): energy still to come
    left_db -= left_db[0]
    first, last = np.searchsorted(-left_db, 5), np.searchsorted(-left_db, 25)
    assert 3 * (last - first) / RECORDED_HZ == pytest.approx(reverberation_s, rel=0.35)


@pytest.mark.parametrize("microphone", MICROPHONES)
def test_noise_is_as_far_below_recorded_speech_as_asked(microphone):
    audio = bursts()
    plain, noisy = (recorded(audio, Manner(microphone=microphone, noise_db=db), 9) for db in (None, 30.0))
    active = plain[np.abs(signal.convolve(np.abs(plain), np.ones(160) / 160, "same")) > 0.02]
    below_db = 10 * np.log10(np.mean(active**2) / np.mean((noisy - plain) ** 2))
    assert below_db == pytest.approx(30, abs=0.7)


def test_noise_is_coloured_and_of_level_one():
    coloured = noise(RECORDED_HZ * 4, np.random.default_rng(1))
    hz, power = signal.welch(coloured, RECORDED_HZ, nperseg=4096)
    band = (hz > 100) & (hz < 7000)
    slope = np.polyfit(np.log(hz[band]), np.log(power[band]), 1)[0]
    assert np.mean(coloured**2) == pytest.approx(1)
    assert -1.6 < slope < -0.4


def test_loud_sound_is_scaled_not_clipped():
    sound = recorded(20 * bursts(), Manner(microphone="headset"), 2)
    plain = recorded(bursts(), Manner(microphone="headset"), 2)
    assert np.abs(sound).max() == pytest.approx(CEILING, abs=1e-6)
    assert np.corrcoef(sound, plain)[0, 1] > 0.999999


def test_telephone_leaves_its_band_only():
    hz, power = signal.welch(recorded(bursts(), Manner(microphone="phone"), 2), RECORDED_HZ, nperseg=1024)
    inside = power[(hz > 500) & (hz < 2500)].mean()
    assert power[hz < 100].mean() < 0.02 * inside
    assert power[hz > 6500].mean() < 0.02 * inside


def test_same_seed_same_bytes_other_seed_other_noise():
    manner = Manner(room="office", noise_db=30.0)
    first, again, other = (recorded(bursts(0.5), manner, seed) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_errors_name_the_thing():
    with pytest.raises(VocalTractError, match="not finite"):
        recorded(np.array([0.0, np.nan]), Manner(), 0)
    with pytest.raises(VocalTractError, match=r"unknown room 'cave': none, booth"):
        recorded(bursts(0.1), Manner(room="cave"), 0)
    with pytest.raises(VocalTractError, match="unknown microphone 'tin'"):
        recorded(bursts(0.1), Manner(microphone="tin"), 0)
