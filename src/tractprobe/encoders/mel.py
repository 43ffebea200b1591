"""Log-mel spectrogram with its neighbours in time stacked: what an acoustic front end alone tells of articulation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tractprobe.encoders import Encoder, States, Wave
from tractprobe.errors import ConfigError
from tractprobe.frames import Convolution, FrameGeometry
from tractprobe.prepared import RATE_HZ

_WINDOW = 400
_FLOOR = 1e-10


class LogMel(Encoder):
    """Natural logarithm of mel-filtered power, 25 ms windows, each frame with ``context`` neighbours on either side.

    Frames sit where those of wav2vec 2.0 do with the default hop of 320 samples (20 ms). Slaney's mel scale and
    area-normalised triangles, 0-8 kHz. At the edges the first or last frame is repeated.
    """

    def __init__(self, label: str = "mel", bands: int = 80, hop: int = 320, context: int = 5):
        if bands < 1 or hop < 1 or context < 0:
            raise ConfigError("model.bands and model.hop are positive, model.context is not negative")
        geometry = FrameGeometry.of([Convolution(_WINDOW, hop)])
        identity = {"encoder": "log-mel", "bands": bands, "hop": hop, "context": context, "window": _WINDOW}
        super().__init__(label, 1, bands * (2 * context + 1), geometry, identity)
        self.hop, self.context = hop, context
        self.filters: Tensor
        self.window: Tensor
        self.register_buffer("filters", _mel_filters(bands), persistent=False)
        self.register_buffer("window", torch.hann_window(_WINDOW), persistent=False)
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return max(0, 1 + (num_samples - _WINDOW) // self.hop)

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> States:
        spectrum = torch.stft(wave, _WINDOW, self.hop, window=self.window, center=False, return_complex=True)
        mel = torch.log(torch.clamp(self.filters @ spectrum.abs().square(), min=_FLOOR))
        padded = nn.functional.pad(mel[None], (self.context, self.context), mode="replicate")[0]
        return padded.unfold(1, 2 * self.context + 1, 1).permute(1, 2, 0).flatten(1)[None]


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
