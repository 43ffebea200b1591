"""Maps from one speaker's read-out to another's movements, in nested families, in closed form from moments.

A read-out ``p = xW + b`` is in mm of the speaker whose movements the head was fitted to; ``y`` are a target speaker's
movements in mm. All that a map needs are sums of p and y, which follow from sums of the states x without any frame::

    Σp = Wᵀ Σx + n b,    Σppᵀ = Wᵀ Σxxᵀ W + (Wᵀ Σx) bᵀ + b (Wᵀ Σx)ᵀ + n b bᵀ,    Σpy = Wᵀ Σxy + b Σy

Families ``y ≈ pA + c``, with 12 channels of 6 articulators::

    identity       A = 1, c = 0                                   0 parameters
    offset         A = 1                                         12
    scale          A diagonal                                    24
    orthogonal     A = s Q, QᵀQ = 1 (Schönemann, 1966)           79
    articulator    A block-diagonal, 2 x 2 for each              36
    affine         A any                                        156

Each contains the one before it, but for ``orthogonal``, which lies between ``offset`` and ``affine``. Offsets and
scales leave |r| as it is; only the families that mix channels can change it. All act in mm, not in standard deviations:
there a rotation is one of the head and the palate, a scale one of size, and the identity means something.

A channel is fitted and scored over the frames in which it was measured, which can differ between channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float

from tractprobe.probes.linear.moment_store import LayerRows, MomentStore, Selection
from tractprobe.probes.linear.scatter import unpacked

Family = Literal["identity", "offset", "scale", "orthogonal", "articulator", "affine"]
FAMILIES: tuple[Family, ...] = get_args(Family)
MIXING: tuple[Family, ...] = ("orthogonal", "articulator", "affine")
"""Families that can change r."""

_CONDITION = 1e-10  # of a covariance: directions with less of the largest variance are left alone


@dataclass(frozen=True, eq=False)
class ReadOut:
    """A linear head of one input in mm: p = xW + b; b is NaN for a channel that it does not read.

    Attributes
    ----------
    name
        Of the input that it reads.
    """

    name: str
    weight: Float[np.ndarray, "width channel"]
    bias: Float[np.ndarray, " channel"]


@dataclass(frozen=True, eq=False)
class ReadMoments:
    """Moments of read-outs p and movements y, for each channel of y over the frames in which it was measured.

    Attributes
    ----------
    n, y, yy
        Frames, Σy and Σy².
    p, pp, py
        Σp, Σppᵀ and Σp y; of channels that are not read, any number.
    read
        The channels that the head reads.
    """

    n: Float[np.ndarray, " channel"]
    p: Float[np.ndarray, "channel read"]
    pp: Float[np.ndarray, "channel read read"]
    py: Float[np.ndarray, "channel read"]
    y: Float[np.ndarray, " channel"]
    yy: Float[np.ndarray, " channel"]
    read: Bool[np.ndarray, " read"]

    @classmethod
    def of_frames(
        cls, predicted: Float[np.ndarray, "frame channel"], measured: Float[np.ndarray, "frame channel"]
    ) -> "ReadMoments":
        """Add up frames; a movement that was not measured is NaN, as is a channel that is not read."""
        read = np.asarray(np.isfinite(predicted).all(axis=0))
        known, p = np.isfinite(measured).astype(float), np.where(read, predicted, 0)
        y = np.nan_to_num(measured)
        pp = np.einsum("fc,fi,fj->cij", known, p, p)
        return cls(known.sum(axis=0), known.T @ p, pp, y.T @ p, y.sum(axis=0), np.square(y).sum(axis=0), read)

    def __add__(self, other: "ReadMoments") -> "ReadMoments":
        sums = {name: getattr(self, name) + getattr(other, name) for name in ("n", "p", "pp", "py", "y", "yy")}
        return ReadMoments(**sums, read=self.read & other.read)

    @property
    def usable(self) -> Bool[np.ndarray, " channel"]:
        """The channels that are both read and measured."""
        return self.read & (self.n > 1)

    def covariance(self, channel: int) -> tuple[Float[np.ndarray, "read read"], Float[np.ndarray, " read"]]:
        """Return cov(p, p) and cov(p, y) over the frames of one channel."""
        n, p = self.n[channel], self.p[channel]
        return self.pp[channel] / n - np.outer(p, p) / n**2, self.py[channel] / n - p * self.y[channel] / n**2


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``y ≈ pA + c``; c is NaN for a channel that cannot be mapped, and A has no part of channels that are not read."""

    matrix: Float[np.ndarray, "read channel"]
    offset: Float[np.ndarray, " channel"]

    def sums(self, moments: ReadMoments) -> Float[np.ndarray, "6 channel"]:
        """Return n, Σq, Σy, Σq², Σy², Σqy of mapped read-outs q = pA + c; 0 for channels that are not mapped."""
        n, c, along = moments.n, self.offset, np.einsum("cr,rc->c", moments.p, self.matrix)
        squares = np.einsum("rc,crs,sc->c", self.matrix, moments.pp, self.matrix)
        products = np.einsum("cr,rc->c", moments.py, self.matrix) + c * moments.y
        sums = [n, along + n * c, moments.y, squares + 2 * c * along + n * c**2, moments.yy, products]
        return np.where(np.isfinite(c) & (n > 0), sums, 0.0)

    def __call__(self, predicted: Float[np.ndarray, "frame channel"]) -> Float[np.ndarray, "frame channel"]:
        """Map frames."""
        return np.nan_to_num(predicted) @ self.matrix + self.offset


