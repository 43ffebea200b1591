"""What nonlinear heads minimise: one loss for each member of a bank, over valid entries alone.

Targets and their validity are the same for all members, or have the member as their first axis.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tractprobe.system.errors import ConfigError

_LEAST_FRAMES = 3  # two frames always correlate perfectly
_LEAST_VARIANCE = 1e-6  # of standardised targets, and of what predicts them


Predictions = Float[Tensor, "member batch time channel"]
Entries = Float[Tensor, "... batch time channel"]
Valid = Bool[Tensor, "... batch time channel"]
Losses = Float[Tensor, " member"]
Objective = Callable[[Predictions, Entries, Valid], Losses]


@dataclass(frozen=True)
class Mse:
    """Mean squared error."""

    def __call__(self, prediction: Predictions, target: Entries, valid: Valid) -> Losses:
        return masked_mse(prediction, target, valid)


@dataclass(frozen=True)
class Pearson:
    """One minus the correlation. It leaves the scale of predictions undetermined, so that errors in mm mean nothing."""

    def __call__(self, prediction: Predictions, target: Entries, valid: Valid) -> Losses:
        return pearson_loss(prediction, target, valid)


@dataclass(frozen=True)
class Both:
    """(1 - weight) x mean squared error + weight x (1 - correlation)."""

    weight: float = 0.5

    def __post_init__(self):
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"objective.weight={self.weight}: expected 0 (squared error alone) to 1 (correlation)")

    def __call__(self, prediction: Predictions, target: Entries, valid: Valid) -> Losses:
        error, correlation = masked_mse(prediction, target, valid), pearson_loss(prediction, target, valid)
        return (1 - self.weight) * error + self.weight * correlation


def masked_mse(prediction: Predictions, target: Entries, valid: Valid) -> Losses:
    """Return each member's mean squared error over the valid entries."""
    residual = (prediction - target).masked_fill(~valid, 0)
    return residual.square().sum(dim=(1, 2, 3)) / valid.sum(dim=(-3, -2, -1)).clamp(min=1)


def pearson_loss(prediction: Predictions, target: Entries, valid: Valid) -> Losses:
    """Return each member's 1 - r, averaged over channels; r of a channel is pooled over the batch.

    It is pooled because the r that is reported is pooled over a speaker's frames, and targets are standardised per
    speaker: within single utterances it would not matter whether the posture is right from one to the next, and a
    short utterance would count as much as a long one. A channel counts if its target varies over at least three
    frames; if none does, the loss is 0. Predictions that hardly vary have r near 0 and a finite gradient.
    """
    n = valid.sum(dim=(-3, -2))
    x, y = _centred(prediction, valid, n), _centred(target, valid, n)
    frames = n.clamp(min=1)
    var_x, var_y, covariance = ((left * right).sum(dim=(-3, -2)) / frames for left, right in ((x, x), (y, y), (x, y)))
    counts = (n >= _LEAST_FRAMES) & (var_y > _LEAST_VARIANCE)
    r = covariance / (var_x.clamp(min=_LEAST_VARIANCE) * var_y.clamp(min=_LEAST_VARIANCE)).sqrt()
    return torch.where(counts, 1 - r, 0).sum(dim=-1) / counts.sum(dim=-1).clamp(min=1)


def _centred(values: Entries, valid: Valid, n: Tensor) -> Entries:
    filled = torch.where(valid, values, 0)
    mean = filled.sum(dim=(-3, -2)) / n.clamp(min=1)
    return torch.where(valid, filled - mean[..., None, None, :], 0)
