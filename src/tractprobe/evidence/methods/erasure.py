"""Erasing what is linearly readable from states, in closed form from their moments.

The affine map that leaves no linear trace of targets z in states x and otherwise moves them least is LEACE (Belrose et
al. 2023, arXiv:2306.03819, theorem 4.3):

    r(x) = x - W⁺ P W (x - μ),    W Σxx Wᵀ = I,    P = the orthogonal projection onto the columns of W Σxz.

Afterwards Cov(r(x), z) = 0, so no linear head, whatever its loss, does better than a constant on the frames that the
moments are of. Nothing in it asks for classes: z may be movements. Because r is affine, the moments of r(x) follow from
those of x, and a head on r(x) is another head on x; so no frame is needed to fit or to score one.

Names of shapes::

    width       features of x
    kept        directions in which the states vary: eigenvectors of their correlations
    rank        directions that are erased
    channel     targets
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tractprobe.probes.linear.moment_store import LayerRows, MomentStore, Selection
from tractprobe.probes.linear.scatter import unpacked
from tractprobe.probes.linear.solver import FullMoments

_NO_VARIANCE = 1e-10  # an eigenvalue of correlations, relative to the largest: below it is rounding
_NO_DIRECTION = 1e-9  # a singular value of the targets' directions, relative to the largest


@dataclass(frozen=True, eq=False)
class Eraser:
    """An affine map r(x) = x - U Vᵀ (x - μ) that erases some directions.

    Attributes
    ----------
    added, read
        U and V; VᵀU = I.
    share
        Of the variance of standardised features, how much is removed.
    """

    added: Float[Tensor, "width rank"]
    read: Float[Tensor, "width rank"]
    centre: Float[Tensor, " width"]
    share: float

    @property
    def rank(self) -> int:
        """How many directions are erased."""
        return self.added.shape[1]

    def __call__(self, x: Float[Tensor, "*frames width"]) -> Float[Tensor, "*frames width"]:
        """Return states with these directions erased."""
        return x - (x - self.centre) @ self.read @ self.added.T

    def of_moments(self, moments: FullMoments) -> FullMoments:
        """Return the moments of r(x) from those of x.

        With B = U Vᵀ and c = B μ, r(x) = x - B x + c.
        """
        n, shift = moments.n, self.added @ (self.read.T @ self.centre)
        x = self._without(moments.x)
        half = self._without(moments.xx)  # (I - B) Σxxᵀ
        xx = self._without(half.T) + torch.outer(x, shift) + torch.outer(shift, x) + n * torch.outer(shift, shift)
        xy = self._without(moments.xy) + torch.outer(shift, moments.y)
        return replace(moments, x=x + n * shift, xx=(xx + xx.T) / 2, xy=xy)

    def folded(
        self, weight: Float[Tensor, "width channel"], bias: Float[Tensor, " channel"]
    ) -> tuple[Float[Tensor, "width channel"], Float[Tensor, " channel"]]:
        """Return a head on r(x) as the head on x that predicts the same."""
        along = self.added.T @ weight
        return weight - self.read @ along, bias + (self.read.T @ self.centre) @ along

    def _without(self, columns: Float[Tensor, "width *some"]) -> Float[Tensor, "width *some"]:
        return columns - self.added @ (self.read.T @ columns)


@dataclass(frozen=True, eq=False)
class StateSpace:
    """How states vary over some frames: mean, and the whitening that their covariance gives.

    Whitened states are Λ^-½ Eᵀ (x - μ) / σ, where E Λ Eᵀ are the correlations of features. Directions without variance
    are left out.
    """

    n: int
    mean: Float[Tensor, " width"]
    deviation: Float[Tensor, " width"]
    values: Float[Tensor, " kept"]
    vectors: Float[Tensor, "width kept"]

    @classmethod
    def of(cls, n: int, x: Float[Tensor, " width"], xx: Float[Tensor, "width width"]) -> "StateSpace":
        """Describe n frames by their Σx and Σxxᵀ; features that do not vary are in no direction."""
        mean = x / n
        covariance = xx / n - torch.outer(mean, mean)
        inverse = inverse_deviation(covariance, xx / n)
        deviation = torch.where(inverse > 0, 1 / inverse, 0)
        values, vectors = torch.linalg.eigh(covariance * torch.outer(inverse, inverse))
        kept = values > _NO_VARIANCE * values[-1].clamp(min=torch.finfo(values.dtype).tiny)
        return cls(n, mean, deviation, values[kept], vectors[:, kept])

    @property
    def width(self) -> int:
        """Number of directions in which the states vary."""
        return len(self.values)

    def whitened(self, cross: Float[Tensor, "width channel"]) -> Float[Tensor, "kept channel"]:
        """Return W Σxz."""
        return self._reading.T @ cross

    def pattern(self, weight: Float[Tensor, "width channel"]) -> Float[Tensor, "width channel"]:
        """Return Σxx w: how states vary with what weights read (Haufe et al. 2014, equation 6, but for scale)."""
        scaled = self.vectors.T @ (self.deviation[:, None] * weight)
        return self.deviation[:, None] * (self.vectors @ (self.values[:, None] * scaled))

    def eraser(self, cross: Float[Tensor, "width channel"], rank: int | None = None) -> Eraser:
        """Return the eraser of targets whose covariance with states is Σxz, over the same frames or some of them.

        Parameters
        ----------
        rank
            Erase only so many directions: those of most whitened covariance with standardised targets.
        """
        left, singular, _ = torch.linalg.svd(self.whitened(cross), full_matrices=False)
        count = int((singular > _NO_DIRECTION * singular.max()).sum()) if len(singular) else 0
        return self.along(left[:, : count if rank is None else min(rank, count)])

    def drawn(self, rank: int, random: np.random.Generator, as_states: bool = False) -> Eraser:
        """Return the eraser of so many random directions.

        Parameters
        ----------
        as_states
            Of random sums of standardised features, which mostly go along directions in which states vary much.
            Otherwise of random sums of whitened ones, among which every direction is as likely.
        """
        drawn = torch.from_numpy(random.standard_normal((len(self.mean), rank))).to(self.mean)
        drawn = self.values.sqrt()[:, None] * (self.vectors.T @ drawn) if as_states else drawn[: self.width]
        return self.along(torch.linalg.qr(drawn).Q)

    def along(self, basis: Float[Tensor, "kept rank"]) -> Eraser:
        """Return the eraser of orthonormal directions of whitened states."""
        scaled = self.vectors @ (self.values.sqrt()[:, None] * basis)
        share = float(scaled.square().sum() / (self.deviation > 0).sum())
        return Eraser(self.deviation[:, None] * scaled, self._reading @ basis, self.mean, share)

    @property
    def _reading(self) -> Float[Tensor, "width kept"]:
        """Wᵀ."""
        inverse = torch.where(self.deviation > 0, 1 / self.deviation, 0)
        return inverse[:, None] * self.vectors / self.values.sqrt()


def covariance_with(moments: FullMoments) -> Float[Tensor, "width channel"]:
    """Return Σxz with targets brought to unit variance; 0 for a target that does not vary."""
    n = moments.n
    cross = moments.xy / n - torch.outer(moments.x / n, moments.y / n)
    variance = moments.yy / n - (moments.y / n).square()
    varies = variance > 1e-12 * moments.yy / n
    return cross * torch.where(varies, 1 / variance.clamp(min=torch.finfo(variance.dtype).tiny).sqrt(), 0)


def states_of_groups(
    store: MomentStore, rows: LayerRows, chosen: Selection
) -> tuple[int, Float[Tensor, " width"], Float[Tensor, "width width"]]:
    """Return n, Σx and Σxxᵀ of all frames of some groups, whichever targets these have."""
    weights = _all_frames(store, chosen)
    xx = unpacked(torch.from_numpy(rows.triangles([weights[None]])[0][0]), rows.width)
    return int(weights @ store.frames), torch.from_numpy(weights @ rows.x), xx


def moments_of_labels(
    store: MomentStore, rows: LayerRows, chosen: Selection, labels: Sequence[str], values: Sequence[str]
) -> FullMoments:
    """Return the moments of some groups with a yes-or-no target for each value that groups' labels take.

    Parameters
    ----------
    labels
        Of every group of the store, such as its speaker.
    values
        In the order of the targets.
    """
    n, x, xx = states_of_groups(store, rows, chosen)
    own = np.stack(
        [_all_frames(store, chosen & (np.asarray(labels, dtype=object) == value)) for value in values]
    )  # (value, row)
    y = torch.from_numpy(own @ store.frames.astype(float))
    return FullMoments(n, x, y, torch.from_numpy((own @ rows.x).T.copy()), y.clone(), xx)


def _all_frames(store: MomentStore, chosen: Selection) -> Float[np.ndarray, " row"]:
    return (chosen[store.group_of] & ~store.lost.any(axis=1)).astype(float)


Sides = Sequence[tuple[Sequence[int], FullMoments]]
"""Channels, and the moments of the frames that have them, as ``LayerMoments.to_fit`` gives them for each side."""


def covariances(side: Sides, channels: int) -> Float[Tensor, "width channel"]:
    """Return Σxz of all targets, each over its own frames; 0 for those that no frame has."""
    cross = torch.zeros(len(side[0][1].x), channels, dtype=torch.float64)
    for which, moments in side:
        cross[:, list(which)] = covariance_with(moments)
    return cross


def inverse_deviation(
    covariance: Float[Tensor, "width width"], squares: Float[Tensor, "width width"]
) -> Float[Tensor, " width"]:
    """Return 1 / σ of features, 0 for those that do not vary beyond what rounding leaves of their mean squares."""
    variance = covariance.diagonal().clamp(min=0)
    return torch.where(variance <= 1e-18 * squares.diagonal(), 0, 1 / variance.sqrt())
