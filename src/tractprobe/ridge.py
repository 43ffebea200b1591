"""Linear heads in closed form, from additive second moments.

One pass over the frames gives, for each layer and part of the data, n, Σx, Σy, Σxxᵀ, Σxyᵀ and Σy² in float64. Sums of
parts add and subtract, and everything linear follows from them without the frames: the ridge solution for every alpha
from one eigendecomposition, and the correlation it reaches on a part that was kept aside.

With inputs standardised by the fitted part's own mean μ and deviation σ, Z = (X - μ) / σ, and targets centred,

    W(α) = (ZᵀZ + α I)⁻¹ Zᵀ(Y - ȳ),

which is scikit-learn's ``Ridge(alpha)`` on ``StandardScaler``'s output.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tractprobe.datamodule import Batch, EmaData
from tractprobe.errors import ConfigError
from tractprobe.progress import progress


@dataclass(eq=False)
class Sums:
    """First and second moments of some frames' inputs x and targets y, float64."""

    n: int
    x: Float[Tensor, " width"]
    y: Float[Tensor, " channel"]
    xx: Float[Tensor, "width width"]
    xy: Float[Tensor, "width channel"]
    yy: Float[Tensor, " channel"]

    @classmethod
    def zero(cls, width: int, channels: int, device: torch.device | str = "cpu") -> "Sums":
        """Return the sums of no frames."""
        shapes = [(width,), (channels,), (width, width), (width, channels), (channels,)]
        return cls(0, *(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))

    def include(self, x: Float[Tensor, "frame width"], y: Float[Tensor, "frame channel"]) -> None:
        """Add frames, in place."""
        x, y = x.double(), y.double()
        self.n += len(x)
        self.x += x.sum(0)
        self.y += y.sum(0)
        self.xx.addmm_(x.T, x)
        self.xy.addmm_(x.T, y)
        self.yy += y.square().sum(0)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) - getattr(other, name) for name in vars(self)))

    def only(self, channels: Sequence[int]) -> "Sums":
        """Return the sums of some targets."""
        index = torch.tensor(channels, device=self.y.device)
        return Sums(self.n, self.x, self.y[index], self.xx, self.xy[:, index], self.yy[index])


class MaskedSums:
    """Sums of frames that may lack channels; each channel is fitted on all frames that have it.

    Kept are the sums of all frames, with lacking targets counted as 0, and for each sensor that was ever lost (a pair
    of neighbouring channels, x and y) the inputs of the frames without it, which are subtracted again. So a matrix is
    added for each sensor with losses, not for each combination of them.
    """

    def __init__(self, every: Sums, lost: "dict[tuple[int, ...], Sums] | None" = None):
        self.every = every
        self.lost = lost or {}

    @classmethod
    def zero(cls, width: int, channels: int, device: torch.device | str = "cpu") -> "MaskedSums":
        """Return the sums of no frames."""
        return cls(Sums.zero(width, channels, device))

    def include(
        self,
        x: Float[Tensor, "frame width"],
        y: Float[Tensor, "frame channel"],
        valid: Bool[Tensor, "frame channel"],
    ) -> None:
        """Add frames, in place; what is not valid may hold any number."""
        used = valid.any(dim=1)
        x, y, valid = x[used], torch.where(valid, y, 0)[used], valid[used]
        self.every.include(x, y)
        for channels in _sensors(valid):
            missing = ~valid[:, channels[0]]
            if missing.any():
                if channels not in self.lost:
                    self.lost[channels] = Sums.zero(x.shape[1], 0, x.device)
                self.lost[channels].include(x[missing], y[missing, :0])

    def __add__(self, other: "MaskedSums") -> "MaskedSums":
        merged = dict(self.lost)
        for channels, sums in other.lost.items():
            merged[channels] = merged[channels] + sums if channels in merged else sums
        return MaskedSums(self.every + other.every, merged)

    def by_channels(self) -> list[tuple[list[int], Sums]]:
        """Return (channels, their sums) for each set of channels that have the same frames."""
        together: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for channel in range(len(self.every.y)):
            together.setdefault(tuple(key for key in self.lost if channel in key), []).append(channel)
        found = [(channels, self._without(keys, channels)) for keys, channels in together.items()]
        return [(channels, sums) for channels, sums in found if sums.n > 1]

    def _without(self, keys: tuple[tuple[int, ...], ...], channels: list[int]) -> Sums:
        sums = self.every.only(channels)
        for lost in (self.lost[key] for key in keys):
            sums = replace(sums, n=sums.n - lost.n, x=sums.x - lost.x, xx=sums.xx - lost.xx)
        return sums


