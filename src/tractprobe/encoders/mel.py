"""Log-mel spectrogram and MFCC with stacked neighbours: what an acoustic front end alone reveals of articulation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tractprobe.encoders.context import DELTA_REACH, Context, with_deltas
from tractprobe.encoders.encoder import Encoder, States, Wave
from tractprobe.encoders.frames import Convolution, FrameGeometry, count_frames
from tractprobe.encoders.sizes import check_mel, check_mfcc
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import EncoderError

_WINDOW = 400
_FLOOR = 1e-10


class LogMel(Encoder):
    """Natural logarithm of mel-filtered power in 25 ms windows, each frame with neighbours on either side.

    With the default hop of 320 samples (20 ms), frames have the times of wav2vec 2.0's. Filters are area-normalised
    triangles on Slaney's mel scale, 0-8 kHz. At the edges the first or last frame is repeated.

    Parameters
    ----------
    context, window_s, every
        Neighbouring frames to include; see :meth:`~tractprobe.encoders.context.Context.of`.
    deltas
        Order of the slopes over time that are appended before neighbours are stacked.
    about
        Facts about the model; stored with the results, without effect here.
    """

    def __init__(
        self,
        label: str = "mel",
        bands: int = 80,
        hop: int = 320,
        context: int = 5,
        window_s: float | None = None,
        every: int = 1,
        deltas: int = 0,
        about: Mapping[str, Any] | None = None,
    ):
        check_mel(bands, hop, deltas)
        self.stack = [Convolution(_WINDOW, hop)]
        neighbours = Context.of(context, window_s, every, field=_WINDOW, hop=hop)
        identity = {"encoder": "log-mel", "bands": bands, "hop": hop, "context": neighbours.reach, "window": _WINDOW}
        identity |= {"every": every} if neighbours.count > 1 and every > 1 else {}
        identity |= {"deltas": deltas} if deltas else {}
        width = bands * (1 + deltas) * neighbours.count
        super().__init__(label, 1, width, FrameGeometry.of(self.stack), identity)
        self.hop, self.neighbours, self.deltas = hop, neighbours, deltas
        self.context_frames = neighbours.reach + DELTA_REACH * deltas
        self.filters: Tensor
        self.window: Tensor
        self.register_buffer("filters", _mel_filters(bands), persistent=False)
        self.register_buffer("window", torch.hann_window(_WINDOW), persistent=False)
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return count_frames(self.stack, num_samples)

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        return [self.neighbours.stack(with_deltas(self.spectrum(wave), self.deltas))[None] for wave in waves]

    def spectrum(self, wave: Wave) -> Tensor:
        """Return the frames (time, band) without neighbours."""
        if len(wave) < _WINDOW:
            raise EncoderError(f"{len(wave)} samples are fewer than the {_WINDOW} of one frame")
        spectrum = torch.stft(wave, _WINDOW, self.hop, window=self.window, center=False, return_complex=True)
        return torch.log(torch.clamp(self.filters @ spectrum.abs().square(), min=_FLOOR)).T


class Mfcc(LogMel):
    """Mel-frequency cepstral coefficients: the first cosines (orthonormal DCT-II) of the log-mel spectrum.

    Parameters
    ----------
    cepstra
        Number of coefficients, including the mean over bands.
    """

    def __init__(
        self,
        label: str = "mfcc",
        cepstra: int = 13,
        bands: int = 40,
        hop: int = 320,
        context: int = 0,
        window_s: float | None = None,
        every: int = 1,
        deltas: int = 0,
        about: Mapping[str, Any] | None = None,
    ):
        check_mfcc(cepstra, bands)
        super().__init__(label, bands, hop, context, window_s, every, deltas)
        self.identity = self.identity | {"encoder": "mfcc", "cepstra": cepstra}
        self.width = self.width // bands * cepstra
        self.cosines: Tensor
        self.register_buffer("cosines", _cosines(bands, cepstra), persistent=False)

    def spectrum(self, wave: Wave) -> Tensor:
        return super().spectrum(wave) @ self.cosines


def _mel_filters(bands: int) -> Tensor:
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=_WINDOW // 2 + 1,
        num_mel_filters=bands,
        min_frequency=0.0,
        max_frequency=RATE_HZ / 2,
        sampling_rate=RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.tensor(filters.T, dtype=torch.float32)


def _cosines(bands: int, cepstra: int) -> Tensor:
    """Return the map (band, cepstrum) from log spectrum to cepstrum."""
    from scipy.fft import dct

    cosines = np.asarray(dct(np.eye(bands), type=2, norm="ortho", axis=1))
    return torch.tensor(cosines[:, :cepstra], dtype=torch.float32)
