"""The linear engine: heads and their scores for any division of the data, from sums of groups alone.

Whatever was passed over once (``sums``) can be divided anew: what is fitted, chosen and tested on are sets of groups,
whose sums are added up by one matrix product for all sets. Targets, kept in their own units, are standardised per
speaker afterwards, as (y - m) / s only moves and scales Σxy and Σy. Ridge solutions for all alphas follow from one
transformation of each set's Σxxᵀ, correlations and errors on groups kept aside from their sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tractprobe.data.splits import Split
from tractprobe.probes.fitted import Fitted, new_head
from tractprobe.probes.heads import Head
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.accumulate import partition, sum_groups
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.linear.selection import ChannelSums, Division, LayerSums
from tractprobe.probes.linear.solver import Held, correlation, solve
from tractprobe.probes.problem import Problem
from tractprobe.probes.scores import Scores, scores_from_sums
from tractprobe.probes.states import HiddenStates
from tractprobe.runs.result import FitReport
from tractprobe.system.errors import ConfigError
from tractprobe.system.progress import progress
from tractprobe.system.threads import concurrently

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
        Splits, the problems' among them, that may all be asked for some time: groups are made so that none cuts
        through one.
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
    divisions = [Division.of(problem.split, store) for problem in problems]
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
    r = [float(solution.validation_r[problem.targets.first].nanmean()) for solution, _ in solved]
    report: FitReport = {
        "alpha": [[_or_none(alpha) for alpha in solution.alpha.tolist()] for solution, _ in solved],
        "best_validation_r": [_or_none(value) for value in r],
    }
    scores = Scores.stacked([reached for _, reached in solved])
    rows = scores.rows(problem.labels, tuple(division.test), problem.targets.channels)
    return Fitted(problem, states, head, dict(division.scales), report, lambda: rows)


def _or_none(value: float) -> float | None:
    return value if value == value else None


def fit_divisions(
    store: MomentStore, name: str, divisions: Sequence[Division], rule: Ridge, device: torch.device | str = "cpu"
) -> list[tuple[Solution, Scores]]:
    """Fit and score an input's head under each division, on the CPU side by side."""

    def solved(sums: LayerSums, triangles: Float[np.ndarray, "set half"]) -> tuple[Solution, Scores]:
        found = fit_head(sums, rule, triangles)
        return found, score(sums, found)

    each = concurrently if torch.device(device).type == "cpu" else map
    every = [LayerSums(store, name, division, device) for division in divisions]
    return [found for some, triangles in _added_up(every) for found in each(solved, some, triangles)]


def _added_up(every: Sequence[LayerSums]) -> Iterator[tuple[list[LayerSums], list[Float[np.ndarray, "set half"]]]]:
    """Yield divisions of one store with Σxxᵀ of all that each fits, as many from one reading as memory should hold."""
    left = list(every)
    while left:
        sizes = np.cumsum([len(one.row_weights) * 4 * one.width * (one.width + 1) for one in left])
        some = left[: max(1, int((sizes <= _ADDED_BYTES).sum()))]
        left = left[len(some) :]
        yield some, some[0].rows.triangles([one.row_weights for one in some])


def fit_head(sums: LayerSums, rule: Ridge, triangles: Float[np.ndarray, "set half"] | None = None) -> Solution:
    """Choose alphas by r on what the folds keep aside, then fit the whole development side."""
    *folds, development = sums.fitted(triangles)
    chosen, reached = _choose(sums, folds, rule)
    nothing = torch.full_like(chosen, torch.nan)
    found = Solution(chosen.new_zeros(sums.width, sums.num_channels), nothing, nothing.clone(), reached)
    for channels, part in development:
        if part.n > 1:
            alphas, which = chosen[channels].unique(return_inverse=True)
            weights, biases = solve(part, alphas.tolist())
            columns = torch.arange(len(channels), device=which.device)
            found.weight[:, channels] = weights[which, :, columns].T
            found.bias[channels] = biases[which, columns]
            found.alpha[channels] = alphas[which]
    return found


def _choose(
    sums: LayerSums, folds: Sequence[ChannelSums], rule: Ridge
) -> tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]:
    """Return an alpha for each channel, and the validation r that it was chosen for."""
    alphas = torch.tensor(rule.alphas, dtype=torch.float64, device=sums.device)
    if len(alphas) == 1:
        alpha = alphas.repeat(sums.num_channels)
        return alpha, torch.full_like(alpha, torch.nan)
    r = validation_r(sums, folds, rule.alphas)
    if not rule.per_channel:
        r = r.nanmean(dim=1, keepdim=True).expand_as(r)
    reached, which = r.nan_to_num(-2).max(dim=0)
    chosen = torch.isfinite(r).any(dim=0)
    alpha = torch.where(chosen, alphas[which], rule.alpha_without_validation)
    return alpha, reached.masked_fill(~chosen, torch.nan)


def validation_r(
    sums: LayerSums, folds: Sequence[ChannelSums], alphas: Sequence[float]
) -> Float[Tensor, "alpha channel"]:
    """Return the mean over folds and speakers of r under each alpha; NaN where there is none."""
    nothing = torch.full((len(alphas), sums.num_channels), torch.nan, dtype=torch.float64, device=sums.device)
    found = [nothing]
    for fitted, (_, speakers) in zip(folds, sums.division.folds, strict=True):
        weights = nothing.new_full((len(alphas), sums.width, sums.num_channels), torch.nan)
        for channels, part in fitted:
            if part.n > 1:
                weights[:, :, channels], _ = solve(part, alphas)
        for speaker in speakers:
            r = nothing.clone()
            for channels, part in sums.held(speaker):
                if part.n > 1:
                    r[:, channels] = correlation(part, weights[:, :, channels])
            found.append(r)
    return torch.stack(found).nanmean(dim=0)


def score(sums: LayerSums, solution: Solution) -> Scores:
    """Return a head's scores on each test group of the division, (1, group, channel), in the channels' units."""
    division, tested = sums.division, list(sums.division.test.values())
    moments = np.zeros((6, 1, len(tested), sums.num_channels))
    for number, selection in enumerate(tested):
        group = int(np.flatnonzero(selection)[0])  # all are of one speaker
        for channels, part in sums.held(selection):
            mean, sd = division.mean[group, channels], division.sd[group, channels]
            standardised = [
                one.cpu().numpy() for one in _predicted(part, solution.weight[:, channels], solution.bias[channels])
            ]
            moments[:, 0, number, channels] = _in_units(part.n, *standardised, mean=mean, sd=sd)
    return scores_from_sums(*torch.from_numpy(moments))


def _predicted(
    part: Held, weight: Float[Tensor, "width channel"], bias: Float[Tensor, " channel"]
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
    squared = [sd**2 * both + sd * mean * (one + other) + n * mean**2 for both, one, other in
               ((xx, x, x), (yy, y, y), (xy, x, y))]  # fmt: skip
    return np.stack([count, sd * x + n * mean, sd * y + n * mean, *squared])