def _sensors(valid: Bool[Tensor, "frame channel"]) -> list[tuple[int, ...]]:
    """Return channels in pairs, x and y of a sensor, or by themselves where the two were not lost together."""
    sensors: list[tuple[int, ...]] = []
    for first in range(0, valid.shape[1], 2):
        pair = tuple(range(first, min(first + 2, valid.shape[1])))
        together = all(torch.equal(valid[:, first], valid[:, other]) for other in pair)
        sensors += [pair] if together else [(channel,) for channel in pair]
    return sensors


def solve(
    sums: Sums, alphas: Sequence[float]
) -> tuple[Float[Tensor, "alpha width channel"], Float[Tensor, "alpha channel"]]:
    """Return weights and intercepts, for inputs as they are, of the ridge solution for each alpha.

    A feature that is constant in the fitted frames gets weight 0.
    """
    mean_x, mean_y = sums.x / sums.n, sums.y / sums.n
    scatter = sums.xx - sums.n * torch.outer(mean_x, mean_x)
    deviation = (scatter.diagonal().clamp(min=0) / sums.n).sqrt()
    constant = deviation <= 1e-9 * (sums.xx.diagonal() / sums.n).sqrt()
    inverse = torch.where(constant, 0.0, 1 / deviation)
    gram = scatter * torch.outer(inverse, inverse)
    cross = (sums.xy - sums.n * torch.outer(mean_x, mean_y)) * inverse[:, None]
    eigenvalues, vectors = torch.linalg.eigh(gram)
    shrunk = (vectors.T @ cross) / (
        eigenvalues.clamp(min=0)[:, None]
        + torch.tensor(list(alphas), dtype=torch.float64, device=gram.device)[:, None, None]
    )
    weights = inverse[:, None] * (vectors @ shrunk)
    return weights, mean_y - mean_x @ weights


def correlation(sums: Sums, weights: Float[Tensor, "alpha width channel"]) -> Float[Tensor, "alpha channel"]:
    """Return the correlation that linear predictions x·w reach on the frames of the sums; NaN without variance.

    r = wᵀ Sxy / √(wᵀ Sxx w · Syy) with the centred sums S.
    """
    scatter = sums.xx - torch.outer(sums.x, sums.x) / sums.n
    cross = sums.xy - torch.outer(sums.x, sums.y) / sums.n
    total = sums.yy - sums.y.square() / sums.n
    covariance = torch.einsum("awc,wc->ac", weights, cross)
    spread = torch.einsum("awc,awc->ac", weights, scatter @ weights)
    return covariance / (spread * total).sqrt()


@dataclass(frozen=True)
class Membership:
    """In which folds some utterances are fitted on, and in which they are validated on, as utterances of whom."""

    train: frozenset[int]
    validation: frozenset[int]
    speaker: str | None


class GroupSums:
    """A layer's sums by membership in the folds, from which those of any fold are added up."""

    def __init__(self, groups: dict[Membership, MaskedSums], num_folds: int):
        self.groups, self.num_folds = groups, num_folds

    def development(self) -> MaskedSums:
        """Return the sums of everything."""
        return reduce(add, self.groups.values())

    def train(self, fold: int) -> MaskedSums:
        """Return the sums of what a fold is fitted on."""
        return reduce(add, (sums for group, sums in self.groups.items() if fold in group.train))

    def validation(self, fold: int) -> dict[str, MaskedSums]:
        """Return the sums of what a fold is validated on, for each speaker."""
        speakers: dict[str, MaskedSums] = {}
        for group, sums in self.groups.items():
            if fold in group.validation and group.speaker is not None:
                known = speakers.get(group.speaker)
                speakers[group.speaker] = sums if known is None else known + sums
        return speakers


def gather(data: EmaData, states_of: Callable[[Batch], Float[Tensor, "layer batch time width"]]) -> list[GroupSums]:
    """Pass once over the development side and return each layer's sums."""
    folds = [(set(fold.train), set(fold.validation)) for fold in data.split.folds]
    layers: list[dict[Membership, MaskedSums]] = []
    for batch in progress(data.development_dataloader(), "summing frames", unit="batch"):
        states = states_of(batch)
        layers = layers or [{} for _ in states]
        for row, id_ in enumerate(batch.ids):
            train, validation = (frozenset(k for k, fold in enumerate(folds) if id_ in fold[side]) for side in (0, 1))
            group = Membership(train, validation, data.entries[id_].speaker if validation else None)
            target, valid = batch.target[row], batch.valid[row]
            for sums, inputs in zip(layers, states[:, row], strict=True):
                if group not in sums:
                    sums[group] = MaskedSums.zero(inputs.shape[1], target.shape[1], inputs.device)
                sums[group].include(inputs, target, valid)
    return [GroupSums(sums, len(folds)) for sums in layers]


