"""The linear head, whose map is given in closed form (``linear.solver`` has the equation)."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tractprobe.probes.sizes import check_penalties


class Ridge(nn.Module):
    """One linear map per layer, inputs to standardised targets.

    Alpha is chosen by r on what the folds of the split keep aside, averaged over speakers; the map is then refitted on
    the whole development side.

    Parameters
    ----------
    alphas
        Candidates; penalties on standardised inputs, for sums over frames.
    alpha_per_channel
        Choose an alpha for each channel, or one for all.
    alpha_without_validation
        Used where nothing can be chosen, because no fold has the channel on both its sides.
    """

    combines_layers = False
    context_frames = 0
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        num_layers: int,
        width: int,
        num_channels: int,
        alphas: Sequence[float],
        alpha_per_channel: bool = True,
        alpha_without_validation: float = 1000.0,
    ):
        super().__init__()
        check_penalties(alphas=alphas, alpha_without_validation=alpha_without_validation)
        self.alphas, self.per_channel = sorted(map(float, alphas)), alpha_per_channel
        self.alpha_without_validation = float(alpha_without_validation)
        self.register_buffer("weight", torch.zeros(num_layers, width, num_channels, dtype=torch.float64))
        self.register_buffer("bias", torch.full((num_layers, num_channels), torch.nan, dtype=torch.float64))

    def forward(
        self, states: Float[Tensor, "layer batch time width"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "layer batch time channel"]:
        """Predict standardised targets, padding included; NaN for a channel that no fitted frame had."""
        layers, batch, time, width = states.shape
        flat = states.to(self.weight).reshape(layers, batch * time, width)
        return torch.baddbmm(self.bias[:, None], flat, self.weight).view(layers, batch, time, -1)

    @torch.no_grad()
    def take(self, layer: int, weight: Float[Tensor, "width channel"], bias: Float[Tensor, " channel"]) -> None:
        """Set one layer's map; a channel whose bias is NaN is not predicted."""
        self.weight[layer], self.bias[layer] = weight, bias
