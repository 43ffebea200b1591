"""Σxxᵀ of a group's frames: as upper triangles, or by the frames themselves where those are fewer.

A group has several rows: all its frames, and for each sensor that was lost in some of them, those frames. What is asked
for is a weighted sum of rows: of Σxxᵀ, to fit to, or of Σ(xw - c)², to know how predictions xw vary.

Names of shapes::

    frame, width    x of one group
    row             its frames, and those that each lost sensor lacks
    half            an upper triangle, row by row: width (width + 1) / 2
    channel         columns of the weights w and of the centres c
    *some           any number of leading axes of w and c, as one for each alpha
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.linalg import get_blas_funcs, get_lapack_funcs
from torch import Tensor

# The rows of a tensor are Fortran's columns, so that its lower triangles are our upper ones.
_syrk: Any = get_blas_funcs("syrk", dtype=np.float64)
_trttp: Any
_tpttr: Any
_trttp, _tpttr = get_lapack_funcs(("trttp", "tpttr"), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class FrameScatter:
    """The frames themselves, and which of them belong to each row."""

    frames: Float[Tensor, "frame width"]
    rows: Bool[Tensor, "row frame"]

    @property
    def size_bytes(self) -> int:
        """Memory that this takes."""
        return self.frames.nbytes + self.rows.nbytes

    def to(self, device: torch.device) -> "FrameScatter":
        """Return the same on a device."""
        return FrameScatter(self.frames.to(device), self.rows.to(device))

    def triangle(self, row: int) -> Float[Tensor, " half"]:
        """Return the upper triangle of a row's Σxxᵀ."""
        chosen, width = self.rows[row], self.frames.shape[1]
        square = torch.zeros(width, width, dtype=torch.float64, device=self.frames.device)
        add_square(square, (self.frames if chosen.all() else self.frames[chosen]).double())
        return packed(square)

    def squares(
        self,
        row_weights: Float[np.ndarray, " row"],
        weights: Float[Tensor, "*some width channel"],
        centre: Float[Tensor, "*some channel"],
    ) -> Float[Tensor, "*some channel"]:
        """Return the weighted sum over rows of Σ(xw - c)²."""
        by_frame = torch.from_numpy(row_weights).to(self.rows.device) @ self.rows.double()
        used = by_frame != 0
        x = self.frames[used].to(weights)
        columns = weights.movedim(-2, 0).reshape(x.shape[1], -1)
        away = (x @ columns).sub_(centre.reshape(-1)).square_()
        return (by_frame[used].to(weights) @ away).reshape(centre.shape)


@dataclass(frozen=True, eq=False)
class TriangleScatter:
    """Upper triangles of Σxxᵀ, with Σx and the number of frames."""

    triangles: Float[Tensor, "row half"]
    x: Float[Tensor, "row width"]
    count: Int[Tensor, " row"]

    @property
    def size_bytes(self) -> int:
        """Memory that this takes."""
        return self.triangles.nbytes + self.x.nbytes + self.count.nbytes

    def to(self, device: torch.device) -> "TriangleScatter":
        """Return the same on a device."""
        return TriangleScatter(self.triangles.to(device), self.x.to(device), self.count.to(device))

    def triangle(self, row: int) -> Float[Tensor, " half"]:
        """Return the upper triangle of a row's Σxxᵀ."""
        return self.triangles[row]

    def squares(
        self,
        row_weights: Float[np.ndarray, " row"],
        weights: Float[Tensor, "*some width channel"],
        centre: Float[Tensor, "*some channel"],
    ) -> Float[Tensor, "*some channel"]:
        """Return the weighted sum over rows of Σ(xw - c)²."""
        by_row = torch.from_numpy(row_weights).to(self.x.device)
        xx = unpacked(by_row @ self.triangles, self.x.shape[1]).to(weights)
        x, n = (by_row @ self.x).to(weights), float(by_row @ self.count.double())
        return squares_about(xx, x, n, weights, centre) if n else torch.zeros_like(centre)


Scatter = FrameScatter | TriangleScatter


def squares_about(
    xx: Float[Tensor, "width width"],
    x: Float[Tensor, " width"],
    n: float,
    weights: Float[Tensor, "*some width channel"],
    centre: Float[Tensor, "*some channel"],
) -> Float[Tensor, "*some channel"]:
    """Return Σ(xw - c)² from the moments of n frames: about their mean first, where rounding takes least."""
    about_mean = (weights * ((xx - torch.outer(x, x) / n) @ weights)).sum(dim=-2)
    return about_mean + n * (x @ weights / n - centre).square()


def add_square(total: Float[Tensor, "width width"], x: Float[Tensor, "frame width"]) -> None:
    """Add xᵀx of frames (float64) to the upper triangle of a matrix, in place; the lower one is not to be used."""
    if total.device.type == "cpu":
        _syrk(1.0, x.contiguous().numpy().T, beta=1.0, c=total.numpy().T, lower=1, overwrite_c=1)
    else:
        total.addmm_(x.T, x)


def packed(symmetric: Float[Tensor, "width width"]) -> Float[Tensor, " half"]:
    """Return the upper triangle, row by row."""
    if symmetric.device.type != "cpu":
        return packed_by_torch(symmetric)
    triangle, _ = _trttp(symmetric.numpy().T, uplo="L")
    return torch.from_numpy(triangle)


def unpacked(triangle: Float[Tensor, " half"], width: int) -> Float[Tensor, "width width"]:
    """Return the symmetric matrix of an upper triangle.

    >>> unpacked(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), 2).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    if triangle.device.type != "cpu":
        return unpacked_by_torch(triangle, width)
    columns, _ = _tpttr(width, triangle.numpy(), uplo="L")
    upper = torch.from_numpy(columns.T)
    return upper.triu() + upper.triu(1).T


def packed_by_torch(symmetric: Float[Tensor, "width width"]) -> Float[Tensor, " half"]:
    """Return the upper triangle, row by row, on the matrix's device."""
    rows, columns = torch.triu_indices(*symmetric.shape, device=symmetric.device)
    return symmetric[rows, columns]


def unpacked_by_torch(triangle: Float[Tensor, " half"], width: int) -> Float[Tensor, "width width"]:
    """Return the symmetric matrix of an upper triangle, on the triangle's device."""
    rows, columns = torch.triu_indices(width, width, device=triangle.device)
    matrix = triangle.new_zeros(width, width)
    matrix[rows, columns] = triangle
    matrix[columns, rows] = triangle
    return matrix