def fitted_map(family: Family, moments: ReadMoments) -> AffineMap:
    """Return the map of a family that has the least squared error on the frames of some moments.

    Parameters
    ----------
    moments
        Channels that are not read or not measured are neither mapped nor used to map others.
    """
    usable = moments.usable
    matrix = np.diag(usable.astype(float))
    offset = np.where(usable, 0.0, np.nan)
    if family == "identity" or not usable.any():
        return AffineMap(matrix, offset)
    if family == "orthogonal":
        matrix = _rotation(moments)
    elif family != "offset":
        matrix = _regression(moments, _together(family, len(usable)))
    n = np.where(usable, moments.n, 1)
    mean_p, mean_y = moments.p / n[:, None], moments.y / n
    return AffineMap(matrix, np.where(usable, mean_y - np.einsum("cr,rc->c", mean_p, matrix), np.nan))


def _together(family: Family, channels: int) -> Bool[np.ndarray, "read channel"]:
    """Return which read channels each channel may be made of."""
    index = np.arange(channels)
    same = {"scale": index[:, None] == index, "articulator": index[:, None] // 2 == index // 2}
    return same.get(family, np.ones((channels, channels), bool))


def _regression(moments: ReadMoments, allowed: Bool[np.ndarray, "read channel"]) -> Float[np.ndarray, "read channel"]:
    """Return the least-squares matrix, each channel from those that it may be made of."""
    matrix, usable = np.zeros(allowed.shape), moments.usable
    for channel in np.flatnonzero(usable).tolist():
        sources = np.flatnonzero(allowed[:, channel] & usable)
        pp, py = moments.covariance(channel)
        inverse = np.linalg.pinv(pp[np.ix_(sources, sources)], rcond=_CONDITION, hermitian=True)
        matrix[sources, channel] = inverse @ py[sources]
    return matrix


def _rotation(moments: ReadMoments) -> Float[np.ndarray, "read channel"]:
    """Return s Q, the orthogonal matrix (it may reflect) and scale of least squared error about the means.

    With the singular values of cov(p, y) = U Σ Vᵀ: Q = U Vᵀ and s = tr Σ / tr cov(p, p) (Schönemann, 1966; Gower and
    Dijksterhuis, 2004, 4.2). Where channels have different frames, covariances of each over its own stand for those
    over the same.
    """
    channels = np.flatnonzero(moments.usable).tolist()
    each = [moments.covariance(channel) for channel in channels]
    cross = np.stack([py[channels] for _, py in each], axis=1)
    total = sum(pp[channel, channel] for channel, (pp, _) in zip(channels, each, strict=True))
    left, singular, right = np.linalg.svd(cross)
    matrix = np.zeros((len(moments.n), len(moments.n)))
    matrix[np.ix_(channels, channels)] = left @ right * (singular.sum() / total if total > 0 else 0.0)
    return matrix


def read_moments(
    store: MomentStore, rows: LayerRows, selections: Sequence[Selection], heads: Sequence[ReadOut]
) -> list[list[ReadMoments]]:
    """Return the moments of each head's read-outs on each selection of groups, from the moments of an input.

    Parameters
    ----------
    store
        Whose first channels are the movements, in mm.
    rows
        Of the input that the heads read.
    """
    channels = len(heads[0].bias)
    weights = [_row_weights(store, selection, channels) for selection in selections]
    sets = [np.unique(of_channels, axis=0, return_inverse=True) for of_channels in weights]
    triangles = rows.triangles([distinct for distinct, _ in sets])
    return [
        _read(store, rows, selection, distinct, which.reshape(-1), each, heads)
        for selection, (distinct, which), each in zip(selections, sets, triangles, strict=True)
    ]


def _row_weights(store: MomentStore, selection: Selection, channels: int) -> Float[np.ndarray, "channel row"]:
    """Return 1 for all frames of a group that has a channel, -1 for those of them in which the channel was lost."""
    has = (store.count[:, :channels] > 0) & selection[:, None]
    used, lost = has[store.group_of], store.lost[:, :channels]
    all_frames = ~store.lost.any(axis=1, keepdims=True)
    return np.where(all_frames, used, -(used & lost).astype(float)).T


def _read(
    store: MomentStore,
    rows: LayerRows,
    selection: Selection,
    distinct: Float[np.ndarray, "set row"],
    which: np.ndarray,
    triangles: Float[np.ndarray, "set half"],
    heads: Sequence[ReadOut],
) -> list[ReadMoments]:
    """Return the moments of each head's read-outs on one selection; see the module for the equations."""
    channels = len(which)
    n, y, yy = (getattr(store, name)[selection, :channels].sum(axis=0) for name in ("count", "y", "yy"))
    xy = rows.xy[selection][:, :, :channels].sum(axis=0)
    x = distinct @ rows.x
    assert np.array_equal((distinct @ store.frames)[which], n)
    weight = np.concatenate([head.weight for head in heads], axis=1)
    squared = [unpacked(torch.from_numpy(triangle), rows.width).numpy() @ weight for triangle in triangles]
    found = []
    for number, head in enumerate(heads):
        read = np.isfinite(head.bias)
        own, bias = np.where(read, head.weight, 0), np.where(read, head.bias, 0)
        columns = slice(number * channels, (number + 1) * channels)
        p = x @ own  # without b
        pp = np.stack([own.T @ np.where(read, half[:, columns], 0) for half in squared])
        sum_n = distinct @ store.frames
        beside = p[:, :, None] * bias
        pp += beside + beside.transpose(0, 2, 1) + sum_n[:, None, None] * np.outer(bias, bias)
        p = p + sum_n[:, None] * bias
        py = (own.T @ xy + np.outer(bias, y)).T
        found.append(ReadMoments(n.astype(float), p[which], pp[which], py, y, yy, read))
    return found
