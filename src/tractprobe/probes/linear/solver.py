"""Linear heads in closed form, from first and second moments.

With inputs standardised by the fitted part's own mean μ and deviation σ, Z = (X - μ) / σ, and targets centred,

    W(α) = (ZᵀZ + α I)⁻¹ Zᵀ(Y - ȳ),

which is scikit-learn's ``Ridge(alpha)`` on ``StandardScaler``'s output.

Names of shapes and letters::

    width, channel, alpha    features of x, targets y, candidate penalties
    *set                     one or several problems that are solved at once
    x, xx, xy, y, yy         Σx, Σxxᵀ, Σxyᵀ, Σy, Σy² over the frames; y stays per channel
    gram, cross              G = ZᵀZ and C = Zᵀ(Y - ȳ)
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import get_lapack_funcs, solveh_banded
from torch import Tensor

from tractprobe.probes.linear.scatter import squares_about

_FACTORS_BYTES = 1 << 30  # of the matrices that are factorised at a time

_sytrd: Any
_ormqr: Any
_sytrd, _ormqr = get_lapack_funcs(("sytrd", "ormqr"), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Moments(ABC):
    """Moments of some frames' inputs x and targets y, float64, from which predictions are scored.

    Those of several parts have an axis more, and ``n`` as a column.
    """

    n: int | Float[Tensor, "part 1"]
    x: Float[Tensor, "*part width"]
    y: Float[Tensor, "*part channel"]
    xy: Float[Tensor, "*part width channel"]
    yy: Float[Tensor, "*part channel"]

    @abstractmethod
    def squares(
        self, weights: Float[Tensor, "*some width channel"], centre: Float[Tensor, "*some channel"]
    ) -> Float[Tensor, "*some channel"]:
        """Return Σ(xw - c)²."""


@dataclass(frozen=True, eq=False)
class FullMoments(Moments):
    """The same with Σxxᵀ, to which heads are fitted."""

    n: int
    xx: Float[Tensor, "width width"]

    def squares(
        self, weights: Float[Tensor, "*some width channel"], centre: Float[Tensor, "*some channel"]
    ) -> Float[Tensor, "*some channel"]:
        """Return Σ(xw - c)²."""
        return squares_about(self.xx, self.x, self.n, weights, centre)


def solve(
    moments: FullMoments, alphas: Sequence[float], sizes: Float[Tensor, " width"] | None = None
) -> tuple[Float[Tensor, "alpha width channel"], Float[Tensor, "alpha channel"]]:
    """Return weights and intercepts of the ridge solution for each alpha, for inputs that are not standardised.

    A feature that is constant in the fitted frames gets weight 0.

    Parameters
    ----------
    sizes
        What standardised features are multiplied by: one of size s has the penalty α / s², as in banded ridge (Dupré la
        Tour et al. 2022, NeuroImage 264, 119728). 1 by default.
    """
    mean_x, mean_y = moments.x / moments.n, moments.y / moments.n
    centred = moments.xx - moments.n * torch.outer(mean_x, mean_x)
    deviation = (centred.diagonal().clamp(min=0) / moments.n).sqrt()
    constant = deviation <= 1e-9 * (moments.xx.diagonal() / moments.n).sqrt()
    inverse = torch.where(constant, 0.0, 1 / deviation)
    if sizes is not None:
        inverse = inverse * sizes.to(inverse)
    gram = centred * torch.outer(inverse, inverse)
    cross = (moments.xy - moments.n * torch.outer(mean_x, mean_y)) * inverse[:, None]
    weights = inverse[:, None] * _shrunk(gram, cross, torch.tensor(list(alphas), dtype=torch.float64))
    return weights, mean_y - mean_x @ weights


def _shrunk(
    gram: Float[Tensor, "width width"], cross: Float[Tensor, "width channel"], alphas: Float[Tensor, " alpha"]
) -> Float[Tensor, "alpha width channel"]:
    """Return (G + αI)⁻¹ C for each alpha, by what suits the device.

    On the CPU G = Q T Qᵀ with a tridiagonal T (Householder; Golub & Van Loan, 8.3.1), in which each further alpha costs
    next to nothing: a third of the time of an eigendecomposition. On a GPU a Cholesky factorisation for each alpha, all
    at once, since a GPU multiplies matrices well and reduces one to a tridiagonal badly.
    """
    if gram.device.type != "cpu":
        return by_cholesky(gram, cross, alphas)
    try:
        return torch.from_numpy(by_tridiagonal(gram.numpy(), cross.numpy(), alphas.numpy()))
    except np.linalg.LinAlgError:  # rounding has left an eigenvalue below -alpha
        return by_eigenvectors(gram, cross, alphas)


def by_cholesky(
    gram: Float[Tensor, "*set width width"], cross: Float[Tensor, "*set width channel"], alphas: Float[Tensor, " alpha"]
) -> Float[Tensor, "*set alpha width channel"]:
    """Return (G + αI)⁻¹ C of one or several sets for each alpha, where G may be singular.

    Factorises as many matrices at a time as memory should hold. Where rounding has left an eigenvalue of G below -α,
    eigenvectors solve instead.
    """
    together = max(1, _FACTORS_BYTES // (2 * gram.nbytes))  # the shifted matrices and their factors
    solutions, failed = [], []
    for part in alphas.to(gram).split(together):
        shifted = torch.stack([gram] * len(part), dim=-3)
        shifted.diagonal(dim1=-2, dim2=-1).add_(part[:, None])
        factors, info = torch.linalg.cholesky_ex(shifted)
        solutions.append(torch.cholesky_solve(cross[..., None, :, :], factors))
        failed.append(info != 0)
    solved, indefinite = torch.cat(solutions, dim=-3), torch.cat(failed, dim=-1)
    if indefinite.any():
        solved = torch.where(indefinite[..., None, None], by_eigenvectors(gram, cross, alphas), solved)
    return solved


def by_eigenvectors(
    gram: Float[Tensor, "*set width width"], cross: Float[Tensor, "*set width channel"], alphas: Float[Tensor, " alpha"]
) -> Float[Tensor, "*set alpha width channel"]:
    """Return (G + αI)⁻¹ C of one or several sets for each alpha, where G may be singular."""
    eigenvalues, vectors = torch.linalg.eigh(gram)
    shifted = eigenvalues.clamp(min=0)[..., None, :, None] + alphas.to(gram)[:, None, None]
    return vectors[..., None, :, :] @ ((vectors.mT @ cross)[..., None, :, :] / shifted)


def by_tridiagonal(
    gram: Float[np.ndarray, "width width"],
    cross: Float[np.ndarray, "width channel"],
    alphas: Float[np.ndarray, " alpha"],
) -> Float[np.ndarray, "alpha width channel"]:
    """Return (G + αI)⁻¹ C for each alpha; LinAlgError where some G + αI is not positive definite."""
    width, channels = cross.shape
    if width < 3:
        raise np.linalg.LinAlgError("too small to be transformed")
    reflectors, diagonal, beside, tau, _ = _sytrd(gram, lower=1, lwork=64 * width)

    def turned(columns: np.ndarray, transposed: str) -> np.ndarray:
        """Multiply by Q, whose reflectors leave the first row alone and are otherwise stored as those of a QR."""
        rest, _, _ = _ormqr("L", transposed, reflectors[1:, :-1], tau, columns[1:], lwork=64 * columns.shape[1])
        return np.concatenate([columns[:1], rest])

    inside = turned(cross, "T")
    beside = np.concatenate([[0.0], beside])
    solved = [solveh_banded(np.stack([beside, diagonal + alpha]), inside, check_finite=False) for alpha in alphas]
    outside = turned(np.concatenate(solved, axis=1), "N")
    return np.moveaxis(outside.reshape(width, len(alphas), channels), 1, 0)


def correlation(
    moments: Moments, weights: Float[Tensor, "alpha width channel"]
) -> Float[Tensor, "*part alpha channel"]:
    """Return the correlation that linear predictions x·w reach on the frames of the moments; NaN without variance.

    r = wᵀ Sxy / √(wᵀ Sxx w · Syy) with the centred moments S, for each part by itself.
    """
    mean_x = moments.x / moments.n
    cross = moments.xy - mean_x[..., :, None] * moments.y[..., None, :]
    total = moments.yy - moments.y.square() / moments.n
    covariance = torch.einsum("awc,...wc->...ac", weights, cross)
    spread = moments.squares(weights, torch.einsum("...w,awc->...ac", mean_x, weights))
    return covariance / (spread * total[..., None, :]).sqrt()
