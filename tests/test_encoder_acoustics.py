"""The controls that are no networks: spectra, cepstra, their slopes and neighbours, pitch and loudness."""

import numpy as np
import pytest
import torch
from scipy.fft import dct
from test_encoders import waves

from tractprobe.encoders.context import Context, with_deltas
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.mel import LogMel, Mfcc
from tractprobe.encoders.voice import Voice
from tractprobe.system.errors import ConfigError, EncoderError

CONTROLS = {
    "mfcc": Mfcc,
    "mfcc, deltas, neighbours": lambda: Mfcc(deltas=2, window_s=0.2),
    "mel, deltas, some neighbours": lambda: LogMel(deltas=2, window_s=2.565, every=8),
    "voice": Voice,
    "voice, neighbours": lambda: Voice(window_s=0.2),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_keep_the_contracts_of_encoders(name: str):
    encoder: Encoder = CONTROLS[name]()
    given = waves(16000, 719, 400)
    together = encoder(given)
    for wave, states in zip(given, together, strict=True):
        assert states.shape == (1, encoder.count_frames(len(wave)), encoder.width)
        assert torch.isfinite(states).all() and states.dtype == torch.float32
        assert torch.equal(states, encoder([wave])[0])
    assert encoder.geometry.first == 199.5 and encoder.geometry.stride == 320
    assert not encoder.train().training and encoder.truncate(0) is encoder
    with pytest.raises(EncoderError, match="399 samples"):
        encoder(waves(399))


@pytest.mark.parametrize("name", CONTROLS)
def test_what_changes_the_output_changes_the_identity(name: str):
    identities = [make().identity for make in CONTROLS.values()]
    assert sum(identity == CONTROLS[name]().identity for identity in identities) == 1


def test_cepstra_are_the_cosines_of_the_log_spectrum():
    (wave,) = waves(8000)
    spectra = LogMel(bands=40, context=0)([wave])[0][0].numpy()
    expected = dct(spectra, type=2, norm="ortho", axis=1)[:, :13]
    np.testing.assert_allclose(Mfcc()([wave])[0][0].numpy(), expected, atol=1e-4)


def test_slopes_of_a_line_and_a_parabola():
    times = torch.arange(20.0)
    frames = torch.stack([3 * times, times**2], dim=1)
    values = with_deltas(frames, 2)[6:-6]
    np.testing.assert_allclose(values[:, 2], 3, atol=1e-5)
    np.testing.assert_allclose(values[:, 3], 2 * times[6:-6], atol=1e-4)
    np.testing.assert_allclose(values[:, 4:], torch.tensor([[0.0, 2.0]]).expand(8, 2), atol=1e-4)


def test_neighbours_lie_where_they_are_said_to():
    frames = torch.arange(30.0)[:, None]
    assert Context(4, 2).stack(frames)[10].tolist() == [6, 8, 10, 12, 14]
    assert Context(2, 1).stack(frames)[0].tolist() == [0, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("window_s", "every", "reach"), [(0.025, 1, 0), (0.026, 1, 1), (0.105, 1, 2), (2.565, 1, 64), (2.565, 5, 65)]
)
def test_the_window_in_seconds_is_covered(window_s: float, every: int, reach: int):
    context = Context.of(5, window_s, every, field=400, hop=320)
    assert context.reach == reach and context.count == 2 * (reach // every) + 1
    assert (2 * context.reach * 320 + 400) / 16000 >= window_s


def test_the_matched_window_is_what_layer_0_of_wav2vec2_sees():
    """Convolutions see 400 samples every 320; the positional convolution joins 128 of their frames."""
    assert (127 * 320 + 400) / 16000 == 2.565


@pytest.mark.parametrize(
    "wrong", [{"context": -1}, {"every": 0}, {"window_s": 0.0}, {"bands": 0}, {"hop": 0}, {"deltas": -1}]
)
def test_impossible_spectra_are_refused(wrong: dict):
    with pytest.raises(ConfigError, match="positive"):
        LogMel(**wrong)
    with pytest.raises(ConfigError, match="cepstra"):
        Mfcc(cepstra=41)


def test_voice_follows_pitch_and_loudness_and_bridges_silence():
    times_s = np.arange(32000) / 16000
    pitch_hz = np.where(times_s < 1, 120.0, 200.0)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 16000
    wave = sum(np.sin(k * phase) / k for k in range(1, 8)) * 0.1
    wave[(times_s > 0.9) & (times_s < 1.1)] = 0.0
    encoder = Voice()
    states = encoder([torch.tensor(wave, dtype=torch.float32)])[0][0].numpy()
    at = encoder.geometry.times_s(len(states))
    early, silent, late = (at > 0.2) & (at < 0.8), (at > 0.95) & (at < 1.05), (at > 1.2) & (at < 1.8)
    np.testing.assert_allclose(states[early, 0], 12 * np.log2(1.2), atol=0.2)
    np.testing.assert_allclose(states[late, 0], 12.0, atol=0.2)
    assert states[early, 1].all() and states[late, 1].all() and not states[silent, 1].any()
    assert (np.diff(states[silent, 0]) > 0).all() and (states[silent, 2] < states[early, 2].min() - 20).all()


def test_a_voice_that_never_sounds_is_a_constant():
    assert (Voice()([torch.zeros(8000)])[0][0, :, :2] == 0).all()
