"""The linear engine: heads and their scores for any division of the data, from sums of groups alone.

Whatever was passed over once (``sums``) can be divided anew: what is fitted, chosen and tested on are sets of groups,
whose sums are added up by one matrix product for all sets. Targets, kept in their own units, are standardised per
speaker afterwards, as (y - m) / s only moves and scales Σxy and Σy. Ridge solutions for all alphas follow from one
transformation of each set's Σxxᵀ, correlations and errors on groups kept aside from their sums.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from threadpoolctl import threadpool_limits
from torch import Tensor

from tractprobe.conditioning import SpeakerScale
from tractprobe.metrics import Scores, scores_from_sums
from tractprobe.ridge import Ridge, Sums, correlation, solve
from tractprobe.splits import Split
from tractprobe.sum_store import Selection, SumStore
from tractprobe.sums import unpacked


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
    test: Mapping[tuple[str, str, str], Selection]
    scales: Mapping[str, SpeakerScale]
    mean: Float[np.ndarray, "group channel"]
    sd: Float[np.ndarray, "group channel"]

    @classmethod
    def of(cls, split: Split, store: SumStore) -> "Division":
        """Divide the groups of a store as a split divides their utterances."""
        development, test = store.selection(split.development), store.selection(split.test)
        speakers = np.array([group.speaker for group in store.groups])
        scales = {}
        for speaker in sorted({*speakers[development], *speakers[test]}):
            sides = [_moments(store, side & (speakers == speaker)) for side in (development, test)]
            scales[str(speaker)] = SpeakerScale.of(*sides)
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
        keys = [(group.corpus, group.language, group.speaker) for group in store.groups]
        tested = {
            key: test & np.array([other == key for other in keys])
            for key in sorted({key for key, one in zip(keys, test, strict=True) if one})
        }
        return cls(development, tuple(by_speaker), tested, scales, mean, sd)


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted head of one layer; NaN for a channel that no fitted frame had.

    ``validation_r`` is what each channel's alpha reached on what the folds keep aside, NaN where nothing was compared.
    """

    weight: Float[Tensor, "width channel"]
    bias: Float[Tensor, " channel"]
    alpha: Float[Tensor, " channel"]
    validation_r: Float[Tensor, " channel"]


class LayerSums:
    """One input's sums under one division: of any set of groups, with standardised targets."""

    def __init__(self, store: SumStore, name: str, division: Division, device: torch.device | str = "cpu"):
        self.store, self.division, self.device = store, division, device
        self.width, self.num_channels = store.widths[name], store.count.shape[1]
        self._rows = store.layer(name)
        self._usable = (store.count > 0) & np.isfinite(division.mean)

    def of(self, selections: Sequence[Selection]) -> list[list[tuple[list[int], Sums]]]:
        """Return for each set of groups (channels, their sums), for each set of channels that have the same frames."""
        weights, classes = [], []
        for selection in selections:
            distinct, which = np.unique(self._row_weights(selection), axis=0, return_inverse=True)
            classes.append([np.flatnonzero(which.reshape(-1) == index) for index in range(len(distinct))])
            weights.append(distinct)
        scatter = iter(self._rows.scatter(np.concatenate(weights)))
        found = []
        for selection, some, distinct in zip(selections, classes, weights, strict=True):
            parts = [self._sums(selection, part, row, next(scatter)) for part, row in zip(some, distinct, strict=True)]
            together = [(part.tolist(), sums) for part, sums in zip(some, parts, strict=True)]
            found.append([(part, sums) for part, sums in together if sums.n > 0])
        return found

    def _row_weights(self, selection: Selection) -> Float[np.ndarray, "channel row"]:
        """Return 1 for the frames of a group that a channel takes part in, -1 for those that it was lost in."""
        store = self.store
        used = (selection[:, None] & self._usable)[store.group_of]
        every = ~store.lost.any(axis=1, keepdims=True)
        return np.where(every, used, -(used & store.lost).astype(float)).T

    def _sums(self, selection: Selection, channels: np.ndarray, row_weights: np.ndarray, scatter: np.ndarray) -> Sums:
        store, division = self.store, self.division
        chosen = (selection[:, None] & self._usable)[:, channels]
        scale = np.where(chosen, 1 / division.sd[:, channels], 0)
        shift = np.where(chosen, division.mean[:, channels] / division.sd[:, channels], 0)
        count, y, yy = (values[:, channels] for values in (store.count, store.y, store.yy))
        xy = np.einsum("gc,gwc->wc", scale, self._rows.xy[:, :, channels])
        xy -= ((row_weights[:, None] * shift[store.group_of]).T @ self._rows.x).T
        return Sums(
            int(row_weights @ store.frames),
            self._tensor(row_weights @ self._rows.x),
            self._tensor((y * scale - count * shift).sum(axis=0)),
            unpacked(torch.from_numpy(scatter), self.width).to(self.device),
            self._tensor(xy),
            self._tensor((yy * scale**2 - 2 * y * scale * shift + count * shift**2).sum(axis=0)),
        )

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


