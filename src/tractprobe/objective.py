"""What nonlinear heads minimise."""

from jaxtyping import Bool, Float
from torch import Tensor


def masked_mse(
    prediction: Float[Tensor, "layer batch time channel"],
    target: Float[Tensor, "batch time channel"],
    valid: Bool[Tensor, "batch time channel"],
) -> Float[Tensor, " layer"]:
    """Return each layer's mean squared error over the valid entries; what is not valid has no gradient."""
    residual = (prediction - target).masked_fill(~valid, 0)
    return residual.square().sum(dim=(1, 2, 3)) / valid.sum().clamp(min=1)
