"""The time of an encoder's frame k, computed from its convolutions.

An encoder's frames are the outputs of a stack of convolutions over 16 kHz samples. The time of a frame is the centre of
the samples that it sees. For wav2vec 2.0, HuBERT and WavLM this is (320 k + 199.5) / 16000 s, not 20 k ms as the usual
"20 ms frames" suggests; articulators are sampled at these times.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tractprobe.signals.audio import RATE_HZ


@dataclass(frozen=True)
class Convolution:
    """One layer of a stack: kernel and stride in its input's units, padding on each side."""

    kernel: int
    stride: int
    padding: int = 0


def count_frames(stack: Iterable[Convolution], num_samples: int) -> int:
    """Return how many outputs a stack has for a wave of ``num_samples`` samples, 0 if it is too short.

    >>> count_frames([Convolution(400, 160), Convolution(2, 2)], 16000)
    49
    """
    for layer in stack:
        num_samples = max(0, (num_samples + 2 * layer.padding - layer.kernel) // layer.stride + 1)
    return num_samples


@dataclass(frozen=True)
class FrameGeometry:
    """Times and receptive field of frames, in samples at 16 kHz.

    Attributes
    ----------
    stride
        Distance from one frame to the next; a whole number but for codecs of other rates.
    first
        Centre of frame 0; it may lie between two samples, or before the first one if the stack pads.
    field
        Number of samples that one frame's convolutions see.
    """

    stride: float
    first: float
    field: int

    @classmethod
    def of(cls, stack: Iterable[Convolution]) -> "FrameGeometry":
        """Compose a stack of convolutions; the first is the one next to the audio.

        >>> wav2vec = [Convolution(k, s) for k, s in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))]
        >>> FrameGeometry.of(wav2vec)
        FrameGeometry(stride=320, first=199.5, field=400)
        """
        stride, first, field = 1, 0.0, 1
        for layer in stack:
            first += stride * ((layer.kernel - 1) / 2 - layer.padding)
            field += stride * (layer.kernel - 1)
            stride *= layer.stride
        return cls(stride, first, field)

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return RATE_HZ / self.stride

    def times_s(self, count: int) -> Float[np.ndarray, " frame"]:
        """Return the centres of the first ``count`` frames, in seconds from the start of the audio."""
        return (self.first + self.stride * np.arange(count)) / RATE_HZ
