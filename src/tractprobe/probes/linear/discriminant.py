"""Linear discriminant analysis in closed form, from the same moments as ridge.

With one-hot targets y, the moments of some frames hold the number of each class's frames n_c = Σy_c and its sum Σx y_c.
With class means μ_c and n frames of C classes (Hastie, Tibshirani & Friedman 2009, 4.3),

    S = (Σxxᵀ - Σ_c n_c μ_c μ_cᵀ) / n,    S_λ = (1 - λ) S + λ diag(S),    δ_c(x) = xᵀ S_λ⁻¹ μ_c - ½ μ_cᵀ S_λ⁻¹ μ_c,

where the class with the largest δ is taken. All classes are equally likely beforehand, which is what balanced accuracy
asks for. Shrinkage λ is towards the deviation of each feature, so that units play no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tractprobe.probes.linear.solver import FullMoments

_CONSTANT = 1e-9  # deviation within classes, of the root mean square, below which a feature does not vary


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """Moments of frames that each belong to one class, float64.

    Attributes
    ----------
    count, sums
        Frames of each class, and Σx of these.
    xx
        Σxxᵀ of all.
    """

    count: Float[Tensor, " category"]
    sums: Float[Tensor, "width category"]
    xx: Float[Tensor, "width width"]

    @classmethod
    def of(cls, moments: FullMoments, columns: Sequence[int]) -> "ClassMoments":
        """Take the classes from the columns of one-hot targets, of which every frame has exactly one.

        Raises
        ------
        ValueError
            Some frames have none or several: the columns are not classes of these frames.
        """
        chosen = list(columns)
        count = moments.y[chosen]
        if round(float(count.sum())) != moments.n:
            raise ValueError(f"{moments.n} frames have {float(count.sum()):g} classes; each has to have one")
        return cls(count, moments.xy[:, chosen], moments.xx)

    def projected(self, weights: Float[Tensor, "width projection"]) -> "ClassMoments":
        """Return the moments of xw."""
        weights = weights.to(self.xx)
        return ClassMoments(self.count, weights.T @ self.sums, weights.T @ self.xx @ weights)

    def within(self) -> Float[Tensor, "width width"]:
        """Return S, the covariance within classes."""
        used = self.count > 0
        sums = self.sums[:, used]
        return (self.xx - (sums / self.count[used]) @ sums.T) / self.count.sum()


@dataclass(frozen=True, eq=False)
class Discriminant:
    """δ(x) = xw + b for each class.

    Attributes
    ----------
    known
        Classes with enough frames; the others are never taken.
    """

    weight: Float[Tensor, "width category"]
    bias: Float[Tensor, " category"]
    known: Bool[Tensor, " category"]


def discriminants(moments: ClassMoments, shrinkages: Sequence[float], least: int = 2) -> list[Discriminant]:
    """Return the discriminant under each shrinkage.

    Parameters
    ----------
    least
        Frames that a class needs.
    """
    known, mean = moments.count >= least, moments.sums / moments.count.clamp(min=1)
    within, mean_square = moments.within(), moments.xx.diagonal() / moments.count.sum()
    variance = within.diagonal()
    varies = variance > _CONSTANT**2 * mean_square
    inverse = torch.where(varies, variance.clamp(min=0).rsqrt(), 0.0)
    correlation = within * torch.outer(inverse, inverse)
    correlation.diagonal()[~varies] = 1.0
    # About the mean of all frames, where differences of δ are what they are and rounding takes least.
    centre = moments.sums.sum(dim=1, keepdim=True) / moments.count.sum()
    standardised = (mean - centre) * inverse[:, None]
    found = []
    for shrinkage in shrinkages:
        shrunk = (1 - shrinkage) * correlation
        shrunk.diagonal().add_(shrinkage)
        weight = torch.linalg.solve(shrunk, standardised)
        half = (standardised * weight).sum(dim=0) / 2
        weight = weight * inverse[:, None]
        found.append(Discriminant(weight, -half - (centre * weight).sum(dim=0), known))
    return found
