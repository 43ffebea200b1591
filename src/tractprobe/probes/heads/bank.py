"""Bank: what all nonlinear heads have in common.

Every parameter and buffer of a bank has the member as its first axis, so that each member's best epoch can be kept by
itself, a member can be cut out, and training all members gives each what training it alone would.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tractprobe.system.errors import ConfigError

Inputs = Float[Tensor, "input batch time width"]
States = Float[Tensor, "member batch time width"]
Mask = Bool[Tensor, "batch time"]


class Bank(nn.Module):
    """Heads that gradients fit; inputs are standardised by what ``standardise`` saw.

    Parameters
    ----------
    num_layers
        How many inputs there are, each with a member of its own: an encoder's layers, or those of several problems.
    bottleneck
        Features to which a linear map reduces the standardised input before the head proper; ``None`` for no such map.
    generator
        Draws the initial weights, which are the same for every member.

    Attributes
    ----------
    combines_layers
        Whether one head adds up several layers, rather than each head reading an input of its own.
    context_frames
        How many frames on each side a prediction depends on; ``None`` for all frames.
    """

    combines_layers = False
    context_frames: int | None = None
    known: Tensor
    input_mean: Tensor
    input_sd: Tensor

    def __init__(
        self, num_layers: int, width: int, num_channels: int, bottleneck: int | None, generator: torch.Generator
    ):
        super().__init__()
        self.register_buffer("known", torch.ones(num_layers, num_channels, dtype=torch.bool))
        self.register_buffer("input_mean", torch.zeros(num_layers, 1, 1, width))
        self.register_buffer("input_sd", torch.ones(num_layers, 1, 1, width))
        self.bottleneck = None if bottleneck is None else drawn((num_layers, width, bottleneck), width, generator)
        self.features = bottleneck or width

    @property
    def num_members(self) -> int:
        """How many heads the bank has."""
        return len(self.known)

    @abstractmethod
    def predict(
        self, states: Float[Tensor, "member batch time feature"], mask: Mask
    ) -> Float[Tensor, "member batch time channel"]:
        """Predict standardised targets from standardised inputs, which are 0 where there is no frame."""

    def forward(self, states: Inputs, mask: Mask | None = None) -> Float[Tensor, "member batch time channel"]:
        """Predict standardised targets from inputs as the encoder gives them; NaN for a channel never trained.

        The mask tells frames from the padding after them. What the padding holds changes nothing, and what is
        predicted for it means nothing.
        """
        if mask is None:
            mask = torch.ones(states.shape[1:3], dtype=torch.bool, device=self.known.device)
        inputs = self._combined(self._standardised(states, mask))
        predicted = self.predict(inputs if self.bottleneck is None else affine(inputs, self.bottleneck), mask)
        return torch.where(self.known[:, None, None], predicted, torch.nan)

    def _standardised(self, states: Inputs, mask: Mask) -> Inputs:
        mean, sd = (buffer.view(-1, 1, 1, states.shape[-1]) for buffer in (self.input_mean, self.input_sd))
        inputs = states.to(mean, copy=True).sub_(mean).div_(sd)  # in place: states of all layers are large
        return inputs if mask.all() else inputs.masked_fill_(~mask[:, :, None], 0)

    def _combined(self, inputs: Inputs) -> States:
        """Return what each member reads: here an input of its own."""
        return inputs

    def standardise(
        self,
        batches: Iterable[tuple[Float[Tensor, "input _batch _time width"], Bool[Tensor, "... _batch _time channel"]]],
    ) -> None:
        """Take the inputs' mean and deviation, and which channels can be learned, from (states, valid) pairs.

        ``valid`` is the same for all, or one for each member.
        """
        count, total, squares, trainable = 0, 0.0, 0.0, torch.zeros_like(self.known)
        for states, valid in batches:
            trainable |= valid.any(dim=-2).any(dim=-2)
            learned = valid.any(dim=-1).expand(states.shape[:3])
            count = count + learned.sum(dim=(1, 2))
            total = total + _summed(states, learned, Tensor.double)
            squares = squares + _summed(states, learned, lambda frames: frames.double().square())
        if not torch.as_tensor(count).all() or not trainable.any(dim=1).all():
            raise ConfigError("no training frame has a valid target; check targets, split and corpora")
        self._take(torch.as_tensor(count), torch.as_tensor(total), torch.as_tensor(squares))
        self.known.copy_(trainable)

    def _take(self, count: Tensor, total: Float[Tensor, "input width"], squares: Float[Tensor, "input width"]) -> None:
        frames = count.to(total)[:, None]
        mean, mean_square = total / frames, squares / frames
        sd = (mean_square - mean.square()).clamp(min=0).sqrt()
        sd = torch.where(sd > 1e-6 * mean_square.sqrt(), sd, 1.0)
        self.input_mean.copy_(mean.view_as(self.input_mean))
        self.input_sd.copy_(sd.view_as(self.input_sd))


def drawn(shape: tuple[int, ...], inputs: int, generator: torch.Generator) -> nn.Parameter:
    """Return weights between ±1/√inputs, the same along the first axis."""
    of_member = (torch.rand(shape[1:], generator=generator) * 2 - 1) / math.sqrt(inputs)
    return nn.Parameter(of_member.repeat(shape[0], *[1] * of_member.ndim))


def affine(
    values: Float[Tensor, "member *rest feature"],
    weight: Float[Tensor, "member feature output"],
    bias: Float[Tensor, "member 1 output"] | None = None,
) -> Float[Tensor, "member *rest output"]:
    """Map the last axis, with each member's own weights."""
    flat = values.flatten(1, -2)
    mapped = torch.bmm(flat, weight) if bias is None else torch.baddbmm(bias, flat, weight)
    return mapped.unflatten(1, values.shape[1:-1])


def _summed(
    inputs: Inputs, chosen: Bool[Tensor, "input batch time"], of: Callable[[Tensor], Tensor]
) -> Float[Tensor, "input width"]:
    return torch.stack([of(states[used]).sum(dim=0) for states, used in zip(inputs, chosen, strict=True)])
