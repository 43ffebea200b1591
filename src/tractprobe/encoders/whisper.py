"""The encoder half of Whisper, a supervised comparator with the same interface."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tractprobe.encoders import Encoder, States, Wave
from tractprobe.errors import EncoderError
from tractprobe.frames import Convolution, FrameGeometry
from tractprobe.prepared import RATE_HZ

# The spectrogram's periodic Hann window of 400 is symmetric about its sample 200: a kernel of 401, padded by 200.
_STACK = [Convolution(401, 160, 200), Convolution(3, 1, 1), Convolution(3, 2, 1)]


class Whisper(Encoder):
    """Whisper's encoder, frozen.

    It only ever sees windows of 30 s: shorter waves are padded with silence, as in its training, and the frames of the
    padding are dropped; longer ones are cut into consecutive windows, each encoded by itself.
    """

    def __init__(self, encoder: nn.Module, extractor: Any, label: str, identity: dict[str, Any]):
        config: Any = encoder.config
        geometry = FrameGeometry.of(_STACK)
        super().__init__(label, config.encoder_layers + 1, config.d_model, geometry, identity)
        if (extractor.sampling_rate, extractor.hop_length, extractor.n_fft) != (RATE_HZ, 160, 400):
            raise EncoderError("a Whisper with another spectrogram than 16 kHz, hop 160, window 400")
        self.model: Any = encoder
        self.extractor = extractor
        self.window = int(extractor.n_samples)
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return -(-num_samples // self.geometry.stride)

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        return [torch.cat([self._window(part) for part in wave.split(self.window)], dim=1) for wave in waves]

    def _window(self, wave: Wave) -> States:
        mel = self.extractor(wave.cpu().numpy(), sampling_rate=RATE_HZ, return_tensors="pt").input_features
        output = self.model(mel.to(wave.device), output_hidden_states=True)
        layers = torch.cat([*output.hidden_states[: self.num_layers - 1], output.last_hidden_state])
        return layers[:, : self.count_frames(len(wave))]
