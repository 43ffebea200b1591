"""The linear engine: heads and their scores for any division of the data, from moments of groups alone.

Whatever was passed over once (``accumulate``) can be divided anew: what is fitted, chosen and tested on are sets of
groups, whose moments are added up by one matrix product for all sets. Targets, kept in their own units, are
standardised per speaker afterwards, as (y - m) / s only moves and scales Σxy and Σy. Ridge solutions for all alphas
follow from one transformation of each set's Σxxᵀ; correlations and errors on groups kept aside follow from the moments
of these. The package's docstring has a legend of shapes.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tractprobe.data.splits import Split
from tractprobe.encoders.layers import Label
from tractprobe.probes.fitted import Fitted, new_head
from tractprobe.probes.heads import Head
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.accumulate import partition, sum_groups
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.linear.selection import ChannelMoments, Division, KeptMoments, LayerMoments
from tractprobe.probes.linear.solver import Moments, correlation, solve
from tractprobe.probes.problem import Problem
from tractprobe.probes.scores import Scores, for_choice, scores_from_sums
from tractprobe.probes.states import HiddenStates
from tractprobe.runs.result import FitReport
from tractprobe.system.errors import ConfigError
from tractprobe.system.progress import progress
from tractprobe.system.threads import concurrently

log = logging.getLogger(__name__)

_ADDED_BYTES = 1 << 29  # of Σxxᵀ of the sets that are fitted, at a time


@dataclass(frozen=True, eq=False)
class Solution:
    """A fitted head of one layer; NaN for a channel that no fitted frame had.

    Attributes
    ----------
    validation_r
        Under the chosen alpha, by which layers can be compared; NaN where nothing was chosen.
    """

    weight: Float[Tensor, "width channel"]
    bias: Float[Tensor, " channel"]
    alpha: Float[Tensor, " channel"]
    validation_r: Float[Tensor, " channel"]


def fit(
    problems: Sequence[Problem],
    states: HiddenStates,
    device: torch.device,
    kept_apart: Sequence[Split] | None = None,
) -> list[Fitted]:
    """Fit and score the closed-form heads of problems that differ in their splits only.

    The frames are passed over once, for all inputs and problems.

    Parameters
    ----------
    kept_apart
        Splits, the problems' among them, that may be asked for at some time: none of them cuts through a group.
    """
    first = problems[0]
    heads = [new_head(problem) for problem in problems]
    rule = heads[0]
    assert isinstance(rule, Ridge)
    if not rule.per_channel and len(first.targets.names) > 1:
        raise ConfigError("head.alpha_per_channel=false chooses one alpha for all: give one set of targets")
    settings = first.settings
    groups = partition(first.corpora, kept_apart or [problem.split for problem in problems])
    place = settings.paths.cache / "sums"
    store = sum_groups(states, first.corpora, groups, first.targets, first.inputs, place, settings.data, device)
    as_they_are = first.targets.as_they_are
    divisions = [Division.of(problem.split, store, as_they_are) for problem in problems]
    solved = [
        fit_divisions(store, str(label), divisions, rule, device)
        for label in progress(first.labels, "fitting ridge", unit="layer")
    ]
    by_problem = zip(*solved, strict=True)
    return [
        _fitted(problem, states, head, division, solutions)
        for problem, head, division, solutions in zip(problems, heads, divisions, by_problem, strict=True)
    ]


def _fitted(
    problem: Problem, states: HiddenStates, head: Head, division: Division, solved: Sequence[tuple[Solution, Scores]]
) -> Fitted:
    """Put the solutions of a problem's inputs into its head."""
    assert isinstance(head, Ridge)
    for index, (solution, _) in enumerate(solved):
        head.take(index, solution.weight, solution.bias)
    of_choice = problem.targets.first
    r = by_layer(problem.labels, torch.stack([solution.validation_r[of_choice] for solution, _ in solved]))
    report: FitReport = {
        "alpha": [[_or_none(alpha) for alpha in solution.alpha.tolist()] for solution, _ in solved],
        "best_validation_r": [_or_none(value) for value in r.tolist()],
    }
    scores = Scores.stacked([reached for _, reached in solved])
    rows = scores.rows(problem.labels, tuple(division.test), problem.targets.channels)
    return Fitted(problem, states, head, dict(division.scales), report, lambda: rows)


def by_layer(labels: Sequence[Label], r: Float[Tensor, "layer channel"]) -> Float[Tensor, " layer"]:
    """Return each layer's mean over channels; one that a layer lacks and another has counts as 0, with a word."""
    filled = for_choice(r, r.isfinite().any(dim=0, keepdim=True), over=1)
    for label, undefined in zip(labels, (r.isnan() & (filled == 0)).sum(dim=1).tolist(), strict=True):
        if undefined:
            log.warning("layer %s: validation r of %d channels is undefined and counts as 0", label, undefined)
    return filled.nanmean(dim=1)


def _or_none(value: float) -> float | None:
    return value if value == value else None


def fit_divisions(
    store: MomentStore,
    name: str,
    divisions: Sequence[Division],
    rule: Ridge,
    device: torch.device | str = "cpu",
    sizes: Sequence[Float[Tensor, " width"]] | None = None,
) -> list[tuple[Solution, Scores]]:
    """Fit and score an input's head under each division, on the CPU side by side; ``sizes`` of each as in ``solve``."""

    def solved(
        moments: LayerMoments, triangles: Float[np.ndarray, "set half"], sizes: Tensor | None
    ) -> tuple[Solution, Scores]:
        solution = fit_head(moments, rule, triangles, sizes)
        return solution, score(moments, solution)

    each = concurrently if torch.device(device).type == "cpu" else map
    kept = KeptMoments()
    divided = [LayerMoments(store, name, division, device, kept) for division in divisions]
    own = iter([None] * len(divided) if sizes is None else sizes)
    return [
        result
        for part, triangles in _added_up(divided)
        for result in each(solved, part, triangles, [next(own) for _ in part])
    ]


