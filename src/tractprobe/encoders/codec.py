"""Neural audio codecs of transformers as encoders: what their latents hold, and what each further codebook keeps of it.

Layer 0 is the continuous latent before quantisation, layer k what the first k codebooks decode to: the sum of their
vectors, which is all that a system that works on k streams of tokens knows of the sound.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tractprobe.encoders.encoder import Encoder, States, Wave
from tractprobe.encoders.execution import Execution
from tractprobe.encoders.frames import FrameGeometry
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import ConfigError, EncoderError

CODECS = ("dac", "encodec", "mimi")
_DEPTH = {"dac": "n_codebooks", "encodec": "num_quantizers", "mimi": "num_quantizers"}
_MOST_HZ = 192_000


class Codec(Encoder):
    """A frozen codec.

    Waves are resampled to the codec's rate and padded with silence to whole frames, as it was trained; what lies above
    8 kHz is empty. Frame k stands for samples k·hop to (k+1)·hop of the audio, which it is decoded to, and has the time
    of their centre, whether the codec looks ahead or not.
    """

    def __init__(
        self,
        model: nn.Module,
        label: str,
        identity: dict[str, Any],
        execution: Execution = Execution(),  # noqa: B008 (frozen)
    ):
        config: Any = model.config
        _check(config, label)
        self.rate_hz, self.hop = int(config.sampling_rate), _hop(config)
        stride = Fraction(self.hop * RATE_HZ, self.rate_hz)
        centre = (self.hop - 1) / 2 * RATE_HZ / self.rate_hz
        geometry = FrameGeometry(_number(stride), centre, -(-stride.numerator // stride.denominator))
        self.depth = int(getattr(config, _DEPTH[config.model_type]))
        super().__init__(label, self.depth + 1, int(config.hidden_size), geometry, identity | execution.identity)
        self.model: Any = model
        self.dtype = execution.torch_dtype
        execution.apply(model, ())
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return -(-self._resampled_length(num_samples) // self.hop)

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        return [self._encoded(wave) for wave in waves]

    def tokens(self, wave: Wave) -> Int[Tensor, "depth time"]:
        """Return the index of the entry that each codebook chooses for each frame."""
        return self._quantised(self._latents(wave))[0]

    def _encoded(self, wave: Wave) -> States:
        if not len(wave):
            raise EncoderError("0 samples are fewer than one frame")
        latents = self._latents(wave)
        layers = [latents, *self._quantised(latents)[1]]
        return torch.stack([layer[0].T for layer in layers[: self.num_layers]]).float()

    def _latents(self, wave: Wave) -> Float[Tensor, "1 width time"]:
        samples = self._resampled(wave.cpu().float().numpy())
        latents = self.model.encoder(torch.from_numpy(samples).to(wave.device, self.dtype)[None, None])
        latents = getattr(latents, "latents", latents)
        return latents[..., : self.count_frames(len(wave))]

    def _resampled_length(self, num_samples: int) -> int:
        return -(-num_samples * self.rate_hz // RATE_HZ)

    def _resampled(self, wave: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " resampled"]:
        """Return a wave at the codec's rate, padded with silence to whole frames."""
        import soxr

        length = self._resampled_length(len(wave))
        at_rate = wave if self.rate_hz == RATE_HZ else soxr.resample(wave, RATE_HZ, self.rate_hz, "VHQ")
        padded = np.zeros(-(-length // self.hop) * self.hop, np.float32)
        padded[: min(length, len(at_rate))] = at_rate[:length]
        return padded

    def _quantised(
        self, latents: Float[Tensor, "1 width time"]
    ) -> tuple[Int[Tensor, "depth time"], list[Float[Tensor, "1 width time"]]]:
        """Return the tokens of each codebook, and what the first codebook, the first two and so on decode to."""
        quantizer = self.model.quantizer
        if self.model.config.model_type == "dac":
            residual, total, tokens, sums = latents, torch.zeros_like(latents), [], []
            for codebook in quantizer.quantizers[: self.depth]:
                vectors, _, _, indices, _ = codebook(residual)
                residual, total = residual - vectors, total + vectors
                tokens.append(indices[0])
                sums.append(total)
            return torch.stack(tokens), sums
        codes = quantizer.encode(latents)[: self.depth]
        if self.model.config.model_type == "mimi":  # its decoder takes the batch first
            sums = [quantizer.decode(codes[:depth].transpose(0, 1)) for depth in range(1, self.depth + 1)]
        else:
            sums = [quantizer.decode(codes[:depth]) for depth in range(1, self.depth + 1)]
        return codes[:, 0], sums

    def _cut(self, blocks: int) -> None:
        self.depth = blocks


def _hop(config: Any) -> int:
    """Return how many samples a frame stands for."""
    if config.model_type == "mimi":
        return round(config.sampling_rate / config.frame_rate)
    return int(config.hop_length)


def _number(stride: Fraction) -> float:
    """Return a stride, as a whole number where it is one: frames of most codecs lie on samples."""
    return stride.numerator if stride.denominator == 1 else float(stride)


def _check(config: Any, label: str) -> None:
    """Raise EncoderError for a codec whose frames depend on more than its own rate and hop."""
    if getattr(config, "audio_channels", 1) != 1:
        raise EncoderError(f"{label}: audio_channels={config.audio_channels}; only codecs of one channel are read")
    if getattr(config, "normalize", False) or getattr(config, "chunk_length_s", None) is not None:
        raise EncoderError(f"{label}: it encodes normalised chunks, whose frames overlap; use its 24 kHz version")
    if not 0 < config.sampling_rate <= _MOST_HZ:
        raise ConfigError(f"{label}: sampling_rate={config.sampling_rate}; expected 1 to {_MOST_HZ}")
