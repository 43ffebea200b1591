"""Ridge heads on states from which something was erased, without a decomposition for each eraser."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tractprobe.evidence.methods.erasure import Eraser, Sides, inverse_deviation
from tractprobe.probes.linear.solver import FullMoments

_NOTHING = 1e-8  # of a covariance, relative to what it was: what rounding leaves of one that was erased


class RidgeWithout:
    """Ridge heads on states from which anything can be erased, at next to no cost for each eraser.

    Features stay standardised by what they were before, so that a penalty means the same. In these units erasing is
    A = I - U Vᵀ, and with G the sums of squares and C those with targets,

        W = (A G Aᵀ + α I)⁻¹ A C,    A G Aᵀ = G + Z S Zᵀ,    Z = (U, G V),    S = ((VᵀG V, -I), (-I, 0)).

    One eigendecomposition of G makes G + α I diagonal for every α, and what is erased is a change of low rank
    (Woodbury).
    """

    def __init__(self, side: Sides):
        self.width = len(side[0][1].x)
        self._parts = [_Part.of(list(which), moments) for which, moments in side if moments.n > 1]

    def heads(
        self, alpha: Float[Tensor, " channel"], eraser: Eraser | None = None
    ) -> tuple[Float[Tensor, "width channel"], Float[Tensor, " channel"]]:
        """Return heads on erased states as heads on the states before; a head is constant where nothing is left.

        Parameters
        ----------
        alpha
            A penalty for each channel, NaN for one that is not fitted: its intercept is NaN, as for one without frames.
        """
        weight = torch.zeros(self.width, len(alpha), dtype=torch.float64)
        bias = torch.full((len(alpha),), torch.nan, dtype=torch.float64)
        for part in self._parts:
            columns = [column for column, channel in enumerate(part.channels) if alpha[channel].isfinite()]
            channels = [part.channels[column] for column in columns]
            if columns:
                weight[:, channels], bias[channels] = part.heads(columns, alpha[channels], eraser)
        return weight, bias


@dataclass(frozen=True, eq=False)
class _Part:
    """Channels that have the same frames: mean, deviation and eigenvectors of their states, and what goes with these.

    Attributes
    ----------
    values, vectors
        G = E Λ Eᵀ, of standardised states.
    cross
        C, of standardised states.
    """

    channels: list[int]
    mean_x: Float[Tensor, " width"]
    mean_y: Float[Tensor, " channel"]
    inverse: Float[Tensor, " width"]
    values: Float[Tensor, " width"]
    vectors: Float[Tensor, "width width"]
    cross: Float[Tensor, "width channel"]

    @classmethod
    def of(cls, channels: list[int], moments: FullMoments) -> "_Part":
        n, mean_x, mean_y = moments.n, moments.x / moments.n, moments.y / moments.n
        centred = moments.xx - n * torch.outer(mean_x, mean_x)
        inverse = inverse_deviation(centred / n, moments.xx / n)
        values, vectors = torch.linalg.eigh(centred * torch.outer(inverse, inverse))
        cross = (moments.xy - n * torch.outer(mean_x, mean_y)) * inverse[:, None]
        return cls(channels, mean_x, mean_y, inverse, values.clamp(min=0), vectors, cross)

    def heads(
        self, columns: list[int], alpha: Float[Tensor, " column"], eraser: Eraser | None
    ) -> tuple[Float[Tensor, "width column"], Float[Tensor, " column"]]:
        """Return weights and intercepts of some columns, for states before erasing."""
        cross = before = self.cross[:, columns]
        change = None
        if eraser is not None:
            added = self.inverse[:, None] * eraser.added
            read = torch.where(self.inverse > 0, 1 / self.inverse, 0)[:, None] * eraser.read
            cross = before - added @ (read.T @ before)
            change = self._change(added, read)
        inside, solved = self.vectors.T @ cross, torch.zeros_like(cross)
        for value in alpha.unique():
            chosen = alpha == value
            solved[:, chosen] = self._solved(inside[:, chosen], float(value), change)
        left, had = (torch.linalg.vector_norm(each, dim=0) for each in (cross, before))
        weight = self.inverse[:, None] * torch.where(left <= _NOTHING * had, 0, self.vectors @ solved)
        if eraser is not None:
            weight = weight - eraser.read @ (eraser.added.T @ weight)
        return weight, self.mean_y[columns] - self.mean_x @ weight

    def _change(
        self, added: Float[Tensor, "width rank"], read: Float[Tensor, "width rank"]
    ) -> tuple[Float[Tensor, "width twice"], Float[Tensor, "twice twice"]]:
        """Return Z along eigenvectors, and S⁻¹ = ((0, -I), (-I, -VᵀG V))."""
        turned = self.vectors.T @ read
        scaled = self.values[:, None] * turned
        rank = added.shape[1]
        inverse = torch.zeros(2 * rank, 2 * rank, dtype=added.dtype)
        inverse[:rank, rank:] = inverse[rank:, :rank] = -torch.eye(rank, dtype=added.dtype)
        inverse[rank:, rank:] = -turned.T @ scaled
        return torch.cat([self.vectors.T @ added, scaled], dim=1), inverse

    def _solved(
        self, inside: Float[Tensor, "width column"], alpha: float, change: tuple[Tensor, Tensor] | None
    ) -> Float[Tensor, "width column"]:
        """Return (Λ + αI + Z S Zᵀ)⁻¹ of columns along eigenvectors."""
        diagonal = (self.values + alpha)[:, None]
        solved = inside / diagonal
        if change is None:
            return solved
        z, inverse = change
        return solved - z / diagonal @ torch.linalg.solve(inverse + z.T @ (z / diagonal), z.T @ solved)
