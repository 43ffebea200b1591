"""Moments under a division of the data: what is fitted, chosen and tested on, with standardised targets.

A selection is a set of groups. With y' = (y - m) / s, where m and s are a speaker's mean and deviation, its moments are

    Σy' = Σ_g (Σy - n m) / s,    Σxy'ᵀ = Σ_g (Σxyᵀ - Σx mᵀ) / s,    Σy'² = Σ_g (Σy² - 2 m Σy + n m²) / s²,

sums over its groups g. Channels that have the same frames share Σx and Σxxᵀ, which are weighted sums of the store's
rows (1: a group's frames; -1: those that a lost sensor lacks).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tractprobe.data.groups import GroupKey
from tractprobe.data.scales import SpeakerScale
from tractprobe.data.splits import Split
from tractprobe.probes.linear.moment_store import LayerRows, MomentStore, Selection
from tractprobe.probes.linear.scatter import unpacked
from tractprobe.probes.linear.solver import FullMoments, Moments

_KEPT_BYTES = 1 << 26  # of moments that divisions share; what goes beyond is added up again
_TOGETHER_BYTES = 1 << 24  # of the moments that are scored together


@dataclass(frozen=True, eq=False)
class Division:
    """A split in terms of groups, with the speakers' statistics that it allows.

    Attributes
    ----------
    folds
        What is fitted and what is validated on, by speaker.
    test
        What is tested on, by (corpus, language, speaker).
    mean, sd
        Of each group's speaker, in the channels' units; NaN for a channel that cannot be used.
    """

    development: Selection
    folds: tuple[tuple[Selection, tuple[Selection, ...]], ...]
    test: Mapping[GroupKey, Selection]
    scales: Mapping[str, SpeakerScale]
    mean: Float[np.ndarray, "group channel"]
    sd: Float[np.ndarray, "group channel"]

    @classmethod
    def of(
        cls, split: Split, store: MomentStore, as_they_are: Bool[np.ndarray, " channel"] | None = None
    ) -> "Division":
        """Divide the groups of a store as a split divides their utterances.

        Channels that are to stay ``as_they_are``, being yes or no, are not standardised (``Targets.as_they_are``).
        """
        development, test = store.selection(split.development), store.selection(split.test)
        speakers = np.array([group.speaker for group in store.groups])
        scales = {}
        for speaker in sorted({*speakers[development], *speakers[test]}):
            developed, tested = (_moments(store, side & (speakers == speaker)) for side in (development, test))
            scales[str(speaker)] = SpeakerScale.of(developed, tested, as_they_are)
        nothing = np.full(store.count.shape[1], np.nan)
        mean, sd = (
            np.stack([getattr(scales[name], what) if name in scales else nothing for name in speakers])
            for what in ("mean", "sd")
        )
        folds = [(store.selection(fold.train), store.selection(fold.validation)) for fold in split.folds]
        by_speaker = [
            (train, tuple(kept & (speakers == speaker) for speaker in sorted({*speakers[kept]})))
            for train, kept in folds
        ]
        keys = [group.key for group in store.groups]
        tested = {
            key: test & np.array([other == key for other in keys])
            for key in sorted({key for key, is_tested in zip(keys, test, strict=True) if is_tested})
        }
        return cls(development, tuple(by_speaker), tested, scales, mean, sd)


@dataclass(frozen=True, eq=False)
class RowMoments(Moments):
    """Moments of a weighted sum of rows, whose Σxxᵀ is not added up."""

    n: int
    rows: LayerRows
    row_weights: Float[np.ndarray, " row"]

    def squares(
        self, weights: Float[Tensor, "*some width channel"], centre: Float[Tensor, "*some channel"]
    ) -> Float[Tensor, "*some channel"]:
        """Return Σ(xw - c)²."""
        return self.rows.squares(self._by_group, weights, centre)

    @cached_property
    def _by_group(self) -> dict[int, Float[np.ndarray, " row"]]:
        return self.rows.by_group(self.row_weights)

    @property
    def size_bytes(self) -> int:
        """Memory that this takes."""
        return self.x.nbytes + self.xy.nbytes + self.row_weights.nbytes


@dataclass(frozen=True, eq=False)
class Parts(Moments):
    """Moments of several parts, as of a fold's speakers, which are scored together."""

    each: Sequence[RowMoments]

    @classmethod
    def of(cls, each: Sequence[RowMoments]) -> "Parts":
        """Put moments of the same channels side by side."""
        n = each[0].x.new_tensor([part.n for part in each])[:, None]
        x, y, xy, yy = (torch.stack([getattr(part, name) for part in each]) for name in ("x", "y", "xy", "yy"))
        return cls(n, x, y, xy, yy, each)

    def squares(
        self, weights: Float[Tensor, "*some width channel"], centre: Float[Tensor, "part *some channel"]
    ) -> Float[Tensor, "part *some channel"]:
        """Return Σ(xw - c)² of each part."""
        by_feature = weights.movedim(-2, 0).contiguous().movedim(0, -2)  # as a product takes it
        return torch.stack([part.squares(by_feature, own) for part, own in zip(self.each, centre, strict=True)])


