"""The encoder of Whisper, a supervised model for comparison."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tractprobe.encoders.encoder import Encoder, States, Wave
from tractprobe.encoders.execution import Execution
from tractprobe.encoders.frames import Convolution, FrameGeometry
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import ConfigError

# The spectrogram's periodic Hann window of 400 is symmetric about its sample 200: a kernel of 401, padded by 200.
_STACK = [Convolution(401, 160, 200), Convolution(3, 1, 1), Convolution(3, 2, 1)]


class Whisper(Encoder):
    """Whisper's frozen encoder.

    It was trained on windows of 30 s: shorter waves are padded with silence, as in training, and the frames of the
    padding are dropped; longer waves are cut into consecutive windows, each encoded separately.

    Parameters
    ----------
    silence_s
        Seconds of the silence after a wave that its blocks may attend to; by default all of it, up to 30 s. Fewer
        frames are faster, but differ from training: layer 0 is the same to the bit, later layers change.
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
        if silence_s is not None and silence_s < 0:
            raise ConfigError(f"model.silence_s={silence_s}: expected 0 s or more, or null for as much as in training")
        self.model: Any = encoder
        self.extractor, self.dtype = extractor, execution.torch_dtype
        self.span = int(extractor.n_samples)
        self.positions = int(config.max_source_positions)
        self.silence = self.positions if silence_s is None else round(silence_s * geometry.rate_hz)
        execution.apply(encoder, self.model.layers)
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return -(-num_samples // int(self.geometry.stride))

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        windows = [wave.split(self.span) for wave in waves]
        flat = [window for of_wave in windows for window in of_wave]
        lengths = [min(self.positions, self.count_frames(len(window)) + self.silence) for window in flat]
        states: dict[int, States] = {}
        for length in set(lengths):
            same = [index for index, other in enumerate(lengths) if other == length]
            states |= zip(same, self._encoded([flat[index] for index in same], length), strict=True)
        encoded = iter([states[index] for index in range(len(flat))])
        return [torch.cat([next(encoded) for _ in of_wave], dim=1) for of_wave in windows]

    def _encoded(self, windows: Sequence[Wave], length: int) -> list[States]:
        """Encode windows of which the blocks see the same number of frames, ``length``."""
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
        """Return the input of block 1: the convolved spectrogram with its positions."""
        hidden = nn.functional.gelu(self.model.conv1(mel))
        hidden = nn.functional.gelu(self.model.conv2(hidden))
        return hidden.transpose(1, 2) + self.model.embed_positions.weight

    def _cut(self, blocks: int) -> None:
        self.model.layers = self.model.layers[:blocks]