class Ridge(nn.Module):
    """One linear map per layer, inputs to standardised targets.

    Alpha is chosen by r on what the folds of the split keep aside, averaged over speakers; the map is then refitted on
    the whole development side.

    Parameters
    ----------
    alphas
        Candidates; penalties on standardised inputs, for sums over frames.
    alpha_per_channel
        Choose for each channel, or one for all.
    alpha_without_validation
        Taken where nothing can be chosen, because no fold has the channel to fit and to validate on.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        num_layers: int,
        width: int,
        num_channels: int,
        alphas: Sequence[float],
        alpha_per_channel: bool = True,
        alpha_without_validation: float = 1000.0,
    ):
        super().__init__()
        if not alphas or min(*alphas, alpha_without_validation) <= 0:
            raise ConfigError("head.alphas and head.alpha_without_validation are positive")
        self.alphas, self.per_channel = sorted(map(float, alphas)), alpha_per_channel
        self.alpha_without_validation = float(alpha_without_validation)
        self.register_buffer("weight", torch.zeros(num_layers, width, num_channels, dtype=torch.float64))
        self.register_buffer("bias", torch.full((num_layers, num_channels), torch.nan, dtype=torch.float64))

    def forward(self, states: Float[Tensor, "layer batch time width"]) -> Float[Tensor, "layer batch time channel"]:
        """Predict standardised targets; NaN for a channel that no fitted frame had."""
        layers, batch, time, width = states.shape
        flat = states.to(self.weight).reshape(layers, batch * time, width)
        return torch.baddbmm(self.bias[:, None], flat, self.weight).view(layers, batch, time, -1)

    def fit(self, layers: Sequence[GroupSums]) -> Float[Tensor, "layer channel"]:
        """Fit every layer from its sums; return the alphas, NaN for a channel that no frame has."""
        chosen = torch.full_like(self.bias, torch.nan)
        for layer, groups in enumerate(progress(layers, "fitting ridge", unit="layer")):
            wanted = self._choose(groups)
            for channels, sums in groups.development().by_channels():
                alphas, which = wanted[channels].unique(return_inverse=True)
                weights, biases = solve(sums, alphas.tolist())
                for column, channel in enumerate(channels):
                    self.weight[layer, :, channel] = weights[which[column], :, column]
                    self.bias[layer, channel] = biases[which[column], column]
                    chosen[layer, channel] = alphas[which[column]]
        return chosen

    def _choose(self, groups: GroupSums) -> Float[Tensor, " channel"]:
        """Return an alpha for each channel."""
        alphas = torch.tensor(self.alphas, dtype=torch.float64, device=self.bias.device)
        if len(alphas) == 1:
            return alphas.expand(self.bias.shape[1])
        r = self.validation_r(groups)
        if not self.per_channel:
            r = r.nanmean(dim=1, keepdim=True).expand_as(r)
        best = alphas[r.nan_to_num(-2).argmax(dim=0)]
        return torch.where(torch.isfinite(r).any(dim=0), best, self.alpha_without_validation)

    def validation_r(self, groups: GroupSums) -> Float[Tensor, "alpha channel"]:
        """Return the mean over folds and speakers of r under each alpha; NaN where there is none."""
        num_alphas, (width, num_channels) = len(self.alphas), self.weight.shape[1:]
        found = [self.weight.new_full((num_alphas, num_channels), torch.nan)]
        for fold in range(groups.num_folds):
            weights = self.weight.new_full((num_alphas, width, num_channels), torch.nan)
            for channels, sums in groups.train(fold).by_channels():
                weights[:, :, channels], _ = solve(sums, self.alphas)
            for speaker in groups.validation(fold).values():
                r = torch.full_like(found[0], torch.nan)
                for channels, sums in speaker.by_channels():
                    r[:, channels] = correlation(sums, weights[:, :, channels])
                found.append(r)
        return torch.stack(found).nanmean(dim=0)