def fit_divisions(
    store: SumStore, name: str, divisions: Sequence[Division], rule: Ridge, device: torch.device | str = "cpu"
) -> list[tuple[Fit, Scores]]:
    """Fit and score an input's head under each division, on the CPU side by side.

    Each fit has one thread, since the libraries of torch and of scipy would otherwise wait for each other's.
    """

    def solved(division: Division) -> tuple[Fit, Scores]:
        sums = LayerSums(store, name, division, device)
        found = fit(sums, rule)
        return found, score(sums, found)

    store.layer(name)  # read once, before it is shared
    if torch.device(device).type != "cpu":
        return [solved(division) for division in divisions]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
            return list(pool.map(solved, divisions))
    finally:
        torch.set_num_threads(threads)


def fit(sums: LayerSums, rule: Ridge) -> Fit:
    """Choose alphas by r on what the folds keep aside, then fit the whole development side."""
    chosen, reached = _choose(sums, rule)
    nothing = torch.full_like(chosen, torch.nan)
    found = Fit(chosen.new_zeros(sums.width, sums.num_channels), nothing, nothing.clone(), reached)
    (development,) = sums.of([sums.division.development])
    for channels, part in development:
        if part.n > 1:
            alphas, which = chosen[channels].unique(return_inverse=True)
            weights, biases = solve(part, alphas.tolist())
            columns = torch.arange(len(channels), device=which.device)
            found.weight[:, channels] = weights[which, :, columns].T
            found.bias[channels] = biases[which, columns]
            found.alpha[channels] = alphas[which]
    return found


def _choose(sums: LayerSums, rule: Ridge) -> tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]:
    """Return an alpha for each channel, and the r on what was kept aside that it was chosen for."""
    alphas = torch.tensor(rule.alphas, dtype=torch.float64, device=sums.device)
    if len(alphas) == 1:
        return alphas.repeat(sums.num_channels), torch.full_like(alphas, torch.nan).repeat(sums.num_channels)
    r = validation_r(sums, rule.alphas)
    if not rule.per_channel:
        r = r.nanmean(dim=1, keepdim=True).expand_as(r)
    reached, best = r.nan_to_num(-2).max(dim=0)
    known = torch.isfinite(r).any(dim=0)
    return torch.where(known, alphas[best], rule.alpha_without_validation), torch.where(known, reached, torch.nan)


def validation_r(sums: LayerSums, alphas: Sequence[float]) -> Float[Tensor, "alpha channel"]:
    """Return the mean over folds and speakers of r under each alpha; NaN where there is none."""
    nothing = torch.full((len(alphas), sums.num_channels), torch.nan, dtype=torch.float64, device=sums.device)
    found = [nothing]
    for train, speakers in sums.division.folds:
        fitted, *validated = sums.of([train, *speakers])
        weights = nothing.new_full((len(alphas), sums.width, sums.num_channels), torch.nan)
        for channels, part in fitted:
            if part.n > 1:
                weights[:, :, channels], _ = solve(part, alphas)
        for speaker in validated:
            r = nothing.clone()
            for channels, part in speaker:
                if part.n > 1:
                    r[:, channels] = correlation(part, weights[:, :, channels])
            found.append(r)
    return torch.stack(found).nanmean(dim=0)


def score(sums: LayerSums, fit: Fit) -> Scores:
    """Return a head's scores on each test group of the division, (1, group, channel), in the channels' units."""
    division, tested = sums.division, list(sums.division.test.values())
    moments = np.zeros((6, 1, len(tested), sums.num_channels))
    for number, (selection, parts) in enumerate(zip(tested, sums.of(tested), strict=True)):
        group = int(np.flatnonzero(selection)[0])  # all are of one speaker
        for channels, part in parts:
            mean, sd = division.mean[group, channels], division.sd[group, channels]
            standardised = [one.cpu().numpy() for one in _predicted(part, fit.weight[:, channels], fit.bias[channels])]
            moments[:, 0, number, channels] = _in_units(part.n, *standardised, mean=mean, sd=sd)
    return scores_from_sums(*torch.from_numpy(moments))


def _predicted(
    part: Sums, weight: Float[Tensor, "width channel"], bias: Float[Tensor, " channel"]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return Σp, Σy, Σp², Σy², Σpy of predictions p = xw + b and standardised targets y."""
    along = part.x @ weight
    squares = (weight * (part.xx @ weight)).sum(dim=0) + 2 * bias * along + part.n * bias.square()
    products = (weight * part.xy).sum(dim=0) + bias * part.y
    return along + part.n * bias, part.y, squares, part.yy, products


def _in_units(
    n: int,
    x: np.ndarray,
    y: np.ndarray,
    xx: np.ndarray,
    yy: np.ndarray,
    xy: np.ndarray,
    *,
    mean: np.ndarray,
    sd: np.ndarray,
) -> np.ndarray:
    """Return n and the sums of x' = sd x + mean and y' = sd y + mean."""
    count = np.full_like(x, n)
    squared = [sd**2 * both + sd * mean * (one + other) + n * mean**2 for both, one, other in
               ((xx, x, x), (yy, y, y), (xy, x, y))]  # fmt: skip
    return np.stack([count, sd * x + n * mean, sd * y + n * mean, *squared])


def _moments(store: SumStore, chosen: Selection) -> Float[np.ndarray, "3 channel"] | None:
    """Return count, sum and sum of squares of some groups' targets; ``None`` if there are no groups."""
    return (
        np.stack([values[chosen].sum(axis=0) for values in (store.count, store.y, store.yy)]) if chosen.any() else None
    )
