from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tractprobe.probes.heads.bank import Bank, Inputs, Mask, States
from tractprobe.runs.building import build
from tractprobe.system.errors import ConfigError


class Weighted(Bank):
    """One head on a weighted sum of all layers; the weights are learned with it (SUPERB, Yang et al. 2021).

    Σ softmax(a)_l (x_l - mean_l) / sd_l: each layer is standardised before it is added, so that weights do not make up
    for the layers' sizes. All layers start with the same weight.

    Parameters
    ----------
    num_layers
        Layers that are added; the bank has one member.
    head
        ``_target_`` and settings of another head.
    """

    combines_layers = True

    def __init__(self, num_layers: int, width: int, num_channels: int, head: Mapping[str, Any]):
        super().__init__(1, width, num_channels, None, torch.Generator())
        self.head = build(head, num_layers=1, width=width, num_channels=num_channels)
        if not isinstance(self.head, Bank) or isinstance(self.head, Weighted):
            raise ConfigError(f"head.head._target_={head['_target_']}: expected a nonlinear head of one layer")
        self.context_frames = self.head.context_frames
        self.register_buffer("input_mean", torch.zeros(1, num_layers, 1, 1, width))
        self.register_buffer("input_sd", torch.ones(1, num_layers, 1, 1, width))
        self.logits = nn.Parameter(torch.zeros(1, num_layers))

    @property
    def layer_weights(self) -> Float[Tensor, " layer"]:
        """What each layer counts for; they add up to 1."""
        return self.logits.detach().softmax(dim=1)[0]

    def _combined(self, inputs: Inputs) -> States:
        return torch.einsum("ml,lbtw->mbtw", self.logits.softmax(dim=1), inputs)

    def predict(
        self, states: Float[Tensor, "member batch time width"], mask: Mask
    ) -> Float[Tensor, "member batch time channel"]:
        return self.head(states, mask)