def _added_up(
    divided: Sequence[LayerMoments],
) -> Iterator[tuple[list[LayerMoments], list[Float[np.ndarray, "set half"]]]]:
    """Yield moments under divisions with Σxxᵀ of their sets to fit: from one reading, as many as memory should hold."""
    left = list(divided)
    while left:
        bytes_each = [len(moments.row_weights) * 4 * moments.width * (moments.width + 1) for moments in left]
        part = left[: max(1, int((np.cumsum(bytes_each) <= _ADDED_BYTES).sum()))]
        left = left[len(part) :]
        yield part, part[0].rows.triangles([moments.row_weights for moments in part])


def fit_head(
    moments: LayerMoments,
    rule: Ridge,
    triangles: Float[np.ndarray, "set half"] | None = None,
    sizes: Float[Tensor, " width"] | None = None,
) -> Solution:
    """Choose alphas by r on what folds keep aside, then fit the whole development side; ``sizes`` as in ``solve``."""
    *folds, development = moments.to_fit(triangles)
    chosen, reached = _choose(moments, folds, rule, sizes)
    nothing = torch.full_like(chosen, torch.nan)
    weight = chosen.new_zeros(moments.width, moments.num_channels)
    solution = Solution(weight, nothing, nothing.clone(), reached)
    for channels, part in development:
        if part.n > 1:
            alphas, which = chosen[channels].unique(return_inverse=True)
            weights, biases = solve(part, alphas.tolist(), sizes)
            columns = torch.arange(len(channels), device=which.device)
            solution.weight[:, channels] = weights[which, :, columns].T
            solution.bias[channels] = biases[which, columns]
            solution.alpha[channels] = alphas[which]
    return solution


def _choose(
    moments: LayerMoments, folds: Sequence[ChannelMoments], rule: Ridge, sizes: Float[Tensor, " width"] | None
) -> tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]:
    """Return an alpha for each channel, the only one or the best, and its validation r, by which layers compare."""
    alphas = torch.tensor(rule.alphas, dtype=torch.float64, device=moments.device)
    r = validation_r(moments, folds, rule.alphas, sizes)
    if not rule.per_channel:
        r = for_choice(r, r.isfinite().any(dim=0, keepdim=True), over=1).nanmean(dim=1, keepdim=True).expand_as(r)
    reached, which = r.nan_to_num(-2).max(dim=0)
    chosen = torch.isfinite(r).any(dim=0)
    otherwise = rule.alphas[0] if len(alphas) == 1 else rule.alpha_without_validation
    alpha = torch.where(chosen, alphas[which], otherwise)
    return alpha, reached.masked_fill(~chosen, torch.nan)


def validation_r(
    moments: LayerMoments,
    folds: Sequence[ChannelMoments],
    alphas: Sequence[float],
    sizes: Float[Tensor, " width"] | None = None,
) -> Float[Tensor, "alpha channel"]:
    """Return the mean over folds and speakers of r under each alpha; NaN where there is none."""
    nothing = torch.full((len(alphas), moments.num_channels), torch.nan, dtype=torch.float64, device=moments.device)
    of_speakers = [nothing[None]]
    for fitted, (_, speakers) in zip(folds, moments.division.folds, strict=True):
        weights = nothing.new_full((len(alphas), moments.width, moments.num_channels), torch.nan)
        for channels, part in fitted:
            if part.n > 1:
                weights[:, :, channels], _ = solve(part, alphas, sizes)
        r = nothing.repeat(len(speakers), 1, 1)
        for channels, which, parts in moments.of_each(speakers):
            r[np.ix_(which, range(len(alphas)), channels)] = correlation(parts, weights[:, :, channels])
        of_speakers.append(r)
    r = torch.cat(of_speakers)
    return for_choice(r, r.isfinite().any(dim=1, keepdim=True), over=0).nanmean(dim=0)


def score(moments: LayerMoments, solution: Solution) -> Scores:
    """Return a head's scores on each test group of the division, (1, group, channel), in the channels' units."""
    division, tested = moments.division, list(moments.division.test.values())
    score_sums = np.zeros((6, 1, len(tested), moments.num_channels))
    for number, selection in enumerate(tested):
        group = int(np.flatnonzero(selection)[0])  # all are of one speaker
        for channels, part in moments.of(selection):
            mean, sd = division.mean[group, channels], division.sd[group, channels]
            standardised = [
                total.cpu().numpy() for total in _predicted(part, solution.weight[:, channels], solution.bias[channels])
            ]
            score_sums[:, 0, number, channels] = _in_units(part.n, *standardised, mean=mean, sd=sd)
    return scores_from_sums(*torch.from_numpy(score_sums))


def _predicted(
    part: Moments, weight: Float[Tensor, "width channel"], bias: Float[Tensor, " channel"]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return Σp, Σy, Σp², Σy², Σpy of predictions p = xw + b and standardised targets y."""
    along = part.x @ weight
    products = (weight * part.xy).sum(dim=0) + bias * part.y
    return along + part.n * bias, part.y, part.squares(weight, -bias), part.yy, products


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
    squared = [sd**2 * product + sd * mean * (left + right) + n * mean**2 for product, left, right in
               ((xx, x, x), (yy, y, y), (xy, x, y))]  # fmt: skip
    return np.stack([count, sd * x + n * mean, sd * y + n * mean, *squared])