ChannelMoments = list[tuple[list[int], FullMoments]]
"""Channels, and the moments that they are fitted to."""


class KeptMoments:
    """Moments of an input's selections that several divisions ask for, as of speakers; bounded in bytes."""

    def __init__(self):
        self._found: dict[tuple[bytes, ...], list[tuple[list[int], RowMoments]]] = {}
        self._bytes = 0

    def get(
        self, key: tuple[bytes, ...], make: Callable[[], list[tuple[list[int], RowMoments]]]
    ) -> list[tuple[list[int], RowMoments]]:
        """Return what a key stands for, made if it is not there."""
        found = self._found.get(key)
        if found is None:
            found = make()
            size = sum(part.size_bytes for _, part in found)
            if self._bytes + size <= _KEPT_BYTES:
                self._found[key] = found
                self._bytes += size
        return found


class LayerMoments:
    """One input's moments under one division, with standardised targets.

    Parameters
    ----------
    kept
        What divisions of the same input share.
    """

    def __init__(
        self,
        store: MomentStore,
        name: str,
        division: Division,
        device: torch.device | str = "cpu",
        kept: KeptMoments | None = None,
    ):
        self.store, self.division, self.device, self._kept = store, division, device, kept or KeptMoments()
        self.width, self.num_channels = store.widths[name], store.count.shape[1]
        self.rows = store.layer(name, torch.device(device))
        self._usable = (store.count > 0) & np.isfinite(division.mean)

    def of(self, selection: Selection) -> list[tuple[list[int], RowMoments]]:
        """Return (channels, their moments) of a selection, for each set of channels that have the same frames."""
        rows = np.flatnonzero(selection[self.store.group_of])
        weights, which = np.unique(self._row_weights(rows), axis=0, return_inverse=True)
        groups, parts = np.flatnonzero(selection), []
        for index, of_rows in enumerate(weights):
            channels = np.flatnonzero(which.reshape(-1) == index)
            part = self._row_moments(groups, channels, rows, of_rows)
            if part.n > 0:
                parts.append((channels.tolist(), part))
        return parts

    def of_each(self, selections: Sequence[Selection]) -> Iterator[tuple[list[int], list[int], Parts]]:
        """Yield (channels, indices of selections, their moments of more than one frame), as many as memory should hold.

        Selections are small, as of single speakers.
        """
        alike: dict[tuple[int, ...], list[tuple[int, RowMoments]]] = {}
        for number, selection in enumerate(selections):
            for channels, part in self._kept.get(self._key(selection), partial(self.of, selection)):
                if part.n > 1:
                    alike.setdefault(tuple(channels), []).append((number, part))
        for channels, parts in alike.items():
            together = max(1, _TOGETHER_BYTES // parts[0][1].size_bytes)
            for first in range(0, len(parts), together):
                which, each = zip(*parts[first : first + together], strict=True)
                yield list(channels), list(which), Parts.of(each)

    def _key(self, selection: Selection) -> tuple[bytes, ...]:
        """Return all that the moments of a selection depend on, by which divisions can differ."""
        groups = np.flatnonzero(selection)
        return tuple(values.tobytes() for values in (groups, self.division.mean[groups], self.division.sd[groups]))

    @cached_property
    def _to_fit(self) -> list[list[tuple[list[int], RowMoments]]]:
        """The folds' training sides, then the development side."""
        return [self.of(side) for side in (*(train for train, _ in self.division.folds), self.division.development)]

    @cached_property
    def row_weights(self) -> Float[np.ndarray, "set row"]:
        """The weighted sums of rows that heads are fitted to."""
        weights = [part.row_weights for side in self._to_fit for _, part in side]
        return np.stack(weights) if weights else np.zeros((0, len(self.store.group_of)))

    def to_fit(self, triangles: Float[np.ndarray, "set half"] | None = None) -> list[ChannelMoments]:
        """Return (channels, their moments) of the folds' training sides, then of the development side, as ``of`` does.

        Parameters
        ----------
        triangles
            Σxxᵀ of ``row_weights``, if it was added up for several divisions at once.
        """
        each = iter(self.rows.triangles([self.row_weights])[0] if triangles is None else triangles)
        return [[(channels, self._full(part, next(each))) for channels, part in side] for side in self._to_fit]

    def _full(self, part: RowMoments, triangle: Float[np.ndarray, " half"]) -> FullMoments:
        xx = unpacked(torch.from_numpy(triangle).to(self.device), self.width)
        return FullMoments(part.n, part.x, part.y, part.xy, part.yy, xx)

    def _row_weights(self, rows: Int[np.ndarray, " row"]) -> Float[np.ndarray, "channel row"]:
        """Return 1 for the frames of a group that has a channel, -1 for those of them in which the channel was lost."""
        used, lost = self._usable[self.store.group_of[rows]], self.store.lost[rows]
        all_frames = ~lost.any(axis=1, keepdims=True)
        return np.where(all_frames, used, -(used & lost).astype(float)).T

    def _row_moments(
        self,
        groups: Int[np.ndarray, " group"],
        channels: Int[np.ndarray, " channel"],
        rows: Int[np.ndarray, " row"],
        of_rows: Float[np.ndarray, " row"],
    ) -> RowMoments:
        """Return the moments of some groups' channels, at a cost that grows with these groups alone."""
        store, division, chosen = self.store, self.division, np.ix_(groups, channels)
        mean, sd, usable = division.mean[chosen], division.sd[chosen], self._usable[chosen]
        scale, shift = np.where(usable, 1 / sd, 0), np.where(usable, mean / sd, 0)
        count, y, yy = (values[chosen] for values in (store.count, store.y, store.yy))
        x = self.rows.x[rows]
        xy = np.einsum("gc,gwc->wc", scale, self.rows.xy[groups][:, :, channels])
        xy -= ((of_rows[:, None] * shift[np.searchsorted(groups, store.group_of[rows])]).T @ x).T
        row_weights = np.zeros(len(store.group_of))
        row_weights[rows] = of_rows
        return RowMoments(
            int(of_rows @ store.frames[rows]),
            self._tensor(of_rows @ x),
            self._tensor((y * scale - count * shift).sum(axis=0)),
            self._tensor(xy),
            self._tensor((yy * scale**2 - 2 * y * scale * shift + count * shift**2).sum(axis=0)),
            self.rows,
            row_weights,
        )

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


def full_moments(divided: Sequence[tuple[LayerMoments, Selection]], channels: Sequence[int]) -> list[ChannelMoments]:
    """Return (channels, their moments with Σxxᵀ) of selections of one input, of the sets that have some ``channels``.

    Σxxᵀ of each group is made once for all of them.
    """
    asked = set(channels)
    parts = [[one for one in moments.of(selection) if asked & set(one[0])] for moments, selection in divided]
    weights = [np.stack([part.row_weights for _, part in own]) for own in parts if own]
    triangles = iter(divided[0][0].rows.triangles(weights)) if weights else iter(())
    return [
        [(own, moments._full(part, half)) for (own, part), half in zip(each, next(triangles), strict=True)]
        if each
        else []
        for (moments, _), each in zip(divided, parts, strict=True)
    ]


def _moments(store: MomentStore, chosen: Selection) -> Float[np.ndarray, "3 channel"] | None:
    """Return count, sum and sum of squares of some groups' targets; ``None`` if there are no groups."""
    return (
        np.stack([values[chosen].sum(axis=0) for values in (store.count, store.y, store.yy)]) if chosen.any() else None
    )
