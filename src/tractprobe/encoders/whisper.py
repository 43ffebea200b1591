"""The encoder half of Whisper, a supervised comparator with the same interface."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tractprobe.encoders.encoder import Encoder, States, Wave
from tractprobe.encoders.execution import Execution
from tractprobe.encoders.frames import Convolution, FrameGeometry
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import ConfigError, EncoderError

# The spectrogram's periodic Hann window of 400 is symmetric about its sample 200: a kernel of 401, padded by 200.
_STACK = [Convolution(401, 160, 200), Convolution(3, 1, 1), Convolution(3, 2, 1)]


class Whisper(Encoder):
    """Whisper's encoder, frozen.

    It only ever saw windows of 30 s: shorter waves are padded with silence, as in its training, and the frames of the
    padding are dropped; longer ones are cut into consecutive windows, each encoded by itself.

    Parameters
    ----------
    silence_s
        How much of the silence behind a wave its blocks may attend to; all of it up to 30 s if not given. Fewer frames
        are faster, and other than in training: layer 0 is the same to the bit, what lies behind changes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        extractor: Any,
        label: str,
        identity: dict[str, Any],
        execution: Execution = Execution(),  # noqa: B008 (frozen)
        silence_s: float | None = None,
    ):
        config: Any = encoder.config
        geometry = FrameGeometry.of(_STACK)
        identity = identity | execution.identity | ({} if silence_s is None else {"silence_s": silence_s})
        super().__init__(label, config.encoder_layers + 1, config.d_model, geometry, identity)
        if (extractor.sampling_rate, extractor.hop_length, extractor.n_fft) != (RATE_HZ, 160, 400):
            raise EncoderError("a Whisper with another spectrogram than 16 kHz, hop 160, window 400")
        if silence_s is not None and silence_s < 0:
            raise ConfigError(f"model.silence_s={silence_s}: seconds, or null for all that training had")
        self.model: Any = encoder
        self.extractor, self.dtype = extractor, execution.torch_dtype
        self.span = int(extractor.n_samples)
        self.positions = int(config.max_source_positions)
        self.silence = self.positions if silence_s is None else round(silence_s * geometry.rate_hz)
        execution.apply(encoder, self.model.layers)
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return -(-num_samples // self.geometry.stride)

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        windows = [wave.split(self.span) for wave in waves]
        parts = [part for some in windows for part in some]
        lengths = [min(self.positions, self.count_frames(len(part)) + self.silence) for part in parts]
        states: dict[int, States] = {}
        for length in set(lengths):
            same = [index for index, other in enumerate(lengths) if other == length]
            states |= zip(same, self._encoded([parts[index] for index in same], length), strict=True)
        encoded = iter([states[index] for index in range(len(parts))])
        return [torch.cat([next(encoded) for _ in some], dim=1) for some in windows]

    def _encoded(self, windows: Sequence[Wave], length: int) -> list[States]:
        """Encode windows of which the blocks see equally many frames."""
        audio = [window.cpu().numpy() for window in windows]
        mel = self.extractor(audio, sampling_rate=RATE_HZ, return_tensors="pt").input_features
        states = self._embed(mel.to(windows[0].device, self.dtype))[:, :length]
        layers = [states]
        for block in self.model.layers:
            output = block(states, None)
            states = output[0] if isinstance(output, tuple) else output  # releases of transformers differ
            layers.append(states)
        if len(layers) == self.model.config.encoder_layers + 1:
            layers[-1] = self.model.layer_norm(layers[-1])
        counts = map(self.count_frames, map(len, windows))
        return [torch.stack([layer[row, :count] for layer in layers]).float() for row, count in enumerate(counts)]

    def _embed(self, mel: Tensor) -> Tensor:
        """Return what enters block 1: the convolved spectrogram with its positions."""
        hidden = nn.functional.gelu(self.model.conv1(mel))
        hidden = nn.functional.gelu(self.model.conv2(hidden))
        return hidden.transpose(1, 2) + self.model.embed_positions.weight

    def _cut(self, blocks: int) -> None:
        self.model.layers = self.model.layers[:blocks]
