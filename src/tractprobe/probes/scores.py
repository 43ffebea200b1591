"""How well predicted positions follow measured ones: sums in float64 from which every reported number follows.

Predictions and targets are in the channels' units. Sums are kept for each layer, group (such as a speaker in a
language) and channel, and merge exactly across batches and ranks, so that no number depends on how frames were
divided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tractprobe.data.groups import GroupKey
from tractprobe.data.targets import Channel
from tractprobe.encoders.layers import Label
from tractprobe.runs.result import ScoreRow

Table = Float[Tensor, "layer group channel"]


@dataclass(frozen=True, eq=False)
class Scores:
    """What the sums amount to; NaN where there are too few frames, or no variance, for the number to exist.

    Attributes
    ----------
    n_frames
        Valid frames.
    r
        Pearson correlation, pooled over the group's frames.
    rmse
        Root mean squared error, in the channel's unit.
    r2
        Coefficient of determination, 1 - SS_residual / SS_total, against the group's own mean.
    ccc
        Concordance correlation coefficient (Lin 1989).
    mean_predicted, mean_measured, sd_predicted, sd_measured
        Of the frames, in the channel's unit; with ``n_frames`` and ``r`` they give the sums back.
    """

    n_frames: Table
    r: Table
    rmse: Table
    r2: Table
    ccc: Table
    mean_predicted: Table
    mean_measured: Table
    sd_predicted: Table
    sd_measured: Table

    @classmethod
    def stacked(cls, layers: Sequence["Scores"]) -> "Scores":
        """Return the scores of several layers as one."""
        return cls(*(torch.cat([getattr(scores, name) for scores in layers]) for name in cls.__annotations__))

    def rows(self, layers: Sequence[Label], groups: Sequence[GroupKey], channels: Sequence[Channel]) -> list[ScoreRow]:
        """Return a row for each layer, (corpus, language, speaker) and channel with frames; None where undefined."""
        rows = []
        for index in (self.n_frames > 0).nonzero().tolist():
            layer, group, channel = index
            corpus, language, speaker = groups[group]
            target = channels[channel]
            numbers = {name: float(table[layer, group, channel]) for name, table in vars(self).items()}
            n_frames = int(numbers.pop("n_frames"))
            rows.append({
                "layer": layers[layer], "corpus": corpus, "language": language, "speaker": speaker,
                "target": target.target, "channel": target.name, "unit": target.unit,
                "n_frames": n_frames,
                **{name: number if math.isfinite(number) else None for name, number in numbers.items()},
            })  # fmt: skip
        return rows


def for_choice(
    r: Float[Tensor, "*shape"], expected: Bool[Tensor, "*#shape"], over: int | tuple[int, ...]
) -> Float[Tensor, "*shape"]:
    """Return r with 0 where it is expected and undefined: left out of a mean, it would favour whoever lacks it.

    A prediction that does not vary follows nothing. A candidate that has no r at all keeps none.

    Parameters
    ----------
    expected
        Where the measured channel varies, or another candidate has an r.
    over
        The axes that a candidate's mean is taken over.

    >>> r = torch.tensor([[0.9, torch.nan], [0.6, 0.6], [torch.nan, torch.nan]])
    >>> for_choice(r, r.isfinite().any(dim=0, keepdim=True), over=1).tolist()[:2]
    [[0.8999999761581421, 0.0], [0.6000000238418579, 0.6000000238418579]]
    """
    has_some = r.isfinite().any(dim=over, keepdim=True)
    return torch.where(r.isnan() & expected & has_some, 0, r)


def scores_from_sums(n: Table, x: Table, y: Table, xx: Table, yy: Table, xy: Table) -> Scores:
    """Return the scores from count, sums, and sums of squares and products of predictions x and targets y."""
    missing = torch.full_like(n, torch.nan)

    def where_defined(values: Table, least: int = 1, *positive: Table) -> Table:
        defined = n >= least
        for term in positive:
            defined = defined & (term > 0)
        return torch.where(defined, values, missing)

    mean_x, mean_y = x / n, y / n
    var_x, var_y = _variance(n, x, xx), _variance(n, y, yy)
    covariance = xy / n - mean_x * mean_y
    squared_error = (xx - 2 * xy + yy).clamp(min=0) / n
    return Scores(
        n_frames=n,
        r=where_defined((covariance / (var_x * var_y).sqrt()).clamp(-1, 1), 2, var_x, var_y),
        rmse=where_defined(squared_error.sqrt()),
        r2=where_defined(1 - squared_error / var_y, 2, var_y),
        ccc=where_defined(2 * covariance / (var_x + var_y + (mean_x - mean_y).square()), 2, var_y),
        mean_predicted=where_defined(mean_x),
        mean_measured=where_defined(mean_y),
        sd_predicted=where_defined(var_x.sqrt()),
        sd_measured=where_defined(var_y.sqrt()),
    )


def _variance(n: Table, total: Table, squares: Table) -> Table:
    """Return the variance, zero where it is no more than rounding leaves of a constant."""
    mean_square, mean = squares / n, total / n
    variance = mean_square - mean.square()
    return torch.where(variance > 1e-12 * mean_square, variance, 0)
