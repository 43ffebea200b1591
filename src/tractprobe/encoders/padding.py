"""Waves of unequal length in one pass, each heard as if it were alone.

Zeros behind a wave would be heard in four places that an attention mask does not reach: by the group norm of base
models, whose statistics span the padded length; by data2vec's stack of positional convolutions, where what the first
makes of zeros is no zero for the second; by the batch norm before HuBERT's positional convolution; and by the
convolutions within conformer blocks. Alone, a convolution sees zeros beyond a wave's end; so it does here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tractprobe.encoders.frames import Convolution, count_frames

Statistics = tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]


class Padding:
    """How much of each row is speech, told to the modules of a model that must know.

    Parameters
    ----------
    model
        Of the wav2vec 2.0 family; its group norms are replaced, other modules get hooks. Weights stay what they are.
    stack
        The convolutions of its feature extractor, the one next to the audio first.
    """

    def __init__(self, model: Any, stack: Sequence[Convolution]):
        self.stack = stack
        self.samples: list[int] | None = None
        self.statistics: Statistics | None = None
        self.normed = False
        for layer in model.feature_extractor.conv_layers[:1]:
            if isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm):
                layer.layer_norm, self.normed = _SpeechNorm(layer.layer_norm, self), True
        for module in _convolved_next(model):
            module.register_forward_hook(self._silence)

    @contextmanager
    def of(self, samples: Sequence[int]) -> Iterator[None]:
        """Take rows for waves of so many samples within the block; equal lengths need no care."""
        self.samples = list(samples) if len(set(samples)) > 1 else None
        try:
            yield
        finally:
            self.samples = None

    @contextmanager
    def within(self, statistics: "Statistics | None") -> Iterator[None]:
        """Take mean and variance of the group norm's channels from elsewhere within the block."""
        self.statistics = statistics
        try:
            yield
        finally:
            self.statistics = None

    def _silence(self, module: nn.Module, given: Any, output: Tensor) -> Tensor:
        """Set to zero what lies behind each row's last frame; time is the last axis."""
        if self.samples is None:
            return output
        counts = [count_frames(self.stack, samples) for samples in self.samples]
        times = torch.arange(output.shape[-1], device=output.device)
        return output * (times < torch.tensor(counts, device=output.device)[:, None])[:, None]


class _SpeechNorm(nn.Module):
    """A group norm behind the first convolution that takes its statistics from speech alone."""

    def __init__(self, norm: nn.GroupNorm, padding: Padding):
        super().__init__()
        self.norm, self.padding = norm, padding

    def forward(self, frames: Tensor) -> Tensor:
        if self.padding.statistics is not None:
            mean, variance = (one.to(frames) for one in self.padding.statistics)
            return nn.functional.batch_norm(
                frames, mean, variance, self.norm.weight, self.norm.bias, training=False, eps=self.norm.eps
            )
        if self.padding.samples is None:
            return self.norm(frames)
        normed = torch.zeros_like(frames)
        for row, samples in enumerate(self.padding.samples):
            count = count_frames(self.padding.stack[:1], samples)
            normed[row, :, :count] = self.norm(frames[row : row + 1, :, :count])[0]
        return normed


def _convolved_next(model: Any) -> list[nn.Module]:
    """Return the modules whose output (row, channel, time) goes into a convolution over time."""
    encoder = model.encoder
    if model.config.model_type == "data2vec-audio":
        return list(encoder.pos_conv_embed.layers)
    if model.config.model_type == "wav2vec2-conformer":
        return [block.conv_module.glu for block in encoder.layers]
    batch_norm = getattr(encoder.pos_conv_embed, "batch_norm", None)
    return [] if batch_norm is None else [batch_norm]
