"""Waves of different lengths in one batch, each encoded as if it were alone.

Padding zeros after a wave would affect the states in four places that an attention mask does not reach: the group norm
of base models, because its statistics span the padded length; data2vec's stack of positional convolutions, because the
first turns zeros into other values, which the second sees; the batch norm before HuBERT's positional convolution, for
the same reason; and the convolutions within conformer blocks. When a wave is encoded alone, a convolution sees zeros
beyond its end; here its input is set to zero there, which gives the same.

Shapes of tensors: (row, channel, time), where a row is one wave of the batch and time counts samples before the feature
extractor and frames after it.
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
    """Tells the modules that need it how much of each row is speech.

    Parameters
    ----------
    model
        A model of the wav2vec 2.0 family; its group norm is replaced, other modules get hooks. Weights are unchanged.
    stack
        The convolutions of its feature extractor; the first is the one next to the audio.
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
        """Within the block, treat rows as waves with these numbers of samples; equal lengths have no padding."""
        self.samples = list(samples) if len(set(samples)) > 1 else None
        try:
            yield
        finally:
            self.samples = None

    @contextmanager
    def within(self, statistics: "Statistics | None") -> Iterator[None]:
        """Within the block, let the group norm use given means and variances of its channels."""
        self.statistics = statistics
        try:
            yield
        finally:
            self.statistics = None

    def _silence(self, module: nn.Module, given: Any, output: Tensor) -> Tensor:
        """Set everything after each row's last frame to zero."""
        if self.samples is None:
            return output
        counts = [count_frames(self.stack, samples) for samples in self.samples]
        times = torch.arange(output.shape[-1], device=output.device)
        return output * (times < torch.tensor(counts, device=output.device)[:, None])[:, None]


class _SpeechNorm(nn.Module):
    """The group norm after the first convolution, with statistics over speech alone, without padding."""

    def __init__(self, norm: nn.GroupNorm, padding: Padding):
        super().__init__()
        self.norm, self.padding = norm, padding

    def forward(self, frames: Tensor) -> Tensor:
        if self.padding.statistics is not None:
            mean, variance = (statistic.to(frames) for statistic in self.padding.statistics)
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
    """Return the modules with an output (row, channel, time) that goes into a convolution over time."""
    encoder = model.encoder
    if model.config.model_type == "data2vec-audio":
        return list(encoder.pos_conv_embed.layers)
    if model.config.model_type == "wav2vec2-conformer":
        return [block.conv_module.glu for block in encoder.layers]
    batch_norm = getattr(encoder.pos_conv_embed, "batch_norm", None)
    return [] if batch_norm is None else [batch_norm]
