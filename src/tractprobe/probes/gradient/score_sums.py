"""Sums of predictions and targets, batch by batch and over ranks, from which every score follows."""

from typing import Any

import torch
import torchmetrics
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tractprobe.probes.scores import Scores, scores_from_sums


class ScoreSums(torchmetrics.Metric):
    """Masked, grouped first and second moments of predictions x and targets y."""

    full_state_update = False
    n: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    yy: Tensor
    xy: Tensor

    def __init__(self, layers: int, groups: int, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        for name in ("n", "x", "y", "xx", "yy", "xy"):
            self.add_state(name, torch.zeros(layers, groups, channels, dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self,
        prediction: Float[Tensor, "layer batch time channel"],
        target: Float[Tensor, "... batch time channel"],
        valid: Bool[Tensor, "... batch time channel"],
        group: Int[Tensor, " batch"],
    ) -> None:
        """Add a batch; invalid entries may hold anything. Each layer may have targets of its own."""
        weight = valid.double()
        y = torch.where(valid, target, 0).double()
        x = torch.where(valid, prediction, 0).double()
        of_target = {"n": weight, "y": y, "yy": y * y}
        of_both = {"x": x, "xx": x * x, "xy": x * y}
        for name, values in of_target.items():
            getattr(self, name).index_add_(1, group, values.sum(dim=-2).expand(len(x), -1, -1))
        for name, values in of_both.items():
            getattr(self, name).index_add_(1, group, values.sum(dim=2))

    def compute(self) -> Float[Tensor, "sum layer group channel"]:
        """Return the sums n, Σx, Σy, Σx², Σy², Σxy, merged over ranks."""
        return torch.stack([self.n, self.x, self.y, self.xx, self.yy, self.xy])

    def take(self) -> Scores:
        """Return the scores of everything added so far, on all ranks, and start anew."""
        scores = scores_from_sums(*self.compute())
        self.reset()
        return scores
