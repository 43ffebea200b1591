"""Linear heads in closed form, from additive second moments.

One pass over the frames gives, for each layer and part of the data, n, Σx, Σy, Σxxᵀ, Σxyᵀ and Σy² in float64. Sums of
parts add and subtract, and everything linear follows from them without the frames: the ridge solution for every alpha
from one eigendecomposition, and the correlation it reaches on a part that was kept aside.

With inputs standardised by the fitted part's own mean μ and deviation σ, Z = (X - μ) / σ, and targets centred,

    W(α) = (ZᵀZ + α I)⁻¹ Zᵀ(Y - ȳ),

which is scikit-learn's ``Ridge(alpha)`` on ``StandardScaler``'s output.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tractprobe.datamodule import Batch, EmaData
from tractprobe.errors import ConfigError
from tractprobe.progress import progress

Mask = tuple[bool, ...]


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
    """Sums of frames that may lack channels: one ``Sums`` for each set of channels that occurs together.

    A channel is fitted on all frames that have it, whichever others they lack.
    """

    def __init__(self, parts: dict[Mask, Sums] | None = None):
        self.parts = parts or {}

    def include(
        self,
        x: Float[Tensor, "frame width"],
        y: Float[Tensor, "frame channel"],
        valid: Bool[Tensor, "frame channel"],
    ) -> None:
        """Add frames, in place; what is not valid may hold any number."""
        patterns, which = torch.unique(valid, dim=0, return_inverse=True)
        for index, pattern in enumerate(patterns):
            if pattern.any():
                mask, rows = tuple(pattern.tolist()), which == index
                if mask not in self.parts:
                    self.parts[mask] = Sums.zero(x.shape[1], y.shape[1], x.device)
                self.parts[mask].include(x[rows], y[rows])

    def __add__(self, other: "MaskedSums") -> "MaskedSums":
        merged = dict(self.parts)
        for mask, sums in other.parts.items():
            merged[mask] = merged[mask] + sums if mask in merged else sums
        return MaskedSums(merged)

    def by_channels(self) -> list[tuple[list[int], Sums]]:
        """Return (channels, their sums) for each set of channels that have the same frames."""
        together: dict[tuple[Mask, ...], list[int]] = {}
        for channel in range(len(next(iter(self.parts), ()))):
            masks = tuple(mask for mask in self.parts if mask[channel])
            if masks:
                together.setdefault(masks, []).append(channel)
        return [
            (channels, reduce(add, (self.parts[mask].only(channels) for mask in masks)))
            for masks, channels in together.items()
        ]


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


@dataclass(frozen=True, eq=False)
class Parts:
    """A layer's sums: to choose on, and to refit on."""

    train: MaskedSums
    validation: dict[str, MaskedSums]
    development: MaskedSums


def gather(data: EmaData, states_of: Callable[[Batch], Float[Tensor, "layer batch time width"]]) -> list[Parts]:
    """Pass once over the development side and return each layer's sums."""
    train, validation = set(data.split.train), set(data.split.validation)
    kinds: list[dict[str, MaskedSums]] = []
    for batch in progress(data.development_dataloader(), "summing frames", unit="batch"):
        states = states_of(batch)
        kinds = kinds or [defaultdict(MaskedSums) for _ in states]
        for row, id_ in enumerate(batch.ids):
            kind = "train" if id_ in train else data.entries[id_].speaker if id_ in validation else "unused"
            for layer, sums in zip(states[:, row], kinds, strict=True):
                sums[kind].include(layer, batch.target[row], batch.valid[row])
    return [_parts(sums) for sums in kinds]


def _parts(sums: dict[str, MaskedSums]) -> Parts:
    return Parts(
        train=sums.get("train", MaskedSums()),
        validation={speaker: part for speaker, part in sums.items() if "/" in speaker},
        development=reduce(add, sums.values()),
    )


class Ridge(nn.Module):
    """One linear map per layer, inputs to standardised targets.

    Alpha is chosen by the mean over validation speakers of r, fitting on the training part; the map is then refitted on
    the whole development side, validation included.

    Parameters
    ----------
    alphas
        Candidates; penalties on standardised inputs, for sums over frames.
    alpha_per_channel
        Choose for each channel, or one for all.
    alpha_without_validation
        Taken where nothing can be chosen, because the split leaves no validation utterance with the channel.
    """

    closed_form = True
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

    def fit(self, parts: Sequence[Parts]) -> Float[Tensor, "layer channel"]:
        """Fit every layer from its sums; return the alphas, NaN for a channel that no frame has."""
        chosen = torch.full_like(self.bias, torch.nan)
        for layer, part in enumerate(parts):
            wanted = self._choose(part)
            for channels, sums in part.development.by_channels():
                alphas, which = wanted[channels].unique(return_inverse=True)
                weights, biases = solve(sums, alphas.tolist())
                for column, channel in enumerate(channels):
                    self.weight[layer, :, channel] = weights[which[column], :, column]
                    self.bias[layer, channel] = biases[which[column], column]
                    chosen[layer, channel] = alphas[which[column]]
        return chosen

    def _choose(self, part: Parts) -> Float[Tensor, " channel"]:
        """Return an alpha for each channel."""
        alphas = torch.tensor(self.alphas, dtype=torch.float64, device=self.bias.device)
        if len(alphas) == 1:
            return alphas.expand(self.bias.shape[1])
        r = self._validation_r(part)
        if not self.per_channel:
            r = r.nanmean(dim=1, keepdim=True).expand_as(r)
        best = alphas[r.nan_to_num(-2).argmax(dim=0)]
        return torch.where(torch.isfinite(r).any(dim=0), best, self.alpha_without_validation)

    def _validation_r(self, part: Parts) -> Float[Tensor, "alpha channel"]:
        """Return the mean over validation speakers of r under each alpha; NaN where there is none."""
        num_alphas, (width, num_channels) = len(self.alphas), self.weight.shape[1:]
        weights = self.weight.new_full((num_alphas, width, num_channels), torch.nan)
        for channels, sums in part.train.by_channels():
            weights[:, :, channels], _ = solve(sums, self.alphas)
        r = self.weight.new_full((max(1, len(part.validation)), num_alphas, num_channels), torch.nan)
        for row, speaker in zip(r, part.validation.values(), strict=False):
            for channels, sums in speaker.by_channels():
                row[:, channels] = correlation(sums, weights[:, :, channels])
        return r.nanmean(dim=0)
