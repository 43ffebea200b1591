import numpy as np
import pytest
import torch
from torch import nn

from tractprobe.encoders.frames import Convolution, FrameGeometry

WAV2VEC = [Convolution(k, s) for k, s in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True)]


def test_wav2vec_frames_sit_where_they_were_measured_to():
    geometry = FrameGeometry.of(WAV2VEC)
    np.testing.assert_allclose(geometry.times_s(3), [199.5 / 16000, 519.5 / 16000, 839.5 / 16000])
    assert (geometry.rate_hz, geometry.field) == (50, 400)


@pytest.mark.parametrize(
    "stack",
    [
        WAV2VEC,
        [Convolution(400, 320)],
        [Convolution(3, 1, 1), Convolution(3, 2, 1)],
        [Convolution(7, 3, 2), Convolution(4, 2)],
    ],
)
@pytest.mark.parametrize("frame", [3, 4])
def test_an_impulse_answers_within_the_field_and_about_the_centre(stack: list[Convolution], frame: int):
    """Push an impulse from every sample through convolutions of ones; weight each sample by the frame's answer."""
    layers = [nn.Conv1d(1, 1, c.kernel, c.stride, c.padding, bias=False, dtype=torch.float64) for c in stack]
    for layer in layers:
        nn.init.ones_(layer.weight)
    wave = torch.zeros(1, 1, 4000, dtype=torch.float64, requires_grad=True)
    nn.Sequential(*layers)(wave)[0, 0, frame].backward()
    assert wave.grad is not None
    weight = wave.grad[0, 0].numpy()
    heard = weight.nonzero()[0]
    geometry = FrameGeometry.of(stack)
    assert heard[-1] - heard[0] + 1 == geometry.field
    centre = (weight * np.arange(4000)).sum() / weight.sum()
    assert centre == pytest.approx(geometry.times_s(frame + 1)[frame] * 16000, abs=1e-6)
